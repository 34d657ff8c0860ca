//! Reads the YAML of kubeconfigs: block and flow collections, plain and quoted texts, literal and folded ones, comments; JSON is a part of it.
//!
//! Kubeconfigs are written by `kubectl`, by the command lines of clouds, and by hand, and none of them uses more (YAML 1.2,
//! <https://yaml.org/spec/1.2.2/>). Anchors, aliases, tags, directives and explicit keys are refused by name: what they stand for is not
//! guessed. A library that reads them all, and shows where a text is wrong, is 600 KB of each program that may read a cluster.
//!
//! Texts stay texts, since every value that is looked at is one; [`Node::text`] tells what is nothing. Everything that is read is wiped when
//! it is dropped, and no error has a word of it: it may be a token.

mod flow;
mod literal;

use serde_json::Value;
use zeroize::Zeroizing;

use flow::Cursor;

/// The deepest collection in collections. A kubeconfig has six.
const MOST_DEPTH: usize = 32;
/// The most values. Each of them costs some bytes of the text, but little.
const MOST_NODES: usize = 200_000;
const STRANGER: &str = "it does not belong to the lines beside it";

/// A value.
pub(crate) enum Node {
    /// A text; `is_plain` if it stands without quotes, so that it may also be a number, a truth or nothing.
    Scalar {
        text: Zeroizing<String>,
        is_plain: bool,
    },
    List(Vec<Node>),
    /// In the order of the text, each key once.
    Map(Vec<(Zeroizing<String>, Node)>),
}

/// Why a text is not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {what}")]
pub(crate) struct YamlError {
    pub(crate) line: usize,
    pub(crate) what: &'static str,
}

impl Node {
    pub(crate) fn nothing() -> Self {
        Self::Scalar {
            text: Zeroizing::default(),
            is_plain: true,
        }
    }

    /// What stands under a key of a map.
    pub(crate) fn get(&self, key: &str) -> Option<&Self> {
        match self {
            Self::Map(members) => members
                .iter()
                .find(|(name, _)| name.as_str() == key)
                .map(|(_, node)| node),
            Self::Scalar { .. } | Self::List(_) => None,
        }
    }

    /// A text that is not nothing.
    pub(crate) fn text(&self) -> Option<&str> {
        match self {
            Self::Scalar { .. } if self.is_nothing() => None,
            Self::Scalar { text, .. } => Some(text),
            Self::List(_) | Self::Map(_) => None,
        }
    }

    pub(crate) fn is_nothing(&self) -> bool {
        match self {
            Self::Scalar { text, is_plain } => {
                *is_plain && matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL")
            }
            Self::List(_) | Self::Map(_) => false,
        }
    }

    /// The items of a list; none of anything else.
    pub(crate) fn items(&self) -> &[Self] {
        match self {
            Self::List(items) => items,
            Self::Scalar { .. } | Self::Map(_) => &[],
        }
    }

    /// The same in JSON, with numbers and truths as what they are.
    pub(crate) fn to_json(&self) -> Value {
        match self {
            Self::Scalar { .. } if self.is_nothing() => Value::Null,
            Self::Scalar { text, is_plain } => match is_plain {
                true => serde_json::from_str(text)
                    .ok()
                    .filter(|value: &Value| value.is_number() || value.is_boolean())
                    .unwrap_or_else(|| Value::from(text.as_str())),
                false => Value::from(text.as_str()),
            },
            Self::List(items) => items.iter().map(Self::to_json).collect(),
            Self::Map(members) => members
                .iter()
                .map(|(key, node)| (key.to_string(), node.to_json()))
                .collect(),
        }
    }

    /// The members of a map; none of anything else.
    pub(crate) fn members(&self) -> &[(Zeroizing<String>, Self)] {
        match self {
            Self::Map(members) => members,
            Self::Scalar { .. } | Self::List(_) => &[],
        }
    }
}

/// The documents of a text. One without any is one of nothing.
///
/// # Errors
/// If it is no YAML, or of a kind that no kubeconfig has.
pub(crate) fn read(text: &str) -> Result<Vec<Node>, YamlError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let lines: Vec<&str> = text.lines().collect();
    let mut documents = Vec::new();
    let mut start = 0;
    for end in 0..=lines.len() {
        let is_end = match lines.get(end) {
            Some(line) => matches!(line.trim_end(), "---" | "..."),
            None => true,
        };
        if !is_end {
            continue;
        }
        let part = &lines[start..end];
        if part.iter().any(|line| !is_blank(line)) {
            documents.push(Reader::new(part, start).document()?);
        }
        start = end + 1;
    }
    if documents.is_empty() {
        documents.push(Node::nothing());
    }
    Ok(documents)
}

