//! Derives keys with scrypt in less than a third of its usual memory and at about its usual speed.
//!
//! Specification: RFC 7914, <https://www.rfc-editor.org/rfc/rfc7914>; names follow it.
//!
//! A key file of cosign asks for N=65536 and r=8. The algorithm fills a table V of N blocks of 128·r bytes, 64 MiB,
//! and then reads it N times at places that cannot be foreseen. That table would be the largest thing in a signing
//! step by far and would decide its memory limit.
//!
//! Every entry of V follows from the one before it by one `BlockMix`. So only every [`SPACING`]th entry is kept, and
//! an entry between two kept ones is made again when it is needed:
//!
//! ```text
//!   V        0  1  2  3  4  5  6  7  8 …        reading entry 6: take 4, BlockMix twice
//!   kept     0           4           8 …
//!   middles     1  2  3     5  6  7    …        of the calls that make these entries
//! ```
//!
//! With a spacing of k each of the N reads costs (k-1)/2 more calls of `BlockMix` on average: 3.5·N calls instead of
//! 2·N for k=4. One call is a single chain of 2·r Salsa20/8, and the processor waits for most of its instructions. So
//! 64 bytes are kept of every call that may have to be repeated, the result in the middle of the chain: the second
//! time both halves run side by side, in hardly more than half the time. That costs 3 MiB, and k=4 takes no longer
//! than k=3 would take without them in 2 MiB more. Fewer pages to ask the system for pay for most of the rest.
//!
//! Processor time (median of 12 processes taken in turns, on a shared machine; the kernel has about 60 ms of the first
//! line, for its pages) and resident memory for N=65536, r=8 against the crate `scrypt` 0.12, which keeps all of V and
//! uses the same vector instructions:
//!
//! | | time | memory |
//! |-|------|--------|
//! | crate `scrypt` | 190 ms | 66 MiB |
//! | k=1 | 192 ms | 66 MiB |
//! | k=2 | 181 ms | 36 MiB |
//! | k=3 | 189 ms | 26 MiB |
//! | **k=4** | 201 ms | 21 MiB |
//! | k=5 | 213 ms | 18 MiB |
//! | k=6 | 227 ms | 16 MiB |
//! | k=4, scalar words | 259 ms | 21 MiB |
//!
//! The last line is the code that processors other than x86-64 get, measured on the same machine. Loops over arrays of
//! four words are not enough to have the compiler use vectors. The key is the same for every k and both kinds of
//! block: the tests hold all of them against the vectors of the RFC.

use sha2::Sha256;
use zeroize::{Zeroize, Zeroizing};

use block::{Block, Native, block_mix, block_mix_again, block_mix_of_xor};

mod block;

/// Of how many entries of V one is kept. 19 MiB remain of 64 MiB for N=65536, r=8: 16 of entries and 3 of middles.
const SPACING: usize = 4;

/// The cost parameters of a derivation. Only values that have been checked can be held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cost {
    n: u32,
    r: usize,
    p: usize,
}

/// What cosign writes: 64 MiB and 131072 times 16 blocks in the plain algorithm.
pub(crate) const COSIGN: Cost = Cost {
    n: 65_536,
    r: 8,
    p: 1,
};

impl Cost {
    /// Cost parameters as RFC 7914 section 2 allows them, and small enough for a table below 1 GiB in the plain
    /// algorithm; `None` for all others.
    pub(crate) fn new(n: u32, r: u32, p: u32) -> Option<Self> {
        const MOST: u64 = 1 << 30;
        let table = 128 * u64::from(n) * u64::from(r);
        let sides = 128 * u64::from(p) * u64::from(r);
        let fits = n > 1 && n.is_power_of_two() && r > 0 && p > 0 && table <= MOST && sides <= MOST;
        fits.then_some(Self {
            n,
            r: r as usize,
            p: p as usize,
        })
    }

    /// N.
    pub(crate) fn n(self) -> u32 {
        self.n
    }

    /// r.
    pub(crate) fn r(self) -> usize {
        self.r
    }

    /// p.
    pub(crate) fn p(self) -> usize {
        self.p
    }
}

/// Derives 32 bytes from `password` and `salt`. Everything in between is wiped.
pub(crate) fn derive(password: &[u8], salt: &[u8], cost: Cost) -> Zeroizing<[u8; 32]> {
    let mut key = Zeroizing::new([0; 32]);
    derive_with::<Native>(password, salt, cost, SPACING, key.as_mut());
    key
}

