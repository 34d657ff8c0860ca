//! `--recursive`: an index of several platforms and what it lists are signed, attested, verified and held to rules, with the real cosign 2 and 3 as the
//! other party.

mod hostile;
mod policies;
mod signing;
mod verifying;

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tekseal_harness::{Cosign, Output, Registry, Run, cosign, digest, fixtures};

use crate::workshop::{PASSWORD, Workshop, plain_key, run_document};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const CUSTOM: &str = "https://example.com/approval";

fn cosigns() -> impl Iterator<Item = Cosign> {
    ["2.6.5", "3.1.3"].into_iter().filter_map(cosign)
}

/// A manifest of the repository `team/app`.
#[derive(Clone, Debug)]
struct Part {
    digest: String,
    size: usize,
    media_type: &'static str,
}

impl Part {
    fn entry(&self, platform: &str) -> Value {
        let (os, architecture) = platform.split_once('/').expect("os/architecture");
        json!({"mediaType": self.media_type, "digest": self.digest, "size": self.size,
            "platform": {"os": os, "architecture": architecture}})
    }
}

/// An index of two platforms, one of which is in an index of its own, and with what BuildKit says of the first.
struct Shop {
    workshop: Workshop,
    index: String,
    amd: String,
    nested: String,
    proof: String,
    arm: String,
}

impl Shop {
    fn open() -> Self {
        let workshop = Workshop::new();
        let registry = &workshop.registry;
        let pushed = registry.push_index("team/app", "pushed");
        let part = |image: &tekseal_harness::Image| Part {
            digest: image.digest.clone(),
            size: image.size,
            media_type: MANIFEST,
        };
        let (amd, arm) = (part(&pushed.children[0]), part(&pushed.children[1]));
        let nested = put_index(registry, &[arm.entry("linux/arm64")]);
        let proof = put_proof(registry, &amd.digest);
        let mut of_proof = proof.entry("unknown/unknown");
        of_proof["annotations"] = json!({"vnd.docker.reference.type": "attestation-manifest", "vnd.docker.reference.digest": amd.digest});
        let entries = [
            amd.entry("linux/amd64"),
            nested.entry("linux/arm64"),
            of_proof,
        ];
        let index = put_index(registry, &entries);
        Self {
            index: index.digest,
            amd: amd.digest,
            nested: nested.digest,
            proof: proof.digest,
            arm: arm.digest,
            workshop,
        }
    }

    fn image(&self, digest: &str) -> String {
        self.workshop.registry.reference("team/app", digest)
    }

    /// What the index lists, in the order in which it is told.
    fn children(&self) -> [&str; 4] {
        [&self.amd, &self.nested, &self.proof, &self.arm]
    }

    fn all(&self) -> [&str; 5] {
        let [a, b, c, d] = self.children();
        [&self.index, a, b, c, d]
    }

    /// The run that built the image of this digest, as seen at `address`.
    fn run_of(&self, address: &str, digest: &str) -> PathBuf {
        let document = run_document(json!([
            {"name": "IMAGE_URL", "value": format!("{address}/team/app:1")},
            {"name": "IMAGE_DIGEST", "value": digest},
        ]));
        self.workshop.file("run.json", document.to_string())
    }

    /// `tekseal-attest` of the run that built the index.
    fn attest(&self, flags: &[&str]) -> Run {
        let run = self.run_of(self.workshop.registry.address(), &self.index);
        self.workshop
            .attest_command(&run, &plain_key().0)
            .args(flags)
    }

