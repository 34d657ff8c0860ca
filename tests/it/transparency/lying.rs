//! A log that lies: what it gave once for cosign, changed in one place, and what is no answer at all.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tekseal_core::digest::hex;
use tekseal_harness::{Moment, Output, Proxy, Run, fixtures};
use tekseal_signing::log::leaf_hash;

use super::{asking, verifying};

const ENTRIES: &str = "/api/v1/log/entries";
const TREE: &str = "00000000000000f1";

/// An entry as Rekor v1 answers with it.
#[derive(Clone)]
struct Entry {
    uuid: String,
    entry: Value,
}

impl Entry {
    /// That of a bundle which cosign recorded.
    fn of(case: &str) -> Self {
        let blobs = fixtures().join("cosign-samples").join(case).join("blobs");
        let bundle = fs::read_dir(blobs)
            .expect("a sample has blobs")
            .filter_map(|file| fs::read(file.expect("it is there").path()).ok())
            .filter_map(|bytes| serde_json::from_slice::<Value>(&bytes).ok())
            .find(|json| json["verificationMaterial"].is_object())
            .expect("there is a bundle");
        let logged = &bundle["verificationMaterial"]["tlogEntries"][0];
        let text = |value: &Value| value.as_str().expect("a text").to_owned();
        let number = |value: &Value| -> u64 { text(value).parse().expect("a number") };
        let in_hex = |value: &Value| hex(&STANDARD.decode(text(value)).expect("base64"));
        let proof = &logged["inclusionProof"];
        let hashes = proof["hashes"].as_array().expect("a list").iter();
        let body = STANDARD.decode(text(&logged["canonicalizedBody"]));
        let leaf = hex(&leaf_hash(&body.expect("base64")));
        Self {
            uuid: format!("{TREE}{leaf}"),
            entry: json!({
                "body": logged["canonicalizedBody"],
                "integratedTime": number(&logged["integratedTime"]),
                "logID": in_hex(&logged["logId"]["keyId"]),
                "logIndex": number(&logged["logIndex"]),
                "verification": {
                    "inclusionProof": {
                        "checkpoint": proof["checkpoint"]["envelope"],
                        "hashes": hashes.map(in_hex).collect::<Vec<_>>(),
                        "logIndex": number(&proof["logIndex"]),
                        "rootHash": in_hex(&proof["rootHash"]),
                        "treeSize": number(&proof["treeSize"]),
                    },
                    "signedEntryTimestamp": logged["inclusionPromise"]["signedEntryTimestamp"],
                },
            }),
        }
    }

    fn index(&self) -> u64 {
        self.entry["logIndex"].as_u64().expect("a number")
    }

    fn proof(&mut self) -> &mut Value {
        &mut self.entry["verification"]["inclusionProof"]
    }

    fn answer(&self) -> String {
        json!({ self.uuid.as_str(): self.entry }).to_string()
    }
}

/// A log that gives this to every question.
fn log(status: u16, body: &str) -> Proxy {
    let proxy = Proxy::start("127.0.0.1:1");
    proxy.when(|_| true).answer(status, &[], body.as_bytes());
    proxy
}

fn url(log: &Proxy) -> String {
    format!("http://{}", log.address())
}

fn root() -> PathBuf {
    fixtures().join("cosign-samples/keys/trusted_root.json")
}

fn key(name: &str) -> String {
    let path = fixtures().join("cosign-samples/keys").join(name);
    path.to_str().expect("a plain path").to_owned()
}

fn good() -> Entry {
    Entry::of("sign-v3-bundle-rekor1")
}

/// Verifies what the log gives for the UUID of the good entry.
fn verify(answer: &str, args: &[&str]) -> Output {
    verify_with(200, answer, args)
}

fn verify_with(status: u16, body: &str, args: &[&str]) -> Output {
    let log = log(status, body);
    let run = verifying(&url(&log), &root()).args(["--uuid", &good().uuid]);
    run.args(args).run()
}

