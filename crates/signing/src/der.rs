//! Reads the few DER structures that keys are made of, strictly.
//!
//! Specification: ITU-T X.690; the structures are in RFC 5280 (SubjectPublicKeyInfo), RFC 5958 (PKCS#8) and RFC 5915
//! (SEC1). Only what DER allows is accepted: definite lengths in their shortest form.

/// Tags that keys use.
pub(crate) mod tag {
    pub(crate) const INTEGER: u8 = 0x02;
    pub(crate) const BIT_STRING: u8 = 0x03;
    pub(crate) const OCTET_STRING: u8 = 0x04;
    pub(crate) const OID: u8 = 0x06;
    pub(crate) const SEQUENCE: u8 = 0x30;
    /// `[0]`, constructed.
    pub(crate) const CONTEXT_0: u8 = 0xa0;
    /// `[1]`, constructed.
    pub(crate) const CONTEXT_1: u8 = 0xa1;
}

/// The contents of object identifiers.
pub(crate) mod oid {
    /// 1.2.840.10045.2.1, id-ecPublicKey.
    pub(crate) const EC: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
    /// 1.2.840.10045.3.1.7, the curve P-256.
    pub(crate) const P256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
    /// 1.3.132.0.34, the curve P-384.
    pub(crate) const P384: &[u8] = &[0x2b, 0x81, 0x04, 0x00, 0x22];
    /// 1.3.132.0.35, the curve P-521.
    pub(crate) const P521: &[u8] = &[0x2b, 0x81, 0x04, 0x00, 0x23];
    /// 1.3.132.0.10, the curve secp256k1.
    pub(crate) const SECP256K1: &[u8] = &[0x2b, 0x81, 0x04, 0x00, 0x0a];
    /// 1.2.840.113549.1.1.1, RSA.
    pub(crate) const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
    /// 1.3.101.112, Ed25519.
    pub(crate) const ED25519: &[u8] = &[0x2b, 0x65, 0x70];
}

/// The bytes are not the DER structure that was looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

/// A cursor over DER.
#[derive(Clone, Copy)]
pub(crate) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// Starts at the first byte.
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// Whether everything has been read.
    pub(crate) fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    /// The content of the next value, which must have this tag.
    pub(crate) fn value(&mut self, tag: u8) -> Result<&'a [u8], Malformed> {
        let [found, length, rest @ ..] = self.0 else {
            return Err(Malformed);
        };
        if *found != tag {
            return Err(Malformed);
        }
        let (length, rest) = match (*length, rest) {
            (short @ 0..=0x7f, rest) => (usize::from(short), rest),
            (0x81, [a, rest @ ..]) if *a >= 0x80 => (usize::from(*a), rest),
            (0x82, [a, b, rest @ ..]) if *a > 0 => {
                (usize::from(u16::from_be_bytes([*a, *b])), rest)
            }
            _ => return Err(Malformed),
        };
        let (content, rest) = rest.split_at_checked(length).ok_or(Malformed)?;
        self.0 = rest;
        Ok(content)
    }

    /// The content of the next value if it has this tag.
    pub(crate) fn optional(&mut self, tag: u8) -> Result<Option<&'a [u8]>, Malformed> {
        if self.0.first() != Some(&tag) {
            return Ok(None);
        }
        self.value(tag).map(Some)
    }

    /// The next value, opened: a cursor over its content.
    pub(crate) fn open(&mut self, tag: u8) -> Result<Self, Malformed> {
        self.value(tag).map(Self)
    }

    /// The content of a BIT STRING of whole bytes.
    pub(crate) fn bits(&mut self) -> Result<&'a [u8], Malformed> {
        let [0, bits @ ..] = self.value(tag::BIT_STRING)? else {
            return Err(Malformed);
        };
        Ok(bits)
    }

    /// A positive INTEGER, big-endian, without leading zero.
    pub(crate) fn positive(&mut self) -> Result<&'a [u8], Malformed> {
        match self.value(tag::INTEGER)? {
            [0, rest @ ..] if rest.first().is_some_and(|byte| *byte >= 0x80) => Ok(rest),
            number @ [0x01..=0x7f, ..] => Ok(number),
            _ => Err(Malformed),
        }
    }

    /// Says that nothing may follow.
    pub(crate) fn end(self) -> Result<(), Malformed> {
        if self.is_empty() {
            Ok(())
        } else {
            Err(Malformed)
        }
    }
}

/// An algorithm as an AlgorithmIdentifier names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Algorithm {
    P256,
    P384,
    P521,
    /// A curve that no image signer uses.
    OtherCurve(&'static str),
    Rsa,
    Ed25519,
    /// An object identifier that is not known here.
    Unknown,
}

impl Algorithm {
    /// Reads an AlgorithmIdentifier: SEQUENCE { OID, parameters }.
    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let mut identifier = reader.open(tag::SEQUENCE)?;
        Ok(match identifier.value(tag::OID)? {
            oid::EC => Self::of_curve(identifier.value(tag::OID)?),
            oid::RSA => Self::Rsa,
            oid::ED25519 => {
                identifier.end()?;
                Self::Ed25519
            }
            _ => Self::Unknown,
        })
    }

    /// The algorithm of keys on this curve.
    pub(crate) fn of_curve(oid: &[u8]) -> Self {
        match oid {
            oid::P256 => Self::P256,
            oid::P384 => Self::P384,
            oid::P521 => Self::P521,
            oid::SECP256K1 => Self::OtherCurve("secp256k1"),
            _ => Self::OtherCurve("an elliptic curve that is not known here"),
        }
    }

    /// How people call it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::P256 => "ECDSA P-256",
            Self::P384 => "ECDSA P-384",
            Self::P521 => "ECDSA P-521",
            Self::OtherCurve(name) => name,
            Self::Rsa => "RSA",
            Self::Ed25519 => "Ed25519",
            Self::Unknown => "an algorithm that is not known here",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(bytes: &[u8]) -> Result<usize, Malformed> {
        Reader::new(bytes).value(tag::OCTET_STRING).map(<[u8]>::len)
    }

    #[test]
    fn lengths_are_read_in_their_shortest_form_only() {
        let long = |head: &[u8], length: usize| [head, &vec![7; length]].concat();
        assert_eq!(content(&long(&[4, 0], 0)), Ok(0));
        assert_eq!(content(&long(&[4, 0x7f], 0x7f)), Ok(0x7f));
        assert_eq!(content(&long(&[4, 0x81, 0x80], 0x80)), Ok(0x80));
        assert_eq!(content(&long(&[4, 0x82, 1, 0], 0x100)), Ok(0x100));
        for bad in [
            &[4u8][..],
            &[],
            &[4, 1],
            &[5, 0],
            &[4, 0x80, 0, 0],
            &[4, 0x81, 1, 7],
            &[4, 0x82, 0, 1, 7],
            &[4, 0x83, 0, 0, 1, 7],
        ] {
            assert_eq!(content(bad), Err(Malformed), "{bad:?}");
        }
    }

    #[test]
    fn integers_must_be_positive_and_short() {
        let number = |bytes: &'static [u8]| Reader::new(bytes).positive();
        assert_eq!(number(&[2, 1, 5]), Ok(&[5u8][..]));
        assert_eq!(number(&[2, 2, 0, 0x80]), Ok(&[0x80u8][..]));
        for bad in [&[2u8, 0][..], &[2, 1, 0], &[2, 1, 0x80], &[2, 2, 0, 1]] {
            assert_eq!(number(bad), Err(Malformed), "{bad:?}");
        }
    }
}
