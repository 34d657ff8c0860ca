//! Finds the P-256 scalar in a private key file.
//!
//! Three forms are read: cosign's encrypted file, PKCS#8 (RFC 5958) and SEC1 (RFC 5915). What comes out lives in wiped
//! memory and goes to the signer only.

use p256::ecdsa::SigningKey;
use zeroize::Zeroizing;

use crate::cosign_key::{self, EncryptedKey};
use crate::der::{Algorithm, Malformed, Reader, tag};
use crate::pem;
use crate::signer::Error;

const PKCS8_LABEL: &str = "PRIVATE KEY";
const SEC1_LABEL: &str = "EC PRIVATE KEY";
const RSA_LABEL: &str = "RSA PRIVATE KEY";
const ENCRYPTED_PKCS8_LABEL: &str = "ENCRYPTED PRIVATE KEY";

/// A key file after its PEM form has been read: open, or still encrypted.
pub(crate) enum KeyFile {
    /// The key itself.
    Plain(SigningKey),
    /// A password is needed.
    Encrypted(EncryptedKey),
}

impl KeyFile {
    /// Reads any of the three forms.
    pub(crate) fn from_pem(bytes: &[u8]) -> Result<Self, Error> {
        let block = pem::read(bytes, |label| label.ends_with(PKCS8_LABEL)).map_err(Error::Pem)?;
        match block.label.as_str() {
            cosign_key::LABEL | cosign_key::OLD_LABEL => {
                Ok(Self::Encrypted(EncryptedKey::parse(&block.content)?))
            }
            PKCS8_LABEL => from_pkcs8(&block.content).map(Self::Plain),
            SEC1_LABEL => from_sec1(&block.content, None).map(Self::Plain),
            RSA_LABEL => Err(Error::Unsupported(Algorithm::Rsa.name())),
            ENCRYPTED_PKCS8_LABEL => Err(Error::EncryptedPkcs8),
            label if label.ends_with("PUBLIC KEY") => Err(Error::PublicKey),
            _ => Err(Error::Label(block.label)),
        }
    }
}

/// PrivateKeyInfo ::= SEQUENCE { version, AlgorithmIdentifier, OCTET STRING, … }
pub(crate) fn from_pkcs8(der: &[u8]) -> Result<SigningKey, Error> {
    let (algorithm, key) = split_pkcs8(der)?;
    if algorithm != Algorithm::P256 {
        return Err(Error::Unsupported(algorithm.name()));
    }
    from_sec1(key, Some(algorithm))
}

