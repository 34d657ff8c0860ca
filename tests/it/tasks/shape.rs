//! What every Task and StepAction keeps to: described, no shell, no rights but the build's, the key where it is used.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{Catalogue, Definition, Step, catalogue, list, text};

/// The one step that may be root.
const BUILD: (&str, &str) = ("buildah-push", "build-and-push");

fn every_step(catalogue: &Catalogue) -> impl Iterator<Item = (&Definition, Step<'_>)> {
    let all = catalogue.with_steps();
    all.flat_map(|one| one.steps().into_iter().map(move |step| (one, step)))
}

#[test]
fn each_file_has_the_metadata_of_a_catalogue() {
    let Some(all) = catalogue() else { return };
    for one in all.with_steps().chain(&all.pipelines) {
        let file = &one.file;
        let name = file.rsplit('/').next().expect("a name");
        assert_eq!(name, format!("{}.yaml", one.name()), "{file}");
        let kind = match file.split('/').collect::<Vec<_>>()[..] {
            ["tasks", "stepactions", _] => ("StepAction", "tekton.dev/v1beta1"),
            ["tasks", _] => ("Task", "tekton.dev/v1"),
            _ => ("Pipeline", "tekton.dev/v1"),
        };
        let object = &one.object;
        assert_eq!(
            (text(&object["kind"]), text(&object["apiVersion"])),
            kind,
            "{file}"
        );
        let metadata = &object["metadata"];
        let version = &metadata["labels"]["app.kubernetes.io/version"];
        assert_eq!(version, env!("CARGO_PKG_VERSION"), "{file}");
        assert_eq!(metadata["namespace"], Value::Null, "{file}");
        let wanted: &[&str] = match one.is_action() {
            true => &["pipelines.minVersion"],
            false => &[
                "pipelines.minVersion",
                "displayName",
                "categories",
                "tags",
                "platforms",
            ],
        };
        for name in wanted {
            let annotation = &metadata["annotations"][format!("tekton.dev/{name}")];
            assert!(annotation.is_string(), "{file}: {name}");
        }
    }
}

#[test]
fn everything_that_people_give_or_get_is_described() {
    let Some(all) = catalogue() else { return };
    for one in all.with_steps().chain(&all.pipelines) {
        let description = text(&one.spec()["description"]);
        assert!(description.starts_with(char::is_uppercase), "{}", one.file);
        for kind in ["params", "results", "workspaces"] {
            for declared in one.list(kind) {
                let place = format!("{}: {kind} {}", one.file, declared["name"]);
                let description = declared["description"].as_str();
                let description = description.unwrap_or_else(|| panic!("{place} is not described"));
                assert!(description.len() > 8, "{place}: {description:?}");
                assert!(
                    !description.ends_with('.'),
                    "{place}: a sentence without period"
                );
                let has_type = kind != "params" || declared["type"].is_string();
                assert!(has_type, "{place} has no type");
            }
        }
    }
}

#[test]
fn no_shell_stands_anywhere() {
    let Some(all) = catalogue() else { return };
    for one in all.with_steps().chain(&all.pipelines) {
        assert!(!has_key(&one.object, "script"), "{}", one.file);
    }
    for (one, step) in every_step(all) {
        let place = format!("{}: {}", one.file, step.name);
        // Without a command Tekton asks the registry for the image's, which it may not reach.
        let [command] = step.command[..] else {
            panic!(
                "{place} must have one word as its command: {:?}",
                step.command
            );
        };
        let program = step.program();
        let is_placeholder = step.image == program;
        let is_installed = step.image.starts_with("$(params.");
        assert!(is_placeholder || is_installed, "{place}: {}", step.image);
        let folder = if is_placeholder {
            "/usr/bin"
        } else {
            "/tekseal"
        };
        assert_eq!(command, format!("{folder}/{program}"), "{place}");
    }
}

#[test]
fn what_is_given_as_text_goes_by_the_environment_and_lists_by_whole_elements() {
    let Some(all) = catalogue() else { return };
    for (one, step) in every_step(all) {
        let lists: BTreeSet<String> = one
            .list("params")
            .iter()
            .filter(|param| param["type"] == "array")
            .map(|param| format!("$(params.{}[*])", text(&param["name"])))
            .collect();
        let mut after_flags = false;
        let mut in_list = None;
        let ends = step.args.iter().filter(|arg| **arg == ";").count();
        let said = step.args.iter().position(|arg| *arg == "--list-ends");
        let said = said.map_or(0, |at| step.args[at + 1].parse().expect("a number"));
        assert_eq!(said, ends, "{}: {}", one.file, step.name);
        for arg in &step.args {
            let place = format!("{}: {}: {arg:?}", one.file, step.name);
            match *arg {
                "--" => after_flags = true,
                ";" => assert!(in_list.take().is_some(), "{place} ends no list"),
                // Behind `--` nothing is taken for a flag.
                _ if after_flags => {
                    assert!(lists.contains(*arg) || *arg == "$(params.IMAGE)", "{place}")
                }
                "--from-cluster" => assert_eq!(in_list, None, "{place}"),
                flag if flag.starts_with("--") => {
                    assert!(
                        in_list.replace(flag).is_none(),
                        "{place}: the list before it does not end"
                    );
                }
                element if lists.contains(element) => assert!(in_list.is_some(), "{place}"),
                pair if in_list == Some("--refuse") => {
                    let name = pair.split('=').next().expect("there is a first part");
                    assert_eq!(pair, format!("{name}=$(params.{name})"), "{place}");
                }
                count if in_list == Some("--list-ends") => {
                    in_list = None;
                    assert_eq!(count.parse(), Ok(ends), "{place}");
                }
                folder => assert_eq!(
                    (in_list.take(), folder),
                    (Some("--install"), "/tekseal"),
                    "{place}"
                ),
            }
        }
        assert_eq!(in_list, None, "{}: a list does not end", one.file);
    }
}

