//! The 64 bytes on which Salsa20/8 works, and the mixing of 2·r of them.
//!
//! What a block looks like in memory is its own business: the words of `words::Words` stand in the order of the
//! RFC, the vectors of `vectors::Vectors` hold diagonals. Blocks are converted once at the start and once at the end
//! of a derivation. Both kinds are held against the same vectors.

use zeroize::{DefaultIsZeroes, Zeroize};

#[cfg(all(target_arch = "x86_64", target_feature = "sse2"))]
pub(super) mod vectors;
#[cfg(any(test, not(all(target_arch = "x86_64", target_feature = "sse2"))))]
pub(super) mod words;

#[cfg(all(target_arch = "x86_64", target_feature = "sse2"))]
pub(super) use vectors::Vectors as Native;
#[cfg(not(all(target_arch = "x86_64", target_feature = "sse2")))]
pub(super) use words::Words as Native;

/// Sixteen words of 32 bits in whatever order suits the processor.
pub(super) trait Block: DefaultIsZeroes + Zeroize {
    /// The block with these words, which are in the order of the RFC.
    fn from_words(words: [u32; 16]) -> Self;

    /// The words in the order of the RFC.
    fn to_words(self) -> [u32; 16];

    /// The first of the words.
    fn first_word(&self) -> u32;

    /// The bits of both blocks, added without carry.
    fn xor(self, other: &Self) -> Self;

    /// Salsa20/8 (section 3).
    fn salsa20_8(self) -> Self;

    /// Salsa20/8 of two blocks that have nothing to do with each other.
    fn salsa20_8_pair(first: Self, second: Self) -> (Self, Self);
}

/// Reads as many blocks as `bytes` holds.
pub(super) fn from_bytes<B: Block>(bytes: &[u8]) -> Vec<B> {
    let to_block = |bytes: &[u8; 64]| {
        let mut words = [0; 16];
        for (word, four) in words.iter_mut().zip(bytes.as_chunks::<4>().0) {
            *word = u32::from_le_bytes(*four);
        }
        B::from_words(words)
    };
    bytes.as_chunks::<64>().0.iter().map(to_block).collect()
}

/// Writes `blocks` over `bytes`.
pub(super) fn to_bytes<B: Block>(blocks: &[B], bytes: &mut [u8]) {
    for (block, bytes) in blocks.iter().zip(bytes.as_chunks_mut::<64>().0) {
        for (four, word) in bytes
            .as_chunks_mut::<4>()
            .0
            .iter_mut()
            .zip(block.to_words())
        {
            *four = word.to_le_bytes();
        }
    }
}

/// Where `scryptBlockMix` puts its result number `index`: the even ones first.
fn place(index: usize, r: usize) -> usize {
    index / 2 + index % 2 * r
}

/// `scryptBlockMix` (section 4).
#[inline(never)]
pub(super) fn block_mix<B: Block>(input: &[B], output: &mut [B]) {
    let (even, odd) = output.split_at_mut(input.len() / 2);
    let mut x = input[input.len() - 1];
    for ((pair, even), odd) in input.as_chunks::<2>().0.iter().zip(even).zip(odd) {
        x = x.xor(&pair[0]).salsa20_8();
        *even = x;
        x = x.xor(&pair[1]).salsa20_8();
        *odd = x;
    }
}

/// `scryptBlockMix` of `input` XOR `other`, without writing the XOR anywhere.
#[inline(never)]
pub(super) fn block_mix_of_xor<B: Block>(input: &[B], other: &[B], output: &mut [B]) {
    let (even, odd) = output.split_at_mut(input.len() / 2);
    let mut x = input[input.len() - 1].xor(&other[input.len() - 1]);
    let pairs = input.as_chunks::<2>().0.iter();
    let pairs = pairs.zip(other.as_chunks::<2>().0);
    for (((pair, others), even), odd) in pairs.zip(even).zip(odd) {
        x = x.xor(&pair[0].xor(&others[0])).salsa20_8();
        *even = x;
        x = x.xor(&pair[1].xor(&others[1])).salsa20_8();
        *odd = x;
    }
}

/// The result in the middle of a `block_mix` that wrote `output`: with it [`block_mix_again`] starts half way.
pub(super) fn middle<B: Block>(output: &[B]) -> B {
    let r = output.len() / 2;
    output[place(r - 1, r)]
}

/// `scryptBlockMix` of an input for which it was done before and left `middle`: both halves side by side.
#[inline(never)]
pub(super) fn block_mix_again<B: Block>(input: &[B], middle: &B, output: &mut [B]) {
    let r = input.len() / 2;
    let mut x = input[input.len() - 1];
    let mut y = *middle;
    let (first, second) = input.split_at(r);
    for (i, (first, second)) in first.iter().zip(second).enumerate() {
        (x, y) = B::salsa20_8_pair(x.xor(first), y.xor(second));
        output[place(i, r)] = x;
        output[place(i + r, r)] = y;
    }
}

