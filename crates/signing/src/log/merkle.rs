//! The arithmetic of Merkle trees: which root a leaf and the hashes beside its path lead to.
//!
//! Specification: RFC 6962 section 2.1, <https://www.rfc-editor.org/rfc/rfc6962#section-2.1>; verifying a path is RFC
//! 9162 section 2.1.3.2. For an index and a size there is one number of hashes that a path has, so no longer or shorter
//! one is followed.

use sha2::{Digest as _, Sha256};

/// A hash in the tree.
pub(super) type Hash = [u8; 32];

/// Why a path leads nowhere.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Error {
    /// No such leaf.
    #[error("the inclusion proof is of the leaf {index} of a tree that has {size}")]
    Outside {
        /// Position of the leaf.
        index: u64,
        /// How many leaves there are.
        size: u64,
    },
    /// Too few hashes, or too many.
    #[error("the inclusion proof has {found} hashes, the path of this leaf has {wanted}")]
    Length {
        /// How many there are.
        found: usize,
        /// How many there must be.
        wanted: usize,
    },
    /// Something that is no SHA-256.
    #[error("hash {at} of the inclusion proof has {found} bytes, wanted 32")]
    Hash {
        /// Which one, from 0.
        at: usize,
        /// How many bytes.
        found: usize,
    },
}

/// The hash of a leaf with this content.
pub(super) fn leaf(content: &[u8]) -> Hash {
    let mut hasher = Sha256::new();
    hasher.update([0]);
    hasher.update(content);
    hasher.finalize().into()
}

/// The hash of a node over these two.
pub(super) fn node(left: &Hash, right: &Hash) -> Hash {
    let mut hasher = Sha256::new();
    hasher.update([1]);
    hasher.update(left);
    hasher.update(right);
    hasher.finalize().into()
}

/// The root of the tree of `size` leaves that has `leaf` at `index`, and the hashes of `path` beside the way up.
pub(super) fn root(leaf: Hash, index: u64, size: u64, path: &[Vec<u8>]) -> Result<Hash, Error> {
    if index >= size {
        return Err(Error::Outside { index, size });
    }
    // Up to where the ways of this leaf and of the last one meet, a sibling may be on either side; above, the way runs
    // along the right edge, and a sibling is there only on the left.
    let inner = u64::BITS - (index ^ (size - 1)).leading_zeros();
    let edge = index.checked_shr(inner).unwrap_or(0).count_ones();
    let wanted = (inner + edge) as usize;
    if path.len() != wanted {
        return Err(Error::Length {
            found: path.len(),
            wanted,
        });
    }
    let mut hash = leaf;
    for (at, sibling) in path.iter().enumerate() {
        let sibling: &Hash = sibling.as_slice().try_into().map_err(|_| Error::Hash {
            at,
            found: sibling.len(),
        })?;
        let is_left_child = at < inner as usize && (index >> at) & 1 == 0;
        hash = if is_left_child {
            node(&hash, sibling)
        } else {
            node(sibling, &hash)
        };
    }
    Ok(hash)
}

#[cfg(test)]
mod tests {
    use tekseal_core::digest::hex;

    use super::*;

    /// MTH of RFC 6962 section 2.1, word for word; of one leaf at least.
    fn tree(leaves: &[Hash]) -> Hash {
        match leaves {
            [one] => *one,
            more => {
                let (left, right) = more.split_at(split(more.len()));
                node(&tree(left), &tree(right))
            }
        }
    }

    /// PATH of RFC 6962 section 2.1.1, word for word.
    fn path(index: usize, leaves: &[Hash]) -> Vec<Vec<u8>> {
        if leaves.len() == 1 {
            return Vec::new();
        }
        let at = split(leaves.len());
        let (left, right) = leaves.split_at(at);
        let (mut hashes, sibling) = if index < at {
            (path(index, left), tree(right))
        } else {
            (path(index - at, right), tree(left))
        };
        hashes.push(sibling.to_vec());
        hashes
    }

    /// The largest power of two below `length`.
    fn split(length: usize) -> usize {
        length.next_power_of_two() / 2
    }

