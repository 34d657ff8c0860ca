//! Rego, for cosign's `--policy`, for sigstore's policy-controller, and for OPA over what `tekseal-verify --output json` prints.
//!
//! A statement that lacks a member never satisfies a rule on it: what is undefined makes no rule of rego true. That is why these policies are rego and
//! not CUE, where a member that is not there is as good as any value. `[_]` goes over objects as well as lists, so lists are demanded before.
//!
//! cosign and policy-controller read rego as it was before OPA 1.0, so theirs has no `if`; OPA's own has.
//!
//! Specification: <https://www.openpolicyagent.org/docs/policy-language>, <https://docs.sigstore.dev/cosign/verifying/attestation/>.

use std::fmt::Write as _;

use tekseal_core::policy::{Quantifier, Rules};
use tekseal_core::provenance::{PROVENANCE_V1, PROVENANCE_V02, Version};

use super::Kind;
use super::literals::{rego, rego_set};
use super::policy::{Name, Policy, Signer};
use super::refusal::{Refusal, no_ref};

/// Which rego.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Dialect {
    /// Before OPA 1.0.
    V0,
    /// Since then.
    V1,
}

impl Dialect {
    /// What stands between the head and the body of a rule.
    fn before_body(self) -> &'static str {
        match self {
            Self::V0 => "{",
            Self::V1 => "if {",
        }
    }
}

/// How far in the future a build may have ended, in nanoseconds: clocks differ a little.
const CLOCKS_DIFFER: u64 = 300_000_000_000;

/// The build type of v1 whose provenance has the runs of tasks.
const TELLS_SUCCESS: &str = "https://tekton.dev/chains/v2/slsa-tekton";

/// The module for `cosign verify-attestation --policy`, which asks of every statement of one type whether it is allowed.
///
/// # Errors
/// What cosign cannot hold.
pub(super) fn cosign(policy: &Policy) -> Result<String, Refusal> {
    let kind = Kind::RegoCosign;
    let Some(rules) = &policy.rules else {
        return Err(Refusal::new(
            kind,
            "judges statements alone, so there is nothing to write with --provenance none",
            "`cosign verify --key` demands the signature",
        ));
    };
    if rules.quantifier == Quantifier::Any {
        return Err(Refusal::new(
            kind,
            "cannot be content with any statement: cosign demands that all of a type are allowed",
            "leave out --match any",
        ));
    }
    if !rules.predicate_types.is_empty() {
        return Err(Refusal::new(
            kind,
            "cannot demand --type: cosign gives it the statements of one type",
            "run `cosign verify-attestation --type` once more for each",
        ));
    }
    let mut out = String::from(
        "package signature\n\ndefault allow = false\n\nallow {\n  satisfies(input)\n}\n",
    );
    satisfies(kind, rules, Dialect::V0, &mut out)?;
    Ok(out)
}

/// The module for one statement in policy-controller.
///
/// # Errors
/// What policy-controller cannot hold.
pub(super) fn policy_controller(rules: &Rules) -> Result<String, Refusal> {
    let mut out = String::from(
        "package sigstore\n\ndefault isCompliant = false\n\nisCompliant {\n  satisfies(input)\n}\n",
    );
    satisfies(Kind::PolicyController, rules, Dialect::V0, &mut out)?;
    Ok(out)
}

