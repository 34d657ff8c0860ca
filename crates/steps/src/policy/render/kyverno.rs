//! Kyverno's ClusterPolicy (`kyverno.io/v1`), as Kyverno 1.19 reads it.
//!
//! * The attestors of the image are not those of its attestations: they stand twice. Without a second time, a signature made with a key is never accepted.
//! * A key without `rekor` means the public Rekor, and without `ctlog` Sigstore's TUF is asked for keys of certificates: both are switched off by name
//!   unless a log is demanded.
//! * Conditions are over the predicate; a member that is not there is an error, and so refuses. All statements of a type must satisfy them.
//! * The operators compare by wildcards, `AnyIn` in both directions, so that a tenant's material `*` would be every repository; and what a variable
//!   gives is substituted again, so that a builder `{{ buildType }}` would be the build type. So JMESPath compares, and the operators see its verdict.
//! * Logs and authorities of bundles are those of Kyverno's own TUF, whatever stands in the policy; and a key with a log is an error there.
//! * Any bundle of the signer counts as a signature of the image, also an attestation: so the statement that is a signature is demanded as well.
//!
//! Specification: <https://kyverno.io/docs/policy-types/cluster-policy/verify-images/sigstore/>.

use tekseal_core::cosign::SIGN_PREDICATE;
use tekseal_core::policy::{Quantifier, Rules};
use tekseal_core::provenance::{PROVENANCE_V1, PROVENANCE_V02, Version};

use super::Kind;
use super::literals::{Unwritable, exact, jmespath, without_variables};
use super::pattern::{DOCKER_HUB, DOCKER_HUBS, Extent, OFFICIAL, Pattern};
use super::policy::{Action, Layout, Log, Name, Policy, Root, Signer};
use super::refusal::{CHECK, Refusal, no_domain, no_log, no_signer, one_version};
use super::yaml::{Node, map, only, text, texts};

/// The document.
///
/// # Errors
/// What Kyverno cannot hold.
pub(super) fn render(policy: &Policy) -> Result<Node, Refusal> {
    let verification = verification(policy)?;
    let pods = map([("kinds", texts(["Pod"]))]);
    let rule = map([
        ("name", text("signed")),
        ("match", map([("any", only(map([("resources", pods)])))])),
        ("verifyImages", only(verification)),
    ]);
    Ok(map([
        ("apiVersion", text("kyverno.io/v1")),
        ("kind", text("ClusterPolicy")),
        ("metadata", map([("name", text(&policy.name))])),
        (
            "spec",
            map([
                ("background", Node::Switch(false)),
                (
                    "webhookConfiguration",
                    map([
                        ("failurePolicy", text("Fail")),
                        // The default of ten is little for a registry, and less for a log.
                        ("timeoutSeconds", Node::Number(30)),
                    ]),
                ),
                ("rules", only(rule)),
            ]),
        ),
    ]))
}

fn verification(policy: &Policy) -> Result<Node, Refusal> {
    let mut references = Vec::new();
    for pattern in &policy.images {
        references.extend(image_references(pattern)?);
    }
    let layout = match policy.layout {
        Layout::Tags => "Cosign",
        Layout::Bundle => "SigstoreBundle",
    };
    let (action, mutates) = match policy.action {
        Action::Enforce => ("Enforce", None),
        // A policy that only reports must not write digests into Pods; Kyverno refuses it otherwise.
        Action::Audit => ("Audit", Some(Node::Switch(false))),
    };
    let attestors = attestors(policy)?;
    let mut attestations = match &policy.rules {
        Some(rules) => attestations(rules, &attestors)?,
        None => Vec::new(),
    };
    if policy.layout == Layout::Bundle {
        attestations.insert(0, attestation(SIGN_PREDICATE, &attestors));
    }
    let attestations = (!attestations.is_empty()).then_some(Node::List(attestations));
    Ok(map([
        ("imageReferences", texts(references)),
        ("type", text(layout)),
        ("failureAction", text(action)),
    ])
    .with("mutateDigest", mutates)
    .with("attestors", Some(attestors))
    .with("attestations", attestations))
}

