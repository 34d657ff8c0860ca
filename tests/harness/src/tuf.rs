//! A TUF repository, signed by openssl: what a mirror of trusted roots serves.
//!
//! Specification: <https://theupdateframework.github.io/specification/latest/>. Documents are values that tests change and sign again.

use std::collections::BTreeMap;
use std::fs;

use serde_json::{Value, json};
use sha2::Digest as _;
use tempfile::TempDir;

use crate::proxy::Proxy;
use crate::run::Run;

/// When documents expire unless a test says otherwise.
const NEVER: &str = "2099-01-01T00:00:00Z";
/// Nobody listens there.
const NOBODY: &str = "127.0.0.1:1";

/// A key of a TUF repository.
pub struct TufKey {
    folder: TempDir,
    /// Its name in documents.
    pub id: String,
    /// As roots have it.
    pub value: Value,
    is_ed25519: bool,
}

/// A repository with one target, `trusted_root.json`, consistent snapshots, and two keys of which both sign roots.
pub struct TufRepository {
    /// The keys of the root.
    pub roots: [TufKey; 2],
    /// The key of all else.
    pub online: TufKey,
    /// The version of the newest root.
    pub root_version: u64,
    /// The version of the newest of all else.
    pub version: u64,
    /// What is served: paths, and contents.
    pub files: BTreeMap<String, Vec<u8>>,
}

impl TufKey {
    /// An Ed25519 key, in hexadecimal as securesystemslib writes it.
    #[must_use]
    pub fn ed25519() -> Self {
        Self::make(true)
    }

    /// An ECDSA key, in PEM as Sigstore's root has it.
    #[must_use]
    pub fn p256() -> Self {
        Self::make(false)
    }

    fn make(is_ed25519: bool) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let private = folder.path().join("key.pem");
        let algorithm: &[&str] = match is_ed25519 {
            true => &["ed25519"],
            false => &["EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
        };
        let make = Run::new("openssl").args(["genpkey", "-algorithm"]);
        make.args(algorithm).arg("-out").arg(&private).ok();
        let public = |form: &str| {
            let path = folder.path().join(form);
            let publish = Run::new("openssl").args(["pkey", "-pubout", "-outform", form]);
            publish.arg("-in").arg(&private).arg("-out").arg(&path).ok();
            fs::read(path).expect("openssl wrote it")
        };
        let value = if is_ed25519 {
            let der = public("DER");
            json!({"keytype": "ed25519", "scheme": "ed25519", "keyval": {"public": hex(&der[der.len() - 32..])}})
        } else {
            let pem = String::from_utf8(public("PEM")).expect("PEM is text");
            json!({"keytype": "ecdsa", "scheme": "ecdsa-sha2-nistp256", "keyval": {"public": pem}})
        };
        Self {
            id: hex(&sha2::Sha256::digest(canonical(&value))),
            folder,
            value,
            is_ed25519,
        }
    }

    /// Signs bytes; the signature in hexadecimal.
    #[must_use]
    pub fn sign(&self, bytes: &[u8]) -> String {
        let [private, message, signature] =
            ["key.pem", "message", "signature"].map(|name| self.folder.path().join(name));
        fs::write(&message, bytes).expect("the folder is ours");
        let run = match self.is_ed25519 {
            true => Run::new("openssl").args(["pkeyutl", "-sign", "-rawin", "-inkey"]),
            false => Run::new("openssl").args(["dgst", "-sha256", "-sign"]),
        };
        let run = run.arg(&private).arg("-out").arg(&signature);
        let run = match self.is_ed25519 {
            true => run.arg("-in"),
            false => run,
        };
        run.arg(&message).ok();
        hex(&fs::read(&signature).expect("openssl wrote it"))
    }
}

impl TufRepository {
    /// A repository whose target has this content.
    #[must_use]
    pub fn new(target: &[u8]) -> Self {
        let mut repository = Self {
            roots: [TufKey::p256(), TufKey::ed25519()],
            online: TufKey::ed25519(),
            root_version: 0,
            version: 0,
            files: BTreeMap::new(),
        };
        repository.publish_root();
        repository.publish(target);
        repository
    }

    /// Publishes the next root with the keys as they are.
    pub fn publish_root(&mut self) {
        self.root_version += 1;
        let root = signed(&self.root(self.root_version), &self.roots.each_ref());
        let path = format!("{}.root.json", self.root_version);
        self.files.insert(path, root);
    }

    /// Replaces the first key of the root and publishes the root, signed by the old key too.
    pub fn rotate(&mut self) {
        let old = std::mem::replace(&mut self.roots[0], TufKey::p256());
        self.root_version += 1;
        let root = self.root(self.root_version);
        let bytes = signed(&root, &[&old, &self.roots[0], &self.roots[1]]);
        self.files
            .insert(format!("{}.root.json", self.root_version), bytes);
    }

