//! Derives keys with scrypt in a quarter of its usual memory.
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
//!   V    0  1  2  3  4  5  6  7  8 …        reading entry 6: take 4, BlockMix twice
//!   kept 0           4           8 …
//! ```
//!
//! With a spacing of k the table takes N/k blocks, and each of the N reads costs (k-1)/2 more calls of `BlockMix` on
//! average: 3.5·N calls instead of 2·N for k=4. Fewer pages to ask the system for and a table that stays in the cache
//! pay for part of that. Measured for N=65536, r=8 against the usual implementation with vector instructions: 18 MiB
//! instead of 67 MiB of resident memory for 1.4 times its processor time, some 80 ms more. k=3 takes 5 MiB more and
//! 30 ms less, k=2 16 MiB more and 40 ms less. The key is the same for every k: the tests hold all of them against
//! the vectors of the RFC.
//!
//! The core of Salsa20/8 works on scalar words. One `BlockMix` is a single chain of dependent steps; four of them side
//! by side would suit vector registers, but there are never four at hand unless more of the table is kept.

use sha2::Sha256;
use zeroize::{Zeroize, Zeroizing};

/// Of how many entries of V one is kept. 16 MiB remain of 64 MiB for N=65536, r=8.
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
    derive_with_spacing(password, salt, cost, SPACING, key.as_mut());
    key
}

/// RFC 7914 section 6.
fn derive_with_spacing(password: &[u8], salt: &[u8], cost: Cost, spacing: usize, key: &mut [u8]) {
    let mut b = Zeroizing::new(vec![0; 128 * cost.r * cost.p]);
    pbkdf2::pbkdf2_hmac::<Sha256>(password, salt, 1, &mut b);
    for part in b.chunks_exact_mut(128 * cost.r) {
        ro_mix(part, cost, spacing);
    }
    pbkdf2::pbkdf2_hmac::<Sha256>(password, &b, 1, key);
}

/// The 16 words on which Salsa20/8 works.
type Words = [u32; 16];

/// `scryptROMix` (section 5) on 128·r bytes, with the table kept at every `spacing`th entry.
fn ro_mix(bytes: &mut [u8], cost: Cost, spacing: usize) {
    let width = 2 * cost.r;
    let n = cost.n as usize;
    let mut v = Table::new(n.div_ceil(spacing), width);
    let mut x = Zeroizing::new(vec![[0; 16]; width]);
    let mut y = Zeroizing::new(vec![[0; 16]; width]);
    let mut spare = Zeroizing::new(vec![[0; 16]; width]);
    read_words(bytes, &mut x);
    for i in 0..n {
        if i % spacing == 0 {
            v.entry_mut(i / spacing).copy_from_slice(&x);
        }
        block_mix(&x, &mut y);
        std::mem::swap(&mut x, &mut y);
    }
    let mut scratch = Zeroizing::new(vec![[0; 16]; width]);
    for _ in 0..n {
        // Integerify, section 5: N is a power of two of at most 32 bits, so the lowest word decides.
        let j = x[width - 1][0] as usize & (n - 1);
        let kept = v.entry(j / spacing);
        let steps = j % spacing;
        if steps == 0 {
            block_mix_of_xor(&x, kept, &mut y);
        } else {
            block_mix(kept, &mut spare);
            for _ in 1..steps {
                block_mix(&spare, &mut scratch);
                std::mem::swap(&mut spare, &mut scratch);
            }
            block_mix_of_xor(&x, &spare, &mut y);
        }
        std::mem::swap(&mut x, &mut y);
    }
    write_words(&x, bytes);
}

/// The kept entries of V, wiped when dropped.
struct Table {
    words: Vec<Words>,
    width: usize,
}

impl Table {
    fn new(entries: usize, width: usize) -> Self {
        Self {
            words: vec![[0; 16]; entries * width],
            width,
        }
    }

    fn entry(&self, index: usize) -> &[Words] {
        &self.words[index * self.width..][..self.width]
    }

    fn entry_mut(&mut self, index: usize) -> &mut [Words] {
        &mut self.words[index * self.width..][..self.width]
    }
}

impl Drop for Table {
    fn drop(&mut self) {
        self.words.zeroize();
    }
}

/// `scryptBlockMix` (section 4): even results go to the first half of `output`, odd ones to the second.
#[inline(never)]
fn block_mix(input: &[Words], output: &mut [Words]) {
    let (even, odd) = output.split_at_mut(input.len() / 2);
    let mut x = input[input.len() - 1];
    for ((pair, even), odd) in input.chunks_exact(2).zip(even).zip(odd) {
        xor(&mut x, &pair[0]);
        salsa20_8(&mut x);
        *even = x;
        xor(&mut x, &pair[1]);
        salsa20_8(&mut x);
        *odd = x;
    }
}

/// `scryptBlockMix` of `input` XOR `other`, without writing the XOR anywhere.
#[inline(never)]
fn block_mix_of_xor(input: &[Words], other: &[Words], output: &mut [Words]) {
    let (even, odd) = output.split_at_mut(input.len() / 2);
    let mut x = input[input.len() - 1];
    xor(&mut x, &other[input.len() - 1]);
    let pairs = input.chunks_exact(2).zip(other.chunks_exact(2));
    for (((pair, others), even), odd) in pairs.zip(even).zip(odd) {
        xor(&mut x, &pair[0]);
        xor(&mut x, &others[0]);
        salsa20_8(&mut x);
        *even = x;
        xor(&mut x, &pair[1]);
        xor(&mut x, &others[1]);
        salsa20_8(&mut x);
        *odd = x;
    }
}

