//! From bare numbers to what everybody else reads: keys as SubjectPublicKeyInfo (RFC 5280, 4.1.2.7; RFC 3279, RFC 5480), signatures of ECDSA as
//! `ECDSA-Sig-Value` (RFC 3279, 2.2.3).
//!
//! Services and tokens that hold keys give points, moduli and pairs of numbers. That they are a key, or a signature, is for the reader of what comes out
//! to see.

use crate::der::{self, tag};

/// `id-ecPublicKey`, whose parameter is the curve: an encoded object identifier.
pub const EC_PUBLIC_KEY: &[u8] = &[0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
/// The curve P-256, likewise.
pub const P256: &[u8] = &[0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
/// The curve P-384, likewise.
pub const P384: &[u8] = &[0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22];
/// The curve P-521, likewise.
pub const P521: &[u8] = &[0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x23];
/// `rsaEncryption` with its NULL.
const RSA_ENCRYPTION: &[u8] = &[
    0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00,
];

/// A SEQUENCE of what is encoded already.
#[must_use]
pub fn sequence(content: &[u8]) -> Vec<u8> {
    der::encode(tag::SEQUENCE, content)
}

/// An OCTET STRING.
#[must_use]
pub fn octet_string(content: &[u8]) -> Vec<u8> {
    der::encode(tag::OCTET_STRING, content)
}

/// The SubjectPublicKeyInfo of a key: the encoded identifier of its algorithm with its parameters, and what that makes of the key.
#[must_use]
pub fn spki(algorithm: &[u8], key: &[u8]) -> Vec<u8> {
    // No bit of the last byte is unused.
    let key = der::encode(tag::BIT_STRING, &[&[0], key].concat());
    sequence(&[sequence(algorithm), key].concat())
}

/// The SubjectPublicKeyInfo of an RSA key, of its big-endian numbers.
#[must_use]
pub fn spki_of_rsa(modulus: &[u8], exponent: &[u8]) -> Vec<u8> {
    spki(RSA_ENCRYPTION, &pair(modulus, exponent))
}

/// The DER of an ECDSA signature that is its two numbers, of one length, after each other; nothing where they are not.
#[must_use]
pub fn signature_of_numbers(numbers: &[u8]) -> Option<Vec<u8>> {
    if numbers.is_empty() || !numbers.len().is_multiple_of(2) {
        return None;
    }
    let (r, s) = numbers.split_at(numbers.len() / 2);
    Some(pair(r, s))
}

fn pair(first: &[u8], second: &[u8]) -> Vec<u8> {
    sequence(&[der::encode_positive(first), der::encode_positive(second)].concat())
}