#[test]
fn what_the_log_of_the_trusted_root_gave_is_verified() {
    let good = good();
    let said = verify(&good.answer(), &[]).ok().json();
    assert_eq!(said["verified"], true);
    assert_eq!(said["uuid"], good.uuid.as_str());
    assert_eq!(said["logIndex"], good.index());
    assert_eq!(said["integratedTime"], good.entry["integratedTime"]);
    assert_eq!(said["hasSignedEntryTimestamp"], true);
    let payload = said["hashes"][0]["value"]
        .as_str()
        .expect("a hash")
        .to_owned();
    for sha in [payload.clone(), format!("sha256:{payload}")] {
        verify(&good.answer(), &["--sha", &sha]).ok();
    }
    let other = "0".repeat(64);
    verify(&good.answer(), &["--key", &key("a.pub")]).ok();
    for (args, why) in [
        (["--key", &key("b.pub")], "is by another key or certificate"),
        (["--sha", &other], "is not of sha256:0000"),
        (["--file", &key("a.pub")], "a.pub: it has payload sha256:"),
    ] {
        verify(&good.answer(), &args).fails_with(1).says(why);
    }
    // By its index, and by the short form of its UUID, too.
    let log = log(200, &good.answer());
    let index = good.index().to_string();
    verifying(&url(&log), &root())
        .args(["--index", &index])
        .ok();
    let short = good.uuid.trim_start_matches(TREE);
    verifying(&url(&log), &root()).args(["--uuid", short]).ok();
    let lines: Vec<_> = log
        .seen()
        .into_iter()
        .map(|seen| (seen.path, seen.query))
        .collect();
    assert_eq!(
        lines,
        [
            (ENTRIES.to_owned(), format!("logIndex={index}")),
            (format!("{ENTRIES}/{short}"), String::new()),
        ]
    );
}

#[test]
fn an_entry_is_shown_and_said_not_to_be_verified() {
    let good = good();
    let log = log(200, &good.answer());
    let get = || asking(&url(&log), "get").args(["--uuid", &good.uuid]);
    let text = get().ok().stdout;
    for line in [
        format!("uuid: {}\n", good.uuid),
        format!("index: {}\n", good.index()),
        "kind: dsse 0.0.1\n".to_owned(),
        "signer: key sha256:".to_owned(),
        "hash: payload sha256:".to_owned(),
        "not verified".to_owned(),
    ] {
        assert!(text.contains(&line), "{line}\n{text}");
    }
    let said = get().args(["--output", "json"]).ok().json();
    assert_eq!(said["verified"], false);
    assert_eq!(said["body"]["kind"], "dsse");
    assert_eq!(said["integratedTime"], good.entry["integratedTime"]);
}

#[test]
fn another_entry_than_the_one_that_was_asked_for_is_refused() {
    let (good, other) = (good(), Entry::of("attest-v3-bundle-rekor1"));
    verify(&other.answer(), &[]).fails_with(1).says(&format!(
        "was asked for the entry {} and gave the entry",
        good.uuid
    ));
    // Under the name that was asked for.
    let renamed = Entry {
        uuid: good.uuid.clone(),
        ..other.clone()
    };
    verify(&renamed.answer(), &[])
        .fails_with(1)
        .says("whose body has the leaf hash");
    let elsewhere = Entry {
        uuid: good.uuid.replacen('0', "1", 1),
        ..good.clone()
    };
    verify(&elsewhere.answer(), &[])
        .fails_with(1)
        .says("and gave the entry 1000");
    let log = log(200, &other.answer());
    for command in ["get", "verify"] {
        let run = asking(&url(&log), command).args(["--index", "7"]);
        let run = match command {
            "verify" => run.arg("--trusted-root").arg(root()),
            _ => run,
        };
        run.fails_with(1)
            .says("the index 7 and gave the one with the index");
    }
}

