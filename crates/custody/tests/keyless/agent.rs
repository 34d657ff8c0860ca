//! An agent of SPIFFE that says whatever a test wants, at a socket in a folder. The real one is in `tests/it/custody/spiffe.rs`.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use h2::server::SendResponse;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};

/// What it says to one connection.
#[derive(Clone)]
pub(crate) enum Say {
    /// These bytes, whatever it was asked.
    Bytes(Vec<u8>),
    /// Nothing, for ever.
    Nothing,
    /// It is gone.
    Gone,
    /// An answer of HTTP/2.
    Answer(Answer),
}

/// An answer; what a good one has unless a test changes it.
#[derive(Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Option<Vec<(&'static str, String)>>,
}

/// What it was asked: path, headers, body.
pub(crate) type Asked = (String, HeaderMap, Vec<u8>);

pub(crate) struct Agent {
    folder: TempDir,
    seen: Arc<Mutex<Vec<Asked>>>,
}

impl Answer {
    /// These identities with their tokens.
    pub(crate) fn of(svids: &[(&str, &str)]) -> Self {
        let field = |number: u8, content: &[u8]| {
            let mut field = vec![number << 3 | 2];
            let mut length = content.len();
            while length > 0x7f {
                field.push(u8::try_from(length & 0x7f).expect("seven bits") | 0x80);
                length >>= 7;
            }
            field.push(u8::try_from(length).expect("seven bits"));
            [&field, content].concat()
        };
        let svid = |(id, text): &(&str, &str)| {
            let parts = [field(1, id.as_bytes()), field(2, text.as_bytes())];
            field(1, &parts.concat())
        };
        Self::message(&svids.iter().map(svid).collect::<Vec<_>>().concat())
    }

    /// This message.
    pub(crate) fn message(message: &[u8]) -> Self {
        let length = u32::try_from(message.len()).expect("short");
        Self {
            status: 200,
            headers: vec![("content-type", "application/grpc".to_owned())],
            body: [&[0], &length.to_be_bytes()[..], message].concat(),
            trailers: Some(vec![("grpc-status", "0".to_owned())]),
        }
    }

    /// A refusal as gRPC has it: one list of headers.
    pub(crate) fn refusal(code: u32, message: &str) -> Self {
        let mut answer = Self::message(b"");
        answer.headers.push(("grpc-status", code.to_string()));
        answer.headers.push(("grpc-message", message.to_owned()));
        Self {
            body: Vec::new(),
            trailers: None,
            ..answer
        }
    }
}

impl Agent {
    /// One that says this to each connection, counted from 0. It ends with the runtime of the test.
    pub(crate) fn start(say: impl Fn(usize) -> Say + Send + 'static) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let listener = UnixListener::bind(folder.path().join("agent.sock"));
        let listener = listener.expect("the folder is ours");
        let seen = Arc::default();
        let noted = Arc::clone(&seen);
        tokio::spawn(async move {
            for number in 0.. {
                let Ok((stream, _)) = listener.accept().await else {
                    return;
                };
                tokio::spawn(serve(stream, say(number), Arc::clone(&noted)));
            }
        });
        Self { folder, seen }
    }

    /// One that gives this answer.
    pub(crate) fn answering(answer: Answer) -> Self {
        Self::start(move |_| Say::Answer(answer.clone()))
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.path().join("agent.sock")
    }

    /// As `SPIFFE_ENDPOINT_SOCKET` has it.
    pub(crate) fn address(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    pub(crate) fn seen(&self) -> Vec<Asked> {
        self.seen.lock().expect("nobody panics with it").clone()
    }
}

async fn serve(mut stream: UnixStream, say: Say, seen: Arc<Mutex<Vec<Asked>>>) {
    match say {
        Say::Gone => {}
        Say::Nothing => {
            let mut heard = Vec::new();
            // Until the other side has enough.
            let _ = stream.read_to_end(&mut heard).await;
        }
        Say::Bytes(bytes) => {
            // The other side may not want all of it.
            let _ = stream.write_all(&bytes).await;
            let mut heard = Vec::new();
            let _ = stream.read_to_end(&mut heard).await;
        }
        Say::Answer(answer) => {
            let connection = h2::server::handshake(stream).await;
            let Ok(mut connection) = connection else {
                return;
            };
            while let Some(Ok((request, respond))) = connection.accept().await {
                tokio::spawn(reply(request, respond, answer.clone(), Arc::clone(&seen)));
            }
        }
    }
}

async fn reply(
    request: Request<h2::RecvStream>,
    mut respond: SendResponse<Bytes>,
    answer: Answer,
    seen: Arc<Mutex<Vec<Asked>>>,
) {
    let (head, mut body) = request.into_parts();
    let mut asked = Vec::new();
    while let Some(Ok(data)) = body.data().await {
        asked.extend_from_slice(&data);
    }
    let asked = (head.uri.path().to_owned(), head.headers, asked);
    seen.lock().expect("nobody panics with it").push(asked);
    let mut response = Response::new(());
    *response.status_mut() = http::StatusCode::from_u16(answer.status).expect("a status");
    *response.headers_mut() = list(answer.headers);
    let is_all = answer.trailers.is_none() && answer.body.is_empty();
    let Ok(mut sending) = respond.send_response(response, is_all) else {
        return;
    };
    if is_all {
        return;
    }
    // Whoever is asked for more than there may be goes away.
    let _ = sending.send_data(answer.body.into(), answer.trailers.is_none());
    if let Some(trailers) = answer.trailers {
        let _ = sending.send_trailers(list(trailers));
    }
}

fn list(headers: Vec<(&'static str, String)>) -> HeaderMap {
    let headers = headers.into_iter().map(|(name, value)| {
        let value = HeaderValue::from_str(&value).expect("a test has good ones");
        (HeaderName::from_static(name), value)
    });
    headers.collect()
}