/// Whether a line has nothing, or nothing but a comment.
fn is_blank(line: &str) -> bool {
    let line = line.trim_start();
    line.is_empty() || line.starts_with('#')
}

fn indent_of(line: &str) -> usize {
    line.len() - line.trim_start_matches(' ').len()
}

/// Reads one document, from its first line on.
struct Reader<'a> {
    lines: &'a [&'a str],
    /// How many lines of the file are before them.
    before: usize,
    /// The line that is looked at,
    at: usize,
    /// and how many of its bytes were read: of `- a: b` the `- `, which then counts as indentation.
    column: usize,
    depth: usize,
    nodes: usize,
}

impl<'a> Reader<'a> {
    fn new(lines: &'a [&'a str], before: usize) -> Self {
        Self {
            lines,
            before,
            at: 0,
            column: 0,
            depth: 0,
            nodes: 0,
        }
    }

    fn document(mut self) -> Result<Node, YamlError> {
        let node = self.block(0)?;
        match self.next()? {
            Some(_) => Err(self.error(STRANGER)),
            None => Ok(node),
        }
    }

    fn error(&self, what: &'static str) -> YamlError {
        YamlError {
            line: self.before + self.at + 1,
            what,
        }
    }

    /// Indentation and content of the next line that has some.
    fn next(&mut self) -> Result<Option<(usize, &'a str)>, YamlError> {
        while let Some(line) = self.lines.get(self.at) {
            if is_blank(&line[self.column..]) {
                self.advance();
                continue;
            }
            let rest = &line[self.column..];
            let indent = indent_of(rest);
            let content = &rest[indent..];
            if content.starts_with('\t') {
                return Err(self.error("it is indented with a tab"));
            }
            return Ok(Some((self.column + indent, content)));
        }
        Ok(None)
    }

    fn advance(&mut self) {
        self.at += 1;
        self.column = 0;
    }

    fn count(&mut self) -> Result<(), YamlError> {
        self.nodes += 1;
        match self.nodes > MOST_NODES {
            true => Err(self.error("there are too many values")),
            false => Ok(()),
        }
    }

    /// A value that is indented by `floor` at least; nothing if there is none.
    fn block(&mut self, floor: usize) -> Result<Node, YamlError> {
        self.count()?;
        let Some((indent, content)) = self.next()?.filter(|(indent, _)| *indent >= floor) else {
            return Ok(Node::nothing());
        };
        self.depth += 1;
        if self.depth > MOST_DEPTH {
            return Err(self.error("it is nested too deeply"));
        }
        let node = if is_item(content) {
            self.list(indent)
        } else if key_of(content).is_some() {
            self.map(indent)
        } else {
            self.column = indent;
            self.value(floor)
        };
        self.depth -= 1;
        node
    }

    fn list(&mut self, indent: usize) -> Result<Node, YamlError> {
        let mut items = Vec::new();
        while let Some((found, content)) = self.next()? {
            if found != indent || !is_item(content) {
                break;
            }
            self.column = indent + 1;
            items.push(self.block(indent + 1)?);
        }
        // What is indented as much may be the next key: a list is indented as its own key.
        match self.next()? {
            Some((found, _)) if found > indent => Err(self.error(STRANGER)),
            _ => Ok(Node::List(items)),
        }
    }

    fn map(&mut self, indent: usize) -> Result<Node, YamlError> {
        let mut members: Vec<(Zeroizing<String>, Node)> = Vec::new();
        while let Some((found, content)) = self.next()? {
            if found != indent || is_item(content) {
                break;
            }
            let Some((key, length)) = key_of(content) else {
                return Err(self.error("it has no key, as the lines beside it have"));
            };
            let key = match key.starts_with(['"', '\'']) {
                true => {
                    let mut cursor = Cursor::new(self.lines, self.at, indent, 0);
                    let key = cursor.quoted();
                    key.map_err(|what| self.error(what))?
                }
                false => {
                    self.check_plain(key)?;
                    Zeroizing::new(key.to_owned())
                }
            };
            if members.iter().any(|(name, _)| *name == key) {
                return Err(self.error("its key stands there twice"));
            }
            self.column = indent + length;
            let node = self.member(indent)?;
            members.push((key, node));
        }
        match self.next()? {
            Some((found, _)) if found >= indent => Err(self.error(STRANGER)),
            _ => Ok(Node::Map(members)),
        }
    }

    /// What stands after a key: on its line, or below. A list may have the same indentation as its key.
    fn member(&mut self, indent: usize) -> Result<Node, YamlError> {
        let line = self.lines[self.at];
        if !is_blank(&line[self.column..]) {
            self.count()?;
            self.column += indent_of(&line[self.column..]);
            return self.value(indent + 1);
        }
        self.advance();
        match self.next()? {
            Some((found, content)) if found == indent && is_item(content) => {
                self.count()?;
                self.list(indent)
            }
            _ => self.block(indent + 1),
        }
    }

    /// A value that begins on this line and is no block collection. Its further lines are indented by `floor` at least.
    fn value(&mut self, floor: usize) -> Result<Node, YamlError> {
        let line = self.lines[self.at];
        let rest = &line[self.column..];
        match rest.as_bytes().first() {
            Some(b'|' | b'>') => self.literal(floor),
            Some(b'"' | b'\'' | b'{' | b'[') => {
                let mut cursor = Cursor::new(self.lines, self.at, self.column, floor);
                let node = cursor.node(MOST_DEPTH - self.depth.min(MOST_DEPTH), &mut self.nodes);
                (self.at, self.column) = cursor.place();
                let node = node.map_err(|what| self.error(what))?;
                let rest = &self.lines[self.at][self.column..];
                if !(is_blank(rest) && (rest.is_empty() || rest.starts_with([' ', '\t']))) {
                    return Err(self.error("something follows the value"));
                }
                self.advance();
                match self.nodes > MOST_NODES {
                    true => Err(self.error("there are too many values")),
                    false => Ok(node),
                }
            }
            _ => self.plain(floor),
        }
    }

    /// A text without quotes. Lines below that are indented belong to it.
    fn plain(&mut self, floor: usize) -> Result<Node, YamlError> {
        let line = self.lines[self.at];
        let rest = &line[self.column..];
        let (first, mut has_comment) = without_comment(rest);
        self.check_plain(first)?;
        let mut text = Zeroizing::new(first.to_owned());
        self.advance();
        let mut breaks = 0;
        while let Some(line) = self.lines.get(self.at) {
            if line.trim().is_empty() {
                breaks += 1;
                self.at += 1;
                continue;
            }
            if has_comment || is_blank(line) || indent_of(line) < floor.max(1) {
                break;
            }
            let (more, comment) = without_comment(line.trim_start());
            if key_of(more).is_some() {
                return Err(self.error("it has a key, and the value before has not ended"));
            }
            match breaks {
                0 => text.push(' '),
                _ => (0..breaks).for_each(|_| text.push('\n')),
            }
            breaks = 0;
            text.push_str(more);
            has_comment = comment;
            self.at += 1;
        }
        Ok(Node::Scalar {
            text,
            is_plain: true,
        })
    }

    /// What a text without quotes must not begin with, or have in it.
    fn check_plain(&self, text: &str) -> Result<(), YamlError> {
        if text.starts_with(['&', '*', '!', '%', '@', '`']) || text.starts_with("? ") {
            return Err(self.error("anchors, aliases, tags and the like are not read"));
        }
        if text.starts_with([',', ']', '}']) || is_item(text) {
            return Err(self.error("it must be in quotes"));
        }
        match key_of(text) {
            Some(_) => Err(self.error("it has two keys")),
            None => Ok(()),
        }
    }
}

