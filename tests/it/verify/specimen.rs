//! One recorded signature with all that is around it, to be changed in one place and put into a registry.

use std::collections::BTreeMap;
use std::fs;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tekseal_harness::{Registry, digest};

use super::{IMAGE, samples};

/// The annotations of a layer in the layout of the tags.
pub(super) const SIGNATURE: &str = "dev.cosignproject.cosign/signature";
pub(super) const CERTIFICATE: &str = "dev.sigstore.cosign/certificate";
pub(super) const CHAIN: &str = "dev.sigstore.cosign/chain";
pub(super) const ENTRY: &str = "dev.sigstore.cosign/bundle";
pub(super) const TIMESTAMP: &str = "dev.sigstore.cosign/rfc3161timestamp";
/// The predicate type of an image signature in a bundle.
pub(super) const SIGN: &str = "https://sigstore.dev/cosign/sign/v1";

pub(super) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(super) const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// A recorded signature or attestation, and the image it is of.
#[derive(Clone)]
pub(super) struct Specimen {
    /// The manifest that holds it. Digest and size of the layer are set when it is published.
    pub(super) manifest: Value,
    /// What the list of referrers says of the manifest, but for its digest and size.
    pub(super) listed: Value,
    /// The content of its layer.
    pub(super) content: Vec<u8>,
    hangs: Hangs,
    image: Vec<u8>,
    blobs: Vec<Vec<u8>>,
    /// The layer's digest in the recording.
    recorded: Value,
}

/// How it hangs on the image.
#[derive(Clone)]
enum Hangs {
    /// Under the tag of the image's digest and this.
    Tag(&'static str),
    /// In the list that clients keep where the registry has none.
    Listed,
}

impl Specimen {
    /// What is under the tag `.sig`.
    pub(super) fn signature(case: &str) -> Self {
        Self::under_tag(case, ".sig")
    }

    /// What is under the tag `.att`.
    pub(super) fn attestation(case: &str) -> Self {
        Self::under_tag(case, ".att")
    }

    /// The bundle whose Statement has this predicate type.
    pub(super) fn bundle(case: &str, predicate_type: &str) -> Self {
        let (tags, manifests) = recorded(case);
        let index = &manifests[&tags[&tag("")]];
        let listed = index["manifests"].as_array().expect("an index");
        let is_it = |of: &&Value| {
            let manifest = &manifests[text(&of["digest"])];
            manifest["annotations"]["dev.sigstore.bundle.predicateType"] == predicate_type
        };
        let listed = listed.iter().find(is_it).expect("there is such a bundle");
        let manifest = manifests[text(&listed["digest"])].clone();
        Self::of(case, Hangs::Listed, manifest, listed.clone())
    }

    fn under_tag(case: &str, suffix: &'static str) -> Self {
        let (tags, manifests) = recorded(case);
        let manifest = manifests[&tags[&tag(suffix)]].clone();
        Self::of(case, Hangs::Tag(suffix), manifest, Value::Null)
    }

    fn of(case: &str, hangs: Hangs, manifest: Value, listed: Value) -> Self {
        let folder = samples().join(case);
        let read = |path| fs::read(path).expect("the recording is there");
        let hex = |digest: &str| digest.trim_start_matches("sha256:").to_owned();
        let recorded = manifest["layers"][0]["digest"].clone();
        let blobs = fs::read_dir(folder.join("blobs")).expect("a recording has blobs");
        Self {
            content: read(folder.join("blobs").join(hex(text(&recorded)))),
            image: read(folder.join(format!("manifests/{}.json", hex(IMAGE)))),
            blobs: blobs
                .map(|blob| read(blob.expect("a readable folder").path()))
                .collect(),
            hangs,
            manifest,
            listed,
            recorded,
        }
    }

