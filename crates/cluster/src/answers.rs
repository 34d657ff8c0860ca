//! Bounds what of the API server's answers is in memory, whatever tenants have stored.
//!
//! ```text
//!   list of runs ─▶ each item is replaced by what a decision needs of it, before kube reads the page as one text
//!   watch        ─▶ as it is, up to a longest line: one event
//!   anything else ─▶ as it is, up to a largest body
//!   Streamed     ─▶ as it is: whoever asks reads it in pieces
//! ```
//!
//! Statuses, headers and everything beside the items pass unchanged: tokens, versions and errors are for kube. Compressed answers are not
//! asked for, and one that comes all the same is refused, since nobody here would understand it.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use http::{Method, Request, Response, StatusCode, header};
use http_body::Frame;
use kube::Client;
use kube::client::Body;
use tokio::time::sleep;

use crate::connection::{BoxError, Connection};
use crate::items::{Items, ListError, MOST_ITEM, Part};
use crate::seen::Seen;

/// The largest answer beside lists, and the longest event: one object, and what an event says beside it.
const MOST_OBJECT: usize = MOST_ITEM;
/// The largest list of anything but runs. Few of their objects are read, and tenants write only some of them.
const MOST_LIST: usize = 16 * 1024 * 1024;

/// How long is waited before a request is sent again, at first; it doubles,
const FIRST_WAIT: Duration = Duration::from_millis(10);
/// up to this.
const LAST_WAIT: Duration = Duration::from_secs(5);

/// Marks a request whose answer is read in pieces.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Streamed;

/// A client that asks through a connection, with bounded answers.
pub(crate) fn bounded(connection: Connection, namespace: &str) -> Client {
    let ask = move |request: Request<Body>| {
        let connection = connection.clone();
        async move {
            let rule = Rule::of(&request);
            let (parts, body) = request.into_parts();
            let body = body.collect_bytes().await;
            let body = body.map_err(|_| AnswerError::Question)?;
            let answer = send(&connection, parts, body, &rule).await?;
            let (parts, body) = answer.into_parts();
            let rule = match parts.status {
                StatusCode::OK => rule,
                _ => Rule::whole(MOST_OBJECT),
            };
            if parts.headers.contains_key(header::CONTENT_ENCODING) {
                return Err(AnswerError::Encoding.into());
            }
            Ok::<_, BoxError>(Response::from_parts(parts, Answer { body, rule }))
        }
    };
    Client::new(tower::service_fn(ask), namespace)
}

/// Sends a request, and again while the API server has no time for it. Not a watch: whoever watches is to know that nothing is seen, and
/// begins anew with waits of its own.
async fn send(
    connection: &Connection,
    parts: Parts,
    body: Bytes,
    rule: &Rule,
) -> Result<Response<reqwest::Body>, BoxError> {
    let mut wait = FIRST_WAIT;
    loop {
        let is_last = wait > LAST_WAIT || matches!(rule, Rule::Lines { .. });
        let answer = connection.send(parts.clone(), body.clone()).await?;
        if is_last || !is_busy(answer.status()) {
            return Ok(answer);
        }
        let wanted = answer.headers().get(header::RETRY_AFTER);
        let wanted = wanted.and_then(|value| value.to_str().ok()?.parse().ok());
        let wanted = Duration::from_secs(wanted.unwrap_or_default());
        sleep(wanted.clamp(wait, LAST_WAIT)).await;
        wait *= 2;
    }
}

fn is_busy(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::TOO_MANY_REQUESTS
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT
    )
}

/// What becomes of an answer.
#[derive(Debug)]
enum Rule {
    Whole { most: usize, taken: usize },
    Lines { length: usize },
    Runs(Items),
    Streamed,
}

/// Why an answer is not read on.
#[derive(Debug, thiserror::Error)]
enum AnswerError {
    #[error("the answer is larger than {} KiB", .0 / 1024)]
    Large(usize),
    #[error("an event of the watch is larger than {} KiB", MOST_OBJECT / 1024)]
    Event,
    #[error("the answer is compressed, which was not asked for")]
    Encoding,
    #[error("the body of the request cannot be read")]
    Question,
    #[error(transparent)]
    List(#[from] ListError),
}

impl Rule {
    fn whole(most: usize) -> Self {
        Self::Whole { most, taken: 0 }
    }

