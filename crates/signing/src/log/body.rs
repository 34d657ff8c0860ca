//! Bodies of log entries: reads one, and says whether it is of this signature, by this signer, over this content.
//!
//! Specifications: the schemas in <https://github.com/sigstore/rekor/tree/main/pkg/types>, and for Rekor v2
//! <https://github.com/sigstore/protobuf-specs/blob/main/protos/rekor/v2/entry.proto>. A body of Rekor v1 is the log's own
//! spelling of what it was sent, so its members are compared; that of Rekor v2 is made again from what was verified and
//! compared as a whole (RFC 8785).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tekseal_core::digest::hex;

use crate::log::document::{Document, Place};
use crate::log::{Claim, Enveloped, Error, Signer};
use crate::pem;
use crate::public_key::{HashAlgorithm, KeyAlgorithm};
use crate::rejection::shortened;
use crate::verifier::MOST_SIGNATURES;
use crate::verifying_key::VerifyingKey;

/// Bodies hold hashes, signatures and certificates, never what was signed.
pub(super) const LARGEST: usize = 1024 * 1024;

/// The kinds of entries that are understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// `hashedrekord` 0.0.1: a signature over something with this hash.
    HashedRekord1,
    /// `dsse` 0.0.1: a DSSE envelope.
    Dsse1,
    /// `intoto` 0.0.1: the same in its oldest form, without the signature.
    InToto1,
    /// `intoto` 0.0.2: the same with signatures.
    InToto2,
    /// `hashedrekord` 0.0.2, of Rekor v2: a signature over something with this hash, be it a DSSE encoding.
    HashedRekord2,
}

impl Kind {
    const ALL: [Self; 5] = [
        Self::HashedRekord1,
        Self::Dsse1,
        Self::InToto1,
        Self::InToto2,
        Self::HashedRekord2,
    ];

    /// The kind with these names.
    pub(super) fn named(kind: &str, version: &str) -> Option<Self> {
        let mut known = Self::ALL.into_iter();
        known.find(|known| known.names() == (kind, version))
    }

    /// Its kind and its version.
    pub(super) fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::HashedRekord1 => ("hashedrekord", "0.0.1"),
            Self::Dsse1 => ("dsse", "0.0.1"),
            Self::InToto1 => ("intoto", "0.0.1"),
            Self::InToto2 => ("intoto", "0.0.2"),
            Self::HashedRekord2 => ("hashedrekord", "0.0.2"),
        }
    }

    /// Whether only Rekor v2 has such entries.
    pub(super) fn is_of_rekor_v2(self) -> bool {
        match self {
            Self::HashedRekord2 => true,
            Self::HashedRekord1 | Self::Dsse1 | Self::InToto1 | Self::InToto2 => false,
        }
    }
}

/// A body. Whether the log has it is not known here.
pub(super) struct Body<'a> {
    bytes: &'a [u8],
    document: Document,
    pub(super) kind: Kind,
}

impl<'a> Body<'a> {
    /// Reads a body of a kind that is understood, and the same as `beside` if something stands there.
    pub(super) fn read(bytes: &'a [u8], beside: Option<&(String, String)>) -> Result<Self, Error> {
        if bytes.len() > LARGEST {
            return Err(Error::TooLarge(bytes.len()));
        }
        let document = Document::parse(bytes)?;
        let kind = document.top().at("kind")?.text()?;
        let version = document.top().at("apiVersion")?.text()?;
        let unknown = || Error::UnknownKind {
            kind: shortened(kind),
            version: shortened(version),
        };
        if let Some((wanted_kind, wanted_version)) = beside
            && (kind, version) != (wanted_kind, wanted_version)
        {
            return Err(Error::OtherKind {
                found: shortened(&format!("{kind} {version}")),
                beside: shortened(&format!("{wanted_kind} {wanted_version}")),
            });
        }
        let kind = Kind::named(kind, version).ok_or_else(unknown)?;
        Ok(Self {
            bytes,
            document,
            kind,
        })
    }

