//! JSON of any size as Go writes what it read into an `interface{}`, without ever holding it: sorted keys, numbers as float64, strings
//! escaped anew.
//!
//! cosign reads a predicate so, and writes it again. What it keeps in memory as a tree goes through here from a reader to a [`Sink`]: the
//! text is written in the order in which it is read, and where the keys of an object are not sorted already, the sink puts its members in
//! order afterwards. Only the keys of the objects that are open are in memory.
//!
//! The same for what is short enough for memory, and for protojson, is [`write_struct`](super::write_struct). Both are as strict: a key
//! that stands twice, half a character and deep nesting are refused.

mod input;

use std::io::{self, Read};
use std::ops::Range;

use self::input::Input;
use super::{Escape, write_escaped, write_f64};
use crate::excerpt::Excerpt;
use crate::strict_json;

/// The deepest nesting of lists and objects that is written: see `write_struct`.
const MAX_DEPTH: usize = strict_json::MAX_DEPTH - 20;

/// The most bytes that the keys of all open objects, and what is noted of their members, may take.
const MOST_OF_MEMBERS: usize = 64 << 20;

/// How much is collected before it is given to the sink.
const PIECE: usize = 32 << 10;

/// Where the text goes.
pub trait Sink {
    /// How many bytes it has.
    fn position(&self) -> u64;

    /// Appends.
    ///
    /// # Errors
    /// If there is no room.
    fn write(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Puts `pieces`, which with a comma after each but the last are everything from `start` on, into this new order.
    ///
    /// # Errors
    /// If there is no room.
    fn reorder(&mut self, start: u64, pieces: &[Range<u64>]) -> io::Result<()>;
}

/// Why nothing is written to the end.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The text could not be read.
    #[error("the text cannot be read to its end")]
    Read(#[source] io::Error),
    /// What was made could not be kept.
    #[error("what was made cannot be kept")]
    Write(#[source] io::Error),
    /// No JSON.
    #[error("it is not JSON at byte {0}")]
    Syntax(u64),
    /// No text.
    #[error("it is not UTF-8 at byte {0}")]
    Utf8(u64),
    /// JSON of another kind.
    #[error("it is not a JSON object")]
    NotAnObject,
    /// Which of two values other readers would take, nobody knows.
    #[error("key {0} occurs twice in one JSON object")]
    DuplicateKey(Excerpt),
    /// Larger than a float64 can be, or longer than any number that anybody wrote.
    #[error("number {0} is out of the range of a 64-bit float")]
    NumberRange(Excerpt),
    /// Half of a surrogate pair in a `\u` escape: no character.
    #[error("a string has an escape that is no character, at byte {0}")]
    Surrogate(u64),
    /// Lists and objects inside each other.
    #[error("it is nested deeper than {MAX_DEPTH} levels")]
    Depth,
    /// Objects with so many members that their keys alone would fill the memory.
    #[error("the keys of its open objects take more than {} MiB", MOST_OF_MEMBERS >> 20)]
    Members,
}

/// Writes what `encoding/json` makes of the JSON object in `reader`, after it was read into an `interface{}`.
///
/// # Errors
/// As [`Error`] says; what was written then is of no use.
pub fn write_object(reader: &mut dyn Read, sink: &mut dyn Sink) -> Result<(), Error> {
    let mut transcoder = Transcoder {
        input: Input::new(reader),
        out: Vec::with_capacity(2 * PIECE),
        sink,
        keys: Vec::new(),
        members: Vec::new(),
        piece: String::new(),
    };
    transcoder.document()
}

/// Writes all of the text in `reader` as one JSON string, as `encoding/json` does.
///
/// # Errors
/// [`Error::Read`], [`Error::Write`] and [`Error::Utf8`].
pub fn write_text(reader: &mut dyn Read, sink: &mut dyn Sink) -> Result<(), Error> {
    let mut input = Input::new(reader);
    let mut out = vec![b'"'];
    let mut piece = String::new();
    while input.text(&mut piece, PIECE)? {
        write_escaped(&mut out, &piece, Escape::Go);
        sink.write(&out).map_err(Error::Write)?;
        out.clear();
    }
    out.push(b'"');
    sink.write(&out).map_err(Error::Write)
}

struct Transcoder<'a> {
    input: Input<'a>,
    /// What the sink does not have yet.
    out: Vec<u8>,
    sink: &'a mut dyn Sink,
    /// Keys of all members of open objects, one after the other.
    keys: Vec<u8>,
    /// Members of all objects that are open, outermost first.
    members: Vec<Member>,
    /// Where pieces of strings are read into.
    piece: String,
}

/// A member of an object: its key in `keys`, and where it stands in the sink.
struct Member {
    key: Range<usize>,
    place: Range<u64>,
}

impl Transcoder<'_> {
    fn document(&mut self) -> Result<(), Error> {
        if self.input.token()? != Some(b'{') {
            return Err(match self.input.token()? {
                Some(b'[' | b'"' | b'-' | b'0'..=b'9' | b't' | b'f' | b'n') => Error::NotAnObject,
                _ => self.input.syntax(),
            });
        }
        self.value(0)?;
        if self.input.token()?.is_some() {
            return Err(self.input.syntax());
        }
        self.flush()
    }