    fn of<B>(request: &Request<B>) -> Self {
        if request.extensions().get::<Streamed>().is_some() {
            return Self::Streamed;
        }
        let query = request.uri().query().unwrap_or_default();
        let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        let is_get = request.method() == Method::GET;
        if is_get && pairs.clone().any(|pair| pair == ("watch", "true")) {
            return Self::Lines { length: 0 };
        }
        if is_get && is_collection_of_runs(request.uri().path()) {
            return Self::Runs(Items::default());
        }
        match pairs.any(|(name, _)| name == "limit") {
            true => Self::whole(MOST_LIST),
            false => Self::whole(MOST_OBJECT),
        }
    }

    /// What of these bytes is let in.
    fn take(&mut self, bytes: Bytes) -> Result<Bytes, AnswerError> {
        match self {
            Self::Whole { most, taken } => {
                *taken += bytes.len();
                if *taken > *most {
                    return Err(AnswerError::Large(*most));
                }
            }
            Self::Lines { length } => {
                for line in bytes.split_inclusive(|&byte| byte == b'\n') {
                    *length += line.len();
                    if *length > MOST_OBJECT {
                        return Err(AnswerError::Event);
                    }
                    if line.ends_with(b"\n") {
                        *length = 0;
                    }
                }
            }
            Self::Runs(items) => {
                let mut out = Vec::new();
                items.take(&bytes, |part| {
                    match part {
                        Part::Rest(bytes) => out.extend_from_slice(bytes),
                        Part::Item(bytes) => {
                            let seen: Seen =
                                serde_json::from_slice(bytes).map_err(ListError::Json)?;
                            serde_json::to_writer(&mut out, &seen.document())
                                .map_err(ListError::Json)?;
                        }
                    }
                    Ok::<_, AnswerError>(())
                })?;
                return Ok(out.into());
            }
            Self::Streamed => {}
        }
        Ok(bytes)
    }
}

/// Whether a path is that of all TaskRuns or PipelineRuns, or of those of a namespace.
fn is_collection_of_runs(path: &str) -> bool {
    let Some(rest) = path.split("/apis/tekton.dev/v1/").nth(1) else {
        return false;
    };
    let parts: Vec<&str> = rest.split('/').collect();
    matches!(
        parts[..],
        ["taskruns" | "pipelineruns"] | ["namespaces", _, "taskruns" | "pipelineruns"]
    )
}

/// An answer that is let in by a rule.
struct Answer {
    body: reqwest::Body,
    rule: Rule,
}

impl http_body::Body for Answer {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        loop {
            let frame = match ready!(Pin::new(&mut self.body).poll_frame(context)) {
                Some(Ok(frame)) => frame,
                // As the connection has it: kube looks for what ended a watch.
                Some(Err(error)) => return Poll::Ready(Some(Err(error.without_url().into()))),
                None => return Poll::Ready(None),
            };
            let bytes = match frame.into_data() {
                Ok(bytes) => bytes,
                Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
            };
            match self.rule.take(bytes) {
                // An item goes on: there is nothing to give yet.
                Ok(bytes) if bytes.is_empty() => {}
                Ok(bytes) => return Poll::Ready(Some(Ok(Frame::data(bytes)))),
                Err(error) => return Poll::Ready(Some(Err(error.into()))),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tekseal_harness::Proxy;

    use super::*;
    use crate::client::Cluster;

    fn rule(method: Method, uri: &str) -> Rule {
        let request = Request::builder().method(method).uri(uri).body(());
        Rule::of(&request.expect("it is a request"))
    }

    /// What a rule lets in of bytes that come in pieces of a size.
    fn let_in(rule: &mut Rule, bytes: &[u8], size: usize) -> Result<Vec<u8>, AnswerError> {
        let mut found = Vec::new();
        for piece in bytes.chunks(size) {
            found.extend_from_slice(&rule.take(Bytes::copy_from_slice(piece))?);
        }
        Ok(found)
    }

    #[test]
    fn lists_of_runs_are_told_from_everything_else() {
        let of = |uri: &str| format!("{:?}", rule(Method::GET, uri));
        for path in [
            "/apis/tekton.dev/v1/taskruns?limit=50",
            "/apis/tekton.dev/v1/namespaces/a/pipelineruns?&limit=50&continue=watch",
            "https://host/prefix/apis/tekton.dev/v1/namespaces/taskruns/taskruns",
        ] {
            assert!(of(path).starts_with("Runs"), "{path}");
        }
        for path in [
            "/apis/tekton.dev/v1/taskruns?&watch=true&timeoutSeconds=290",
            "/api/v1/namespaces/a/configmaps?watch=true",
        ] {
            assert!(of(path).starts_with("Lines"), "{path}");
        }
        let object = format!("{:?}", Rule::whole(MOST_OBJECT));
        for path in [
            "/apis/tekton.dev/v1/namespaces/a/taskruns/taskruns",
            "/api/v1/namespaces/a/secrets/b",
        ] {
            assert_eq!(of(path), object, "{path}");
        }
        let patch = rule(Method::PATCH, "/apis/tekton.dev/v1/taskruns?watch=true");
        assert_eq!(format!("{patch:?}"), object);
        let list = format!("{:?}", Rule::whole(MOST_LIST));
        assert_eq!(of("/api/v1/namespaces/a/configmaps?limit=500"), list);
        let mut streamed = Request::get("/apis/tekton.dev/v1/taskruns").body(());
        let streamed = streamed.as_mut().expect("it is a request");
        streamed.extensions_mut().insert(Streamed);
        assert!(matches!(Rule::of(streamed), Rule::Streamed));
    }

    #[tokio::test]
    async fn what_the_api_server_has_no_time_for_is_sent_again_but_a_watch_is_told() {
        let proxy = Proxy::start("127.0.0.1:1");
        let busy = proxy.when(|_| true).first(3);
        busy.answer(503, &[], b"");
        proxy.when(|_| true).answer(200, &[], b"{}");
        let server = format!("http://{}", proxy.address());
        let server = server.parse().expect("an address");
        let cluster = Cluster::plain(server, "test").expect("it is one");
        let get = |path: &str| {
            let request = Request::get(path).body(Body::empty());
            cluster.client.send(request.expect("a request"))
        };
        let watch = get("/api/v1/configmaps?watch=true").await;
        assert_eq!(watch.expect("it answers").status(), 503);
        assert_eq!(proxy.count(), 1);
        let version = get("/version").await.expect("it answers");
        assert_eq!((version.status().as_u16(), proxy.count()), (200, 4));
    }

    #[test]
    fn a_page_of_large_runs_becomes_small_and_says_the_same() {
        let large = "x".repeat(100_000);
        let run = |name: &str| {
            format!(
                r#"{{"apiVersion":"tekton.dev/v1","metadata":{{"name":"{name}","namespace":"b","uid":"u","labels":{{"a":"{large}"}}}},"spec":{{"params":["{large}"]}},"status":{{"conditions":[{{"type":"Succeeded","status":"True","message":"{large}"}}]}}}}"#
            )
        };
        let page = format!(
            r#"{{"apiVersion":"tekton.dev/v1","items":[{},{}],"kind":"TaskRunList","metadata":{{"continue":"abc","resourceVersion":"42"}}}}"#,
            run("one"),
            run("two")
        );
        for size in [1, 1000, page.len()] {
            let mut rule = Rule::Runs(Items::default());
            let small = let_in(&mut rule, page.as_bytes(), size).expect("it is a list");
            assert!(small.len() < 1500, "{}", small.len());
            let list: kube::core::ObjectList<Seen> =
                serde_json::from_slice(&small).expect("kube reads it");
            assert_eq!(list.metadata.continue_.as_deref(), Some("abc"));
            assert_eq!(list.metadata.resource_version.as_deref(), Some("42"));
            let seen: Vec<_> = list
                .items
                .iter()
                .map(|run| (run.meta_name(), run.succeeded()))
                .collect();
            assert_eq!(seen, [("one", Some(true)), ("two", Some(true))]);
        }
    }

    impl Seen {
        fn meta_name(&self) -> &str {
            kube::Resource::meta(self)
                .name
                .as_deref()
                .unwrap_or_default()
        }
    }

    #[test]
    fn an_endless_answer_is_not_read_to_its_end() {
        let bytes = vec![b'x'; MOST_OBJECT];
        let mut whole = Rule::whole(MOST_OBJECT);
        assert_eq!(let_in(&mut whole, &bytes, 4096).expect("it fits"), bytes);
        let error = whole.take(Bytes::from_static(b"x")).expect_err("too much");
        assert_eq!(error.to_string(), "the answer is larger than 4096 KiB");
        let mut lines = Rule::Lines { length: 0 };
        for _ in 0..3 {
            let_in(&mut lines, &bytes[1..], 4096).expect("it fits");
            lines.take(Bytes::from_static(b"\n")).expect("it fits");
        }
        let_in(&mut lines, &bytes, 4096).expect("it fits");
        let error = lines.take(Bytes::from_static(b"x")).expect_err("too long");
        assert!(matches!(error, AnswerError::Event), "{error}");
    }
}
