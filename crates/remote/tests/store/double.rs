//! A registry in memory with several doors, each an address of its own, so that each writer's requests can be held back, failed and
//! counted apart from those of the others.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tekseal_core::{Digest, Repository};
use tekseal_remote::registry::{Access, Options, Registry};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

/// The only repository that matters.
pub(crate) const REPOSITORY: &str = "team/app";

/// What the registry holds, by digest, and what its tags point at.
#[derive(Default)]
struct State {
    blobs: HashMap<String, Vec<u8>>,
    manifests: HashMap<String, (String, Vec<u8>)>,
    tags: HashMap<String, String>,
    referrers: Option<Vec<u8>>,
    /// Whether what refers to a manifest is listed.
    lists_referrers: bool,
    /// Whether a manifest with a subject is answered so that it seems to be.
    says_subject: bool,
    uploads: usize,
    forgets_tags: bool,
}

/// A registry in memory.
#[derive(Clone, Default)]
pub(crate) struct Double {
    state: Arc<Mutex<State>>,
}

/// An address of the registry.
pub(crate) struct Door {
    pub(crate) address: String,
    inside: Arc<Inside>,
}

struct Inside {
    state: Arc<Mutex<State>>,
    seen: Mutex<Vec<String>>,
    rules: Mutex<Vec<Rule>>,
    latency: Duration,
}

/// When a request is held back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moment {
    /// Before it takes effect.
    Before,
    /// After it took effect, before it is answered.
    After,
}

struct Rule {
    method: &'static str,
    part: &'static str,
    action: Action,
}

enum Action {
    Hold(Moment, oneshot::Sender<()>, oneshot::Receiver<()>),
    /// Answers 500, before or after the request took effect.
    Fail(Moment),
    Forget,
}

/// One request that is held back until it is released.
pub(crate) struct Gate {
    arrived: Option<oneshot::Receiver<()>>,
    release: oneshot::Sender<()>,
}

impl Gate {
    /// Waits until the request is here. May be dropped and called again.
    pub(crate) async fn arrived(&mut self) {
        let arrived = self.arrived.as_mut().expect("a gate is passed once");
        soon(arrived).await.expect("the rule still stands");
        self.arrived = None;
    }

    /// Lets it go on.
    pub(crate) fn release(self) {
        self.release.send(()).expect("the request still waits");
    }
}

/// `future`, or a failed test.
pub(crate) async fn soon<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(Duration::from_secs(20), future)
        .await
        .expect("this happens within 20 seconds")
}

impl Double {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder panics")
    }

    /// A new address of this registry.
    pub(crate) async fn door(&self) -> Door {
        self.slow_door(Duration::ZERO).await
    }

    /// A new address whose answers take so long.
    pub(crate) async fn slow_door(&self, latency: Duration) -> Door {
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .expect("loopback has a free port");
        let address = listener.local_addr().expect("it is bound").to_string();
        let inside = Arc::new(Inside {
            state: Arc::clone(&self.state),
            seen: Mutex::default(),
            rules: Mutex::default(),
            latency,
        });
        let shared = Arc::clone(&inside);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&shared)));
            }
        });
        Door { address, inside }
    }

    pub(crate) fn put_blob(&self, bytes: &[u8]) -> String {
        let digest = Digest::of(bytes).to_string();
        self.state().blobs.insert(digest.clone(), bytes.to_vec());
        digest
    }

    pub(crate) fn put_manifest(&self, tag: &str, media_type: &str, bytes: &[u8]) -> String {
        let digest = Digest::of(bytes).to_string();
        let mut state = self.state();
        state
            .manifests
            .insert(digest.clone(), (media_type.to_owned(), bytes.to_vec()));
        state.tags.insert(tag.to_owned(), digest.clone());
        digest
    }

    pub(crate) fn manifest(&self, reference: &str) -> Option<Vec<u8>> {
        let state = self.state();
        let digest = state.tags.get(reference).map_or(reference, String::as_str);
        state.manifests.get(digest).map(|(_, bytes)| bytes.clone())
    }

    /// What the referrers API answers; without this there is none.
    pub(crate) fn list_referrers(&self, index: &[u8]) {
        self.state().referrers = Some(index.to_vec());
    }

    /// The referrers API lists what is put from now on, and says so.
    pub(crate) fn have_referrers(&self) {
        self.state().lists_referrers = true;
        self.state().says_subject = true;
    }

    /// It is only said that manifests with a subject are listed.
    pub(crate) fn say_subject(&self) {
        self.state().says_subject = true;
    }

    /// Forgets a manifest, but no list that names it.
    pub(crate) fn remove_manifest(&self, digest: &str) {
        self.state().manifests.remove(digest);
    }

    /// Hands out something else for this digest.
    pub(crate) fn replace_manifest(&self, digest: &str, bytes: &[u8]) {
        if let Some((_, own)) = self.state().manifests.get_mut(digest) {
            *own = bytes.to_vec();
        }
    }

    pub(crate) fn tags(&self) -> Vec<String> {
        let mut tags: Vec<_> = self.state().tags.keys().cloned().collect();
        tags.retain(|tag| !tag.starts_with("sha256:"));
        tags.sort();
        tags
    }

    /// From now on every tag is gone as soon as it is written.
    pub(crate) fn forget_tags(&self) {
        self.state().forgets_tags = true;
    }
}

