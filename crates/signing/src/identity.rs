//! Whose signatures are accepted: rules for the identity in a certificate, as cosign's `--certificate-identity`, `--certificate-oidc-issuer` and their `-regexp` forms.

use regex_lite::{Regex, RegexBuilder};

use crate::certificate::Certificate;
use crate::rejection::shortened;

/// Longest pattern, in bytes.
const LONGEST_PATTERN: usize = 4096;
/// Most memory that a pattern may take when compiled, which limits the time of matching too.
const LARGEST_PATTERN: usize = 1024 * 1024;
/// Most names of a certificate that an error tells.
const MOST_TOLD: usize = 10;

/// Why there is no rule, or a certificate does not meet one.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Error {
    /// A rule that lets anybody sign.
    #[error("an identity must be given to verify certificates: exactly or as a pattern")]
    NoIdentity,
    /// A rule that lets anybody vouch.
    #[error("an OIDC issuer must be given to verify certificates: exactly or as a pattern")]
    NoIssuer,
    /// The text of a pattern has no bytes, or too many.
    #[error("a pattern has {0} bytes, wanted 1 to {LONGEST_PATTERN}")]
    PatternLength(usize),
    /// Not a regular expression, or a too large one.
    #[error("malformed pattern {pattern:?}")]
    Pattern {
        /// Its text.
        pattern: String,
        /// What is wrong with it.
        source: regex_lite::Error,
    },
    /// Something that Go's regular expressions, which cosign matches with, understand differently.
    #[error("the pattern {0:?} has a construct that would match something else in cosign: {1}")]
    Dialect(String, &'static str),
    /// The certificate is somebody else's.
    #[error(
        "none of the expected identities matched what was in the certificate, got subjects [{}] with issuer {issuer}",
        subjects.join(", ")
    )]
    Mismatch {
        /// The names in the certificate.
        subjects: Vec<String>,
        /// The issuer in the certificate.
        issuer: String,
    },
}

/// A text, or many.
#[derive(Clone, Debug)]
pub struct Matcher(Kind);

#[derive(Clone, Debug)]
enum Kind {
    Exact(String),
    Pattern(Regex),
}

impl Matcher {
    /// Just this text.
    #[must_use]
    pub fn exact(text: String) -> Self {
        Self(Kind::Exact(text))
    }

    /// Every text in which this regular expression (RE2 syntax) matches somewhere: as in cosign it is not anchored, `^` and `$` do that.
    ///
    /// # Errors
    /// If it is none, too large, or would mean something else in Go.
    pub fn pattern(text: &str) -> Result<Self, Error> {
        if text.is_empty() || text.len() > LONGEST_PATTERN {
            return Err(Error::PatternLength(text.len()));
        }
        if let Some(construct) = foreign_construct(text) {
            return Err(Error::Dialect(shortened(text), construct));
        }
        RegexBuilder::new(text)
            .size_limit(LARGEST_PATTERN)
            .build()
            .map(|regex| Self(Kind::Pattern(regex)))
            .map_err(|source| Error::Pattern {
                pattern: shortened(text),
                source,
            })
    }

    fn matches(&self, text: &str) -> bool {
        match &self.0 {
            Kind::Exact(wanted) => wanted == text,
            Kind::Pattern(regex) => regex.is_match(text),
        }
    }

    /// cosign takes an empty text for none.
    fn is_given(&self) -> bool {
        match &self.0 {
            Kind::Exact(text) => !text.is_empty(),
            Kind::Pattern(_) => true,
        }
    }
}

/// Who may sign, and whose word that is.
#[derive(Clone, Debug)]
pub struct IdentityRule {
    identity: Matcher,
    issuer: Matcher,
}

impl IdentityRule {
    /// A rule for the names in a certificate and for its OIDC issuer; as for cosign, both must be given.
    ///
    /// # Errors
    /// If one is missing or empty.
    pub fn new(identity: Option<Matcher>, issuer: Option<Matcher>) -> Result<Self, Error> {
        Ok(Self {
            identity: identity
                .filter(Matcher::is_given)
                .ok_or(Error::NoIdentity)?,
            issuer: issuer.filter(Matcher::is_given).ok_or(Error::NoIssuer)?,
        })
    }

    /// The name in the certificate that meets the rule; every one is tried. A certificate without issuer has an empty one.
    ///
    /// # Errors
    /// If none does.
    pub fn check(&self, certificate: &Certificate) -> Result<String, Error> {
        let issuer = certificate.oidc_issuer().unwrap_or_default();
        let names = certificate.identities();
        if self.issuer.matches(issuer)
            && let Some(name) = names.iter().find(|name| self.identity.matches(name))
        {
            return Ok(name.clone());
        }
        let mut subjects: Vec<String> = names
            .iter()
            .take(MOST_TOLD)
            .map(|name| shortened(name))
            .collect();
        if names.len() > MOST_TOLD {
            subjects.push("…".to_owned());
        }
        Err(Error::Mismatch {
            subjects,
            issuer: shortened(issuer),
        })
    }
}

/// What Go's syntax reads as something else than regex-lite does, where neither refuses it.
///
/// A pattern that means more here than there would let somebody sign who may not; so all of it is refused, by a scan that
/// knows no more of the syntax than what an escape and what a class is.
fn foreign_construct(pattern: &str) -> Option<&'static str> {
    let mut rest = pattern;
    let mut is_in_class = false;
    while let Some(c) = rest.chars().next() {
        let next = rest.get(c.len_utf8()..).unwrap_or_default();
        rest = next;
        match c {
            '\\' => {
                let escaped = next.chars().next()?;
                rest = next.get(escaped.len_utf8()..).unwrap_or_default();
                match escaped {
                    '<' | '>' => return Some("\\< and \\> are just < and >"),
                    'b' | 'B' if rest.starts_with('{') => return Some("\\b{…}"),
                    'x' if rest.starts_with('{') => {
                        rest = rest.split_once('}').map_or("", |(_, after)| after);
                    }
                    _ => {}
                }
            }
            '[' if is_in_class => match next.strip_prefix(':') {
                Some(class) => rest = class.split_once(":]").map_or("", |(_, after)| after),
                None => return Some("[ in a class is not escaped"),
            },
            '[' => {
                is_in_class = true;
                let next = next.strip_prefix('^').unwrap_or(next);
                rest = next.strip_prefix(']').unwrap_or(next);
            }
            ']' => is_in_class = false,
            '{' if !is_in_class && !is_repetition(next) => {
                return Some("{ that begins no {n}, {n,} or {n,m} is not escaped");
            }
            _ => {}
        }
    }
    None
}

/// Whether `n}`, `n,}` or `n,m}` comes.
fn is_repetition(text: &str) -> bool {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    text.split_once('}').is_some_and(|(inner, _)| {
        inner.split_once(',').map_or(is_number(inner), |(n, m)| {
            is_number(n) && (m.is_empty() || is_number(m))
        })
    })
}

#[cfg(test)]
mod tests;