    fn leaves(size: usize) -> Vec<Hash> {
        (0..size).map(|at| leaf(&at.to_be_bytes())).collect()
    }

    #[test]
    fn the_hashes_are_those_of_certificate_transparency() {
        // The vectors that all implementations of RFC 6962 share.
        let contents: [&[u8]; 8] = [
            b"",
            b"\x00",
            b"\x10",
            b" !",
            b"01",
            b"@ABC",
            b"PQRSTUVW",
            b"`abcdefghijklmno",
        ];
        let leaves: Vec<_> = contents.iter().map(|content| leaf(content)).collect();
        assert_eq!(
            hex(&tree(&leaves[..1])),
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
        );
        assert_eq!(
            hex(&tree(&leaves)),
            "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"
        );
    }

    #[test]
    fn every_leaf_of_every_tree_up_to_200_leads_to_its_root() {
        let all = leaves(200);
        for size in 1..=all.len() {
            let leaves = &all[..size];
            let wanted = tree(leaves);
            for (index, leaf) in leaves.iter().enumerate() {
                let path = path(index, leaves);
                let found = root(*leaf, index as u64, size as u64, &path);
                assert_eq!(found, Ok(wanted), "{index} of {size}");
            }
        }
    }

    #[test]
    fn any_flipped_bit_leads_elsewhere() {
        for size in [1, 2, 3, 7, 8, 13, 200] {
            let leaves = leaves(size);
            let wanted = tree(&leaves);
            for index in [0, size / 2, size - 1] {
                let path = path(index, &leaves);
                for bit in 0..256 {
                    let flip = |hash: &mut [u8]| hash[bit / 8] ^= 1 << (bit % 8);
                    let mut leaf = leaves[index];
                    flip(&mut leaf);
                    let found = root(leaf, index as u64, size as u64, &path);
                    assert_ne!(found, Ok(wanted), "leaf {index} of {size}, bit {bit}");
                    for at in 0..path.len() {
                        let mut path = path.clone();
                        flip(&mut path[at]);
                        let found = root(leaves[index], index as u64, size as u64, &path);
                        assert_ne!(found, Ok(wanted), "{index} of {size}, hash {at}, bit {bit}");
                    }
                }
            }
        }
    }

    #[test]
    fn another_index_leads_elsewhere() {
        let leaves = leaves(21);
        let wanted = tree(&leaves);
        for index in 0..leaves.len() {
            let path = path(index, &leaves);
            for other in (0..leaves.len()).filter(|other| *other != index) {
                let found = root(leaves[index], other as u64, 21, &path);
                assert_ne!(found, Ok(wanted), "{index} as {other}");
            }
        }
    }

    #[test]
    fn paths_of_another_length_are_not_followed() {
        let leaves = leaves(5);
        let good = path(1, &leaves);
        let short = root(leaves[1], 1, 5, &good[..2]);
        assert_eq!(
            short,
            Err(Error::Length {
                found: 2,
                wanted: 3
            })
        );
        let mut long = good.clone();
        long.push(vec![0; 32]);
        let long = root(leaves[1], 1, 5, &long);
        assert_eq!(
            long,
            Err(Error::Length {
                found: 4,
                wanted: 3
            })
        );
        let mut cut = good;
        cut[2].pop();
        let cut = root(leaves[1], 1, 5, &cut);
        assert_eq!(cut, Err(Error::Hash { at: 2, found: 31 }));
        for (index, size) in [(0, 0), (5, 5), (u64::MAX, 5)] {
            let outside = root(leaves[1], index, size, &[]);
            assert_eq!(outside, Err(Error::Outside { index, size }));
        }
        let huge = root(leaves[1], u64::MAX - 1, u64::MAX, &[]);
        assert_eq!(
            huge,
            Err(Error::Length {
                found: 0,
                wanted: 63
            })
        );
        let huge = root(leaves[1], 0, u64::MAX, &[]);
        assert_eq!(
            huge,
            Err(Error::Length {
                found: 0,
                wanted: 64
            })
        );
    }
}
