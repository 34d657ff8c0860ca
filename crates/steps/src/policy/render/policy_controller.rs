//! Sigstore's policy-controller: ClusterImagePolicy (`policy.sigstore.dev/v1beta1`), as version 0.14 reads it.
//!
//! * Authorities are alternatives, and one with attestations demands no signature of the image: so there are two, and a policy over both.
//! * Policies are rego. In CUE a member that a statement lacks is as good as any value, so what names no builder would pass.
//! * A statement that satisfies a policy is enough, whatever others there are: only «any» can be demanded.
//! * `ctlog` without an address demands no entry, whatever the TrustRoot says; and a TrustRoot with a log whose key is not of ECDSA makes it refuse
//!   every image.
//! * No signature of an image is read from a bundle, and with `signatureFormat: bundle` every image is refused.
//! * A star in a glob ends at a slash, and `@` cannot stand in one, so that one repository alone cannot be named by digest.
//!
//! Specification: <https://docs.sigstore.dev/policy-controller/overview/>.

use base64::prelude::{BASE64_STANDARD, Engine as _};
use tekseal_core::policy::{Quantifier, Rules};
use tekseal_core::provenance::{PROVENANCE_V1, PROVENANCE_V02, Version};
use tekseal_signing::{KeyAlgorithm, PublicKey};

use super::Kind;
use super::pattern::{DOCKER_HUB, Extent, Pattern};
use super::policy::{Action, Authority, Layout, Log, Name, Policy, Signer};
use super::refusal::{Refusal, no_domain, no_log, no_signer, one_version};
use super::rego;
use super::yaml::{Node, map, only, text};

const KIND: Kind = Kind::PolicyController;

/// The document.
///
/// # Errors
/// What policy-controller cannot hold.
pub(super) fn render(policy: &Policy) -> Result<Node, Refusal> {
    let globs = policy
        .images
        .iter()
        .map(|pattern| Ok(map([("glob", text(glob(pattern)?))])));
    let globs = globs.collect::<Result<Vec<_>, Refusal>>();
    let attested = policy.rules.as_ref().map(attestations).transpose();
    let (globs, attested) = match (globs, attested) {
        (Ok(globs), Ok(attested)) => (globs, attested),
        (Err(one), Err(other)) => return Err(one.and(other)),
        (Err(refusal), Ok(_)) | (Ok(_), Err(refusal)) => return Err(refusal),
    };
    let mode = match policy.action {
        Action::Enforce => "enforce",
        Action::Audit => "warn",
    };
    let authority = authority(policy)?;
    let image = named("image", &authority);
    let mut authorities = vec![image];
    let mut demanded = vec!["count(input.authorityMatches.image.signatures) > 0".to_owned()];
    if let Some(attestations) = attested {
        for (name, _) in &attestations {
            demanded.push(format!(
                "count(input.authorityMatches.attested.attestations[\"{name}\"]) > 0"
            ));
        }
        let attestations = attestations.into_iter().map(|(_, node)| node).collect();
        authorities.push(
            named("attested", &authority).with("attestations", Some(Node::List(attestations))),
        );
    }
    let both = format!(
        "package sigstore\n\ndefault isCompliant = false\n\nisCompliant {{\n  {}\n}}\n",
        demanded.join("\n  ")
    );
    let spec = map([
        ("images", Node::List(globs)),
        ("mode", text(mode)),
        ("authorities", Node::List(authorities)),
        ("policy", rego_policy(both)),
    ]);
    Ok(map([
        ("apiVersion", text("policy.sigstore.dev/v1beta1")),
        ("kind", text("ClusterImagePolicy")),
        ("metadata", map([("name", text(&policy.name))])),
        ("spec", spec),
    ]))
}

