//! What the tests of logs are fed with: everything logged in the samples that cosign wrote, and logs with keys made for
//! one test.

use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use tekseal_core::dsse::{self, Envelope};
use tekseal_core::evidence::{InclusionProof, LogEntry};
use tekseal_core::trusted_root::{Authority, LogKey, TrustedRoot, Validity};

use super::{Claim, Enveloped, Signer, merkle};
use crate::pem;
use crate::public_key::PublicKey;
use crate::trust::spki_id;

/// A signature of a sample, and its entry.
#[derive(Clone)]
pub(crate) struct Sample {
    pub(crate) entry: LogEntry,
    pub(crate) signature: Vec<u8>,
    pub(crate) message: Vec<u8>,
    pub(crate) signer: OwnedSigner,
    pub(crate) payload: Option<Vec<u8>>,
    pub(crate) stored: Option<Vec<u8>>,
}

#[derive(Clone)]
pub(crate) enum OwnedSigner {
    Key(PublicKey),
    Certificate(Vec<u8>),
}

impl Sample {
    pub(crate) fn claim(&self) -> Claim<'_> {
        Claim {
            signature: &self.signature,
            message: &self.message,
            signer: match &self.signer {
                OwnedSigner::Key(key) => Signer::Key(key),
                OwnedSigner::Certificate(der) => Signer::Certificate(der),
            },
            envelope: self.payload.as_ref().map(|payload| Enveloped {
                payload,
                stored: self.stored.as_deref(),
            }),
        }
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/cosign-samples")
}

