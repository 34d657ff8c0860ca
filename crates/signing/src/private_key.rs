//! Private keys: found in files, written as Go writes them, and signed with.
//!
//! Four forms are read: cosign's encrypted file, PKCS#8 (RFC 5958), SEC1 (RFC 5915) and PKCS#1 (RFC 8017). What comes out lives in wiped memory and
//! goes to the signer only.
//!
//! ```text
//!   ENCRYPTED SIGSTORE PRIVATE KEY ─ password ─▶ PKCS#8 ─┬─ EcKey<P-256, P-384, P-521>
//!   PRIVATE KEY ────────────────────────────────▶ PKCS#8 ─┤  Ed25519Key
//!   EC PRIVATE KEY, RSA PRIVATE KEY ──────────────────────┴─ RsaKey
//! ```

mod ed25519;
mod rsa;

use p256::NistP256;
use p384::NistP384;
use p521::NistP521;
use tekseal_core::Digest;
use zeroize::Zeroizing;

use crate::cosign_key::{self, EncryptedKey};
use crate::curve::{Curve, EcKey};
use crate::der::{Algorithm, Malformed, Reader, encode, tag};
use crate::pem;
use crate::private_key::ed25519::Ed25519Key;
use crate::private_key::rsa::RsaKey;
use crate::public_key::{KeyAlgorithm, PublicKey};
use crate::random::Random;
use crate::signer::Error;

const PKCS8_LABEL: &str = "PRIVATE KEY";
const SEC1_LABEL: &str = "EC PRIVATE KEY";
const RSA_LABEL: &str = "RSA PRIVATE KEY";
const DSA_LABEL: &str = "DSA PRIVATE KEY";
const ENCRYPTED_PKCS8_LABEL: &str = "ENCRYPTED PRIVATE KEY";

/// A private key of any algorithm that cosign verifies.
pub(crate) enum PrivateKey {
    P256(EcKey<NistP256>),
    P384(EcKey<NistP384>),
    P521(EcKey<NistP521>),
    Rsa(RsaKey),
    Ed25519(Ed25519Key),
}

/// A key file after its PEM form has been read: open, or still encrypted.
pub(crate) enum KeyFile {
    /// The key itself.
    Plain(PrivateKey),
    /// A password is needed.
    Encrypted(EncryptedKey),
}

impl KeyFile {
    /// Reads any of the four forms.
    pub(crate) fn from_pem(bytes: &[u8]) -> Result<Self, Error> {
        let block = pem::read(bytes, |label| label.ends_with(PKCS8_LABEL)).map_err(Error::Pem)?;
        match block.label.as_str() {
            cosign_key::LABEL | cosign_key::OLD_LABEL => {
                Ok(Self::Encrypted(EncryptedKey::parse(&block.content)?))
            }
            PKCS8_LABEL => PrivateKey::from_pkcs8(&block.content).map(Self::Plain),
            SEC1_LABEL => PrivateKey::from_sec1(&block.content, None).map(Self::Plain),
            RSA_LABEL => {
                RsaKey::from_der(&block.content).map(|key| Self::Plain(PrivateKey::Rsa(key)))
            }
            DSA_LABEL => Err(Error::Unsupported("DSA")),
            ENCRYPTED_PKCS8_LABEL => Err(Error::EncryptedPkcs8),
            label if label.ends_with("PUBLIC KEY") => Err(Error::PublicKey),
            _ => Err(Error::Label(block.label)),
        }
    }
}

impl PrivateKey {
    /// Reads the DER of a PKCS#8 key.
    pub(crate) fn from_pkcs8(der: &[u8]) -> Result<Self, Error> {
        let parts = split_pkcs8(der)?;
        let key = match parts.algorithm {
            Algorithm::P256 | Algorithm::P384 | Algorithm::P521 => {
                Self::from_sec1(parts.key, Some(parts.algorithm))?
            }
            Algorithm::Rsa => Self::Rsa(RsaKey::from_der(parts.key)?),
            Algorithm::Ed25519 => Self::Ed25519(Ed25519Key::from_der(parts.key)?),
            Algorithm::Other(name) => return Err(Error::Unsupported(name)),
        };
        match parts.public {
            Some(public) if public != key.public_bits() => Err(Error::PublicHalf),
            Some(_) | None => Ok(key),
        }
    }