impl Door {
    /// A client that knows nothing of the other doors' clients.
    pub(crate) fn client(&self) -> Registry {
        Registry::new(Options {
            access: Access::PullPush,
            ..Options::default()
        })
        .expect("the options are fine")
    }

    pub(crate) fn repository(&self) -> Repository {
        Repository::parse(&format!("{}/{REPOSITORY}", self.address)).expect("well formed")
    }

    /// Holds back the next request with this method and this text in its path.
    pub(crate) fn hold(&self, method: &'static str, part: &'static str, moment: Moment) -> Gate {
        let (arrived, wait) = oneshot::channel();
        let (release, released) = oneshot::channel();
        self.rule(method, part, Action::Hold(moment, arrived, released));
        Gate {
            arrived: Some(wait),
            release,
        }
    }

    /// Accepts the next upload of a blob and forgets it, as docker-registry may when equal ones come side by side.
    pub(crate) fn forget_next_blob(&self) {
        self.rule("PUT", "/blobs/uploads/", Action::Forget);
    }

    /// Answers the next such request with 500.
    pub(crate) fn fail(&self, method: &'static str, part: &'static str, moment: Moment) {
        self.rule(method, part, Action::Fail(moment));
    }

    fn rule(&self, method: &'static str, part: &'static str, action: Action) {
        self.inside
            .rules
            .lock()
            .expect("no holder panics")
            .push(Rule {
                method,
                part,
                action,
            });
    }

    /// The requests that came so far, `METHOD path`.
    pub(crate) fn seen(&self) -> Vec<String> {
        self.inside.seen.lock().expect("no holder panics").clone()
    }

    pub(crate) fn count(&self, method: &str, part: &str) -> usize {
        let start = format!("{method} ");
        self.seen()
            .iter()
            .filter(|line| line.starts_with(&start) && line.contains(part))
            .count()
    }
}

struct Request {
    method: String,
    target: String,
    media_type: String,
    body: Vec<u8>,
}

struct Answer {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
}

impl Answer {
    fn status(status: u16) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: Vec::new(),
        }
    }
}

async fn serve(stream: TcpStream, inside: Arc<Inside>) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    while let Some(request) = read(&mut stream).await? {
        inside
            .seen
            .lock()
            .expect("no holder panics")
            .push(format!("{} {}", request.method, request.target));
        tokio::time::sleep(inside.latency).await;
        let action = {
            let mut rules = inside.rules.lock().expect("no holder panics");
            let at = rules.iter().position(|rule| {
                request.method == rule.method && request.target.contains(rule.part)
            });
            at.map(|at| rules.remove(at).action)
        };
        let answer = match action {
            None => inside.answer(&request),
            Some(Action::Forget) => Answer::status(201),
            Some(Action::Fail(Moment::Before)) => Answer::status(500),
            Some(Action::Fail(Moment::After)) => {
                inside.answer(&request);
                Answer::status(500)
            }
            Some(Action::Hold(moment, arrived, released)) => {
                let early = (moment == Moment::After).then(|| inside.answer(&request));
                let _ = arrived.send(());
                let _ = released.await;
                early.unwrap_or_else(|| inside.answer(&request))
            }
        };
        write(&mut stream, &request, answer).await?;
    }
    Ok(())
}

async fn read(stream: &mut BufReader<TcpStream>) -> std::io::Result<Option<Request>> {
    let mut line = String::new();
    if stream.read_line(&mut line).await? == 0 {
        return Ok(None);
    }
    let mut words = line.split(' ').map(str::to_owned);
    let (method, target) = (
        words.next().unwrap_or_default(),
        words.next().unwrap_or_default(),
    );
    let mut request = Request {
        method,
        target,
        media_type: String::new(),
        body: Vec::new(),
    };
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await?;
        let Some((name, value)) = line.trim_end().split_once(": ") else {
            break;
        };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => request.body = vec![0; value.parse().unwrap_or_default()],
            "content-type" => request.media_type = value.to_owned(),
            _ => {}
        }
    }
    stream.read_exact(&mut request.body).await?;
    Ok(Some(request))
}

