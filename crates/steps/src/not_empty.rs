//! Values of flags that demand something: `--type "$TYPE"` with nothing in the variable would take the demand away, so it is refused.
//!
//! An empty variable of the environment is an absent one, as with every flag: Tekton substitutes every parameter, also those that nobody gave.

use std::ffi::{OsStr, OsString};

use clap::builder::{NonEmptyStringValueParser, StringValueParser, TypedValueParser};
use clap::parser::ValueSource;
use clap::{Arg, Command};

/// Reads a text that is not empty where it is given on the command line. In the environment nothing is meant by it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NotEmpty;

impl TypedValueParser for NotEmpty {
    type Value = String;

    fn parse_ref(
        &self,
        command: &Command,
        arg: Option<&Arg>,
        value: &OsStr,
    ) -> Result<String, clap::Error> {
        NonEmptyStringValueParser::new().parse_ref(command, arg, value)
    }

    fn parse_ref_(
        &self,
        command: &Command,
        arg: Option<&Arg>,
        value: &OsStr,
        source: ValueSource,
    ) -> Result<String, clap::Error> {
        match source {
            ValueSource::EnvVariable => StringValueParser::new().parse_ref(command, arg, value),
            _ => self.parse_ref(command, arg, value),
        }
    }

    fn parse_(
        &self,
        command: &Command,
        arg: Option<&Arg>,
        value: OsString,
        source: ValueSource,
    ) -> Result<String, clap::Error> {
        self.parse_ref_(command, arg, &value, source)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_on_the_command_line_is_refused_and_in_the_environment_absent() {
        let command = Command::new("x");
        let read =
            |text: &str, source| NotEmpty.parse_ref_(&command, None, OsStr::new(text), source);
        let of_environment = read("", ValueSource::EnvVariable);
        assert_eq!(of_environment.ok(), Some(String::new()));
        assert!(read("", ValueSource::CommandLine).is_err());
        let given = read("a", ValueSource::CommandLine);
        assert_eq!(given.ok(), Some("a".to_owned()));
    }
}
