//! `tekseal-keys list`: what is told of keys, and what is warned of.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use tekseal_core::marks::{Outcome, Record};
use tekseal_harness::Run;
use tekseal_signing::{Signer, signer};

use super::{keys, recorded, signed};
use crate::on_cluster::Yard;
use crate::workshop::{PASSWORD, Workshop, plain_key};

fn fingerprint(public: &str) -> String {
    let told = keys(&["public", "--output", "json", public]).ok().json();
    told["id"].as_str().expect("a text").to_owned()
}

/// The entry of a key.
#[track_caller]
fn entry<'a>(list: &'a Value, id: &str) -> &'a Value {
    let all = list["keys"].as_array().expect("a list");
    let found = all.iter().find(|key| key["id"] == id);
    found.unwrap_or_else(|| panic!("{id} is not in {list:#}"))
}

#[track_caller]
fn warned(value: &Value, wanted: &str) {
    let warnings = value["warnings"].to_string();
    assert!(warnings.contains(wanted), "{wanted:?} is not in {warnings}");
}

#[test]
fn keys_of_files_are_listed_with_what_they_signed_and_who_trusts_them() {
    let (shop, public) = signed();
    let (private, _) = plain_key();
    let (private, public) = (private.display().to_string(), public.display().to_string());
    let a = recorded("a.pub");
    let set = shop.path("keys.json").display().to_string();
    keys(&["set", "--add", &a, "--name", "old", "--out", &set]).ok();
    let list = |flags: &[&str]| {
        let flags = [&["list", "--image", &shop.image][..], flags].concat();
        keys(&flags)
    };
    let json = |flags: &[&str]| list(&[flags, &["--output", "json"]].concat()).ok().json();
    let id = fingerprint(&public);
    let found = json(&[&private, "--trust", &set]);
    let key = entry(&found, &id);
    assert_eq!(key["algorithm"], "ECDSA P-256");
    assert_eq!(key["places"][0]["role"], "signs");
    let what = key["lastUse"]["what"].as_str().expect("it signed");
    assert!(what.starts_with(&shop.image), "{what}");
    assert_eq!(key["lastUse"]["at"], "2026-03-01T10:01:00Z");
    warned(key, "in use, and not trusted by");
    let old = entry(&found, &fingerprint(&a));
    assert_eq!(
        (
            &old["places"][0]["role"],
            &old["lastUse"],
            &old["trusted"][0]["name"]
        ),
        (&json!("trusted"), &Value::Null, &json!("old"))
    );
    list(&[&private, "--trust", &set, "--strict"])
        .fails_with(1)
        .says("there is a warning");
    // The same by the key of a verifier alone: what it trusts signed the image.
    let found = json(&["--trust", &public]);
    assert_eq!(entry(&found, &id)["trusted"][0]["state"], "now");
    assert_eq!(found["warnings"], json!([]));
    list(&["--trust", &public, "--strict"]).ok();
    let text = list(&[&private, "--trust", &set]).ok().stdout;
    assert!(text.starts_with(&id), "{text}");
    assert!(
        text.contains("  WARNING   in use, and not trusted by"),
        "{text}"
    );
    list(&[])
        .fails_with(2)
        .says("no key that may have signed it");
}

#[test]
fn a_key_whose_time_is_over_and_a_weak_one_are_warned_of() {
    let shop = Workshop::new();
    let set = shop.path("keys.json").display().to_string();
    let a = recorded("a.key");
    let public = recorded("a.pub");
    let at = "2026-01-01T00:00:00Z";
    keys(&[
        "set", "--add", &public, "--name", "a", "--at", at, "--out", &set,
    ])
    .ok();
    let ended = "2026-02-01T00:00:00Z";
    keys(&[
        "set", "--from", &set, "--end", "a", "--at", ended, "--out", &set,
    ])
    .ok();
    let rsa = recorded("rsa.plain.pem");
    let policy = shop.file(
        "policy.yaml",
        format!(
            "spec:\n  authorities:\n    - key:\n        data: |\n          {}\n",
            fs::read_to_string(recorded("rsa.pub"))
                .expect("it is there")
                .replace('\n', "\n          ")
        ),
    );
    let policy = policy.display().to_string();
    let found = keys(&["list", &rsa, &a])
        // That of all keys of the recordings.
        .env("COSIGN_PASSWORD", "test")
        .args(["--trust", &set, "--trust", &policy, "--output", "json"])
        .ok()
        .json();
    let rsa = entry(&found, &fingerprint(&recorded("rsa.pub")));
    warned(rsa, "weak: an RSA key of 2048 bits");
    warned(rsa, "in use, and not trusted by");
    assert_eq!(rsa["trusted"][0]["by"], policy.as_str());
    let a = entry(&found, &fingerprint(&public));
    warned(a, "in use, and its time ended at 2026-02-01T00:00:00Z");
    assert_eq!(a["trusted"][0]["state"], "ended");
    assert_eq!(a["trusted"][0]["at"], ended);
}

