//! Trusted roots that are none, and flags that mean nothing together: exit status 2, before anything is asked of a registry.

use serde_json::{Value, json};
use tekseal_harness::Registry;

use super::{IDENTITY, ISSUER, error, file, hints, refused, replayed, root, verify, written};

/// Asks nobody: it would take long, and say something else.
const NOWHERE: &str = "registry.invalid/team/app@sha256:3cefb2529ade9fec1ec2fd816e268e7651fb46b63c50899b2c3f08d1ae9528e8";

#[test]
fn flags_that_mean_nothing_together_are_refused_with_a_hint() {
    let (key, root) = (file("a.pub"), root());
    let (name, issuer) = ("--certificate-identity", "--certificate-oidc-issuer");
    let (names, issuers) = (
        "--certificate-identity-regexp",
        "--certificate-oidc-issuer-regexp",
    );
    let trusted = ["--trusted-root", root.as_str()];
    #[rustfmt::skip]
    let cases: &[(&[&str], &str, &str)] = &[
        (&[], "neither a key nor an identity is given", "give --key or --keys; or --certificate-identity"),
        (&trusted, "neither a key nor an identity is given", "give --key or --keys; or --certificate-identity"),
        (&[name, IDENTITY], "--certificate-identity is given without --certificate-oidc-issuer", "give the issuer too"),
        (&[names, "chains"], "--certificate-identity is given without --certificate-oidc-issuer", "give the issuer too"),
        (&[issuer, ISSUER], "--certificate-oidc-issuer is given without --certificate-identity", "say whose signature it must be"),
        (&[name, IDENTITY, issuer, ISSUER], "--certificate-identity needs --trusted-root", "which authorities may name who signed"),
        (&["--key", &key, name, IDENTITY, issuer, ISSUER], "--key and --certificate-identity are both given", "verify twice to accept both"),
        (&["--key", &key, name, IDENTITY, issuer, ISSUER, "--trusted-root", &root], "--key and --certificate-identity are both given", "verify twice"),
        (&["--key", &key, name, IDENTITY], "--certificate-identity is given without", "give the issuer too"),
        (&["--key", &key, "--use-signed-timestamps"], "--use-signed-timestamps needs --trusted-root", "whose times count"),
        (&[name, IDENTITY, names, "chains", issuer, ISSUER], "--certificate-identity and --certificate-identity-regexp are both given", ""),
        (&[name, IDENTITY, issuer, ISSUER, issuers, "127"], "--certificate-oidc-issuer and --certificate-oidc-issuer-regexp are both given", ""),
    ];
    for (flags, wanted, hint) in cases {
        let said = refused(verify(flags).arg(NOWHERE), 2, wanted);
        assert!(hint.is_empty() || hints(&said, hint), "{said:?}");
    }
}

#[test]
fn a_demand_with_nothing_in_it_is_not_left_out() {
    let key = file("a.pub");
    for (empty, flag) in [
        (&["--type="][..], "--type"),
        (&["--type", ""], "--type"),
        (&["--type", "slsaprovenance,"], "--type"),
        (&["--annotations="], "--annotations"),
        (&["-a", ""], "--annotations"),
    ] {
        let flags = [&["--key", key.as_str()], empty].concat();
        let said = verify(&flags).arg(NOWHERE).fails_with(2);
        assert!(said.stderr.contains(flag), "{said:?}");
    }
}

#[test]
fn patterns_that_are_none_or_mean_something_else_to_cosign_are_refused() {
    let root = root();
    let long = "a".repeat(5000);
    #[rustfmt::skip]
    let cases = [
        ("(", "malformed pattern \"(\""),
        ("[", "malformed pattern \"[\""),
        ("*", "malformed pattern \"*\""),
        ("a{2,1}", "malformed pattern \"a{2,1}\""),
        ("\\", "malformed pattern \"\\\\\""),
        ("(?=a)", "malformed pattern \"(?=a)\""),
        ("a{1000}{1000}", "malformed pattern"),
        ("x{,2}", "has a construct that would match something else in cosign"),
        ("\\<a\\>", "has a construct that would match something else in cosign"),
        ("[a[b]", "has a construct that would match something else in cosign"),
        (&long, "a pattern has 5000 bytes, wanted 1 to 4096"),
    ];
    for (pattern, wanted) in cases {
        for flags in [
            [
                "--certificate-identity-regexp",
                pattern,
                "--certificate-oidc-issuer",
                ISSUER,
            ],
            [
                "--certificate-identity",
                IDENTITY,
                "--certificate-oidc-issuer-regexp",
                pattern,
            ],
        ] {
            let run = verify(&["--trusted-root", &root]).args(flags).arg(NOWHERE);
            let said = refused(run, 2, wanted);
            assert!(error(&said).contains("-regexp: "), "{said:?}");
        }
    }
    // Given, and empty: as if not given.
    let empty = [
        "--certificate-identity-regexp",
        "",
        "--certificate-oidc-issuer",
        ISSUER,
    ];
    let run = verify(&["--trusted-root", &root]).args(empty).arg(NOWHERE);
    refused(
        run,
        2,
        "--certificate-oidc-issuer is given without --certificate-identity",
    );
}

