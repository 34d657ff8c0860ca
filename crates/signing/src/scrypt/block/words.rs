//! Salsa20/8 on scalar words, for processors without a vector form of their own here.

use zeroize::DefaultIsZeroes;

use super::Block;

/// The words in the order of the RFC.
#[derive(Clone, Copy, Default)]
#[repr(align(64))]
pub(crate) struct Words([u32; 16]);

impl DefaultIsZeroes for Words {}

impl Block for Words {
    fn from_words(words: [u32; 16]) -> Self {
        Self(words)
    }

    fn to_words(self) -> [u32; 16] {
        self.0
    }

    #[inline(always)]
    fn first_word(&self) -> u32 {
        self.0[0]
    }

    #[inline(always)]
    fn xor(mut self, other: &Self) -> Self {
        for (word, other) in self.0.iter_mut().zip(&other.0) {
            *word ^= other;
        }
        self
    }

    /// The four double rounds stand in a row because a loop costs one part in twenty.
    #[inline(always)]
    fn salsa20_8(mut self) -> Self {
        let mut x = self.0;
        double_round(&mut x);
        double_round(&mut x);
        double_round(&mut x);
        double_round(&mut x);
        for (word, mixed) in self.0.iter_mut().zip(x) {
            *word = word.wrapping_add(mixed);
        }
        self
    }

    /// One after the other: a single block fills the registers already.
    #[inline(always)]
    fn salsa20_8_pair(first: Self, second: Self) -> (Self, Self) {
        (first.salsa20_8(), second.salsa20_8())
    }
}

#[inline(always)]
fn double_round(x: &mut [u32; 16]) {
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
fn quarter<const A: usize, const B: usize, const C: usize, const D: usize>(x: &mut [u32; 16]) {
    x[B] ^= x[A].wrapping_add(x[D]).rotate_left(7);
    x[C] ^= x[B].wrapping_add(x[A]).rotate_left(9);
    x[D] ^= x[C].wrapping_add(x[B]).rotate_left(13);
    x[A] ^= x[D].wrapping_add(x[C]).rotate_left(18);
}