/// A record as a controller with this key writes it.
fn record(key: &Path, uid: &str, at: &str, others: &[&str]) -> String {
    let pem = fs::read(key).expect("it is there");
    let password = || Ok::<_, signer::Error>(PASSWORD.as_bytes().to_vec().into());
    let signer = Signer::from_pem(&pem, password).expect("it opens");
    let by = "tekseal-controller 0.1.0".to_owned();
    let mut record = Record::new(uid, Outcome::Signed, &[], at.to_owned(), by);
    record.keys = others.iter().map(|&key| key.to_owned()).collect();
    tekseal_harness::at_once(signer.sign_record(&record)).expect("it signs")
}

impl Yard {
    fn make_secret(&self, name: &str, data: &Value) {
        self.api.create(&json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": name, "namespace": self.namespace},
            "stringData": data,
        }));
    }

    fn list(&self, flags: &[&str]) -> Run {
        self.tool("tekseal-keys")
            .args(["list", "--system-namespace", &self.namespace])
            .args(flags)
    }
}

#[test]
fn what_signs_on_a_cluster_is_listed_by_its_configuration() {
    let Some(yard) = Yard::new() else { return };
    let namespace = &yard.namespace;
    let read = |path: &Path| fs::read_to_string(path).expect("it is there");
    let shop = Workshop::new();
    // Runs of other tests have records of the key of the fixtures.
    let (private, public) = shop.key_pair("main");
    let (team_key, team_pub) = shop.key_pair("team");
    let (_, other_pub) = shop.key_pair("other");
    let (own_key, own_pub) = shop.key_pair("own");
    let processes = ["old", "older", "newest"].map(|name| shop.key_pair(name));
    let print_of = |public: &Path| fingerprint(&public.display().to_string());
    yard.make_secret(
        "signing-secrets",
        &json!({"cosign.key": read(&private), "cosign.password": PASSWORD, "cosign.pub": read(&public), "cosign.pub.1": read(&other_pub)}),
    );
    yard.make_secret(
        "team",
        &json!({"cosign.key": read(&team_key), "cosign.password": PASSWORD, "cosign.pub": read(&other_pub)}),
    );
    yard.api.create(&json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "chains-config", "namespace": namespace},
        "data": {"tekseal.keys": format!("team-a: k8s://{namespace}/team\nteam-b: k8s://{namespace}/absent")},
    }));
    yard.api.create(&json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "tekseal-controller", "namespace": namespace},
        "data": {
            "key-SHA256_main": read(&public),
            "namespace-key-team-c.SHA256_own": read(&own_pub),
            "process-key-20260301T000000Z.SHA256_old": read(&processes[0].1),
            "process-key-20260302T000000Z.SHA256_older": read(&processes[1].1),
            "process-key-20260303T000000Z.SHA256_newest": read(&processes[2].1),
            "key-SHA256_odd": "no key",
        },
    }));
    let (of_team, of_main) = (print_of(&team_pub), print_of(&public));
    for (name, at, signer, others) in [
        ("first", "2026-03-01T10:02:00Z", &private, vec![]),
        ("second", "2026-03-02T10:02:00Z", &private, vec![]),
        ("third", "2026-03-02T09:02:00Z", &private, vec![&*of_team]),
        ("forged", "2026-09-02T10:02:00Z", &private, vec![&*of_team]),
        // Whoever holds a key of one namespace says nothing of the platform's.
        (
            "boasting",
            "2026-09-03T10:02:00Z",
            &own_key,
            vec![&*of_main],
        ),
        ("certified", "2026-03-01T11:02:00Z", &processes[0].0, vec![]),
    ] {
        let made = yard.task_run(name, json!([]));
        let uid = match name {
            "forged" => "another",
            _ => made["metadata"]["uid"].as_str().expect("a uid"),
        };
        let patch = json!({"metadata": {"annotations": {"tekseal.dev/record": record(signer, uid, at, &others)}}});
        let path = yard.object("tekton.dev/v1", "TaskRun", name);
        let request = tekseal_harness::Request::new("PATCH", &path)
            .body("application/merge-patch+json", patch.to_string().as_bytes());
        let answer = yard.api.send(&request).expect("the server answers");
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    let found = yard.list(&["--output", "json"]).ok().json();
    let main = entry(&found, &fingerprint(&public.display().to_string()));
    assert_eq!(
        main["places"][0]["source"],
        format!("Secret {namespace}/signing-secrets, cosign.key")
    );
    assert!(main["places"][0]["created"].is_string(), "{main}");
    let signs = main["signs"].to_string();
    assert!(signs.contains("signs TaskRuns (x509)"), "{signs}");
    assert_eq!(main["warnings"], json!([]), "{main:#}");
    assert_eq!(main["lastUse"]["at"], "2026-03-02T10:02:00Z", "{main:#}");
    let what = main["lastUse"]["what"].as_str().expect("a text");
    assert!(what.contains("second") && what.contains("record"), "{what}");
    let team = entry(&found, &fingerprint(&team_pub.display().to_string()));
    assert_eq!(
        team["signs"],
        json!(["signs runs of namespace team-a (tekseal.keys)"])
    );
    warned(team, "cosign.pub of Secret");
    warned(team, "is another key");
    assert_eq!(team["lastUse"]["at"], "2026-03-02T09:02:00Z", "{team:#}");
    let what = team["lastUse"]["what"].as_str().expect("a text");
    assert!(what.contains("third") && !what.contains("record"), "{what}");
    let other = entry(&found, &fingerprint(&other_pub.display().to_string()));
    assert_eq!(other["places"][0]["role"], "former");
    let source = |of: &str| format!("ConfigMap {namespace}/tekseal-controller, {of}");
    assert_eq!(main["places"][1]["source"], source("of all runs"));
    let own = entry(&found, &print_of(&own_pub));
    assert_eq!(own["places"][0]["source"], source("of runs in team-c"));
    assert_eq!(own["lastUse"]["at"], "2026-09-03T10:02:00Z");
    let [used, unused, newest] = processes.map(|(_, public)| print_of(&public));
    let place = &entry(&found, &used)["places"][0];
    assert_eq!(place["role"], "records");
    assert_eq!(place["created"], "2026-03-01T00:00:00Z");
    assert_eq!(entry(&found, &newest)["lastUse"], Value::Null);
    let all = found["keys"].to_string();
    assert!(!all.contains(&unused), "{all}");
    let notes = found["notes"].to_string();
    assert!(notes.contains("a key of an earlier process"), "{notes}");
    warned(&found, "key-SHA256_odd");
    warned(&found, &format!("k8s://{namespace}/absent"));
    yard.list(&["--strict"]).fails_with(1);
    // The trust of a Secret is that of its public half.
    let trust = format!("k8s://{namespace}/signing-secrets");
    let found = yard
        .list(&["--output", "json", "--skip-runs", "--trust", &trust])
        .ok()
        .json();
    let main = entry(&found, &fingerprint(&public.display().to_string()));
    assert_eq!(
        (&main["trusted"][0]["state"], &main["warnings"]),
        (&json!("now"), &json!([]))
    );
    assert_eq!(main["lastUse"], Value::Null);
    warned(
        entry(&found, &fingerprint(&team_pub.display().to_string())),
        "in use, and not trusted by",
    );
    // Whoever may read nothing is told so, and not that all is well.
    let nobody = yard.kubeconfig_with("nobody", &json!([]));
    let found = yard
        .list(&["--output", "json"])
        .env("KUBECONFIG", &nobody)
        .ok()
        .json();
    warned(&found, "the configuration cannot be read");
}

#[test]
fn a_key_set_in_a_config_map_verifies() {
    let Some(yard) = Yard::new() else { return };
    let (shop, public) = signed();
    let set = keys(&["set", "--add", &public.display().to_string()])
        .ok()
        .stdout;
    yard.api.create(&json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "verifiers", "namespace": yard.namespace},
        "data": {"keys.json": set},
    }));
    let verify = |name: &str| {
        let reference = format!("k8s://{}/{name}", yard.namespace);
        yard.tool("tekseal-verify")
            .args(["--keys", &reference, &shop.image])
    };
    verify("verifiers").ok();
    verify("absent")
        .fails_with(2)
        .says("has no keys.json, or is not there");
}
