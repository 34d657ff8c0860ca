//! Kyverno's ImageValidatingPolicy (`policies.kyverno.io/v1`), as Kyverno 1.19 reads it.
//!
//! * Attestations are verified without a public log only where they are Sigstore bundles: those under cosign's tags are refused
//!   (<https://github.com/kyverno/kyverno/issues/17109>).
//! * Any bundle of the signer counts as a signature of the image, also an attestation, and bundles are looked for whatever the policy says: so what is
//!   demanded is the statement that is a signature, and there is no policy about signatures under tags.
//! * Whatever has to do with a log or a certificate is read from Sigstore's TUF, or from the repository that the policy names in its place; other keys
//!   and roots of the policy do not spare it that.
//! * `extractPayload` gives one statement of several, whichever was read last: «all» cannot be demanded.
//! * Images are matched as they stand in the Pod, with tag or digest, before a registry is filled in: so a host is matched in any case, and its port
//!   with zeros before it, or without where it is the usual one.
//! * What `kubectl debug` adds to a Pod comes as a resource of its own. Kyverno then makes no rules for Deployments and the like: their Pods are refused.
//!
//! Specification: <https://kyverno.io/docs/policy-types/image-validating-policy/>.

use base64::prelude::{BASE64_STANDARD, Engine as _};
use tekseal_core::cosign::SIGN_PREDICATE;
use tekseal_core::policy::{Quantifier, Rules};
use tekseal_core::provenance::{PROVENANCE_V1, PROVENANCE_V02, Version};

use super::Kind;
use super::literals::{cel, cel_list};
use super::pattern::{Extent, Pattern};
use super::policy::{Action, Layout, Mirror, Name, Policy, Signer};
use super::refusal::{CHECK, Refusal, no_domain, no_signer, one_version};
use super::yaml::{Node, map, only, text, texts};

const KIND: Kind = Kind::KyvernoImageValidating;

/// Every image of the Pod that the patterns match.
const IMAGES: &str = "(images.containers + images.initContainers + images.ephemeralContainers)";

/// The document.
///
/// # Errors
/// What Kyverno cannot hold.
pub(super) fn render(policy: &Policy) -> Result<Node, Refusal> {
    let images = policy.images.iter().map(|pattern| {
        let expression = format!("ref.matches({})", cel(&references(pattern)?));
        Ok(map([("expression", text(expression))]))
    });
    let images = images.collect::<Result<Vec<_>, Refusal>>()?;
    let (action, mutates) = match policy.action {
        Action::Enforce => ("Deny", None),
        Action::Audit => ("Audit", Some(map([("mutateDigest", Node::Switch(false))]))),
    };
    let (types, validations) = demands(policy)?;
    let pods = map([
        ("apiGroups", texts([""])),
        ("apiVersions", texts(["v1"])),
        ("operations", texts(["CREATE", "UPDATE"])),
        ("resources", texts(["pods", "pods/ephemeralcontainers"])),
    ]);
    let attestations = types.into_iter().map(|(name, predicate_type)| {
        map([
            ("name", text(name)),
            ("intoto", map([("type", text(predicate_type))])),
        ])
    });
    let attestations: Vec<_> = attestations.collect();
    let spec = map([
        ("validationActions", texts([action])),
        ("failurePolicy", text("Fail")),
        (
            "webhookConfiguration",
            map([("timeoutSeconds", Node::Number(30))]),
        ),
    ])
    .with("validationConfigurations", mutates)
    .with(
        "matchConstraints",
        Some(map([("resourceRules", only(pods))])),
    )
    .with("matchImageReferences", Some(Node::List(images)))
    .with("attestors", Some(only(attestor(policy)?)))
    .with("attestations", Some(Node::List(attestations)))
    .with("validations", Some(Node::List(validations)));
    Ok(map([
        ("apiVersion", text("policies.kyverno.io/v1")),
        ("kind", text("ImageValidatingPolicy")),
        ("metadata", map([("name", text(&policy.name))])),
        ("spec", spec),
    ]))
}

