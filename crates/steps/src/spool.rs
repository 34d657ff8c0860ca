//! Bytes of any number: in memory as long as they are few, else in a temporary file that nobody else sees.
//!
//! The file has no name, so nothing is left of it when the program ends, however it ends. It lies in the folder that `TMPDIR` names.

use std::fs::File;
use std::io::{self, Read, Write};
use std::ops::Range;
use std::os::unix::fs::FileExt as _;

use tekseal_core::gojson::stream::{Sink, reorder_held};

/// What is more is in a file.
const MOST_HELD: usize = 8 << 20;
/// How much of the end stays in memory then, so that small objects can be put in order there.
const KEPT: usize = 1 << 20;
/// How much of a file is moved at once.
const PIECE: usize = 256 << 10;

/// Takes bytes.
#[derive(Debug)]
pub(crate) struct Spool {
    /// What comes after the bytes in the file.
    held: Vec<u8>,
    file: Option<File>,
    in_file: u64,
    most_held: usize,
}

/// Bytes that were taken.
#[derive(Debug)]
pub(crate) enum Spooled {
    Held(Vec<u8>),
    InFile(StoredBytes),
}

/// The first bytes of a file.
#[derive(Debug)]
pub(crate) struct StoredBytes {
    file: File,
    length: u64,
}

/// An empty file without a name.
pub(crate) fn nameless_file() -> io::Result<File> {
    tempfile::tempfile()
}

/// Reads a part of a file, whatever others do with it at the same time.
struct Part<'a> {
    file: &'a File,
    left: Range<u64>,
}

impl Default for Spool {
    fn default() -> Self {
        Self::holding(MOST_HELD)
    }
}

impl Spool {
    /// One that holds no more than so many bytes in memory.
    fn holding(most_held: usize) -> Self {
        Self {
            held: Vec::new(),
            file: None,
            in_file: 0,
            most_held,
        }
    }

    /// All that was written.
    pub(crate) fn finish(mut self) -> io::Result<Spooled> {
        if self.file.is_none() {
            return Ok(Spooled::Held(self.held));
        }
        self.spill(0)?;
        let length = self.in_file;
        let file = self.file.take().expect("it was just written to");
        Ok(Spooled::InFile(StoredBytes { file, length }))
    }

    /// Moves everything but the last `kept` bytes into the file.
    fn spill(&mut self, kept: usize) -> io::Result<&File> {
        let moved = self.held.len().saturating_sub(kept);
        let file = match self.file.take() {
            Some(file) => file,
            None => nameless_file()?,
        };
        let file = self.file.insert(file);
        file.write_all_at(&self.held[..moved], self.in_file)?;
        self.in_file += moved as u64;
        self.held.drain(..moved);
        Ok(file)
    }
}

impl Sink for Spool {
    fn position(&self) -> u64 {
        self.in_file + self.held.len() as u64
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.held.extend_from_slice(bytes);
        if self.held.len() > self.most_held {
            self.spill(KEPT.min(self.most_held / 2))?;
        }
        Ok(())
    }

    fn reorder(&mut self, start: u64, pieces: &[Range<u64>]) -> io::Result<()> {
        if start >= self.in_file {
            reorder_held(&mut self.held, self.in_file, start, pieces);
            return Ok(());
        }
        let file = self.spill(0)?;
        let ordered = nameless_file()?;
        let mut out = io::BufWriter::with_capacity(PIECE, &ordered);
        for (count, piece) in pieces.iter().enumerate() {
            if count > 0 {
                out.write_all(b",")?;
            }
            let left = piece.clone();
            io::copy(&mut Part { file, left }, &mut out)?;
        }
        out.flush()?;
        drop(out);
        let left = 0..self.in_file - start;
        let file = &ordered;
        let mut back = io::BufReader::with_capacity(PIECE, Part { file, left });
        let mut piece = vec![0; PIECE];
        let mut at = start;
        loop {
            let read = back.read(&mut piece)?;
            if read == 0 {
                return Ok(());
            }
            let file = self.file.as_ref().expect("it was just written to");
            file.write_all_at(&piece[..read], at)?;
            at += read as u64;
        }
    }
}

impl StoredBytes {
    /// How many there are.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// Reads them from their beginning.
    pub(crate) fn reader(&self) -> impl Read + '_ {
        let left = 0..self.length;
        let file = &self.file;
        io::BufReader::with_capacity(PIECE, Part { file, left })
    }
}

impl Read for Part<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.left.end - self.left.start).unwrap_or(usize::MAX);
        let length = left.min(buffer.len());
        let read = self.file.read_at(&mut buffer[..length], self.left.start)?;
        self.left.start += read as u64;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use tekseal_core::gojson::stream;

    use super::*;

    fn text(spooled: Spooled) -> (Vec<u8>, bool) {
        match spooled {
            Spooled::Held(bytes) => (bytes, false),
            Spooled::InFile(stored) => {
                let mut bytes = Vec::new();
                let read = stored.reader().read_to_end(&mut bytes);
                read.expect("the file is there");
                assert_eq!(bytes.len() as u64, stored.length());
                let mut again = Vec::new();
                stored.reader().read_to_end(&mut again).expect("twice");
                assert!(again == bytes);
                (bytes, true)
            }
        }
    }

    #[test]
    fn few_bytes_are_held_and_more_are_in_a_file() {
        for (count, in_file) in [
            (0, false),
            (9, false),
            (10, false),
            (11, true),
            (3000, true),
        ] {
            let mut spool = Spool::holding(10);
            for at in 0..count {
                spool.write(&[at as u8]).expect("there is room");
            }
            assert_eq!(spool.position(), count as u64);
            let wanted: Vec<u8> = (0..count).map(|at: i32| at as u8).collect();
            let (bytes, is_in_file) = text(spool.finish().expect("there is room"));
            assert!(bytes == wanted && is_in_file == in_file, "{count}");
        }
    }

    #[test]
    fn members_are_put_in_order_wherever_they_are() {
        let members: Vec<String> = (0..900)
            .rev()
            .map(|n| format!(r#""k{n:04}":{{"b":"{}","a":{n}}}"#, "x".repeat(n % 90)))
            .collect();
        let json = format!(r#"{{"z":{{{}}},"a":1}}"#, members.join(","));
        let mut wanted = Vec::new();
        stream::write_object(&mut json.as_bytes(), &mut wanted).expect("an object");
        for most_held in [1, 100, 4000, 40_000, 1 << 20] {
            let mut spool = Spool::holding(most_held);
            stream::write_object(&mut json.as_bytes(), &mut spool).expect("an object");
            let (bytes, in_file) = text(spool.finish().expect("there is room"));
            assert!(bytes == wanted, "with {most_held} bytes");
            assert_eq!(in_file, most_held < wanted.len());
        }
    }
}
