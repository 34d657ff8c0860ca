//! Key references: how a user says where a key is.
//!
//! The forms are cosign's: a file path, `env://NAME`, `k8s://NAMESPACE/SECRET`, the key of a service such as `awskms://…`, and for public keys a URL or
//! `gitlab://PROJECT`. This module parses only; the programs read the file, the variable or the Secret and pass its bytes on.

mod kms;

use std::fmt;
use std::path::PathBuf;

pub use kms::{
    AwsKey, AzureKey, GcpKey, KmsRef, PluginKey, VaultKey, VaultScheme, percent_decoded,
};

/// Where a key is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
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
    /// At this `http` or `https` URL; only a public key is read from there.
    Url(String),
    /// In the variables of this GitLab project or group: `COSIGN_PRIVATE_KEY`, `COSIGN_PASSWORD` and `COSIGN_PUBLIC_KEY`.
    Gitlab(String),
    /// With a service, or a program, that signs with it.
    Kms(KmsRef),
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
    /// A scheme that is known, with something else behind it than it has.
    #[error("key reference {found:?} is not well formed, wanted {wanted}")]
    Service {
        /// What was given.
        found: String,
        /// The form that the scheme has.
        wanted: &'static str,
    },
    /// A scheme that is not known and for which there can be no program.
    #[error("key references of the form {0} are not supported; wanted {WANTED}")]
    Scheme(String),
}

/// The forms that are known.
const WANTED: &str = "a file path, env://NAME, k8s://NAMESPACE/SECRET, or the key of a service such as hashivault://NAME";

/// No path is longer.
const MOST_TEXT: usize = 4096;

impl KeyRef {
    /// Parses a reference of any form. A scheme is read in lower case.
    pub fn parse(text: &str) -> Result<Self, Error> {
        if text.is_empty() {
            return Err(Error::Empty);
        }
        // Whoever passes the key itself must not find it in a log.
        if text.contains('\n') || text.contains("-----BEGIN") || text.len() > MOST_TEXT {
            return Err(Error::Content);
        }
        // RFC 7512 has no slashes. The program that knows such keys is the same.
        if let Some(rest) = text
            .strip_prefix("pkcs11:")
            .filter(|rest| !rest.starts_with("//"))
        {
            if rest.is_empty() {
                return Err(Error::Service {
                    found: text.to_owned(),
                    wanted: "pkcs11:token=TOKEN;object=KEY, as in RFC 7512",
                });
            }
            return Ok(Self::Kms(KmsRef::Plugin(PluginKey {
                scheme: "pkcs11".to_owned(),
                reference: text.to_owned(),
            })));
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
        let scheme = scheme.to_ascii_lowercase();
        let service = |wanted| Error::Service {
            found: without_user(&scheme, rest),
            wanted,
        };
        match scheme.as_str() {
            "env" if rest.is_empty() || rest.contains(['=', '\0']) => {
                Err(Error::Name(text.to_owned()))
            }
            "env" => Ok(Self::Env(rest.to_owned())),
            "http" | "https" if rest.is_empty() || rest.contains('@') => {
                Err(service("https://HOST/PATH, without a user"))
            }
            "http" | "https" => Ok(Self::Url(format!("{scheme}://{rest}"))),
            "gitlab" if rest.is_empty() => Err(service("gitlab://PROJECT or gitlab://GROUP")),
            "gitlab" => Ok(Self::Gitlab(rest.to_owned())),
            "file" => Err(Error::Scheme("file://".to_owned())),
            _ => KmsRef::parse(&scheme, rest).map(Self::Kms).map_err(service),
        }
    }
}

/// A reference, as somebody wrote it, for people and documents: without what may be a secret. That is the query of a URL, the PIN of a token, what stands
/// before an `@`, and all of what is no reference.
#[must_use]
pub fn shown(text: &str) -> String {
    match KeyRef::parse(text) {
        Ok(KeyRef::Kms(KmsRef::Plugin(key))) => key.to_string(),
        Ok(KeyRef::Url(_)) => {
            let end = text.find(['?', '#']).unwrap_or(text.len());
            text[..end].to_owned()
        }
        Ok(_) => text.to_owned(),
        Err(Error::Content) => "(not shown)".to_owned(),
        Err(_) => match text.split_once("://") {
            Some((scheme, rest)) => without_user(scheme, rest),
            None => text.to_owned(),
        },
    }
}

/// A reference for an error; what stands before an `@` may be a password.
fn without_user(scheme: &str, rest: &str) -> String {
    match rest.contains('@') {
        true => format!("{scheme}://(not shown)"),
        false => format!("{scheme}://{rest}"),
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
            Self::Url(url) => f.write_str(url),
            Self::Gitlab(reference) => write!(f, "gitlab://{reference}"),
            Self::Kms(key) => key.fmt(f),
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
    fn every_scheme_of_cosign_is_known() {
        let url = KeyRef::parse("HTTPS://host/cosign.pub").expect("it is one");
        assert_eq!(url, KeyRef::Url("https://host/cosign.pub".to_owned()));
        let gitlab = KeyRef::parse("gitlab://group/project").expect("it is one");
        assert_eq!(gitlab.to_string(), "gitlab://group/project");
        for scheme in [
            "awskms",
            "gcpkms",
            "azurekms",
            "hashivault",
            "openbao",
            "https",
            "gitlab",
        ] {
            let error = KeyRef::parse(&format!("{scheme}://")).expect_err("nothing is named");
            assert!(matches!(error, Error::Service { .. }), "{scheme}: {error}");
        }
        let error = KeyRef::parse("file:///a").expect_err("it is a path");
        assert_eq!(error, Error::Scheme("file://".to_owned()));
        let error = KeyRef::parse("https://user:secret@host/key").expect_err("it has a password");
        assert!(!error.to_string().contains("secret"), "{error}");
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
    fn what_may_be_a_secret_is_not_shown() {
        for (text, wanted) in [
            (
                "pkcs11:token=t;object=k?pin-value=hunter2",
                "pkcs11:token=t;object=k?pin-value=(not shown)",
            ),
            ("hsm://u:hunter2@h/k", "hsm://(not shown)@h/k"),
            ("https://h/k?token=hunter2", "https://h/k"),
            ("HTTPS://h/k#hunter2", "HTTPS://h/k"),
            ("https://u:hunter2@h/k", "https://(not shown)"),
            ("awskms://u:hunter2@h/alias/a", "awskms://(not shown)"),
            ("-----BEGIN hunter2", "(not shown)"),
            ("k8s://a/b", "k8s://a/b"),
            ("k8s://a", "k8s://a"),
            ("hashivault://k", "hashivault://k"),
            ("what?.pub", "what?.pub"),
            ("a@b", "a@b"),
            ("é", "é"),
            ("", ""),
        ] {
            assert_eq!(shown(text), wanted);
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
