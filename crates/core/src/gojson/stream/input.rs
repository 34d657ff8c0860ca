//! JSON text from a reader, piece by piece.

use std::io::{self, Read};

use super::Error;
use crate::excerpt::Excerpt;

/// How much is read at once.
const WINDOW: usize = 64 << 10;
/// No number that anybody wrote has more digits.
const LONGEST_NUMBER: usize = 1024;

/// A text and the place in it up to which it was read.
pub(super) struct Input<'a> {
    reader: &'a mut dyn Read,
    window: Vec<u8>,
    /// The part of the window that is still to come.
    at: usize,
    end: usize,
    /// How many bytes came before the window.
    before: u64,
}

impl<'a> Input<'a> {
    pub(super) fn new(reader: &'a mut dyn Read) -> Self {
        Self {
            reader,
            window: vec![0; WINDOW],
            at: 0,
            end: 0,
            before: 0,
        }
    }

    /// The next byte; it is not consumed.
    pub(super) fn peek(&mut self) -> Result<Option<u8>, Error> {
        if self.at == self.end && !self.fill()? {
            return Ok(None);
        }
        Ok(Some(self.window[self.at]))
    }

    /// The next byte that is no blank; it is not consumed.
    pub(super) fn token(&mut self) -> Result<Option<u8>, Error> {
        loop {
            match self.peek()? {
                Some(b' ' | b'\t' | b'\n' | b'\r') => self.skip(),
                other => return Ok(other),
            }
        }
    }

    /// Consumes the byte that was seen.
    pub(super) fn skip(&mut self) {
        self.at += 1;
    }

    /// Consumes this byte, after blanks.
    pub(super) fn expect(&mut self, byte: u8) -> Result<(), Error> {
        if self.token()? != Some(byte) {
            return Err(self.syntax());
        }
        self.skip();
        Ok(())
    }

    /// The error of a byte that must not stand here.
    pub(super) fn syntax(&self) -> Error {
        Error::Syntax(self.place())
    }

    /// The next characters of a string, up to about `most` bytes, into `piece`; whether the string ends with them. Its closing quote is
    /// consumed.
    pub(super) fn string(&mut self, piece: &mut String, most: usize) -> Result<bool, Error> {
        let mut bytes = std::mem::take(piece).into_bytes();
        bytes.clear();
        let is_whole = loop {
            let plain = self.window[self.at..self.end]
                .iter()
                .take(most)
                .take_while(|byte| byte.is_ascii() && is_plain(**byte))
                .count();
            bytes.extend_from_slice(&self.window[self.at..self.at + plain]);
            self.at += plain;
            if bytes.len() >= most {
                break false;
            }
            match self.peek()? {
                Some(b'"') => {
                    self.skip();
                    break true;
                }
                Some(b'\\') => {
                    self.skip();
                    let character = self.escape()?;
                    bytes.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                }
                Some(byte) if byte < 0x20 => return Err(self.syntax()),
                Some(byte) if byte.is_ascii() => {}
                Some(_) => self.character(&mut bytes)?,
                None => return Err(self.syntax()),
            }
        };
        *piece = String::from_utf8(bytes).expect("each character was checked");
        Ok(is_whole)
    }

    /// The next characters of a text that is no JSON; whether there are any.
    pub(super) fn text(&mut self, piece: &mut String, most: usize) -> Result<bool, Error> {
        let mut bytes = std::mem::take(piece).into_bytes();
        bytes.clear();
        while bytes.len() < most
            && let Some(byte) = self.peek()?
        {
            if !byte.is_ascii() {
                self.character(&mut bytes)?;
                continue;
            }
            let plain = self.window[self.at..self.end]
                .iter()
                .take(most)
                .take_while(|byte| byte.is_ascii())
                .count();
            bytes.extend_from_slice(&self.window[self.at..self.at + plain]);
            self.at += plain;
        }
        *piece = String::from_utf8(bytes).expect("each character was checked");
        Ok(!piece.is_empty())
    }