/// The TrustRoot that the policy of the same name refers to, with the keys and certificates that are in use.
///
/// # Errors
/// Where there is no trusted root, or one that no TrustRoot can hold.
pub(super) fn trust_root(policy: &Policy) -> Result<Node, Refusal> {
    let kind = Kind::PolicyControllerTrustRoot;
    let Some(root) = &policy.root else {
        return Err(Refusal::new(
            kind,
            "is a trusted root, and none is given",
            "give --trusted-root FILE",
        ));
    };
    if root.authorities.is_empty() && root.timestamp_authorities.is_empty() {
        return Err(Refusal::new(
            kind,
            "must have an authority, and the trusted root has none in use",
            "give a trusted root that has one, beside the log",
        ));
    }
    let some = |list: Vec<Node>| (!list.is_empty()).then_some(Node::List(list));
    let times = authorities(&root.timestamp_authorities)?;
    let of_ecdsa: Vec<_> = root.logs.iter().filter(is_of_ecdsa).cloned().collect();
    if of_ecdsa.is_empty() && !root.logs.is_empty() {
        return Err(Refusal::new(
            kind,
            "takes logs with a key of ECDSA alone, and the trusted root has none in use",
            "give a trusted root with a log whose key is of ECDSA: Rekor v1 has one, Rekor v2 as it is run has not",
        ));
    }
    let keys = map([(
        "certificateAuthorities",
        Node::List(authorities(&root.authorities)?),
    )])
    .with("tLogs", some(logs(&of_ecdsa)?))
    .with("ctLogs", some(logs(&root.certificate_logs)?))
    .with("timestampAuthorities", some(times));
    Ok(map([
        ("apiVersion", text("policy.sigstore.dev/v1alpha1")),
        ("kind", text("TrustRoot")),
        ("metadata", map([("name", text(&policy.name))])),
        ("spec", map([("sigstoreKeys", keys)])),
    ]))
}

fn authorities(all: &[Authority]) -> Result<Vec<Node>, Refusal> {
    let nodes = all.iter().map(|authority| {
        let names = &authority.names;
        // Both must be there; nobody compares them with the certificate.
        let first = |names: [&String; 2]| names.into_iter().find(|name| !name.is_empty()).cloned();
        let organization = first([&names.organization, &names.common_name]);
        let common_name = first([&names.common_name, &names.organization]);
        let (Some(organization), Some(common_name)) = (organization, common_name) else {
            return Err(nameless("an authority whose certificate has no name"));
        };
        if authority.uri.is_empty() {
            return Err(nameless("an authority without an address"));
        }
        Ok(map([
            (
                "subject",
                map([
                    ("organization", text(organization)),
                    ("commonName", text(common_name)),
                ]),
            ),
            ("uri", text(&authority.uri)),
            ("certChain", text(BASE64_STANDARD.encode(&authority.chain))),
        ]))
    });
    nodes.collect()
}

/// Whether policy-controller can read the key of a log.
fn is_of_ecdsa(log: &&Log) -> bool {
    let key = PublicKey::from_pem(log.key.as_bytes());
    key.is_ok_and(|key| match key.algorithm() {
        KeyAlgorithm::P256 | KeyAlgorithm::P384 | KeyAlgorithm::P521 => true,
        KeyAlgorithm::Ed25519 | KeyAlgorithm::Rsa(_) => false,
    })
}

fn logs(all: &[Log]) -> Result<Vec<Node>, Refusal> {
    let nodes = all.iter().map(|log| {
        let url = log.url.as_deref().filter(|url| !url.is_empty());
        let url = url.ok_or_else(|| nameless("a log without an address"))?;
        Ok(map([
            ("baseURL", text(url)),
            ("hashAlgorithm", text("sha-256")),
            ("publicKey", text(BASE64_STANDARD.encode(&log.key))),
        ]))
    });
    nodes.collect()
}

fn nameless(what: &str) -> Refusal {
    Refusal::new(
        Kind::PolicyControllerTrustRoot,
        format!("cannot hold {what}"),
        "give a trusted root that names it",
    )
}

fn glob(pattern: &Pattern) -> Result<String, Refusal> {
    let Pattern::Repositories { host, path, extent } = pattern else {
        return Err(no_domain(KIND));
    };
    let host = match host.as_str() {
        DOCKER_HUB => "index.docker.io",
        host => host,
    };
    match extent {
        Extent::One => {
            let (parent, _) = path.rsplit_once('/').unwrap_or_default();
            let slash = if parent.is_empty() { "" } else { "/" };
            Err(Refusal::new(
                KIND,
                format!(
                    "cannot name the repository {pattern} alone: its globs have no @ for a digest"
                ),
                format!(
                    "name all that begin so (--images '{pattern}*'), or all beside it (--images '{host}/{parent}{slash}*')"
                ),
            ))
        }
        Extent::Below if path.is_empty() => Ok(format!("{host}/**")),
        Extent::Below => Ok(format!("{host}/{path}/**")),
        Extent::Beginning => Ok(format!("{host}/{path}**")),
    }
}

