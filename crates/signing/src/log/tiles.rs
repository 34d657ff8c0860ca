//! Proofs of inclusion out of tiles: which ones are needed, what the path in them is, and where in a bundle an entry stands.
//!
//! Specification: <https://github.com/C2SP/C2SP/blob/main/tlog-tiles.md> with the trees of RFC 6962, 2.1. A tile has up to 256 hashes of
//! nodes eight levels apart; those between are computed. Nothing is verified here: a path out of wrong tiles leads to another root, which
//! [`verify_entry`](super::verify_entry) finds.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;

use super::merkle::{self, Hash, node};

/// A tile of a tree, or a part of one where the tree ends in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tile {
    /// Counted in tiles from the leaves.
    pub level: u8,
    /// Position among those of its level.
    pub index: u64,
    /// How many hashes are needed, 1 to 256: as many as the tree has.
    pub width: u16,
}

/// Why tiles give no path, or a bundle no entry.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Error {
    /// No such leaf.
    #[error("there is no entry {index} in a tree of {size}")]
    Outside {
        /// Position of the leaf.
        index: u64,
        /// How many leaves there are.
        size: u64,
    },
    /// A tile that was not given, or has another size.
    #[error("the tile {} of level {} has not the {} hashes that it must have", .0.index, .0.level, .0.width)]
    Tile(Tile),
    /// A bundle that ends before the entry does.
    #[error("the bundle of entries ends before its entry {0}")]
    Bundle(u8),
}

const HEIGHT: u32 = 8;
const WIDTH: u64 = 1 << HEIGHT;
const HASH: usize = 32;

/// In which bundle the entry is, how many entries that bundle has in a tree of this size, 1 to 256, and which of them it is.
///
/// # Errors
/// [`Error::Outside`].
pub fn place(index: u64, size: u64) -> Result<(u64, u16, u8), Error> {
    if index >= size {
        return Err(Error::Outside { index, size });
    }
    let bundle = index / WIDTH;
    Ok((bundle, width(bundle, size), (index % WIDTH) as u8))
}

/// The tiles that have the path of the leaf `index` in a tree of `size` leaves: some ten in the largest tree.
///
/// # Errors
/// [`Error::Outside`].
pub fn needed(index: u64, size: u64) -> Result<BTreeSet<Tile>, Error> {
    let mut tiles = BTreeSet::new();
    let walked: Result<_, Infallible> = siblings(index, size, &mut |level, at| {
        tiles.insert(Spot::of(level, at, size).tile);
        Ok([0; HASH])
    });
    match walked {
        Ok(Some(_)) => Ok(tiles),
        Ok(None) => Err(Error::Outside { index, size }),
    }
}

/// The hashes beside the way from the leaf to the root, as a proof of inclusion has them, out of the content of all needed tiles.
///
/// # Errors
/// [`Error::Outside`], and [`Error::Tile`] for what is no content of a needed tile.
pub fn path(index: u64, size: u64, tiles: &BTreeMap<Tile, Vec<u8>>) -> Result<Vec<Vec<u8>>, Error> {
    let hashes = siblings(index, size, &mut |level, at| {
        Spot::of(level, at, size).hash(tiles)
    })?;
    let hashes = hashes.ok_or(Error::Outside { index, size })?;
    Ok(hashes.iter().map(|hash| hash.to_vec()).collect())
}

/// The entry at a position in a bundle.
///
/// # Errors
/// [`Error::Bundle`].
pub fn entry(bundle: &[u8], position: u8) -> Result<Vec<u8>, Error> {
    let cut = || Error::Bundle(position);
    let mut rest = bundle;
    for at in 0..=position {
        let (size, after) = rest.split_first_chunk().ok_or_else(cut)?;
        let size = usize::from(u16::from_be_bytes(*size));
        let (entry, after) = after.split_at_checked(size).ok_or_else(cut)?;
        if at == position {
            return Ok(entry.to_vec());
        }
        rest = after;
    }
    Err(cut())
}

/// Where the hash of a node is computed from.
struct Spot {
    tile: Tile,
    /// The first hash in the tile that it is over.
    first: usize,
    /// Over how many it is: a power of two.
    count: usize,
}

impl Spot {
    /// Of the node at `at` among those over 2^`level` leaves.
    fn of(level: u32, at: u64, size: u64) -> Self {
        let (tile_level, within) = (level / HEIGHT, level % HEIGHT);
        // A node is not outside of its tree, so this is no more than the number of leaves.
        let first = at << within;
        let index = first / WIDTH;
        Self {
            tile: Tile {
                level: tile_level as u8,
                index,
                width: width(index, size >> (tile_level * HEIGHT)),
            },
            first: (first % WIDTH) as usize,
            count: 1 << within,
        }
    }

    fn hash(&self, tiles: &BTreeMap<Tile, Vec<u8>>) -> Result<Hash, Error> {
        let wrong = || Error::Tile(self.tile);
        let content = tiles.get(&self.tile).ok_or_else(wrong)?;
        if content.len() != usize::from(self.tile.width) * HASH {
            return Err(wrong());
        }
        let range = self.first * HASH..(self.first + self.count) * HASH;
        let content = content.get(range).ok_or_else(wrong)?;
        let mut hashes: Vec<Hash> = content
            .chunks_exact(HASH)
            .filter_map(|hash| hash.try_into().ok())
            .collect();
        while hashes.len() > 1 {
            let pairs = hashes.chunks_exact(2);
            hashes = pairs.map(|pair| node(&pair[0], &pair[1])).collect();
        }
        hashes.first().copied().ok_or_else(wrong)
    }
}

/// How many of `items` are in the group with this number.
fn width(group: u64, items: u64) -> u16 {
    items.saturating_sub(group * WIDTH).min(WIDTH) as u16
}