    /// Whether it is the entry of this signature.
    pub(super) fn is_of(&self, claim: &Claim<'_>) -> Result<(), Error> {
        let spec = self.document.top().at("spec")?;
        match (self.kind, &claim.envelope) {
            (Kind::HashedRekord1, None) => {
                same_signature(&spec.at("signature/content")?.bytes()?, claim)?;
                same_signer(&spec.at("signature/publicKey/content")?, claim.signer)?;
                same_hash(&spec.at("data/hash")?, claim.message, Error::OtherMessage)
            }
            (Kind::Dsse1, Some(enveloped)) => {
                one_of(&spec.at("signatures")?, claim, |signature| {
                    Ok((
                        signature.at("signature")?.bytes()?,
                        signature.at("verifier")?,
                    ))
                })?;
                same_payload(&spec, "payloadHash", "envelopeHash", enveloped)
            }
            // There is no signature in it: the hash of the stored envelope is what holds the two together.
            (Kind::InToto1, Some(enveloped)) if enveloped.stored.is_some() => {
                same_signer(&spec.at("publicKey")?, claim.signer)?;
                same_payload(&spec, "content/payloadHash", "content/hash", enveloped)
            }
            (Kind::InToto2, Some(enveloped)) => {
                one_of(
                    &spec.at("content/envelope/signatures")?,
                    claim,
                    |signature| {
                        let text = signature.at("sig")?;
                        let inner = STANDARD.decode(text.bytes()?);
                        Ok((
                            inner.map_err(|_| text.not("base64 in base64"))?,
                            signature.at("publicKey")?,
                        ))
                    },
                )?;
                same_payload(&spec, "content/payloadHash", "content/hash", enveloped)
            }
            (Kind::HashedRekord2, _) => self.is_rebuilt(&spec.at("hashedRekordV002")?, claim),
            (Kind::HashedRekord1, Some(_))
            | (Kind::Dsse1 | Kind::InToto2, None)
            | (Kind::InToto1, _) => Err(Error::WrongKind {
                kind: self.kind.names().0,
                version: self.kind.names().1,
                of: match claim.envelope {
                    None => "an image signature",
                    Some(Enveloped { stored: None, .. }) => "a bundle with an envelope",
                    Some(Enveloped {
                        stored: Some(_), ..
                    }) => "an envelope",
                },
            }),
        }
    }

    /// Compares the members of a Rekor v2 entry, so that it can be told what differs, and then the whole.
    fn is_rebuilt(&self, record: &Place<'_>, claim: &Claim<'_>) -> Result<(), Error> {
        same_signature(&record.at("signature/content")?.bytes()?, claim)?;
        let (member, signer) = match claim.signer {
            Signer::Key(key) => ("publicKey", key.spki_der()),
            Signer::Certificate(der) => ("x509Certificate", der),
        };
        let verifier = record.at("signature/verifier")?;
        let found = verifier
            .at(member)
            .map_err(|_| Error::OtherSigner)?
            .at("rawBytes")?
            .bytes()?;
        if found != signer {
            return Err(Error::OtherSigner);
        }
        let details = verifier.at("keyDetails")?.text()?;
        let hash = hash_of_key_details(details, claim.signer).ok_or_else(|| Error::KeyDetails {
            found: shortened(details),
        })?;
        let digest = hash.digest(claim.message);
        if record.at("data/digest")?.bytes()? != digest {
            return Err(Error::OtherMessage);
        }
        let algorithm = match hash {
            HashAlgorithm::Sha256 => "SHA2_256",
            HashAlgorithm::Sha384 => "SHA2_384",
            HashAlgorithm::Sha512 => "SHA2_512",
        };
        // Base64 and the names need no escapes, and the members stand in the order of their names.
        let wanted = format!(
            "{{\"apiVersion\":\"0.0.2\",\"kind\":\"hashedrekord\",\"spec\":{{\"hashedRekordV002\":{{\
             \"data\":{{\"algorithm\":\"{algorithm}\",\"digest\":\"{}\"}},\
             \"signature\":{{\"content\":\"{}\",\"verifier\":{{\"keyDetails\":\"{details}\",\
             \"{member}\":{{\"rawBytes\":\"{}\"}}}}}}}}}}}}",
            STANDARD.encode(&digest),
            STANDARD.encode(claim.signature),
            STANDARD.encode(signer),
        );
        if wanted.as_bytes() == self.bytes {
            Ok(())
        } else {
            Err(Error::NotCanonical)
        }
    }
}

/// What `PublicKeyDetails` calls the keys that can be in a log, and the hash that goes with each name.
///
/// Specification: <https://github.com/sigstore/protobuf-specs/blob/main/protos/sigstore_common.proto>. Ed25519 is missing
/// because a log that is sent digests cannot verify it.
const KEY_DETAILS: &[(&str, KeyAlgorithm, HashAlgorithm)] = {
    use HashAlgorithm::{Sha256, Sha384, Sha512};
    use KeyAlgorithm::{P256, P384, P521, Rsa};
    &[
        ("PKIX_ECDSA_P256_SHA_256", P256, Sha256),
        ("PKIX_ECDSA_P384_SHA_384", P384, Sha384),
        ("PKIX_ECDSA_P384_SHA_256", P384, Sha256),
        ("PKIX_ECDSA_P521_SHA_512", P521, Sha512),
        ("PKIX_ECDSA_P521_SHA_256", P521, Sha256),
        ("PKIX_RSA_PKCS1V15_2048_SHA256", Rsa(2048), Sha256),
        ("PKIX_RSA_PKCS1V15_3072_SHA256", Rsa(3072), Sha256),
        ("PKIX_RSA_PKCS1V15_4096_SHA256", Rsa(4096), Sha256),
    ]
};

/// What a key with signatures over this hash is called; nothing for one of which logs that are sent digests take nothing. The larger curves with SHA-256
/// have names, but no log takes them unless it was told to, and cosign looks for entries with their own hashes.
pub(crate) fn key_details(key: &VerifyingKey) -> Option<&'static str> {
    use KeyAlgorithm::{P384, P521};
    let (algorithm, hash) = (key.key().algorithm(), key.hash());
    if matches!((algorithm, hash), (P384 | P521, HashAlgorithm::Sha256)) {
        return None;
    }
    let mut names = KEY_DETAILS.iter();
    let found = names.find(|(_, of, over)| *of == algorithm && *over == hash);
    found.map(|(name, ..)| *name)
}

