//! A real Rekor v1 with entries by cosign, beside `rekor-cli`.

use std::fs;
use std::time::{Duration, Instant};

use serde_json::Value;
use tekseal_harness::{Layout, Registry, Request, Run, Services, request};

use super::{asking, examples, verifying};
use crate::sigstore::artifacts::{
    Artifact, IDENTITY, Log, Recipe, Signer, Signery, Timestamp, VERSIONS, Who,
};

const BY_KEY: Recipe = Recipe {
    version: VERSIONS[0],
    signer: Signer::Key,
    layout: Layout::Tags,
    log: Log::RekorV1,
    timestamp: Timestamp::None,
};

fn lines(text: &str) -> Vec<&str> {
    let mut lines: Vec<_> = text.lines().filter(|line| !line.is_empty()).collect();
    lines.sort_unstable();
    lines
}

/// What a search prints when it finds so many: Rekor writes its index after it has answered.
#[track_caller]
fn found(wanted: usize, search: impl Fn() -> Run) -> String {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let said = search().run();
        if lines(&said.stdout).len() == wanted {
            return said.ok().stdout;
        }
        assert!(Instant::now() < deadline, "{wanted} entries\n{said:?}");
    }
}

#[test]
#[ignore = "needs Rekor v1, Fulcio and their database: ./test --sigstore"]
fn searches_find_what_rekor_cli_finds() {
    let Some(signery) = Signery::full() else {
        return;
    };
    let (registry, rekor) = (Registry::start(), &signery.sigstore().rekor);
    let image = registry.push_image("team/app", "searched");
    let sha = image.reference.rsplit('@').next().expect("a digest");
    let search = || asking(&rekor.url(), "search");
    signery
        .make(Artifact::Signature, BY_KEY, &image.reference)
        .expect("cosign is there");
    // The entry of a signature has the digest of its payload alone.
    let said = search().args(["--sha", sha]).fails_with(1);
    said.says("no matching entries found").says("--image IMAGE");
    let theirs = rekor.cli("search").args(["--sha", sha]).run();
    assert_eq!(theirs.code(), Some(1), "{theirs:?}");
    let of_image = || search().args(["--image", &image.reference]);
    let signature = found(1, of_image);

    signery
        .make(Artifact::Attestation, BY_KEY, &image.reference)
        .expect("cosign is there");
    let attestation = found(1, || search().args(["--sha", sha]));
    let both = found(2, of_image);
    let wanted = format!("{attestation}{signature}");
    assert_eq!(lines(&both), lines(&wanted));

    let by_key = found(2, || search().arg("--key").arg(&signery.public));
    assert_eq!(lines(&by_key), lines(&both));
    for (ours, args) in [
        (&attestation, vec!["--sha", sha]),
        (
            &attestation,
            vec!["--sha", sha.trim_start_matches("sha256:")],
        ),
        (
            // Of the two it finds by a key only the one that is no attestation.
            &signature,
            vec![
                "--public-key",
                signery.public.to_str().expect("a plain path"),
                "--pki-format",
                "x509",
            ],
        ),
    ] {
        let theirs = rekor.cli("search").args(&args).ok().stdout;
        assert_eq!(lines(ours), lines(&theirs), "{args:?}");
    }
    let ours = search()
        .args(["--sha", sha, "--output", "json"])
        .ok()
        .json();
    let theirs = rekor.cli("search").args(["--sha", sha, "--format", "json"]);
    assert_eq!(ours, theirs.ok().json());
}

#[test]
#[ignore = "needs Rekor v1, Fulcio and their database: ./test --sigstore"]
fn entries_are_those_of_rekor_cli_and_verified() {
    let Some(signery) = Signery::full() else {
        return;
    };
    let (registry, rekor) = (Registry::start(), &signery.sigstore().rekor);
    let image = registry.push_image("team/app", "shown");
    for artifact in [Artifact::Signature, Artifact::Attestation] {
        let made = signery.make(artifact, BY_KEY, &image.reference);
        made.expect("cosign is there");
    }
    let uuids = found(2, || {
        asking(&rekor.url(), "search").args(["--image", &image.reference])
    });
    let root = signery.trusted_root();
    let mut kinds = Vec::new();
    for uuid in lines(&uuids) {
        let get = || asking(&rekor.url(), "get").args(["--output", "json"]);
        let ours = get().args(["--uuid", uuid]).ok().json();
        let theirs = rekor.cli("get").args(["--uuid", uuid, "--format", "json"]);
        let theirs = theirs.ok().json();
        assert_eq!(ours["uuid"], theirs["UUID"]);
        assert_eq!(ours["logIndex"], theirs["LogIndex"]);
        assert_eq!(ours["logID"], theirs["LogID"]);
        assert_eq!(ours["integratedTime"], theirs["IntegratedTime"]);
        let index = ours["logIndex"].to_string();
        assert_eq!(
            get().args(["--index", &index]).ok().json()["uuid"],
            ours["uuid"]
        );
        for (flag, value) in [("--uuid", uuid), ("--index", index.as_str())] {
            let run = verifying(&rekor.url(), &root).args([flag, value]);
            let run = run.arg("--key").arg(&signery.public);
            let hash = ours["hashes"][0]["value"].as_str().expect("a hash");
            let said = run.args(["--sha", hash]).ok().json();
            assert_eq!(said["verified"], true);
            assert_eq!(said["integratedTime"], ours["integratedTime"]);
        }
        kinds.push(ours["kind"].as_str().expect("a kind").to_owned());
        if ours["kind"] == "hashedrekord" {
            of_its_payload(&registry, &image.reference, &signery, uuid, &ours);
        }
        // A root of another Sigstore.
        let none = signery.write("none.json", &Services::none().trusted_root());
        verifying(&rekor.url(), &none)
            .args(["--uuid", uuid])
            .fails_with(1)
            .says("the trusted root does not have");
    }
    kinds.sort_unstable();
    assert_eq!(kinds, ["dsse", "hashedrekord"]);
    asking(&rekor.url(), "get")
        .args(["--index", "999999"])
        .fails_with(1)
        .says("cannot read the entry with the index 999999");
    asking(&rekor.url(), "get")
        .args(["--uuid", &"0".repeat(64)])
        .fails_with(1)
        .says("not found");
}