/// A regular expression (RE2) for the references of these images.
fn references(pattern: &Pattern) -> Result<String, Refusal> {
    let Pattern::Repositories { host, path, extent } = pattern else {
        return Err(no_domain(KIND));
    };
    if pattern.is_of_docker_hub() {
        return Err(Refusal::new(
            KIND,
            "matches images as they are written, and those of Docker Hub are written without their registry too",
            "use kyverno, which fills in the registry before it matches",
        ));
    }
    let (name, port) = host.split_once(':').unwrap_or((host.as_str(), ""));
    let port = match port.trim_start_matches('0') {
        "" => "(:0*(80|443))?".to_owned(),
        port @ ("80" | "443") => format!("(:0*{port})?"),
        port => format!(":0*{port}"),
    };
    let end = match extent {
        Extent::One => "([:@]|$)",
        Extent::Below if !path.is_empty() => "/",
        Extent::Below | Extent::Beginning => "",
    };
    // Hosts and paths have no other character that means something.
    let [name, path] = [name, path.as_str()].map(|text| text.replace('.', "[.]"));
    Ok(format!("^(?i:{name}){port}/{path}{end}"))
}

fn attestor(policy: &Policy) -> Result<Node, Refusal> {
    let cosign = match &policy.signer {
        None => return Err(no_signer(KIND)),
        Some(Signer::Key(key)) => {
            let key = ("key", map([("data", text(key.to_pem()))]));
            match &policy.mirror {
                Some(mirror) => map([key, ("tuf", tuf(mirror))]),
                None if policy.demands_log() => {
                    return Err(Refusal::new(
                        KIND,
                        "reads the keys of a log of your own from a TUF repository alone",
                        "give --tuf-mirror and --tuf-root, use kyverno, or leave out the log",
                    ));
                }
                None => map([
                    key,
                    (
                        "ctlog",
                        map([
                            ("insecureIgnoreTlog", Node::Switch(true)),
                            ("insecureIgnoreSCT", Node::Switch(true)),
                        ]),
                    ),
                ]),
            }
        }
        Some(Signer::Identity { name, issuer }) => {
            let identity = vec![
                match name {
                    Name::Exact(value) => ("subject", text(value)),
                    Name::Pattern(value) => ("subjectRegExp", text(value)),
                },
                match issuer {
                    Name::Exact(value) => ("issuer", text(value)),
                    Name::Pattern(value) => ("issuerRegExp", text(value)),
                },
            ];
            let keyless = ("keyless", map([("identities", only(Node::Map(identity)))]));
            match (&policy.mirror, &policy.root) {
                (Some(mirror), _) => map([keyless, ("tuf", tuf(mirror))]),
                (None, Some(root)) if root.is_public => {
                    let log = map([("url", text("https://rekor.sigstore.dev"))]);
                    map([keyless, ("ctlog", log)])
                }
                (None, _) => {
                    return Err(Refusal::new(
                        KIND,
                        "reads authorities of your own from a TUF repository alone",
                        "give --tuf-mirror and --tuf-root, use kyverno, or --trusted-root public-good",
                    ));
                }
            }
        }
    };
    Ok(map([("name", text("signer")), ("cosign", cosign)]))
}

/// Where keys of logs and certificates of authorities are read. Without `ctlog` an entry of a log is demanded, and none is asked.
fn tuf(mirror: &Mirror) -> Node {
    let root = map([("data", text(BASE64_STANDARD.encode(&mirror.root)))]);
    map([("mirror", text(&mirror.url)), ("root", root)])
}

/// An attestation: its name in the policy, and its predicate type.
type Attestation = (String, String);

/// What must be attested, and what is validated.
fn demands(policy: &Policy) -> Result<(Vec<Attestation>, Vec<Node>), Refusal> {
    if policy.layout == Layout::Tags {
        return Err(Refusal::new(
            KIND,
            match policy.rules {
                None => {
                    "counts any bundle of the signer as a signature under cosign's tags, also an attestation"
                }
                Some(_) => "cannot verify attestations under cosign's tags without a public log",
            },
            "store bundles and give --layout bundle, or use kyverno",
        ));
    }
    let mut types = vec![("signature".to_owned(), SIGN_PREDICATE.to_owned())];
    let signed = verified("signature");
    let mut validations = vec![validation(
        signed,
        "an image is not signed by the signer of this policy",
    )];
    let Some(rules) = &policy.rules else {
        return Ok((types, validations));
    };
    if rules.quantifier == Quantifier::All {
        return Err(Refusal::new(
            KIND,
            "looks at one statement of several, so it cannot demand that all satisfy the rules",
            "--match any: the one that it looks at must satisfy them",
        ));
    }
    let others = rules.predicate_types.iter().enumerate();
    let others = others.map(|(index, other)| (format!("other{}", index + 1), other.clone()));
    let mut attested = Vec::new();
    let mut demanded = Vec::new();
    if rules.asks_for_provenance() {
        let version = one_version(KIND, rules)?;
        let provenance = match version {
            Version::V02 => PROVENANCE_V02,
            Version::V1 => PROVENANCE_V1,
        };
        attested.push(("provenance".to_owned(), provenance.to_owned()));
        demanded = expressions(rules, version)?;
    }
    attested.extend(others);
    for (name, predicate_type) in &attested {
        let expression = verified(name);
        let message =
            format!("an image has no attestation {predicate_type} by the signer of this policy");
        validations.push(validation(expression, message));
    }
    for (expression, message) in demanded {
        let expression = format!(
            "{IMAGES}.all(image, extractPayload(image, attestations.provenance).predicate.{expression})"
        );
        validations.push(validation(expression, message));
    }
    types.extend(attested);
    Ok((types, validations))
}

