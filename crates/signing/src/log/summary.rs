//! What the body of a log entry is of, for people and for comparing: the hashes and the signers in it. Nothing is verified.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tekseal_core::digest::hex;

use super::body::LARGEST;
use super::document::{Document, Place};
use super::{Error, body};
use crate::certificate::Certificate;
use crate::pem;
use crate::public_key::PublicKey;
use crate::rejection::shortened;
use crate::verifier::MOST_SIGNATURES;

/// What stands in the body of a log entry. Of kinds that are not understood only their names.
#[derive(Clone, Debug)]
pub struct Summary {
    /// `hashedrekord`, `dsse`, `intoto`, or another kind; its beginning where that is long.
    pub kind: String,
    /// The version of the kind, `0.0.1`.
    pub version: String,
    /// What was signed.
    pub hashes: Vec<Hashed>,
    /// By whom.
    pub signers: Vec<EntrySigner>,
}

/// A hash in a log entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hashed {
    /// Of what.
    pub what: HashedWhat,
    /// The algorithm as the log names it, `sha256`.
    pub algorithm: String,
    /// The hash, lower-case hexadecimal.
    pub value: String,
}

/// Of what a hash in a log entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HashedWhat {
    /// Of the bytes that were signed: of a simple-signing document, or of the pre-authentication encoding of an envelope.
    Message,
    /// Of the payload in an envelope.
    Payload,
    /// Of the envelope as it was sent to the log.
    Envelope,
}

/// Who signed, as an entry has it.
#[derive(Clone, Debug)]
pub enum EntrySigner {
    /// A key.
    Key(PublicKey),
    /// A certificate. Whether anybody may trust it is not known here.
    Certificate(Box<Certificate>),
    /// Something that is not read: a key of an unsupported kind, a certificate of a form that is not Fulcio's.
    Unread,
}

impl Summary {
    /// Reads the body of an entry.
    ///
    /// # Errors
    /// A body that is no unambiguous JSON, names no kind, or is of a kind that is understood and has something else where its hashes and
    /// signers belong.
    pub fn of(body: &[u8]) -> Result<Self, Error> {
        if body.len() > LARGEST {
            return Err(Error::TooLarge(body.len()));
        }
        let document = Document::parse(body)?;
        let top = document.top();
        let mut summary = Self {
            kind: shortened(top.at("kind")?.text()?),
            version: shortened(top.at("apiVersion")?.text()?),
            hashes: Vec::new(),
            signers: Vec::new(),
        };
        let Some(kind) = body::Kind::named(&summary.kind, &summary.version) else {
            return Ok(summary);
        };
        summary.fill(kind, &top.at("spec")?)?;
        Ok(summary)
    }

    /// Whether only Rekor v2 has such entries.
    #[must_use]
    pub fn is_of_rekor_v2(&self) -> bool {
        body::Kind::named(&self.kind, &self.version).is_some_and(body::Kind::is_of_rekor_v2)
    }

    /// Whether `key` signed, by itself or in a certificate.
    #[must_use]
    pub fn is_by(&self, key: &PublicKey) -> bool {
        self.signers.iter().any(|signer| match signer {
            EntrySigner::Key(found) => found.spki_der() == key.spki_der(),
            EntrySigner::Certificate(found) => found.public_key().spki_der() == key.spki_der(),
            EntrySigner::Unread => false,
        })
    }

    fn fill(&mut self, kind: body::Kind, spec: &Place<'_>) -> Result<(), Error> {
        use body::Kind;
        match kind {
            Kind::HashedRekord1 => {
                self.hash(HashedWhat::Message, &spec.at("data/hash")?)?;
                self.signer(&spec.at("signature/publicKey/content")?)
            }
            Kind::Dsse1 => {
                self.hash(HashedWhat::Payload, &spec.at("payloadHash")?)?;
                self.hash(HashedWhat::Envelope, &spec.at("envelopeHash")?)?;
                for signature in spec.at("signatures")?.items(MOST_SIGNATURES)? {
                    self.signer(&signature.at("verifier")?)?;
                }
                Ok(())
            }
            Kind::InToto1 => {
                self.hash(HashedWhat::Payload, &spec.at("content/payloadHash")?)?;
                self.hash(HashedWhat::Envelope, &spec.at("content/hash")?)?;
                self.signer(&spec.at("publicKey")?)
            }
            Kind::InToto2 => {
                self.hash(HashedWhat::Payload, &spec.at("content/payloadHash")?)?;
                self.hash(HashedWhat::Envelope, &spec.at("content/hash")?)?;
                let signatures = spec.at("content/envelope/signatures")?;
                for signature in signatures.items(MOST_SIGNATURES)? {
                    self.signer(&signature.at("publicKey")?)?;
                }
                Ok(())
            }
            Kind::HashedRekord2 => self.rekor_v2(&spec.at("hashedRekordV002")?),
        }
    }

    fn rekor_v2(&mut self, record: &Place<'_>) -> Result<(), Error> {
        let algorithm = match record.at("data/algorithm")?.text()? {
            "SHA2_256" => "sha256".to_owned(),
            "SHA2_384" => "sha384".to_owned(),
            "SHA2_512" => "sha512".to_owned(),
            other => shortened(other),
        };
        self.hashes.push(Hashed {
            what: HashedWhat::Message,
            algorithm,
            value: hex(&record.at("data/digest")?.bytes()?),
        });
        let verifier = record.at("signature/verifier")?;
        let signer = match verifier.at("publicKey") {
            Ok(key) => PublicKey::from_spki(&key.at("rawBytes")?.bytes()?).map(EntrySigner::Key),
            Err(_) => {
                let der = verifier.at("x509Certificate/rawBytes")?.bytes()?;
                self.certificate(&der);
                return Ok(());
            }
        };
        self.signers.push(signer.unwrap_or(EntrySigner::Unread));
        Ok(())
    }

    fn hash(&mut self, what: HashedWhat, place: &Place<'_>) -> Result<(), Error> {
        self.hashes.push(Hashed {
            what,
            algorithm: shortened(place.at("algorithm")?.text()?),
            value: shortened(&place.at("value")?.text()?.to_ascii_lowercase()),
        });
        Ok(())
    }

    /// A key or a certificate, PEM in base64.
    fn signer(&mut self, place: &Place<'_>) -> Result<(), Error> {
        let text = STANDARD
            .decode(place.text()?)
            .map_err(|_| place.not("base64"))?;
        let block = pem::read(&text, |_| true).map_err(Error::SignerPem)?;
        if block.label == "CERTIFICATE" {
            self.certificate(&block.content);
            return Ok(());
        }
        let key = PublicKey::from_pem(&text).map(EntrySigner::Key);
        self.signers.push(key.unwrap_or(EntrySigner::Unread));
        Ok(())
    }

    fn certificate(&mut self, der: &[u8]) {
        let read = Certificate::from_der(der).map(|read| EntrySigner::Certificate(Box::new(read)));
        self.signers.push(read.unwrap_or(EntrySigner::Unread));
    }
}
