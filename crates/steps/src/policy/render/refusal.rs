//! What a peer cannot express is refused by name, with what to do instead: a demand that is left out in silence is worse than none.

use std::borrow::Cow;

use tekseal_core::policy::Rules;
use tekseal_core::provenance::Version;

use super::Kind;
use super::literals::Unwritable;
use super::policy::Root;
use crate::Failure;

/// What people do where no admission controller can hold a rule.
pub(super) const CHECK: &str =
    "`tekseal-policy check` in the pipeline holds it, before the image is deployed";

/// A demand that a peer cannot hold.
#[derive(Debug, thiserror::Error)]
#[error("{kind} {why}", kind = kind.name())]
pub(super) struct Refusal {
    kind: Kind,
    /// Continues the name of the peer.
    why: String,
    /// What to do instead.
    instead: Cow<'static, str>,
    source: Option<Unwritable>,
}

impl Refusal {
    pub(super) fn new(
        kind: Kind,
        why: impl Into<String>,
        instead: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self {
            kind,
            why: why.into(),
            instead: instead.into(),
            source: None,
        }
    }

    /// A value of `flag` that the language of the policy cannot hold.
    pub(super) fn of_value(kind: Kind, flag: &str, source: Unwritable) -> Self {
        Self {
            kind,
            why: format!("cannot hold the value of {flag}"),
            instead: CHECK.into(),
            source: Some(source),
        }
    }

    /// Both at once: nobody wants to be told of one after the other.
    pub(super) fn and(self, other: Self) -> Self {
        Self {
            kind: self.kind,
            why: format!("{}; and {}", self.why, other.why),
            instead: format!("{}; and {}", self.instead, other.instead).into(),
            source: self.source.or(other.source),
        }
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        let instead = refusal.instead.clone();
        Self::misuse(refusal).hint(instead)
    }
}

/// That a domain cannot stand for its registries.
pub(super) fn no_domain(kind: Kind) -> Refusal {
    Refusal::new(
        kind,
        "has no pattern for the registries of a domain",
        "name each registry: --images HOST/*",
    )
}

/// That nobody is named who must have signed.
pub(super) fn no_signer(kind: Kind) -> Refusal {
    Refusal::new(
        kind,
        "must know who signs",
        "give --key; or --certificate-identity, --certificate-oidc-issuer and --trusted-root",
    )
}

/// That a certificate counts only with a log, and none is known, or several are.
pub(super) fn no_log(kind: Kind, root: Option<&Root>) -> Refusal {
    let logs = root.map(|root| root.logs.iter());
    let known: Vec<_> = logs
        .into_iter()
        .flatten()
        .filter_map(|log| log.url.as_deref())
        .collect();
    let instead = match known.is_empty() {
        true => "give a trusted root with a log in use".to_owned(),
        false => format!("name one by --rekor-url: {}", known.join(" or ")),
    };
    Refusal::new(kind, "needs the one log whose entry it demands", instead)
}

/// The provenance that is demanded, where the peer reads one type and no other.
pub(super) fn one_version(kind: Kind, rules: &Rules) -> Result<Version, Refusal> {
    no_ref(kind, rules)?;
    rules.provenance.ok_or_else(|| {
        Refusal::new(
            kind,
            "must know which provenance to demand",
            "give --provenance v0.2 (formats in-toto and slsa/v1 of Chains) or v1 (slsa/v2alpha3 and slsa/v2alpha4); none demands the signature alone",
        )
    })
}

/// That provenance of Chains names no branch that a policy could find.
pub(super) fn no_ref(kind: Kind, rules: &Rules) -> Result<(), Refusal> {
    match rules.source_ref {
        None => Ok(()),
        Some(_) => Err(Refusal::new(kind, "cannot hold --source-ref", CHECK)),
    }
}
