//! Key references: how a user says where a key is.
//!
//! The forms are cosign's: a file path, `env://NAME`, or `k8s://NAMESPACE/SECRET`. This module parses only; the programs read the
//! file, the variable or the Secret and pass its bytes on.

use std::fmt;
use std::path::PathBuf;

/// Where the text of a key is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyRef {
    /// In this file.
    Path(PathBuf),
    /// In the environment variable of this name.
    Env(String),
    /// In this Secret of a Kubernetes cluster: `cosign.key`, `cosign.password` and `cosign.pub`.
    Secret {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
    },
}

/// Why a text is no key reference.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Error {
    /// Nothing at all.
    #[error("empty key reference, wanted {WANTED}")]
    Empty,
    /// A key, or something else that is no reference. Never shown.
    #[error("this is no key reference but perhaps a key, wanted {WANTED}")]
    Content,
    /// `env://` without a usable name.
    #[error("key reference {0:?} has no usable name of a variable, wanted env://NAME")]
    Name(String),
    /// `k8s://` without a namespace and a name that a Secret can have.
    #[error("key reference {0:?} names no Secret, wanted k8s://NAMESPACE/SECRET")]
    Secret(String),
    /// A scheme that needs a service.
    #[error("key references of the form {0} are not supported yet; wanted {WANTED}")]
    Scheme(String),
}

/// The forms that are known.
const WANTED: &str = "a file path, env://NAME or k8s://NAMESPACE/SECRET";

/// No path is longer.
const MOST_TEXT: usize = 4096;

impl KeyRef {
    /// Parses a path, `env://NAME` or `k8s://NAMESPACE/SECRET`.
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
        if scheme.eq_ignore_ascii_case("k8s") {
            return secret(rest).ok_or_else(|| Error::Secret(text.to_owned()));
        }
        if !scheme.eq_ignore_ascii_case("env") {
            return Err(Error::Scheme(format!("{scheme}://")));
        }
        if rest.is_empty() || rest.contains(['=', '\0']) {
            return Err(Error::Name(text.to_owned()));
        }
        Ok(Self::Env(rest.to_owned()))
    }
}

/// Exactly one slash, as cosign wants it, between names that can stand in the path of a request.
fn secret(rest: &str) -> Option<KeyRef> {
    let (namespace, name) = rest.split_once('/')?;
    (is_name(namespace) && is_name(name)).then(|| KeyRef::Secret {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
    })
}

/// A DNS subdomain, as names of Kubernetes' objects are.
fn is_name(text: &str) -> bool {
    let is_label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    };
    text.len() <= 253 && text.split('.').all(is_label)
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
            Self::Secret { namespace, name } => write!(f, "k8s://{namespace}/{name}"),
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
                    "key references of the form {scheme}:// are not supported yet; wanted a file path, env://NAME or k8s://NAMESPACE/SECRET"
                )
            );
        }
        assert_eq!(
            KeyRef::parse("pkcs11:token=t"),
            Err(Error::Scheme("pkcs11:".to_owned()))
        );
    }

    #[test]
    fn a_secret_is_named_by_namespace_and_name_and_nothing_else() {
        let secret = KeyRef::parse("k8s://tekton-chains/signing.secrets").expect("it is one");
        assert_eq!(secret.to_string(), "k8s://tekton-chains/signing.secrets");
        for bad in [
            "k8s://",
            "k8s://a",
            "k8s:///a",
            "k8s://a/",
            "k8s://a/b/c",
            "k8s://a/B",
            "k8s://a/../b",
            "k8s://a/b?watch=1",
            "k8s://a/b..c",
        ] {
            assert_eq!(
                KeyRef::parse(bad),
                Err(Error::Secret(bad.to_owned())),
                "{bad}"
            );
        }
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
