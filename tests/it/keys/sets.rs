//! Sets of keys: made and continued by `tekseal-keys set`, and what verifies with them, when.

use std::fs;
use std::path::Path;

use serde_json::Value;
use tekseal_harness::{Registry, Run, fixtures};

use super::{keys, recorded, server, signed, verify};
use crate::workshop::Workshop;

/// The image of the recordings, which were made on the day after this one.
const IMAGE: &str = "sha256:3cefb2529ade9fec1ec2fd816e268e7651fb46b63c50899b2c3f08d1ae9528e8";
const BEFORE: &str = "2026-11-22T00:00:00Z";
const AFTER: &str = "2026-11-24T00:00:00Z";

/// A set with the key `a` of the recordings, in use from one time on, and perhaps until another.
fn set_of_a(path: &Path, start: &str, end: Option<&str>) -> String {
    let out = path.display().to_string();
    let a = recorded("a.pub");
    keys(&[
        "set", "--add", &a, "--name", "a", "--at", start, "--out", &out,
    ])
    .ok()
    .says("wrote key set");
    if let Some(end) = end {
        keys(&[
            "set", "--from", &out, "--end", "a", "--at", end, "--out", &out,
        ])
        .ok();
    }
    out
}

/// A recording in the registry, to be verified with a set.
fn with_set(registry: &Registry, case: &str, set: &str) -> Run {
    let only = match case.starts_with("attest") {
        true => "attestation",
        false => "signature",
    };
    Run::tool("tekseal-verify")
        .env("TEKSEAL_RETRY_FOR", "1")
        .args(["--only", only, "--insecure-ignore-tlog", "--keys", set])
        .arg(registry.reference(case, IMAGE))
}

#[test]
fn a_key_that_was_retired_verifies_what_a_log_or_an_authority_had_before() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = |name: &str| folder.path().join(name);
    let in_use = set_of_a(&path("in-use.json"), BEFORE, None);
    let retired = set_of_a(&path("retired.json"), BEFORE, Some(AFTER));
    let too_early = set_of_a(&path("early.json"), "2026-01-01T00:00:00Z", Some(BEFORE));
    let later = set_of_a(&path("later.json"), AFTER, None);
    let root = recorded("trusted_root.json");
    let registry = Registry::start();
    for (case, is_proven) in [
        ("sign-v2-rekor1", true),
        ("sign-v3-bundle-rekor1", true),
        ("sign-v3-bundle-rekor2-tsa", true),
        ("sign-v2-tsa-notlog", true),
        ("attest-v2-rekor1-dsse", true),
        ("attest-v3-bundle-rekor2-tsa", true),
        ("sign-v2-notlog", false),
        ("attest-v3-bundle-notlog", false),
    ] {
        registry.replay(&fixtures().join("cosign-samples").join(case), case);
        let trusting = |set: &str| with_set(&registry, case, set).args(["--trusted-root", &root]);
        trusting(&in_use).ok();
        with_set(&registry, case, &in_use).ok();
        // A proof is worth nothing where nobody is trusted to give it.
        with_set(&registry, case, &retired)
            .fails_with(1)
            .says("which ended at 2026-11-24T00:00:00Z, and nothing proves when it was signed")
            .says("with --trusted-root the entry of a log or a timestamp proves");
        match is_proven {
            true => {
                trusting(&retired).ok();
                for set in [&too_early, &later] {
                    trusting(set)
                        .fails_with(1)
                        .says("proven to be made at 2026-11-23T03:55")
                        .says("when that key was not in use");
                }
            }
            false => {
                trusting(&retired)
                    .fails_with(1)
                    .says("nothing proves when it was signed");
            }
        }
    }
}

