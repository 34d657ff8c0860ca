//! What a run may be: any JSON, runs with any results, and golden runs with something else in one place.

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::{Value, json};
use tekseal_core::hints;

use crate::{Documents, GOLDEN};

pub(crate) fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any_text().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 5, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..5).prop_map(Value::from),
            btree_map(any_key(), inner, 0..5)
                .prop_map(|map| Value::from(serde_json::Map::from_iter(map))),
        ]
    })
}

fn any_text() -> impl Strategy<Value = String> {
    prop_oneof![
        ".{0,12}",
        Just("2026-03-01T10:00:00.5Z".to_owned()),
        Just("1h30m".to_owned()),
        Just("1500m".to_owned()),
        Just("$(tasks.a.results.b[0])".to_owned()),
        any_digest(),
        any_image(),
    ]
}

fn any_digest() -> impl Strategy<Value = String> {
    (
        "( |)",
        select(vec!["sha256", "SHA256", "sha1", "sha512", "md5", ""]),
        "(:|::|)",
        select(vec![0usize, 39, 40, 63, 64, 128]),
        "[0-9a-c]",
    )
        .prop_map(|(blank, algorithm, colon, length, digit)| {
            format!("{blank}{algorithm}{colon}{}", digit.repeat(length))
        })
}

fn any_image() -> impl Strategy<Value = String> {
    let digest = prop_oneof![
        "[01]".prop_map(|digit| format!("sha256:{}", digit.repeat(64))),
        any_digest(),
    ];
    (
        "(docker.io/|r.io/|https://|)",
        "(app|a/b|APP|)",
        "(:tag|)",
        "(@|@@|)",
        digest,
    )
        .prop_map(|(registry, path, tag, at, digest)| format!("{registry}{path}{tag}{at}{digest}"))
}

/// Names of fields that mean something, and others.
pub(crate) fn any_key() -> impl Strategy<Value = String> {
    prop_oneof![
        select(vec![
            "name",
            "value",
            "type",
            "uri",
            "digest",
            "isBuildArtifact",
            "results",
            "steps",
            "taskSpec",
            "params",
            "metadata",
            "labels",
            "status",
            "spec",
            "provenance",
            "refSource",
            "conditions",
            "imageID",
            "env",
            "resources",
            "tasks",
            "finally",
            "default",
        ])
        .prop_map(str::to_owned),
        "[a-c<é\"]{0,3}",
    ]
}

/// Names of hints, whole and nearly, with something before and behind them.
fn any_result_name() -> impl Strategy<Value = String> {
    let hint = select(vec![
        hints::IMAGE_URL,
        hints::IMAGE_DIGEST,
        hints::IMAGES,
        hints::ARTIFACT_URI,
        hints::ARTIFACT_DIGEST,
        hints::ARTIFACT_INPUTS,
        hints::ARTIFACT_OUTPUTS,
        hints::GIT_URL,
        hints::GIT_COMMIT,
        "image-url",
        "IMAGE_REF",
        "result",
    ]);
    ("(|a-|b_|é)", hint, "(||||s|_2)")
        .prop_map(|(before, hint, behind)| format!("{before}{hint}{behind}"))
}

fn any_result_value() -> impl Strategy<Value = Value> {
    let artifact = (
        any_image(),
        any_digest(),
        proptest::option::of("(true|false|True)"),
    )
        .prop_map(|(uri, digest, build)| {
            let mut artifact = json!({"uri": uri, "digest": digest});
            if let Some(build) = build {
                artifact["isBuildArtifact"] = build.into();
            }
            artifact
        });
    let images = (vec(any_image(), 0..5), "(,|\n|, |,,)")
        .prop_map(|(images, comma)| Value::from(images.join(&comma)));
    prop_oneof![
        3 => any_image().prop_map(Value::from),
        3 => any_digest().prop_map(Value::from),
        3 => images,
        3 => artifact,
        1 => any_json(),
    ]
}

