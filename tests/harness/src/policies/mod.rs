//! Programs that enforce policies, as cluster and node have them, and what they say of an image.
//!
//! ```text
//!   policy, image ──▶ Kyverno       the CLI of the admission controller
//!                 ──▶ PolicyTester  the CLI of sigstore's policy-controller
//!                 ──▶ PolicyJson    containers/image: podman, skopeo, CRI-O        ──▶ Verdict
//!   policy, JSON  ──▶ Opa           Rego over what `tekseal-verify` prints
//! ```
//!
//! A refusal is worth something only where a rule spoke. So a policy of which no rule was loaded, and a refusal because something was not
//! reached, are no verdicts: they panic. Nothing but loopback is reached: whatever goes elsewhere ends at a proxy that is not there.

mod kyverno;
mod peers;
mod policy_json;
mod policy_tester;
mod rego;

pub use self::kyverno::Kyverno;
pub use self::policy_json::PolicyJson;
pub use self::policy_tester::PolicyTester;
pub use self::rego::Opa;

use crate::run::Run;

/// Nobody listens there. Go's programs ask no proxy for what is on loopback.
const NOWHERE: &str = "http://127.0.0.1:9";

/// What is said where somebody was not reached, as Go and the libraries of Sigstore say it.
const NOT_REACHED: [&str; 14] = [
    "dial tcp",
    "dial udp",
    "proxyconnect",
    "connection refused",
    "connection reset",
    "no such host",
    "no route to host",
    "network is unreachable",
    "context deadline exceeded",
    "Client.Timeout exceeded",
    "i/o timeout",
    "TLS handshake",
    "TUF",
    "from fulcio",
];

/// What a policy says of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It may run.
    Accepted,
    /// It may not, and why.
    Refused(String),
}

impl Verdict {
    /// A refusal with its reason.
    ///
    /// # Panics
    ///
    /// When the reason is that something was not reached, or that there is none.
    #[must_use]
    #[track_caller]
    pub fn refused(reason: impl Into<String>) -> Self {
        let reason = reason.into();
        let found = NOT_REACHED.iter().find(|text| reason.contains(**text));
        assert!(
            found.is_none(),
            "a refusal that speaks of the network ({}) is no verdict:\n{reason}",
            found.unwrap_or(&"")
        );
        assert!(
            !reason.trim().is_empty(),
            "a refusal without a reason is no verdict"
        );
        Self::Refused(reason)
    }
}

/// The environment of a command that reaches nothing but loopback.
const CONFINED: [(&str, &str); 2] = [("HTTP_PROXY", NOWHERE), ("HTTPS_PROXY", NOWHERE)];

/// A command that reaches nothing but loopback.
fn confined(run: Run) -> Run {
    CONFINED
        .iter()
        .fold(run, |run, (name, value)| run.env(name, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_of_the_policy_is_a_refusal() {
        let reason =
            "no matching signatures: invalid signature when validating ASN.1 encoded signature";
        assert_eq!(
            Verdict::refused(reason),
            Verdict::Refused(reason.to_owned())
        );
    }

    #[test]
    fn what_was_not_reached_is_no_verdict() {
        for reason in [
            "Get \"http://127.0.0.1:1/v2/\": dial tcp 127.0.0.1:1: connect: connection refused",
            "lookup registry.example.com: no such host",
            "failed to load Rekor public keys: updating local metadata and targets: error updating to TUF remote mirror",
            "failed to get roots from fulcio: initializing tuf",
            "context deadline exceeded",
            " \n",
        ] {
            let told = std::panic::catch_unwind(|| Verdict::refused(reason));
            let told = told.expect_err(reason);
            let told = told.downcast_ref::<String>().map(String::as_str);
            let told = told.unwrap_or("a refusal without a reason is no verdict");
            assert!(told.contains("is no verdict"), "{told}");
        }
    }
}