/// That each image has this attestation.
fn verified(name: &str) -> String {
    format!(
        "{IMAGES}.all(image, verifyAttestationSignatures(image, attestations.{name}, [attestors.signer]) > 0)"
    )
}

fn validation(expression: String, message: impl Into<String>) -> Node {
    map([("expression", text(expression)), ("message", text(message))])
}

/// What must be true of a predicate, each behind `predicate.`. A member that is not there is an error of CEL, which refuses.
fn expressions(rules: &Rules, version: Version) -> Result<Vec<(String, &'static str)>, Refusal> {
    let (builder, build_type, dependencies) = match version {
        Version::V02 => ("builder.id", "buildType", "materials"),
        Version::V1 => (
            "runDetails.builder.id",
            "buildDefinition.buildType",
            "buildDefinition.resolvedDependencies",
        ),
    };
    let mut expressions = Vec::new();
    if !rules.builder_ids.is_empty() {
        let expression = format!("{builder} in {}", cel_list(&rules.builder_ids));
        expressions.push((expression, "an image was built by another builder"));
    }
    if !rules.build_types.is_empty() {
        let expression = format!("{build_type} in {}", cel_list(&rules.build_types));
        expressions.push((expression, "an image was built by a build of another type"));
    }
    if rules.source_repository.is_some() {
        let uris = cel_list(&rules.source_uris());
        // Not every dependency must have a URI; one that has the right one must be there.
        let expression = format!("{dependencies}.exists(d, has(d.uri) && d.uri in {uris})");
        expressions.push((expression, "an image was built from another source"));
    }
    if rules.require_success {
        if version == Version::V1 {
            return Err(Refusal::new(
                KIND,
                "cannot hold --succeeded with provenance v1, which has the runs of tasks encoded",
                CHECK,
            ));
        }
        let some = "buildConfig.tasks.size() > 0".to_owned();
        expressions.push((some, "of an image's build no tasks are known"));
        let all = "buildConfig.tasks.all(t, t.status == \"Succeeded\")".to_owned();
        expressions.push((all, "a task of an image's build did not succeed"));
    }
    if rules.max_age.is_some() {
        return Err(Refusal::new(
            KIND,
            "cannot hold --max-age: it has no clock",
            CHECK,
        ));
    }
    Ok(expressions)
}

#[cfg(test)]
mod tests {
    use tekseal_core::policy::Draft;

    use super::super::samples::{self, HOSTILE, all_rules, any, rules};
    use super::*;

    fn bundles(rules: Option<Rules>) -> Policy {
        Policy {
            layout: Layout::Bundle,
            ..samples::policy(rules)
        }
    }

    fn refused(policy: &Policy) -> String {
        render(policy)
            .expect_err("Kyverno cannot hold it")
            .to_string()
    }

    #[test]
    fn every_image_of_a_pod_must_be_signed_and_attested() {
        let policy = bundles(Some(rules(Version::V1, |draft| {
            any(draft);
            draft.predicate_types = vec!["https://spdx.dev/Document".to_owned()];
        })));
        let text = render(&policy).expect("it can be held").document();
        for expression in [
            "verifyAttestationSignatures(image, attestations.signature, [attestors.signer]) > 0",
            "verifyAttestationSignatures(image, attestations.provenance, [attestors.signer]) > 0",
            "verifyAttestationSignatures(image, attestations.other1, [attestors.signer]) > 0",
            "extractPayload(image, attestations.provenance).predicate.runDetails.builder.id in [\\\"https://tekton.dev/chains/v2\\\"]",
            "extractPayload(image, attestations.provenance).predicate.buildDefinition.resolvedDependencies.exists(d, has(d.uri) && d.uri in [",
        ] {
            let whole = format!("{IMAGES}.all(image, {expression}");
            assert!(text.contains(&whole), "{whole}\n{text}");
        }
        assert!(
            text.contains("insecureIgnoreTlog: true") && text.contains("insecureIgnoreSCT: true")
        );
        assert!(text.contains("validationActions:\n    - Deny\n"), "{text}");
    }