/// The module for `opa eval` over the reports of `tekseal-verify`: every one must be allowed, and there must be one.
///
/// # Errors
/// What it cannot hold.
pub(super) fn opa(policy: &Policy) -> Result<String, Refusal> {
    let mut out = String::from(
        "package tekseal\n\nimport rego.v1\n\ndefault allow := false\n\nallow if {\n  count(input) > 0\n  every image in input {\n    accepted(image)\n  }\n}\n\n\
         accepted(image) if {\n  image.checked.signature == true\n  image.checked.subject == true\n",
    );
    if policy.demands_log() || matches!(policy.signer, Some(Signer::Identity { .. })) {
        out.push_str("  image.checked.transparencyLog == true\n");
    }
    out.push_str("  some signature in image.signatures\n  ours(signature)\n");
    if let Some(rules) = &policy.rules {
        if rules.asks_for_provenance() {
            out.push_str("  attested(image)\n");
        }
        for name in &rules.predicate_types {
            let _ = writeln!(out, "  has_type(image, {})", rego(name));
        }
    }
    out.push_str("}\n\n");
    ours(policy.signer.as_ref(), &mut out);
    let Some(rules) = &policy.rules else {
        return Ok(out);
    };
    if !rules.predicate_types.is_empty() {
        out.push_str(
            "\nhas_type(image, type) if {\n  some attestation in image.attestations\n  ours(attestation)\n  attestation.predicateType == type\n}\n",
        );
    }
    if !rules.asks_for_provenance() {
        return Ok(out);
    }
    let types = versions(rules).map(type_of).map(str::to_owned);
    let _ = writeln!(
        out,
        "\nprovenance_types := {}",
        rego_set(&types.collect::<Vec<_>>())
    );
    out.push_str(
        "\nprovenance(image) := [attestation |\n  some attestation in image.attestations\n  ours(attestation)\n  provenance_types[attestation.predicateType]\n]\n",
    );
    out.push_str(match rules.quantifier {
        Quantifier::All => {
            "\nattested(image) if {\n  count(provenance(image)) > 0\n  every attestation in provenance(image) {\n    satisfies(attestation.statement)\n  }\n}\n"
        }
        Quantifier::Any => {
            "\nattested(image) if {\n  some attestation in provenance(image)\n  satisfies(attestation.statement)\n}\n"
        }
    });
    satisfies(Kind::RegoOpa, rules, Dialect::V1, &mut out)?;
    Ok(out)
}

/// Whether a signature or an attestation is by whom it must be by.
fn ours(signer: Option<&Signer>, out: &mut String) {
    out.push_str("ours(found) if {\n");
    match signer {
        // Whoever called tekseal-verify said whose.
        None => out.push_str("  found.layer\n"),
        Some(Signer::Key(key)) => {
            let _ = writeln!(out, "  found.key == {}", rego(&key.fingerprint()));
        }
        Some(Signer::Identity { name, issuer }) => {
            for (member, name) in [("identity", name), ("issuer", issuer)] {
                let _ = match name {
                    Name::Exact(value) => writeln!(out, "  found.{member} == {}", rego(value)),
                    Name::Pattern(value) => {
                        writeln!(out, "  regex.match({}, found.{member})", rego(value))
                    }
                };
            }
        }
    }
    out.push_str("}\n");
}

/// The versions of provenance that count.
fn versions(rules: &Rules) -> impl Iterator<Item = Version> {
    let all = [Version::V02, Version::V1].into_iter();
    let wanted = rules.provenance;
    all.filter(move |version| wanted.is_none_or(|wanted| wanted == *version))
}

fn type_of(version: Version) -> &'static str {
    match version {
        Version::V02 => PROVENANCE_V02,
        Version::V1 => PROVENANCE_V1,
    }
}