    fn value(&mut self, depth: usize) -> Result<(), Error> {
        match self.input.token()? {
            Some(b'{') => self.object(depth),
            Some(b'[') => self.list(depth),
            Some(b'"') => self.string(),
            Some(b'-' | b'0'..=b'9') => self.number(),
            _ => self.word(),
        }
    }

    fn object(&mut self, depth: usize) -> Result<(), Error> {
        self.open(depth, b'{')?;
        let (first, first_key) = (self.members.len(), self.keys.len());
        let mut is_sorted = true;
        let mut next = self.input.token()?;
        while next != Some(b'}') {
            if next != Some(b'"') {
                return Err(self.input.syntax());
            }
            let start = self.position();
            let key = self.key()?;
            if let Some(before) = self.members[first..].last() {
                is_sorted &= self.keys[before.key.clone()] < self.keys[key.clone()];
            }
            self.input.expect(b':')?;
            self.out.push(b':');
            self.value(depth + 1)?;
            let place = start..self.position();
            self.members.push(Member { key, place });
            if self.keys.len() + self.members.len() * size_of::<Member>() > MOST_OF_MEMBERS {
                return Err(Error::Members);
            }
            next = self.comma(b'}')?;
        }
        if !is_sorted {
            self.sort(first)?;
        }
        self.members.truncate(first);
        self.keys.truncate(first_key);
        self.close(b'}')
    }

    fn list(&mut self, depth: usize) -> Result<(), Error> {
        self.open(depth, b'[')?;
        let mut next = self.input.token()?;
        while next != Some(b']') {
            self.value(depth + 1)?;
            next = self.comma(b']')?;
        }
        self.close(b']')
    }

    fn open(&mut self, depth: usize, bracket: u8) -> Result<(), Error> {
        if depth == MAX_DEPTH {
            return Err(Error::Depth);
        }
        self.input.skip();
        self.out.push(bracket);
        Ok(())
    }

    fn close(&mut self, bracket: u8) -> Result<(), Error> {
        self.input.skip();
        self.out.push(bracket);
        self.flush_if_long()
    }

    /// After an element: a comma and the first byte of the next one, or `close`.
    fn comma(&mut self, close: u8) -> Result<Option<u8>, Error> {
        let next = self.input.token()?;
        if next == Some(close) {
            return Ok(next);
        }
        self.input.expect(b',')?;
        self.out.push(b',');
        match self.input.token()? {
            Some(byte) if byte != close => Ok(Some(byte)),
            _ => Err(self.input.syntax()),
        }
    }

