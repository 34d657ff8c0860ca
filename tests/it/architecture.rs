//! The allowed direction between crates, as a table: any other edge fails, and a new crate must be added here.

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::Value;

/// Each crate of the workspace and the crates of ours that it may use.
const ALLOWED: &[(&str, &[&str])] = &[
    ("tekseal-core", &[]),
    ("tekseal-signing", &["tekseal-core"]),
    ("tekseal-remote", &["tekseal-core"]),
    (
        "tekseal-attest",
        &["tekseal-core", "tekseal-signing", "tekseal-remote"],
    ),
    ("tekseal-cluster", &["tekseal-core"]),
    (
        "tekseal-custody",
        &["tekseal-core", "tekseal-signing", "tekseal-remote"],
    ),
    // A program of its own, which loads what a token's maker gives.
    ("tekseal-pkcs11", &["tekseal-signing"]),
    (
        "tekseal-controller",
        &[
            "tekseal-core",
            "tekseal-signing",
            "tekseal-remote",
            "tekseal-cluster",
            "tekseal-custody",
            "tekseal-attest",
        ],
    ),
    (
        "tekseal-steps",
        &[
            "tekseal-core",
            "tekseal-signing",
            "tekseal-remote",
            "tekseal-cluster",
            "tekseal-custody",
            "tekseal-attest",
        ],
    ),
    // Releases what the programs are: it calls them, and shares how they reach registries and say what failed.
    (
        "tekseal-release",
        &["tekseal-core", "tekseal-remote", "tekseal-steps"],
    ),
    // The harness measures core, with the counting allocator.
    ("tekseal-harness", &["tekseal-core", "tekseal-counting"]),
    ("tekseal-counting", &[]),
    (
        "tekseal-tests",
        &[
            "tekseal-core",
            "tekseal-signing",
            "tekseal-remote",
            "tekseal-harness",
        ],
    ),
];

/// What `core` must never reach, however deep: it has no clock, no randomness, no network, no runtime.
const FORBIDDEN_IN_CORE: &[&str] = &[
    "tokio",
    "hyper",
    "reqwest",
    "kube",
    "getrandom",
    "rand",
    "rustls",
    "ring",
    "openssl-sys",
];

/// What `signing` must never reach: keys stay away from the network.
const FORBIDDEN_IN_SIGNING: &[&str] = &["tokio", "hyper", "reqwest", "kube", "rustls"];

/// What no program may reach: a second TLS and crypto provider, and the tables of Unicode that Cargo.lock keeps out (see Cargo.toml).
const FORBIDDEN_IN_PROGRAMS: &[&str] = &[
    "aws-lc-rs",
    "aws-lc-sys",
    "openssl-sys",
    "native-tls",
    "icu_normalizer",
    "unicode-normalization",
];

fn metadata() -> Value {
    let text = cargo(&[
        "metadata",
        "--format-version",
        "1",
        "--locked",
        "--offline",
        "--no-deps",
    ]);
    serde_json::from_str(&text).expect("cargo metadata writes JSON")
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
    for package in list(&metadata, "packages") {
        let name = text(package, "name");
        seen.insert(name);
        let Some((_, allowed)) = ALLOWED.iter().find(|(crate_name, _)| *crate_name == name) else {
            wrong.push(format!("{name} is not in the table"));
            continue;
        };
        for dependency in list(package, "dependencies") {
            let on = text(dependency, "name");
            // Anybody's tests may start peers and count allocations.
            let is_for_tests =
                matches!(on, "tekseal-harness" | "tekseal-counting") && dependency["kind"] == "dev";
            if on.starts_with("tekseal-") && !allowed.contains(&on) && !is_for_tests {
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
    let mut wrong = Vec::new();
    for (root, forbidden) in [
        ("tekseal-core", FORBIDDEN_IN_CORE),
        ("tekseal-signing", FORBIDDEN_IN_SIGNING),
        ("tekseal-steps", FORBIDDEN_IN_PROGRAMS),
        ("tekseal-controller", FORBIDDEN_IN_PROGRAMS),
    ] {
        let reached = closure(root);
        assert!(
            reached.len() > 10,
            "the closure of {root} is only {reached:?}"
        );
        wrong.extend(
            forbidden
                .iter()
                .filter(|name| reached.contains(**name))
                .map(|name| format!("{root} reaches {name}")),
        );
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Names of all packages that a build of `root` alone uses on this platform.
fn closure(root: &str) -> BTreeSet<String> {
    let tree = [
        "tree",
        "--locked",
        "--offline",
        "--edges",
        "normal",
        "--prefix",
        "none",
        "--format",
        "{p}",
        "--package",
        root,
    ];
    let text = cargo(&tree);
    text.lines()
        .filter_map(|line| line.split(' ').next())
        .map(str::to_owned)
        .collect()
}

fn cargo(args: &[&str]) -> String {
    let output = Command::new(env!("CARGO"))
        .args(args)
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .output()
        .expect("cargo is there, it runs this test");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).expect("cargo writes UTF-8")
}
