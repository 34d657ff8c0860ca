//! `tekseal-policy check` as a process, over images that our own programs have signed and attested.

mod hostile;
mod many;
mod misuse;
mod rules;
mod trusted;

use serde_json::{Value, json};
use tekseal_harness::{Output, Run};

use crate::workshop::Workshop;

pub(crate) const V02: &str = "https://slsa.dev/provenance/v0.2";
const V1: &str = "https://slsa.dev/provenance/v1";
pub(crate) const BUILDER: &str = "https://tekton.dev/chains/v2";
const EVIL: &str = "https://evil.example.com/builder";
pub(crate) const REPOSITORY: &str = "https://git.example.com/acme/app";
const COMMIT: &str = "6b1f53303a732ccc8c6aae6640399827c15250e3";
/// Rules of one kind, which the images of these tests satisfy.
const BUILT: [&str; 2] = ["--builder-id", BUILDER];

/// Provenance v0.2 of a PipelineRun that succeeded, by this builder.
pub(crate) fn v02(builder: &str) -> Value {
    json!({
        "builder": {"id": builder},
        "buildType": "tekton.dev/v1/PipelineRun",
        "buildConfig": {"tasks": [{"name": "build", "status": "Succeeded"}]},
        "invocation": {"configSource": {}, "parameters": {}},
        "materials": [{"uri": format!("git+{REPOSITORY}.git"), "digest": {"sha1": COMMIT}}],
        "metadata": {"buildStartedOn": "2026-03-01T10:00:00Z", "buildFinishedOn": "2026-03-01T10:05:00Z"},
    })
}

/// Provenance v1 by this builder, which does not tell whether the run succeeded.
fn v1(builder: &str) -> Value {
    json!({
        "buildDefinition": {
            "buildType": "https://tekton.dev/chains/v2/slsa",
            "externalParameters": {"runSpec": {}},
            "resolvedDependencies": [{"uri": format!("git+{REPOSITORY}.git"), "digest": {"sha1": COMMIT}, "name": "inputs/result"}],
        },
        "runDetails": {"builder": {"id": builder}, "metadata": {"finishedOn": "2026-03-01T10:05:00Z"}},
    })
}

/// Attests a predicate of this type on the image, with the plain key.
pub(crate) fn attest(shop: &Workshop, image: &str, predicate_type: &str, predicate: &Value) {
    let (key, _) = shop.plain_key();
    let file = shop.file("predicate.json", predicate.to_string());
    Run::tool("tekseal-attest")
        .env("TEKSEAL_RETRY_FOR", "2")
        .arg("--key")
        .arg(key)
        .args(["--type", predicate_type, "--predicate"])
        .arg(file)
        .arg(image)
        .ok();
}

/// Signs the image of the shop, and leaves no attestation on it.
fn sign(shop: &Workshop) {
    let (key, _) = shop.plain_key();
    shop.attest(&key);
    let tag = tag(&shop.digest, "att");
    let manifest = shop.registry.manifest("team/app", &tag);
    let manifest = manifest.expect("it was attested");
    let digest = tekseal_harness::digest(&manifest.bytes);
    shop.registry.delete_manifest("team/app", &digest);
}

/// A signed image with these attestations.
pub(crate) fn attested(predicates: &[(&str, Value)]) -> Workshop {
    let shop = Workshop::new();
    sign(&shop);
    for (predicate_type, predicate) in predicates {
        attest(&shop, &shop.image, predicate_type, predicate);
    }
    shop
}

/// The tag beside an image.
fn tag(digest: &str, suffix: &str) -> String {
    format!("{}.{suffix}", digest.replace(':', "-"))
}

/// `tekseal-policy check` with the plain key and these flags, without an image yet.
fn check(shop: &Workshop, flags: &[&str]) -> Run {
    let (_, public) = shop.plain_key();
    Run::tool("tekseal-policy")
        .env("TEKSEAL_RETRY_FOR", "1")
        .args(["check", "--key"])
        .arg(public)
        .args(flags)
}

/// The image of the shop is judged so.
fn judged(shop: &Workshop, flags: &[&str]) -> Output {
    check(shop, flags).arg(&shop.image).run()
}

/// Passes, and says no.
#[track_caller]
fn passes(shop: &Workshop, flags: &[&str]) -> Output {
    let said = judged(shop, flags).ok();
    assert!(!said.stdout.contains("FAIL"), "{said:?}");
    said
}

/// The names of the rules that do not hold; the exit status is 1.
#[track_caller]
fn failing(shop: &Workshop, flags: &[&str]) -> Vec<String> {
    let said = judged(shop, flags).fails_with(1);
    failed(&said)
}

/// The names of the rules that do not hold by what was printed.
fn failed(said: &Output) -> Vec<String> {
    let lines = said.stdout.lines().filter(|line| line.contains("  found "));
    lines
        .filter_map(|line| line.strip_prefix("FAIL  "))
        .filter_map(|rest| rest.split(' ').next())
        .map(str::to_owned)
        .collect()
}

/// The line about this rule.
#[track_caller]
fn line<'a>(said: &'a Output, rule: &str) -> &'a str {
    let mut lines = said.stdout.lines();
    let is_it = |line: &&str| line.split_whitespace().nth(1) == Some(rule);
    lines
        .find(is_it)
        .unwrap_or_else(|| panic!("no line about {rule}\n{said:?}"))
}
