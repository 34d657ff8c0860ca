//! What a transparency log is asked to take in: the exact bytes of requests.
//!
//! Specifications: for Rekor v1 `ProposedEntry` of <https://github.com/sigstore/rekor/blob/main/openapi.yaml> and the schemas under `pkg/types`
//! there, for Rekor v2 `CreateEntryRequest` of <https://github.com/sigstore/rekor-tiles/blob/main/api/proto/rekor/v2/entry.proto>. The kinds are
//! those that cosign and Tekton Chains ask for. A log answers with a body in a spelling of its own: see [`LogEntry`](crate::evidence::LogEntry).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

use crate::digest::hex;
use crate::gojson;

/// Who signed, as a log is told: a key, or a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signatory<'a> {
    /// The key or certificate in PEM: what Rekor v1 takes.
    pub pem: &'a str,
    /// The same in DER (a key as SubjectPublicKeyInfo): what Rekor v2 takes.
    pub der: &'a [u8],
    /// Which of both it is.
    pub kind: SignatoryKind,
}

/// What a signature is verified with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignatoryKind {
    /// A public key.
    Key,
    /// A certificate.
    Certificate,
}

/// Asks Rekor v1 for a `hashedrekord` 0.0.1: `signature` is over bytes with this digest by `algorithm`, which is `sha256`, `sha384` or `sha512`. For
/// image signatures.
#[must_use]
pub fn hashedrekord_v1(
    algorithm: &str,
    digest: &[u8],
    signature: &[u8],
    signatory: Signatory<'_>,
) -> Vec<u8> {
    proposed(
        "hashedrekord",
        HashedRekord {
            data: Data {
                hash: Hash {
                    algorithm,
                    value: hex(digest),
                },
            },
            signature: RekordSignature {
                content: STANDARD.encode(signature),
                public_key: Content {
                    content: STANDARD.encode(signatory.pem),
                },
            },
        },
    )
}

/// Asks Rekor v1 for a `dsse` 0.0.1: of an envelope in exactly these bytes. For attestations; nothing for bytes that are no text.
#[must_use]
pub fn dsse_v1(envelope: &[u8], signatory: Signatory<'_>) -> Option<Vec<u8>> {
    let proposed_content = ProposedContent {
        envelope: std::str::from_utf8(envelope).ok()?,
        verifiers: [STANDARD.encode(signatory.pem)],
    };
    Some(proposed("dsse", Dsse { proposed_content }))
}

/// Asks Rekor v1 for an `intoto` 0.0.1, the older kind for attestations that cosign 2 asks for with `--rekor-entry-type intoto`. Readers of bundles
/// take no such entry, for it has no signature.
#[must_use]
pub fn intoto_v1(envelope: &[u8], signatory: Signatory<'_>) -> Option<Vec<u8>> {
    let content = InTotoContent {
        envelope: std::str::from_utf8(envelope).ok()?,
    };
    let public_key = STANDARD.encode(signatory.pem);
    Some(proposed(
        "intoto",
        InToto {
            content,
            public_key,
        },
    ))
}

/// Asks Rekor v2 for a `hashedrekord` 0.0.2: `signature` is over bytes with this digest, which are the pre-authentication encoding of an envelope
/// too. `key_details` is what `PublicKeyDetails` calls the kind of key, <https://github.com/sigstore/protobuf-specs/blob/main/protos/sigstore_common.proto>.
#[must_use]
pub fn hashedrekord_v2(
    digest: &[u8],
    signature: &[u8],
    signatory: Signatory<'_>,
    key_details: &str,
) -> Vec<u8> {
    let raw = RawBytes {
        raw_bytes: STANDARD.encode(signatory.der),
    };
    let (public_key, x509_certificate) = match signatory.kind {
        SignatoryKind::Key => (Some(raw), None),
        SignatoryKind::Certificate => (None, Some(raw)),
    };
    gojson::to_vec_protojson(&Request {
        hashed_rekord_request_v002: HashedRekordV2 {
            digest: STANDARD.encode(digest),
            signature: SignatureV2 {
                content: STANDARD.encode(signature),
                verifier: VerifierV2 {
                    public_key,
                    x509_certificate,
                    key_details,
                },
            },
        },
    })
}

