//! What kustomize makes of `tasks`: images from one place, types that the API server takes, roles that are those of `deploy`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use serde_json::Value;
use tekseal_harness::{ApiServer, Request, kubectl};

use super::{catalogue, list, objects, project, rendered, text};

/// Names of an `images` entry in the kustomization.
fn pinned() -> BTreeSet<String> {
    let text = fs::read_to_string(project().join("tasks/kustomization.yaml")).expect("it is there");
    let (_, images) = text.split_once("\nimages:\n").expect("there are images");
    let names = images
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- name: tekseal-"));
    names.map(|name| format!("tekseal-{name}")).collect()
}

#[test]
fn every_image_is_named_in_one_place() {
    let (Some(all), Some(kubectl)) = (catalogue(), kubectl()) else {
        return;
    };
    let placeholders: BTreeSet<String> = all
        .with_steps()
        .flat_map(|one| {
            one.steps()
                .into_iter()
                .map(|step| step.image.to_owned())
                .collect::<Vec<_>>()
        })
        .filter(|image| !image.starts_with("$(params."))
        .collect();
    assert_eq!(placeholders, pinned());

    let made = objects(&kubectl, &rendered(&kubectl, &project().join("tasks")));
    let mut images = BTreeSet::new();
    let mut others = BTreeMap::new();
    for object in &made {
        let name = text(&object["metadata"]["name"]);
        let spec = &object["spec"];
        match text(&object["kind"]) {
            "Task" => {
                images.extend(
                    list(&spec["steps"])
                        .iter()
                        .map(|step| text(&step["image"]).to_owned()),
                );
                for param in list(&spec["params"]) {
                    if text(&param["name"]).ends_with("_IMAGE") {
                        others.insert(text(&param["name"]), text(&param["default"]));
                    }
                }
            }
            "StepAction" => {
                images.insert(text(&spec["image"]).to_owned());
            }
            "Role" => {}
            kind => panic!("{kind} {name} is not for a cluster"),
        }
    }
    images.retain(|image| !image.starts_with("$(params."));
    let names = |image: &String| image.starts_with("registry.example.com/tekseal/");
    assert!(images.iter().all(names), "{images:#?}");
    assert_eq!(images.len(), placeholders.len());
    assert!(!others.is_empty());
    for (param, default) in others {
        assert!(
            default.starts_with("registry.example.com/"),
            "{param}: {default}"
        );
    }
    let files = all.tasks.len() + all.actions.len();
    let kinds = |kind: &str| made.iter().filter(|object| object["kind"] == kind).count();
    assert_eq!(
        kinds("Task") + kinds("StepAction"),
        files,
        "a file is not in the kustomization"
    );
    // A Tekton Bundle holds no more; a release has one for each kind.
    assert!(all.tasks.len() <= 20 && all.actions.len() <= 20, "{files}");
}

#[test]
fn an_api_server_with_tektons_types_takes_all_of_it_to_the_last_field() {
    let (Some(api), Some(kubectl)) = (ApiServer::shared(), kubectl()) else {
        return;
    };
    let namespace = api.namespace();
    for folder in ["tasks", "pipelines"] {
        for object in objects(&kubectl, &rendered(&kubectl, &project().join(folder))) {
            taken(api, &namespace, &object);
        }
    }
}

/// The API server takes this object to the last field, and makes none.
#[track_caller]
pub(super) fn taken(api: &ApiServer, namespace: &str, object: &Value) {
    let (kind, version) = (text(&object["kind"]), text(&object["apiVersion"]));
    let path = format!(
        "/apis/{version}/namespaces/{namespace}/{}s?fieldValidation=Strict&dryRun=All",
        kind.to_lowercase()
    );
    let body = object.to_string();
    let request = Request::new("POST", &path).body("application/json", body.as_bytes());
    let answer = api.send(&request).expect("the server answers");
    assert_eq!(
        answer.status,
        201,
        "{kind} {}: {}",
        object["metadata"],
        answer.text()
    );
}

#[test]
fn the_roles_have_rules_of_deploy_and_no_others() {
    let Some(kubectl) = kubectl() else { return };
    let read = |file: &str| -> BTreeMap<String, Value> {
        let yaml = fs::read_to_string(project().join(file)).expect("it is there");
        let roles = objects(&kubectl, &yaml).into_iter();
        roles
            .map(|role| {
                (
                    text(&role["metadata"]["name"]).to_owned(),
                    role["rules"].clone(),
                )
            })
            .collect()
    };
    let of_cluster = read("deploy/rbac-steps.yaml");
    let of_tasks = read("tasks/rbac.yaml");
    assert!(of_tasks.len() >= 5, "{of_tasks:#?}");
    for (name, rules) in &of_tasks {
        let all = of_cluster.get(name).unwrap_or_else(|| panic!("no {name}"));
        for rule in list(rules) {
            assert!(list(all).contains(rule), "{name}: {rule}");
        }
        // The Task makes a pair and never rotates one.
        let is_less = *name == "tekseal-keygen";
        assert_eq!(rules != all, is_less, "{name}");
    }
    let keygen = list(&of_tasks["tekseal-keygen"]);
    assert!(keygen.len() == 1 && keygen[0]["verbs"] == serde_json::json!(["create"]));
}