#[test]
fn a_set_is_read_from_where_keys_are_read_and_by_all_that_verify() {
    let (shop, public) = signed();
    let public = public.display().to_string();
    let set = keys(&["set", "--add", &public]).ok().stdout;
    let file = shop.file("keys.json", &set).display().to_string();
    let web = server();
    web.on("GET", "/keys.json").answer(200, &[], set.as_bytes());
    let url = format!("http://{}/keys.json", web.address());
    for reference in [&file, &url] {
        verify(&shop, &["--keys", reference]).ok();
    }
    verify(&shop, &["--keys", "env://KEYS"])
        .env("KEYS", &set)
        .ok();
    Run::tool("tekseal-wait")
        .args(["--keys", &file, "--image", &shop.image, "--timeout", "10s"])
        .ok();
    Run::tool("tekseal-policy")
        .args(["check", "--only", "signature", "--keys", &file, &shop.image])
        .ok();
    // Empty is absent, as Tekton gives what nobody set.
    verify(&shop, &["--key", &public])
        .env("TEKSEAL_KEYS", "")
        .ok();
    let identity = [
        "--certificate-identity",
        "a",
        "--certificate-oidc-issuer",
        "b",
    ];
    let identity = [&["--keys", &file[..]][..], &identity].concat();
    for (flags, wanted) in [
        (
            &["--keys", &file[..], "--key", &public][..],
            "--key and --keys are both given",
        ),
        (
            &identity,
            "--keys and --certificate-identity are both given",
        ),
        (&["--keys", &public], "reading the key set"),
        (&["--keys", "hashivault://k"], "no service has one"),
        (&["--keys", "absent.json"], "absent.json"),
        (&["--keys", &url, "--offline"], "is not on this machine"),
    ] {
        verify(&shop, flags).fails_with(2).says(wanted);
    }
    let (_, other) = shop.key_pair("other");
    let other = keys(&["set", "--add", &other.display().to_string()])
        .ok()
        .stdout;
    let other = shop.file("other.json", other).display().to_string();
    verify(&shop, &["--keys", &other])
        .fails_with(1)
        .says("signed with a key that the set does not have");
}

#[test]
fn what_is_no_set_is_refused_with_the_place() {
    let shop = Workshop::new();
    let a = recorded("a.pub");
    let good = keys(&["set", "--add", &a, "--at", BEFORE]).ok().stdout;
    for (from, to, wanted) in [
        ("version=0.1", "version=1", "the media type"),
        (
            "\"start\"",
            "\"begin\"",
            "\"keys[0].publicKey.validFor.begin\" is no member of a key set",
        ),
        (
            "\"start\"",
            "\"end\"",
            "keys[0].publicKey.validFor.start is missing",
        ),
        ("2026-11-22", "2026-22-11", "is not a time"),
        (
            "\"rawBytes\": \"MF",
            "\"rawBytes\": \"AA",
            "cannot use the key",
        ),
        (
            "{\n  \"mediaType\"",
            "{\"keys\": [],\n  \"mediaType\"",
            "not JSON that every reader understands alike",
        ),
    ] {
        assert!(good.contains(from), "{from} in {good}");
        let set = shop.file("bad.json", good.replacen(from, to, 1));
        verify(&shop, &["--keys", &set.display().to_string()])
            .fails_with(2)
            .says(wanted);
    }
    let huge = shop.file("huge.json", " ".repeat(2 << 20));
    verify(&shop, &["--keys", &huge.display().to_string()]).fails_with(2);
}

#[test]
fn a_set_is_continued_and_never_half_written() {
    let shop = Workshop::new();
    let file = shop.path("keys.json").display().to_string();
    let (a, b) = (recorded("a.pub"), recorded("b.pub"));
    let set = |arguments: &[&str]| keys(&[&["set", "--out", &file][..], arguments].concat());
    set(&["--add", &a, "--name", "first", "--at", BEFORE]).ok();
    set(&["--from", &file, "--add", &b, "--at", AFTER]).ok();
    set(&[
        "--from",
        &file,
        "--end",
        "first",
        "--at",
        "2026-11-25T00:00:00Z",
    ])
    .ok();
    let before = fs::read_to_string(&file).expect("it was written");
    let document: Value = serde_json::from_str(&before).expect("JSON");
    let told: Vec<_> = document["keys"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|key| (key["name"].clone(), key["publicKey"]["validFor"].clone()))
        .collect();
    assert_eq!(
        told,
        [
            (
                "first".into(),
                serde_json::json!({"start": BEFORE, "end": "2026-11-25T00:00:00Z"})
            ),
            (b.clone().into(), serde_json::json!({"start": AFTER})),
        ]
    );
    for (arguments, wanted) in [
        (
            &["--from", &file[..], "--end", "first"][..],
            "no key of the set that is in use is called \"first\"",
        ),
        (
            &["--from", &file, "--add", &b],
            "is in the set, and in use at that time",
        ),
        (
            &["--from", &file, "--end", &b, "--at", BEFORE],
            "is not in use yet at that time",
        ),
        (&["--from", &file, "--at", "tomorrow", "--add", &a], "--at"),
        (&["--from", &file, "--name", "x"], "--name is given"),
        (&[], "there is no key in it"),
    ] {
        set(arguments).fails_with(2).says(wanted);
        let after = fs::read_to_string(&file).expect("it is there");
        assert_eq!(after, before, "{arguments:?}");
    }
}