/// Whether a line is an item of a list.
fn is_item(content: &str) -> bool {
    content == "-" || content.starts_with("- ") || content.starts_with("-\t")
}

/// The key at the beginning of a line, with its quotes if it has some, and how long it is with its colon.
fn key_of(content: &str) -> Option<(&str, usize)> {
    let end = match content.as_bytes().first()? {
        quote @ (b'"' | b'\'') => {
            let mut escaped = false;
            let mut end = None;
            for (at, byte) in content.bytes().enumerate().skip(1) {
                match byte {
                    _ if escaped => escaped = false,
                    b'\\' if *quote == b'"' => escaped = true,
                    _ if byte == *quote => {
                        end = Some(at + 1);
                        break;
                    }
                    _ => {}
                }
            }
            let end = end?;
            let rest = content[end..].trim_start_matches(' ');
            rest.starts_with(':').then(|| content.len() - rest.len())?
        }
        b'{' | b'[' | b'#' | b'|' | b'>' => return None,
        _ => {
            let (content, _) = without_comment(content);
            content
                .match_indices(':')
                .map(|(at, _)| at)
                .find(|at| is_end_of_key(&content[at + 1..]))?
        }
    };
    is_end_of_key(&content[end + 1..]).then(|| (content[..end].trim_end(), end + 1))
}

fn is_end_of_key(rest: &str) -> bool {
    rest.is_empty() || rest.starts_with([' ', '\t'])
}

/// The content of a line without the comment at its end and blanks before that, and whether there was one.
fn without_comment(content: &str) -> (&str, bool) {
    let comment = content
        .match_indices('#')
        .map(|(at, _)| at)
        .find(|&at| at == 0 || content[..at].ends_with([' ', '\t']));
    match comment {
        Some(at) => (content[..at].trim_end(), true),
        None => (content.trim_end(), false),
    }
}

#[cfg(test)]
mod tests;