#[inline(always)]
fn xor(x: &mut Words, other: &Words) {
    for (word, other) in x.iter_mut().zip(other) {
        *word ^= other;
    }
}

/// Salsa20/8 (section 3). The four double rounds stand in a row because a loop costs one part in twenty.
#[inline(always)]
fn salsa20_8(block: &mut Words) {
    let mut x = *block;
    double_round(&mut x);
    double_round(&mut x);
    double_round(&mut x);
    double_round(&mut x);
    for (word, mixed) in block.iter_mut().zip(x) {
        *word = word.wrapping_add(mixed);
    }
}

#[inline(always)]
fn double_round(x: &mut Words) {
    quarter::<0, 4, 8, 12>(x);
    quarter::<5, 9, 13, 1>(x);
    quarter::<10, 14, 2, 6>(x);
    quarter::<15, 3, 7, 11>(x);
    quarter::<0, 1, 2, 3>(x);
    quarter::<5, 6, 7, 4>(x);
    quarter::<10, 11, 8, 9>(x);
    quarter::<15, 12, 13, 14>(x);
}

#[inline(always)]
fn quarter<const A: usize, const B: usize, const C: usize, const D: usize>(x: &mut Words) {
    x[B] ^= x[A].wrapping_add(x[D]).rotate_left(7);
    x[C] ^= x[B].wrapping_add(x[A]).rotate_left(9);
    x[D] ^= x[C].wrapping_add(x[B]).rotate_left(13);
    x[A] ^= x[D].wrapping_add(x[C]).rotate_left(18);
}

fn read_words(bytes: &[u8], blocks: &mut [Words]) {
    for (four, word) in bytes
        .as_chunks::<4>()
        .0
        .iter()
        .zip(blocks.iter_mut().flatten())
    {
        *word = u32::from_le_bytes(*four);
    }
}

fn write_words(blocks: &[Words], bytes: &mut [u8]) {
    for (four, word) in bytes
        .as_chunks_mut::<4>()
        .0
        .iter_mut()
        .zip(blocks.iter().flatten())
    {
        *four = word.to_le_bytes();
    }
}

#[cfg(test)]
mod tests {
    use tekseal_core::digest::hex;

    use super::*;

    fn words(text: &str) -> Vec<Words> {
        let bytes: Vec<u8> = (0..text.len() / 2)
            .map(|i| u8::from_str_radix(&text[2 * i..2 * i + 2], 16).expect("hexadecimal"))
            .collect();
        let mut blocks = vec![[0; 16]; bytes.len() / 64];
        read_words(&bytes, &mut blocks);
        blocks
    }

    fn text(blocks: &[Words]) -> String {
        let mut bytes = vec![0; blocks.len() * 64];
        write_words(blocks, &mut bytes);
        hex(&bytes)
    }

    fn cost(n: u32, r: u32, p: u32) -> Cost {
        Cost::new(n, r, p).expect("allowed parameters")
    }

    fn derived(password: &str, salt: &str, cost: Cost, spacing: usize) -> String {
        let mut key = [0; 64];
        derive_with_spacing(
            password.as_bytes(),
            salt.as_bytes(),
            cost,
            spacing,
            &mut key,
        );
        hex(&key)
    }

    #[test]
    fn the_salsa_core_gives_the_vector_of_section_8() {
        let mut block = words(
            "7e879a214f3ec9867ca940e641718f26baee555b8c61c1b50df846116dcd3b1d\
             ee24f319df9b3d8514121e4b5ac5aa3276021d2909c74829edebc68db8b8c25e",
        )[0];
        salsa20_8(&mut block);
        assert_eq!(
            text(&[block]),
            "a41f859c6608cc993b81cacb020cef05044b2181a2fd337dfd7b1c6396682f29\
             b4393168e3c9e6bcfe6bc5b7a06d96bae424cc102c91745c24ad673dc7618f81"
        );
    }

    #[test]
    fn the_block_mix_gives_the_vector_of_section_9() {
        let input = words(
            "f7ce0b653d2d72a4108cf5abe912ffdd777616dbbb27a70e8204f3ae2d0f6fad\
             89f68f4811d1e87bcc3bd7400a9ffd29094f0184639574f39ae5a1315217bcd7\
             894991447213bb226c25b54da86370fbcd984380374666bb8ffcb5bf40c254b0\
             67d27c51ce4ad5fed829c90b505a571b7f4d1cad6a523cda770e67bceaaf7e89",
        );
        let mut output = vec![[0; 16]; 2];
        block_mix(&input, &mut output);
        assert_eq!(
            text(&output),
            "a41f859c6608cc993b81cacb020cef05044b2181a2fd337dfd7b1c6396682f29\
             b4393168e3c9e6bcfe6bc5b7a06d96bae424cc102c91745c24ad673dc7618f81\
             20edc975323881a80540f64c162dcd3c21077cfe5f8d5fe2b1a4168f953678b7\
             7d3b3d803b60e4ab920996e59b4d53b65d2a225877d5edf5842cb9f14eefe425"
        );
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
                derive_with_spacing(b"test", &[7; 32], COSIGN, spacing, &mut key);
                println!(
                    "spacing {spacing}: {:?} {}",
                    start.elapsed(),
                    hex(&key[..4])
                );
            }
        }
    }
}
