//! How a program is linked, as its ELF headers say.
//!
//! Specification: <https://gabi.xinuos.com/elf/07-pheader.html>. A program that is loaded by another one has a program header `PT_INTERP`,
//! which names that other one; a static program has none, also where its code may lie anywhere in memory.

/// How a program is linked.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Linkage {
    /// All of it is in its file.
    Static,
    /// The program of this path loads it, with the libraries that it names.
    LoadedBy(String),
}

const PT_INTERP: usize = 3;

/// Reads the program headers; `None` if these bytes are no ELF program.
pub(crate) fn linkage(program: &[u8]) -> Option<Linkage> {
    let [0x7f, b'E', b'L', b'F', class @ (1 | 2), order @ (1 | 2)] = program.get(..6)? else {
        return None;
    };
    let number = |at: usize, length: usize| -> Option<usize> {
        let bytes = program.get(at..at.checked_add(length)?)?;
        let join = |sum: usize, byte: &u8| (sum << 8) | usize::from(*byte);
        Some(match order {
            1 => bytes.iter().rev().fold(0, join),
            _ => bytes.iter().fold(0, join),
        })
    };
    // Places of e_phoff, e_phentsize and e_phnum, and the size of an address, in files of 32 and of 64 bits.
    let (places, word) = match class {
        1 => ([0x1c, 0x2a, 0x2c], 4),
        _ => ([0x20, 0x36, 0x38], 8),
    };
    let [first, size, count] =
        [(places[0], word), (places[1], 2), (places[2], 2)].map(|(at, length)| number(at, length));
    for index in 0..count? {
        let header = first?.checked_add(index.checked_mul(size?)?)?;
        if number(header, 4)? != PT_INTERP {
            continue;
        }
        // p_offset follows one word after p_type, p_filesz three words later: in both classes.
        let at = number(header + word, word)?;
        let path = program.get(at..at.checked_add(number(header + 4 * word, word)?)?)?;
        let path = String::from_utf8_lossy(path);
        return Some(Linkage::LoadedBy(path.trim_end_matches('\0').to_owned()));
    }
    Some(Linkage::Static)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file with two program headers, of which the second has this type and an interpreter's path.
    fn program(word: usize, is_little: bool, kind: usize) -> Vec<u8> {
        let path = b"/lib/ld.so\0";
        let mut bytes = vec![0; 0x40];
        let mut put = |at: usize, length: usize, value: usize| {
            let end = bytes.len().max(at + length);
            bytes.resize(end, 0);
            let mut digits = value.to_le_bytes()[..length].to_vec();
            if !is_little {
                digits.reverse();
            }
            bytes[at..at + length].copy_from_slice(&digits);
        };
        let size = 7 * word;
        let (headers, sizes) = if word == 4 {
            (0x1c, 0x2a)
        } else {
            (0x20, 0x36)
        };
        put(headers, word, 0x40);
        put(sizes, 2, size);
        put(sizes + 2, 2, 2);
        put(0x40, 4, 1);
        put(0x40 + size, 4, kind);
        put(0x40 + size + word, word, 0x40 + 2 * size);
        put(0x40 + size + 4 * word, word, path.len());
        bytes.resize(0x40 + 2 * size, 0);
        bytes.extend(path);
        let ident = [
            0x7f,
            b'E',
            b'L',
            b'F',
            if word == 4 { 1 } else { 2 },
            if is_little { 1 } else { 2 },
        ];
        bytes[..6].copy_from_slice(&ident);
        bytes
    }

    #[test]
    fn a_program_with_an_interpreter_is_told_from_a_static_one() {
        for (word, is_little) in [(8, true), (8, false), (4, true), (4, false)] {
            let dynamic = program(word, is_little, PT_INTERP);
            assert_eq!(
                linkage(&dynamic),
                Some(Linkage::LoadedBy("/lib/ld.so".to_owned())),
                "{word} {is_little}"
            );
            let other = program(word, is_little, 2);
            assert_eq!(linkage(&other), Some(Linkage::Static), "{word} {is_little}");
        }
    }

    #[test]
    fn what_is_cut_off_or_no_program_is_neither() {
        let whole = program(8, true, PT_INTERP);
        for length in 0..whole.len() {
            assert_eq!(linkage(&whole[..length]), None, "{length}");
        }
        assert_eq!(linkage(b"#!/bin/sh\nexec true\n"), None);
        // Places beyond every memory.
        let mut wild = whole;
        wild[0x20..0x28].fill(0xff);
        assert_eq!(linkage(&wild), None);
    }
}