#[test]
fn an_entry_for_which_no_trusted_log_vouches_is_refused_by_name() {
    let flip = |text: &Value| {
        let text = text.as_str().expect("a text");
        let first = match text.starts_with('0') {
            true => "1",
            false => "0",
        };
        json!(format!("{first}{}", &text[1..]))
    };
    type Change = Box<dyn Fn(&mut Entry)>;
    let rows: Vec<(&str, Change)> = vec![
        (
            "does not lead from this entry to the root hash",
            Box::new(move |e| e.proof()["hashes"][0] = flip(&e.proof()["hashes"][0])),
        ),
        (
            "hashes, the path of this leaf has",
            Box::new(|e| e.proof()["hashes"] = json!([])),
        ),
        (
            "another root hash than its checkpoint",
            Box::new(move |e| e.proof()["rootHash"] = flip(&e.proof()["rootHash"])),
        ),
        (
            "its checkpoint is of",
            Box::new(|e| e.proof()["treeSize"] = json!(1_u64 << 40)),
        ),
        (
            "the log's signature of the checkpoint is not valid",
            Box::new(|e| {
                let text = e.proof()["checkpoint"].as_str().expect("a text").to_owned();
                e.proof()["checkpoint"] = json!(text.replacen('\n', "0\n", 1));
            }),
        ),
        (
            "the checkpoint is not a signed note",
            Box::new(|e| e.proof()["checkpoint"] = json!("rekor.local\n1\nAAAA\n")),
        ),
        (
            "the checkpoint is not signed by the log",
            Box::new(|e| {
                let other = Entry::of("sign-v3-bundle-rekor1").proof()["checkpoint"].clone();
                let text = other.as_str().expect("a text").to_owned();
                let (text, _) = text.split_once("\n\n").expect("a note");
                e.proof()["checkpoint"] = json!(format!("{text}\n\n— rekor.local AAAAAAAA\n"));
            }),
        ),
        (
            "promise is not valid",
            Box::new(|e| e.entry["integratedTime"] = json!(1_795_000_000)),
        ),
        (
            "promise is not valid",
            Box::new(|e| e.entry["logIndex"] = json!(7)),
        ),
        (
            "promise is not valid",
            Box::new(|e| {
                let other = Entry::of("attest-v3-bundle-rekor1").entry["verification"].clone();
                e.entry["verification"]["signedEntryTimestamp"] =
                    other["signedEntryTimestamp"].clone();
            }),
        ),
        (
            "there is no signed entry timestamp",
            Box::new(|e| {
                let all = e.entry["verification"].as_object_mut().expect("an object");
                all.remove("signedEntryTimestamp");
            }),
        ),
        (
            "no proof of inclusion",
            Box::new(|e| {
                let all = e.entry["verification"].as_object_mut().expect("an object");
                all.remove("inclusionProof");
            }),
        ),
        (
            "neither a promise nor a proof",
            Box::new(|e| e.entry["verification"] = json!({})),
        ),
        (
            "a log that the trusted root does not have",
            Box::new(|e| e.entry["logID"] = json!("07".repeat(32))),
        ),
    ];
    for (why, change) in rows {
        let mut entry = good();
        change(&mut entry);
        let said = verify(&entry.answer(), &[]).fails_with(1);
        assert!(said.stdout.is_empty(), "{why}: {said:?}");
        said.says("is not verified").says(why);
    }
}

#[test]
fn what_is_no_entry_is_the_outsides_failure() {
    let good = good();
    let page = "<html>\u{1b}[2J".repeat(1000);
    let two = {
        let mut both = json!({ good.uuid.as_str(): good.entry });
        both["0".repeat(64)] = good.entry.clone();
        both.to_string()
    };
    let twice = good
        .answer()
        .replacen("\"body\"", "\"body\":\"\",\"body\"", 1);
    let huge = "x".repeat((4 << 20) + 1);
    for (status, body, code, why) in [
        (200, page.as_str(), 3, "did not answer with an entry"),
        (200, "", 3, "did not answer with an entry"),
        (200, "{}", 3, "has 0 entries and not one"),
        (200, &two, 3, "has 2 entries and not one"),
        (200, &twice, 3, "did not answer with an entry"),
        (200, &huge, 3, "is larger than 4194304 bytes"),
        (503, &page, 3, "answered 503"),
        (404, &page, 1, "not found"),
        (403, &page, 2, "answered 403"),
        (302, "", 3, "without a usable Location"),
    ] {
        let said = verify_with(status, body, &[]).fails_with(code);
        assert!(said.stdout.is_empty(), "{why}: {said:?}");
        assert!(!said.stderr.contains("html"), "{said:?}");
        said.says(why);
    }
    let away = Proxy::start("127.0.0.1:1");
    let to = [("Location", "http://127.0.0.2:1/api/v1/log/entries")];
    away.when(|_| true).answer(307, &to, b"");
    let run = verifying(&url(&away), &root()).args(["--uuid", &good.uuid]);
    run.fails_with(2).says("refusing to follow");
}

