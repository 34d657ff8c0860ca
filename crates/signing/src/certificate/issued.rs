//! Whether the certificate that an authority just issued is the one that was asked for.
//!
//! Whoever answers may have mixed up two requests, or may lie: a signature with such a certificate would be somebody else's, or nobody's. So it is judged
//! before anything is signed, and by what a verifier will judge it by.

use super::{Certificate, Error};
use crate::der::time;
use crate::public_key::PublicKey;
use crate::rejection::shortened;
use crate::trust::Trust;

/// How far the clock of an authority may be ahead of ours, in seconds. A certificate is valid from the moment in which it is issued.
pub const MOST_AHEAD: i64 = 300;
/// Most names that are told.
const MOST_TOLD: usize = 10;

/// What was asked for.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// The key to certify.
    pub key: &'a PublicKey,
    /// The names of which the certificate must have one, and no other: those that the identity token may stand for.
    pub names: &'a [String],
    /// The subject of the token, where it is one of a kind whose name the authority makes up by rules of its own.
    pub subject: Option<&'a str>,
    /// The issuers of which the certificate must name one.
    pub issuers: &'a [String],
    /// What time it is, seconds since 1970.
    pub now: i64,
}

/// Why a certificate is not the one that was asked for.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Mismatch {
    /// It is of another key.
    #[error("the certificate is for another key")]
    Key,
    /// It is somebody else's.
    #[error("the certificate is for [{}], and the token stands for [{}]", found.join(", "), wanted.join(", "))]
    Name {
        /// The names in it.
        found: Vec<String>,
        /// The names that may be in it.
        wanted: Vec<String>,
    },
    /// Somebody else is said to vouch for the name.
    #[error("the certificate names the issuer {found}, and that of the token is {}", wanted.join(" or "))]
    Issuer {
        /// The issuer in it.
        found: String,
        /// Those that may be in it.
        wanted: Vec<String>,
    },
    /// It begins too late, or is over.
    #[error("the certificate is valid from {from} to {to}, and it is {now}")]
    Time {
        /// Its first second.
        from: String,
        /// Its last second.
        to: String,
        /// What time it is.
        now: String,
    },
    /// No verifier would accept it.
    #[error("no verifier that trusts the trusted root accepts the certificate")]
    Untrusted(#[source] Error),
}

impl Certificate {
    /// Judges the certificate, which came with `chain` (DER), by what was asked for; with `trust` also that an authority in use issued it and, where that
    /// has logs of certificates, that one of those promises to show it.
    ///
    /// # Errors
    /// The first thing that is not as it was asked for.
    pub fn judge(
        &self,
        chain: &[Vec<u8>],
        asked: &Asked<'_>,
        trust: Option<&Trust>,
    ) -> Result<(), Mismatch> {
        if self.public_key() != asked.key {
            return Err(Mismatch::Key);
        }
        if self.not_before > asked.now + MOST_AHEAD || self.not_after <= asked.now {
            return Err(Mismatch::Time {
                from: time::text(self.not_before),
                to: time::text(self.not_after),
                now: time::text(asked.now),
            });
        }
        if !self.is_named(asked) {
            let tell = |names: &[String]| {
                let names = names.iter().take(MOST_TOLD);
                names.map(|name| shortened(name)).collect()
            };
            return Err(Mismatch::Name {
                found: tell(&self.identities),
                wanted: tell(asked.names),
            });
        }
        let issuer = self.oidc_issuer.as_deref().unwrap_or_default();
        if !asked.issuers.iter().any(|wanted| wanted == issuer) {
            return Err(Mismatch::Issuer {
                found: shortened(issuer),
                wanted: asked.issuers.iter().map(|one| shortened(one)).collect(),
            });
        }
        let Some(trust) = trust else {
            return Ok(());
        };
        let chain = self
            .verify_chain(chain, trust)
            .map_err(Mismatch::Untrusted)?;
        if !trust.has_certificate_logs() {
            return Ok(());
        }
        self.verify_sct(chain.issuer(), trust)
            .map_err(Mismatch::Untrusted)
    }

    /// Whether a log of certificates has promised to show it; what the promise is worth is not said.
    #[must_use]
    pub fn has_sct(&self) -> bool {
        self.scts.is_some()
    }

    /// A verifier takes any name of a certificate, so there must be no foreign one.
    fn is_named(&self, asked: &Asked<'_>) -> bool {
        let [name] = &self.identities[..] else {
            return false;
        };
        let says_subject = asked.subject.is_some_and(|subject| {
            // A user name, as Fulcio writes it: with its own domain behind.
            let is_user = name
                .strip_prefix(subject)
                .is_some_and(|domain| domain.starts_with('!'));
            is_user || self.claims.get("tokenSubject").map(String::as_str) == Some(subject)
        });
        asked.names.contains(name) || says_subject
    }
}