/// PATH of RFC 6962, 2.1.1, with `stored` for the hash of a complete subtree by its level and position; nothing for a leaf that is not
/// there.
fn siblings<E>(
    index: u64,
    size: u64,
    stored: &mut impl FnMut(u32, u64) -> Result<Hash, E>,
) -> Result<Option<Vec<Hash>>, E> {
    if index >= size {
        return Ok(None);
    }
    let (mut from, mut to) = (0, size);
    let mut path = Vec::new();
    while to - from > 1 {
        let middle = from + split(to - from);
        if index < middle {
            path.push(subtree(middle, to, stored)?);
            to = middle;
        } else {
            path.push(subtree(from, middle, stored)?);
            from = middle;
        }
    }
    path.reverse();
    Ok(Some(path))
}

/// MTH of the leaves `from` to before `to`. As trees are split, a number of leaves that is a power of two begins at a multiple of it.
fn subtree<E>(
    from: u64,
    to: u64,
    stored: &mut impl FnMut(u32, u64) -> Result<Hash, E>,
) -> Result<Hash, E> {
    let length = to - from;
    if length.is_power_of_two() {
        let level = length.trailing_zeros();
        return stored(level, from >> level);
    }
    let middle = from + split(length);
    let left = subtree(from, middle, stored)?;
    let right = subtree(middle, to, stored)?;
    Ok(merkle::node(&left, &right))
}

/// The largest power of two below `length`, which is 2 at least.
fn split(length: u64) -> u64 {
    1 << (length - 1).ilog2()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All hashes of a tree, by level; of the complete nodes alone.
    fn levels(size: u64) -> Vec<Vec<Hash>> {
        let leaves = (0..size).map(|at| merkle::leaf(&at.to_be_bytes()));
        let mut levels: Vec<Vec<Hash>> = vec![leaves.collect()];
        while levels[levels.len() - 1].len() > 1 {
            let below = &levels[levels.len() - 1];
            let above = below.chunks_exact(2).map(|pair| node(&pair[0], &pair[1]));
            levels.push(above.collect());
        }
        levels
    }

    fn content(tile: Tile, levels: &[Vec<Hash>]) -> Vec<u8> {
        let hashes = &levels[usize::from(tile.level) * 8];
        let first = tile.index as usize * 256;
        hashes[first..first + usize::from(tile.width)].concat()
    }

    #[test]
    fn paths_out_of_tiles_lead_to_the_root() {
        for size in [
            1, 2, 3, 7, 255, 256, 257, 300, 511, 512, 1000, 65_536, 65_537, 70_001,
        ] {
            let levels = levels(size);
            let stored = &mut |level: u32, at: u64| -> Result<Hash, Infallible> {
                Ok(levels[level as usize][at as usize])
            };
            let Ok(root) = subtree(0, size, stored);
            let some = [
                0,
                1,
                2,
                254,
                255,
                256,
                257,
                size / 2,
                size.saturating_sub(2),
                size - 1,
            ];
            for index in some.into_iter().filter(|index| *index < size) {
                let needed = needed(index, size).expect("it is inside");
                assert!(needed.len() < 8, "{size} {index}: {needed:?}");
                let tiles = needed
                    .into_iter()
                    .map(|tile| (tile, content(tile, &levels)));
                let path = path(index, size, &tiles.collect()).expect("all tiles are there");
                let leaf = levels[0][index as usize];
                let found = merkle::root(leaf, index, size, &path).expect("as long as it must be");
                assert_eq!(found, root, "{size} {index}");
            }
        }
    }

    #[test]
    fn the_largest_tree_needs_few_tiles() {
        for index in [0, u64::MAX / 3, u64::MAX - 1] {
            let tiles = needed(index, u64::MAX).expect("it is inside");
            assert!(tiles.len() <= 24, "{tiles:?}");
            assert!(tiles.iter().all(|tile| (1..=256).contains(&tile.width)));
        }
    }

    #[test]
    fn what_is_outside_and_what_is_no_tile_is_refused() {
        let outside = |index, size| Error::Outside { index, size };
        for (index, size) in [(0, 0), (7, 7), (u64::MAX, 7), (u64::MAX, u64::MAX)] {
            assert_eq!(needed(index, size), Err(outside(index, size)));
            assert_eq!(place(index, size), Err(outside(index, size)));
            assert_eq!(
                path(index, size, &BTreeMap::new()),
                Err(outside(index, size))
            );
        }
        let tile = Tile {
            level: 0,
            index: 0,
            width: 3,
        };
        assert_eq!(path(1, 3, &BTreeMap::new()), Err(Error::Tile(tile)));
        for content in [0, 95, 97, 128] {
            let tiles = BTreeMap::from([(tile, vec![0; content])]);
            assert_eq!(path(1, 3, &tiles), Err(Error::Tile(tile)), "{content}");
        }
    }

    #[test]
    fn entries_stand_behind_their_sizes() {
        let bundle = b"\0\x01a\0\0\0\x03bcd";
        let read = |position| entry(bundle, position);
        assert_eq!(read(0).expect("whole"), b"a");
        assert_eq!(read(1).expect("whole"), b"");
        assert_eq!(read(2).expect("whole"), b"bcd");
        assert_eq!(read(3), Err(Error::Bundle(3)));
        assert_eq!(entry(&bundle[..9], 2), Err(Error::Bundle(2)));
        assert_eq!(entry(b"\0", 0), Err(Error::Bundle(0)));
        assert_eq!(entry(b"\xff\xffx", 255), Err(Error::Bundle(255)));
        assert_eq!(place(513, 514), Ok((2, 2, 1)));
        assert_eq!(place(255, 1000), Ok((0, 256, 255)));
    }
}
