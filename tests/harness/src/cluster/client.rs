//! Speaks to an API server as one user: requests of any kind, and the few that tests send all the time.

use std::fmt;
use std::fs::{self, OpenOptions};
use std::io::{self, BufRead, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use base64::Engine as _;
use serde_json::{Value, json};

use super::connection::Connection;
use crate::http::{Answer, Request, message, read_head};
use crate::process::tail;

const AWAITED_WITHIN: Duration = Duration::from_secs(120);
/// The field manager of what tests apply.
const FIELD_MANAGER: &str = "tests";

/// A user of an API server.
pub struct Client {
    /// `127.0.0.1:port`
    address: String,
    ca: PathBuf,
    log: PathBuf,
    token: String,
    idle: Mutex<Vec<Connection>>,
}

impl Client {
    pub(super) fn new(address: &str, ca: &Path, log: &Path, token: &str) -> Self {
        Self {
            address: address.to_owned(),
            ca: ca.to_owned(),
            log: log.to_owned(),
            token: token.to_owned(),
            idle: Mutex::default(),
        }
    }

    /// Another user of the same server.
    #[must_use]
    pub fn with_token(&self, token: &str) -> Self {
        Self::new(&self.address, &self.ca, &self.log, token)
    }

    /// `host:port` of the server.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The certificate of the server's authority, PEM.
    #[must_use]
    pub fn ca(&self) -> &Path {
        &self.ca
    }

    /// The bearer token with which this user comes.
    #[must_use]
    pub fn token(&self) -> &str {
        &self.token
    }

    /// `https://host:port`
    #[must_use]
    pub fn url(&self) -> String {
        format!("https://{}", self.address)
    }

    /// Sends any request and gives any answer. A connection that was idle may have died; then the request is sent once more.
    ///
    /// # Errors
    ///
    /// When the server cannot be reached or does not answer within a minute.
    pub fn send(&self, request: &Request) -> io::Result<Answer> {
        let request = self.authorized(request);
        let idle = self.idle().pop();
        if let Some(mut connection) = idle
            && let Ok(answer) = connection.exchange(&self.address, &request)
        {
            self.idle().push(connection);
            return Ok(answer);
        }
        let mut connection = Connection::open(&self.address, &self.ca)?;
        let answer = connection.exchange(&self.address, &request)?;
        self.idle().push(connection);
        Ok(answer)
    }

    /// The object or list at a path; `None` when it is absent.
    ///
    /// # Panics
    ///
    /// When the answer is neither 200 nor 404.
    #[must_use]
    #[track_caller]
    pub fn get(&self, path: &str) -> Option<Value> {
        let answer = self.answer(&Request::new("GET", path));
        (answer.status != 404).then(|| self.object("GET", path, &answer))
    }

    /// Creates an object.
    ///
    /// # Panics
    ///
    /// When it is refused.
    #[track_caller]
    pub fn create(&self, object: &Value) -> Value {
        let path = object_path(object);
        let name = object["metadata"]["name"].as_str();
        // `generateName` has the collection as its path already.
        let collection = match name {
            Some(name) => &path[..path.len() - name.len() - 1],
            None => &path,
        };
        self.with_body("POST", collection, "application/json", object)
    }

    /// Creates or changes an object by server-side apply.
    ///
    /// # Panics
    ///
    /// When it is refused.
    #[track_caller]
    pub fn apply(&self, object: &Value) -> Value {
        let path = format!(
            "{}?fieldManager={FIELD_MANAGER}&force=true",
            object_path(object)
        );
        self.with_body("PATCH", &path, "application/apply-patch+yaml", object)
    }

    /// Replaces an object. With the `resourceVersion` it was read with, it must not have changed since.
    ///
    /// # Panics
    ///
    /// When it is refused.
    #[track_caller]
    pub fn put(&self, object: &Value) -> Value {
        self.with_body("PUT", &object_path(object), "application/json", object)
    }

    /// Replaces the status of an object, as a controller does: everything else in it is left as the server has it.
    ///
    /// # Panics
    ///
    /// When it is refused.
    #[track_caller]
    pub fn put_status(&self, object: &Value) -> Value {
        let path = format!("{}/status", object_path(object));
        self.with_body("PUT", &path, "application/json", object)
    }

    /// Changes members of the object at a path (`…/status` for its status) by JSON merge patch.
    ///
    /// # Panics
    ///
    /// When it is refused.
    #[track_caller]
    pub fn patch(&self, path: &str, changes: &Value) -> Value {
        self.with_body("PATCH", path, "application/merge-patch+json", changes)
    }

    /// Deletes the object, or all objects of the collection, at a path. An object with finalizers is only marked.
    ///
    /// # Panics
    ///
    /// When it is refused.
    #[track_caller]
    pub fn delete(&self, path: &str) -> Value {
        let answer = self.answer(&Request::new("DELETE", path));
        self.object("DELETE", path, &answer)
    }

    /// Watches the collection at a path. What is there already comes first, as `ADDED`, unless the query has a `resourceVersion`.
    ///
    /// # Panics
    ///
    /// When the server refuses.
    #[must_use]
    #[track_caller]
    pub fn watch(&self, path: &str) -> Watch {
        self.watch_as(path, "application/json")
    }

    /// Watches as [`Self::watch`], but of each object only the metadata come: for whoever measures others beside it.
    ///
    /// # Panics
    ///
    /// When the server refuses.
    #[must_use]
    #[track_caller]
    pub fn watch_metadata(&self, path: &str) -> Watch {
        self.watch_as(
            path,
            "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1",
        )
    }

    #[track_caller]
    fn watch_as(&self, path: &str, media_type: &str) -> Watch {
        let mut target = path.to_owned();
        target.push(if path.contains('?') { '&' } else { '?' });
        target += "watch=true";
        if !path.contains("resourceVersion=") {
            // Without a version the server would first wait, up to a second, until its cache has caught up with etcd.
            target += "&resourceVersion=0";
        }
        let request = Request::new("GET", &target).header("Accept", media_type);
        let open = || -> io::Result<Watch> {
            let mut connection = Connection::open(&self.address, &self.ca)?;
            // An answer to HTTP/1.0 is not cut into chunks: one event a line, to the end of the connection.
            let request = message(&self.address, &self.authorized(&request));
            let request = String::from_utf8_lossy(&request).replacen("HTTP/1.1", "HTTP/1.0", 1);
            connection.stream().write_all(request.as_bytes())?;
            let (first, _) =
                read_head(&mut connection.reader)?.ok_or(io::ErrorKind::UnexpectedEof)?;
            if !first.contains(" 200") {
                return Err(io::Error::other(first));
            }
            Ok(Watch {
                connection,
                line: Vec::new(),
            })
        };
        open().unwrap_or_else(|e| panic!("watch of {path}: {e}\n{}", tail(&self.log)))
    }

    /// Waits until something is so of the object at a path, and gives the object.
    ///
    /// # Panics
    ///
    /// When it is not so within two minutes, with all that was seen.
    #[track_caller]
    pub fn wait_for(&self, path: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        self.wait_within(AWAITED_WITHIN, path, is_so)
    }

    /// As [`Self::wait_for`], for so long.
    ///
    /// # Panics
    ///
    /// When it is not so in time, with all that was seen.
    #[track_caller]
    pub fn wait_within(&self, time: Duration, path: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        let (collection, name) = path.rsplit_once('/').expect("a path has a slash");
        let selected = format!("{collection}?fieldSelector=metadata.name%3D{name}");
        let deadline = Instant::now() + time;
        let mut others = Vec::new();
        while Instant::now() < deadline {
            // A server ends its watches when the definition of the type changes, as a webhook's certificate does.
            let mut watch = self.watch(&selected);
            let found = watch.find(|event| is_so(&event["object"]), deadline, &mut others);
            if let Some(mut event) = found {
                return event["object"].take();
            }
        }
        panic!("{path} never was so; these came: {others:#?}");
    }

    /// Makes a namespace with the ServiceAccount `default`, which may be needed before a controller makes it, and gives its name.
    ///
    /// # Panics
    ///
    /// When the server refuses.
    #[must_use]
    pub fn namespace(&self) -> String {
        let made = self.create(&json!({
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {"generateName": "test-"},
        }));
        let name = made["metadata"]["name"].as_str().expect("it has a name");
        self.apply(&json!({
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": {"name": "default", "namespace": name},
        }));
        name.to_owned()
    }

    /// A token of a ServiceAccount that exists, for an hour. It may do what Roles and their bindings allow, which is nothing at first.
    ///
    /// # Panics
    ///
    /// When the server refuses.
    #[must_use]
    #[track_caller]
    pub fn token_for(&self, namespace: &str, service_account: &str) -> String {
        let path =
            format!("/api/v1/namespaces/{namespace}/serviceaccounts/{service_account}/token");
        let wanted =
            json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}});
        let made = self.with_body("POST", &path, "application/json", &wanted);
        let token = made["status"]["token"].as_str();
        token.expect("it has a token").to_owned()
    }

    /// Writes a kubeconfig for this user that only its owner can read.
    pub(super) fn write_kubeconfig(&self, path: &Path) {
        let ca = fs::read(&self.ca).expect("the server has a certificate");
        let ca = base64::engine::general_purpose::STANDARD.encode(ca);
        let text = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "test",
            "clusters": [{"name": "test", "cluster": {"server": self.url(), "certificate-authority-data": ca}}],
            "users": [{"name": "test", "user": {"token": self.token}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        });
        write_secret(path, &text.to_string());
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().expect("no holder of the pool panics")
    }

    fn authorized(&self, request: &Request) -> Request {
        request
            .clone()
            .header("Authorization", &format!("Bearer {}", self.token))
    }

    #[track_caller]
    fn answer(&self, request: &Request) -> Answer {
        self.send(request).unwrap_or_else(|e| {
            panic!(
                "{} {}: {e}\n{}",
                request.method,
                request.target,
                tail(&self.log)
            )
        })
    }

    #[track_caller]
    fn with_body(&self, method: &str, path: &str, media_type: &str, body: &Value) -> Value {
        let request = Request::new(method, path).body(media_type, body.to_string().as_bytes());
        let answer = self.answer(&request);
        self.object(method, path, &answer)
    }

    #[track_caller]
    fn object(&self, method: &str, path: &str, answer: &Answer) -> Value {
        let text = answer.text();
        assert!(
            (200..300).contains(&answer.status),
            "{method} {path}: status {}\n{text}",
            answer.status
        );
        serde_json::from_str(&text).unwrap_or_else(|e| panic!("{method} {path}: {e}\n{text}"))
    }
}

