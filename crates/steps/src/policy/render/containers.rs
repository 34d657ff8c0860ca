//! policy.json and registries.d of containers/image, which podman, skopeo and CRI-O read.
//!
//! A signature is demanded, under cosign's tags, and nothing else can be: attestations are not looked at. Without `use-sigstore-attachments` no
//! signature is found at all. Without `matchRepository` a signature must name a tag, which those of cosign and Tekton Chains do not.
//!
//! Specification: <https://github.com/containers/image/blob/main/docs/containers-policy.json.5.md>,
//! <https://github.com/containers/image/blob/main/docs/containers-registries.d.5.md>.

use std::collections::BTreeMap;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde::Serialize;

use super::Kind;
use super::pattern::{DOCKER_HUB, Extent, Pattern};
use super::policy::{Action, Layout, Name, Policy, SignedIdentity, Signer};
use super::refusal::{CHECK, Refusal, no_log, no_signer};
use super::yaml::{Node, map};

#[derive(Serialize)]
struct PolicyFile {
    default: [Requirement; 1],
    transports: Transports,
}

#[derive(Serialize)]
struct Transports {
    docker: BTreeMap<String, [Requirement; 1]>,
}

#[derive(Clone, Serialize)]
#[serde(
    tag = "type",
    rename_all = "camelCase",
    rename_all_fields = "camelCase"
)]
enum Requirement {
    Reject,
    SigstoreSigned {
        #[serde(skip_serializing_if = "Option::is_none")]
        key_data: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        fulcio: Option<Fulcio>,
        #[serde(skip_serializing_if = "Option::is_none")]
        rekor_public_key_data: Option<String>,
        signed_identity: Identity,
    },
}

#[derive(Clone, Serialize)]
#[serde(rename_all = "camelCase")]
struct Fulcio {
    ca_data: String,
    oidc_issuer: String,
    subject_email: String,
}

#[derive(Clone, Serialize)]
#[serde(tag = "type", rename_all = "camelCase")]
enum Identity {
    MatchRepository,
    MatchRepoDigestOrExact,
}

/// policy.json. What no scope matches is refused.
///
/// # Errors
/// What containers/image cannot hold.
pub(super) fn policy_json(policy: &Policy) -> Result<String, Refusal> {
    let kind = Kind::ContainersPolicy;
    let signed_identity = match policy.signed_identity {
        SignedIdentity::MatchRepository => Identity::MatchRepository,
        SignedIdentity::Default => Identity::MatchRepoDigestOrExact,
    };
    let requirement = match demand(kind, policy)? {
        Demand::Key { key, log } => Requirement::SigstoreSigned {
            key_data: Some(key),
            fulcio: None,
            rekor_public_key_data: log,
            signed_identity,
        },
        Demand::Email {
            authorities,
            log,
            issuer,
            email,
        } => Requirement::SigstoreSigned {
            key_data: None,
            fulcio: Some(Fulcio {
                ca_data: authorities,
                oidc_issuer: issuer.to_owned(),
                subject_email: email.to_owned(),
            }),
            rekor_public_key_data: Some(log),
            signed_identity,
        },
    };
    let scopes = policy
        .images
        .iter()
        .map(|pattern| Ok((scope(kind, pattern)?, [requirement.clone()])));
    let file = PolicyFile {
        default: [Requirement::Reject],
        transports: Transports {
            docker: scopes.collect::<Result<_, Refusal>>()?,
        },
    };
    let mut text = serde_json::to_string_pretty(&file).expect("texts can be written");
    text.push('\n');
    Ok(text)
}

/// A file of registries.d.
///
/// # Errors
/// What containers/image cannot hold.
pub(super) fn registries(policy: &Policy) -> Result<Node, Refusal> {
    let mut scopes = BTreeMap::new();
    for pattern in &policy.images {
        let attachments = map([("use-sigstore-attachments", Node::Switch(true))]);
        scopes.insert(scope(Kind::ContainersRegistries, pattern)?, attachments);
    }
    Ok(map([("docker", Node::Named(scopes.into_iter().collect()))]))
}

/// The images as a scope: a prefix that ends where a part of a path ends.
///
/// # Errors
/// What is no such prefix.
pub(super) fn scope(kind: Kind, pattern: &Pattern) -> Result<String, Refusal> {
    match pattern {
        Pattern::Domain(domain) => Ok(format!("*.{domain}")),
        Pattern::Repositories { host, path, extent } => match extent {
            Extent::Beginning => Err(Refusal::new(
                kind,
                format!("has no scope for {pattern}: one ends where a part of a path ends"),
                "name all below (PATH/*), or each repository",
            )),
            // `docker.io` is not a host of its own there, but the name that images have.
            Extent::Below if path.is_empty() && host == DOCKER_HUB => Ok(DOCKER_HUB.to_owned()),
            Extent::Below if path.is_empty() => Ok(host.clone()),
            Extent::Below | Extent::One => Ok(format!("{host}/{path}")),
        },
    }
}