    /// Puts it into the registry and gives the image.
    pub(super) fn publish(&self, registry: &Registry, repository: &str) -> String {
        for blob in self.blobs.iter().chain([&self.content]) {
            registry.push_blob(repository, blob);
        }
        let image = digest(&self.image);
        registry.put_manifest(repository, &image, MANIFEST, &self.image);
        let name = image.replace(':', "-");
        let bytes = self.bytes();
        match self.hangs {
            Hangs::Tag(suffix) => {
                let media_type = text(&self.manifest["mediaType"]);
                registry.put_manifest(repository, &format!("{name}{suffix}"), media_type, &bytes);
            }
            Hangs::Listed => {
                let media_type = text(&self.manifest["mediaType"]);
                registry.put_manifest(repository, &digest(&bytes), media_type, &bytes);
                let list = list(&[self.descriptor()]);
                registry.put_manifest(repository, &name, INDEX, &list);
            }
        }
        registry.reference(repository, &image)
    }

    /// The bytes of the manifest.
    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut manifest = self.manifest.clone();
        let layers = manifest["layers"].as_array_mut().expect("it has layers");
        for layer in layers.iter_mut().filter(|l| l["digest"] == self.recorded) {
            layer["digest"] = json!(digest(&self.content));
            layer["size"] = json!(self.content.len());
        }
        manifest.to_string().into_bytes()
    }

    /// What the list of referrers says of it.
    pub(super) fn descriptor(&self) -> Value {
        let bytes = self.bytes();
        let mut listed = self.listed.clone();
        listed["digest"] = json!(digest(&bytes));
        // A test may lie about the size.
        if listed["size"] != json!(1) {
            listed["size"] = json!(bytes.len());
        }
        listed
    }

    /// Hangs it on another image.
    pub(super) fn hang_on_another_image(&mut self) {
        let mut image: Value = serde_json::from_slice(&self.image).expect("a manifest");
        image["annotations"] = json!({"this": "is another image"});
        self.image = image.to_string().into_bytes();
    }

    /// Changes the JSON document in the layer: a bundle, an envelope or a payload.
    pub(super) fn layer(&mut self, change: impl FnOnce(&mut Value)) {
        let mut document = serde_json::from_slice(&self.content).expect("the layer is JSON");
        change(&mut document);
        self.content = document.to_string().into_bytes();
    }

    /// Changes an annotation of the layer.
    pub(super) fn annotation(&mut self, name: &str, change: impl FnOnce(&str) -> String) {
        let annotation = &mut self.manifest["layers"][0]["annotations"][name];
        *annotation = json!(change(text(annotation)));
    }

    /// Takes an annotation of the layer away.
    pub(super) fn without_annotation(&mut self, name: &str) {
        let annotations = self.manifest["layers"][0]["annotations"].as_object_mut();
        let was = annotations.and_then(|all| all.remove(name));
        assert!(was.is_some(), "{name} is not there");
    }

    /// Adds another layer that is a copy of the first one.
    pub(super) fn add_layer(&mut self, change: impl FnOnce(&mut Value)) {
        let layers = self.manifest["layers"]
            .as_array_mut()
            .expect("it has layers");
        let mut copy = layers[0].clone();
        change(&mut copy);
        layers.push(copy);
    }

    /// Changes the entry of the transparency log: that of the bundle, or the JSON in the annotation.
    pub(super) fn entry(&mut self, change: impl FnOnce(&mut Value)) {
        if self.is_bundle() {
            self.layer(|bundle| change(&mut bundle["verificationMaterial"]["tlogEntries"][0]));
            return;
        }
        self.annotation(ENTRY, |text| {
            let mut entry = serde_json::from_str(text).expect("an entry is JSON");
            change(&mut entry);
            entry.to_string()
        });
    }

    /// Replaces text in the body of the entry, which is in base64.
    pub(super) fn body(&mut self, from: &str, to: &str) {
        let place = if self.is_bundle() {
            "/canonicalizedBody"
        } else {
            "/Payload/body"
        };
        self.entry(|entry| entry.bytes(place, |body| *body = replaced(body, from, to)));
    }