/// The rule `satisfies(statement)`, once for each version, and what it needs.
fn satisfies(kind: Kind, rules: &Rules, dialect: Dialect, out: &mut String) -> Result<(), Refusal> {
    no_ref(kind, rules)?;
    let before_body = dialect.before_body();
    for version in versions(rules) {
        let (builder, build_type, dependencies, finished_on) = match version {
            Version::V02 => (
                "builder.id",
                "buildType",
                "materials",
                "metadata.buildFinishedOn",
            ),
            Version::V1 => (
                "runDetails.builder.id",
                "buildDefinition.buildType",
                "buildDefinition.resolvedDependencies",
                "runDetails.metadata.finishedOn",
            ),
        };
        let _ = writeln!(out, "\nsatisfies(statement) {before_body}");
        let _ = writeln!(
            out,
            "  statement.predicateType == {}",
            rego(type_of(version))
        );
        if !rules.builder_ids.is_empty() {
            let _ = writeln!(out, "  builder_ids[statement.predicate.{builder}]");
        }
        if !rules.build_types.is_empty() {
            let _ = writeln!(out, "  build_types[statement.predicate.{build_type}]");
        }
        if rules.source_repository.is_some() {
            let _ = writeln!(
                out,
                "  objects(statement.predicate.{dependencies})\n  source_uris[statement.predicate.{dependencies}[_].uri]"
            );
        }
        if rules.require_success {
            let suffix = match version {
                Version::V02 => "v02",
                Version::V1 => "v1",
            };
            let _ = writeln!(out, "  succeeded_{suffix}(statement.predicate)");
        }
        if let Some(age) = rules.max_age {
            let _ = writeln!(
                out,
                "  age := time.now_ns() - time.parse_rfc3339_ns(statement.predicate.{finished_on})\n  age <= {}\n  age >= -{CLOCKS_DIFFER}",
                age.as_nanos()
            );
        }
        out.push_str("}\n");
    }
    let source_uris = rules.source_uris();
    for (name, values) in [
        ("builder_ids", &rules.builder_ids),
        ("build_types", &rules.build_types),
        ("source_uris", &source_uris),
    ] {
        if !values.is_empty() {
            let _ = writeln!(out, "\n{name} := {}", rego_set(values));
        }
    }
    if rules.require_success {
        for version in versions(rules) {
            success(version, before_body, out);
        }
    }
    if rules.require_success || rules.source_repository.is_some() {
        let _ = writeln!(
            out,
            "\nobjects(list) {before_body}\n  is_array(list)\n  count([item | item := list[_]; is_object(item)]) == count(list)\n}}"
        );
    }
    Ok(())
}

/// That all tasks succeeded: as many as there are, and there are some.
fn success(version: Version, before_body: &str, out: &mut String) {
    let (name, first, list, of_tasks, status) = match version {
        Version::V02 => (
            "succeeded_v02",
            String::new(),
            "predicate.buildConfig.tasks",
            "",
            "task.status == \"Succeeded\"",
        ),
        Version::V1 => (
            "succeeded_v1",
            format!(
                "  predicate.buildDefinition.buildType == {}\n",
                rego(TELLS_SUCCESS)
            ),
            "predicate.buildDefinition.resolvedDependencies",
            "; task.name == \"pipelineTask\"",
            "task_succeeded(task)",
        ),
    };
    let _ = writeln!(
        out,
        "\n{name}(predicate) {before_body}\n{first}  objects({list})\n  tasks := [task | task := {list}[_]{of_tasks}]\n  count(tasks) > 0\n  count([task | task := tasks[_]; {status}]) == count(tasks)\n}}"
    );
    if version == Version::V1 {
        let _ = writeln!(
            out,
            "\ntask_succeeded(task) {before_body}\n  run := json.unmarshal(base64.decode(task.content))\n  objects(run.status.conditions)\n  ends := [end | end := run.status.conditions[_]; end.type == \"Succeeded\"]\n  count(ends) == 1\n  ends[0].status == \"True\"\n}}"
        );
    }
}

#[cfg(test)]
mod tests {
    use tekseal_core::policy::Draft;

    use super::super::samples::{self, HOSTILE, all_rules, any, rules};
    use super::*;

    fn demanding(rules: Rules) -> Policy {
        samples::policy(Some(rules))
    }

    #[test]
    fn cosign_allows_a_statement_that_has_every_member() {
        let policy = demanding(rules(Version::V02, |draft| {
            all_rules(draft);
            draft.require_success = true;
            draft.max_age = Some(std::time::Duration::from_secs(3600));
        }));
        let wanted = r#"package signature

default allow = false

allow {
  satisfies(input)
}

satisfies(statement) {
  statement.predicateType == "https://slsa.dev/provenance/v0.2"
  builder_ids[statement.predicate.builder.id]
  build_types[statement.predicate.buildType]
  objects(statement.predicate.materials)
  source_uris[statement.predicate.materials[_].uri]
  succeeded_v02(statement.predicate)
  age := time.now_ns() - time.parse_rfc3339_ns(statement.predicate.metadata.buildFinishedOn)
  age <= 3600000000000
  age >= -300000000000
}

builder_ids := {"https://tekton.dev/chains/v2"}

build_types := {"tekton.dev/v1/PipelineRun"}

source_uris := {"git+https://git.example/team/app.git", "git+https://git.example/team/app", "https://git.example/team/app.git", "https://git.example/team/app"}

succeeded_v02(predicate) {
  objects(predicate.buildConfig.tasks)
  tasks := [task | task := predicate.buildConfig.tasks[_]]
  count(tasks) > 0
  count([task | task := tasks[_]; task.status == "Succeeded"]) == count(tasks)
}

objects(list) {
  is_array(list)
  count([item | item := list[_]; is_object(item)]) == count(list)
}
"#;
        assert_eq!(cosign(&policy).expect("cosign can hold it"), wanted);
    }

