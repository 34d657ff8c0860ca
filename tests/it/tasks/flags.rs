//! Parameters of Tasks and StepActions against the programs: each variable and flag that a step gives is one that its program has, and each that
//! the program has is given, or it is said here why not.

use std::collections::{BTreeMap, BTreeSet};

use tekseal_harness::Run;

use super::{Step, catalogue};

/// Flags that no Task gives: program (empty for all), flag, why.
const NOT_IN_TASKS: &[(&str, &str, &str)] = &[
    ("", "--help", "for people"),
    ("", "--version", "for people"),
    ("", "--kubeconfig", "a Pod has its ServiceAccount"),
    (
        "",
        "--auth-file",
        "a workspace or Tekton gives the credentials",
    ),
    (
        "",
        "--results",
        "a Task has one place for them, a StepAction gives --results-beside",
    ),
    (
        "tekseal-buildah-push",
        "--record",
        "in a cluster the TaskRun is the record",
    ),
    (
        "tekseal-buildah-push",
        "--isolation",
        "chroot is what works in a Pod",
    ),
    (
        "tekseal-buildah-push",
        "--build-arg",
        "the Task gives the list",
    ),
    (
        "tekseal-buildah-push",
        "--env-var",
        "the Task gives the list",
    ),
    ("tekseal-buildah-push", "--label", "the Task gives the list"),
    (
        "tekseal-buildah-push",
        "--annotation",
        "the Task gives the list",
    ),
    (
        "tekseal-buildah-push",
        "--additional-tag",
        "the Task gives the list",
    ),
    (
        "tekseal-image-index",
        "--annotation",
        "the Task gives the list",
    ),
    (
        "tekseal-image-index",
        "--additional-tag",
        "the Task gives the list",
    ),
    (
        "tekseal-provenance",
        "--children",
        "the API server has them",
    ),
    (
        "tekseal-provenance",
        "--pretty",
        "the Task prints nothing, tekseal-explain does",
    ),
    ("tekseal-explain", "--children", "the API server has them"),
    (
        "tekseal-keygen",
        "--rotate",
        "its last resort is a file, which would go with the Pod",
    ),
    (
        "tekseal-keygen",
        "--import",
        "whoever has the private key as a file makes the Secret from there",
    ),
    (
        "tekseal-wait",
        "--offline",
        "a Pod begins with an empty cache",
    ),
    (
        "tekseal-wait",
        "--tuf-cache",
        "the home of a Pod is as long there",
    ),
    (
        "tekseal-verify",
        "--bundle",
        "in a cluster the registry is there",
    ),
    (
        "tekseal-verify",
        "--local-image",
        "in a cluster the registry is there",
    ),
    (
        "tekseal-verify",
        "--offline",
        "a Pod begins with an empty cache",
    ),
    (
        "tekseal-verify",
        "--tuf-cache",
        "the home of a Pod is as long there",
    ),
    ("tekseal-policy", "--images", "the Task gives the list"),
    (
        "tekseal-policy",
        "--offline",
        "a Pod begins with an empty cache",
    ),
    (
        "tekseal-policy",
        "--tuf-cache",
        "the home of a Pod is as long there",
    ),
    ("tekseal-tree", "--output", "the placeholder is for people"),
    (
        "tekseal-tree",
        "--retry-for",
        "the placeholder has nothing to lose",
    ),
    (
        "tekseal-git-clone",
        "--credentials",
        "they are where Tekton puts them",
    ),
    (
        "tekseal-git-clone",
        "--insecure-file-protocol",
        "a Pod has no repository of its own",
    ),
    (
        "tekseal-image-index",
        "--buildah-format",
        "the StepAction has one name for it",
    ),
    (
        "tekseal-image-index",
        "--tls-verify",
        "the StepAction has one name for it",
    ),
    (
        "tekseal-attest",
        "--run",
        "the Task attest does runs, in three steps",
    ),
    (
        "tekseal-attest",
        "--children",
        "the Task attest does runs, in three steps",
    ),
    (
        "tekseal-attest",
        "--allow-missing-children",
        "the Task attest does runs, in three steps",
    ),
    (
        "tekseal-attest",
        "--format",
        "the Task attest does runs, in three steps",
    ),
    (
        "tekseal-attest",
        "--config",
        "the Task attest does runs, in three steps",
    ),
    (
        "tekseal-attest",
        "--builder-id",
        "the Task attest does runs, in three steps",
    ),
    (
        "tekseal-attest",
        "--build-type",
        "the Task attest does runs, in three steps",
    ),
    (
        "tekseal-attest",
        "--deep-inspection",
        "the Task attest does runs, in three steps",
    ),
    (
        "tekseal-attest",
        "--redact-params",
        "the Task attest does runs, in three steps",
    ),
    (
        "tekseal-attest",
        "--tag-identity",
        "the Task attest does runs, in three steps",
    ),
    (
        "",
        "--insecure-keyless-without-time",
        "what a Task stores is to be verified",
    ),
    (
        "tekseal-upload",
        "--key",
        "in attest the step before has just signed",
    ),
];

