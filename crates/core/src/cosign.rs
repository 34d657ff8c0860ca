//! The names that cosign gave to things in a registry: tags, media types, annotation keys.
//!
//! Specification: <https://github.com/sigstore/cosign/blob/main/specs/SIGNATURE_SPEC.md>.

use std::collections::BTreeMap;

use crate::digest::Digest;
use crate::statement::STATEMENT_V1;

/// Media type of a layer that holds a simple-signing payload.
pub const SIMPLE_SIGNING_MEDIA_TYPE: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
/// Media type of a layer that holds a DSSE envelope.
pub const DSSE_MEDIA_TYPE: &str = "application/vnd.dsse.envelope.v1+json";
/// Artifact type of a signature that is a referrer, cosign's «OCI 1.1 mode».
pub const SIGNATURE_ARTIFACT: &str = "application/vnd.dev.cosign.artifact.sig.v1+json";
/// Annotation with the base64 signature of a layer; present on every layer, empty on attestations.
pub const SIGNATURE_ANNOTATION: &str = "dev.cosignproject.cosign/signature";
/// Annotation with the signing certificate, PEM.
pub const CERTIFICATE_ANNOTATION: &str = "dev.sigstore.cosign/certificate";
/// Annotation with the certificate chain, PEM.
pub const CHAIN_ANNOTATION: &str = "dev.sigstore.cosign/chain";
/// Annotation with the transparency log entry.
pub const BUNDLE_ANNOTATION: &str = "dev.sigstore.cosign/bundle";
/// Annotation with the RFC 3161 timestamp.
pub const TIMESTAMP_ANNOTATION: &str = "dev.sigstore.cosign/rfc3161timestamp";
/// Annotation with the predicate type of an attestation layer; a hint for people, never trusted.
pub const PREDICATE_TYPE_ANNOTATION: &str = "predicateType";

/// The predicate type of an image signature that is a bundle, as cosign 3 makes them.
pub const SIGN_PREDICATE: &str = "https://sigstore.dev/cosign/sign/v1";
/// The predicate type of what has none of its own: a text, and when it was attested.
pub const CUSTOM_PREDICATE: &str = "https://cosign.sigstore.dev/attestation/v1";

/// The Statement that is an image signature in a bundle, in the bytes of cosign 3; `hex` is the image's SHA-256.
#[must_use]
pub fn sign_statement(hex: &str) -> Vec<u8> {
    format!(
        r#"{{"_type":"{STATEMENT_V1}","subject":[{{"digest":{{"sha256":"{hex}"}},"annotations":{{}}}}],"predicateType":"{SIGN_PREDICATE}","predicate":{{}}}}"#
    )
    .into_bytes()
}

/// Which of cosign's tags beside an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Tag {
    /// `sha256-<hex>.sig`: image signatures.
    Signatures,
    /// `sha256-<hex>.att`: attestations.
    Attestations,
    /// `sha256-<hex>.sbom`: attached SBOMs, unsigned.
    Sbom,
    /// `sha256-<hex>`: the index of referrers on registries without the referrers API.
    Referrers,
}

impl Tag {
    /// The tag beside the image with this digest.
    #[must_use]
    pub fn of(self, digest: &Digest) -> String {
        let suffix = match self {
            Self::Signatures => ".sig",
            Self::Attestations => ".att",
            Self::Sbom => ".sbom",
            Self::Referrers => "",
        };
        format!("sha256-{}{suffix}", digest.hex())
    }
}

/// The annotations of a layer with an attestation of this predicate type.
#[must_use]
pub fn attestation_annotations(predicate_type: &str) -> BTreeMap<String, String> {
    BTreeMap::from([
        (SIGNATURE_ANNOTATION.to_owned(), String::new()),
        (
            PREDICATE_TYPE_ANNOTATION.to_owned(),
            predicate_type.to_owned(),
        ),
    ])
}

/// The predicate type that a `--type` of cosign's stands for; anything else must be a URI and stands for itself.
#[must_use]
pub fn predicate_type(name: &str) -> Option<&str> {
    Some(match name {
        "slsaprovenance" | "slsaprovenance02" => "https://slsa.dev/provenance/v0.2",
        "slsaprovenance1" => "https://slsa.dev/provenance/v1",
        "custom" => CUSTOM_PREDICATE,
        "link" => "https://in-toto.io/Link/v1",
        "spdx" | "spdxjson" => "https://spdx.dev/Document",
        "cyclonedx" => "https://cyclonedx.org/bom",
        "vuln" => "https://cosign.sigstore.dev/attestation/vuln/v1",
        "openvex" => "https://openvex.dev/ns",
        uri if uri.contains("://") || uri.starts_with("urn:") => uri,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundle::{Bundle, Content};
    use crate::samples;
    use crate::statement::Statement;

    #[test]
    fn the_statement_of_an_image_signature_is_cosigns() {
        let bundles = samples::bundles().into_iter();
        let recursive = bundles.filter(|(case, _)| case == "sign-v3-bundle-recursive");
        let mut count = 0;
        for (_, bytes) in recursive {
            let Content::Envelope(envelope) = Bundle::parse(&bytes).expect("cosign's").content
            else {
                panic!("an envelope")
            };
            let payload = envelope.unverified_payload().expect("base64");
            let statement = Statement::parse(&payload).expect("a Statement");
            let hex = &statement.subjects()[0].digest["sha256"];
            assert_eq!(
                String::from_utf8_lossy(&sign_statement(hex)),
                String::from_utf8_lossy(&payload)
            );
            count += 1;
        }
        assert_eq!(count, 3);
    }
}
