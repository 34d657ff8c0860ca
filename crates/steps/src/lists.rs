//! Lists of a command line, as arrays of a Task arrive there.
//!
//! They come in three ways: `--build-arg X` adds one element; `--build-args A B ';'` takes all words up to one that is `;`, whatever
//! they begin with, which is what `$(params.BUILD_ARGS[*])` needs; the environment variable holds a JSON array of strings, or one
//! element a line. Empty elements are left out, everything else stays as it was given.
//!
//! An element that is itself a single `;` would end its list, and those behind it would be read as flags. A Task cannot see what its
//! elements are, but it knows how many lists it has: it says so first ([`check`]), and a command line with more ends than lists is refused.

use std::ffi::{OsStr, OsString};

use anyhow::anyhow;
use clap::builder::TypedValueParser;
use clap::error::ErrorKind;
use clap::parser::ValueSource;

use crate::Failure;

/// What ends a list.
const END: &str = ";";

/// The flag of the programs that take lists.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct ListArgs {
    /// How many lists end with a semicolon; with more semicolons, one is an element, and nothing is done
    #[arg(long, value_name = "COUNT")]
    list_ends: Option<usize>,
}

/// Checks a command line before it is read: what stands behind an element that ends its list would be read as flags, `--help` among them.
///
/// # Errors
/// Exit 2 if an element of a list is a single semicolon.
pub(crate) fn check(words: impl Iterator<Item = OsString>) -> Result<(), Failure> {
    let mut ends = 0;
    let mut wanted: Option<usize> = None;
    let mut words = words.peekable();
    while let Some(word) = words.next() {
        ends += usize::from(word == END);
        // The first is the Task's own; elements come later.
        if wanted.is_none() && word == "--list-ends" {
            wanted = words.peek().and_then(|count| count.to_str()?.parse().ok());
        }
    }
    match wanted {
        Some(wanted) if wanted != ends => Err(Failure::misuse(anyhow!(
            "{ends} elements are a single semicolon, and {wanted} lists end with one"
        ))
        .hint("an element of a list cannot be a single semicolon, which is what ends a list")),
        _ => Ok(()),
    }
}

/// What one word of a list option, or its whole environment variable, holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Items(Vec<String>);

/// All elements that are not empty, in order.
pub(crate) fn list(items: &[Items], single: &[String]) -> Vec<String> {
    items
        .iter()
        .flat_map(|items| &items.0)
        .chain(single)
        .filter(|item| !item.is_empty())
        .cloned()
        .collect()
}

/// Reads a word of the command line as it is, and an environment variable as a list.
#[derive(Clone, Debug)]
pub(crate) struct ListParser;

impl TypedValueParser for ListParser {
    type Value = Items;

    fn parse_ref(
        &self,
        cmd: &clap::Command,
        arg: Option<&clap::Arg>,
        value: &OsStr,
    ) -> Result<Items, clap::Error> {
        self.parse_ref_(cmd, arg, value, ValueSource::CommandLine)
    }

    fn parse_ref_(
        &self,
        cmd: &clap::Command,
        arg: Option<&clap::Arg>,
        value: &OsStr,
        source: ValueSource,
    ) -> Result<Items, clap::Error> {
        let refuse = |reason: &str| {
            let name = arg.map_or_else(|| "a list".to_owned(), ToString::to_string);
            clap::Error::raw(ErrorKind::ValueValidation, format!("{name}: {reason}\n"))
                .with_cmd(cmd)
        };
        let text = value
            .to_str()
            .ok_or_else(|| refuse("the value is not UTF-8"))?;
        if source != ValueSource::EnvVariable {
            return Ok(Items(vec![text.to_owned()]));
        }
        if text.trim_start().starts_with('[') {
            return serde_json::from_str(text).map(Items).map_err(|_| {
                refuse("the environment variable begins with '[' but is no JSON array of strings")
            });
        }
        Ok(Items(text.lines().map(str::to_owned).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_element_that_would_end_its_list_is_found() {
        let is_fine = |words: &str| check(words.split(' ').map(OsString::from)).is_ok();
        assert!(is_fine("x --list-ends 2 --labels a;b ; --platforms ;"));
        assert!(is_fine("x --labels ; ; ;"));
        assert!(!is_fine(
            "x --list-ends 2 --labels ; --help ; --platforms ;"
        ));
        assert!(!is_fine(
            "x --list-ends 2 --labels ; --list-ends 3 ; --platforms ;"
        ));
        assert!(!is_fine("x --list-ends 3 --labels ; --platforms ;"));
    }

    fn from_environment(text: &str) -> Result<Items, clap::Error> {
        ListParser.parse_ref_(
            &clap::Command::new("test"),
            None,
            OsStr::new(text),
            ValueSource::EnvVariable,
        )
    }

    #[test]
    fn a_list_in_the_environment_is_json_or_lines() {
        let read = |text| from_environment(text).map(|items| list(&[items], &[]));
        assert_eq!(read("A=1\n\nB=x y\r\n").expect("lines"), ["A=1", "B=x y"]);
        assert_eq!(
            read(r#"["A=1\n2", "", "B=\"q\""]"#).expect("JSON"),
            ["A=1\n2", "B=\"q\""]
        );
        assert!(read("").expect("nothing").is_empty());
        assert!(read("[1]").is_err());
        assert!(read("[not json").is_err());
    }
}
