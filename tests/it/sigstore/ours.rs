//! What ours writes beside Rekor v2 and a timestamp authority: both versions of cosign and ours demand entry and timestamp, and accept it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use serde_json::Value;
use tekseal_harness::{
    Answer, Layout, Output, Proxy, RekorV2, Run, Seen, Services, TimestampAuthority, cosign,
};

use super::artifacts::{Artifact, Log, Recipe, Signer, Signery, Timestamp, VERSIONS};
use crate::workshop::{PASSWORD, Workshop};

/// How something is attested by ours.
#[derive(Clone, Copy, Debug)]
pub(super) struct Case {
    pub(super) layout: &'static str,
    pub(super) log: Log,
    pub(super) timestamp: Timestamp,
}

/// The command that signs and stores everything of the run that built the image; provenance is of the type that the recipes ask for.
pub(super) fn attesting(shop: &Workshop, signery: &Signery, layout: &str) -> Run {
    let run = shop.attest_command(&shop.run(), &signery.key);
    run.args(["--layout", layout, "--format", "slsa/v2alpha4"])
        .arg("--trusted-root")
        .arg(signery.trusted_root())
}

/// The flags of a case, with the services of `signery`.
pub(super) fn with_services(run: Run, signery: &Signery, case: Case) -> Run {
    let run = match case.log {
        Log::None => run,
        Log::RekorV1 => run
            .args(["--tlog", "v1", "--rekor-url"])
            .arg(signery.sigstore().rekor.url()),
        Log::RekorV2 => run
            .args(["--tlog", "v2", "--rekor-url"])
            .arg(shared_log().url()),
    };
    match case.timestamp {
        Timestamp::None => run,
        Timestamp::Authority => run.arg("--timestamp-url").arg(shared_authority().url()),
    }
}

pub(super) fn shared_log() -> &'static RekorV2 {
    RekorV2::shared().expect("a signery was made with it")
}

pub(super) fn shared_authority() -> &'static TimestampAuthority {
    TimestampAuthority::shared().expect("a signery was made with it")
}

/// What ours, and each cosign, says of what was stored: what was asked for must be there.
pub(super) fn accepted(signery: &Signery, shop: &Workshop, case: Case) {
    let mut run = shop
        .verify(&signery.public)
        .arg("--trusted-root")
        .arg(signery.trusted_root());
    if case.log == Log::None {
        run = run.arg("--insecure-ignore-tlog");
    }
    if case.timestamp == Timestamp::Authority {
        run = run.arg("--use-signed-timestamps");
    }
    run.ok();
    for version in VERSIONS {
        let Some(cosign) = cosign(version) else {
            continue;
        };
        let recipe = Recipe {
            version,
            signer: Signer::Key,
            layout: match case.layout {
                "tags" => Layout::Tags,
                _ => Layout::Bundles,
            },
            log: case.log,
            timestamp: case.timestamp,
        };
        for artifact in [Artifact::Signature, Artifact::Attestation] {
            let said = signery.verify_with_cosign(&cosign, artifact, recipe, &shop.image);
            assert_eq!(said.code(), Some(0), "{recipe}, {artifact:?}\n{said:?}");
        }
    }
}

/// Attests in this way, and has it accepted.
pub(super) fn written_and_accepted(signery: &Signery, case: Case) -> (Workshop, Output) {
    let shop = Workshop::new();
    let said = with_services(attesting(&shop, signery, case.layout), signery, case).ok();
    accepted(signery, &shop, case);
    (shop, said)
}

/// The entries of the index of what refers to the image.
pub(super) fn referrers(shop: &Workshop) -> usize {
    let index = shop
        .registry
        .manifest("team/app", &shop.digest.replace(':', "-"));
    index.map_or(0, |index| {
        index.json()["manifests"].as_array().map_or(0, Vec::len)
    })
}

/// The folder with what is signed of the run that built the image.
fn signed(shop: &Workshop, signery: &Signery) -> PathBuf {
    let folder = shop.path("payloads");
    let run = Run::tool("tekseal-provenance").arg("--run").arg(shop.run());
    run.args(["--format", "slsa/v2alpha4"])
        .arg("--out")
        .arg(&folder)
        .ok();
    let run = Run::tool("tekseal-sign").arg(&folder).arg("--key");
    run.arg(&signery.key).env("COSIGN_PASSWORD", PASSWORD).ok();
    folder
}

pub(super) fn nothing_is_stored(shop: &Workshop) {
    assert_eq!(shop.layers("sig").len(), 0);
    assert_eq!(shop.layers("att").len(), 0);
    assert_eq!(referrers(shop), 0);
}

