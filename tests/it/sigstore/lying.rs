//! Logs and timestamp authorities that fail or do not tell the truth: ours says so, and stores nothing.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tekseal_harness::{Answer, Moment, Proxy, RekorV2};

use super::artifacts::Signery;
use super::ours::{attesting, nothing_is_stored, shared_authority, shared_log};
use crate::workshop::Workshop;

/// What a log, or an authority, may answer that is not to be believed: each time it is told, and nothing is stored.
#[test]
fn an_answer_that_does_not_hold_is_told_and_nothing_is_stored() {
    let lie = |change: fn(&mut Value), code: i32, word: &str| {
        let Some(signery) = Signery::basic() else {
            return;
        };
        let log = Proxy::start(shared_log().address());
        log.on("POST", "/log/entries").edit(move |answer| {
            let mut entry: Value = serde_json::from_slice(&answer.body).expect("an entry");
            change(&mut entry);
            answer.body = entry.to_string().into_bytes();
            answer.set_header("Content-Length", &answer.body.len().to_string());
        });
        let shop = Workshop::new();
        let said = attesting(&shop, &signery, "bundle")
            .args(["--tlog", "v2", "--rekor-url"])
            .arg(format!("http://{}", log.address()))
            .fails_with(code);
        assert!(said.stderr.contains(word), "{word}: {said:?}");
        nothing_is_stored(&shop);
    };
    lie(
        |entry| entry["inclusionProof"]["rootHash"] = json!("A".repeat(43) + "="),
        3,
        "another root hash",
    );
    lie(
        |entry| {
            let text = entry["inclusionProof"]["checkpoint"]["envelope"].take();
            let text = text.as_str().expect("a note").to_owned();
            let (note, _) = text.rsplit_once(' ').expect("a signature");
            let forged = format!("{note} {}=\n", "A".repeat(91));
            entry["inclusionProof"]["checkpoint"]["envelope"] = json!(forged);
        },
        3,
        "checkpoint",
    );
    lie(
        |entry| entry["inclusionProof"] = Value::Null,
        3,
        "no inclusionProof",
    );
    lie(
        |entry| entry["canonicalizedBody"] = json!("e30="),
        3,
        "body of the log entry",
    );
    lie(|entry| *entry = json!({"hello": "world"}), 3, "is missing");
    lie(
        |entry| entry["logId"]["keyId"] = json!("A".repeat(43) + "="),
        2,
        "which the trusted root does not have",
    );
}

#[test]
fn the_entry_of_another_signature_is_none_of_this_one() {
    let (Some(signery), Some(other_signery)) = (Signery::basic(), Signery::basic()) else {
        return;
    };
    let first = Proxy::start(shared_log().address());
    let log = |proxy: &Proxy| format!("http://{}", proxy.address());
    let shop = Workshop::new();
    let answers = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&answers);
    first.on("POST", "/log/entries").edit(move |answer| {
        kept.lock()
            .expect("no test panicked")
            .push(answer.body.clone());
    });
    let attest = |shop: &Workshop, signery: &Signery, url: &str| {
        attesting(shop, signery, "bundle").args(["--tlog", "v2", "--rekor-url", url])
    };
    attest(&shop, &other_signery, &log(&first)).ok();
    let other = answers.lock().expect("no test panicked")[0].clone();
    let lying = Proxy::start(shared_log().address());
    lying
        .on("POST", "/log/entries")
        .answer(201, &[("Content-Type", "application/json")], &other);
    let shop = Workshop::new();
    let said = attest(&shop, &signery, &log(&lying)).fails_with(3);
    assert!(said.stderr.contains("of another signature"), "{said:?}");
    nothing_is_stored(&shop);
}

#[test]
fn a_log_of_which_the_trusted_root_knows_nothing_is_not_believed() {
    let (Some(signery), Some(other)) = (Signery::basic(), RekorV2::start()) else {
        return;
    };
    let shop = Workshop::new();
    let said = attesting(&shop, &signery, "bundle")
        .args(["--tlog", "v2", "--rekor-url"])
        .arg(other.url())
        .fails_with(2);
    let text = "which the trusted root does not have";
    assert!(said.stderr.contains(text), "{said:?}");
    nothing_is_stored(&shop);
}

