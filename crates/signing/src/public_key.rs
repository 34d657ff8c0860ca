//! Public keys: reads them, names them, and verifies signatures with them.
//!
//! Keys are SubjectPublicKeyInfo (RFC 5280 section 4.1.2.7) in PEM, as `cosign.pub` is. The arithmetic is that of
//! `ring`, but for P-521, which it lacks, and for digests, which it does not take. Which hash goes with which key follows what cosign verifies:
//! SHA-256 unless told otherwise, pure Ed25519, RSA with PKCS#1 v1.5 padding.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use p256::NistP256;
use p384::NistP384;
use p521::NistP521;
use ring::signature::{self as ring_signature, UnparsedPublicKey, VerificationAlgorithm};
use sha2::{Digest as _, Sha256, Sha384, Sha512};
use tekseal_core::Digest;

use crate::curve;
use crate::der::{self, Malformed, Reader, tag};
use crate::pem;

/// A public key that can verify.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey {
    algorithm: KeyAlgorithm,
    /// Content of the BIT STRING: an uncompressed point, an RSAPublicKey, or 32 bytes.
    key: Vec<u8>,
    spki: Vec<u8>,
}

/// What kind of key it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyAlgorithm {
    /// ECDSA on the curve P-256.
    P256,
    /// ECDSA on the curve P-384.
    P384,
    /// ECDSA on the curve P-521.
    P521,
    /// RSA with a modulus of this many bits.
    Rsa(usize),
    /// Ed25519.
    Ed25519,
}

/// The hash that a signature is made over. Ed25519 has its own and takes none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum HashAlgorithm {
    /// SHA-256.
    #[default]
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

/// Why a public key cannot be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Error {
    /// Not PEM.
    #[error("cannot read a public key")]
    Pem(#[from] pem::Error),
    /// A private key where a public one belongs.
    #[error("this is a private key ({0}); give the public one, cosign.pub")]
    PrivateKey(String),
    /// Some other PEM block.
    #[error("this is a {0:?}; wanted a PUBLIC KEY")]
    Label(String),
    /// The content is no SubjectPublicKeyInfo.
    #[error("the public key is damaged: not a SubjectPublicKeyInfo")]
    Malformed,
    /// An elliptic curve point in compressed form.
    #[error("the public key is a compressed point; only uncompressed points are supported")]
    CompressedPoint,
    /// A kind of key that is not supported.
    #[error(
        "verifying with {0} keys is not supported; supported are ECDSA P-256, P-384 and P-521, RSA and Ed25519"
    )]
    Unsupported(&'static str),
    /// RSA of an unusual size.
    #[error("an RSA key of {0} bits is not supported; supported are 2048 to 8192 bits")]
    RsaSize(usize),
}

/// Why a signature was not accepted.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
pub enum VerifyError {
    /// This key cannot verify over that hash.
    #[error("verifying {hash} signatures with an {algorithm} key is not supported")]
    Unsupported {
        /// The kind of key.
        algorithm: KeyAlgorithm,
        /// The hash asked for.
        hash: HashAlgorithm,
    },
    /// The signature is not one of this key over these bytes.
    #[error("the signature is not valid under this key")]
    Invalid,
}

/// A name that is no kind of key.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "unknown kind of key {0:?}, known are p256, p384, p521, ed25519, rsa-2048, rsa-3072 and rsa-4096"
)]
pub struct UnknownAlgorithm(String);

/// A name that is no supported hash.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("unsupported hash algorithm {0:?}, supported are sha256, sha384 and sha512")]
pub struct UnsupportedHash(String);

const LABEL: &str = "PUBLIC KEY";

impl PublicKey {
    /// Reads a PEM `PUBLIC KEY`.
    pub fn from_pem(bytes: &[u8]) -> Result<Self, Error> {
        let block = pem::read(bytes, |label| label == LABEL)?;
        if block.label != LABEL {
            let private = block.label.ends_with("PRIVATE KEY");
            return Err(if private {
                Error::PrivateKey(block.label)
            } else {
                Error::Label(block.label)
            });
        }
        Self::from_spki(&block.content)
    }

    /// Reads a DER SubjectPublicKeyInfo.
    pub fn from_spki(spki: &[u8]) -> Result<Self, Error> {
        let (algorithm, key) = split(spki).map_err(|Malformed| Error::Malformed)?;
        let algorithm = match algorithm {
            der::Algorithm::P256 => point(key, 32).map(|()| KeyAlgorithm::P256)?,
            der::Algorithm::P384 => point(key, 48).map(|()| KeyAlgorithm::P384)?,
            der::Algorithm::P521 => point(key, 66).map(|()| KeyAlgorithm::P521)?,
            der::Algorithm::Rsa => rsa_size(key)?,
            der::Algorithm::Ed25519 if key.len() == 32 => KeyAlgorithm::Ed25519,
            der::Algorithm::Ed25519 => return Err(Error::Malformed),
            der::Algorithm::Other(name) => return Err(Error::Unsupported(name)),
        };
        Ok(Self {
            algorithm,
            key: key.to_vec(),
            spki: spki.to_vec(),
        })
    }