/// Whose signature is demanded; keys and certificates are base64 of PEM.
pub(super) enum Demand<'a> {
    /// That of a key.
    Key {
        /// The key.
        key: String,
        /// The log whose entry is demanded.
        log: Option<String>,
    },
    /// That of somebody with this e-mail address.
    Email {
        /// Who may issue certificates.
        authorities: String,
        /// The log whose entry is demanded.
        log: String,
        /// Who vouched for the address.
        issuer: &'a str,
        /// The address.
        email: &'a str,
    },
}

/// What containers/image and OpenShift can demand of this.
///
/// # Errors
/// What they cannot.
pub(super) fn demand(kind: Kind, policy: &Policy) -> Result<Demand<'_>, Refusal> {
    if policy.rules.is_some() {
        return Err(Refusal::new(
            kind,
            "looks at no attestation, so it cannot demand provenance",
            "give --provenance none for the signature alone; `tekseal-policy check` in the pipeline holds the rest",
        ));
    }
    if policy.layout == Layout::Bundle {
        return Err(Refusal::new(
            kind,
            "reads no bundles",
            "use --layout tags, and store under cosign's tags too",
        ));
    }
    if policy.action == Action::Audit {
        return Err(Refusal::new(
            kind,
            "refuses or does not: it cannot only report",
            CHECK,
        ));
    }
    match &policy.signer {
        None => Err(no_signer(kind)),
        Some(Signer::Key(key)) => Ok(Demand::Key {
            key: BASE64_STANDARD.encode(key.to_pem()),
            log: policy
                .log
                .as_ref()
                .map(|log| BASE64_STANDARD.encode(&log.key)),
        }),
        Some(Signer::Identity {
            name: Name::Exact(email),
            issuer: Name::Exact(issuer),
        }) if email.contains('@') && !email.contains("://") => {
            let (Some(root), Some(log)) = (&policy.root, &policy.log) else {
                return Err(no_log(kind, policy.root.as_ref()));
            };
            Ok(Demand::Email {
                authorities: BASE64_STANDARD.encode(root.certificates()),
                log: BASE64_STANDARD.encode(&log.key),
                issuer,
                email,
            })
        }
        Some(Signer::Identity { .. }) => Err(Refusal::new(
            kind,
            "knows who signed by an e-mail address and an issuer, both exactly, and by nothing else",
            "sign with a key; the ServiceAccount of a run has no e-mail address",
        )),
    }
}

#[cfg(test)]
mod tests {
    use tekseal_core::provenance::Version;

    use super::super::samples::{self, all_rules, rules};
    use super::*;

    fn json(policy: &Policy) -> serde_json::Value {
        let text = policy_json(policy).expect("it can be held");
        serde_json::from_str(&text).expect("it is JSON")
    }

    fn refused(policy: &Policy) -> String {
        policy_json(policy)
            .expect_err("it cannot be held")
            .to_string()
    }

    #[test]
    fn what_no_scope_matches_is_refused_and_what_one_matches_must_be_signed() {
        let file = json(&samples::logged(None));
        assert_eq!(file["default"], serde_json::json!([{"type": "reject"}]));
        let demanded = &file["transports"]["docker"]["registry.example/team"][0];
        assert_eq!(demanded["type"], "sigstoreSigned");
        assert_eq!(demanded["keyData"], BASE64_STANDARD.encode(samples::KEY));
        assert_eq!(
            demanded["rekorPublicKeyData"],
            BASE64_STANDARD.encode(samples::KEY)
        );
        assert_eq!(
            demanded["signedIdentity"],
            serde_json::json!({"type": "matchRepository"})
        );
        assert_eq!(demanded.as_object().map(|o| o.len()), Some(4));
        let demanded =
            json(&samples::keyless(None))["transports"]["docker"]["registry.example/team"][0]
                .clone();
        assert_eq!(demanded["fulcio"]["subjectEmail"], "builder@team.example");
        assert_eq!(demanded["fulcio"]["oidcIssuer"], "https://issuer.example");
    }

    #[test]
    fn signatures_are_looked_for_where_the_policy_applies() {
        let text = registries(&samples::policy(None))
            .expect("it can be held")
            .document();
        assert_eq!(
            text,
            "docker:\n  registry.example/team:\n    use-sigstore-attachments: true\n"
        );
    }

    #[test]
    fn what_it_cannot_hold_is_refused_by_name() {
        let provenance = samples::policy(Some(rules(Version::V1, all_rules)));
        assert!(refused(&provenance).contains("no attestation"));
        let mut policy = samples::policy(None);
        policy.layout = Layout::Bundle;
        assert!(refused(&policy).contains("no bundles"));
        let mut policy = samples::policy(None);
        policy.action = Action::Audit;
        assert!(refused(&policy).contains("only report"));
        let mut policy = samples::keyless(None);
        policy.signer = Some(Signer::Identity {
            name: Name::Exact("https://kubernetes.io/namespaces/a/serviceaccounts/b".to_owned()),
            issuer: Name::Exact("https://issuer.example".to_owned()),
        });
        assert!(refused(&policy).contains("e-mail address"));
    }
}