    /// Changes the DER of the certificate.
    pub(super) fn certificate(&mut self, change: impl FnOnce(&mut Vec<u8>)) {
        if self.is_bundle() {
            self.layer(|b| b.bytes("/verificationMaterial/certificate/rawBytes", change));
            return;
        }
        self.annotation(CERTIFICATE, |pem| {
            let inner: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
            let mut der = STANDARD.decode(inner).expect("PEM is base64");
            change(&mut der);
            let text = STANDARD.encode(der);
            let lines: Vec<_> = text
                .as_bytes()
                .chunks(64)
                .map(String::from_utf8_lossy)
                .collect();
            let lines = lines.join("\n");
            format!("-----BEGIN CERTIFICATE-----\n{lines}\n-----END CERTIFICATE-----\n")
        });
    }

    /// Changes the DER of the timestamp.
    pub(super) fn timestamp(&mut self, change: impl FnOnce(&mut Vec<u8>)) {
        const PLACE: &str =
            "/verificationMaterial/timestampVerificationData/rfc3161Timestamps/0/signedTimestamp";
        if self.is_bundle() {
            return self.layer(|bundle| bundle.bytes(PLACE, change));
        }
        self.annotation(TIMESTAMP, |text| {
            let mut stamp: Value = serde_json::from_str(text).expect("a timestamp is in JSON");
            stamp.bytes("/SignedRFC3161Timestamp", change);
            stamp.to_string()
        });
    }

    fn is_bundle(&self) -> bool {
        matches!(self.hangs, Hangs::Listed)
    }
}

/// Tampers with a JSON document, at JSON pointers. Each change must hit something, or it proves nothing.
pub(super) trait Tamper {
    /// Sets a member, which need not be there.
    fn set(&mut self, pointer: &str, to: Value);
    /// Takes a member or an item away.
    fn cut(&mut self, pointer: &str);
    /// Replaces text within a text.
    fn swap(&mut self, pointer: &str, from: &str, to: &str);
    /// Changes bytes that stand there in base64.
    fn bytes(&mut self, pointer: &str, change: impl FnOnce(&mut Vec<u8>));
    /// Changes the last bit of the bytes that stand there in base64.
    fn flip(&mut self, pointer: &str);
}

impl Tamper for Value {
    fn set(&mut self, pointer: &str, to: Value) {
        if let Some(found) = self.pointer_mut(pointer) {
            *found = to;
            return;
        }
        let (parent, name) = pointer.rsplit_once('/').expect("a pointer");
        match self.pointer_mut(parent) {
            Some(Value::Object(members)) => drop(members.insert(name.to_owned(), to)),
            _ => panic!("nothing at {parent}"),
        }
    }

    fn cut(&mut self, pointer: &str) {
        let (parent, name) = pointer.rsplit_once('/').expect("a pointer");
        let was = match self.pointer_mut(parent) {
            Some(Value::Object(members)) => members.remove(name),
            Some(Value::Array(items)) => name.parse().ok().map(|at: usize| items.remove(at)),
            _ => None,
        };
        assert!(was.is_some(), "nothing at {pointer}");
    }

    fn swap(&mut self, pointer: &str, from: &str, to: &str) {
        let found = at(self, pointer);
        *found = json!(String::from_utf8_lossy(&replaced(
            text(found).as_bytes(),
            from,
            to
        )));
    }

    fn bytes(&mut self, pointer: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let found = at(self, pointer);
        let mut bytes = STANDARD.decode(text(found)).expect("base64");
        change(&mut bytes);
        *found = json!(STANDARD.encode(bytes));
    }

    fn flip(&mut self, pointer: &str) {
        self.bytes(pointer, |bytes| *bytes.last_mut().expect("bytes") ^= 1);
    }
}

/// Changes the last bit of what stands there in base64.
pub(super) fn flipped(text: &str) -> String {
    let mut bytes = STANDARD.decode(text).expect("base64");
    *bytes.last_mut().expect("bytes") ^= 1;
    STANDARD.encode(bytes)
}

