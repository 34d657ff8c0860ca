//! What is accepted, by whose word, and what is told of it; and what is missing where something is asked for that did not come.

use serde_json::{Value, json};
use tekseal_harness::{Registry, Run};

use super::{IDENTITY, ISSUER, file, hints, refused, replayed, root, verify};

/// One recording: who signed, what is asked for, and what is told of the log and of times.
struct Case {
    case: &'static str,
    who: Who,
    only: &'static str,
    flags: &'static [&'static str],
    /// Index, kind and time of each entry.
    logged: &'static [(u64, &'static str, Option<i64>)],
    stamped: &'static [i64],
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Who {
    Key,
    Certificate,
}

use Who::{Certificate, Key};

const UNLOGGED: &[&str] = &["--insecure-ignore-tlog"];
const STAMPED: &[&str] = &["--use-signed-timestamps"];
const ONLY_STAMPED: &[&str] = &["--use-signed-timestamps", "--insecure-ignore-tlog"];

#[rustfmt::skip]
const CASES: &[Case] = &[
    // Signed with a key.
    Case { case: "sign-v2-notlog", who: Key, only: "signature", flags: UNLOGGED, logged: &[], stamped: &[] },
    Case { case: "sign-v3-legacy-notlog", who: Key, only: "signature", flags: UNLOGGED, logged: &[], stamped: &[] },
    Case { case: "sign-v3-bundle-notlog", who: Key, only: "signature", flags: UNLOGGED, logged: &[], stamped: &[] },
    Case { case: "sign-v2-oci11", who: Key, only: "signature", flags: UNLOGGED, logged: &[], stamped: &[] },
    Case { case: "sign-v2-rekor1", who: Key, only: "signature", flags: &[], logged: &[(44, "hashedrekord 0.0.1", Some(1_795_406_112))], stamped: &[] },
    Case { case: "sign-v2-rekor1", who: Key, only: "signature", flags: UNLOGGED, logged: &[(44, "hashedrekord 0.0.1", Some(1_795_406_112))], stamped: &[] },
    Case { case: "sign-v3-legacy-rekor1", who: Key, only: "signature", flags: &[], logged: &[(45, "hashedrekord 0.0.1", Some(1_795_406_113))], stamped: &[] },
    Case { case: "sign-v3-bundle-rekor1", who: Key, only: "signature", flags: &[], logged: &[(46, "dsse 0.0.1", Some(1_795_406_114))], stamped: &[] },
    Case { case: "sign-v3-bundle-rekor2-tsa", who: Key, only: "signature", flags: STAMPED, logged: &[(15, "hashedrekord 0.0.2", None)], stamped: &[1_795_406_114] },
    Case { case: "sign-v3-bundle-rekor2-tsa", who: Key, only: "signature", flags: &[], logged: &[(15, "hashedrekord 0.0.2", None)], stamped: &[1_795_406_114] },
    Case { case: "sign-v2-tsa-notlog", who: Key, only: "signature", flags: ONLY_STAMPED, logged: &[], stamped: &[1_795_406_115] },
    // Attested with a key.
    Case { case: "attest-v2-rekor1-dsse", who: Key, only: "attestation", flags: &[], logged: &[(47, "dsse 0.0.1", Some(1_795_406_125)), (48, "dsse 0.0.1", Some(1_795_406_126))], stamped: &[] },
    Case { case: "attest-v2-rekor1-intoto", who: Key, only: "attestation", flags: &[], logged: &[(49, "intoto 0.0.1", Some(1_795_406_127))], stamped: &[] },
    Case { case: "attest-v3-legacy-rekor1", who: Key, only: "attestation", flags: &[], logged: &[(50, "dsse 0.0.1", Some(1_795_406_130))], stamped: &[] },
    Case { case: "attest-v3-bundle-rekor1", who: Key, only: "attestation", flags: &[], logged: &[(51, "dsse 0.0.1", Some(1_795_406_132))], stamped: &[] },
    Case { case: "attest-v3-bundle-rekor2-tsa", who: Key, only: "attestation", flags: STAMPED, logged: &[(16, "hashedrekord 0.0.2", None)], stamped: &[1_795_406_132] },
    Case { case: "sign-and-attest-v2-rekor1", who: Key, only: "signature", flags: &[], logged: &[(52, "hashedrekord 0.0.1", Some(1_795_406_135))], stamped: &[] },
    Case { case: "sign-and-attest-v2-rekor1", who: Key, only: "attestation", flags: &[], logged: &[(53, "dsse 0.0.1", Some(1_795_406_135))], stamped: &[] },
    // Signed and attested without a key.
    Case { case: "keyless-v2-rekor1", who: Certificate, only: "signature", flags: &[], logged: &[(54, "hashedrekord 0.0.1", Some(1_795_406_139))], stamped: &[] },
    Case { case: "keyless-v2-rekor1", who: Certificate, only: "signature", flags: UNLOGGED, logged: &[(54, "hashedrekord 0.0.1", Some(1_795_406_139))], stamped: &[] },
    Case { case: "keyless-v2-rekor1", who: Certificate, only: "attestation", flags: &[], logged: &[(55, "dsse 0.0.1", Some(1_795_406_139))], stamped: &[] },
    Case { case: "keyless-v2-rekor1-nosct", who: Certificate, only: "signature", flags: &["--insecure-ignore-sct"], logged: &[(56, "hashedrekord 0.0.1", Some(1_795_406_140))], stamped: &[] },
    Case { case: "keyless-v3-legacy-rekor1", who: Certificate, only: "signature", flags: &[], logged: &[(57, "hashedrekord 0.0.1", Some(1_795_406_142))], stamped: &[] },
    Case { case: "keyless-v3-legacy-rekor1", who: Certificate, only: "attestation", flags: &[], logged: &[(58, "dsse 0.0.1", Some(1_795_406_142))], stamped: &[] },
    Case { case: "keyless-v3-bundle-rekor1", who: Certificate, only: "signature", flags: &[], logged: &[(59, "dsse 0.0.1", Some(1_795_406_143))], stamped: &[] },
    Case { case: "keyless-v3-bundle-rekor2-tsa", who: Certificate, only: "signature", flags: STAMPED, logged: &[(17, "hashedrekord 0.0.2", None)], stamped: &[1_795_406_144] },
    Case { case: "keyless-v3-bundle-rekor2-tsa", who: Certificate, only: "attestation", flags: &[], logged: &[(18, "hashedrekord 0.0.2", None)], stamped: &[1_795_406_145] },
];