/// Asks for all of `blocks` at once, so that they are at hand when a chain of steps comes to them one by one.
pub(super) fn prefetch<B: Block>(blocks: &[B]) {
    let read = blocks.iter().fold(0, |all, block| all | block.first_word());
    std::hint::black_box(read);
}

#[cfg(test)]
mod tests {
    use tekseal_core::digest::hex;

    use super::*;

    fn blocks<B: Block>(text: &str) -> Vec<B> {
        let bytes: Vec<u8> = (0..text.len() / 2)
            .map(|i| u8::from_str_radix(&text[2 * i..2 * i + 2], 16).expect("hexadecimal"))
            .collect();
        from_bytes(&bytes)
    }

    fn text<B: Block>(blocks: &[B]) -> String {
        let mut bytes = vec![0; blocks.len() * 64];
        to_bytes(blocks, &mut bytes);
        hex(&bytes)
    }

    /// Blocks that are all different.
    fn some<B: Block>(count: usize) -> Vec<B> {
        let bytes: Vec<u8> = (0..count * 64).map(|i| (i * i / 7 + i) as u8).collect();
        from_bytes(&bytes)
    }

    fn salsa_gives_the_vector<B: Block>() {
        let block = blocks::<B>(
            "7e879a214f3ec9867ca940e641718f26baee555b8c61c1b50df846116dcd3b1d\
             ee24f319df9b3d8514121e4b5ac5aa3276021d2909c74829edebc68db8b8c25e",
        )[0];
        let mixed = "a41f859c6608cc993b81cacb020cef05044b2181a2fd337dfd7b1c6396682f29\
                     b4393168e3c9e6bcfe6bc5b7a06d96bae424cc102c91745c24ad673dc7618f81";
        assert_eq!(text(&[block.salsa20_8()]), mixed);
        let other = some::<B>(1)[0];
        let (first, second) = B::salsa20_8_pair(block, other);
        assert_eq!(text(&[first]), mixed);
        assert_eq!(text(&[second]), text(&[other.salsa20_8()]));
        let (first, second) = B::salsa20_8_pair(other, block);
        assert_eq!(text(&[first]), text(&[other.salsa20_8()]));
        assert_eq!(text(&[second]), mixed);
    }

    #[test]
    fn the_salsa_core_gives_the_vector_of_section_8() {
        salsa_gives_the_vector::<words::Words>();
        salsa_gives_the_vector::<Native>();
    }

    fn block_mix_gives_the_vector<B: Block>() {
        let input = blocks::<B>(
            "f7ce0b653d2d72a4108cf5abe912ffdd777616dbbb27a70e8204f3ae2d0f6fad\
             89f68f4811d1e87bcc3bd7400a9ffd29094f0184639574f39ae5a1315217bcd7\
             894991447213bb226c25b54da86370fbcd984380374666bb8ffcb5bf40c254b0\
             67d27c51ce4ad5fed829c90b505a571b7f4d1cad6a523cda770e67bceaaf7e89",
        );
        let mut output = vec![B::default(); 2];
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
    fn the_block_mix_gives_the_vector_of_section_9() {
        block_mix_gives_the_vector::<words::Words>();
        block_mix_gives_the_vector::<Native>();
    }

    fn the_three_mixes_agree<B: Block>() {
        for r in 1..=9 {
            let input = some::<B>(2 * r);
            let mut once = vec![B::default(); 2 * r];
            block_mix(&input, &mut once);
            let mut again = vec![B::default(); 2 * r];
            block_mix_again(&input, &middle(&once), &mut again);
            assert_eq!(text(&again), text(&once), "r={r}");

            let others = once;
            let xored: Vec<B> = input.iter().zip(&others).map(|(a, b)| a.xor(b)).collect();
            let mut plain = vec![B::default(); 2 * r];
            block_mix(&xored, &mut plain);
            let mut fused = vec![B::default(); 2 * r];
            block_mix_of_xor(&input, &others, &mut fused);
            assert_eq!(text(&fused), text(&plain), "r={r}");
        }
    }

    #[test]
    fn mixing_again_from_the_middle_and_mixing_an_xor_give_what_plain_mixing_gives() {
        the_three_mixes_agree::<words::Words>();
        the_three_mixes_agree::<Native>();
    }

    #[test]
    fn words_come_back_as_they_went_in() {
        let words: [u32; 16] = std::array::from_fn(|i| 0x0102_0304 * (i as u32 + 1));
        assert_eq!(words::Words::from_words(words).to_words(), words);
        assert_eq!(Native::from_words(words).to_words(), words);
        assert_eq!(Native::from_words(words).first_word(), words[0]);
    }
}
