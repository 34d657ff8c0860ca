//! The beginning of a text that may be megabytes of hostility, for an error that people read.

use std::fmt;

/// At most 64 characters of a text; quoted and escaped when shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Excerpt {
    beginning: String,
    is_cut: bool,
}

const MAX_CHARS: usize = 64;

impl Excerpt {
    /// The beginning of `text`.
    #[must_use]
    pub fn of(text: &str) -> Self {
        let cut = text.char_indices().nth(MAX_CHARS);
        Self {
            beginning: cut.map_or(text, |(at, _)| &text[..at]).to_owned(),
            is_cut: cut.is_some(),
        }
    }
}

impl fmt::Display for Excerpt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let dots = if self.is_cut { "…" } else { "" };
        write!(f, "{:?}{dots}", self.beginning)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_cut_between_characters() {
        let long = Excerpt::of(&"é".repeat(100_000)).to_string();
        assert_eq!(long, format!("\"{}\"…", "é".repeat(64)));
        assert_eq!(Excerpt::of("a\"\n").to_string(), r#""a\"\n""#);
    }
}
