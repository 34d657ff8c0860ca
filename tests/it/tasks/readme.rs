//! `tasks/README.md` against the Tasks: a section for each, no name that does not exist, and the table of other Tasks' parameters.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use tekseal_harness::Run;

use super::{Definition, catalogue, list, project, text};

/// Parameters of the buildah Task of tektoncd/catalog 0.9.
const CATALOG: &str = "IMAGE BUILDER_IMAGE STORAGE_DRIVER DOCKERFILE CONTEXT TLSVERIFY FORMAT BUILD_EXTRA_ARGS PUSH_EXTRA_ARGS SKIP_PUSH BUILD_ARGS";
/// Of OpenShift Pipelines'.
const OPENSHIFT: &str = "IMAGE DOCKERFILE CONTEXT STORAGE_DRIVER FORMAT TLS_VERIFY BUILD_EXTRA_ARGS PUSH_EXTRA_ARGS SKIP_PUSH BUILD_ARGS VERBOSE";
/// Of Konflux' 0.12.2.
const KONFLUX: &str = "IMAGE DOCKERFILE CONTEXT TLSVERIFY HERMETIC PREFETCH_INPUT IMAGE_EXPIRES_AFTER COMMIT_SHA YUM_REPOS_D_SRC YUM_REPOS_D_FETCHED \
    YUM_REPOS_D_TARGET TARGET_STAGE ENTITLEMENT_SECRET ACTIVATION_KEY RHSM_MOUNT_CA_CERTS ADDITIONAL_SECRET BUILD_ARGS ENV_VARS BUILD_ARGS_FILE \
    caTrustConfigMapName caTrustConfigMapKey ICM_KEEP_COMPAT_LOCATION ADD_CAPABILITIES SQUASH STORAGE_DRIVER SKIP_UNUSED_STAGES LABELS ANNOTATIONS \
    ANNOTATIONS_FILE PRIVILEGED_NESTED SKIP_SBOM_GENERATION SBOM_TYPE SBOM_SYFT_SELECT_CATALOGERS SBOM_SOURCE_SCAN_ENABLED BUILDAH_FORMAT \
    ADDITIONAL_BASE_IMAGES WORKINGDIR_MOUNT INHERIT_BASE_IMAGE_LABELS HTTP_PROXY NO_PROXY PROXY_CA_TRUST_CONFIG_MAP_NAME \
    PROXY_CA_TRUST_CONFIG_MAP_KEY BUILD_TIMESTAMP SOURCE_URL CONTEXTUALIZE_SBOM SBOM_SKIP_VALIDATION OMIT_HISTORY SOURCE_DATE_EPOCH \
    REWRITE_TIMESTAMP SKIP_INJECTIONS LOG_LEVEL ALLOW_CROSS_PLATFORM_IMAGES";

fn readme() -> String {
    fs::read_to_string(project().join("tasks/README.md")).expect("it is there")
}

/// Sections by their headings.
fn sections(text: &str) -> BTreeMap<&str, &str> {
    text.split("\n## ")
        .skip(1)
        .filter_map(|section| section.split_once('\n'))
        .collect()
}

/// What stands between backquotes.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// Rows of the table: the cells of each.
fn table(text: &str) -> Vec<Vec<&str>> {
    let section = sections(text)["Parameters of other buildah Tasks"];
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    rows.map(|row| row.trim_matches('|').split('|').map(str::trim).collect())
        .collect()
}

#[test]
fn every_task_has_its_section_and_no_section_names_what_is_not_there() {
    let Some(all) = catalogue() else { return };
    let readme = readme();
    let sections = sections(&readme);
    for task in &all.tasks {
        let section = sections
            .get(task.name())
            .unwrap_or_else(|| panic!("{} has no section", task.name()));
        assert!(
            readme.contains(&format!("[`{0}`](#{0})", task.name())),
            "{} is not in the list",
            task.name()
        );
        // Code blocks are YAML and shell.
        let prose: Vec<&str> = section.split("```").step_by(2).collect();
        let names: BTreeSet<&str> = all.tasks.iter().flat_map(declared).collect();
        for word in prose.iter().flat_map(|part| quoted(part)) {
            let looks_like_one = word.len() > 2
                && word
                    .chars()
                    .all(|c| c.is_ascii_uppercase() || matches!(c, '_' | '-'));
            let is_known = names.contains(word) || ["MANIFEST_DIGEST"].contains(&word);
            assert!(
                !looks_like_one || is_known,
                "{}: there is no {word}",
                task.name()
            );
        }
    }
}