/// The version of all kinds of Rekor v1 that are asked for.
const VERSION: &str = "0.0.1";

fn proposed<T: Serialize>(kind: &'static str, spec: T) -> Vec<u8> {
    gojson::to_vec(&Proposed {
        api_version: VERSION,
        kind,
        spec,
    })
}

/// Field order is the order of the bytes, here and below.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Proposed<T> {
    api_version: &'static str,
    kind: &'static str,
    spec: T,
}

#[derive(Serialize)]
struct HashedRekord<'a> {
    data: Data<'a>,
    signature: RekordSignature,
}

#[derive(Serialize)]
struct Data<'a> {
    hash: Hash<'a>,
}

#[derive(Serialize)]
struct Hash<'a> {
    algorithm: &'a str,
    value: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RekordSignature {
    content: String,
    public_key: Content,
}

#[derive(Serialize)]
struct Content {
    content: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Dsse<'a> {
    proposed_content: ProposedContent<'a>,
}

#[derive(Serialize)]
struct ProposedContent<'a> {
    envelope: &'a str,
    verifiers: [String; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct InToto<'a> {
    content: InTotoContent<'a>,
    public_key: String,
}

#[derive(Serialize)]
struct InTotoContent<'a> {
    envelope: &'a str,
}

#[derive(Serialize)]
struct Request<'a> {
    #[serde(rename = "hashedRekordRequestV002")]
    hashed_rekord_request_v002: HashedRekordV2<'a>,
}

#[derive(Serialize)]
struct HashedRekordV2<'a> {
    digest: String,
    signature: SignatureV2<'a>,
}