#[test]
fn entries_of_rekor_v2_are_accepted_in_bundles() {
    for timestamp in [Timestamp::None, Timestamp::Authority] {
        // A log gives an entry once, and with one key the signature of one image is always the same.
        let Some(signery) = Signery::basic() else {
            return;
        };
        let case = Case {
            layout: "bundle",
            log: Log::RekorV2,
            timestamp,
        };
        let (_, said) = written_and_accepted(&signery, case);
        assert_eq!(said.stderr.matches("\nlogged of=").count(), 2, "{said:?}");
        let stamped = said.stderr.matches("\ntimestamped of=").count();
        let wanted = if timestamp == Timestamp::None { 0 } else { 2 };
        assert_eq!(stamped, wanted, "{said:?}");
    }
}

#[test]
fn in_both_layouts_the_bundles_have_the_entries_and_all_have_timestamps() {
    let Some(signery) = Signery::basic() else {
        return;
    };
    let case = Case {
        layout: "both",
        log: Log::RekorV2,
        timestamp: Timestamp::Authority,
    };
    let (shop, said) = written_and_accepted(&signery, case);
    assert_eq!(said.stderr.matches("\nlogged of=").count(), 2, "{said:?}");
    assert_eq!(
        said.stderr.matches("\ntimestamped of=").count(),
        4,
        "{said:?}"
    );
    for suffix in ["sig", "att"] {
        let layers = shop.layers(suffix);
        let annotations = &layers[0]["annotations"];
        assert!(annotations["dev.sigstore.cosign/rfc3161timestamp"].is_string());
        assert!(annotations["dev.sigstore.cosign/bundle"].is_null());
    }
}

#[test]
fn timestamps_are_accepted_under_tags() {
    let Some(signery) = Signery::basic() else {
        return;
    };
    let case = Case {
        layout: "tags",
        log: Log::None,
        timestamp: Timestamp::Authority,
    };
    written_and_accepted(&signery, case);
}

#[test]
fn a_signature_without_evidence_does_not_stand_for_one_with() {
    let Some(signery) = Signery::basic() else {
        return;
    };
    let case = Case {
        layout: "tags",
        log: Log::None,
        timestamp: Timestamp::Authority,
    };
    let shop = Workshop::new();
    attesting(&shop, &signery, "tags").ok();
    for _ in 0..2 {
        with_services(attesting(&shop, &signery, "tags"), &signery, case).ok();
        assert_eq!(shop.layers("sig").len(), 2, "the bare one, and one with");
        assert_eq!(shop.layers("att").len(), 2, "the bare one, and one with");
    }
    accepted(&signery, &shop, case);
}

#[test]
fn what_is_stored_with_its_entry_is_neither_logged_nor_stored_again() {
    let Some(signery) = Signery::basic() else {
        return;
    };
    let log = Proxy::start(shared_log().address());
    let url = format!("http://{}", log.address());
    let shop = Workshop::new();
    let again = || {
        attesting(&shop, &signery, "bundle")
            .args(["--tlog", "v2", "--rekor-url", &url])
            .ok()
    };
    again();
    assert_eq!((log.count(), referrers(&shop)), (2, 2));
    let said = again();
    assert_eq!((log.count(), referrers(&shop)), (2, 2), "{said:?}");
    assert_eq!(said.stderr.matches("\nalready logged of=").count(), 2);
    assert_eq!(said.stderr.matches("\nalready stored ").count(), 2);
}

/// The log behind a proxy that also hands out its static files, as a server beside it would.
fn with_files(log: &RekorV2) -> Proxy {
    let proxy = Proxy::start(log.address());
    let storage = log.storage();
    let asked = Arc::new(Mutex::new(String::new()));
    let noting = Arc::clone(&asked);
    let is_file = move |seen: &Seen| {
        let is_file = seen.is("GET", "/checkpoint") || seen.is("GET", "/tile/");
        // They are asked for one after the other.
        if is_file {
            *noting.lock().expect("no test panicked") = seen.path.clone();
        }
        is_file
    };
    proxy.when(is_file).edit(move |answer| {
        let path = asked.lock().expect("no test panicked").clone();
        let file = fs::read(storage.join(path.trim_start_matches('/')));
        let (status, bytes) = file.map_or((404, Vec::new()), |bytes| (200, bytes));
        *answer = Answer::new(
            status,
            &[("Content-Type", "application/octet-stream")],
            &bytes,
        );
    });
    proxy
}

#[test]
fn what_a_log_has_already_is_read_out_of_its_files() {
    let Some(signery) = Signery::basic() else {
        return;
    };
    let log = with_files(shared_log());
    // The log has the first, and the answer is lost: then it is asked again, and says that it has it.
    log.on("POST", "/log/entries").nth(1).lose_answer();
    let case = Case {
        layout: "bundle",
        log: Log::RekorV2,
        timestamp: Timestamp::None,
    };
    // The same image elsewhere has the same signature, and the provenance speaks of another name.
    for existing in [1, 1] {
        let shop = Workshop::new();
        let said = attesting(&shop, &signery, "bundle")
            .args(["--tlog", "v2", "--rekor-url"])
            .arg(format!("http://{}", log.address()))
            .ok();
        let found = said.stderr.matches("\nalready logged of=").count();
        assert_eq!(found, existing, "{said:?}");
        accepted(&signery, &shop, case);
    }
}

