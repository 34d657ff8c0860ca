//! One call of gRPC to a socket of this machine: a request of one message, an answer of one.
//!
//! Specification: <https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>. Whoever holds the socket is not trusted: header lists, the window and
//! the message have an end here, and how long it may take is for the caller to say.

use std::pin::pin;

use bytes::{BufMut as _, Bytes, BytesMut};
use h2::client::Builder;
use h2::{Reason, RecvStream};
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri};
use tokio::net::UnixStream;
use zeroize::Zeroizing;

/// What a list of headers may have: of an answer of the Workload API it is a hundred bytes.
const MOST_HEADERS: u32 = 16 * 1024;
/// What may be under way at once.
const WINDOW: u32 = 64 * 1024;
/// What stands before a message: whether it is compressed, and its length.
const PREFIX: usize = 5;
/// What is shown of what the other side says.
const MOST_SHOWN: usize = 200;

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum Failed {
    /// It is not the protocol; what came instead.
    Protocol(String),
    /// The other side says no.
    Status {
        /// Its code.
        code: u32,
        /// What it says, for people.
        message: String,
    },
}

/// Sends `message` to `method` (`/Service/Method`), and gives the message that comes back, of at most so many bytes. Each of the `metadata` is a name and a
/// value.
pub(super) async fn call(
    stream: UnixStream,
    method: &'static str,
    metadata: &[(&'static str, &'static str)],
    message: &[u8],
    limit: usize,
) -> Result<Zeroizing<Vec<u8>>, Failed> {
    let (sender, connection) = Builder::new()
        .enable_push(false)
        .max_header_list_size(MOST_HEADERS)
        .initial_window_size(WINDOW)
        .initial_connection_window_size(WINDOW)
        .handshake::<_, Bytes>(stream)
        .await
        .map_err(broken)?;
    let talk = async move {
        let mut sender = sender.ready().await.map_err(broken)?;
        let request = request(method, metadata);
        let (response, mut body) = sender.send_request(request, false).map_err(broken)?;
        body.send_data(framed(message), true).map_err(broken)?;
        read(response.await.map_err(broken)?, limit).await
    };
    let mut talk = pin!(talk);
    tokio::select! {
        biased;
        answer = &mut talk => answer,
        // It knows of the end, and may have had its answer before.
        _ = connection => talk.await,
    }
}

fn request(method: &'static str, metadata: &[(&'static str, &'static str)]) -> Request<()> {
    let uri = Uri::builder()
        .scheme("http")
        .authority("localhost")
        .path_and_query(method)
        .build()
        .expect("methods have the form of a path");
    let mut request = Request::new(());
    *request.method_mut() = Method::POST;
    *request.uri_mut() = uri;
    let always = [("content-type", "application/grpc"), ("te", "trailers")];
    for (name, value) in always.iter().chain(metadata) {
        let value = http::HeaderValue::from_static(value);
        request.headers_mut().append(*name, value);
    }
    request
}

/// As a message travels: not compressed.
fn framed(message: &[u8]) -> Bytes {
    let length = u32::try_from(message.len()).expect("nobody asks for so much");
    let mut framed = BytesMut::with_capacity(PREFIX + message.len());
    framed.put_u8(0);
    framed.put_u32(length);
    framed.put_slice(message);
    framed.freeze()
}

async fn read(answer: Response<RecvStream>, limit: usize) -> Result<Zeroizing<Vec<u8>>, Failed> {
    let (head, mut body) = answer.into_parts();
    if head.status != StatusCode::OK {
        let status = head.status.as_u16();
        return Err(Failed::Protocol(format!("status {status} of HTTP")));
    }
    let kind = head.headers.get("content-type").map(|kind| kind.as_bytes());
    if !kind.is_some_and(|kind| kind.starts_with(b"application/grpc")) {
        return Err(Failed::Protocol("something that is not gRPC".to_owned()));
    }
    // As large as it may become, so that no part of a token is left behind where it grew.
    let mut framed = Zeroizing::new(Vec::with_capacity(PREFIX + limit));
    while let Some(data) = body.data().await {
        let data = data.map_err(broken)?;
        if data.len() > PREFIX + limit - framed.len() {
            return Err(Failed::Protocol(format!("more than {limit} bytes")));
        }
        framed.extend_from_slice(&data);
        let taken = body.flow_control().release_capacity(data.len());
        taken.map_err(broken)?;
    }
    let trailers = body.trailers().await.map_err(broken)?;
    // An answer without a message has one list of headers alone.
    judge(trailers.as_ref().unwrap_or(&head.headers))?;
    unframed(&framed)
}

