//! From the numbers of tokens to the ASN.1 that everybody else reads, and back.
//!
//! Tokens give points and moduli, and take and give bare numbers; keys travel as SubjectPublicKeyInfo (RFC 5280, 4.1.2.7; RFC 3279, RFC 5480, RFC 8410),
//! signatures of ECDSA as `ECDSA-Sig-Value` (RFC 3279, 2.2.3), and what RSA signs is a `DigestInfo` (RFC 8017, 9.2).

use tekseal_signing::{HashAlgorithm, asn1};

pub(crate) use tekseal_signing::asn1::{signature_of_numbers, spki_of_rsa};

/// An elliptic curve that keys can be on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Curve {
    P256,
    P384,
    P521,
    Ed25519,
}

const OCTET_STRING: u8 = 0x04;

impl Curve {
    const ALL: [Self; 4] = [Self::P256, Self::P384, Self::P521, Self::Ed25519];

    /// The object identifier of the curve: CKA_EC_PARAMS.
    pub(crate) fn params(self) -> &'static [u8] {
        match self {
            Self::P256 => asn1::P256,
            Self::P384 => asn1::P384,
            Self::P521 => asn1::P521,
            Self::Ed25519 => &[0x06, 0x03, 0x2b, 0x65, 0x70],
        }
    }

    /// The curve of CKA_EC_PARAMS. For Ed25519 PKCS#11 has also a name, and had another identifier.
    pub(crate) fn of_params(params: &[u8]) -> Option<Self> {
        const NAME: &[u8] = b"\x13\x0cedwards25519";
        const FORMER: &[u8] = &[
            0x06, 0x09, 0x2b, 0x06, 0x01, 0x04, 0x01, 0xda, 0x47, 0x0f, 0x01,
        ];
        if params == NAME || params == FORMER {
            return Some(Self::Ed25519);
        }
        Self::ALL.into_iter().find(|curve| curve.params() == params)
    }

    /// The bytes of a number of the curve.
    pub(crate) fn size(self) -> usize {
        match self {
            Self::P256 | Self::Ed25519 => 32,
            Self::P384 => 48,
            Self::P521 => 66,
        }
    }
}

/// The SubjectPublicKeyInfo of a key on a curve. `point` is CKA_EC_POINT: wrapped in an OCTET STRING, or, in some tokens, bare.
pub(crate) fn spki_of_point(curve: Curve, point: &[u8]) -> Option<Vec<u8>> {
    let bare = match curve {
        Curve::Ed25519 => curve.size(),
        _ => 1 + 2 * curve.size(),
    };
    let point = match point.len() == bare {
        true => point,
        false => octet_string(point)?,
    };
    if point.len() != bare {
        return None;
    }
    let algorithm = match curve {
        Curve::Ed25519 => curve.params().to_vec(),
        _ => [asn1::EC_PUBLIC_KEY, curve.params()].concat(),
    };
    Some(asn1::spki(&algorithm, point))
}

/// What an RSA key signs in place of this digest.
pub(crate) fn digest_info(hash: HashAlgorithm, digest: &[u8]) -> Vec<u8> {
    let last = match hash {
        HashAlgorithm::Sha256 => 1,
        HashAlgorithm::Sha384 => 2,
        HashAlgorithm::Sha512 => 3,
    };
    // 2.16.840.1.101.3.4.2.N, with its NULL.
    let algorithm = [
        0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, last, 0x05, 0x00,
    ];
    asn1::sequence(&[asn1::sequence(&algorithm), asn1::octet_string(digest)].concat())
}

/// The content of an OCTET STRING of less than 256 bytes, with nothing behind it.
fn octet_string(bytes: &[u8]) -> Option<&[u8]> {
    let (length, content) = match bytes {
        [OCTET_STRING, 0x81, length, content @ ..] if *length >= 0x80 => (*length, content),
        [OCTET_STRING, length, content @ ..] if *length < 0x80 => (*length, content),
        _ => return None,
    };
    (content.len() == usize::from(length)).then_some(content)
}

#[cfg(test)]
mod tests {
    use tekseal_signing::{KeyAlgorithm, PublicKey};

    use super::*;

    #[test]
    fn keys_of_tokens_are_what_everybody_reads() {
        for (curve, algorithm) in [
            (Curve::P256, KeyAlgorithm::P256),
            (Curve::P384, KeyAlgorithm::P384),
            (Curve::P521, KeyAlgorithm::P521),
            (Curve::Ed25519, KeyAlgorithm::Ed25519),
        ] {
            assert_eq!(Curve::of_params(curve.params()), Some(curve));
            let point = match curve {
                Curve::Ed25519 => vec![9; 32],
                _ => [vec![4], vec![9; 2 * curve.size()]].concat(),
            };
            let wrapped = asn1::octet_string(&point);
            let spki = spki_of_point(curve, &wrapped).expect("it is one");
            assert_eq!(spki_of_point(curve, &point), Some(spki.clone()));
            let key = PublicKey::from_spki(&spki).expect("it is one");
            assert_eq!(key.algorithm(), algorithm);
            for bad in [
                &wrapped[1..],
                &wrapped[..wrapped.len() - 1],
                &[],
                &[4, 0x81],
            ] {
                assert_eq!(spki_of_point(curve, bad), None);
            }
        }
        assert_eq!(
            Curve::of_params(b"\x13\x0cedwards25519"),
            Some(Curve::Ed25519)
        );
        assert_eq!(Curve::of_params(b"\x13\x0aedwards448"), None);
        let spki = spki_of_rsa(&[0xc1; 256], &[0, 1, 0, 1]);
        let key = PublicKey::from_spki(&spki).expect("it is one");
        assert_eq!(key.algorithm(), KeyAlgorithm::Rsa(2048));
    }

    #[test]
    fn numbers_are_in_their_shortest_form() {
        let signature = signature_of_numbers(&[0, 0x7f, 0, 0x80]).expect("two numbers");
        assert_eq!(signature, [0x30, 7, 2, 1, 0x7f, 2, 2, 0, 0x80]);
        let zero = signature_of_numbers(&[0, 0]).expect("two numbers");
        assert_eq!(zero, [0x30, 6, 2, 1, 0, 2, 1, 0]);
        assert_eq!(signature_of_numbers(&[1, 2, 3]), None);
        assert_eq!(signature_of_numbers(&[]), None);
        // Of a P-521 key: the length needs a byte of its own.
        let long = signature_of_numbers(&[0xff; 132]).expect("two numbers");
        assert_eq!(long[..6], [0x30, 0x81, 0x8a, 2, 0x43, 0]);
    }

    #[test]
    fn what_rsa_signs_begins_as_rfc_8017_says() {
        let info = digest_info(HashAlgorithm::Sha256, &[7; 32]);
        assert_eq!(
            info[..19],
            [
                0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02,
                0x01, 0x05, 0x00, 0x04, 0x20
            ]
        );
        let info = digest_info(HashAlgorithm::Sha512, &[7; 64]);
        assert_eq!((info[1], info[14], info[18]), (0x51, 3, 0x40));
    }
}