#[test]
#[ignore = "needs Rekor v1, Fulcio and their database: ./test --sigstore"]
fn the_examples_of_the_page_about_logs_work() {
    let Some(signery) = Signery::full() else {
        return;
    };
    let (registry, rekor) = (Registry::start(), &signery.sigstore().rekor);
    let image = registry.push_image("team/app", "examples");
    let signed = signery.make(Artifact::Signature, BY_KEY, &image.reference);
    signed.expect("cosign is there");
    let of_image = || asking(&rekor.url(), "search").args(["--image", &image.reference]);
    let uuid = found(1, of_image);
    let get = asking(&rekor.url(), "get").args(["--output", "json", "--uuid", uuid.trim()]);
    let entry = get.ok().json();
    let attested = signery.make(Artifact::Attestation, BY_KEY, &image.reference);
    attested.expect("cosign is there");
    found(2, of_image);
    signery.trusted_root();
    let folder = signery.public.parent().expect("it is in a folder");
    let words = [
        ("$IMAGE", image.reference.as_str()),
        (
            "$DIGEST",
            image.reference.rsplit('@').next().expect("a digest"),
        ),
        ("$UUID", uuid.trim()),
        ("$INDEX", &entry["logIndex"].to_string()),
        (
            "$PAYLOAD",
            entry["hashes"][0]["value"].as_str().expect("a hash"),
        ),
    ];
    for args in examples(false, &words) {
        let run = Run::tool("tekseal-log").folder(folder);
        run.env("TEKSEAL_REKOR_URL", rekor.url()).args(args).ok();
    }
}

/// The entry of a signature is that of the payload which the registry has, and of no other file.
fn of_its_payload(registry: &Registry, image: &str, signery: &Signery, uuid: &str, entry: &Value) {
    let digest = entry["hashes"][0]["value"].as_str().expect("a hash");
    let path = format!("/v2/team/app/blobs/sha256:{digest}");
    let blob = request(registry.address(), &Request::new("GET", &path));
    let blob = blob.expect("the registry answers");
    assert_eq!(blob.status, 200, "{image}: {path}");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("payload.json");
    let root = signery.trusted_root();
    let verify = || {
        let run = verifying(&signery.sigstore().rekor.url(), &root);
        run.args(["--uuid", uuid]).arg("--file").arg(&file)
    };
    fs::write(&file, &blob.body).expect("the folder is ours");
    verify().ok();
    fs::write(&file, "another").expect("the folder is ours");
    verify()
        .fails_with(1)
        .says("payload.json: it has message sha256:");
}

#[test]
#[ignore = "needs Rekor v1, Fulcio and their database: ./test --sigstore"]
fn the_identity_in_a_certificate_is_shown() {
    let Some(signery) = Signery::full() else {
        return;
    };
    let (registry, rekor) = (Registry::start(), &signery.sigstore().rekor);
    let image = registry.push_image("team/app", "keyless");
    let recipe = Recipe {
        signer: Signer::Certificate(Who::Builder),
        ..BY_KEY
    };
    let made = signery.make(Artifact::Signature, recipe, &image.reference);
    made.expect("cosign is there");
    let uuid = found(1, || {
        asking(&rekor.url(), "search").args(["--image", &image.reference])
    });
    let text = asking(&rekor.url(), "get").args(["--uuid", uuid.trim()]);
    let text = text.ok().stdout;
    assert!(
        text.contains(&format!("signer: certificate of {IDENTITY}\n")),
        "{text}"
    );
    let issuer = signery.sigstore().issuer.cluster();
    assert!(text.contains(&format!("issuer: {issuer}\n")), "{text}");
    let root = signery.trusted_root();
    let said = verifying(&rekor.url(), &root)
        .args(["--uuid", uuid.trim()])
        .ok()
        .json();
    assert_eq!(said["signers"][0]["identities"][0], IDENTITY);
    let none = asking(&rekor.url(), "search").args(["--email", "nobody@example.com"]);
    none.fails_with(1).says("no matching entries found");
}