/// Overwrites the bytes after the first place where `before` stands.
pub(super) fn overwrite_after(bytes: &mut [u8], before: &[u8], skip: usize, with: &[u8]) {
    let at = bytes.windows(before.len()).position(|part| part == before);
    let at = at.expect("it is there") + before.len() + skip;
    assert_ne!(&bytes[at..at + with.len()], with, "it changes nothing");
    bytes[at..at + with.len()].copy_from_slice(with);
}

/// A list of referrers with these.
pub(super) fn list(descriptors: &[Value]) -> Vec<u8> {
    let list = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": descriptors});
    list.to_string().into_bytes()
}

/// The other signature that is valid with an ECDSA signature on P-256: of (r, s) it is (r, n - s). Nobody but the signer's log knows which one was made.
pub(super) fn mirrored(signature: &[u8]) -> Vec<u8> {
    const N: [u8; 32] = [
        0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, //
        0xbc, 0xe6, 0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25,
        0x51,
    ];
    let r_ends = 4 + usize::from(signature[3]);
    let s = &signature[r_ends + 2..];
    let padded: Vec<u8> = [&[0; 33][..33 - s.len()], s].concat();
    let mut mirrored = [0; 33];
    let mut borrow = 0;
    for at in (0..32).rev() {
        let left = 256 + i32::from(N[at]) - i32::from(padded[at + 1]) - borrow;
        borrow = i32::from(left < 256);
        mirrored[at + 1] = left.to_le_bytes()[0];
    }
    let zeros = mirrored.iter().take_while(|byte| **byte == 0).count();
    let first = if mirrored[zeros] < 0x80 {
        zeros
    } else {
        zeros - 1
    };
    let s = &mirrored[first..];
    let length = |bytes: usize| u8::try_from(bytes).expect("it is short");
    let head = [0x30, length(r_ends - 2 + 2 + s.len())];
    [&head, &signature[2..r_ends], &[2, length(s.len())], s].concat()
}

fn at<'a>(document: &'a mut Value, pointer: &str) -> &'a mut Value {
    let found = document.pointer_mut(pointer);
    found.unwrap_or_else(|| panic!("nothing at {pointer}"))
}

fn replaced(bytes: &[u8], from: &str, to: &str) -> Vec<u8> {
    let text = String::from_utf8_lossy(bytes);
    assert!(text.contains(from), "{from:?} is not in {text}");
    text.replacen(from, to, 1).into_bytes()
}

/// The text that this is.
pub(super) fn text(value: &Value) -> &str {
    value
        .as_str()
        .unwrap_or_else(|| panic!("{value} is no text"))
}

/// The tag beside the image with this at its end.
pub(super) fn tag(suffix: &str) -> String {
    format!("{}{suffix}", IMAGE.replace(':', "-"))
}

/// The tags of a recording, and its manifests by digest.
fn recorded(case: &str) -> (BTreeMap<String, String>, BTreeMap<String, Value>) {
    let folder = samples().join(case);
    let tags = fs::read(folder.join("tags.json")).expect("a recording has tags");
    let files = fs::read_dir(folder.join("manifests")).expect("a recording has manifests");
    let manifests = files.map(|file| {
        let bytes = fs::read(file.expect("a readable folder").path()).expect("a readable file");
        let manifest = serde_json::from_slice(&bytes).expect("a manifest is JSON");
        (digest(&bytes), manifest)
    });
    (
        serde_json::from_slice(&tags).expect("tags.json is a map of texts"),
        manifests.collect(),
    )
}

#[test]
fn a_mirrored_signature_is_another_one_and_mirrors_back() {
    let signature = Specimen::signature("sign-v2-rekor1").manifest["layers"][0]["annotations"]
        [SIGNATURE]
        .clone();
    let signature = STANDARD.decode(text(&signature)).expect("base64");
    assert_ne!(mirrored(&signature), signature);
    assert_eq!(mirrored(&mirrored(&signature)), signature);
}