    #[test]
    fn either_provenance_is_good_enough_where_none_is_named() {
        let mut draft = Draft::default();
        all_rules(&mut draft);
        draft.build_types = Vec::new();
        let policy = demanding(Rules::new(draft).expect("rules"));
        let text = cosign(&policy).expect("cosign can hold it");
        assert_eq!(
            text.matches("\nsatisfies(statement) {\n").count(),
            2,
            "{text}"
        );
        assert_eq!(text.matches("builder_ids :=").count(), 1, "{text}");
    }

    #[test]
    fn what_cosign_cannot_hold_is_refused_by_name() {
        let refused = |policy: &Policy| cosign(policy).expect_err("it cannot").to_string();
        assert!(refused(&samples::policy(None)).contains("--provenance none"));
        assert!(refused(&demanding(rules(Version::V1, any))).contains("any statement"));
        let typed = rules(Version::V1, |draft| {
            draft.predicate_types = vec!["https://spdx.dev/Document".to_owned()];
        });
        assert!(refused(&demanding(typed)).contains("--type"));
        let of_ref = rules(Version::V1, |draft| {
            draft.source_repository = Some("https://a/b".to_owned());
            draft.source_ref = Some("refs/heads/main".to_owned());
        });
        assert!(refused(&demanding(of_ref)).contains("--source-ref"));
    }

    #[test]
    fn opa_demands_a_report_and_in_each_who_signed() {
        let text = opa(&demanding(rules(Version::V1, all_rules))).expect("OPA can hold it");
        for part in [
            "default allow := false\n",
            "  count(input) > 0\n  every image in input {\n",
            "  image.checked.signature == true\n",
            "  some signature in image.signatures\n  ours(signature)\n",
            "ours(found) if {\n  found.key == \"SHA256:",
            "  count(provenance(image)) > 0\n  every attestation in provenance(image) {\n    satisfies(attestation.statement)\n",
            "satisfies(statement) if {\n",
        ] {
            assert!(text.contains(part), "{part}\n{text}");
        }
        assert!(!text.contains("transparencyLog"), "{text}");
        let text = opa(&demanding(rules(Version::V1, any))).expect("OPA can hold it");
        assert!(
            text.contains("  some attestation in provenance(image)\n  satisfies("),
            "{text}"
        );
        let text = opa(&samples::keyless(None)).expect("OPA can hold it");
        assert!(
            text.contains("  found.identity == \"builder@team.example\"\n"),
            "{text}"
        );
        assert!(
            text.contains("  image.checked.transparencyLog == true\n"),
            "{text}"
        );
        assert!(!text.contains("attested"), "{text}");
    }

    #[test]
    fn a_hostile_value_changes_no_line_but_its_own() {
        let modules = |id: &str| {
            let change = |draft: &mut Draft| {
                all_rules(draft);
                draft.builder_ids = vec![id.to_owned()];
            };
            let policy = demanding(rules(Version::V1, change));
            [cosign(&policy), opa(&policy)].map(|module| module.expect("it can be held"))
        };
        for (at, plain) in modules("urn:x").iter().enumerate() {
            for hostile in HOSTILE {
                let of_hostile = &modules(hostile)[at];
                let lines = plain.lines().zip(of_hostile.lines());
                let differing: Vec<_> = lines.filter(|(a, b)| a != b).collect();
                assert_eq!(differing.len(), 1, "{differing:?}");
                assert_eq!(plain.lines().count(), of_hostile.lines().count());
                let line = differing[0].1;
                let literal = line
                    .strip_prefix("builder_ids := {")
                    .and_then(|rest| rest.strip_suffix('}'));
                let read: String = serde_json::from_str(literal.expect("a set")).expect("a string");
                assert_eq!(read, *hostile);
            }
        }
    }
}