    /// The key with this content of the BIT STRING: an uncompressed point, an RSAPublicKey, or 32 bytes.
    pub(crate) fn of(algorithm: der::Algorithm, key: &[u8]) -> Result<Self, Error> {
        let identifier = algorithm.identifier();
        let identifier = identifier.ok_or(Error::Unsupported(algorithm.name()))?;
        let bits = der::encode(tag::BIT_STRING, &[&[0][..], key].concat());
        Self::from_spki(&der::encode(tag::SEQUENCE, &[identifier, bits].concat()))
    }

    /// What kind of key it is.
    #[must_use]
    pub fn algorithm(&self) -> KeyAlgorithm {
        self.algorithm
    }

    /// The DER SubjectPublicKeyInfo.
    #[must_use]
    pub fn spki_der(&self) -> &[u8] {
        &self.spki
    }

    /// Digest of the SubjectPublicKeyInfo, which several Sigstore tools name a key by.
    #[must_use]
    pub fn spki_digest(&self) -> Digest {
        Digest::of(&self.spki)
    }

    /// The PEM text, as `cosign.pub` has it.
    #[must_use]
    pub fn to_pem(&self) -> String {
        pem::write(LABEL, &self.spki)
    }

    /// The fingerprint that `ssh-keygen -l` prints, `SHA256:<base64 without padding>`: Tekton Chains names keys so in
    /// envelopes. It is of the key in SSH wire form (RFC 4253 section 6.6, RFC 5656, RFC 8709).
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let mut wire = Vec::new();
        match self.algorithm {
            KeyAlgorithm::P256 => {
                ssh_strings(&mut wire, &[b"ecdsa-sha2-nistp256", b"nistp256", &self.key])
            }
            KeyAlgorithm::P384 => {
                ssh_strings(&mut wire, &[b"ecdsa-sha2-nistp384", b"nistp384", &self.key])
            }
            KeyAlgorithm::P521 => {
                ssh_strings(&mut wire, &[b"ecdsa-sha2-nistp521", b"nistp521", &self.key])
            }
            KeyAlgorithm::Ed25519 => ssh_strings(&mut wire, &[b"ssh-ed25519", &self.key]),
            KeyAlgorithm::Rsa(_) => {
                let (n, e) = rsa_numbers(&self.key).expect("the constructor read them");
                ssh_strings(&mut wire, &[b"ssh-rsa", &ssh_number(e), &ssh_number(n)]);
            }
        }
        format!("SHA256:{}", STANDARD_NO_PAD.encode(Sha256::digest(&wire)))
    }

    /// Whether this kind of key can verify over `hash` at all.
    pub fn supports(&self, hash: HashAlgorithm) -> Result<(), VerifyError> {
        if self.algorithm == KeyAlgorithm::P521 {
            return Ok(());
        }
        self.ring_algorithm(hash).map(|_| ())
    }

    /// Verifies `signature` over `message`. Signatures of ECDSA are DER; `hash` says nothing for Ed25519.
    pub fn verify(
        &self,
        hash: HashAlgorithm,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), VerifyError> {
        if self.algorithm == KeyAlgorithm::P521 {
            return self.verify_digest(hash, &hash.digest(message), signature);
        }
        UnparsedPublicKey::new(self.ring_algorithm(hash)?, &self.key)
            .verify(message, signature)
            .map_err(|_| VerifyError::Invalid)
    }

    /// Verifies a DER signature of an ECDSA key over a message with this digest, which may be too large for memory.
    ///
    /// # Errors
    /// Also for keys of other kinds, which sign whole messages.
    pub(crate) fn verify_digest(
        &self,
        hash: HashAlgorithm,
        digest: &[u8],
        signature: &[u8],
    ) -> Result<(), VerifyError> {
        let is_valid = match self.algorithm {
            KeyAlgorithm::P256 => curve::is_signature::<NistP256>(&self.key, digest, signature),
            KeyAlgorithm::P384 => curve::is_signature::<NistP384>(&self.key, digest, signature),
            KeyAlgorithm::P521 => curve::is_signature::<NistP521>(&self.key, digest, signature),
            KeyAlgorithm::Rsa(_) | KeyAlgorithm::Ed25519 => {
                return Err(VerifyError::Unsupported {
                    algorithm: self.algorithm,
                    hash,
                });
            }
        };
        is_valid.then_some(()).ok_or(VerifyError::Invalid)
    }

    fn ring_algorithm(
        &self,
        hash: HashAlgorithm,
    ) -> Result<&'static dyn VerificationAlgorithm, VerifyError> {
        use HashAlgorithm::{Sha256, Sha384, Sha512};
        use KeyAlgorithm::{Ed25519, P256, P384, P521, Rsa};
        Ok(match (self.algorithm, hash) {
            (P256, Sha256) => &ring_signature::ECDSA_P256_SHA256_ASN1,
            (P256, Sha384) => &ring_signature::ECDSA_P256_SHA384_ASN1,
            (P384, Sha256) => &ring_signature::ECDSA_P384_SHA256_ASN1,
            (P384, Sha384) => &ring_signature::ECDSA_P384_SHA384_ASN1,
            (Rsa(_), Sha256) => &ring_signature::RSA_PKCS1_2048_8192_SHA256,
            (Rsa(_), Sha384) => &ring_signature::RSA_PKCS1_2048_8192_SHA384,
            (Rsa(_), Sha512) => &ring_signature::RSA_PKCS1_2048_8192_SHA512,
            (Ed25519, Sha256 | Sha384 | Sha512) => &ring_signature::ED25519,
            (P256 | P384, Sha512) | (P521, _) => {
                return Err(VerifyError::Unsupported {
                    algorithm: self.algorithm,
                    hash,
                });
            }
        })
    }
}

