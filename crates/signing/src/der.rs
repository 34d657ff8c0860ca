//! Reads the DER structures that keys, certificates and timestamps are made of, strictly.
//!
//! Specification: ITU-T X.690; the structures are in RFC 5280 (SubjectPublicKeyInfo, Certificate), RFC 5958 (PKCS#8), RFC 5915
//! (SEC1), RFC 5652 (SignedData) and RFC 3161 (TimeStampResp). Only what DER allows is accepted: definite lengths in their
//! shortest form, of less than 64 KiB.

pub(crate) mod time;

/// Tags that are used.
pub(crate) mod tag {
    pub(crate) const BOOLEAN: u8 = 0x01;
    pub(crate) const INTEGER: u8 = 0x02;
    pub(crate) const BIT_STRING: u8 = 0x03;
    pub(crate) const OCTET_STRING: u8 = 0x04;
    pub(crate) const NULL: u8 = 0x05;
    pub(crate) const OID: u8 = 0x06;
    pub(crate) const UTF8_STRING: u8 = 0x0c;
    pub(crate) const UTC_TIME: u8 = 0x17;
    pub(crate) const GENERALIZED_TIME: u8 = 0x18;
    pub(crate) const SEQUENCE: u8 = 0x30;
    pub(crate) const SET: u8 = 0x31;
    /// `[0]`, constructed.
    pub(crate) const CONTEXT_0: u8 = 0xa0;
    /// `[1]`, constructed.
    pub(crate) const CONTEXT_1: u8 = 0xa1;
    /// `[3]`, constructed.
    pub(crate) const CONTEXT_3: u8 = 0xa3;
    /// `[4]`, constructed.
    pub(crate) const CONTEXT_4: u8 = 0xa4;
    /// `[0]`, primitive.
    pub(crate) const PRIMITIVE_0: u8 = 0x80;
    /// `[1]`, primitive.
    pub(crate) const PRIMITIVE_1: u8 = 0x81;
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
    /// 1.2.840.113549.1.1.10, RSA for PSS alone.
    pub(crate) const RSA_PSS: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0a];
    /// 1.2.840.10040.4.1, DSA.
    pub(crate) const DSA: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x38, 0x04, 0x01];
    /// 1.3.101.110, X25519.
    pub(crate) const X25519: &[u8] = &[0x2b, 0x65, 0x6e];
    /// 1.3.101.111, X448.
    pub(crate) const X448: &[u8] = &[0x2b, 0x65, 0x6f];
    /// 1.3.101.112, Ed25519.
    pub(crate) const ED25519: &[u8] = &[0x2b, 0x65, 0x70];
    /// 1.3.101.113, Ed448.
    pub(crate) const ED448: &[u8] = &[0x2b, 0x65, 0x71];
}

/// The bytes are not the DER structure that was looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