/// Flags that say who must have signed, and what is trusted.
fn flags(who: Who) -> Vec<String> {
    let flags = match who {
        Key => vec!["--key".to_owned(), file("a.pub")],
        Certificate => [
            "--certificate-identity",
            IDENTITY,
            "--certificate-oidc-issuer",
            ISSUER,
        ]
        .map(str::to_owned)
        .to_vec(),
    };
    [flags, vec!["--trusted-root".to_owned(), root()]].concat()
}

fn ask(who: Who, only: &str) -> Run {
    verify(&["--only", only]).args(flags(who))
}

#[test]
fn who_signed_where_it_was_logged_and_when_is_told_to_people_and_programs() {
    let registry = Registry::start();
    for of in CASES {
        let image = replayed(&registry, of.case);
        let run = || ask(of.who, of.only).args(of.flags).arg(&image);
        let report = run().args(["--output", "json"]).ok().json()[0].clone();
        let items = report[format!("{}s", of.only)].as_array().cloned();
        let items = items.unwrap_or_default();
        let all = |name: &str| -> Vec<Value> {
            let of_item = |item: &Value| item[name].as_array().cloned().unwrap_or_default();
            items.iter().flat_map(of_item).collect()
        };
        let logged = all("logEntries");
        let wanted = of.logged.iter().map(|(index, kind, time)| {
            let mut entry = json!({"logIndex": index, "kind": kind});
            if let Some(time) = time {
                entry["integratedTime"] = json!(time);
            }
            entry
        });
        let found = logged.iter().map(|entry| {
            let mut entry = entry.clone();
            let id = entry
                .as_object_mut()
                .and_then(|entry| entry.remove("logId"));
            let id = id.as_ref().and_then(Value::as_str).unwrap_or_default();
            assert_eq!(id.len(), 64, "{entry}");
            entry
        });
        assert!(found.eq(wanted), "{}: {logged:?}", of.case);
        let authority = "http://127.0.0.1:3058/api/v1/timestamp";
        let wanted = of
            .stamped
            .iter()
            .map(|time| json!({"authority": authority, "time": time}));
        assert!(wanted.eq(all("timestamps")), "{}: {report}", of.case);
        let is_certified = of.who == Certificate;
        for item in &items {
            let told = (&item["identity"], &item["issuer"]);
            let wanted = match of.who {
                Key => (Value::Null, Value::Null),
                Certificate => (json!(IDENTITY), json!(ISSUER)),
            };
            assert_eq!(told, (&wanted.0, &wanted.1), "{}", of.case);
        }
        let has = |flag: &str| of.flags.contains(&flag);
        let checked = json!({
            "signature": true, "subject": true,
            "transparencyLog": !has("--insecure-ignore-tlog"),
            "timestamp": has("--use-signed-timestamps"),
            "certificateLog": is_certified && !has("--insecure-ignore-sct"),
        });
        assert_eq!(report["checked"], checked, "{}", of.case);

        let text = run().ok();
        assert_eq!(text.stdout.lines().count(), items.len(), "{text:?}");
        let who = format!(" identity={IDENTITY} issuer={ISSUER}");
        assert!(
            text.stdout
                .lines()
                .all(|line| line.contains(&who) == is_certified),
            "{text:?}"
        );
        for (index, ..) in of.logged {
            assert!(
                text.stdout.contains(&format!(" log-index={index}")),
                "{text:?}"
            );
        }
        for time in of.stamped {
            assert!(
                text.stdout.contains(&format!(" timestamp={time}")),
                "{text:?}"
            );
        }
        assert!(
            !text.stderr.contains("the transparency log was not checked"),
            "{text:?}"
        );
    }
}