fn named(name: &'static str, authority: &[(&'static str, Node)]) -> Node {
    let mut pairs = vec![("name", text(name))];
    pairs.extend_from_slice(authority);
    Node::Map(pairs)
}

/// Whose signatures count, and with what they come.
fn authority(policy: &Policy) -> Result<Vec<(&'static str, Node)>, Refusal> {
    let trusts = || {
        let url = policy.log.as_ref().and_then(|log| log.url.as_deref());
        let url = url.ok_or_else(|| no_log(KIND, policy.root.as_ref()))?;
        Ok(map([
            ("url", text(url)),
            ("trustRootRef", text(&policy.name)),
        ]))
    };
    if policy.layout == Layout::Bundle {
        return Err(Refusal::new(
            KIND,
            "reads no bundles that are signatures of images",
            "use --layout tags, and store under cosign's tags too",
        ));
    }
    match &policy.signer {
        None => Err(no_signer(KIND)),
        Some(Signer::Key(key)) => {
            let key = map([
                ("data", text(key.to_pem())),
                ("hashAlgorithm", text("sha256")),
            ]);
            // Without `ctlog` no log is asked.
            let mut pairs = vec![("key", key)];
            if policy.demands_log() {
                if policy.root.is_none() {
                    return Err(Refusal::new(
                        KIND,
                        "takes keys of logs from a TrustRoot alone",
                        "give --trusted-root in the place of --rekor-key, and render policy-controller-trust-root too",
                    ));
                }
                pairs.push(("ctlog", trusts()?));
            }
            Ok(pairs)
        }
        Some(Signer::Identity { name, issuer }) => {
            let identity = Node::Map(vec![
                match name {
                    Name::Exact(value) => ("subject", text(value)),
                    Name::Pattern(value) => ("subjectRegExp", text(value)),
                },
                match issuer {
                    Name::Exact(value) => ("issuer", text(value)),
                    Name::Pattern(value) => ("issuerRegExp", text(value)),
                },
            ]);
            let keyless = map([
                ("trustRootRef", text(&policy.name)),
                ("identities", only(identity)),
            ]);
            Ok(vec![("keyless", keyless), ("ctlog", trusts()?)])
        }
    }
}

fn rego_policy(module: String) -> Node {
    map([("type", text("rego")), ("data", text(module))])
}