    /// Puts the members from `first` on, which are the end of what was written, in the order of their keys.
    fn sort(&mut self, first: usize) -> Result<(), Error> {
        let keys = &self.keys;
        let members = &mut self.members[first..];
        let start = members[0].place.start;
        members.sort_unstable_by(|one, other| keys[one.key.clone()].cmp(&keys[other.key.clone()]));
        if let Some([twice, _]) = members
            .array_windows()
            .find(|[one, other]| keys[one.key.clone()] == keys[other.key.clone()])
        {
            let key = String::from_utf8_lossy(&keys[twice.key.clone()]);
            return Err(Error::DuplicateKey(Excerpt::of(&key)));
        }
        let pieces: Vec<_> = members.iter().map(|member| member.place.clone()).collect();
        let held = self.sink.position();
        if start >= held {
            reorder_held(&mut self.out, held, start, &pieces);
            return Ok(());
        }
        self.flush()?;
        self.sink.reorder(start, &pieces).map_err(Error::Write)
    }

    /// Reads a key and writes it. Where it is in `keys`.
    fn key(&mut self) -> Result<Range<usize>, Error> {
        let start = self.keys.len();
        self.input.skip();
        self.out.push(b'"');
        loop {
            let is_whole = self.input.string(&mut self.piece, PIECE)?;
            self.keys.extend_from_slice(self.piece.as_bytes());
            write_escaped(&mut self.out, &self.piece, Escape::Go);
            if is_whole {
                self.out.push(b'"');
                return Ok(start..self.keys.len());
            }
            if self.keys.len() > MOST_OF_MEMBERS {
                return Err(Error::Members);
            }
        }
    }

    fn string(&mut self) -> Result<(), Error> {
        self.input.skip();
        self.out.push(b'"');
        loop {
            let is_whole = self.input.string(&mut self.piece, PIECE)?;
            write_escaped(&mut self.out, &self.piece, Escape::Go);
            if is_whole {
                self.out.push(b'"');
                return self.flush_if_long();
            }
            self.flush_if_long()?;
        }
    }

    fn number(&mut self) -> Result<(), Error> {
        let token = self.input.number()?;
        let value: f64 = token.parse().map_err(|_| self.input.syntax())?;
        if value.is_infinite() {
            return Err(Error::NumberRange(Excerpt::of(&token)));
        }
        write_f64(&mut self.out, value);
        Ok(())
    }

    fn word(&mut self) -> Result<(), Error> {
        let word = match self.input.token()? {
            Some(b'n') => "null",
            Some(b't') => "true",
            Some(b'f') => "false",
            _ => return Err(self.input.syntax()),
        };
        for &byte in word.as_bytes() {
            if self.input.peek()? != Some(byte) {
                return Err(self.input.syntax());
            }
            self.input.skip();
        }
        self.out.extend_from_slice(word.as_bytes());
        Ok(())
    }

    /// How many bytes were written.
    fn position(&self) -> u64 {
        self.sink.position() + self.out.len() as u64
    }

    fn flush_if_long(&mut self) -> Result<(), Error> {
        if self.out.len() < PIECE {
            return Ok(());
        }
        self.flush()
    }

    fn flush(&mut self) -> Result<(), Error> {
        self.sink.write(&self.out).map_err(Error::Write)?;
        self.out.clear();
        Ok(())
    }
}

/// [`Sink::reorder`] in memory, of bytes whose first is at the place `offset`.
///
/// # Panics
/// If a piece is not in the bytes.
pub fn reorder_held(bytes: &mut Vec<u8>, offset: u64, start: u64, pieces: &[Range<u64>]) {
    let at = |place: u64| usize::try_from(place - offset).expect("what is held fits into memory");
    let start = at(start);
    let mut ordered = Vec::with_capacity(bytes.len() - start);
    for (count, piece) in pieces.iter().enumerate() {
        if count > 0 {
            ordered.push(b',');
        }
        ordered.extend_from_slice(&bytes[at(piece.start)..at(piece.end)]);
    }
    bytes.truncate(start);
    bytes.append(&mut ordered);
}

impl Sink for Vec<u8> {
    fn position(&self) -> u64 {
        self.len() as u64
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.extend_from_slice(bytes);
        Ok(())
    }

    fn reorder(&mut self, start: u64, pieces: &[Range<u64>]) -> io::Result<()> {
        reorder_held(self, 0, start, pieces);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