    /// `tekseal-attest` of a predicate of the type [`CUSTOM`], without an image yet.
    fn predicate(&self, flags: &[&str]) -> Run {
        let file = self.workshop.file("predicate.json", r#"{"approved":true}"#);
        Run::tool("tekseal-attest")
            .env("TEKSEAL_RETRY_FOR", "2")
            .arg("--predicate")
            .arg(file)
            .args(["--type", CUSTOM, "--key"])
            .arg(plain_key().0)
            .args(flags)
    }

    /// The layers under this tag beside the manifest.
    fn layers(&self, digest: &str, suffix: &str) -> Vec<Value> {
        let tag = format!("{}.{suffix}", digest.replace(':', "-"));
        let manifest = self.workshop.registry.manifest("team/app", &tag);
        manifest.map_or_else(Vec::new, |manifest| {
            serde_json::from_value(manifest.json()["layers"].clone()).expect("a list")
        })
    }

    /// Which of all manifests have this tag beside them.
    fn with(&self, suffix: &str) -> Vec<&str> {
        let all = self.all().into_iter();
        all.filter(|digest| !self.layers(digest, suffix).is_empty())
            .collect()
    }
}

fn put(registry: &Registry, media_type: &'static str, bytes: &[u8]) -> Part {
    let digest = digest(bytes);
    registry.put_manifest("team/app", &digest, media_type, bytes);
    Part {
        digest,
        size: bytes.len(),
        media_type,
    }
}

fn index_of(entries: &[Value]) -> Vec<u8> {
    let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries});
    index.to_string().into_bytes()
}

fn put_index(registry: &Registry, entries: &[Value]) -> Part {
    put(registry, INDEX, &index_of(entries))
}

/// What BuildKit puts beside an image: an image manifest with a Statement for a layer.
fn put_proof(registry: &Registry, of: &str) -> Part {
    let layer = json!({"_type": "https://in-toto.io/Statement/v0.1", "subject": [{"name": "x", "digest": {"sha256": of}}]}).to_string();
    let layer_digest = registry.push_blob("team/app", layer.as_bytes());
    let config = json!({"architecture": "unknown", "os": "unknown", "config": {}, "rootfs": {"type": "layers", "diff_ids": [layer_digest]}}).to_string();
    let config_digest = registry.push_blob("team/app", config.as_bytes());
    let manifest = json!({
        "schemaVersion": 2, "mediaType": MANIFEST,
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": config_digest, "size": config.len()},
        "layers": [{"mediaType": "application/vnd.in-toto+json", "digest": layer_digest, "size": layer.len(),
            "annotations": {"in-toto.io/predicate-type": "https://slsa.dev/provenance/v0.2"}}],
    });
    put(registry, MANIFEST, manifest.to_string().as_bytes())
}

/// `tekseal-verify` with this key and these flags, without an image yet.
fn verify(public: &Path, flags: &[&str]) -> Run {
    Run::tool("tekseal-verify")
        .env("TEKSEAL_RETRY_FOR", "2")
        .arg("--key")
        .arg(public)
        .args(flags)
}

/// What was verified, as (digest, platform).
fn verified(output: &Output) -> Vec<(String, String)> {
    let reports = output.json();
    let reports = reports.as_array().expect("a list").clone();
    let told = reports.iter().map(|report| {
        let image = report["image"].as_str().expect("an image");
        let (_, digest) = image.split_once('@').expect("by digest");
        let platform = report["platform"].as_str().unwrap_or_default();
        (digest.to_owned(), platform.to_owned())
    });
    told.collect()
}

/// cosign 2 wants a trusted root for every bundle, whatever is in it.
fn extra(cosign: &Cosign, layout: &str) -> Vec<String> {
    if layout == "tags" || cosign.major() != 2 {
        return Vec::new();
    }
    let root = fixtures().join("cosign-samples/keys/trusted_root.json");
    vec![format!("--trusted-root={}", root.display())]
}

#[track_caller]
fn accepted(cosign: &Cosign, public: &Path, image: &str, layout: &str) {
    let extra = extra(cosign, layout);
    let extra: Vec<&str> = extra.iter().map(String::as_str).collect();
    cosign.verify(public, image, &extra).ok();
}

/// Neither payloads nor an index of them.
#[track_caller]
fn is_empty(folder: &Path) {
    let names: Vec<_> = fs::read_dir(folder).map_or_else(
        |_| Vec::new(),
        |entries| entries.map(|e| e.expect("an entry").file_name()).collect(),
    );
    assert!(names.is_empty(), "{names:?}");
}