/// What must be attested: names in the policy, and their entries.
fn attestations(rules: &Rules) -> Result<Vec<(String, Node)>, Refusal> {
    if rules.quantifier == Quantifier::All {
        return Err(Refusal::new(
            KIND,
            "is content with any statement that satisfies the rules, so it cannot demand that all do",
            "give --match any, if that is enough; `tekseal-policy check` in the pipeline holds all",
        ));
    }
    let entry = |name: &str, predicate_type: &str| {
        map([
            ("name", text(name)),
            ("predicateType", text(predicate_type)),
        ])
    };
    let mut all = Vec::new();
    if rules.asks_for_provenance() {
        let provenance = match one_version(KIND, rules)? {
            Version::V02 => PROVENANCE_V02,
            Version::V1 => PROVENANCE_V1,
        };
        let module = rego_policy(rego::policy_controller(rules)?);
        let node = entry("provenance", provenance).with("policy", Some(module));
        all.push(("provenance".to_owned(), node));
    }
    for (index, other) in rules.predicate_types.iter().enumerate() {
        let name = format!("other{}", index + 1);
        let node = entry(&name, other);
        all.push((name, node));
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use tekseal_core::policy::Draft;

    use super::super::samples::{self, HOSTILE, all_rules, any, rules};
    use super::*;

    fn rendered(policy: &Policy) -> String {
        render(policy)
            .expect("policy-controller can hold it")
            .document()
    }

    fn refused(policy: &Policy) -> String {
        render(policy)
            .expect_err("policy-controller cannot hold it")
            .to_string()
    }

    #[test]
    fn a_signature_and_each_attestation_are_demanded_together() {
        let text = rendered(&samples::policy(Some(rules(Version::V1, |draft| {
            any(draft);
            draft.predicate_types = vec!["https://spdx.dev/Document".to_owned()];
        }))));
        for line in [
            "count(input.authorityMatches.image.signatures) > 0",
            "count(input.authorityMatches.attested.attestations[\"provenance\"]) > 0",
            "count(input.authorityMatches.attested.attestations[\"other1\"]) > 0",
            "builder_ids[statement.predicate.runDetails.builder.id]",
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
        assert_eq!(text.matches("default isCompliant = false").count(), 2);
        assert!(
            text.contains("glob: \"registry.example/team/**\"\n"),
            "{text}"
        );
        assert!(!text.contains("ctlog") && !text.contains("cue"), "{text}");
    }

    #[test]
    fn a_signature_alone_has_one_authority() {
        let text = rendered(&samples::policy(None));
        assert_eq!(text.matches("- name:").count(), 1, "{text}");
        assert!(text.contains("mode: enforce\n"), "{text}");
    }

    #[test]
    fn logs_and_certificates_come_from_a_trust_root_of_the_same_name() {
        let mut policy = samples::keyless(None);
        policy.name = "team".to_owned();
        let text = rendered(&policy);
        assert_eq!(text.matches("trustRootRef: team\n").count(), 2, "{text}");
        let demanded = "ctlog:\n        url: https://rekor.example\n        trustRootRef: team\n";
        assert!(text.contains(demanded), "{text}");
        let root = trust_root(&policy).expect("it has one").document();
        assert!(root.contains("name: team\n"), "{root}");
        for part in [
            "certificateAuthorities:\n      - subject:\n          organization: team\n          commonName: team\n",
            "uri: https://fulcio.example\n",
            "tLogs:\n      - baseURL: https://rekor.example\n        hashAlgorithm: sha-256\n        publicKey: LS0t",
            "ctLogs:\n      - baseURL: https://ct.example\n",
        ] {
            assert!(root.contains(part), "{part}\n{root}");
        }
        policy.log = None;
        assert!(refused(&policy).contains("needs the one log"));
        policy.root.as_mut().expect("it has one").authorities = Vec::new();
        assert!(trust_root(&policy).is_err());
        assert!(trust_root(&samples::policy(None)).is_err());
        assert!(refused(&samples::logged(None)).contains("TrustRoot"));
    }

    #[test]
    fn what_it_cannot_hold_is_refused_by_name() {
        let all = samples::policy(Some(rules(Version::V1, all_rules)));
        assert!(refused(&all).contains("any statement"));
        let mut policy = samples::policy(None);
        policy.layout = Layout::Bundle;
        assert!(refused(&policy).contains("bundles"));
        let mut policy = samples::policy(None);
        policy.images = vec![Pattern::parse("registry.example/team/app").expect("a pattern")];
        assert!(refused(&policy).contains("alone"));
        policy.rules = Some(rules(Version::V1, all_rules));
        let both = refused(&policy);
        assert!(
            both.contains("alone") && both.contains("any statement"),
            "{both}"
        );
    }

    #[test]
    fn a_hostile_value_changes_no_line_but_its_own() {
        let lines = |id: &str| {
            let change = |draft: &mut Draft| {
                any(draft);
                draft.builder_ids = vec![id.to_owned()];
            };
            let text = rendered(&samples::policy(Some(rules(Version::V1, change))));
            text.lines().map(str::to_owned).collect::<Vec<_>>()
        };
        let plain = lines("urn:x");
        for hostile in HOSTILE {
            let of_hostile = lines(hostile);
            assert_eq!(of_hostile.len(), plain.len(), "{hostile}");
            let differing: Vec<_> = plain
                .iter()
                .zip(&of_hostile)
                .filter(|(a, b)| a != b)
                .collect();
            assert_eq!(differing.len(), 1, "{differing:?}");
        }
    }
}