impl fmt::Display for KeyAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::P256 => f.write_str("ECDSA P-256"),
            Self::P384 => f.write_str("ECDSA P-384"),
            Self::P521 => f.write_str("ECDSA P-521"),
            Self::Rsa(bits) => write!(f, "RSA-{bits}"),
            Self::Ed25519 => f.write_str("Ed25519"),
        }
    }
}

impl FromStr for KeyAlgorithm {
    type Err = UnknownAlgorithm;

    fn from_str(text: &str) -> Result<Self, UnknownAlgorithm> {
        Ok(match text {
            "p256" => Self::P256,
            "p384" => Self::P384,
            "p521" => Self::P521,
            "ed25519" => Self::Ed25519,
            "rsa-2048" => Self::Rsa(2048),
            "rsa-3072" => Self::Rsa(3072),
            "rsa-4096" => Self::Rsa(4096),
            _ => return Err(UnknownAlgorithm(text.to_owned())),
        })
    }
}

impl HashAlgorithm {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Sha256, Self::Sha384, Self::Sha512];

    /// The hash of these bytes.
    #[must_use]
    pub fn digest(self, bytes: &[u8]) -> Vec<u8> {
        match self {
            Self::Sha256 => Sha256::digest(bytes).to_vec(),
            Self::Sha384 => Sha384::digest(bytes).to_vec(),
            Self::Sha512 => Sha512::digest(bytes).to_vec(),
        }
    }
}

impl fmt::Display for HashAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sha256 => "sha256",
            Self::Sha384 => "sha384",
            Self::Sha512 => "sha512",
        })
    }
}

impl FromStr for HashAlgorithm {
    type Err = UnsupportedHash;

    fn from_str(text: &str) -> Result<Self, UnsupportedHash> {
        match text {
            "sha256" => Ok(Self::Sha256),
            "sha384" => Ok(Self::Sha384),
            "sha512" => Ok(Self::Sha512),
            _ => Err(UnsupportedHash(text.to_owned())),
        }
    }
}

/// SubjectPublicKeyInfo ::= SEQUENCE { AlgorithmIdentifier, BIT STRING }
fn split(spki: &[u8]) -> Result<(der::Algorithm, &[u8]), Malformed> {
    let mut outer = Reader::new(spki);
    let mut inner = outer.open(tag::SEQUENCE)?;
    outer.end()?;
    let algorithm = der::Algorithm::read(&mut inner)?;
    let key = inner.bits()?;
    inner.end()?;
    Ok((algorithm, key))
}

/// Whether `key` is an uncompressed point with coordinates of `width` bytes.
fn point(key: &[u8], width: usize) -> Result<(), Error> {
    match key {
        [4, coordinates @ ..] if coordinates.len() == 2 * width => Ok(()),
        [2 | 3, coordinate @ ..] if coordinate.len() == width => Err(Error::CompressedPoint),
        _ => Err(Error::Malformed),
    }
}

fn rsa_size(key: &[u8]) -> Result<KeyAlgorithm, Error> {
    let (n, _) = rsa_numbers(key).map_err(|Malformed| Error::Malformed)?;
    let bits = n.len() * 8 - n.first().map_or(0, |byte| byte.leading_zeros() as usize);
    if !(2048..=8192).contains(&bits) {
        return Err(Error::RsaSize(bits));
    }
    Ok(KeyAlgorithm::Rsa(bits))
}

/// Modulus and exponent of an RSAPublicKey (RFC 8017 appendix A.1.1).
fn rsa_numbers(key: &[u8]) -> Result<(&[u8], &[u8]), Malformed> {
    let mut outer = Reader::new(key);
    let mut inner = outer.open(tag::SEQUENCE)?;
    outer.end()?;
    let numbers = (inner.positive()?, inner.positive()?);
    inner.end()?;
    Ok(numbers)
}

/// Appends strings with their lengths (RFC 4251 section 5).
fn ssh_strings(wire: &mut Vec<u8>, strings: &[&[u8]]) {
    for string in strings {
        let length = u32::try_from(string.len()).expect("no part of a key has four gigabytes");
        wire.extend_from_slice(&length.to_be_bytes());
        wire.extend_from_slice(string);
    }
}

/// The content of an `mpint`: a leading zero where the number would look negative.
fn ssh_number(number: &[u8]) -> Vec<u8> {
    let sign: &[u8] = if number.first().is_some_and(|byte| *byte >= 0x80) {
        &[0]
    } else {
        &[]
    };
    [sign, number].concat()
}

#[cfg(test)]
mod tests;