/// Variables that are no flag of ours: HOME is where Tekton puts credentials, TMPDIR where there is room.
const NOT_OURS: &[&str] = &["HOME", "TMPDIR", "SPIFFE_ENDPOINT_SOCKET"];

/// What the help of a program tells: each flag or argument with its variable.
#[derive(Debug, Default)]
struct Help {
    /// Flag, or `<NAME>` of an argument, and its variable if it has one.
    flags: BTreeMap<String, Option<String>>,
}

impl Help {
    fn of(step: &Step<'_>) -> Self {
        let program = step.program();
        let run = Run::tool(program).args(step.subcommand);
        let said = run.arg("--help").ok().stdout;
        let mut help = Self::default();
        let mut last = None;
        for line in said.lines().map(str::trim) {
            let first = line.split([' ', '=']).find(|word| word.starts_with("--"));
            let begins = line.starts_with("--") || (line.starts_with('-') && line.contains(", --"));
            if let Some(flag) = first.filter(|_| begins) {
                let flag = flag.trim_end_matches(['[', '.', ']', ',']).to_owned();
                help.flags.insert(flag.clone(), None);
                last = Some(flag);
            } else if line.starts_with('<') || is_optional_argument(line) {
                let name = line
                    .split_whitespace()
                    .next()
                    .unwrap_or_default()
                    .to_owned();
                help.flags.insert(name.clone(), None);
                last = Some(name);
            }
            if let Some((_, rest)) = line.split_once("[env: ") {
                let name = rest.split(['=', ']']).next().unwrap_or_default();
                let flag = last.as_ref().expect("a variable belongs to a flag");
                help.flags.insert(flag.clone(), Some(name.to_owned()));
            }
        }
        assert!(help.flags.len() > 3, "{program}: {said}");
        help
    }

    fn variables(&self) -> BTreeSet<&str> {
        self.flags.values().flatten().map(String::as_str).collect()
    }
}

/// `[NAME]…`, and not `[default: …]`, `[env: …]` or `[possible values: …]`.
fn is_optional_argument(line: &str) -> bool {
    let name = line.strip_prefix('[').and_then(|rest| rest.split_once(']'));
    name.is_some_and(|(name, _)| name.bytes().all(|c| c.is_ascii_uppercase() || c == b'_'))
}

/// Flags that a step gives, before `--`.
fn flags<'a>(step: &'a Step<'_>) -> impl Iterator<Item = &'a str> {
    let words = step.args.iter().take_while(|arg| **arg != "--");
    words.copied().filter(|arg| arg.starts_with("--"))
}