#[test]
fn every_parameter_is_used_and_every_text_has_a_default_or_is_required_for_a_reason() {
    let Some(all) = catalogue() else { return };
    let required = [
        "IMAGE",
        "IMAGES",
        "IMAGE_DIGEST",
        "IMAGE_URL",
        "KEY_VOLUME",
        "PAYLOADS",
        "PREDICATE",
        "PUBLIC_KEY",
        "RUN",
        "SOURCE",
        "TYPE",
        "url",
    ];
    for one in all.with_steps() {
        let usage = one.usage();
        for param in one.list("params") {
            let name = text(&param["name"]);
            let place = format!("{}: {name}", one.file);
            let is_used = usage.contains(&format!("$(params.{name})"))
                || usage.contains(&format!("$(params.{name}[*])"));
            assert!(is_used, "{place} does nothing");
            let is_optional = !param["default"].is_null();
            assert!(
                is_optional || required.contains(&name),
                "{place} has no default"
            );
        }
        for workspace in one.names("workspaces") {
            assert!(
                usage.contains(&format!("$(workspaces.{workspace}.path)")),
                "{}: {workspace} does nothing",
                one.file
            );
        }
    }
}

#[test]
fn all_steps_but_the_build_run_without_rights() {
    let Some(all) = catalogue() else { return };
    let confined = json!({
        "runAsNonRoot": true,
        "runAsUser": 65532,
        "runAsGroup": 65532,
        "readOnlyRootFilesystem": true,
        "allowPrivilegeEscalation": false,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    });
    let build = json!({"runAsUser": 0, "runAsGroup": 0, "capabilities": {"add": ["SETFCAP"]}});
    let mut builds = 0;
    for (one, step) in every_step(all) {
        let place = format!("{}: {}", one.file, step.name);
        let is_build = (one.name(), step.name) == BUILD;
        builds += usize::from(is_build);
        assert_eq!(
            *step.security,
            if is_build {
                build.clone()
            } else {
                confined.clone()
            },
            "{place}"
        );
        // Where the root file system is read-only, only Tekton's own volumes and mounted ones can be written to.
        assert!(
            step.env.contains(&("HOME", "/tekton/home")),
            "{place} has no writable home"
        );
        if !one.is_action() {
            let requests = &step.resources["requests"];
            assert!(requests["memory"].is_string(), "{place} says no memory");
            assert_eq!(step.resources["limits"], Value::Null, "{place}");
        }
    }
    assert_eq!(builds, 1);
    for one in &all.tasks {
        for forbidden in ["privileged", "hostPath", "hostNetwork", "sidecars"] {
            assert!(
                !has_key(&one.object, forbidden),
                "{}: {forbidden}",
                one.file
            );
        }
    }
}

#[test]
fn the_key_is_mounted_where_it_signs_and_of_other_secrets_single_keys() {
    let Some(all) = catalogue() else { return };
    let mut signing = 0;
    for (one, step) in every_step(all) {
        let place = format!("{}: {}", one.file, step.name);
        let sees_key = step
            .mounts
            .iter()
            .any(|name| matches!(*name, "key" | "$(params.KEY_VOLUME)"));
        let signs = matches!(step.program(), "tekseal-sign" | "tekseal-attest");
        assert_eq!(sees_key, signs, "{place}");
        signing += usize::from(sees_key);
    }
    assert!(signing >= 5, "{signing}");
    for one in &all.tasks {
        for volume in one.list("volumes") {
            let name = text(&volume["name"]);
            let secret = &volume["secret"];
            if secret.is_null() {
                continue;
            }
            // A Pod waits for a Secret that must be there until its TaskRun times out, and says nothing.
            assert_eq!(secret["optional"], true, "{}: {name}", one.file);
            let keys: Vec<&str> = list(&secret["items"])
                .iter()
                .map(|item| text(&item["key"]))
                .collect();
            let wanted: &[&str] = match name {
                "key" => &["cosign.key", "cosign.password"],
                "public-key" => &["cosign.pub"],
                "password" => &["$(params.PASSWORD_KEY)"],
                // All of it is for the build.
                "additional-secret" => &[],
                _ => panic!("{}: a Secret that is not known: {name}", one.file),
            };
            assert_eq!(keys, wanted, "{}: {name}", one.file);
        }
    }
}

fn has_key(value: &Value, key: &str) -> bool {
    match value {
        Value::Object(object) => object
            .iter()
            .any(|(name, value)| name == key || has_key(value, key)),
        Value::Array(array) => array.iter().any(|value| has_key(value, key)),
        _ => false,
    }
}