/// Writes a file that only its owner can read.
pub(super) fn write_secret(path: &Path, text: &str) {
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .expect("the folder is ours");
    file.write_all(text.as_bytes())
        .expect("the folder is not full");
}

/// The path of an object, or of its collection where it has no name yet: by `apiVersion`, `kind`, `metadata.namespace`, `metadata.name`.
///
/// # Panics
///
/// When it has no `apiVersion` or `kind`.
#[must_use]
pub fn object_path(object: &Value) -> String {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let version = text(&object["apiVersion"]).expect("an object has an apiVersion");
    let kind = text(&object["kind"]).expect("an object has a kind");
    let mut path = if version.contains('/') {
        format!("/apis/{version}")
    } else {
        format!("/api/{version}")
    };
    if let Some(namespace) = text(&object["metadata"]["namespace"]) {
        path += &format!("/namespaces/{namespace}");
    }
    path += &format!("/{}", plural(&kind));
    if let Some(name) = text(&object["metadata"]["name"]) {
        path += &format!("/{name}");
    }
    path
}

/// The resource of a kind, which is regular for all that we use.
fn plural(kind: &str) -> String {
    let kind = kind.to_lowercase();
    match kind.strip_suffix('y') {
        Some(stem) => format!("{stem}ies"),
        None if kind == "endpoints" => kind,
        None if kind.ends_with('s') => format!("{kind}es"),
        None => format!("{kind}s"),
    }
}