/// Names of parameters, workspaces and results.
fn declared(task: &Definition) -> Vec<&str> {
    ["params", "workspaces", "results"]
        .iter()
        .flat_map(|kind| task.names(kind))
        .collect()
}

#[test]
fn the_table_has_every_parameter_of_the_other_tasks() {
    let Some(all) = catalogue() else { return };
    let readme = readme();
    let table = table(&readme);
    let task = all.task("buildah-push");
    let names = task.names("params");
    let mut seen = [BTreeSet::new(), BTreeSet::new(), BTreeSet::new()];
    for row in &table {
        let [name, catalog, openshift, konflux, here, _] = row[..] else {
            panic!("{row:?}");
        };
        let name = name.trim_matches('`');
        // One that is not declared would be passed over in silence.
        assert!(names.contains(&name), "{name} is not declared");
        for (at, cell) in [catalog, openshift, konflux].iter().enumerate() {
            assert!(matches!(*cell, "x" | ""), "{row:?}");
            if *cell == "x" {
                seen[at].insert(name);
            }
        }
        let of = here
            .strip_prefix("alias of `")
            .and_then(|rest| rest.strip_suffix('`'));
        match here {
            "same" | "refused" => {}
            _ => assert!(of.is_some_and(|of| names.contains(&of)), "{row:?}"),
        }
    }
    for (at, all) in [CATALOG, OPENSHIFT, KONFLUX].iter().enumerate() {
        assert_eq!(seen[at], all.split_whitespace().collect());
    }
}

#[test]
fn what_the_table_says_is_refused_is_refused_and_nothing_else() {
    let Some(all) = catalogue() else { return };
    let readme = readme();
    let refused: BTreeSet<&str> = table(&readme)
        .iter()
        .filter(|row| row[4] == "refused")
        .map(|row| row[0].trim_matches('`'))
        .collect();
    let task = all.task("buildah-push");
    let described = task
        .list("params")
        .iter()
        .filter(|param| text(&param["description"]).starts_with("Refused"));
    let described: BTreeSet<&str> = described.map(|param| text(&param["name"])).collect();
    assert_eq!(described, refused);
    let steps = task.steps();
    let build = steps
        .iter()
        .find(|step| step.name == "build-and-push")
        .expect("it is there");
    let handed_over: BTreeSet<&str> = build
        .args
        .iter()
        .filter_map(|arg| arg.split_once("=$(params."))
        .map(|(name, _)| name)
        .collect();
    assert_eq!(handed_over, refused);
    let differs: BTreeMap<&str, &str> = table(&readme)
        .iter()
        .map(|row| (row[0].trim_matches('`'), row[5]))
        .collect();
    for param in list(&task.spec()["params"]) {
        let name = text(&param["name"]);
        if !refused.contains(name) {
            continue;
        }
        let run = |value: &str| {
            Run::tool("tekseal-buildah-push")
                .args(["--refuse", &format!("{name}={value}"), ";"])
                .run()
        };
        let said = run("x").fails_with(2);
        said.says(&format!("parameter {name} is not supported"))
            .says("hint: ");
        // What asks for nothing gets as far as to the image, which is missing.
        run("").fails_with(2).says("IMAGE");
        let harmless = text(&param["description"])
            .split_once("unless it is ")
            .map(|(_, rest)| rest.split([',', ' ']).next().expect("a word"));
        if let Some(word) = harmless {
            run(word).fails_with(2).says("IMAGE");
            assert!(
                differs[name].contains(&format!("`{word}`")),
                "{name}: the table does not say {word}"
            );
        }
    }
}