/// Whoever has the key of a log that was retired can vouch for anything: for a verifier that reads it later as of a time when that was good.
#[test]
fn a_log_or_an_authority_that_is_out_of_use_is_not_believed() {
    let Some(signery) = Signery::basic() else {
        return;
    };
    let shop = Workshop::new();
    let root = std::fs::read(signery.trusted_root()).expect("it is there");
    let root: Value = serde_json::from_slice(&root).expect("JSON");
    let retired = |kind: &str, place: &str| {
        let mut root = root.clone();
        for one in root[kind].as_array_mut().expect("a list") {
            let one = one.pointer_mut(place).expect("it is there");
            one["validFor"] =
                json!({"start": "2020-01-01T00:00:00Z", "end": "2025-12-31T23:59:59Z"});
        }
        shop.file(&format!("{kind}.json"), root.to_string())
    };
    let attest = |root: &std::path::Path| {
        let run = shop.attest_command(&shop.run(), &signery.key);
        run.args(["--layout", "bundle", "--trusted-root"]).arg(root)
    };
    let said = attest(&retired("tlogs", "/publicKey"))
        .args(["--tlog", "v2", "--rekor-url"])
        .arg(shared_log().url())
        .fails_with(2);
    let wanted = "whose key is not in use at";
    assert!(said.stderr.contains(wanted), "{said:?}");
    nothing_is_stored(&shop);
    let said = attest(&retired("timestampAuthorities", ""))
        .arg("--timestamp-url")
        .arg(shared_authority().url())
        .fails_with(3);
    assert!(said.stderr.contains("was not in use at"), "{said:?}");
    nothing_is_stored(&shop);
}

#[test]
fn a_log_that_fails_is_told_and_nothing_is_stored() {
    let Some(signery) = Signery::basic() else {
        return;
    };
    let shop = Workshop::new();
    let log = Proxy::start(shared_log().address());
    let attest = || {
        attesting(&shop, &signery, "bundle")
            .args(["--tlog", "v2", "--witness-timeout", "1", "--rekor-url"])
            .arg(format!("http://{}", log.address()))
    };
    let page = b"<html><body>moved</body></html>";
    let html = &[("Content-Type", "text/html")][..];
    log.on("POST", "/log/entries")
        .first(2)
        .answer(201, html, page);
    attest().fails_with(3);
    nothing_is_stored(&shop);
    drop(log);
    let log = Proxy::start(shared_log().address());
    let attest = || {
        attesting(&shop, &signery, "bundle")
            .args(["--tlog", "v2", "--witness-timeout", "1", "--rekor-url"])
            .arg(format!("http://{}", log.address()))
    };
    let huge = vec![b' '; 8 << 20];
    let json = &[("Content-Type", "application/json")][..];
    log.on("POST", "/log/entries")
        .first(2)
        .answer(201, json, &huge);
    attest().fails_with(3);
    nothing_is_stored(&shop);
    drop(log);
    let log = Proxy::start(shared_log().address());
    let gate = log
        .on("POST", "/log/entries")
        .hold(Moment::BeforeForwarding);
    let said = attesting(&shop, &signery, "bundle")
        .args(["--tlog", "v2", "--witness-timeout", "1", "--rekor-url"])
        .arg(format!("http://{}", log.address()))
        .fails_with(3);
    assert!(said.stderr.contains("cannot add an entry"), "{said:?}");
    gate.release();
    nothing_is_stored(&shop);
}

#[test]
fn the_timestamp_of_another_request_is_none_of_this_one() {
    let Some(signery) = Signery::basic() else {
        return;
    };
    let authority = shared_authority();
    let path = authority.url();
    let path = path.strip_prefix(&format!("http://{}", authority.address()));
    let path = path.expect("its address is in its URL").to_owned();
    let proxy = Proxy::start(authority.address());
    let kept = Arc::new(Mutex::new(Vec::new()));
    let keeping = Arc::clone(&kept);
    let keep = move |answer: &mut Answer| {
        keeping
            .lock()
            .expect("no test panicked")
            .push(answer.body.clone());
    };
    proxy.on("POST", &path).first(1).edit(keep);
    let shop = Workshop::new();
    let url = format!("http://{}{path}", proxy.address());
    let config = shop.file("config.json", r#"{"artifacts.taskrun.signer":"none"}"#);
    let attest = |url: &str| {
        attesting(&shop, &signery, "tags")
            .arg("--config")
            .arg(&config)
            .args(["--timestamp-url", url])
    };
    attest(&url).ok();
    let old = kept.lock().expect("no test panicked")[0].clone();
    let lying = Proxy::start(authority.address());
    let reply = &[("Content-Type", "application/timestamp-reply")][..];
    lying.on("POST", &path).answer(200, reply, &old);
    let said = attest(&format!("http://{}{path}", lying.address())).fails_with(3);
    assert!(said.stderr.contains("(nonce)"), "{said:?}");
    assert_eq!(shop.layers("sig").len(), 1, "the first alone");
}