#[test]
fn what_is_asked_for_and_did_not_come_is_named() {
    const NOT_LOGGED: &str = "signature not found in transparency log";
    const NOT_STAMPED: &str = "no timestamp of a trusted authority came with the signature";
    const NO_SCT: &str = "the certificate does not include the required embedded SCT";
    const EXPIRED: &str = "certificate expired before observed time";
    #[rustfmt::skip]
    let cases = [
        ("sign-v2-notlog", Key, "signature", &[][..], NOT_LOGGED),
        ("sign-v3-bundle-notlog", Key, "signature", &[], NOT_LOGGED),
        ("sign-v2-oci11", Key, "signature", &[], NOT_LOGGED),
        ("sign-v2-tsa-notlog", Key, "signature", STAMPED, NOT_LOGGED),
        ("attest-v2-notlog", Key, "attestation", &[], NOT_LOGGED),
        ("attest-v3-bundle-notlog", Key, "attestation", &[], NOT_LOGGED),
        ("sign-v2-notlog", Key, "signature", ONLY_STAMPED, NOT_STAMPED),
        ("sign-v2-rekor1", Key, "signature", STAMPED, NOT_STAMPED),
        ("sign-v3-bundle-rekor1", Key, "signature", STAMPED, NOT_STAMPED),
        ("attest-v2-rekor1-dsse", Key, "attestation", STAMPED, NOT_STAMPED),
        ("keyless-v3-bundle-rekor1", Certificate, "signature", STAMPED, NOT_STAMPED),
        ("keyless-v2-rekor1-nosct", Certificate, "signature", &[], NO_SCT),
        // Its own word is no time, and its log was not asked; but what is there is judged all the same.
        ("sign-v2-notlog", Certificate, "signature", &[], "no certificate found on signature"),
        ("sign-v3-bundle-notlog", Certificate, "signature", &[], "no certificate found on signature"),
        ("keyless-v2-rekor1", Key, "signature", &[], "none of 1 signature(s) is valid under"),
        ("keyless-v3-bundle-rekor1", Key, "signature", &[], "none of 1 signature(s) is valid under"),
    ];
    let registry = Registry::start();
    for (case, who, only, flags, wanted) in cases {
        let image = replayed(&registry, case);
        refused(ask(who, only).args(flags).arg(image), 1, wanted);
    }
    // What nobody can say when it was made was made now.
    let mut bundle = super::specimen::Specimen::signature("keyless-v2-rekor1");
    bundle.without_annotation(super::specimen::ENTRY);
    let image = bundle.publish(&registry, "timeless");
    refused(
        ask(Certificate, "signature").args(UNLOGGED).arg(image),
        1,
        EXPIRED,
    );
}

