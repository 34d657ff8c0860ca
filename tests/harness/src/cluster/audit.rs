//! Who asked an API server for what: its audit log, read from where a test began.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::Client;
use crate::http::Request;

const SETTLED_WITHIN: Duration = Duration::from_secs(10);

/// What the log shall hold: one line a request, without bodies, and nothing of the server's own affairs.
pub(super) fn policy() -> Value {
    json!({
        "apiVersion": "audit.k8s.io/v1",
        "kind": "Policy",
        "omitStages": ["RequestReceived", "Panic"],
        "rules": [
            {"level": "None", "users": ["system:apiserver"]},
            {"level": "None", "nonResourceURLs": ["/readyz*", "/livez*", "/healthz*"]},
            {"level": "Metadata"},
        ],
    })
}

/// One request as the server saw it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ApiRequest {
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, …
    pub verb: String,
    /// `taskruns`; empty for what is no resource (`/version`).
    pub resource: String,
    /// `status`, or empty.
    pub subresource: String,
    /// The namespace, or empty.
    pub namespace: String,
    /// The object's name; empty for collections.
    pub name: String,
    /// Path and query.
    pub target: String,
    /// `system:serviceaccount:NAMESPACE:NAME`, or `admin`.
    pub user: String,
    /// The `User-Agent` header.
    pub user_agent: String,
    /// `fieldManager` of the query.
    pub field_manager: Option<String>,
    /// Status code of the answer.
    pub status: u16,
}

/// The requests since a moment.
pub struct Audit<'a> {
    admin: &'a Client,
    log: PathBuf,
    from: u64,
}

impl<'a> Audit<'a> {
    pub(super) fn begin(admin: &'a Client, log: PathBuf) -> Self {
        let mut audit = Self {
            admin,
            log,
            from: 0,
        };
        audit.settle();
        audit.from = audit.read().len() as u64;
        audit
    }

    /// All requests, of anybody, that were answered since this value was made; a watch counts when it begins. Those answered in the very
    /// moment of this call may be missing.
    ///
    /// # Panics
    ///
    /// When the log cannot be read.
    #[must_use]
    pub fn requests(&self) -> Vec<ApiRequest> {
        let text = self.settle();
        let mut seen = BTreeSet::new();
        text.lines()
            .map(|line| serde_json::from_str::<Value>(line).expect("a line of the log is JSON"))
            // A watch has two lines.
            .filter(|event| seen.insert(event["auditID"].to_string()))
            .map(|event| ApiRequest::of(&event))
            .filter(|request| !request.target.starts_with(MARK))
            .collect()
    }

    /// Waits until a request sent now is in the log, and gives the log up to there.
    fn settle(&self) -> String {
        static COUNTER: AtomicU64 = AtomicU64::new(0);
        let mark = format!("{MARK}{}", COUNTER.fetch_add(1, Ordering::Relaxed));
        let answer = self.admin.send(&Request::new("GET", &mark));
        answer.unwrap_or_else(|e| panic!("{mark}: {e}"));
        let quoted = format!("{mark:?}");
        let deadline = Instant::now() + SETTLED_WITHIN;
        loop {
            let text = self.read();
            if let Some(at) = text.find(&quoted) {
                // The line with the mark is whole, or left out.
                let end = text[at..].find('\n').map_or(0, |length| at + length);
                if end > 0 {
                    return text[..end].to_owned();
                }
            }
            assert!(
                Instant::now() < deadline,
                "{mark} is not in {}",
                self.log.display()
            );
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    fn read(&self) -> String {
        let read = || -> std::io::Result<String> {
            let mut file = File::open(&self.log)?;
            file.seek(SeekFrom::Start(self.from))?;
            let mut text = String::new();
            file.read_to_string(&mut text)?;
            Ok(text)
        };
        read().unwrap_or_else(|e| panic!("{} cannot be read: {e}", self.log.display()))
    }
}

/// The target of requests that only mark a place in the log.
const MARK: &str = "/version?tests=";

impl ApiRequest {
    fn of(event: &Value) -> Self {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let target = text(&event["requestURI"]);
        let field_manager = target
            .split(['?', '&'])
            .find_map(|part| part.strip_prefix("fieldManager="))
            .map(str::to_owned);
        let object = &event["objectRef"];
        Self {
            verb: text(&event["verb"]),
            resource: text(&object["resource"]),
            subresource: text(&object["subresource"]),
            namespace: text(&object["namespace"]),
            name: text(&object["name"]),
            target,
            user: text(&event["user"]["username"]),
            user_agent: text(&event["userAgent"]),
            field_manager,
            status: event["responseStatus"]["code"]
                .as_u64()
                .and_then(|code| code.try_into().ok())
                .unwrap_or_default(),
        }
    }
}