fn split_pkcs8(der: &[u8]) -> Result<(Algorithm, &[u8]), Malformed> {
    let mut outer = Reader::new(der);
    let mut inner = outer.open(tag::SEQUENCE)?;
    outer.end()?;
    if !matches!(inner.value(tag::INTEGER)?, [0 | 1]) {
        return Err(Malformed);
    }
    Ok((
        Algorithm::read(&mut inner)?,
        inner.value(tag::OCTET_STRING)?,
    ))
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

/// The key in an ECPrivateKey, whose curve stands inside or was named outside.
fn from_sec1(der: &[u8], outside: Option<Algorithm>) -> Result<SigningKey, Error> {
    let Sec1 {
        scalar,
        curve,
        point,
    } = split_sec1(der)?;
    let algorithm = curve.or(outside).ok_or(Error::Malformed)?;
    if algorithm != Algorithm::P256 {
        return Err(Error::Unsupported(algorithm.name()));
    }
    let key = SigningKey::from_slice(scalar).map_err(|_| Error::Malformed)?;
    // A public half that belongs to another key would make a signer whose signatures nobody can verify.
    if point.is_some_and(|point| point != public_point(&key)) {
        return Err(Error::PublicHalf);
    }
    Ok(key)
}

/// The public key as an uncompressed point.
pub(crate) fn public_point(key: &SigningKey) -> [u8; 65] {
    let point = key.verifying_key().to_sec1_point(false);
    point
        .as_bytes()
        .try_into()
        .expect("an uncompressed point of P-256 has 65 bytes")
}

/// The PKCS#8 form, byte for byte as Go's `crypto/x509` writes it.
pub(crate) fn to_pkcs8(key: &SigningKey) -> Zeroizing<Vec<u8>> {
    let mut der = Zeroizing::new(Vec::with_capacity(138));
    der.extend_from_slice(&PKCS8_HEAD);
    der.extend_from_slice(&Zeroizing::new(<[u8; 32]>::from(key.to_bytes()))[..]);
    der.extend_from_slice(&POINT_HEAD);
    der.extend_from_slice(&public_point(key));
    der
}

/// PrivateKeyInfo and ECPrivateKey for P-256, up to the 32 bytes of the scalar.
const PKCS8_HEAD: [u8; 36] = [
    0x30, 0x81, 0x87, 0x02, 0x01, 0x00, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02,
    0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x04, 0x6d, 0x30, 0x6b, 0x02,
    0x01, 0x01, 0x04, 0x20,
];
/// `[1] { BIT STRING`, up to the point.
const POINT_HEAD: [u8; 5] = [0xa1, 0x44, 0x03, 0x42, 0x00];

#[cfg(test)]
mod tests {
    use super::*;

    const P256_SEC1: &[u8] = include_bytes!("testdata/p256.sec1.pem");
    const P256_PKCS8: &[u8] = include_bytes!("testdata/p256.pkcs8.pem");

    fn plain(pem: &[u8]) -> SigningKey {
        match KeyFile::from_pem(pem).expect("a good key") {
            KeyFile::Plain(key) => key,
            KeyFile::Encrypted(_) => panic!("the file is not encrypted"),
        }
    }

    fn error(pem: &[u8]) -> Error {
        KeyFile::from_pem(pem).err().expect("not a supported key")
    }

    fn content(pem: &[u8]) -> Vec<u8> {
        pem::read(pem, |label| label.ends_with(PKCS8_LABEL))
            .expect("a good file")
            .content
            .to_vec()
    }

    #[test]
    fn sec1_behind_its_parameters_and_pkcs8_are_the_same_key() {
        assert!(P256_SEC1.starts_with(b"-----BEGIN EC PARAMETERS-----"));
        assert_eq!(to_pkcs8(&plain(P256_SEC1)), to_pkcs8(&plain(P256_PKCS8)));
        let without = pem::write(SEC1_LABEL, &content(P256_SEC1));
        assert_eq!(
            to_pkcs8(&plain(without.as_bytes())),
            to_pkcs8(&plain(P256_PKCS8))
        );
    }

    #[test]
    fn the_pkcs8_form_is_that_of_openssl_and_cosign() {
        assert_eq!(*to_pkcs8(&plain(P256_PKCS8)), content(P256_PKCS8));
        let KeyFile::Encrypted(key) =
            KeyFile::from_pem(include_bytes!("testdata/a.key")).expect("a good key")
        else {
            panic!("the file is encrypted");
        };
        let der = key.open(b"test").expect("the right password");
        assert_eq!(to_pkcs8(&from_pkcs8(&der).expect("P-256")), der);
    }

    #[test]
    fn keys_of_other_algorithms_are_named() {
        let named = |pem: &[u8], name: &str| {
            assert_eq!(
                error(pem).to_string(),
                format!("signing with {name} keys is not supported yet, use ECDSA P-256")
            );
        };
        named(include_bytes!("testdata/p384.plain.pem"), "ECDSA P-384");
        named(include_bytes!("testdata/rsa.plain.pem"), "RSA");
        named(include_bytes!("testdata/ed.plain.pem"), "Ed25519");
        named(pem::write(RSA_LABEL, b"x").as_bytes(), "RSA");
    }

    #[test]
    fn files_that_are_no_usable_private_key_have_their_own_errors() {
        assert!(matches!(
            error(include_bytes!("testdata/a.pub")),
            Error::PublicKey
        ));
        assert!(matches!(
            error(pem::write(ENCRYPTED_PKCS8_LABEL, b"x").as_bytes()),
            Error::EncryptedPkcs8
        ));
        assert!(
            matches!(error(pem::write("OPENSSH PRIVATE KEY", b"x").as_bytes()), Error::Label(l) if l.starts_with("OPENSSH"))
        );
        assert!(matches!(error(b"hello"), Error::Pem(pem::Error::NoBlock)));
        assert!(matches!(
            error(pem::write(PKCS8_LABEL, b"x").as_bytes()),
            Error::Malformed
        ));
        assert!(matches!(
            error(pem::write(SEC1_LABEL, b"x").as_bytes()),
            Error::Malformed
        ));
        let old = pem::write(cosign_key::OLD_LABEL, b"{}");
        assert!(matches!(
            error(old.as_bytes()),
            Error::File(cosign_key::Error::Json(_))
        ));
    }

    #[test]
    fn a_scalar_of_zero_or_beyond_the_order_is_refused() {
        let original = content(P256_PKCS8);
        for byte in [0, 0xff] {
            let mut der = original.clone();
            der[PKCS8_HEAD.len()..][..32].fill(byte);
            assert!(matches!(from_pkcs8(&der), Err(Error::Malformed)));
        }
    }

    #[test]
    fn no_changed_bit_and_no_part_of_a_plain_key_gives_another_key() {
        for (der, read) in [
            (
                content(P256_PKCS8),
                from_pkcs8 as fn(&[u8]) -> Result<SigningKey, Error>,
            ),
            (content(P256_SEC1), |der| from_sec1(der, None)),
        ] {
            let original = to_pkcs8(&read(&der).expect("unchanged"));
            for bit in 0..der.len() * 8 {
                let mut changed = der.clone();
                changed[bit / 8] ^= 1 << (bit % 8);
                // The version is the one bit that says nothing about the key.
                assert!(
                    read(&changed).map_or(true, |key| to_pkcs8(&key) == original),
                    "bit {bit}"
                );
            }
            for length in 0..der.len() {
                assert!(read(&der[..length]).is_err(), "{length} bytes");
            }
        }
    }
}