    /// The key in an ECPrivateKey, whose curve stands inside or was named outside.
    fn from_sec1(der: &[u8], outside: Option<Algorithm>) -> Result<Self, Error> {
        let parts = split_sec1(der)?;
        let curve = match (parts.curve, outside) {
            (Some(inside), Some(outside)) if inside != outside => return Err(Error::Malformed),
            (Some(curve), _) | (None, Some(curve)) => curve,
            (None, None) => return Err(Error::Malformed),
        };
        match curve {
            Algorithm::P256 => of_curve(&parts).map(Self::P256),
            Algorithm::P384 => of_curve(&parts).map(Self::P384),
            Algorithm::P521 => of_curve(&parts).map(Self::P521),
            Algorithm::Rsa | Algorithm::Ed25519 => Err(Error::Malformed),
            Algorithm::Other(name) => Err(Error::Unsupported(name)),
        }
    }

    /// A new key.
    pub(crate) fn generate(algorithm: KeyAlgorithm, random: Random<'_>) -> Result<Self, Error> {
        let made = match algorithm {
            KeyAlgorithm::P256 => EcKey::generate(random)?.map(Self::P256),
            KeyAlgorithm::P384 => EcKey::generate(random)?.map(Self::P384),
            KeyAlgorithm::P521 => EcKey::generate(random)?.map(Self::P521),
            KeyAlgorithm::Ed25519 => Some(Self::Ed25519(Ed25519Key::generate(random)?)),
            KeyAlgorithm::Rsa(_) => return Err(Error::NotMade(algorithm)),
        };
        made.ok_or(Error::BrokenRandom)
    }

    /// The PKCS#8 form, byte for byte as Go's `crypto/x509` writes it.
    pub(crate) fn to_pkcs8(&self) -> Zeroizing<Vec<u8>> {
        let key = match self {
            Self::P256(key) => key.to_sec1(),
            Self::P384(key) => key.to_sec1(),
            Self::P521(key) => key.to_sec1(),
            Self::Rsa(key) => Zeroizing::new(key.to_der().to_vec()),
            Self::Ed25519(key) => key.to_der(),
        };
        let key = Zeroizing::new(encode(tag::OCTET_STRING, &key));
        let identifier = self.algorithm().identifier();
        let identifier = identifier.expect("the algorithms of these keys have one");
        let version = encode(tag::INTEGER, &[0]);
        let content = Zeroizing::new([&version[..], &identifier, &key].concat());
        Zeroizing::new(encode(tag::SEQUENCE, &content))
    }

    /// The public half.
    pub(crate) fn public_key(&self) -> PublicKey {
        PublicKey::of(self.algorithm(), &self.public_bits())
            .expect("keys of these algorithms and sizes can verify")
    }

    /// What a SubjectPublicKeyInfo has in its BIT STRING.
    fn public_bits(&self) -> Vec<u8> {
        match self {
            Self::P256(key) => key.point(),
            Self::P384(key) => key.point(),
            Self::P521(key) => key.point(),
            Self::Rsa(key) => key.public().to_vec(),
            Self::Ed25519(key) => key.public().to_vec(),
        }
    }

    fn algorithm(&self) -> Algorithm {
        match self {
            Self::P256(_) => NistP256::ALGORITHM,
            Self::P384(_) => NistP384::ALGORITHM,
            Self::P521(_) => NistP521::ALGORITHM,
            Self::Rsa(_) => Algorithm::Rsa,
            Self::Ed25519(_) => Algorithm::Ed25519,
        }
    }