fn read(path: &Path) -> Vec<u8> {
    fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn json(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).expect("JSON")
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn bytes(value: &Value) -> Vec<u8> {
    STANDARD.decode(text(value)).expect("base64")
}

/// A number as protojson has it: in a text, and left out when it is 0.
fn number(value: &Value) -> u64 {
    value
        .as_str()
        .map_or(0, |text| text.parse().expect("a number"))
}

/// The key `a` of the samples.
pub(crate) fn key_a() -> PublicKey {
    PublicKey::from_pem(&read(&folder().join("keys/a.pub"))).expect("a good key")
}

/// What the samples' verifier trusts.
pub(crate) fn trusted_root() -> TrustedRoot {
    let root = json(&read(&folder().join("keys/trusted_root.json")));
    // Every log has the same.
    let valid = Validity {
        start: Some(1_767_225_600),
        end: None,
    };
    let logs = |name: &str| {
        list(&root[name])
            .iter()
            .map(|log| LogKey {
                base_url: text(&log["baseUrl"]).to_owned(),
                public_key: bytes(&log["publicKey"]["rawBytes"]),
                key_id: bytes(&log["logId"]["keyId"]),
                valid,
            })
            .collect()
    };
    let authorities = |name: &str| {
        list(&root[name])
            .iter()
            .map(|authority| Authority {
                uri: text(&authority["uri"]).to_owned(),
                chain: list(&authority["certChain"]["certificates"])
                    .iter()
                    .map(|certificate| bytes(&certificate["rawBytes"]))
                    .collect(),
                valid: Validity::default(),
            })
            .collect()
    };
    TrustedRoot {
        logs: logs("tlogs"),
        certificate_authorities: authorities("certificateAuthorities"),
        certificate_logs: logs("ctlogs"),
        timestamp_authorities: authorities("timestampAuthorities"),
    }
}

/// Everything that was logged in the sample in this folder, in the order of the files' names.
pub(crate) fn samples(case: &str) -> Vec<Sample> {
    let folder = folder().join(case);
    let manifests = fs::read_dir(folder.join("manifests")).expect("a sample has manifests");
    let mut manifests: Vec<_> = manifests
        .map(|entry| entry.expect("it is there").path())
        .collect();
    manifests.sort();
    let mut samples = Vec::new();
    for manifest in manifests {
        let manifest = json(&read(&manifest));
        for layer in list(&manifest["layers"]) {
            let digest = text(&layer["digest"]).trim_start_matches("sha256:");
            let content = read(&folder.join("blobs").join(digest));
            let annotations = &layer["annotations"];
            if let Some(logged) = annotations["dev.sigstore.cosign/bundle"].as_str() {
                samples.push(of_layer(
                    text(&layer["mediaType"]),
                    &content,
                    annotations,
                    logged,
                ));
            } else if text(&layer["mediaType"]).contains("sigstore.bundle") {
                samples.extend(of_bundle(&json(&content)));
            }
        }
    }
    samples
}

/// The only sample in this folder.
pub(crate) fn sample(case: &str) -> Sample {
    let mut samples = samples(case);
    assert_eq!(samples.len(), 1, "{case}");
    samples.remove(0)
}

fn of_layer(media_type: &str, layer: &[u8], annotations: &Value, logged: &str) -> Sample {
    let logged = json(logged.as_bytes());
    let payload = &logged["Payload"];
    let log_id = text(&payload["logID"]);
    let entry = LogEntry {
        body: bytes(&payload["body"]),
        log_id: (0..log_id.len() / 2)
            .map(|at| u8::from_str_radix(&log_id[2 * at..2 * at + 2], 16).expect("hexadecimal"))
            .collect(),
        log_index: payload["logIndex"].as_u64().expect("a number"),
        integrated_time: payload["integratedTime"].as_i64(),
        kind_version: None,
        promise: Some(bytes(&logged["SignedEntryTimestamp"])),
        inclusion: None,
    };
    let signer = match annotations["dev.sigstore.cosign/certificate"].as_str() {
        None => OwnedSigner::Key(key_a()),
        Some(text) => {
            let block = pem::read(text.as_bytes(), |_| true).expect("whole");
            OwnedSigner::Certificate(block.content.to_vec())
        }
    };
    let is_envelope = media_type.contains("dsse");
    let (signature, message, payload) = if is_envelope {
        of_envelope(&Envelope::parse(layer).expect("an envelope"))
    } else {
        let signature = bytes(&annotations["dev.cosignproject.cosign/signature"]);
        (signature, layer.to_vec(), None)
    };
    Sample {
        entry,
        signature,
        message,
        signer,
        payload,
        stored: is_envelope.then(|| layer.to_vec()),
    }
}

fn of_envelope(envelope: &Envelope) -> (Vec<u8>, Vec<u8>, Option<Vec<u8>>) {
    let payload = envelope.unverified_payload().expect("base64");
    let signature = envelope.signatures[0].decoded().expect("base64");
    let message = dsse::pae(&envelope.payload_type, &payload);
    (signature, message, Some(payload))
}

fn of_bundle(bundle: &Value) -> Vec<Sample> {
    let material = &bundle["verificationMaterial"];
    let signer = match material["certificate"]["rawBytes"].as_str() {
        None => OwnedSigner::Key(key_a()),
        Some(_) => OwnedSigner::Certificate(bytes(&material["certificate"]["rawBytes"])),
    };
    let envelope: Envelope =
        serde_json::from_value(bundle["dsseEnvelope"].clone()).expect("an envelope");
    let (signature, message, payload) = of_envelope(&envelope);
    let entry = |entry: &Value| {
        let proof = &entry["inclusionProof"];
        let kind = &entry["kindVersion"];
        LogEntry {
            body: bytes(&entry["canonicalizedBody"]),
            log_id: bytes(&entry["logId"]["keyId"]),
            log_index: number(&entry["logIndex"]),
            integrated_time: i64::try_from(number(&entry["integratedTime"]))
                .ok()
                .filter(|time| *time != 0),
            kind_version: Some((
                text(&kind["kind"]).to_owned(),
                text(&kind["version"]).to_owned(),
            )),
            promise: entry
                .get("inclusionPromise")
                .map(|promise| bytes(&promise["signedEntryTimestamp"])),
            inclusion: Some(InclusionProof {
                log_index: number(&proof["logIndex"]),
                tree_size: number(&proof["treeSize"]),
                root_hash: bytes(&proof["rootHash"]),
                hashes: list(&proof["hashes"]).iter().map(bytes).collect(),
                checkpoint: text(&proof["checkpoint"]["envelope"]).to_owned(),
            }),
        }
    };
    list(&material["tlogEntries"])
        .iter()
        .map(|logged| Sample {
            entry: entry(logged),
            signature: signature.clone(),
            message: message.clone(),
            signer: signer.clone(),
            payload: payload.clone(),
            stored: None,
        })
        .collect()
}

/// A log that signs whatever a test wants.
pub(crate) struct TestLog {
    host: String,
    signer: crate::Signer,
}

impl TestLog {
    pub(crate) fn new(host: &str) -> Self {
        Self {
            host: host.to_owned(),
            signer: crate::Signer::generate(&mut crate::random::system).expect("a key"),
        }
    }

    pub(crate) fn key(&self) -> &PublicKey {
        self.signer.public_key()
    }

    pub(crate) fn sign(&self, message: &[u8]) -> Vec<u8> {
        tekseal_harness::at_once(self.signer.sign(message)).expect("it signs")
    }

    /// A trusted root that has this log and nothing else.
    pub(crate) fn root(&self) -> TrustedRoot {
        TrustedRoot {
            logs: vec![LogKey {
                base_url: format!("https://{}:443/", self.host),
                public_key: self.key().spki_der().to_vec(),
                key_id: spki_id(self.key()).to_vec(),
                valid: Validity::default(),
            }],
            ..TrustedRoot::default()
        }
    }

    /// The line under a note with this text.
    pub(crate) fn signature_line(&self, text: &str) -> String {
        let signature = self.sign(text.as_bytes());
        let blob = [&spki_id(self.key())[..4], &signature].concat();
        format!("— {} {}\n", self.host, STANDARD.encode(blob))
    }

    /// A checkpoint of a tree of one leaf.
    pub(crate) fn checkpoint(&self, origin: &str, body: &[u8]) -> String {
        let root = STANDARD.encode(merkle::leaf(body));
        let text = format!("{origin}\n1\n{root}\n");
        format!("{text}\n{}", self.signature_line(&text))
    }

    /// An entry that is the only one of the log.
    pub(crate) fn entry(&self, body: &[u8]) -> LogEntry {
        LogEntry {
            body: body.to_vec(),
            log_id: spki_id(self.key()).to_vec(),
            log_index: 0,
            integrated_time: None,
            kind_version: None,
            promise: None,
            inclusion: Some(InclusionProof {
                log_index: 0,
                tree_size: 1,
                root_hash: merkle::leaf(body).to_vec(),
                hashes: Vec::new(),
                checkpoint: self.checkpoint(&self.host, body),
            }),
        }
    }
}
