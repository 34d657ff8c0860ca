//! Names of entries in Rekor v1.

use std::fmt;
use std::str::FromStr;

use tekseal_core::excerpt::Excerpt;

/// The name of an entry in Rekor v1: the hash of its leaf (RFC 6962) in 64 lower-case hexadecimal digits, with or without 16 for its tree in
/// front.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct EntryUuid(String);

/// What is no name of an entry.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} is not the UUID of an entry: 64 or 80 lower-case hexadecimal digits")]
pub struct NotUuid(Excerpt);

const LEAF: usize = 64;
const TREE: usize = 16;

impl EntryUuid {
    /// All digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The digits of the leaf's hash.
    #[must_use]
    pub fn leaf(&self) -> &str {
        &self.0[self.0.len() - LEAF..]
    }

    /// The digits of the tree's number, where they are there.
    #[must_use]
    pub fn tree(&self) -> Option<&str> {
        (self.0.len() > LEAF).then(|| &self.0[..TREE])
    }

    /// Whether both name the same entry, as far as both tell a tree.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        let same_tree = match (self.tree(), other.tree()) {
            (Some(one), Some(another)) => one == another,
            _ => true,
        };
        same_tree && self.leaf() == other.leaf()
    }
}

impl FromStr for EntryUuid {
    type Err = NotUuid;

    fn from_str(text: &str) -> Result<Self, NotUuid> {
        let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        let is_long_enough = text.len() == LEAF || text.len() == TREE + LEAF;
        match is_long_enough && text.bytes().all(is_digit) {
            true => Ok(Self(text.to_owned())),
            false => Err(NotUuid(Excerpt::of(text))),
        }
    }
}

impl fmt::Display for EntryUuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uuid_has_a_leaf_and_perhaps_a_tree() {
        let (leaf, tree) = ("0a".repeat(32), "00000000000000f1");
        let short: EntryUuid = leaf.parse().expect("64 digits");
        let long: EntryUuid = format!("{tree}{leaf}").parse().expect("80 digits");
        assert_eq!((short.leaf(), short.tree()), (leaf.as_str(), None));
        assert_eq!((long.leaf(), long.tree()), (leaf.as_str(), Some(tree)));
        assert!(short.is_same(&long) && long.is_same(&short) && long.is_same(&long));
        let other: EntryUuid = format!("0{}{leaf}", "1".repeat(15))
            .parse()
            .expect("80 digits");
        assert!(!other.is_same(&long) && other.is_same(&short));
    }

    #[test]
    fn what_is_no_uuid_is_refused() {
        for text in [
            String::new(),
            "0a".repeat(31),
            "0A".repeat(32),
            "0a".repeat(33),
            "zz".repeat(32),
            "é".repeat(32),
            format!("../{}", "0".repeat(61)),
            "0".repeat(1 << 20),
        ] {
            let error = text.parse::<EntryUuid>().expect_err("it is none");
            assert!(error.to_string().len() < 200, "{error}");
        }
    }
}