    /// The signature over a message: SHA-256 but for Ed25519, the same each time. Nothing where the arithmetic failed.
    pub(crate) fn sign(&self, message: &[u8]) -> Option<Vec<u8>> {
        match self {
            Self::P256(_) | Self::P384(_) | Self::P521(_) => {
                self.sign_digest(&Digest::of(message).to_bytes())
            }
            Self::Rsa(key) => key.sign(message),
            Self::Ed25519(key) => Some(key.sign(message)),
        }
    }

    /// The same over a message with this SHA-256; nothing for keys that sign whole messages only.
    pub(crate) fn sign_digest(&self, digest: &[u8; 32]) -> Option<Vec<u8>> {
        match self {
            Self::P256(key) => Some(key.sign_digest(digest)),
            Self::P384(key) => Some(key.sign_digest(digest)),
            Self::P521(key) => Some(key.sign_digest(digest)),
            Self::Rsa(_) | Self::Ed25519(_) => None,
        }
    }

    /// Whether cosign would import it.
    pub(crate) fn check_usual(&self) -> Result<(), Error> {
        match self {
            Self::Rsa(key) => key.check_usual(),
            Self::P256(_) | Self::P384(_) | Self::P521(_) | Self::Ed25519(_) => Ok(()),
        }
    }
}

/// What a PrivateKeyInfo holds.
struct Pkcs8<'a> {
    algorithm: Algorithm,
    key: &'a [u8],
    public: Option<&'a [u8]>,
}

/// PrivateKeyInfo ::= SEQUENCE { version, AlgorithmIdentifier, OCTET STRING, [0] attributes OPTIONAL, [1] BIT STRING OPTIONAL }
fn split_pkcs8(der: &[u8]) -> Result<Pkcs8<'_>, Malformed> {
    let mut outer = Reader::new(der);
    let mut inner = outer.open(tag::SEQUENCE)?;
    outer.end()?;
    if !matches!(inner.value(tag::INTEGER)?, [0 | 1]) {
        return Err(Malformed);
    }
    let algorithm = Algorithm::read(&mut inner)?;
    let key = inner.value(tag::OCTET_STRING)?;
    inner.optional(tag::CONTEXT_0)?;
    let public = match inner.optional(tag::PRIMITIVE_1)? {
        None => None,
        Some([0, bits @ ..]) => Some(bits),
        Some(_) => return Err(Malformed),
    };
    inner.end()?;
    Ok(Pkcs8 {
        algorithm,
        key,
        public,
    })
}

/// What an ECPrivateKey holds.
struct Sec1<'a> {
    scalar: &'a [u8],
    curve: Option<Algorithm>,
    point: Option<&'a [u8]>,
}

/// ECPrivateKey ::= SEQUENCE { 1, OCTET STRING, [0] curve OPTIONAL, [1] point OPTIONAL }
fn split_sec1(der: &[u8]) -> Result<Sec1<'_>, Malformed> {
    let mut outer = Reader::new(der);
    let mut inner = outer.open(tag::SEQUENCE)?;
    outer.end()?;
    if inner.value(tag::INTEGER)? != [1] {
        return Err(Malformed);
    }
    let scalar = inner.value(tag::OCTET_STRING)?;
    let curve = inner
        .optional(tag::CONTEXT_0)?
        .map(|content| {
            Reader::new(content)
                .value(tag::OID)
                .map(Algorithm::of_curve)
        })
        .transpose()?;
    let point = inner
        .optional(tag::CONTEXT_1)?
        .map(|content| Reader::new(content).bits())
        .transpose()?;
    inner.end()?;
    Ok(Sec1 {
        scalar,
        curve,
        point,
    })
}

fn of_curve<C: Curve>(parts: &Sec1<'_>) -> Result<EcKey<C>, Error> {
    let key = EcKey::from_scalar(parts.scalar).ok_or(Error::Malformed)?;
    // A public half that belongs to another key would make a signer whose signatures nobody can verify.
    if parts.point.is_some_and(|point| point != key.point()) {
        return Err(Error::PublicHalf);
    }
    Ok(key)
}

#[cfg(test)]
mod tests;