fn any_results() -> impl Strategy<Value = Vec<Value>> {
    let result = (any_result_name(), any_result_value())
        .prop_map(|(name, value)| json!({"name": name, "type": "string", "value": value}));
    let result = result.boxed();
    // More than sixteen artifacts are found by an index.
    prop_oneof![4 => vec(result.clone(), 0..8), 1 => vec(result, 30..60)]
}

/// A TaskRun whose results, parameters and results of steps are anything.
fn any_task_run() -> impl Strategy<Value = Value> {
    (any_results(), any_results(), any_results())
        .prop_map(|(results, of_step, params)| task_run("run", &results, &of_step, &params))
}

/// A completed TaskRun of one step.
pub(crate) fn task_run(
    name: &str,
    results: &[Value],
    of_step: &[Value],
    params: &[Value],
) -> Value {
    json!({
        "apiVersion": "tekton.dev/v1",
        "kind": "TaskRun",
        "metadata": {"name": name, "labels": {"tekton.dev/pipelineTask": name, "b": "2", "a": "1"}},
        "spec": {"params": params},
        "status": {
            "conditions": [{"type": "Succeeded", "status": "True"}],
            "startTime": "2026-03-01T09:00:00Z",
            "completionTime": "2026-03-01T10:00:00Z",
            "results": results,
            "steps": [{"name": "s", "imageID": format!("r.io/tool@sha256:{}", "3".repeat(64)), "results": of_step}],
            "taskSpec": {"steps": [{"name": "s", "script": "run"}]},
        },
    })
}

fn any_pipeline_run() -> impl Strategy<Value = Documents> {
    (any_results(), vec((any_results(), any_results()), 0..4)).prop_map(|(results, children)| {
        let name = |at: usize| format!("child-{at}");
        let tasks: Vec<_> = (0..children.len())
            .map(|at| json!({"name": name(at)}))
            .collect();
        let references: Vec<_> = (0..children.len())
            .map(|at| json!({"name": name(at), "kind": "TaskRun"}))
            .collect();
        Documents {
            run: json!({
                "apiVersion": "tekton.dev/v1",
                "kind": "PipelineRun",
                "metadata": {"name": "run"},
                "status": {
                    "conditions": [{"type": "Succeeded", "status": "False"}],
                    "results": results,
                    "childReferences": references,
                    "pipelineSpec": {"tasks": tasks},
                },
            }),
            children: children
                .iter()
                .enumerate()
                .map(|(at, (results, of_step))| task_run(&name(at), results, of_step, &[]))
                .collect(),
        }
    })
}

pub(crate) fn any_run() -> impl Strategy<Value = Documents> {
    let alone = any_task_run().prop_map(|run| Documents {
        run,
        children: Vec::new(),
    });
    prop_oneof![alone, any_pipeline_run()]
}

/// A golden run in which one node is another value.
pub(crate) fn any_mutation() -> impl Strategy<Value = Documents> {
    (any::<Index>(), any::<Index>(), any::<Index>(), any_json()).prop_map(
        |(case, document, node, value)| {
            let mut documents = case.get(&GOLDEN).clone();
            let count = 1 + documents.children.len();
            let document = match document.index(count) {
                0 => &mut documents.run,
                child => &mut documents.children[child - 1],
            };
            // The root is not among them: what is no run is another test's.
            let nodes = count_of_nodes(document) - 1;
            if nodes > 0 {
                let mut at = 1 + node.index(nodes);
                *node_at(document, &mut at).expect("there are that many nodes") = value;
            }
            documents
        },
    )
}

fn parts(value: &mut Value) -> Vec<&mut Value> {
    match value {
        Value::Array(list) => list.iter_mut().collect(),
        Value::Object(map) => map.values_mut().collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
    }
}

fn count_of_nodes(value: &mut Value) -> usize {
    1 + parts(value).into_iter().map(count_of_nodes).sum::<usize>()
}

/// The node with this number, counted from the root, depth first.
fn node_at<'v>(value: &'v mut Value, at: &mut usize) -> Option<&'v mut Value> {
    if *at == 0 {
        return Some(value);
    }
    *at -= 1;
    parts(value).into_iter().find_map(|part| node_at(part, at))
}