/// Kyverno matches the whole reference, with tag or digest; a star goes across slashes. It fills in Docker Hub, and no `library/`.
fn image_references(pattern: &Pattern) -> Result<Vec<String>, Refusal> {
    let Pattern::Repositories { host, path, extent } = pattern else {
        return Err(no_domain(Kind::Kyverno));
    };
    let mut paths = vec![path.as_str()];
    let mut hosts = vec![host.as_str()];
    if host == DOCKER_HUB {
        hosts = DOCKER_HUBS.into();
        let alone = path.strip_prefix(OFFICIAL);
        let takes_official = match extent {
            Extent::One => false,
            Extent::Below => OFFICIAL.strip_suffix('/') == Some(path.as_str()),
            Extent::Beginning => alone.is_some() || OFFICIAL.starts_with(path.as_str()),
        };
        if takes_official {
            return Err(Refusal::new(
                Kind::Kyverno,
                format!(
                    "cannot tell {pattern} from other images: those of library/ are written without it too"
                ),
                "name each repository (docker.io/library/NAME), or the whole registry (docker.io/*)",
            ));
        }
        paths.extend(alone);
    }
    let references = hosts.iter().flat_map(|host| {
        let each = paths.iter().flat_map(move |path| match extent {
            Extent::One => vec![format!("{host}/{path}:*"), format!("{host}/{path}@*")],
            Extent::Below if path.is_empty() => vec![format!("{host}/*")],
            Extent::Below => vec![format!("{host}/{path}/*")],
            Extent::Beginning => vec![format!("{host}/{path}*")],
        });
        each.collect::<Vec<_>>()
    });
    Ok(references.collect())
}

fn attestors(policy: &Policy) -> Result<Node, Refusal> {
    let needs_own_tuf = match &policy.signer {
        Some(Signer::Key(_)) => policy.demands_log(),
        Some(Signer::Identity { .. }) => policy.root.as_ref().is_some_and(|root| !root.is_public),
        None => false,
    };
    if policy.layout == Layout::Bundle && needs_own_tuf {
        return Err(Refusal::new(
            Kind::Kyverno,
            "reads no log and no authority of your own for bundles",
            "use kyverno-image-validating with --tuf-mirror and --tuf-root, or --layout tags",
        ));
    }
    let entry = match &policy.signer {
        None => return Err(no_signer(Kind::Kyverno)),
        Some(Signer::Key(key)) => {
            let keys = map([("publicKeys", text(key.to_pem()))])
                .with("rekor", Some(rekor(policy.log.as_ref())))
                .with("ctlog", Some(map([("ignoreSCT", Node::Switch(true))])));
            map([("keys", keys)])
        }
        Some(Signer::Identity { name, issuer }) => {
            map([("keyless", keyless(policy, name, issuer)?)])
        }
    };
    let set = map([("count", Node::Number(1)), ("entries", only(entry))]);
    Ok(only(set))
}

fn rekor(log: Option<&Log>) -> Node {
    let Some(log) = log else {
        return map([("ignoreTlog", Node::Switch(true))]);
    };
    Node::Map(Vec::new())
        .with("url", log.url.as_deref().map(text))
        .with("pubkey", Some(text(&log.key)))
}

fn keyless(policy: &Policy, name: &Name, issuer: &Name) -> Result<Node, Refusal> {
    let value = |flag, name: &Name| match name {
        Name::Exact(value) => exact(value)
            .map(str::to_owned)
            .map_err(|e| Refusal::of_value(Kind::Kyverno, flag, e)),
        Name::Pattern(value) => without_variables(value)
            .map(str::to_owned)
            .map_err(|e| Refusal::of_value(Kind::Kyverno, flag, e)),
    };
    let key = |exact, pattern, name: &Name| match name {
        Name::Exact(_) => exact,
        Name::Pattern(_) => pattern,
    };
    let identity = Node::Map(vec![
        (
            key("subject", "subjectRegExp", name),
            text(value("--certificate-identity", name)?),
        ),
        (
            key("issuer", "issuerRegExp", issuer),
            text(value("--certificate-oidc-issuer", issuer)?),
        ),
    ]);
    let Some(root) = &policy.root else {
        return Err(no_signer(Kind::Kyverno));
    };
    if root.is_public {
        // Kyverno asks Sigstore's TUF for everything else, and is told of new keys by it.
        let url = policy.log.as_ref().and_then(|log| log.url.clone());
        let url = url.unwrap_or_else(|| "https://rekor.sigstore.dev".to_owned());
        return Ok(identity.with("rekor", Some(map([("url", text(url))]))));
    }
    let Some(log) = &policy.log else {
        return Err(no_log(Kind::Kyverno, Some(root)));
    };
    Ok(identity
        .with("roots", Some(text(root.certificates())))
        .with("rekor", Some(rekor(Some(log))))
        .with(
            "ctlog",
            Some(map([(
                "pubkey",
                text(only_certificate_log(Kind::Kyverno, root)?),
            )])),
        ))
}

/// The key of the only log of certificates.
fn only_certificate_log(kind: Kind, root: &Root) -> Result<&str, Refusal> {
    match &root.certificate_logs[..] {
        [one] => Ok(&one.key),
        other => Err(Refusal::new(
            kind,
            format!(
                "takes one log of certificates, and the trusted root has {} in use",
                other.len()
            ),
            "give a trusted root with the log alone that is in use",
        )),
    }
}

/// The members of provenance as conditions name them.
struct Members {
    predicate_type: &'static str,
    builder_id: &'static str,
    build_type: &'static str,
    dependencies: &'static str,
    finished_on: &'static str,
}

