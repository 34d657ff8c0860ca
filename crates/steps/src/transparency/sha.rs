//! `--sha`: a hash with its algorithm, or its digits alone.

use anyhow::anyhow;
use tekseal_signing::log::Hashed;

use crate::Failure;

/// The algorithms that logs have, and how many digits a hash of each has.
const ALGORITHMS: [(&str, usize); 3] = [("sha256", 64), ("sha384", 96), ("sha512", 128)];

/// A hash.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Sha {
    algorithm: &'static str,
    /// Lower-case hexadecimal.
    digits: String,
}

impl Sha {
    /// Reads `sha256:…`, or digits, whose number says of which algorithm they are.
    ///
    /// # Errors
    /// Exit 2 for anything else: a hash of nothing is never found, which must not look like the answer no.
    pub(super) fn parse(text: &str) -> Result<Self, Failure> {
        let text = text.trim().to_ascii_lowercase();
        let (named, digits) = match text.split_once(':') {
            Some((algorithm, digits)) => (Some(algorithm), digits),
            None => (None, text.as_str()),
        };
        let is_meant = |(name, length): &&(&'static str, usize)| {
            named.is_none_or(|named| named == *name) && digits.len() == *length
        };
        let found = ALGORITHMS.iter().find(is_meant);
        let is_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        match found {
            Some((algorithm, _)) if digits.bytes().all(is_hex) => Ok(Self {
                algorithm,
                digits: digits.to_owned(),
            }),
            _ => Err(Failure::misuse(anyhow!("--sha {text:?} is no hash"))
                .hint("wanted is sha256: and 64 hexadecimal digits, sha384: and 96, or sha512: and 128; or the digits alone")),
        }
    }

    /// The text as an index has it, `sha256:…`.
    ///
    /// # Errors
    /// Exit 2 for other algorithms: no index has them.
    pub(super) fn in_index(&self) -> Result<String, Failure> {
        match self.algorithm {
            "sha256" => Ok(self.to_string()),
            other => Err(Failure::misuse(anyhow!(
                "--sha is of {other}, and a search index has hashes of sha256 alone"
            ))),
        }
    }

    /// Whether an entry has this very hash.
    pub(super) fn is(&self, hashed: &Hashed) -> bool {
        hashed.algorithm == self.algorithm && hashed.value == self.digits
    }
}

impl std::fmt::Display for Sha {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.algorithm, self.digits)
    }
}

#[cfg(test)]
mod tests {
    use tekseal_signing::log::HashedWhat;

    use super::*;

    #[test]
    fn a_hash_is_of_the_algorithm_that_it_names_or_of_that_with_so_many_digits() {
        let digits = |count: usize| "0aF9".repeat(count / 4);
        for (algorithm, length) in ALGORITHMS {
            let wanted = format!("{algorithm}:{}", digits(length).to_lowercase());
            for text in [
                digits(length),
                format!(" {wanted}\n"),
                wanted.to_uppercase(),
            ] {
                let sha = Sha::parse(&text).expect(&text);
                assert_eq!(sha.to_string(), wanted);
                assert_eq!(sha.in_index().is_ok(), algorithm == "sha256");
            }
        }
        for text in [
            String::new(),
            "7".to_owned(),
            format!("md5:{}", digits(64)),
            format!("sha512:{}", digits(64)),
            format!("sha256:{}", "g".repeat(64)),
            format!(":{}", digits(64)),
            format!("a:sha256:{}", digits(64)),
            "ü".repeat(32),
        ] {
            let refused = Sha::parse(&text).expect_err(&text);
            assert_eq!(refused.code(), crate::exit::MISUSE, "{text}");
        }
    }

    #[test]
    fn the_same_digits_of_another_algorithm_are_another_hash() {
        let hashed = |algorithm: &str| Hashed {
            what: HashedWhat::Payload,
            algorithm: algorithm.to_owned(),
            value: "ab".repeat(32),
        };
        let sha = Sha::parse(&"ab".repeat(32)).expect("a hash");
        assert!(sha.is(&hashed("sha256")));
        assert!(!sha.is(&hashed("sha3-256")));
    }
}