/// The hash that goes with this name, if it is a name for the signer's key. The key in a certificate is not read here:
/// who verified the signature knows it, and a name that is wrong gives a hash that is.
fn hash_of_key_details(name: &str, signer: Signer<'_>) -> Option<HashAlgorithm> {
    let fits = |algorithm| match signer {
        Signer::Key(key) => key.algorithm() == algorithm,
        Signer::Certificate(_) => true,
    };
    KEY_DETAILS
        .iter()
        .find(|(known, algorithm, _)| *known == name && fits(*algorithm))
        .map(|(_, _, hash)| *hash)
}

fn same_signature(found: &[u8], claim: &Claim<'_>) -> Result<(), Error> {
    if found == claim.signature {
        Ok(())
    } else {
        Err(Error::OtherSignature)
    }
}

/// Whether the PEM text that stands at `place` in base64 is the signer.
fn same_signer(place: &Place<'_>, signer: Signer<'_>) -> Result<(), Error> {
    let (label, der) = match signer {
        Signer::Key(key) => ("PUBLIC KEY", key.spki_der()),
        Signer::Certificate(der) => ("CERTIFICATE", der),
    };
    let block = pem::read(&place.bytes()?, |found| found == label).map_err(Error::SignerPem)?;
    if block.label == label && block.content.as_slice() == der {
        Ok(())
    } else {
        Err(Error::OtherSigner)
    }
}

/// Whether one of the signatures in a list is the claimed one, by the claimed signer.
fn one_of<'a>(
    list: &Place<'a>,
    claim: &Claim<'_>,
    read: impl Fn(&Place<'a>) -> Result<(Vec<u8>, Place<'a>), Error>,
) -> Result<(), Error> {
    let mut result = Err(Error::OtherSignature);
    for item in list.items(MOST_SIGNATURES)? {
        let (signature, signer) = read(&item)?;
        if signature == claim.signature {
            result = same_signer(&signer, claim.signer);
            if result.is_ok() {
                break;
            }
        }
    }
    result
}

/// Whether the hash that stands at `place` is that of `content`; `other` if not.
fn same_hash(place: &Place<'_>, content: &[u8], other: Error) -> Result<(), Error> {
    let name = place.at("algorithm")?.text()?;
    let hash: HashAlgorithm = name.parse().map_err(|_| Error::Hash {
        found: shortened(name),
    })?;
    let wanted = hex(&hash.digest(content));
    if place.at("value")?.text()?.eq_ignore_ascii_case(&wanted) {
        Ok(())
    } else {
        Err(other)
    }
}

/// Whether the hashes at these places are those of the payload, and of the envelope where it was stored as it was logged.
fn same_payload(
    spec: &Place<'_>,
    payload: &str,
    envelope: &str,
    enveloped: &Enveloped<'_>,
) -> Result<(), Error> {
    same_hash(&spec.at(payload)?, enveloped.payload, Error::OtherPayload)?;
    let Some(stored) = enveloped.stored else {
        return Ok(());
    };
    same_hash(&spec.at(envelope)?, stored, Error::OtherEnvelope)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::public_key::PublicKey;

    #[test]
    fn each_key_has_its_own_names() {
        let names = |signer: Signer<'_>| -> Vec<_> {
            let names = KEY_DETAILS.iter().map(|(name, ..)| *name);
            names
                .filter_map(|name| Some((name, hash_of_key_details(name, signer)?)))
                .collect()
        };
        let of_key = |pem: &[u8]| names(Signer::Key(&PublicKey::from_pem(pem).expect("a key")));
        use HashAlgorithm::{Sha256, Sha384};
        assert_eq!(
            of_key(include_bytes!("../testdata/a.pub")),
            [("PKIX_ECDSA_P256_SHA_256", Sha256)]
        );
        assert_eq!(
            of_key(include_bytes!("../testdata/p384.pub")),
            [
                ("PKIX_ECDSA_P384_SHA_384", Sha384),
                ("PKIX_ECDSA_P384_SHA_256", Sha256)
            ]
        );
        assert_eq!(
            of_key(include_bytes!("../testdata/rsa.pub")),
            [("PKIX_RSA_PKCS1V15_2048_SHA256", Sha256)]
        );
        assert_eq!(of_key(include_bytes!("../testdata/ed.pub")), []);
        let details = |pem: &[u8], hash| {
            let key = PublicKey::from_pem(pem).expect("a key");
            key_details(&VerifyingKey::new(key, hash))
        };
        let p384 = include_bytes!("../testdata/p384.pub");
        assert_eq!(details(p384, Sha256), None, "no log takes it");
        assert_eq!(details(p384, Sha384), Some("PKIX_ECDSA_P384_SHA_384"));
        assert_eq!(details(include_bytes!("../testdata/ed.pub"), Sha256), None);
        assert_eq!(names(Signer::Certificate(b"")).len(), KEY_DETAILS.len());
    }
}