async fn write(
    stream: &mut BufReader<TcpStream>,
    request: &Request,
    answer: Answer,
) -> std::io::Result<()> {
    let mut head = format!(
        "HTTP/1.1 {} X\r\nContent-Length: {}\r\n",
        answer.status,
        answer.body.len()
    );
    for (name, value) in &answer.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    let mut bytes = format!("{head}\r\n").into_bytes();
    if request.method != "HEAD" {
        bytes.extend(answer.body);
    }
    stream.write_all(&bytes).await?;
    stream.flush().await
}

impl Inside {
    fn answer(&self, request: &Request) -> Answer {
        let mut state = self.state.lock().expect("no holder panics");
        let (path, query) = request
            .target
            .split_once('?')
            .unwrap_or((&request.target, ""));
        let path = path
            .trim_start_matches(&format!("/v2/{REPOSITORY}"))
            .to_owned();
        let last = path.rsplit('/').next().unwrap_or_default();
        match (request.method.as_str(), path.as_str()) {
            ("POST", "/blobs/uploads/") => {
                state.uploads += 1;
                let location = format!("/v2/{REPOSITORY}/blobs/uploads/{}", state.uploads);
                Answer {
                    headers: vec![("Location", location)],
                    ..Answer::status(202)
                }
            }
            ("PUT", path) if path.starts_with("/blobs/uploads/") => {
                let digest = Digest::of(&request.body).to_string();
                if query.replace("%3A", ":") != format!("digest={digest}") {
                    return Answer::status(400);
                }
                state.blobs.insert(digest, request.body.clone());
                Answer::status(201)
            }
            ("PUT", path) if path.starts_with("/manifests/") => state.put(last, request),
            ("GET" | "HEAD", path) if path.starts_with("/manifests/") => state.get(last),
            ("GET" | "HEAD", path) if path.starts_with("/blobs/") => match state.blobs.get(last) {
                Some(bytes) => Answer {
                    body: bytes.clone(),
                    ..Answer::status(200)
                },
                None => Answer::status(404),
            },
            ("GET", path) if path.starts_with("/referrers/") => match state.referrers_of(last) {
                Some(index) => Answer {
                    headers: vec![(
                        "Content-Type",
                        "application/vnd.oci.image.index.v1+json".to_owned(),
                    )],
                    body: index,
                    ..Answer::status(200)
                },
                None => Answer::status(404),
            },
            _ => Answer::status(404),
        }
    }
}

impl State {
    fn get(&self, reference: &str) -> Answer {
        let digest = self.tags.get(reference).map_or(reference, String::as_str);
        let Some((media_type, bytes)) = self.manifests.get(digest) else {
            return Answer::status(404);
        };
        let headers = vec![
            ("Content-Type", media_type.clone()),
            ("Docker-Content-Digest", digest.to_owned()),
        ];
        Answer {
            status: 200,
            headers,
            body: bytes.clone(),
        }
    }

    /// What the referrers API answers, if there is one.
    fn referrers_of(&self, subject: &str) -> Option<Vec<u8>> {
        if !self.lists_referrers {
            return self.referrers.clone();
        }
        let entries = self.manifests.iter().filter_map(|(digest, (kind, bytes))| {
            let manifest: serde_json::Value = serde_json::from_slice(bytes).ok()?;
            (manifest["subject"]["digest"] == subject).then(|| {
                serde_json::json!({
                    "mediaType": kind, "size": bytes.len(), "digest": digest,
                    "artifactType": manifest["artifactType"], "annotations": manifest["annotations"],
                })
            })
        });
        let entries: Vec<_> = entries.collect();
        let index = serde_json::json!({"schemaVersion": 2, "manifests": entries});
        Some(index.to_string().into_bytes())
    }

    /// As registries do: what the manifest names must be there.
    fn put(&mut self, reference: &str, request: &Request) -> Answer {
        let Ok(manifest) = serde_json::from_slice::<serde_json::Value>(&request.body) else {
            return Answer::status(400);
        };
        let layers = manifest["layers"].as_array().into_iter().flatten();
        let named = layers
            .chain([&manifest["config"]])
            .filter_map(|descriptor| descriptor["digest"].as_str());
        if named
            .into_iter()
            .any(|digest| !self.blobs.contains_key(digest))
        {
            return Answer {
                body: br#"{"errors":[{"code":"MANIFEST_BLOB_UNKNOWN"}]}"#.to_vec(),
                ..Answer::status(400)
            };
        }
        let digest = Digest::of(&request.body).to_string();
        self.manifests.insert(
            digest.clone(),
            (request.media_type.clone(), request.body.clone()),
        );
        if !self.forgets_tags {
            self.tags.insert(reference.to_owned(), digest);
        }
        let subject = manifest["subject"]["digest"].as_str();
        match subject.filter(|_| self.says_subject) {
            Some(subject) => Answer {
                headers: vec![("OCI-Subject", subject.to_owned())],
                ..Answer::status(201)
            },
            None => Answer::status(201),
        }
    }
}
