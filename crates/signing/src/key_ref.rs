//! Key references: how a user says where a key is.
//!
//! The forms are cosign's: a file path, or `env://NAME`. This module parses only; the programs read the file or the
//! variable and pass its bytes on.

use std::fmt;
use std::path::PathBuf;

/// Where the text of a key is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyRef {
    /// In this file.
    Path(PathBuf),
    /// In the environment variable of this name.
    Env(String),
}

/// Why a text is no key reference.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Error {
    /// Nothing at all.
    #[error("empty key reference, wanted a file path or env://NAME")]
    Empty,
    /// A key, or something else that is no reference. Never shown.
    #[error("this is no key reference but perhaps a key, wanted a file path or env://NAME")]
    Content,
    /// `env://` without a usable name.
    #[error("key reference {0:?} has no usable name of a variable, wanted env://NAME")]
    Name(String),
    /// A scheme that needs a service.
    #[error(
        "key references of the form {0} are not supported yet; wanted a file path or env://NAME"
    )]
    Scheme(String),
}

/// No path is longer.
const MOST_TEXT: usize = 4096;

impl KeyRef {
    /// Parses a path or `env://NAME`.
    pub fn parse(text: &str) -> Result<Self, Error> {
        if text.is_empty() {
            return Err(Error::Empty);
        }
        // Whoever passes the key itself must not find it in a log.
        if text.contains('\n') || text.contains("-----BEGIN") || text.len() > MOST_TEXT {
            return Err(Error::Content);
        }
        if text.starts_with("pkcs11:") {
            return Err(Error::Scheme("pkcs11:".to_owned()));
        }
        let Some((scheme, rest)) = text
            .split_once("://")
            .filter(|(scheme, _)| is_scheme(scheme))
        else {
            return Ok(Self::Path(PathBuf::from(text)));
        };
        if !scheme.eq_ignore_ascii_case("env") {
            return Err(Error::Scheme(format!("{scheme}://")));
        }
        if rest.is_empty() || rest.contains(['=', '\0']) {
            return Err(Error::Name(text.to_owned()));
        }
        Ok(Self::Env(rest.to_owned()))
    }
}

/// RFC 3986 section 3.1.
fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b))
}

impl fmt::Display for KeyRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => path.display().fmt(f),
            Self::Env(name) => write!(f, "env://{name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_variables_are_told_apart() {
        for path in [
            "cosign.key",
            "/keys/cosign.key",
            "./a:b",
            "odd//name",
            "1://x",
            "/a://b",
        ] {
            assert_eq!(
                KeyRef::parse(path),
                Ok(KeyRef::Path(PathBuf::from(path))),
                "{path}"
            );
        }
        assert_eq!(
            KeyRef::parse("env://COSIGN_KEY"),
            Ok(KeyRef::Env("COSIGN_KEY".to_owned()))
        );
        assert_eq!(
            KeyRef::parse("env://K").expect("well formed").to_string(),
            "env://K"
        );
    }

    #[test]
    fn services_are_refused_by_their_scheme() {
        for scheme in [
            "k8s",
            "awskms",
            "gcpkms",
            "azurekms",
            "hashivault",
            "https",
            "file",
            "my-plugin",
        ] {
            let error = KeyRef::parse(&format!("{scheme}://a/b")).expect_err("not supported");
            assert_eq!(
                error.to_string(),
                format!(
                    "key references of the form {scheme}:// are not supported yet; wanted a file path or env://NAME"
                )
            );
        }
        assert_eq!(
            KeyRef::parse("pkcs11:token=t"),
            Err(Error::Scheme("pkcs11:".to_owned()))
        );
    }

    #[test]
    fn nothing_and_a_variable_without_a_name_are_errors() {
        assert_eq!(KeyRef::parse(""), Err(Error::Empty));
        assert_eq!(
            KeyRef::parse("env://"),
            Err(Error::Name("env://".to_owned()))
        );
        assert_eq!(
            KeyRef::parse("env://A=B"),
            Err(Error::Name("env://A=B".to_owned()))
        );
    }
}