    /// A number as it is written: `-`, digits without a leading zero, a fraction, an exponent.
    pub(super) fn number(&mut self) -> Result<String, Error> {
        let mut token = String::new();
        if self.peek()? == Some(b'-') {
            self.take(&mut token);
        }
        match self.peek()? {
            Some(b'0') => self.take(&mut token),
            _ => self.digits(&mut token)?,
        }
        if self.peek()? == Some(b'.') {
            self.take(&mut token);
            self.digits(&mut token)?;
        }
        if matches!(self.peek()?, Some(b'e' | b'E')) {
            self.take(&mut token);
            if matches!(self.peek()?, Some(b'+' | b'-')) {
                self.take(&mut token);
            }
            self.digits(&mut token)?;
        }
        Ok(token)
    }

    /// One digit or more.
    fn digits(&mut self, token: &mut String) -> Result<(), Error> {
        let before = token.len();
        while matches!(self.peek()?, Some(b'0'..=b'9')) {
            self.take(token);
            if token.len() > LONGEST_NUMBER {
                return Err(Error::NumberRange(Excerpt::of(token)));
            }
        }
        if token.len() == before {
            return Err(self.syntax());
        }
        Ok(())
    }

    fn take(&mut self, token: &mut String) {
        token.push(char::from(self.window[self.at]));
        self.skip();
    }

    /// One character of more than one byte.
    fn character(&mut self, bytes: &mut Vec<u8>) -> Result<(), Error> {
        let wrong = Error::Utf8(self.place());
        let mut character = [0; 4];
        for length in 1..=4 {
            let Some(byte) = self.peek()? else {
                return Err(wrong);
            };
            character[length - 1] = byte;
            self.skip();
            match std::str::from_utf8(&character[..length]) {
                Ok(_) => {
                    bytes.extend_from_slice(&character[..length]);
                    return Ok(());
                }
                // More bytes may make it one.
                Err(error) if error.error_len().is_none() => {}
                Err(_) => return Err(wrong),
            }
        }
        Err(wrong)
    }

    /// The character of an escape, whose `\` is consumed.
    fn escape(&mut self) -> Result<char, Error> {
        let start = self.place();
        let Some(byte) = self.peek()? else {
            return Err(self.syntax());
        };
        let character = match byte {
            b'"' | b'\\' | b'/' => char::from(byte),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                self.skip();
                return self.code(start);
            }
            _ => return Err(self.syntax()),
        };
        self.skip();
        Ok(character)
    }

    /// The character of `\u` and four digits, or of two of them.
    fn code(&mut self, start: u64) -> Result<char, Error> {
        let first = self.hex()?;
        if let Some(character) = char::from_u32(first) {
            return Ok(character);
        }
        // It is half of a pair; the other half must follow.
        for byte in [b'\\', b'u'] {
            if !(0xd800..0xdc00).contains(&first) || self.peek()? != Some(byte) {
                return Err(Error::Surrogate(start));
            }
            self.skip();
        }
        let second = self.hex()?;
        if !(0xdc00..0xe000).contains(&second) {
            return Err(Error::Surrogate(start));
        }
        let code = 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00);
        char::from_u32(code).ok_or(Error::Surrogate(start))
    }

    fn hex(&mut self) -> Result<u32, Error> {
        let mut code = 0;
        for _ in 0..4 {
            let digit = self.peek()?.and_then(|byte| char::from(byte).to_digit(16));
            let Some(digit) = digit else {
                return Err(self.syntax());
            };
            code = code * 16 + digit;
            self.skip();
        }
        Ok(code)
    }

    fn place(&self) -> u64 {
        self.before + self.at as u64
    }

    /// Reads on; whether there is more.
    fn fill(&mut self) -> Result<bool, Error> {
        self.before += self.end as u64;
        (self.at, self.end) = (0, 0);
        loop {
            match self.reader.read(&mut self.window) {
                Ok(read) => {
                    self.end = read;
                    return Ok(read > 0);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Error::Read(error)),
            }
        }
    }
}

/// Whether a byte of a string stands for itself and ends nothing.
fn is_plain(byte: u8) -> bool {
    byte >= 0x20 && byte != b'"' && byte != b'\\'
}