/// Whether it was done.
fn judge(trailers: &HeaderMap) -> Result<(), Failed> {
    let status = trailers.get("grpc-status").map(|value| value.to_str());
    let code = status.map(|text| text.ok().and_then(|text| text.parse().ok()));
    match code {
        Some(Some(0)) => Ok(()),
        Some(Some(code)) => Err(Failed::Status {
            code,
            message: trailers
                .get("grpc-message")
                .map(|message| shown(message.as_bytes()))
                .unwrap_or_default(),
        }),
        Some(None) => Err(Failed::Protocol("a grpc-status that is none".to_owned())),
        None => Err(Failed::Protocol("an answer without grpc-status".to_owned())),
    }
}

/// The one message.
fn unframed(framed: &[u8]) -> Result<Zeroizing<Vec<u8>>, Failed> {
    let Some((prefix, message)) = framed.split_at_checked(PREFIX) else {
        return Err(Failed::Protocol("an answer without a message".to_owned()));
    };
    if prefix[0] != 0 {
        return Err(Failed::Protocol("a compressed message".to_owned()));
    }
    let length = [prefix[1], prefix[2], prefix[3], prefix[4]];
    if usize::try_from(u32::from_be_bytes(length)) != Ok(message.len()) {
        let what = "a message of another length than it says, or several";
        return Err(Failed::Protocol(what.to_owned()));
    }
    Ok(Zeroizing::new(message.to_vec()))
}

/// A `grpc-message`, which is percent-encoded UTF-8, for people: cut short, and without control characters.
fn shown(message: &[u8]) -> String {
    let mut bytes = Vec::with_capacity(message.len());
    let mut rest = message;
    while let [first, tail @ ..] = rest {
        let escaped = match (first, tail) {
            (b'%', [high, low, ..]) => hex(*high).zip(hex(*low)),
            _ => None,
        };
        match escaped {
            Some((high, low)) => {
                bytes.push(high << 4 | low);
                rest = &tail[2..];
            }
            None => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    let text = String::from_utf8_lossy(&bytes);
    let printable = text.chars().map(|c| match c.is_control() {
        true => ' ',
        false => c,
    });
    printable.take(MOST_SHOWN).collect()
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .and_then(|digit| u8::try_from(digit).ok())
}

/// What a fault of the connection is, without what the other side wrote into it.
fn broken(error: h2::Error) -> Failed {
    let what = match error.reason() {
        Some(Reason::NO_ERROR) => "an early end of the connection".to_owned(),
        Some(reason) => format!(
            "something that is not HTTP/2, or with an error of it ({})",
            reason.description()
        ),
        None => "an early end of the connection, or something that is not HTTP/2".to_owned(),
    };
    Failed::Protocol(what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_decoded_and_made_harmless() {
        assert_eq!(shown(b"no identity issued"), "no identity issued");
        assert_eq!(shown(b"a%20b%C3%A4%0a%1b[1m"), "a b\u{e4}  [1m");
        assert_eq!(shown(b"100%"), "100%");
        assert_eq!(shown(b"%zz%4"), "%zz%4");
        assert_eq!(shown(&[b'x'; 1000]).len(), MOST_SHOWN);
    }

    #[test]
    fn one_whole_message_is_one_and_anything_else_is_none() {
        assert_eq!(*unframed(&framed(b"abc")).expect("whole"), b"abc");
        assert_eq!(*unframed(&framed(b"")).expect("an empty one is one"), b"");
        let whole = framed(b"abc");
        let compressed = [&[1], &whole[1..]].concat();
        let twice = [&whole[..], &whole[..]].concat();
        let long = [0, 0xff, 0xff, 0xff, 0xff, 1];
        for bad in [
            &b""[..],
            &whole[..4],
            &whole[..7],
            &compressed,
            &twice,
            &long,
        ] {
            assert!(unframed(bad).is_err(), "{bad:?}");
        }
    }
}
