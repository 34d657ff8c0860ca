//! What a policy demands, whoever enforces it. Everything in it was checked: texts are seen as they are, lists have ends.

use tekseal_core::is_invisible;
use tekseal_core::policy::Rules;
use tekseal_signing::PublicKey;
use tekseal_signing::certificate::SubjectNames;

use super::pattern::Pattern;

/// A policy.
#[derive(Clone, Debug)]
pub(super) struct Policy {
    /// Name of the object in a cluster.
    pub(super) name: String,
    /// To which images it applies.
    pub(super) images: Vec<Pattern>,
    /// Who must have signed.
    pub(super) signer: Option<Signer>,
    /// The log whose entry is demanded; nothing: none is.
    pub(super) log: Option<Log>,
    /// A whole trusted root, where one was given.
    pub(super) root: Option<Root>,
    /// Where whoever enforces gets a trusted root, in the place of one in the policy.
    pub(super) mirror: Option<Mirror>,
    /// Where signatures and attestations are looked for.
    pub(super) layout: Layout,
    /// What becomes of an image that is not good.
    pub(super) action: Action,
    /// How a signature names the image.
    pub(super) signed_identity: SignedIdentity,
    /// Flags that name keys, trusted roots and logs, with their values.
    pub(super) files: Vec<(&'static str, String)>,
    /// What is demanded of attestations; nothing: the signature alone counts.
    pub(super) rules: Option<Rules>,
}

impl Policy {
    /// Whether the entry of a log is demanded.
    pub(super) fn demands_log(&self) -> bool {
        self.log.is_some() || self.root.is_some() || self.mirror.is_some()
    }
}

/// Who must have signed.
#[derive(Clone, Debug)]
pub(super) enum Signer {
    /// Whoever has the private half of this key.
    Key(PublicKey),
    /// Whom a certificate names.
    Identity {
        /// The name in the certificate.
        name: Name,
        /// Who vouched for it.
        issuer: Name,
    },
}

/// A name, exactly or as a regular expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Name {
    /// Exactly this.
    Exact(String),
    /// Whatever this regular expression finds a match in.
    Pattern(String),
}

/// A transparency log.
#[derive(Clone, Debug)]
pub(super) struct Log {
    /// Where it is.
    pub(super) url: Option<String>,
    /// Its key, PEM.
    pub(super) key: String,
}

/// A TUF repository that has a trusted root.
#[derive(Clone, Debug)]
pub(super) struct Mirror {
    /// Where it is.
    pub(super) url: String,
    /// Its `root.json` that is believed; later ones are followed.
    pub(super) root: Vec<u8>,
}

/// What a trusted root says, as policies need it.
#[derive(Clone, Debug)]
pub(super) struct Root {
    /// Whether it is the one of Sigstore's public instance.
    pub(super) is_public: bool,
    /// Transparency logs in use.
    pub(super) logs: Vec<Log>,
    /// Authorities that issue certificates, in use.
    pub(super) authorities: Vec<Authority>,
    /// Logs of certificates in use.
    pub(super) certificate_logs: Vec<Log>,
    /// Authorities that sign times, in use.
    pub(super) timestamp_authorities: Vec<Authority>,
}

impl Root {
    /// The certificates of all authorities that issue some, PEM.
    pub(super) fn certificates(&self) -> String {
        let chains = self.authorities.iter();
        chains.map(|authority| authority.chain.as_str()).collect()
    }
}

/// An authority.
#[derive(Clone, Debug)]
pub(super) struct Authority {
    /// Where it is.
    pub(super) uri: String,
    /// Its certificates up to the root, PEM.
    pub(super) chain: String,
    /// Who it is, by the root.
    pub(super) names: SubjectNames,
}

/// Where signatures and attestations are looked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Layout {
    /// Under cosign's tags `.sig` and `.att`.
    #[default]
    Tags,
    /// In Sigstore bundles that refer to the image.
    Bundle,
}

impl Layout {
    /// Its name on the command line.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Tags => "tags",
            Self::Bundle => "bundle",
        }
    }
}

/// What becomes of an image that is not good.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Action {
    /// It is refused.
    #[default]
    Enforce,
    /// It is admitted, and reported.
    Audit,
}

/// How a signature must name the image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum SignedIdentity {
    /// By its repository, as cosign and Tekton Chains sign.
    #[default]
    MatchRepository,
    /// As OpenShift and containers/image demand without more: by repository and tag.
    Default,
}

/// The most bytes of one value.
const MOST_BYTES: usize = 1024;

/// Why a value cannot stand in a policy.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(super) enum TextError {
    /// More than any such value has.
    #[error("{flag} has {bytes} bytes, the most are {MOST_BYTES}")]
    Long {
        /// The flag.
        flag: &'static str,
        /// How many.
        bytes: usize,
    },
    /// A blank, or a character that is not seen.
    #[error("{flag} {value:?} has a blank or a character that is not seen")]
    Invisible {
        /// The flag.
        flag: &'static str,
        /// The value.
        value: String,
    },
}

/// A value which everybody sees as it is: no blanks, nothing invisible, and not endless.
///
/// # Errors
/// For anything else.
pub(super) fn visible<'a>(flag: &'static str, value: &'a str) -> Result<&'a str, TextError> {
    if value.len() > MOST_BYTES {
        let bytes = value.len();
        return Err(TextError::Long { flag, bytes });
    }
    if value.chars().any(|c| c.is_whitespace() || is_invisible(c)) {
        let value = value.to_owned();
        return Err(TextError::Invisible { flag, value });
    }
    Ok(value)
}

/// Whether it may be the name of an object in a cluster: RFC 1123, at most 63 characters.
pub(super) fn is_object_name(name: &str) -> bool {
    let is_inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    (1..=63).contains(&name.len())
        && name.bytes().all(is_inner)
        && !name.starts_with('-')
        && !name.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_seen_as_they_are() {
        assert_eq!(visible("--rekor-url", "urn:a"), Ok("urn:a"));
        for hostile in [
            " ",
            "a b",
            "a\n",
            "a\u{200b}b",
            "a\u{202e}b",
            "\u{a0}",
            "a\tb",
        ] {
            assert!(visible("--rekor-url", hostile).is_err(), "{hostile:?}");
        }
        let long = "a".repeat(MOST_BYTES + 1);
        assert!(matches!(
            visible("--rekor-url", &long),
            Err(TextError::Long { .. })
        ));
    }

    #[test]
    fn names_are_those_of_objects() {
        for name in ["a", "tekseal", "tekton-built-only", "1a"] {
            assert!(is_object_name(name), "{name}");
        }
        let long = "a".repeat(64);
        for name in ["", "-a", "a-", "A", "a_b", "a.b", "a b", "a/b", &long] {
            assert!(!is_object_name(name), "{name}");
        }
    }
}