/// What a server tells of a collection, one event after the other.
pub struct Watch {
    connection: Connection,
    line: Vec<u8>,
}

impl Watch {
    /// The next event (`type`, `object`); `None` when none came in time, or when the server has ended the watch.
    ///
    /// # Panics
    ///
    /// When what comes is no JSON.
    pub fn next_within(&mut self, time: Duration) -> Option<Value> {
        let stream = self.connection.stream();
        stream
            .set_read_timeout(Some(time.max(Duration::from_millis(1))))
            .expect("the time is not zero");
        // What came of a line before the time was over stays for the next call.
        let read = self.connection.reader.read_until(b'\n', &mut self.line);
        if !matches!(read, Ok(length) if length > 0) {
            return None;
        }
        let event = serde_json::from_slice(&self.line).expect("an event is JSON");
        self.line.clear();
        Some(event)
    }

    /// The first event from here on of which `wanted` is true.
    ///
    /// # Panics
    ///
    /// When none comes within two minutes, with all that came.
    #[track_caller]
    pub fn until(&mut self, wanted: impl Fn(&Value) -> bool) -> Value {
        let mut others = Vec::new();
        let found = self.find(wanted, Instant::now() + AWAITED_WITHIN, &mut others);
        found.unwrap_or_else(|| panic!("the event did not come; these came: {others:#?}"))
    }

    /// The first event that is wanted, with those before it in `others`; `None` when the time is over or the watch has ended.
    fn find(
        &mut self,
        wanted: impl Fn(&Value) -> bool,
        deadline: Instant,
        others: &mut Vec<Value>,
    ) -> Option<Value> {
        loop {
            let event = self.next_within(deadline.saturating_duration_since(Instant::now()))?;
            if wanted(&event) {
                return Some(event);
            }
            others.push(event);
        }
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_follow_from_objects() {
        let path = |version: &str, kind: &str, metadata: Value| {
            object_path(&json!({"apiVersion": version, "kind": kind, "metadata": metadata}))
        };
        assert_eq!(
            path("v1", "Namespace", json!({"name": "a"})),
            "/api/v1/namespaces/a"
        );
        assert_eq!(
            path(
                "tekton.dev/v1",
                "TaskRun",
                json!({"namespace": "a", "generateName": "b-"})
            ),
            "/apis/tekton.dev/v1/namespaces/a/taskruns"
        );
        assert_eq!(
            path(
                "networking.k8s.io/v1",
                "NetworkPolicy",
                json!({"namespace": "a", "name": "b"})
            ),
            "/apis/networking.k8s.io/v1/namespaces/a/networkpolicies/b"
        );
    }
}