const V02: Members = Members {
    predicate_type: PROVENANCE_V02,
    builder_id: "builder.id",
    build_type: "buildType",
    dependencies: "materials",
    finished_on: "metadata.buildFinishedOn",
};

const V1: Members = Members {
    predicate_type: PROVENANCE_V1,
    builder_id: "runDetails.builder.id",
    build_type: "buildDefinition.buildType",
    dependencies: "buildDefinition.resolvedDependencies",
    finished_on: "runDetails.metadata.finishedOn",
};

fn attestations(rules: &Rules, attestors: &Node) -> Result<Vec<Node>, Refusal> {
    if rules.quantifier == Quantifier::Any {
        return Err(Refusal::new(
            Kind::Kyverno,
            "cannot be content with any statement: all of a type must satisfy the rules",
            "leave out --match any, or `tekseal-policy check --match any` in the pipeline",
        ));
    }
    let mut all = Vec::new();
    if rules.asks_for_provenance() {
        let version = one_version(Kind::Kyverno, rules)?;
        let members = match version {
            Version::V02 => V02,
            Version::V1 => V1,
        };
        let conditions = conditions(rules, version, &members)?;
        let conditions = (!conditions.is_empty()).then_some(Node::List(conditions));
        all.push(attestation(members.predicate_type, attestors).with("conditions", conditions));
    }
    for other in &rules.predicate_types {
        let other =
            without_variables(other).map_err(|e| Refusal::of_value(Kind::Kyverno, "--type", e))?;
        all.push(attestation(other, attestors));
    }
    Ok(all)
}

fn attestation(predicate_type: &str, attestors: &Node) -> Node {
    map([
        ("type", text(predicate_type)),
        ("attestors", attestors.clone()),
    ])
}

fn conditions(rules: &Rules, version: Version, members: &Members) -> Result<Vec<Node>, Refusal> {
    let mut all = Vec::new();
    for (flag, member, values) in [
        ("--builder-id", members.builder_id, &rules.builder_ids),
        ("--build-type", members.build_type, &rules.build_types),
    ] {
        if !values.is_empty() {
            let query =
                equal(member, values).map_err(|e| Refusal::of_value(Kind::Kyverno, flag, e))?;
            all.push(condition(
                format!("{{{{ {query} }}}}"),
                "Equals",
                Node::Switch(true),
            ));
        }
    }
    if rules.source_repository.is_some() {
        let dependencies = members.dependencies;
        let query = equal("uri", &rules.source_uris())
            .map_err(|e| Refusal::of_value(Kind::Kyverno, "--source-repository", e))?;
        let query = format!("{{{{ length({dependencies}[?{query}]) }}}}");
        all.push(condition(query, "GreaterThan", Node::Number(0)));
        // Of other things no member is asked.
        let others = format!("{{{{ length({dependencies}[?type(@) != 'object']) }}}}");
        all.push(condition(others, "Equals", Node::Number(0)));
    }
    if rules.require_success {
        all.extend(success(version)?);
    }
    if let Some(age) = rules.max_age {
        let query = format!("{{{{ time_since('', {}, '') }}}}", members.finished_on);
        let age = text(format!("{}s", age.as_secs()));
        all.push(condition(query.as_str(), "LessThanOrEquals", age));
        // Clocks differ a little; a build that ends in years would be young for ever.
        all.push(condition(query, "GreaterThanOrEquals", text("-300s")));
    }
    if all.is_empty() {
        return Ok(Vec::new());
    }
    Ok(vec![map([("all", Node::List(all))])])
}

fn condition(key: impl Into<String>, operator: &'static str, value: Node) -> Node {
    map([
        ("key", text(key)),
        ("operator", text(operator)),
        ("value", value),
    ])
}

/// Whether a member is one of these values.
fn equal(member: &str, values: &[String]) -> Result<String, Unwritable> {
    let equal = values
        .iter()
        .map(|value| jmespath(value).map(|literal| format!("{member} == {literal}")))
        .collect::<Result<Vec<_>, _>>()?;
    Ok(equal.join(" || "))
}

/// That all tasks succeeded: as many as there are, and there are some.
fn success(version: Version) -> Result<[Node; 2], Refusal> {
    if version == Version::V1 {
        return Err(Refusal::new(
            Kind::Kyverno,
            "cannot hold --succeeded with provenance v1, which has the runs of tasks encoded",
            CHECK,
        ));
    }
    let all = "{{ length(buildConfig.tasks) }}";
    let succeeded = "{{ length(buildConfig.tasks[?status == 'Succeeded']) }}";
    Ok([
        condition(all, "GreaterThan", Node::Number(0)),
        condition(succeeded, "Equals", text(all)),
    ])
}

#[cfg(test)]
mod tests;