/// One value as it stands.
#[derive(Clone, Copy)]
pub(crate) struct Value<'a> {
    pub(crate) tag: u8,
    pub(crate) content: &'a [u8],
    /// With tag and length.
    pub(crate) raw: &'a [u8],
}

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

    /// How many bytes have not been read.
    pub(crate) fn remaining(self) -> usize {
        self.0.len()
    }

    /// The next value, whatever it is.
    pub(crate) fn any(&mut self) -> Result<Value<'a>, Malformed> {
        let whole = self.0;
        let [tag, length, rest @ ..] = whole else {
            return Err(Malformed);
        };
        // A tag of several bytes is in no structure that is read here.
        if tag & 0x1f == 0x1f {
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
        let (raw, _) = whole
            .split_at_checked(whole.len() - rest.len())
            .ok_or(Malformed)?;
        self.0 = rest;
        Ok(Value {
            tag: *tag,
            content,
            raw,
        })
    }

    /// The content of the next value, which must have this tag.
    pub(crate) fn value(&mut self, tag: u8) -> Result<&'a [u8], Malformed> {
        if self.0.first() != Some(&tag) {
            return Err(Malformed);
        }
        self.any().map(|value| value.content)
    }

    /// The next value with its tag and length; it must have this tag.
    pub(crate) fn raw(&mut self, tag: u8) -> Result<&'a [u8], Malformed> {
        if self.0.first() != Some(&tag) {
            return Err(Malformed);
        }
        self.any().map(|value| value.raw)
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

    /// The next value if it has this tag, opened.
    pub(crate) fn open_optional(&mut self, tag: u8) -> Result<Option<Self>, Malformed> {
        Ok(self.optional(tag)?.map(Self))
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

    /// An INTEGER of any sign, big-endian, as it stands.
    pub(crate) fn integer(&mut self) -> Result<&'a [u8], Malformed> {
        match self.value(tag::INTEGER)? {
            [] | [0, 0..=0x7f, ..] | [0xff, 0x80..=0xff, ..] => Err(Malformed),
            number => Ok(number),
        }
    }

    /// An INTEGER from 0 to 127: a version or a status.
    pub(crate) fn small(&mut self) -> Result<u8, Malformed> {
        match self.integer()? {
            [number @ 0..=0x7f] => Ok(*number),
            _ => Err(Malformed),
        }
    }

    /// A BOOLEAN that may be left out, which is false. An explicit false is not DER, but widely written.
    pub(crate) fn flag(&mut self) -> Result<bool, Malformed> {
        match self.optional(tag::BOOLEAN)? {
            None | Some([0]) => Ok(false),
            Some([0xff]) => Ok(true),
            Some(_) => Err(Malformed),
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

/// A value of this tag and content.
pub(crate) fn encode(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut value = vec![tag];
    let length = content.len().to_be_bytes();
    match length.iter().position(|byte| *byte != 0) {
        None => value.push(0),
        Some(first) => {
            let significant = length.get(first..).unwrap_or_default();
            match significant {
                [short @ 0..=0x7f] => value.push(*short),
                long => {
                    value.extend(u8::try_from(long.len()).map(|count| 0x80 | count));
                    value.extend_from_slice(long);
                }
            }
        }
    }
    value.extend_from_slice(content);
    value
}

/// A positive INTEGER of this big-endian number, which may have leading zeros.
pub(crate) fn encode_positive(number: &[u8]) -> Vec<u8> {
    let first = number.iter().position(|byte| *byte != 0);
    let significant = first.and_then(|first| number.get(first..));
    let significant = significant.unwrap_or(&[0]);
    let sign: &[u8] = match significant.first() {
        Some(0x80..) => &[0],
        Some(_) | None => &[],
    };
    encode(
        tag::INTEGER,
        &zeroize::Zeroizing::new([sign, significant].concat()),
    )
}

/// An object identifier in dotted form, for messages.
pub(crate) fn dotted(oid: &[u8]) -> String {
    const MOST: usize = 40;
    let mut parts = Vec::new();
    let mut part = 0u64;
    for byte in oid.iter().take(MOST) {
        part = part << 7 | u64::from(byte & 0x7f);
        if byte & 0x80 != 0 {
            continue;
        }
        if parts.is_empty() {
            let first = (part / 40).min(2);
            parts.push(first.to_string());
            part -= 40 * first;
        }
        parts.push(part.to_string());
        part = 0;
    }
    parts.join(".")
}

/// An algorithm as an AlgorithmIdentifier names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Algorithm {
    P256,
    P384,
    P521,
    Rsa,
    Ed25519,
    /// One that no image signer uses.
    Other(&'static str),
}

impl Algorithm {
    /// Reads an AlgorithmIdentifier: SEQUENCE { OID, parameters }.
    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let mut identifier = reader.open(tag::SEQUENCE)?;
        Ok(match identifier.value(tag::OID)? {
            oid::EC => {
                let curve = Self::of_curve(identifier.value(tag::OID)?);
                identifier.end()?;
                curve
            }
            oid::RSA => {
                identifier.optional(tag::NULL)?;
                identifier.end()?;
                Self::Rsa
            }
            oid::ED25519 => {
                identifier.end()?;
                Self::Ed25519
            }
            oid::RSA_PSS => Self::Other("RSA-PSS"),
            oid::DSA => Self::Other("DSA"),
            oid::X25519 => Self::Other("X25519"),
            oid::X448 => Self::Other("X448"),
            oid::ED448 => Self::Other("Ed448"),
            _ => Self::Other("an algorithm that is not known here"),
        })
    }

    /// The algorithm of keys on this curve.
    pub(crate) fn of_curve(oid: &[u8]) -> Self {
        match oid {
            oid::P256 => Self::P256,
            oid::P384 => Self::P384,
            oid::P521 => Self::P521,
            oid::SECP256K1 => Self::Other("secp256k1"),
            _ => Self::Other("an elliptic curve that is not known here"),
        }
    }

    /// The AlgorithmIdentifier of keys of this algorithm.
    pub(crate) fn identifier(self) -> Option<Vec<u8>> {
        let of_curve = |curve| [encode(tag::OID, oid::EC), encode(tag::OID, curve)].concat();
        let content = match self {
            Self::P256 => of_curve(oid::P256),
            Self::P384 => of_curve(oid::P384),
            Self::P521 => of_curve(oid::P521),
            Self::Rsa => [encode(tag::OID, oid::RSA), encode(tag::NULL, &[])].concat(),
            Self::Ed25519 => encode(tag::OID, oid::ED25519),
            Self::Other(_) => return None,
        };
        Some(encode(tag::SEQUENCE, &content))
    }

    /// How people call it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::P256 => "ECDSA P-256",
            Self::P384 => "ECDSA P-384",
            Self::P521 => "ECDSA P-521",
            Self::Rsa => "RSA",
            Self::Ed25519 => "Ed25519",
            Self::Other(name) => name,
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
    fn what_is_encoded_is_read_back() {
        for length in [0, 1, 0x7f, 0x80, 0xff, 0x100, 0xffff] {
            let encoded = encode(tag::OCTET_STRING, &vec![7; length]);
            assert_eq!(content(&encoded), Ok(length), "{length}");
        }
        // What is too long for the reader is refused and not cut.
        assert_eq!(
            content(&encode(tag::OCTET_STRING, &vec![7; 0x1_0000])),
            Err(Malformed)
        );
    }

    #[test]
    fn a_value_is_told_with_and_without_its_head() {
        let bytes = [0x30, 3, 4, 1, 7, 5, 0];
        let mut reader = Reader::new(&bytes);
        let value = reader.any().expect("whole");
        assert_eq!(value.tag, tag::SEQUENCE);
        assert_eq!(value.content, [4, 1, 7]);
        assert_eq!(value.raw, [0x30, 3, 4, 1, 7]);
        assert_eq!(reader.raw(tag::OCTET_STRING), Err(Malformed));
        assert_eq!(reader.raw(tag::NULL), Ok(&[5u8, 0][..]));
        assert!(Reader::new(&[0x1f, 1, 0]).any().is_err());
    }

    #[test]
    fn integers_and_flags_have_one_form() {
        let integer = |bytes: &'static [u8]| Reader::new(bytes).integer();
        assert_eq!(integer(&[2, 1, 0]), Ok(&[0u8][..]));
        assert_eq!(integer(&[2, 2, 0, 0x80]), Ok(&[0u8, 0x80][..]));
        assert_eq!(integer(&[2, 1, 0x80]), Ok(&[0x80u8][..]));
        for bad in [&[2u8, 0][..], &[2, 2, 0, 1], &[2, 2, 0xff, 0x80]] {
            assert_eq!(integer(bad), Err(Malformed), "{bad:?}");
        }
        let small = |bytes: &'static [u8]| Reader::new(bytes).small();
        assert_eq!(small(&[2, 1, 0x7f]), Ok(0x7f));
        assert_eq!(small(&[2, 1, 0x80]), Err(Malformed));
        assert_eq!(small(&[2, 2, 1, 0]), Err(Malformed));
        let flag = |bytes: &'static [u8]| Reader::new(bytes).flag();
        assert_eq!(flag(&[1, 1, 0xff]), Ok(true));
        assert_eq!(flag(&[1, 1, 0]), Ok(false));
        assert_eq!(flag(&[4, 0]), Ok(false));
        assert_eq!(flag(&[1, 1, 1]), Err(Malformed));
        assert_eq!(flag(&[1, 0]), Err(Malformed));
    }

    #[test]
    fn object_identifiers_are_told_in_dots() {
        assert_eq!(dotted(oid::RSA), "1.2.840.113549.1.1.1");
        assert_eq!(dotted(&[0x55, 0x1d, 0x11]), "2.5.29.17");
        assert_eq!(dotted(&[0x88, 0x37]), "2.999");
        assert_eq!(dotted(&[]), "");
    }

    #[test]
    fn positive_integers_are_encoded_in_their_shortest_form() {
        for (number, wanted) in [
            (&[][..], &[2u8, 1, 0][..]),
            (&[0, 0], &[2, 1, 0]),
            (&[0, 5], &[2, 1, 5]),
            (&[0x80], &[2, 2, 0, 0x80]),
            (&[0, 0x7f, 0], &[2, 2, 0x7f, 0]),
        ] {
            assert_eq!(encode_positive(number), wanted, "{number:?}");
        }
    }

    #[test]
    fn algorithm_identifiers_are_read_back() {
        use Algorithm::{Ed25519, Other, P256, P384, P521, Rsa};
        for algorithm in [P256, P384, P521, Rsa, Ed25519] {
            let identifier = algorithm.identifier().expect("it has one");
            let read = Algorithm::read(&mut Reader::new(&identifier));
            assert_eq!(read, Ok(algorithm));
        }
        assert_eq!(Other("DSA").identifier(), None);
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
