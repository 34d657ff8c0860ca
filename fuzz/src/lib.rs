//! A mutator of JSON for the fuzz targets: most of what it makes of JSON is JSON again, so that inputs get past the parser.
//!
//! libFuzzer's own mutations, which know bytes only, are taken for a third of the changes; they also find what is no JSON.
//! An input may be several documents with the byte 0xff between.

use libfuzzer_sys::fuzzer_mutate;

/// A change for libFuzzer (`fuzz_mutator!`): the new size of the input in `data`.
pub fn mutate(data: &mut [u8], size: usize, max_size: usize, seed: u32) -> usize {
    let mut random = Random(u64::from(seed));
    let mut spans = Vec::new();
    let mut start = 0;
    for document in data[..size].split(|byte| *byte == 0xff) {
        let mut scanner = Scanner {
            text: &data[..start + document.len()],
            at: start,
            spans: &mut spans,
        };
        scanner.value(Place::Alone, 0);
        start += document.len() + 1;
    }
    if spans.is_empty() || random.below(3) == 0 {
        return fuzzer_mutate(data, size, max_size);
    }
    let span = *random.of(&spans);
    let new = match random.below(7) {
        0 => removed(&data[..size], span),
        1 => {
            let donor = random.like(&spans, span.place);
            Change {
                start: span.end,
                end: span.end,
                text: match span.place {
                    Place::Alone => Vec::new(),
                    Place::Element | Place::Member => {
                        [b",", &data[donor.start..donor.end]].concat()
                    }
                },
            }
        }
        2 | 3 => {
            let donor = random.like(&spans, span.place);
            span.becomes(data[donor.start..donor.end].to_vec())
        }
        4 => {
            let odd = random.of(ODD).as_bytes().to_vec();
            span.value().becomes(odd)
        }
        5 => {
            let depth = 1 + random.below(130);
            let value = &data[span.value..span.end];
            let deep = [&b"[".repeat(depth), value, &b"]".repeat(depth)].concat();
            span.value().becomes(deep)
        }
        _ => span.value().becomes(changed(&data[span.value..span.end])),
    };
    let text = [&data[..new.start], &new.text, &data[new.end..size]].concat();
    if text.len() > max_size {
        return fuzzer_mutate(data, size, max_size);
    }
    data[..text.len()].copy_from_slice(&text);
    text.len()
}

/// Values of which some reader may think otherwise than another.
const ODD: &[&str] = &[
    "null",
    "true",
    "\"\"",
    "[]",
    "{}",
    "0",
    "-0",
    "-1",
    "1e2",
    "0.5",
    "2147483648",
    "9007199254740993",
    "9223372036854775808",
    "1e400",
    "123456789012345678901234567890",
    "[null]",
    "[{}]",
    "{\"\":null}",
    "\"\\u0000\"",
    "\"\\ud800\"",
    "\"\\u2028<&>\"",
    "\"$(tasks.a.results.b)\"",
    "\"0001-01-01T00:00:00Z\"",
    "\"9999-12-31T23:59:59-01:00\"",
    "\"1h\"",
    "\"1Gi\"",
    "\"True\"",
];

/// Where a value stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// It is a whole document.
    Alone,
    /// In a list.
    Element,
    /// In an object, with its key.
    Member,
}

/// A value in the input; of a member, with its key.
#[derive(Clone, Copy)]
struct Span {
    place: Place,
    start: usize,
    /// Where the value begins.
    value: usize,
    end: usize,
}

/// A piece of the input, and what stands there afterwards.
struct Change {
    start: usize,
    end: usize,
    text: Vec<u8>,
}

impl Span {
    fn value(self) -> Self {
        Self {
            start: self.value,
            ..self
        }
    }

    fn becomes(self, text: Vec<u8>) -> Change {
        let Self { start, end, .. } = self;
        Change { start, end, text }
    }
}

/// Without the element or member, and without a comma of it.
fn removed(data: &[u8], span: Span) -> Change {
    let Span { start, end, .. } = span;
    let (start, end) = if data.get(end) == Some(&b',') {
        (start, end + 1)
    } else if start > 0 && data[start - 1] == b',' {
        (start - 1, end)
    } else {
        (start, end)
    };
    Change {
        start,
        end,
        text: Vec::new(),
    }
}

/// A string with other text, or another value with other bytes.
fn changed(value: &[u8]) -> Vec<u8> {
    let (is_string, inside) = match value {
        [b'"', inside @ .., b'"'] => (true, inside),
        _ => (false, value),
    };
    let mut text = inside.to_vec();
    let size = text.len();
    text.resize(size * 2 + 16, 0);
    let longest = text.len();
    let size = fuzzer_mutate(&mut text, size, longest);
    text.truncate(size);
    if !is_string {
        return text;
    }
    // Each byte becomes a character: by itself it would hardly ever be UTF-8, and 0xff would split the input.
    let text: String = text
        .iter()
        .map(|byte| char::from(*byte))
        .filter(|c| !matches!(c, '"' | '\u{0}'..='\u{1f}'))
        .collect();
    format!("\"{text}\"").into_bytes()
}

/// Finds the values in one document, as far as it is JSON.
struct Scanner<'a> {
    text: &'a [u8],
    at: usize,
    spans: &'a mut Vec<Span>,
}

impl Scanner<'_> {
    fn value(&mut self, place: Place, depth: usize) -> Option<()> {
        self.blanks();
        let start = self.at;
        if place == Place::Member {
            self.string()?;
            self.blanks();
            self.token(b':')?;
            self.blanks();
        }
        let value = self.at;
        match self.text.get(self.at)? {
            b'{' if depth < 200 => self.items(Place::Member, b'}', depth)?,
            b'[' if depth < 200 => self.items(Place::Element, b']', depth)?,
            b'"' => self.string()?,
            _ => self.word()?,
        }
        self.spans.push(Span {
            place,
            start,
            value,
            end: self.at,
        });
        Some(())
    }

    fn items(&mut self, place: Place, close: u8, depth: usize) -> Option<()> {
        self.at += 1;
        self.blanks();
        if self.token(close).is_some() {
            return Some(());
        }
        loop {
            self.value(place, depth + 1)?;
            self.blanks();
            if self.token(close).is_some() {
                return Some(());
            }
            self.token(b',')?;
        }
    }

    fn string(&mut self) -> Option<()> {
        self.token(b'"')?;
        loop {
            let byte = *self.text.get(self.at)?;
            self.at += if byte == b'\\' { 2 } else { 1 };
            if byte == b'"' {
                return Some(());
            }
        }
    }

    fn word(&mut self) -> Option<()> {
        let rest = &self.text[self.at..];
        let length = rest
            .iter()
            .take_while(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(byte))
            .count();
        self.at += length;
        (length > 0).then_some(())
    }

    fn blanks(&mut self) {
        while self.text.get(self.at).is_some_and(u8::is_ascii_whitespace) {
            self.at += 1;
        }
    }

    fn token(&mut self, byte: u8) -> Option<()> {
        let is_there = self.text.get(self.at) == Some(&byte);
        self.at += usize::from(is_there);
        is_there.then_some(())
    }
}

/// Choices that the seed decides (splitmix64).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (bits ^ (bits >> 31)) as usize % limit
    }

    fn of<'l, T>(&mut self, list: &'l [T]) -> &'l T {
        &list[self.below(list.len())]
    }

    /// One of those in the same place; there is at least one.
    fn like(&mut self, spans: &[Span], place: Place) -> Span {
        loop {
            let span = self.of(spans);
            if span.place == place {
                return *span;
            }
        }
    }
}