#[test]
fn a_search_gives_names_of_entries_or_nothing() {
    let uuid = good().uuid;
    for (status, body, code, why) in [
        (200, format!("[\"{uuid}\",\"{uuid}\"]"), 0, ""),
        (200, "[]".to_owned(), 1, "no matching entries found"),
        (
            200,
            "[\"../../etc\"]".to_owned(),
            3,
            "did not answer with a list of UUIDs",
        ),
        (
            200,
            "{}".to_owned(),
            3,
            "did not answer with a list of UUIDs",
        ),
        (200, " ".repeat((4 << 20) + 1), 3, "is larger than"),
        (
            404,
            String::new(),
            2,
            "there is no search index of Rekor v1",
        ),
        (
            501,
            "{\"code\":501,\"message\":\"off\"}".to_owned(),
            2,
            "answered 501: off",
        ),
    ] {
        let log = log(status, &body);
        let digest = "0a".repeat(32);
        let said = asking(&url(&log), "search").args(["--sha", &digest]);
        let said = said.run().fails_with(code).says(why);
        let wanted = match code {
            0 => format!("{uuid}\n"),
            _ => String::new(),
        };
        assert_eq!(said.stdout, wanted, "{said:?}");
        if code == 1 {
            said.says("hint: the digest of an image finds attestations only");
        }
        assert_eq!(log.count(), 1, "{why}");
    }
}

/// Of an image that has many signatures an index is asked many times: all of it has one time.
#[test]
fn a_search_ends_when_its_time_is_over() {
    let log = Proxy::start("127.0.0.1:1");
    let gate = log
        .on("POST", "/index/retrieve")
        .hold(Moment::BeforeForwarding);
    let search = asking(&url(&log), "search").args(["--sha", &"0".repeat(64)]);
    let started = Instant::now();
    let said = search.args(["--timeout", "2s", "--log-timeout", "60"]);
    let said = said.fails_with(3).says("not done after 2 seconds");
    assert!(started.elapsed() < Duration::from_secs(30), "{said:?}");
    gate.release();
}

#[test]
fn what_cannot_be_asked_is_said_before_anything_is_sent() {
    let log = log(200, "[]");
    let url = url(&log);
    let private = key("a.key");
    let md5 = format!("md5:{}", "0".repeat(64));
    for (run, why) in [
        (asking(&url, "search"), "nothing to look for is given"),
        (asking(&url, "search").args(["--sha", "7"]), "--sha"),
        (
            verifying(&url, &root()).args(["--index", "7", "--sha", "7"]),
            "--sha \"7\" is no hash",
        ),
        (
            verifying(&url, &root()).args(["--index", "7", "--sha", &md5]),
            "is no hash",
        ),
        (
            asking(&url, "search").args(["--sha", &format!("sha512:{}", "0".repeat(64))]),
            "--sha",
        ),
        (
            asking(&url, "search").arg("--key").arg(&private),
            "reading the public key",
        ),
        (asking(&url, "get"), "no entry is named"),
        (
            asking(&url, "get").args(["--uuid", "7"]),
            "is not the UUID of an entry",
        ),
        (
            asking(&url, "get").args(["--uuid", &good().uuid, "--index", "7"]),
            "--index and --uuid are both given",
        ),
        (
            asking(&url, "verify").args(["--index", "7"]),
            "--trusted-root is not given",
        ),
        (
            asking("https://me:hunter2@log.example", "get").args(["--index", "7"]),
            "user name or a password",
        ),
        (
            Run::tool("tekseal-log").args(["get", "--log-version", "v2", "--index", "7"]),
            "--log-version v2 needs --rekor-url",
        ),
        (
            asking(&url, "search").args(["--log-version", "v2", "--sha", &"0".repeat(64)]),
            "has API version 2, which has no search",
        ),
        (
            asking(&url, "get").args(["--log-version", "v2", "--uuid", &good().uuid]),
            "has API version 2, which has no entries by UUID",
        ),
    ] {
        let said = run.fails_with(2).says(why);
        assert!(!said.stderr.contains("hunter2"), "{said:?}");
    }
    assert_eq!(log.count(), 0);
}