    /// What a root of this version says, before anybody signs it.
    #[must_use]
    pub fn root(&self, version: u64) -> Value {
        let keys = self.roots.iter().chain([&self.online]);
        let keys: serde_json::Map<_, _> = keys
            .map(|key| (key.id.clone(), key.value.clone()))
            .collect();
        let roots: Vec<_> = self.roots.iter().map(|key| &key.id).collect();
        let online = json!({"keyids": [self.online.id], "threshold": 1});
        json!({
            "_type": "root", "spec_version": "1.0.31", "version": version, "expires": NEVER, "consistent_snapshot": true, "keys": keys,
            "roles": {"root": {"keyids": roots, "threshold": 2}, "timestamp": online, "snapshot": online, "targets": online},
        })
    }

    /// Publishes the next version, in which the target has this content.
    pub fn publish(&mut self, target: &[u8]) {
        self.publish_as(target, |_| {});
    }

    /// The same, after `change` has had each document before it is signed: targets, snapshot, timestamp.
    pub fn publish_as(&mut self, target: &[u8], change: impl Fn(&mut Value)) {
        self.version += 1;
        let version = self.version;
        let hash = hex(&sha2::Sha256::digest(target));
        let target_path = format!("targets/{hash}.trusted_root.json");
        let head = |kind: &str| json!({"_type": kind, "spec_version": "1.0.31", "version": version, "expires": NEVER});
        let document = |kind: &str, name: &str, value: Value| {
            let mut document = head(kind);
            document[name] = value;
            change(&mut document);
            signed(&document, &[&self.online])
        };
        let about = json!({"length": target.len(), "hashes": {"sha256": hash}});
        let targets = document("targets", "targets", json!({"trusted_root.json": about}));
        let meta = |bytes: &[u8]| json!({"version": version, "length": bytes.len(), "hashes": {"sha256": hex(&sha2::Sha256::digest(bytes))}});
        let snapshot = document("snapshot", "meta", json!({"targets.json": meta(&targets)}));
        let timestamp = document(
            "timestamp",
            "meta",
            json!({"snapshot.json": meta(&snapshot)}),
        );
        self.files.insert(target_path, target.to_vec());
        self.files
            .insert(format!("{version}.targets.json"), targets);
        self.files
            .insert(format!("{version}.snapshot.json"), snapshot);
        self.files.insert("timestamp.json".to_owned(), timestamp);
    }

    /// What is served under this path.
    ///
    /// # Panics
    ///
    /// When nothing is.
    #[must_use]
    pub fn file(&self, path: &str) -> &[u8] {
        let found = self.files.get(path);
        found.unwrap_or_else(|| panic!("the repository has no {path}"))
    }

    /// A server of what the repository has now; it records who asks for what.
    #[must_use]
    pub fn serve(&self) -> Proxy {
        let proxy = Proxy::start(NOBODY);
        let files: Vec<_> = self.files.keys().map(|path| format!("/{path}")).collect();
        for (path, content) in &self.files {
            let path = format!("/{path}");
            proxy.when(move |seen| seen.path == path).answer(
                200,
                &[("Content-Type", "application/json")],
                content,
            );
        }
        proxy
            .when(move |seen| !files.contains(&seen.path))
            .answer(404, &[], b"nothing here");
        proxy
    }
}

/// A document with the signatures of these keys.
#[must_use]
pub fn signed(document: &Value, by: &[&TufKey]) -> Vec<u8> {
    let bytes = canonical(document);
    let signatures = by
        .iter()
        .map(|key| json!({"keyid": key.id, "sig": key.sign(&bytes)}));
    let whole = json!({"signatures": signatures.collect::<Vec<_>>(), "signed": document});
    serde_json::to_vec_pretty(&whole).expect("a value is JSON")
}

/// Canonical JSON: no blanks, sorted members, only quotes and backslashes escaped.
fn canonical(value: &Value) -> Vec<u8> {
    let text = |text: &str| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
    let list = |items: Vec<Vec<u8>>| items.join(&b',');
    match value {
        Value::String(string) => text(string).into_bytes(),
        Value::Array(items) => {
            let items = list(items.iter().map(canonical).collect());
            [b"[", items.as_slice(), b"]"].concat()
        }
        Value::Object(members) => {
            let sorted: BTreeMap<_, _> = members.iter().collect();
            let member = |(name, value): (&String, &Value)| {
                [text(name).as_bytes(), b":", &canonical(value)].concat()
            };
            let members = list(sorted.into_iter().map(member).collect());
            [b"{", members.as_slice(), b"}"].concat()
        }
        plain => plain.to_string().into_bytes(),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
