//! A real Rekor v2 with entries by cosign, read from its files.

use std::fs;
use std::path::Path;

use serde_json::Value;
use tekseal_harness::{Proxy, Registry, RekorV2, Run, Services, cosign};
use tekseal_signing::PublicKey;
use tempfile::TempDir;

use super::{asking, examples, verifying};
use crate::sigstore::artifacts::VERSIONS;
use crate::workshop::PASSWORD;

/// Puts the files of a log, as they are now, where clients look for them: below a prefix of the proxy.
fn publish(proxy: &Proxy, prefix: &str, folder: &Path, change: &dyn Fn(&str, &mut Vec<u8>)) {
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for file in fs::read_dir(next).expect("a folder of the log") {
            let path = file.expect("it is there").path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let name = path.strip_prefix(folder).expect("it is below");
            let name = name.to_str().expect("plain names").to_owned();
            let mut content = fs::read(&path).expect("it can be read");
            change(&name, &mut content);
            let target = format!("{prefix}{name}");
            let when = proxy.when(move |seen| seen.path == target);
            when.answer(200, &[], &content);
        }
    }
}

/// A log with three entries by cosign.
struct Logged {
    folder: TempDir,
    log: RekorV2,
}

impl Logged {
    fn new() -> Option<Self> {
        let (log, cosign) = (RekorV2::start()?, cosign(VERSIONS[1])?);
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (key, _) = cosign.generate_key_pair(folder.path(), PASSWORD);
        let services = Services::none().with_rekor_v2(&log);
        let write = |name: &str, json: &Value| {
            let path = folder.path().join(name);
            fs::write(&path, json.to_string()).expect("the folder is ours");
            path
        };
        let config = write("signing_config.json", &services.signing_config());
        let root = write("trusted_root.json", &services.trusted_root());
        let registry = Registry::start();
        for tag in ["one", "two", "three"] {
            let image = registry.push_image("team/app", tag);
            let run = cosign
                .run("sign")
                .arg("--yes")
                .env("COSIGN_PASSWORD", PASSWORD);
            let run = run.arg("--key").arg(&key).arg("--new-bundle-format=true");
            let run = run.arg("--signing-config").arg(&config);
            run.arg("--trusted-root")
                .arg(&root)
                .arg(&image.reference)
                .ok();
        }
        Some(Self { folder, log })
    }

    /// The log with its files beside, where `prefix` says.
    fn published(&self, prefix: &str, change: &dyn Fn(&str, &mut Vec<u8>)) -> Proxy {
        let proxy = Proxy::start(self.log.address());
        publish(&proxy, prefix, &self.log.storage(), change);
        proxy
    }

    fn verify(&self, proxy: &Proxy, index: u64) -> Run {
        let root = self.folder.path().join("trusted_root.json");
        verifying(&url(proxy), &root).args(["--log-version", "v2", "--index", &index.to_string()])
    }

    fn public(&self) -> std::path::PathBuf {
        self.folder.path().join("cosign.pub")
    }
}

fn url(proxy: &Proxy) -> String {
    format!("http://{}", proxy.address())
}

#[test]
fn entries_of_rekor_2_are_shown_and_verified_out_of_its_files() {
    let Some(logged) = Logged::new() else { return };
    let pem = fs::read(logged.public()).expect("cosign wrote it");
    let key = PublicKey::from_pem(&pem).expect("a key");
    for prefix in ["/api/v2/", "/"] {
        let proxy = logged.published(prefix, &|_, _| {});
        let mut uuids = Vec::new();
        for index in 0..3 {
            let get = asking(&url(&proxy), "get").args(["--log-version", "v2", "-o", "json"]);
            let said = get.args(["--index", &index.to_string()]).ok().json();
            assert_eq!(said["logIndex"], index);
            assert_eq!(said["treeSize"], 3);
            assert_eq!(said["kind"], "hashedrekord");
            assert_eq!(said["signers"][0]["key"], key.spki_digest().as_str());
            let sha = said["hashes"][0]["value"]
                .as_str()
                .expect("a hash")
                .to_owned();
            let verified = logged.verify(&proxy, index).args(["--sha", &sha]);
            let verified = verified.arg("--key").arg(logged.public()).ok().json();
            assert_eq!(verified["verified"], true);
            assert_eq!(verified["uuid"], said["uuid"]);
            assert_eq!(verified["host"], RekorV2::ORIGIN);
            assert_eq!(verified["hasSignedEntryTimestamp"], false);
            uuids.push(said["uuid"].clone());
            logged
                .verify(&proxy, index)
                .args(["--sha", &"0".repeat(64)])
                .fails_with(1)
                .says("is not of sha256:0000");
        }
        assert!(uuids[0] != uuids[1] && uuids[1] != uuids[2]);
        logged
            .verify(&proxy, 3)
            .fails_with(1)
            .says("there is no entry 3 in a tree of 3");
    }
}