/// The trusted root of the recordings, changed.
fn changed(change: impl FnOnce(&mut Value)) -> String {
    let text = std::fs::read(root()).expect("it was recorded");
    let mut root = serde_json::from_slice(&text).expect("it is JSON");
    change(&mut root);
    root.to_string()
}

#[test]
fn a_trusted_root_that_is_none_is_refused_with_what_is_wrong() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let hint = "wanted is Sigstore's trusted_root.json";
    let kind = |kind: &str| changed(|root| root["mediaType"] = json!(kind));
    let key =
        |bytes: &str| changed(|root| root["tlogs"][0]["publicKey"]["rawBytes"] = json!(bytes));
    let other = std::fs::read_to_string(root()).expect("it was recorded");
    let other: Value = serde_json::from_str(&other).expect("it is JSON");
    let of_another = other["ctlogs"][0]["publicKey"]["rawBytes"]
        .as_str()
        .expect("a key");
    #[rustfmt::skip]
    let cases = [
        ("empty", String::new(), "not a JSON object", hint),
        ("not JSON", "-----BEGIN PUBLIC KEY-----".to_owned(), "not a JSON object", hint),
        ("cut", changed(|_| ())[..500].to_owned(), "not JSON that every reader understands alike", hint),
        ("a list", "[]".to_owned(), "not a JSON object", hint),
        ("nothing in it", "{}".to_owned(), "mediaType is missing", hint),
        ("of a later version", kind("application/vnd.dev.sigstore.trustedroot+json;version=0.9"), "is not that of a trusted root of version 0.1 or 0.2", hint),
        ("a bundle", kind("application/vnd.dev.sigstore.bundle.v0.3+json"), "is not that of a trusted root of version 0.1 or 0.2", hint),
        ("a log without key", changed(|root| root["tlogs"][0]["publicKey"] = Value::Null), "tlogs[0].publicKey is missing", hint),
        ("a log of another hash", changed(|root| root["tlogs"][1]["hashAlgorithm"] = json!("SHA2_512")), "tlogs[1].hashAlgorithm is \"SHA2_512\"", hint),
        ("a key that is no base64", key("?"), "tlogs[0].publicKey.rawBytes is not base64", hint),
        ("a key that is none", key("AAAA"), "cannot use the key of the log \"http://127.0.0.1:3055\" at tlogs[0]", ""),
        ("a key of another log", key(of_another), "the log \"http://127.0.0.1:3055\" at tlogs[0] of the trusted root has the id", ""),
        ("a time that is none", changed(|root| root["tlogs"][0]["publicKey"]["validFor"]["start"] = json!("yesterday")), "tlogs[0].publicKey.validFor.start is not a time", hint),
        ("65 logs", changed(|root| root["tlogs"] = json!(vec![root["tlogs"][0].clone(); 65])), "tlogs has 65 items, at most 64 are read", hint),
        ("an authority without certificates", changed(|root| root["certificateAuthorities"][0]["certChain"] = json!({})), "certificateAuthorities[0].certChain.certificates is missing", hint),
        ("5 MB", " ".repeat(5 << 20), "larger than", ""),
    ];
    for (name, content, wanted, hint) in cases {
        let path = written(folder.path(), "root.json", content);
        let run = verify(&["--key", &file("a.pub"), "--trusted-root", &path]).arg(NOWHERE);
        let said = run.run();
        let is_told =
            said.code() == Some(2) && error(&said).contains(wanted) && error(&said).len() < 2000;
        assert!(is_told, "{name}: {wanted:?}\n{said:?}");
        assert!(
            error(&said).contains(&format!("reading the trusted root {path}")),
            "{said:?}"
        );
        assert!(hint.is_empty() || hints(&said, hint), "{name}: {said:?}");
    }
    let absent = folder.path().join("absent.json").display().to_string();
    let run = verify(&["--key", &file("a.pub"), "--trusted-root", &absent]).arg(NOWHERE);
    refused(run, 2, "absent.json");
}