#[test]
fn every_variable_and_flag_of_a_step_is_one_of_its_program() {
    let Some(all) = catalogue() else { return };
    let mut helps: BTreeMap<String, Help> = BTreeMap::new();
    for one in all.with_steps() {
        for step in one.steps() {
            let program = format!("{} {:?}", step.program(), step.subcommand);
            let help = helps.entry(program).or_insert_with(|| Help::of(&step));
            let place = format!("{}: {}", one.file, step.name);
            let known = help.variables();
            for (name, _) in &step.env {
                let is_known = known.contains(name) || NOT_OURS.contains(name);
                assert!(is_known, "{place}: the program has no variable {name}");
            }
            for flag in flags(&step) {
                assert!(
                    help.flags.contains_key(flag),
                    "{place}: the program has no flag {flag}"
                );
            }
        }
    }
}

#[test]
fn everything_that_a_program_can_be_told_is_a_parameter_or_it_is_said_why_not() {
    let Some(all) = catalogue() else { return };
    let mut unused: BTreeSet<(&str, &str)> = NOT_IN_TASKS
        .iter()
        .map(|(program, flag, _)| (*program, *flag))
        .collect();
    let (mut checked, mut missing) = (BTreeSet::new(), Vec::new());
    for one in all.with_steps() {
        let is_copier = |step: &Step<'_>| step.args.contains(&"--install");
        for step in one.steps().iter().filter(|step| !is_copier(step)) {
            let program = step.program();
            let help = Help::of(step);
            let given: BTreeSet<&str> = flags(step)
                .chain(step.env.iter().map(|(name, _)| *name))
                .collect();
            let has_arguments = step.args.contains(&"--");
            for (flag, variable) in &help.flags {
                let is_given = given.contains(flag.as_str())
                    || variable.as_deref().is_some_and(|name| given.contains(name));
                let is_argument = !flag.starts_with("--");
                if is_given || is_argument && has_arguments || flag == "--install" {
                    continue;
                }
                // Results of a Task need no flag, and those of a StepAction this one.
                if flag == "--results-beside" && !one.is_action() {
                    continue;
                }
                let reason = NOT_IN_TASKS
                    .iter()
                    .find(|(of, name, _)| name == flag && (of.is_empty() || *of == program));
                let place = format!("{}: {}", one.file, step.name);
                match reason {
                    Some((of, name, _)) => {
                        unused.remove(&(*of, *name));
                    }
                    None => missing.push(format!("{place}: {program} has {flag}")),
                }
            }
            checked.insert(program.to_owned());
        }
    }
    assert!(
        missing.is_empty(),
        "no parameter gives: {}",
        missing.join("\n")
    );
    assert_eq!(
        unused,
        BTreeSet::new(),
        "these flags are given, or there are none"
    );
    assert!(checked.len() >= 9, "{checked:?}");
}

#[test]
fn a_parameter_that_goes_to_a_variable_has_its_name() {
    let Some(all) = catalogue() else { return };
    // Parameters of other Tasks' names, whose variable has ours.
    let others = [
        ("ADDITIONAL_SECRET_PATH", "ADDITIONAL_SECRET"),
        ("TEKSEAL_PREDICATE_TYPE", "TYPE"),
        ("TEKSEAL_PREDICATE_SOURCE", "SOURCE"),
        ("TEKSEAL_DIR", "PAYLOADS"),
        ("TEKSEAL_OUT", "PAYLOADS"),
        ("TEKSEAL_CERT_DIR", "SSLCERTDIR"),
    ];
    for one in all.with_steps() {
        for step in one.steps() {
            for (variable, value) in &step.env {
                let Some(param) = value
                    .strip_prefix("$(params.")
                    .and_then(|rest| rest.strip_suffix(')'))
                else {
                    continue;
                };
                if param.contains(')') {
                    continue;
                }
                let bare = variable.strip_prefix("TEKSEAL_").unwrap_or(variable);
                let of_policy = bare.strip_prefix("POLICY_").unwrap_or(bare);
                let is_alike = bare.eq_ignore_ascii_case(param)
                    || of_policy == param
                    || others.contains(&(variable, param));
                let of_git = bare
                    .strip_prefix("PARAM_")
                    .unwrap_or_default()
                    .replace('_', "");
                let is_of_git = of_git.eq_ignore_ascii_case(param);
                assert!(is_alike || is_of_git, "{}: {variable} is {value}", one.file);
            }
        }
    }
}
