//! Images that were signed without a key, or logged: recorded from cosign, so that rules meet what others write.

use tekseal_harness::{Output, Registry, Run, fixtures};

use super::{BUILDER, failed};

/// The image that all recordings are of.
const IMAGE: &str = "sha256:3cefb2529ade9fec1ec2fd816e268e7651fb46b63c50899b2c3f08d1ae9528e8";
const IDENTITY: &str = "https://kubernetes.io/namespaces/tekton-chains/serviceaccounts/chains-set1";
const ISSUER: &str = "http://127.0.0.1:3059";
const RULES: [&str; 6] = [
    "--builder-id",
    BUILDER,
    "--source-repository",
    "https://git.example.com/team/app",
    "--source-ref",
    "0123456789abcdef0123456789abcdef01234567",
];

fn key(name: &str) -> String {
    let keys = fixtures().join("cosign-samples/keys");
    keys.join(name).display().to_string()
}

/// Checks a recording with these flags.
fn checked(registry: &Registry, case: &str, flags: &[&str]) -> Output {
    registry.replay(&fixtures().join("cosign-samples").join(case), case);
    Run::tool("tekseal-policy")
        .arg("check")
        .args(flags)
        .arg(registry.reference(case, IMAGE))
        .run()
}

#[test]
fn an_identity_vouches_for_provenance_under_tags_and_in_bundles() {
    let registry = Registry::start();
    let root = key("trusted_root.json");
    let by = |identity| {
        let identity = ["--certificate-identity", identity];
        let trust = ["--certificate-oidc-issuer", ISSUER, "--trusted-root", &root];
        [&identity[..], &trust, &RULES].concat()
    };
    for (case, version, place) in [
        ("keyless-v2-rekor1", "v0.2", "tag sha256-"),
        ("keyless-v3-legacy-rekor1", "v0.2", "tag sha256-"),
        ("keyless-v3-bundle-rekor2-tsa", "v1", "referrer sha256:"),
    ] {
        let flags = [&by(IDENTITY)[..], &["--output", "json"]].concat();
        let said = checked(&registry, case, &flags).ok();
        let all = said.json();
        let checks = all["images"][0]["checks"].as_array().expect("a list");
        let text = |name: &str, member: &str| {
            let check = checks.iter().find(|check| check["name"] == name);
            let check = check.unwrap_or_else(|| panic!("no {name}: {said:?}"));
            check[member].as_str().unwrap_or_default().to_owned()
        };
        assert_eq!(text("signature", "found"), format!("by {IDENTITY}"));
        assert!(text("builder", "place").starts_with(place), "{said:?}");
        assert_eq!(text("provenance", "found"), format!("1 of {version}"));
        assert!(!said.stderr.contains("log was not checked"), "{said:?}");

        let other = checked(&registry, case, &by("https://kubernetes.io/somebody/else"));
        let missing = failed(&other.fails_with(1));
        assert_eq!(missing.len(), 6, "{missing:?}");
    }
}

#[test]
fn a_key_with_a_trusted_root_wants_entries_of_the_log() {
    let registry = Registry::start();
    let (public, root) = (key("a.pub"), key("trusted_root.json"));
    let flags = |root: &[&'static str]| {
        let mut flags = vec!["--key".to_owned(), public.clone()];
        flags.extend(RULES.iter().chain(root).map(|&text| text.to_owned()));
        flags
    };
    let check = |case: &str, flags: Vec<String>| {
        let flags: Vec<_> = flags.iter().map(String::as_str).collect();
        checked(&registry, case, &flags)
    };
    check("sign-and-attest-v2-rekor1", flags(&[])).ok();
    let mut logged = flags(&[]);
    logged.extend(["--trusted-root".to_owned(), root]);
    check("sign-and-attest-v2-rekor1", logged.clone()).ok();
    // An attestation without an entry, and none by that key.
    let unlogged = check(
        "attest-v2-notlog",
        [
            &logged[..],
            &["--only".to_owned(), "attestation".to_owned()],
        ]
        .concat(),
    );
    assert_eq!(failed(&unlogged.fails_with(1))[0], "attestation");
    check("attest-v2-notlog", flags(&["--only", "attestation"])).ok();
}