/// Recording, who signed, more flags, the trusted root, and what is said.
type Case<'a> = (&'a str, &'a [String], &'a [&'a str], String, &'a str);

#[test]
fn a_trusted_root_without_what_is_needed_accepts_nothing_that_needs_it() {
    const LOG: &str = "signature not found in transparency log: no entry of a trusted log came with it (1 of others)";
    const STAMP: &str = "no timestamp of a trusted authority came with the signature (1 of others)";
    const ISSUED: &str = "the certificate was not issued by any trusted authority";
    let key = ["--key".to_owned(), file("a.pub")];
    let identity = [
        "--certificate-identity",
        IDENTITY,
        "--certificate-oidc-issuer",
        ISSUER,
    ];
    let identity = identity.map(str::to_owned);
    let none = |list: &'static str| changed(move |root| root[list] = json!([]));
    let retired = |list: &'static str| {
        changed(move |root| {
            let log = &mut root[list][0];
            let of = if list.ends_with("logs") {
                &mut log["publicKey"]
            } else {
                log
            };
            of["validFor"] =
                json!({"start": "2026-01-01T00:00:00Z", "end": "2026-11-01T00:00:00Z"});
        })
    };
    #[rustfmt::skip]
    let cases: &[Case<'_>] = &[
        ("sign-v2-rekor1", &key, &[], none("tlogs"), LOG),
        ("sign-v3-bundle-rekor1", &key, &[], none("tlogs"), LOG),
        ("sign-v3-bundle-rekor2-tsa", &key, &[], none("tlogs"), LOG),
        ("sign-v3-bundle-rekor2-tsa", &key, &["--use-signed-timestamps"], none("timestampAuthorities"), STAMP),
        ("keyless-v2-rekor1", &identity, &[], none("certificateAuthorities"), ISSUED),
        ("keyless-v3-bundle-rekor1", &identity, &[], none("certificateAuthorities"), ISSUED),
        ("keyless-v2-rekor1", &identity, &[], none("ctlogs"), "the embedded SCTs are of logs that are not trusted: 9386a89f"),
        ("keyless-v3-bundle-rekor2-tsa", &identity, &[], none("timestampAuthorities"), "certificate expired before observed time"),
        // What was in use, and was not any more.
        ("sign-v2-rekor1", &key, &[], retired("tlogs"), "the log's key was not in use at the integrated time 1795406112"),
        ("sign-v3-bundle-rekor2-tsa", &key, &[], retired("timestampAuthorities"), "was not in use at 2026-11-23"),
        ("keyless-v2-rekor1", &identity, &[], retired("certificateAuthorities"), "was not in use at 2026-11-23"),
        ("keyless-v2-rekor1", &identity, &[], retired("ctlogs"), "of an embedded SCT was not in use at 2026-11-23"),
    ];
    let registry = Registry::start();
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (case, who, flags, content, wanted) in cases {
        let image = replayed(&registry, case);
        let path = written(folder.path(), "root.json", content);
        let run = verify(&["--only", "signature", "--trusted-root", &path]);
        refused(run.args(*who).args(*flags).arg(image), 1, wanted);
    }
    // One that is not needed may be absent.
    for list in ["certificateAuthorities", "ctlogs", "timestampAuthorities"] {
        let image = replayed(&registry, "sign-v2-rekor1");
        let path = written(folder.path(), "root.json", none(list));
        let run = verify(&["--only", "signature", "--trusted-root", &path]);
        run.args(&key).arg(image).ok();
    }
}

#[test]
fn a_log_of_rekor_2_must_have_the_host_of_its_checkpoints() {
    let registry = Registry::start();
    let image = replayed(&registry, "sign-v3-bundle-rekor2-tsa");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let moved = changed(|root| root["tlogs"][1]["baseUrl"] = json!("http://log.example:3056"));
    let path = written(folder.path(), "root.json", moved);
    let run = verify(&[
        "--only",
        "signature",
        "--key",
        &file("a.pub"),
        "--trusted-root",
        &path,
    ]);
    // The name is part of the id of an Ed25519 key.
    refused(
        run.arg(image),
        2,
        "the log \"http://log.example:3056\" at tlogs[1] of the trusted root has the id",
    );
}
