//! Flow collections and texts in quotes, which may go over several lines. JSON is made of them alone.

use zeroize::Zeroizing;

use super::{Node, indent_of};

/// Where something is read: a line, and how many of its bytes were read.
pub(super) struct Cursor<'a> {
    lines: &'a [&'a str],
    at: usize,
    column: usize,
    /// How far all but the first line are indented, at least.
    floor: usize,
}

const OPEN: &str = "it does not end";

impl<'a> Cursor<'a> {
    pub(super) fn new(lines: &'a [&'a str], at: usize, column: usize, floor: usize) -> Self {
        Self {
            lines,
            at,
            column,
            floor,
        }
    }

    /// The line and the column after what was read.
    pub(super) fn place(&self) -> (usize, usize) {
        (self.at, self.column)
    }

    fn rest(&self) -> &'a str {
        &self.lines[self.at][self.column..]
    }

    fn next_line(&mut self) -> Result<(), &'static str> {
        let line = self.lines.get(self.at + 1).ok_or(OPEN)?;
        (self.at, self.column) = (self.at + 1, 0);
        match indent_of(line) < self.floor && !line.trim().is_empty() {
            true => Err("it is indented less than what it belongs to"),
            false => Ok(()),
        }
    }

    /// Goes to the next byte that is no blank and no comment.
    fn skip(&mut self) -> Result<u8, &'static str> {
        loop {
            let rest = self.rest();
            let content = rest.trim_start_matches([' ', '\t']);
            let blanks = rest.len() - content.len();
            let is_comment = content.starts_with('#') && (blanks > 0 || self.column == 0);
            match content.as_bytes().first() {
                Some(&byte) if !is_comment => {
                    self.column += blanks;
                    return Ok(byte);
                }
                _ => self.next_line()?,
            }
        }
    }

    /// Goes past a byte of ASCII that is there.
    fn take(&mut self) {
        self.column += 1;
    }

    /// The value that is here. It may have so many collections in each other; values are counted.
    pub(super) fn node(&mut self, depth: usize, nodes: &mut usize) -> Result<Node, &'static str> {
        *nodes += 1;
        let first = self.skip()?;
        let deeper = depth.checked_sub(1).ok_or("it is nested too deeply");
        match first {
            b'{' => self.map(deeper?, nodes),
            b'[' => self.list(deeper?, nodes),
            b'"' | b'\'' => Ok(Node::Scalar {
                text: self.quoted()?,
                is_plain: false,
            }),
            _ => Ok(Node::Scalar {
                text: self.plain()?,
                is_plain: true,
            }),
        }
    }

    fn list(&mut self, depth: usize, nodes: &mut usize) -> Result<Node, &'static str> {
        self.take();
        let mut items = Vec::new();
        loop {
            if self.skip()? == b']' {
                self.take();
                return Ok(Node::List(items));
            }
            items.push(self.node(depth, nodes)?);
            self.separator(b']')?;
        }
    }

    fn map(&mut self, depth: usize, nodes: &mut usize) -> Result<Node, &'static str> {
        self.take();
        let mut members: Vec<(Zeroizing<String>, Node)> = Vec::new();
        loop {
            let key = match self.skip()? {
                b'}' => {
                    self.take();
                    return Ok(Node::Map(members));
                }
                b'"' | b'\'' => self.quoted()?,
                _ => self.plain()?,
            };
            if members.iter().any(|(name, _)| *name == key) {
                return Err("its key stands there twice");
            }
            if self.skip()? != b':' {
                return Err("a key has no value");
            }
            self.take();
            let value = match self.skip()? {
                b',' | b'}' => Node::nothing(),
                _ => self.node(depth, nodes)?,
            };
            members.push((key, value));
            self.separator(b'}')?;
        }
    }

    /// Goes past a comma, or to the end of the collection.
    fn separator(&mut self, end: u8) -> Result<(), &'static str> {
        match self.skip()? {
            b',' => {
                self.take();
                Ok(())
            }
            byte if byte == end => Ok(()),
            _ => Err("a comma is missing"),
        }
    }

    /// A text without quotes, on one line.
    fn plain(&mut self) -> Result<Zeroizing<String>, &'static str> {
        let rest = self.rest();
        if rest.starts_with(['&', '*', '!', '%', '@', '`', '|', '>']) {
            return Err("anchors, aliases, tags and the like are not read");
        }
        let bytes = rest.as_bytes();
        let ends = |at: usize| match bytes[at] {
            b',' | b'[' | b']' | b'{' | b'}' => true,
            b':' => matches!(
                bytes.get(at + 1),
                None | Some(b' ' | b'\t' | b',' | b'[' | b']' | b'{' | b'}')
            ),
            b'#' => at > 0 && matches!(bytes[at - 1], b' ' | b'\t'),
            _ => false,
        };
        let end = (0..bytes.len()).find(|&at| ends(at));
        let text = rest[..end.unwrap_or(bytes.len())].trim_end();
        if text.is_empty() {
            return Err("a value is missing");
        }
        self.column += text.len();
        Ok(Zeroizing::new(text.to_owned()))
    }

    /// A text in the quotes that are here.
    pub(super) fn quoted(&mut self) -> Result<Zeroizing<String>, &'static str> {
        let quote = self.lines[self.at].as_bytes()[self.column];
        self.take();
        let mut text = Zeroizing::new(String::new());
        // So much of it stays where a line ends: blanks before that are none, unless they were escaped.
        let mut solid = 0;
        loop {
            let Some(sign) = self.rest().chars().next() else {
                text.truncate(solid);
                let breaks = self.fold()?;
                match breaks {
                    0 => text.push(' '),
                    _ => (0..breaks).for_each(|_| text.push('\n')),
                }
                solid = text.len();
                continue;
            };
            self.column += sign.len_utf8();
            match sign {
                '\'' if quote == b'\'' && self.rest().starts_with('\'') => {
                    self.take();
                    text.push('\'');
                }
                _ if sign == char::from(quote) => return Ok(text),
                '\\' if quote == b'"' && self.rest().is_empty() => {
                    let breaks = self.fold()?;
                    (0..breaks).for_each(|_| text.push('\n'));
                }
                '\\' if quote == b'"' => {
                    let sign = self.escaped()?;
                    text.push(sign);
                }
                ' ' | '\t' => {
                    text.push(sign);
                    continue;
                }
                _ => text.push(sign),
            }
            solid = text.len();
        }
    }

    /// Goes on to the next line that has something; the number of those between.
    fn fold(&mut self) -> Result<usize, &'static str> {
        let mut empty = 0;
        loop {
            self.next_line()?;
            let content = self.rest().trim_start_matches([' ', '\t']);
            if !content.is_empty() {
                self.column += self.rest().len() - content.len();
                return Ok(empty);
            }
            empty += 1;
        }
    }

    /// What is meant by what follows a backslash.
    fn escaped(&mut self) -> Result<char, &'static str> {
        const UNKNOWN: &str = "there is no such escape";
        let sign = self.rest().chars().next().ok_or(OPEN)?;
        self.column += sign.len_utf8();
        Ok(match sign {
            '0' => '\0',
            'a' => '\u{7}',
            'b' => '\u{8}',
            't' | '\t' => '\t',
            'n' => '\n',
            'v' => '\u{b}',
            'f' => '\u{c}',
            'r' => '\r',
            'e' => '\u{1b}',
            ' ' | '"' | '/' | '\\' => sign,
            'N' => '\u{85}',
            '_' => '\u{a0}',
            'L' => '\u{2028}',
            'P' => '\u{2029}',
            'x' => char::from_u32(self.hex(2)?).ok_or(UNKNOWN)?,
            'U' => char::from_u32(self.hex(8)?).ok_or(UNKNOWN)?,
            'u' => {
                let first = self.hex(4)?;
                // JSON has one character beyond the first 65,536 as two.
                match (0xd800..0xdc00).contains(&first) && self.rest().starts_with("\\u") {
                    true => {
                        self.column += 2;
                        let second = self.hex(4)?;
                        let low = second.checked_sub(0xdc00).filter(|low| *low < 0x400);
                        let low = low.ok_or(UNKNOWN)?;
                        char::from_u32(0x10000 + ((first - 0xd800) << 10) + low).ok_or(UNKNOWN)?
                    }
                    false => char::from_u32(first).ok_or(UNKNOWN)?,
                }
            }
            _ => return Err(UNKNOWN),
        })
    }

    fn hex(&mut self, digits: usize) -> Result<u32, &'static str> {
        let text = self.rest().get(..digits);
        let text = text.filter(|text| text.bytes().all(|byte| byte.is_ascii_hexdigit()));
        let value = text.and_then(|text| u32::from_str_radix(text, 16).ok());
        let value = value.ok_or("an escape has no such digits")?;
        self.column += digits;
        Ok(value)
    }
}
