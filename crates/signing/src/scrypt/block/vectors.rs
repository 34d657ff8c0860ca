//! Salsa20/8 on four vectors of four words.
//!
//! The four quarters of a round do the same to different words. With the words of every quarter in one lane, a round
//! is one sequence of vector instructions; turning the vectors by one, two and three lanes makes the rows of the next
//! round out of the columns of this one:
//!
//! ```text
//!   lane            0   1   2   3
//!   a  diagonal     0   5  10  15
//!   b  one below    4   9  14   3
//!   c  two below    8  13   2   7
//!   d  three below 12   1   6  11
//! ```
//!
//! SSE2 belongs to every x86-64 processor. Its functions in the standard library may be called without `unsafe` only
//! from functions that ask for the feature, and those not from others; the crate `safe_arch` closes that gap.

use safe_arch::{
    add_i32_m128i, get_i32_from_m128i_s, m128i, shl_imm_u32_m128i, shr_imm_u32_m128i,
    shuffle_ai_f32_all_m128i,
};
use zeroize::DefaultIsZeroes;

use super::Block;

/// The vectors a, b, c and d. One block is one line of the cache.
#[derive(Clone, Copy, Default)]
#[repr(align(64))]
pub(crate) struct Vectors([m128i; 4]);

/// Which word of the RFC stands where.
const ORDER: [[usize; 4]; 4] = [[0, 5, 10, 15], [4, 9, 14, 3], [8, 13, 2, 7], [12, 1, 6, 11]];

impl DefaultIsZeroes for Vectors {}

impl Block for Vectors {
    fn from_words(words: [u32; 16]) -> Self {
        Self(ORDER.map(|lanes| m128i::from(lanes.map(|index| words[index]))))
    }

    fn to_words(self) -> [u32; 16] {
        let mut words = [0; 16];
        for (vector, lanes) in self.0.into_iter().zip(ORDER) {
            for (word, index) in <[u32; 4]>::from(vector).into_iter().zip(lanes) {
                words[index] = word;
            }
        }
        words
    }

    #[inline(always)]
    fn first_word(&self) -> u32 {
        get_i32_from_m128i_s(self.0[0]).cast_unsigned()
    }

    #[inline(always)]
    fn xor(self, other: &Self) -> Self {
        Self(std::array::from_fn(|i| self.0[i] ^ other.0[i]))
    }

    /// A chain of dependent instructions from start to end.
    #[inline(always)]
    fn salsa20_8(self) -> Self {
        let mut x = self;
        for _ in 0..8 {
            x = x.round();
        }
        x.add(self)
    }

    /// Two such chains fit into the registers and take hardly longer than one.
    #[inline(always)]
    fn salsa20_8_pair(first: Self, second: Self) -> (Self, Self) {
        let (mut x, mut y) = (first, second);
        for _ in 0..8 {
            x = x.round();
            y = y.round();
        }
        (x.add(first), y.add(second))
    }
}

impl Vectors {
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        Self(std::array::from_fn(|i| {
            add_i32_m128i(self.0[i], other.0[i])
        }))
    }

    /// One round; columns and rows have changed places after it.
    #[inline(always)]
    fn round(self) -> Self {
        let [a, b, c, d] = self.0;
        let b = step::<7, 25>(b, a, d);
        let c = step::<9, 23>(c, b, a);
        let d = step::<13, 19>(d, c, b);
        let a = step::<18, 14>(a, d, c);
        Self([
            a,
            shuffle_ai_f32_all_m128i::<0b00_11_10_01>(d),
            shuffle_ai_f32_all_m128i::<0b01_00_11_10>(c),
            shuffle_ai_f32_all_m128i::<0b10_01_00_11>(b),
        ])
    }
}

/// `target` XOR the sum of `one` and `other`, rotated by `LEFT`, which is 32 - `RIGHT`.
#[inline(always)]
fn step<const LEFT: i32, const RIGHT: i32>(target: m128i, one: m128i, other: m128i) -> m128i {
    let sum = add_i32_m128i(one, other);
    target ^ shl_imm_u32_m128i::<LEFT>(sum) ^ shr_imm_u32_m128i::<RIGHT>(sum)
}
