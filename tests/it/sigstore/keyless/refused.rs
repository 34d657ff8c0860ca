//! Tokens that cannot be good, a Fulcio that refuses or does not tell the truth, and flags that contradict each other: nothing is published.

use std::fs;

use serde_json::{Value, json};
use tekseal_harness::{Certifying, Moment, Proxy, Run, unsigned_token};

use super::{Stand, claims, now, stamped};
use crate::sigstore::artifacts::IDENTITY;
use crate::sigstore::ours::{nothing_is_stored, shared_log};

#[test]
fn a_token_that_cannot_be_good_is_refused_by_name_and_sent_nowhere() {
    let Some(stand) = Stand::honest() else { return };
    let fulcio = Proxy::start(stand.certifier.address());
    let url = format!("http://{}", fulcio.address());
    let changed = |name: &str, value: Value| {
        let mut claims = claims();
        claims[name] = value;
        unsigned_token(&claims)
    };
    let good = unsigned_token(&claims());
    let (head, rest) = good.split_once('.').expect("three parts");
    let none = rest.rsplit_once('.').expect("three parts").0;
    for (token, wanted) in [
        (
            changed("exp", json!(now() - 5)),
            "the identity token ended at",
        ),
        (
            changed("nbf", json!(now() + 3600)),
            "the identity token is valid from",
        ),
        (
            changed("aud", json!("https://kubernetes.default.svc")),
            "must be for sigstore",
        ),
        (format!("{head}.{none}."), "signed by nobody"),
        ("not a token".to_owned(), "malformed"),
        (String::new(), "it is empty"),
        (format!("{head}.AAAA.AAAA"), "malformed"),
    ] {
        fs::write(&stand.token, &token).expect("ours");
        let said = stamped(stand.attesting_at(&url, "tags")).fails_with(2);
        assert!(said.stderr.contains(wanted), "{wanted}: {said:?}");
        assert!(!said.stderr.contains("eyJ"), "{said:?}");
    }
    fs::remove_file(&stand.token).expect("ours");
    let said = stamped(stand.attesting_at(&url, "tags")).fails_with(2);
    let name = stand.token.display().to_string();
    assert!(said.stderr.contains(&name), "{said:?}");
    assert!(said.stderr.contains("audience sigstore"), "{said:?}");
    assert_eq!(fulcio.count(), 0);
    nothing_is_stored(&stand.shop);
}

#[test]
fn what_fulcio_answers_that_is_not_ours_to_use_signs_nothing() {
    let lie = |change: fn(&mut Certifying), code: i32, wanted: &str| {
        let Some(stand) = Stand::with(change) else {
            return;
        };
        let log = Proxy::start(shared_log().address());
        let run = stamped(stand.attesting("bundle"));
        let said = run
            .args(["--tlog", "v2", "--rekor-url"])
            .arg(format!("http://{}", log.address()))
            .fails_with(code);
        assert!(said.stderr.contains(wanted), "{wanted}: {said:?}");
        assert_eq!(log.count(), 0, "nobody was shown a signature");
        nothing_is_stored(&stand.shop);
    };
    lie(
        |one| one.name = IDENTITY.replace("team", "evil"),
        3,
        "namespaces/evil",
    );
    lie(
        |one| one.issuer = "https://other.example".to_owned(),
        3,
        "https://other.example",
    );
    lie(
        |one| one.valid = (one.valid.0 - 900, one.valid.0 - 1),
        3,
        "and it is",
    );
    lie(
        |one| {
            let last = one.key.len() - 1;
            one.key[last] ^= 1;
        },
        3,
        "the certificate is for another key",
    );
    // The authority of the trusted root is another one.
    let (Some(stand), Some(other)) = (Stand::honest(), Stand::honest()) else {
        return;
    };
    let said = stamped(stand.attesting_at(&other.certifier.url(), "tags")).fails_with(2);
    assert!(said.stderr.contains("no verifier that trusts"), "{said:?}");
    nothing_is_stored(&stand.shop);
}

#[test]
fn a_fulcio_that_refuses_or_hangs_is_told() {
    let Some(stand) = Stand::honest() else { return };
    let fulcio = Proxy::start(stand.certifier.address());
    let url = format!("http://{}", fulcio.address());
    let told = br#"{"code":3,"message":"There was an error processing the identity token"}"#;
    let json = [("Content-Type", "application/json")];
    fulcio
        .on("POST", "/signingCert")
        .first(1)
        .answer(403, &json, told);
    let said = stamped(stand.attesting_at(&url, "tags")).fails_with(2);
    let wanted = "status 403: There was an error processing the identity token";
    assert!(said.stderr.contains(wanted), "{said:?}");
    let gate = fulcio
        .on("POST", "/signingCert")
        .hold(Moment::BeforeForwarding);
    let said = stamped(stand.attesting_at(&url, "tags"))
        .args(["--witness-timeout", "1"])
        .fails_with(3);
    assert!(said.stderr.contains("cannot ask"), "{said:?}");
    gate.release();
    nothing_is_stored(&stand.shop);
}

#[test]
fn what_to_sign_with_is_said_once() {
    let Some(stand) = Stand::honest() else { return };
    let (key, public) = stand.shop.plain_key();
    let refused = |run: Run, wanted: &str| {
        let said = run.fails_with(2);
        assert!(said.stderr.contains(wanted), "{wanted}: {said:?}");
        assert!(!said.stderr.contains("eyJ"), "{said:?}");
        nothing_is_stored(&stand.shop);
    };
    refused(
        stamped(stand.attesting("tags")).arg("--key").arg(&key),
        "--key and --fulcio-url",
    );
    let bare = || {
        let run = Run::tool("tekseal-attest")
            .arg("--run")
            .arg(stand.shop.run());
        run.arg("--trusted-root").arg(&stand.root)
    };
    refused(stamped(bare()), "nothing says what to sign with");
    // Tekton substitutes every parameter, also those that nobody gave.
    refused(
        stamped(bare()).env("TEKSEAL_KEY", ""),
        "nothing says what to sign with",
    );
    let token = unsigned_token(&claims());
    refused(
        stamped(bare()).args(["--identity-token", &token]),
        "is a token itself",
    );
    let both = ["--identity-token", "/t", "--oidc-provider", "envvar"];
    refused(stamped(bare()).args(both), "are both given");
    refused(
        stamped(bare()).args(["--oidc-provider", "gitlab"]),
        "there is no provider",
    );
    let run = bare().arg("--key").arg(&key);
    run.env("TEKSEAL_FULCIO_URL", "")
        .env("TEKSEAL_IDENTITY_TOKEN", "")
        .ok();
    stand.shop.verify(&public).ok();
}
