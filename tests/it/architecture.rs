//! The allowed direction between crates, as a table: any other edge fails, and a new crate must be added here.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

/// Each crate of the workspace and the crates of ours that it may use.
const ALLOWED: &[(&str, &[&str])] = &[
    ("tekseal-core", &[]),
    ("tekseal-signing", &["tekseal-core"]),
    ("tekseal-remote", &["tekseal-core"]),
    ("tekseal-attest", &["tekseal-core", "tekseal-signing", "tekseal-remote"]),
    ("tekseal-steps", &["tekseal-core", "tekseal-signing", "tekseal-remote", "tekseal-attest"]),
    ("tekseal-harness", &[]),
    ("tekseal-tests", &["tekseal-core", "tekseal-signing", "tekseal-remote", "tekseal-harness"]),
];

/// What `core` must never reach, however deep: it has no clock, no randomness, no network, no runtime.
const FORBIDDEN_IN_CORE: &[&str] = &["tokio", "hyper", "reqwest", "kube", "getrandom", "rand", "rustls", "ring", "openssl-sys"];

/// What `signing` must never reach: keys stay away from the network.
const FORBIDDEN_IN_SIGNING: &[&str] = &["tokio", "hyper", "reqwest", "kube", "rustls"];

/// What no program may reach: a second TLS and crypto provider.
const FORBIDDEN_IN_STEPS: &[&str] = &["aws-lc-rs", "aws-lc-sys", "openssl-sys", "native-tls"];

fn metadata() -> Value {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked", "--offline"])
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .output()
        .expect("cargo is there, it runs this test");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("cargo metadata writes JSON")
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().map_or(&[], Vec::as_slice)
}

#[test]
fn crates_depend_on_each_other_only_as_the_table_allows() {
    let metadata = metadata();
    let mut seen = BTreeSet::new();
    let mut wrong = Vec::new();
    for package in list(&metadata, "packages").iter().filter(|p| p["source"].is_null()) {
        let name = text(package, "name");
        seen.insert(name);
        let Some((_, allowed)) = ALLOWED.iter().find(|(crate_name, _)| *crate_name == name) else {
            wrong.push(format!("{name} is not in the table"));
            continue;
        };
        for dependency in list(package, "dependencies") {
            let on = text(dependency, "name");
            if on.starts_with("tekseal-") && !allowed.contains(&on) {
                wrong.push(format!("{name} may not use {on}"));
            }
        }
    }
    for (name, _) in ALLOWED.iter().filter(|(name, _)| !seen.contains(name)) {
        wrong.push(format!("{name} is in the table but not in the workspace"));
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_pure_crates_stay_pure_and_the_programs_have_one_crypto_provider() {
    let metadata = metadata();
    let mut wrong = Vec::new();
    for (root, forbidden) in [
        ("tekseal-core", FORBIDDEN_IN_CORE),
        ("tekseal-signing", FORBIDDEN_IN_SIGNING),
        ("tekseal-steps", FORBIDDEN_IN_STEPS),
    ] {
        let reached = closure(&metadata, root);
        assert!(reached.len() > 3, "the walk of {root} found only {reached:?}");
        wrong.extend(forbidden.iter().filter(|name| reached.contains(**name)).map(|name| format!("{root} reaches {name}")));
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Names of all packages that `root` uses in a normal build for Linux.
fn closure(metadata: &Value, root: &str) -> BTreeSet<String> {
    let names: BTreeMap<&str, &str> =
        list(metadata, "packages").iter().map(|p| (text(p, "id"), text(p, "name"))).collect();
    let nodes: BTreeMap<&str, &Value> =
        list(&metadata["resolve"], "nodes").iter().map(|node| (text(node, "id"), node)).collect();
    let mut waiting: Vec<&str> = names.iter().filter(|(_, name)| **name == root).map(|(id, _)| *id).collect();
    let mut reached = BTreeSet::new();
    while let Some(id) = waiting.pop() {
        if !reached.insert(id) {
            continue;
        }
        for dependency in list(nodes[id], "deps") {
            let is_normal = list(dependency, "dep_kinds").iter().any(|kind| {
                let target = text(kind, "target");
                let elsewhere = ["windows", "macos", "apple", "wasm", "hermit", "wasi", "redox", "android", "cygwin", "vxworks"]
                    .iter()
                    .any(|system| target.contains(system) && !target.contains("not("));
                kind["kind"].is_null() && !elsewhere
            });
            if is_normal {
                waiting.push(text(dependency, "pkg"));
            }
        }
    }
    reached.into_iter().map(|id| names[id].to_owned()).collect()
}