#[test]
fn the_examples_of_the_page_about_rekor_2_work() {
    let Some(logged) = Logged::new() else { return };
    let proxy = logged.published("/api/v2/", &|_, _| {});
    for args in examples(true, &[("$REKOR", &url(&proxy)), ("$INDEX", "1")]) {
        let run = Run::tool("tekseal-log").folder(logged.folder.path());
        run.args(args).ok();
    }
}

#[test]
fn files_of_rekor_2_that_were_changed_are_refused_by_name() {
    let Some(logged) = Logged::new() else { return };
    type Change = fn(&str, &mut Vec<u8>);
    let rows: &[(Change, i32, &str)] = &[
        (
            |name, content| {
                // Of a smaller tree, too.
                if name.starts_with("tile/0/") && content.len() > 32 {
                    content[32] ^= 1;
                }
            },
            1,
            "does not lead from this entry to the root hash",
        ),
        (
            |name, content| {
                if name.starts_with("tile/entries/") {
                    // A digit of the digest in the first entry.
                    let text = b"\"digest\":\"";
                    let at = content.windows(text.len()).position(|w| w == text);
                    let at = at.expect("an entry has one") + text.len();
                    content[at] = match content[at] {
                        b'A' => b'B',
                        _ => b'A',
                    };
                }
            },
            1,
            "does not lead from this entry to the root hash",
        ),
        (
            |name, content| {
                if name == "checkpoint" {
                    let text = String::from_utf8(content.clone()).expect("a text");
                    *content = text.replacen('\n', "x\n", 1).into_bytes();
                }
            },
            1,
            "the log's signature of the checkpoint is not valid",
        ),
        (
            |name, content| {
                if name.starts_with("tile/0/") {
                    content.truncate(40);
                }
            },
            3,
            "did not answer with a tile of 3 hashes",
        ),
        (
            |name, content| {
                if name.starts_with("tile/entries/") {
                    content.truncate(40);
                }
            },
            3,
            "the bundle of entries ends before its entry 0",
        ),
        (
            |name, content| {
                if name == "checkpoint" {
                    *content = b"<html>".to_vec();
                }
            },
            3,
            "are damaged",
        ),
    ];
    for (change, code, why) in rows {
        let proxy = logged.published("/api/v2/", change);
        let said = logged.verify(&proxy, 0).fails_with(*code).says(why);
        assert!(said.stdout.is_empty(), "{said:?}");
    }
    // Another log's files, however whole they are.
    let other = RekorV2::start().expect("it was started above");
    let root = logged.folder.path().join("other.json");
    let trusted = Services::none().with_rekor_v2(&other).trusted_root();
    fs::write(&root, trusted.to_string()).expect("the folder is ours");
    let proxy = logged.published("/api/v2/", &|_, _| {});
    verifying(&url(&proxy), &root)
        .args(["--log-version", "v2", "--index", "0"])
        .fails_with(1)
        .says("the trusted root does not have");
    // The log alone, which answers no such questions.
    let root = logged.folder.path().join("trusted_root.json");
    verifying(&logged.log.url(), &root)
        .args(["--log-version", "v2", "--index", "0"])
        .fails_with(2)
        .says("there is no checkpoint of Rekor v2");
}
