//! Appending to cosign's tags, reading them back and listing them: against a registry in memory whose every answer can be
//! held back, and against the real one.

mod append;
mod double;
mod golden;
mod interleave;
mod read;
mod real;
mod refer;
mod referring;
mod walk;

use tekseal_core::{DigestRef, Envelope, Repository, Signed, dsse};

const HEX: &str = "3cefb2529ade9fec1ec2fd816e268e7651fb46b63c50899b2c3f08d1ae9528e8";
const TYPE: &str = "https://slsa.dev/provenance/v1";

/// The image that everything hangs on.
fn image(repository: &Repository) -> DigestRef {
    repository.at(format!("sha256:{HEX}").parse().expect("well formed"))
}

fn sig_tag() -> String {
    format!("sha256-{HEX}.sig")
}

fn att_tag() -> String {
    format!("sha256-{HEX}.att")
}

/// A signature of this signer's; the payload is his own too.
fn signature(signer: &str) -> Signed {
    Signed::image_signature(
        format!("{{\"payload of\":\"{signer}\"}}").into_bytes(),
        signer.as_bytes(),
    )
}

/// An attestation of this payload; `random` is what makes two signatures of one key differ.
fn attestation(payload: &str, random: &str) -> Signed {
    let envelope = Envelope::new(
        dsse::IN_TOTO_PAYLOAD_TYPE,
        payload.as_bytes(),
        "SHA256:key",
        random.as_bytes(),
    );
    Signed::attestation(&envelope, TYPE)
}

/// A bundle around this payload.
fn bundle(payload: &str) -> Signed {
    let kind = dsse::IN_TOTO_PAYLOAD_TYPE;
    let envelope = Envelope::new(kind, payload.as_bytes(), "", b"sig");
    Signed::bundle_of_key(&envelope, b"key", TYPE)
}

fn never(_: &Signed, _: &Signed) -> bool {
    false
}

/// Whether both envelopes are around the same payload, as a verifier would find.
fn same_payload(existing: &Signed, new: &Signed) -> bool {
    let payload = |signed: &Signed| {
        Envelope::parse(signed.unverified_payload())
            .ok()
            .map(|envelope| envelope.payload)
    };
    payload(existing).is_some() && payload(existing) == payload(new)
}

/// The digests of the layers in a manifest.
fn layers(manifest: &[u8]) -> Vec<String> {
    let json: serde_json::Value = serde_json::from_slice(manifest).expect("a manifest is JSON");
    let layers = json["layers"]
        .as_array()
        .expect("an image manifest has layers");
    layers
        .iter()
        .map(|layer| {
            layer["digest"]
                .as_str()
                .expect("a layer has a digest")
                .to_owned()
        })
        .collect()
}