/// RFC 7914 section 6.
fn derive_with<B: Block>(password: &[u8], salt: &[u8], cost: Cost, spacing: usize, key: &mut [u8]) {
    let mut b = Zeroizing::new(vec![0; 128 * cost.r * cost.p]);
    pbkdf2::pbkdf2_hmac::<Sha256>(password, salt, 1, &mut b);
    for part in b.chunks_exact_mut(128 * cost.r) {
        ro_mix::<B>(part, cost, spacing);
    }
    pbkdf2::pbkdf2_hmac::<Sha256>(password, &b, 1, key);
}

/// `scryptROMix` (section 5) on 128·r bytes, with the table kept at every `spacing`th entry.
fn ro_mix<B: Block>(bytes: &mut [u8], cost: Cost, spacing: usize) {
    let n = cost.n as usize;
    let mut x = Zeroizing::new(block::from_bytes::<B>(bytes));
    let mut y = Zeroizing::new(vec![B::default(); x.len()]);
    let mut entry = Zeroizing::new(vec![B::default(); x.len()]);
    let mut spare = Zeroizing::new(vec![B::default(); x.len()]);
    let mut v = Table::new(n, x.len(), spacing);
    for i in 0..n {
        block_mix(&x, &mut y);
        v.push(i, &x, &y);
        std::mem::swap(&mut x, &mut y);
    }
    for _ in 0..n {
        // Integerify, section 5: N is a power of two of at most 32 bits, so the lowest word decides.
        let j = x[x.len() - 1].first_word() as usize & (n - 1);
        let (kept, middles) = v.row(j);
        block::prefetch(kept);
        match middles.split_first() {
            None => block_mix_of_xor(&x, kept, &mut y),
            Some((first, others)) => {
                block_mix_again(kept, first, &mut entry);
                for middle in others {
                    block_mix_again(&entry, middle, &mut spare);
                    std::mem::swap(&mut entry, &mut spare);
                }
                block_mix_of_xor(&x, &entry, &mut y);
            }
        }
        std::mem::swap(&mut x, &mut y);
    }
    block::to_bytes(&x, bytes);
}

/// What is kept of V, wiped when dropped: rows of one entry and the middles of the steps to the entries after it.
struct Table<B: Block> {
    blocks: Vec<B>,
    width: usize,
    spacing: usize,
}

impl<B: Block> Table<B> {
    /// An empty table for `n` entries of `width` blocks. It never grows beyond the memory it asks for here, so
    /// nothing is left behind in memory that was given back.
    fn new(n: usize, width: usize, spacing: usize) -> Self {
        let blocks = n.div_ceil(spacing) * (width + spacing.min(n + 1) - 1);
        Self {
            blocks: Vec::with_capacity(blocks),
            width,
            spacing,
        }
    }

    /// Takes what is to be kept of entry `i`; the entries come in order, each with the one `after` it.
    fn push(&mut self, i: usize, entry: &[B], after: &[B]) {
        if i.is_multiple_of(self.spacing) {
            self.blocks.extend_from_slice(entry);
        }
        if !(i + 1).is_multiple_of(self.spacing) {
            self.blocks.push(block::middle(after));
        }
    }

    /// The last kept entry up to entry `j`, and the middles of the steps from there to `j`.
    fn row(&self, j: usize) -> (&[B], &[B]) {
        let start = j / self.spacing * (self.width + self.spacing - 1);
        let end = start + self.width + j % self.spacing;
        self.blocks[start..end].split_at(self.width)
    }
}

impl<B: Block> Drop for Table<B> {
    fn drop(&mut self) {
        // The slice and not the vector, which would go over the same memory a second time, byte by byte.
        self.blocks.as_mut_slice().zeroize();
    }
}

#[cfg(test)]
mod tests {
    use tekseal_core::digest::hex;

    use super::block::words::Words;
    use super::*;

    fn cost(n: u32, r: u32, p: u32) -> Cost {
        Cost::new(n, r, p).expect("allowed parameters")
    }

    /// The key as both kinds of block give it.
    fn derived(password: &str, salt: &str, cost: Cost, spacing: usize) -> String {
        let (password, salt) = (password.as_bytes(), salt.as_bytes());
        let mut key = [0; 64];
        derive_with::<Words>(password, salt, cost, spacing, &mut key);
        let scalar = hex(&key);
        derive_with::<Native>(password, salt, cost, spacing, &mut key);
        assert_eq!(hex(&key), scalar, "{cost:?} spacing {spacing}");
        scalar
    }