    #[test]
    fn a_signature_is_the_statement_that_is_one() {
        let text = render(&bundles(None)).expect("it can be held").document();
        assert_eq!(text.matches("message:").count(), 1, "{text}");
        assert!(text.contains("type: https://sigstore.dev/cosign/sign/v1\n"));
        assert!(!text.contains("verifyImageSignatures"), "{text}");
        assert!(refused(&samples::policy(None)).contains("counts any bundle"));
    }

    #[test]
    fn logs_and_authorities_come_from_the_mirror_and_its_entry_is_demanded() {
        let mirror = Mirror {
            url: "https://tuf.example".to_owned(),
            root: b"{}".to_vec(),
        };
        for policy in [samples::policy(None), samples::keyless(None)] {
            let policy = Policy {
                layout: Layout::Bundle,
                root: None,
                log: None,
                mirror: Some(mirror.clone()),
                ..policy
            };
            let text = render(&policy).expect("it can be held").document();
            let tuf = "tuf:\n          mirror: https://tuf.example\n          root:\n            data: e30=\n";
            assert!(text.contains(tuf), "{text}");
            assert!(!text.contains("ctlog"), "{text}");
        }
    }

    #[test]
    fn a_registry_is_known_however_it_is_spelled() {
        let of = |text: &str| references(&Pattern::parse(text).expect(text)).expect(text);
        for (pattern, wanted) in [
            ("localhost:5000/*", "^(?i:localhost):0*5000/"),
            ("quay.io/org/*", "^(?i:quay[.]io)(:0*(80|443))?/org/"),
            ("quay.io:0443/o.x/a*", "^(?i:quay[.]io)(:0*443)?/o[.]x/a"),
            ("a.io:80/app", "^(?i:a[.]io)(:0*80)?/app([:@]|$)"),
        ] {
            assert_eq!(of(pattern), wanted);
        }
    }

    #[test]
    fn what_is_added_to_a_pod_that_runs_is_asked_about() {
        let text = render(&bundles(None)).expect("it can be held").document();
        assert!(text.contains("- pods/ephemeralcontainers\n"), "{text}");
    }

    #[test]
    fn what_it_cannot_hold_is_refused_by_name() {
        let of = |change: fn(&mut Draft)| Some(rules(Version::V02, change));
        assert!(refused(&samples::policy(of(any))).contains("cosign's tags"));
        assert!(refused(&bundles(of(all_rules))).contains("one statement of several"));
        let aged = |draft: &mut Draft| {
            any(draft);
            draft.max_age = Some(std::time::Duration::from_secs(1));
        };
        assert!(refused(&bundles(of(aged))).contains("--max-age"));
        let bundled = |policy: Policy| Policy {
            layout: Layout::Bundle,
            ..policy
        };
        assert!(refused(&bundled(samples::logged(None))).contains("log of your own"));
        assert!(refused(&bundled(samples::keyless(None))).contains("authorities of your own"));
        let mut policy = bundles(None);
        policy.images = vec![Pattern::parse("docker.io/library/*").expect("a pattern")];
        assert!(refused(&policy).contains("Docker Hub"));
    }

    #[test]
    fn a_hostile_value_is_one_literal_of_cel() {
        let lines = |id: &str| {
            let policy = bundles(Some(rules(Version::V1, |draft| {
                any(draft);
                draft.builder_ids = vec![id.to_owned()];
            })));
            let text = render(&policy).expect("it can be held").document();
            let line = text.lines().find(|line| line.contains("builder.id in"));
            (text.lines().count(), line.expect("it is there").to_owned())
        };
        let (count, _) = lines("urn:x");
        for hostile in HOSTILE {
            let (of_hostile, line) = lines(hostile);
            assert_eq!(of_hostile, count, "{hostile}");
            // What YAML gives back is the expression; the literal in it ends before the list does.
            let quoted = line.split_once(": ").expect("a pair").1;
            assert!(quoted.ends_with("])\""), "{line}");
            assert!(line.is_ascii(), "{line}");
        }
    }
}
