//! Content digests as OCI writes them: `sha256:` and 64 lower-case hexadecimal digits.
//!
//! Only SHA-256 is accepted: it is the only algorithm that cosign, Tekton Chains and every registry share
//! (OCI image specification, descriptor.md, «Digests»). The wider set that a type hint may carry
//! is in `hints`.

use std::fmt;
use std::io;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256};

/// A SHA-256 content digest, `sha256:<64 hex>`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest(String);

const PREFIX: &str = "sha256:";

impl Digest {
    /// The digest of `bytes`.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(format!("{PREFIX}{}", hex(&Sha256::digest(bytes))))
    }

    /// The 64 hexadecimal digits without the algorithm.
    #[must_use]
    pub fn hex(&self) -> &str {
        &self.0[PREFIX.len()..]
    }

    /// The 32 bytes that the digits stand for.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; 32] {
        let mut bytes = [0; 32];
        for (byte, digits) in bytes.iter_mut().zip(self.hex().as_bytes().chunks_exact(2)) {
            let value = |digit: u8| match digit {
                b'a'..=b'f' => digit - b'a' + 10,
                digit => digit - b'0',
            };
            *byte = value(digits[0]) << 4 | value(digits[1]);
        }
        bytes
    }

    /// The whole text, `sha256:<64 hex>`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Takes content piece by piece and gives its digest.
#[derive(Clone, Debug, Default)]
pub struct Hasher(Sha256);

impl Hasher {
    /// Takes the next piece.
    pub fn update(&mut self, piece: &[u8]) {
        self.0.update(piece);
    }

    /// The digest of all pieces.
    #[must_use]
    pub fn finish(self) -> Digest {
        Digest(format!("{PREFIX}{}", hex(&self.0.finalize())))
    }
}

impl io::Write for Hasher {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        self.update(piece);
        Ok(piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Lower-case hexadecimal digits of `bytes`.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    text
}

/// Why a text is no digest.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Error {
    /// Another algorithm than sha256, or none.
    #[error("unsupported digest algorithm in {0:?}, wanted sha256:<64 hex digits>")]
    Algorithm(String),
    /// Not 64 digits.
    #[error("digest {0:?} has {1} digits after sha256:, wanted 64")]
    Length(String, usize),
    /// A character that is no lower-case hexadecimal digit.
    #[error("digest {0:?} has a character that is not one of 0-9a-f")]
    Format(String),
}

impl FromStr for Digest {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let Some(digits) = text.strip_prefix(PREFIX) else {
            return Err(Error::Algorithm(text.to_owned()));
        };
        let count = digits.chars().count();
        if count != 64 {
            return Err(Error::Length(text.to_owned(), count));
        }
        if !digits
            .bytes()
            .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
        {
            return Err(Error::Format(text.to_owned()));
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_of_nothing_is_the_known_one() {
        assert_eq!(
            Digest::of(b"").as_str(),
            "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
    }

    #[test]
    fn content_in_pieces_has_the_digest_of_the_whole() {
        let mut hasher = Hasher::default();
        for piece in ["", "a", "", "bc"] {
            hasher.update(piece.as_bytes());
        }
        assert_eq!(hasher.finish(), Digest::of(b"abc"));
        assert_eq!(
            hex(&Digest::of(b"abc").to_bytes()),
            Digest::of(b"abc").hex()
        );
        assert_eq!(Hasher::default().finish(), Digest::of(b""));
    }

    #[test]
    fn other_algorithms_lengths_and_upper_case_are_refused() {
        let good = Digest::of(b"x").to_string();
        assert!(good.parse::<Digest>().is_ok());
        assert!(matches!(
            good.to_uppercase().parse::<Digest>(),
            Err(Error::Algorithm(_))
        ));
        assert!(matches!(
            good[..70].parse::<Digest>(),
            Err(Error::Length(_, 63))
        ));
        assert!(matches!(
            format!("sha256:{}", "A".repeat(64)).parse::<Digest>(),
            Err(Error::Format(_))
        ));
        assert!(matches!(
            "sha512:00".parse::<Digest>(),
            Err(Error::Algorithm(_))
        ));
    }
}