    #[test]
    fn every_spacing_gives_the_vectors_of_section_12() {
        for spacing in 1..=9 {
            assert_eq!(
                derived("", "", cost(16, 1, 1), spacing),
                "77d6576238657b203b19ca42c18a0497f16b4844e3074ae8dfdffa3fede21442\
                 fcd0069ded0948f8326a753a0fc81f17e8d3e0fb2e0d3628cf35e20c38d18906",
                "spacing {spacing}"
            );
            assert_eq!(
                derived("password", "NaCl", cost(1024, 8, 16), spacing),
                "fdbabe1c9d3472007856e7190d01e9fe7c6ad7cbc8237830e77376634b373162\
                 2eaf30d92e22a3886ff109279d9830dac727afb94a83ee6d8360cbdfa2cc0640",
                "spacing {spacing}"
            );
        }
        for spacing in [1, 3, 4] {
            assert_eq!(
                derived(
                    "pleaseletmein",
                    "SodiumChloride",
                    cost(16384, 8, 1),
                    spacing
                ),
                "7023bdcb3afd7348461c06cd81fd38ebfda8fbba904f8e3ea9b543f6545da1f2\
                 d5432955613f0fcf62d49705242a9af9e61e85dc0d651e40dfcf017b45575887",
                "spacing {spacing}"
            );
        }
    }

    #[test]
    fn a_spacing_beyond_the_table_keeps_one_entry_and_changes_nothing() {
        for (n, r, p) in [(2, 1, 1), (2, 8, 1), (4, 3, 2), (64, 5, 3), (256, 8, 1)] {
            let plain = derived("p", "s", cost(n, r, p), 1);
            for spacing in [2, 3, 4, 5, 7, 64, 65, 1000] {
                assert_eq!(
                    derived("p", "s", cost(n, r, p), spacing),
                    plain,
                    "N={n} r={r} p={p} spacing {spacing}"
                );
            }
        }
    }

    #[test]
    fn the_table_never_moves_and_holds_what_it_says() {
        for (n, spacing) in [
            (64, 1),
            (64, 4),
            (64, 5),
            (64, 63),
            (64, 64),
            (64, 1000),
            (2, 3),
        ] {
            let entry = |i: u32| {
                let word = |b: u32| Words::from_words([100 * i + b; 16]);
                (0..6).map(word).collect::<Vec<_>>()
            };
            let mut table = Table::new(n as usize, 6, spacing);
            let room = table.blocks.capacity();
            for i in 0..n {
                table.push(i as usize, &entry(i), &entry(i + 1));
            }
            assert_eq!(table.blocks.capacity(), room, "{n} {spacing}");
            for j in 0..n {
                let (kept, middles) = table.row(j as usize);
                let first = j - j % spacing as u32;
                let firsts =
                    |blocks: &[Words]| blocks.iter().map(Block::first_word).collect::<Vec<_>>();
                assert_eq!(firsts(kept), firsts(&entry(first)), "{n} {spacing} {j}");
                // With r=3 result 2 is in the middle, and it is written to place 1.
                let expected: Vec<u32> = (first + 1..=j).map(|i| 100 * i + 1).collect();
                assert_eq!(firsts(middles), expected, "{n} {spacing} {j}");
            }
        }
    }

    #[test]
    fn the_key_is_the_first_32_bytes_of_the_vector() {
        let key = derive(b"pleaseletmein", b"SodiumChloride", cost(16384, 8, 1));
        assert_eq!(
            hex(&*key),
            "7023bdcb3afd7348461c06cd81fd38ebfda8fbba904f8e3ea9b543f6545da1f2"
        );
    }

    #[test]
    fn parameters_outside_the_rfc_or_beyond_a_gibibyte_are_refused() {
        for (n, r, p) in [
            (0, 8, 1),
            (1, 8, 1),
            (3, 8, 1),
            (65537, 8, 1),
            (16, 0, 1),
            (16, 8, 0),
        ] {
            assert_eq!(Cost::new(n, r, p), None, "N={n} r={r} p={p}");
        }
        assert_eq!(Cost::new(1 << 31, 8, 1), None);
        assert_eq!(Cost::new(1 << 20, 9, 1), None);
        assert_eq!(Cost::new(2, 1, u32::MAX), None);
        assert!(Cost::new(1 << 20, 8, 1).is_some());
    }

    #[test]
    #[ignore = "prints timings; run alone with --nocapture"]
    fn timings_of_the_spacings() {
        for spacing in [1, 2, 3, 4, 6, 8] {
            for _ in 0..3 {
                let start = std::time::Instant::now();
                let mut key = [0; 32];
                derive_with::<Native>(b"test", &[7; 32], COSIGN, spacing, &mut key);
                println!(
                    "spacing {spacing}: {:?} {}",
                    start.elapsed(),
                    hex(&key[..4])
                );
            }
        }
    }
}
