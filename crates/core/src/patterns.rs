//! Name patterns: which parameters a configuration speaks of.
//!
//! A pattern is matched against the whole name, without regard to the case of ASCII letters. `*` stands for any text, also none, and `?`
//! for one character; there is nothing else to learn, and nothing that takes more than `MAX_PATTERN` steps for a character of the name.
//! What happens to the parameters that match is decided elsewhere.

/// The longest pattern, in bytes.
pub const MAX_PATTERN: usize = 256;

/// A list of patterns; a name matches if any of them does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NamePatterns {
    patterns: Vec<Vec<char>>,
}

/// Why a text is no list of patterns.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum Error {
    /// Nothing between two commas, or before the first or after the last.
    #[error("a pattern in {0:?} is empty, wanted a comma list such as *password*,token")]
    Empty(String),
    /// A character that no parameter name has: such a pattern would match nothing, which its author cannot have meant.
    #[error(
        "{character:?} in pattern {pattern:?} is in no parameter name, wanted letters, digits, _ - . and the wildcards * and ?"
    )]
    Character {
        /// The pattern.
        pattern: String,
        /// The first character that cannot be.
        character: char,
    },
    /// Longer than `MAX_PATTERN`.
    #[error("a pattern has {0} bytes, at most {MAX_PATTERN} are taken")]
    TooLong(usize),
}

impl NamePatterns {
    /// Reads a comma list of patterns, blanks around each ignored. The empty text is the empty list.
    ///
    /// Names are those of Tekton's parameters: ASCII letters, digits, `_`, `-` and `.`
    /// (<https://tekton.dev/docs/pipelines/tasks/#specifying-parameters>).
    pub fn parse(text: &str) -> Result<Self, Error> {
        if text.is_empty() {
            return Ok(Self::default());
        }
        let patterns = text.split(',').map(|piece| {
            let pattern = piece.trim();
            if pattern.is_empty() {
                return Err(Error::Empty(text.to_owned()));
            }
            if pattern.len() > MAX_PATTERN {
                return Err(Error::TooLong(pattern.len()));
            }
            if let Some(character) = pattern.chars().find(|c| !is_allowed(*c)) {
                return Err(Error::Character {
                    pattern: pattern.to_owned(),
                    character,
                });
            }
            Ok(pattern.chars().collect())
        });
        Ok(Self {
            patterns: patterns.collect::<Result<_, _>>()?,
        })
    }

    /// Whether the whole of `name` is what any of the patterns describes.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        if self.patterns.is_empty() {
            return false;
        }
        let name: Vec<char> = name.chars().collect();
        self.patterns.iter().any(|pattern| is_match(pattern, &name))
    }

    /// Whether there is no pattern, so that no name matches.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }
}

fn is_allowed(character: char) -> bool {
    character.is_ascii_alphanumeric() || matches!(character, '_' | '-' | '.' | '*' | '?')
}

/// Only the last `*` seen is ever widened: what stood before it was matched as early as possible, so widening an earlier one cannot help.
/// That is what keeps the work at `pattern.len() * name.len()`.
fn is_match(pattern: &[char], name: &[char]) -> bool {
    let (mut p, mut n) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        match (pattern.get(p), star) {
            (Some('*'), _) => {
                star = Some((p + 1, n));
                p += 1;
            }
            (Some(wanted), _) if *wanted == '?' || wanted.eq_ignore_ascii_case(&name[n]) => {
                p += 1;
                n += 1;
            }
            (_, Some((after, taken))) => {
                star = Some((after, taken + 1));
                p = after;
                n = taken + 1;
            }
            (_, None) => return false,
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    fn patterns(text: &str) -> NamePatterns {
        NamePatterns::parse(text).expect("the test's patterns are well formed")
    }

    #[test]
    fn whole_names_match_without_regard_to_case() {
        for (text, yes, no) in [
            (
                "token",
                &["token", "TOKEN", "Token"][..],
                &["tokens", "my-token", ""][..],
            ),
            (
                "*password*",
                &["password", "DB_PASSWORD_2", "xpasswordpassword"],
                &["passwor", "pass-word"],
            ),
            (
                "api?key",
                &["api-key", "API_KEY", "apiékey"],
                &["apikey", "api--key"],
            ),
            (
                "a*b*c",
                &["abc", "aXbXc", "abcbc", "aabbcc"],
                &["acb", "abcd", "ab"],
            ),
            ("*", &["", "anything"], &[]),
            ("?*", &["x"], &[""]),
            ("a, b.c", &["A", "b.C"], &["b-c"]),
        ] {
            let list = patterns(text);
            for name in yes {
                assert!(list.matches(name), "{text} should match {name:?}");
            }
            for name in no {
                assert!(!list.matches(name), "{text} should not match {name:?}");
            }
        }
    }

    #[test]
    fn the_empty_text_matches_nothing() {
        assert!(patterns("").is_empty());
        assert!(!patterns("").matches(""));
        assert!(!patterns("*").is_empty());
    }

    #[test]
    fn patterns_that_cannot_be_meant_are_refused() {
        for text in [",", "a,", ",a", "a,,b", " "] {
            assert_eq!(
                NamePatterns::parse(text),
                Err(Error::Empty(text.to_owned()))
            );
        }
        for text in ["[abc]", "a b", "\"token\"", "a{b}", "tok\u{e9}n", "a;b"] {
            assert!(
                matches!(NamePatterns::parse(text), Err(Error::Character { .. })),
                "{text}"
            );
        }
        assert_eq!(
            NamePatterns::parse(&"x".repeat(MAX_PATTERN + 1)),
            Err(Error::TooLong(MAX_PATTERN + 1))
        );
    }

    #[test]
    fn a_hostile_pattern_takes_no_longer_than_its_length_times_the_name() {
        let list = patterns(&format!("{}b", "a*".repeat(120)));
        let name = "a".repeat(20_000);
        let start = Instant::now();
        assert!(!list.matches(&name));
        // Exponential backtracking would not end at all; the bound only has to be far from it.
        assert!(start.elapsed() < Duration::from_secs(5));
    }
}