#[test]
fn what_was_logged_and_not_stored_is_told() {
    let Some(signery) = Signery::basic() else {
        return;
    };
    let log = Proxy::start(shared_log().address());
    // The log has it, and the answer is lost: then it is asked again, and says so.
    log.on("POST", "/log/entries").nth(1).lose_answer();
    let shop = Workshop::new();
    let said = attesting(&shop, &signery, "bundle")
        .args(["--tlog", "v2", "--rekor-url"])
        .arg(format!("http://{}", log.address()))
        .fails_with(1);
    assert!(said.stderr.contains("has this entry already"), "{said:?}");
    nothing_is_stored(&shop);
}

#[test]
fn a_folder_is_logged_when_it_is_stored_and_the_index_says_where() {
    let Some(signery) = Signery::basic() else {
        return;
    };
    let shop = Workshop::new();
    let folder = signed(&shop, &signery);
    let services = Services::none()
        .with_rekor_v2(shared_log())
        .with_timestamps(shared_authority());
    let config = signery.write("signing_config.json", &services.signing_config());
    let upload = Run::tool("tekseal-upload").arg(&folder);
    upload
        .args(["--layout", "bundle", "--signing-config"])
        .arg(config)
        .env("TEKSEAL_TRUSTED_ROOT", signery.trusted_root())
        .ok();
    let stored = fs::read(folder.join("stored.json")).expect("it was stored");
    let stored: Vec<Value> = serde_json::from_slice(&stored).expect("JSON");
    assert_eq!(stored.len(), 2);
    for entry in &stored {
        let logged = entry["logged"].as_array().expect("a list");
        assert_eq!(logged.len(), 1, "{entry}");
        assert!(logged[0]["log"].as_str().is_some_and(|url| !url.is_empty()));
        assert!(logged[0]["logIndex"].is_u64(), "{entry}");
        assert_eq!(entry["timestamps"].as_array().map(Vec::len), Some(1));
    }
    let case = Case {
        layout: "bundle",
        log: Log::RekorV2,
        timestamp: Timestamp::Authority,
    };
    accepted(&signery, &shop, case);
}

#[test]
fn a_predicate_is_logged_too() {
    let Some(signery) = Signery::basic() else {
        return;
    };
    let shop = Workshop::new();
    let predicate = shop.file("predicate.json", r#"{"a": 1}"#);
    let attest = |predicate: &Path| {
        Run::tool("tekseal-attest")
            .arg(&shop.image)
            .arg("--predicate")
            .arg(predicate)
            .args(["--type", "https://example.com/p", "--layout", "bundle"])
            .arg("--key")
            .arg(&signery.key)
            .args(["--tlog", "v2", "--rekor-url"])
            .arg(shared_log().url())
            .arg("--trusted-root")
            .arg(signery.trusted_root())
            .env("COSIGN_PASSWORD", PASSWORD)
    };
    attest(&predicate).ok();
    assert_eq!(referrers(&shop), 1);
    shop.verify(&signery.public)
        .args(["--only", "attestation", "--trusted-root"])
        .arg(signery.trusted_root())
        .ok();
    let large = format!(r#"{{"a": "{}"}}"#, "x".repeat(9 << 20));
    let large = shop.file("large.json", large);
    let said = attest(&large).fails_with(2);
    assert!(said.stderr.contains("too large for a transparency log"));
    assert_eq!(referrers(&shop), 1);
}

#[test]
fn what_cannot_be_had_is_refused_before_anything_is_asked() {
    let Some(signery) = Signery::basic() else {
        return;
    };
    let shop = Workshop::new();
    let url = shared_log().url();
    let v2 = ["--tlog", "v2", "--rekor-url", &url];
    let refused = |run: Run, word: &str| {
        let said = run.fails_with(2);
        assert!(said.stderr.contains(word), "{said:?}");
        nothing_is_stored(&shop);
    };
    refused(attesting(&shop, &signery, "tags").args(v2), "bundle");
    let untrusting = shop
        .attest_command(&shop.run(), &signery.key)
        .args(["--layout", "bundle"]);
    refused(untrusting.args(v2), "--trusted-root");
    let config = shop.file("config.json", r#"{"transparency.enabled":"manual"}"#);
    let manual = Run::tool("tekseal-upload").arg(signed(&shop, &signery));
    refused(manual.arg("--config").arg(config), "manual");
    let two = "http://127.0.0.1:1/a,http://127.0.0.1:1/b";
    let two = attesting(&shop, &signery, "tags").args(["--timestamp-url", two]);
    refused(two, "room");
    let other = Services::none().with_rekor_v2(shared_log());
    let other = signery.write("other.json", &other.trusted_root());
    let stamped = shop
        .attest_command(&shop.run(), &signery.key)
        .arg("--trusted-root")
        .arg(other)
        .arg("--timestamp-url")
        .arg(shared_authority().url());
    refused(stamped, "by no authority of the trusted root");
}