#[derive(Serialize)]
struct SignatureV2<'a> {
    content: String,
    verifier: VerifierV2<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct VerifierV2<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    public_key: Option<RawBytes>,
    #[serde(skip_serializing_if = "Option::is_none", rename = "x509Certificate")]
    x509_certificate: Option<RawBytes>,
    key_details: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RawBytes {
    raw_bytes: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundle::{Bundle, Content};
    use crate::dsse;
    use crate::evidence::LogEntry;
    use crate::samples;
    use crate::{Digest, Evidence};

    const PEM: &str = "-----BEGIN PUBLIC KEY-----\nAA==\n-----END PUBLIC KEY-----\n";

    fn of_a() -> (String, Vec<u8>) {
        let pem = String::from_utf8(samples::file("keys/a.pub")).expect("PEM");
        let base64: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
        (pem, STANDARD.decode(base64).expect("PEM"))
    }

    fn json(bytes: &[u8]) -> serde_json::Value {
        serde_json::from_slice(bytes).expect("JSON")
    }

    /// The entry of the first such layer of a sample, its signature and its content.
    fn logged(case: &str) -> (LogEntry, Vec<u8>, Vec<u8>) {
        let mut layers = samples::layers().into_iter();
        let layer = layers.find(|layer| {
            layer.case == case
                && layer
                    .annotations
                    .contains_key(crate::cosign::BUNDLE_ANNOTATION)
        });
        let layer = layer.expect("the sample has a logged layer");
        let evidence = Evidence::of_annotations(&layer.annotations).expect("cosign's");
        let signature = &layer.annotations[crate::cosign::SIGNATURE_ANNOTATION];
        let signature = STANDARD.decode(signature).expect("base64");
        (evidence.entries[0].clone(), signature, layer.content)
    }

    #[test]
    fn the_log_spelled_a_hashedrekord_as_it_is_asked_for() {
        let (entry, signature, content) = logged("sign-v2-rekor1");
        let (pem, der) = of_a();
        let signatory = Signatory {
            pem: &pem,
            der: &der,
            kind: SignatoryKind::Key,
        };
        let digest = Digest::of(&content).to_bytes();
        let asked = hashedrekord_v1("sha256", &digest, &signature, signatory);
        assert_eq!(
            String::from_utf8_lossy(&asked),
            String::from_utf8_lossy(&entry.body),
            "nothing is added and nothing left out"
        );
    }

    #[test]
    fn the_log_made_its_entries_of_envelopes_from_what_is_asked_for() {
        let (pem, der) = of_a();
        let signatory = Signatory {
            pem: &pem,
            der: &der,
            kind: SignatoryKind::Key,
        };
        let (entry, _, envelope) = logged("attest-v2-rekor1-dsse");
        let asked = json(&dsse_v1(&envelope, signatory).expect("text"));
        let body = json(&entry.body);
        for name in ["apiVersion", "kind"] {
            assert_eq!(asked[name], body[name]);
        }
        let content = &asked["spec"]["proposedContent"];
        assert_eq!(
            content["verifiers"][0],
            body["spec"]["signatures"][0]["verifier"]
        );
        let text = content["envelope"].as_str().expect("text");
        assert_eq!(
            body["spec"]["envelopeHash"]["value"],
            Digest::of(text.as_bytes()).hex()
        );

        let (entry, _, envelope) = logged("attest-v2-rekor1-intoto");
        let asked = json(&intoto_v1(&envelope, signatory).expect("text"));
        let body = json(&entry.body);
        for name in ["apiVersion", "kind"] {
            assert_eq!(asked[name], body[name]);
        }
        assert_eq!(asked["spec"]["publicKey"], body["spec"]["publicKey"]);
        let text = asked["spec"]["content"]["envelope"].as_str();
        assert_eq!(
            body["spec"]["content"]["hash"]["value"],
            Digest::of(text.expect("text").as_bytes()).hex()
        );
    }

    #[test]
    fn the_log_made_its_v2_entry_from_what_is_asked_for() {
        for case in ["sign-v3-bundle-rekor2-tsa", "keyless-v3-bundle-rekor2-tsa"] {
            let bundle = Bundle::parse(&samples::bundle(case)).expect("cosign's");
            let Content::Envelope(envelope) = &bundle.content else {
                panic!("an envelope")
            };
            let payload = envelope.unverified_payload().expect("base64");
            let pae = dsse::pae(&envelope.payload_type, &payload);
            let signature = envelope.signatures[0].decoded().expect("base64");
            let (_, key) = of_a();
            let (der, kind, member) = match &bundle.evidence.certificate {
                Some(der) => (der, SignatoryKind::Certificate, "x509Certificate"),
                None => (&key, SignatoryKind::Key, "publicKey"),
            };
            let signatory = Signatory { pem: "", der, kind };
            let digest = Digest::of(&pae).to_bytes();
            let details = "PKIX_ECDSA_P256_SHA_256";
            let asked = json(&hashedrekord_v2(&digest, &signature, signatory, details));
            let asked = &asked["hashedRekordRequestV002"];
            let body = json(&bundle.evidence.entries[0].body);
            let body = &body["spec"]["hashedRekordV002"];
            assert_eq!(asked["digest"], body["data"]["digest"], "{case}");
            assert_eq!(asked["signature"], body["signature"], "{case}");
            assert!(asked["signature"]["verifier"][member].is_object(), "{case}");
        }
    }

    #[test]
    fn requests_have_these_bytes() {
        let signatory = Signatory {
            pem: PEM,
            der: b"der",
            kind: SignatoryKind::Certificate,
        };
        let asked = hashedrekord_v2(&[0; 3], b"sig", signatory, "PKIX_ECDSA_P256_SHA_256");
        assert_eq!(
            String::from_utf8_lossy(&asked),
            r#"{"hashedRekordRequestV002":{"digest":"AAAA","signature":{"content":"c2ln","verifier":{"x509Certificate":{"rawBytes":"ZGVy"},"keyDetails":"PKIX_ECDSA_P256_SHA_256"}}}}"#
        );
        let pem = STANDARD.encode(PEM);
        let asked = dsse_v1(br#"{"a":"<"}"#, signatory).expect("text");
        assert_eq!(
            String::from_utf8_lossy(&asked),
            format!(
                r#"{{"apiVersion":"0.0.1","kind":"dsse","spec":{{"proposedContent":{{"envelope":"{{\"a\":\"\u003c\"}}","verifiers":["{pem}"]}}}}}}"#
            )
        );
        assert!(dsse_v1(b"\xff", signatory).is_none());
        assert!(intoto_v1(b"\xff", signatory).is_none());
    }
}
