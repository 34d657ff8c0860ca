//! OpenShift's own ClusterImagePolicy (`config.openshift.io/v1`), which the machine-config operator turns into policy.json on every node.
//!
//! Its API has no attestations: it demands a signature and nothing else, under cosign's tags. Without `matchPolicy: MatchRepository` it accepts
//! only signatures that name a tag, which those of cosign and Tekton Chains do not.
//!
//! Specification: <https://github.com/openshift/api/blob/master/config/v1/types_image_policy.go>.

use super::Kind;
use super::containers::{Demand, demand, scope};
use super::policy::{Policy, SignedIdentity};
use super::refusal::Refusal;
use super::yaml::{Node, map, text, texts};

/// The document.
///
/// # Errors
/// What OpenShift cannot hold.
pub(super) fn render(policy: &Policy) -> Result<Node, Refusal> {
    let kind = Kind::Openshift;
    let scopes = policy.images.iter().map(|pattern| scope(kind, pattern));
    let scopes = scopes.collect::<Result<Vec<_>, _>>()?;
    let root = match demand(kind, policy)? {
        Demand::Key { key, log } => map([
            ("policyType", text("PublicKey")),
            (
                "publicKey",
                map([("keyData", text(key))]).with("rekorKeyData", log.map(text)),
            ),
        ]),
        Demand::Email {
            authorities,
            log,
            issuer,
            email,
        } => map([
            ("policyType", text("FulcioCAWithRekor")),
            (
                "fulcioCAWithRekor",
                map([
                    ("fulcioCAData", text(authorities)),
                    ("rekorKeyData", text(log)),
                    (
                        "fulcioSubject",
                        map([("oidcIssuer", text(issuer)), ("signedEmail", text(email))]),
                    ),
                ]),
            ),
        ]),
    };
    let identity = match policy.signed_identity {
        SignedIdentity::MatchRepository => "MatchRepository",
        SignedIdentity::Default => "MatchRepoDigestOrExact",
    };
    Ok(map([
        ("apiVersion", text("config.openshift.io/v1")),
        ("kind", text("ClusterImagePolicy")),
        ("metadata", map([("name", text(&policy.name))])),
        (
            "spec",
            map([
                ("scopes", texts(scopes)),
                (
                    "policy",
                    map([
                        ("rootOfTrust", root),
                        ("signedIdentity", map([("matchPolicy", text(identity))])),
                    ]),
                ),
            ]),
        ),
    ]))
}

#[cfg(test)]
mod tests {
    use super::super::pattern::Pattern;
    use super::super::samples;
    use super::*;

    #[test]
    fn a_signature_that_names_the_repository_is_enough_unless_it_is_not() {
        let mut policy = samples::logged(None);
        let text = render(&policy).expect("OpenShift can hold it").document();
        assert!(
            text.contains("scopes:\n    - registry.example/team\n"),
            "{text}"
        );
        assert!(text.contains("policyType: PublicKey\n"), "{text}");
        assert!(
            text.contains("keyData: LS0tLS1CRUdJTiBQVUJMSUMgS0VZLS0tLS0K"),
            "{text}"
        );
        assert!(text.contains("rekorKeyData: LS0tLS1CRUdJTi"), "{text}");
        assert!(text.contains("matchPolicy: MatchRepository\n"), "{text}");
        policy.signed_identity = SignedIdentity::Default;
        let text = render(&policy).expect("OpenShift can hold it").document();
        assert!(
            text.contains("matchPolicy: MatchRepoDigestOrExact\n"),
            "{text}"
        );
    }

    #[test]
    fn scopes_are_hosts_repositories_and_leading_wildcards() {
        let mut policy = samples::policy(None);
        policy.images = [
            "registry.example/*",
            "registry.example/a/b",
            "*.example.com",
        ]
        .map(|text| Pattern::parse(text).expect("a pattern"))
        .into();
        let text = render(&policy).expect("OpenShift can hold it").document();
        let wanted = "scopes:\n    - registry.example\n    - registry.example/a/b\n    - \"*.example.com\"\n";
        assert!(text.contains(wanted), "{text}");
        policy.images = vec![Pattern::parse("registry.example/a*").expect("a pattern")];
        assert!(render(&policy).is_err());
    }
}