#[test]
fn identity_and_issuer_must_both_be_as_asked_for_exactly_or_by_pattern() {
    const CASES: [&str; 3] = [
        "keyless-v2-rekor1",
        "keyless-v3-bundle-rekor1",
        "keyless-v3-bundle-rekor2-tsa",
    ];
    #[rustfmt::skip]
    let rules = [
        (["--certificate-identity", IDENTITY, "--certificate-oidc-issuer", ISSUER], true),
        (["--certificate-identity-regexp", "^https://kubernetes\\.io/.*/chains-set[0-9]$", "--certificate-oidc-issuer", ISSUER], true),
        (["--certificate-identity", IDENTITY, "--certificate-oidc-issuer-regexp", "^http://127\\.0\\.0\\.1:[0-9]+$"], true),
        (["--certificate-identity-regexp", "chains", "--certificate-oidc-issuer-regexp", "127"], true),
        (["--certificate-identity", "https://example.com/other", "--certificate-oidc-issuer", ISSUER], false),
        (["--certificate-identity", IDENTITY, "--certificate-oidc-issuer", "http://127.0.0.1:3058"], false),
        (["--certificate-identity", &IDENTITY[..IDENTITY.len() - 1], "--certificate-oidc-issuer", ISSUER], false),
        (["--certificate-identity", ".*", "--certificate-oidc-issuer", ISSUER], false),
        (["--certificate-identity-regexp", "^chains", "--certificate-oidc-issuer", ISSUER], false),
        (["--certificate-identity-regexp", "chains-set$", "--certificate-oidc-issuer", ISSUER], false),
        (["--certificate-identity-regexp", "chains", "--certificate-oidc-issuer-regexp", "^127"], false),
    ];
    let registry = Registry::start();
    for case in CASES {
        let image = replayed(&registry, case);
        for (rule, is_accepted) in rules {
            let run = verify(&["--only", "signature", "--trusted-root", &root()]);
            let run = run.args(rule).arg(&image);
            if is_accepted {
                run.ok();
                continue;
            }
            let said = refused(
                run,
                1,
                "the certificate is of somebody else: none of the expected identities matched",
            );
            let told = format!("got subjects [{IDENTITY}] with issuer {ISSUER}");
            assert!(said.stderr.contains(&told), "{said:?}");
        }
    }
}

#[test]
fn with_a_key_alone_nothing_that_came_along_is_judged_and_the_program_says_so() {
    let registry = Registry::start();
    for case in ["sign-v2-rekor1", "sign-v3-bundle-rekor2-tsa"] {
        let image = replayed(&registry, case);
        let said = super::by_key(&[]).arg(&image).ok();
        assert!(
            said.stderr.contains("the transparency log was not checked"),
            "{said:?}"
        );
        assert!(!said.stdout.contains("log-index="), "{said:?}");
        let said = super::by_key(UNLOGGED).arg(&image).ok();
        assert!(!said.stderr.contains("the transparency log"), "{said:?}");
    }
}

#[test]
fn keys_of_other_kinds_verify_with_the_hash_that_cosign_signs_with() {
    let registry = Registry::start();
    #[rustfmt::skip]
    let cases = [
        ("rsa", &[][..], true),
        ("p384", &["--signature-digest-algorithm", "sha384"], true),
        ("p384", &[], false),
        ("p521", &["--signature-digest-algorithm", "sha512"], true),
        ("p521", &[], false),
        ("ed", &[], false),
    ];
    for (key, flags, is_accepted) in cases {
        for case in [format!("sign-v2-{key}"), format!("sign-v3-bundle-{key}")] {
            let image = replayed(&registry, &case);
            let public = file(&format!("{key}.pub"));
            let run = verify(&["--only", "signature", "--key", &public])
                .args(flags)
                .arg(image);
            if is_accepted {
                run.ok();
                continue;
            }
            let said = refused(run, 1, "none of 1 signature(s) is valid under");
            let wanted = match key {
                "p384" => "try --signature-digest-algorithm sha384",
                "p521" => "try --signature-digest-algorithm sha512",
                _ => "it makes Ed25519ph signatures",
            };
            assert!(hints(&said, wanted), "{said:?}");
        }
    }
}
