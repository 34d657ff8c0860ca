//! The workflow over a repository that openssl signed, and over the roots of Sigstore's public instance.

use serde_json::{Value, json};
use tekseal_harness::{TufKey, TufRepository, signed};

use super::*;

mod seen;

const NOW: i64 = 1_796_000_000;
const CONTENT: &[u8] = b"{\"trusted\":true}";

/// What a client of this repository gets that has seen `known` before.
fn update(repository: &TufRepository, known: Option<&TufRepository>) -> Result<Vec<u8>, Error> {
    update_with(repository, known, |_| ())
}

/// The same, where the client has lost something of what it has seen.
fn update_with(
    repository: &TufRepository,
    known: Option<&TufRepository>,
    lose: impl FnOnce(&mut Cached<'_>),
) -> Result<Vec<u8>, Error> {
    let mut root = Root::first(repository.file("1.root.json"))?;
    while let Some(next) = repository
        .files
        .get(&format!("{}.root.json", root.next_version()))
    {
        root = root.next(next)?;
    }
    let current = root.current(NOW)?;
    let known = known.map_or_else(Known::default, |known| {
        let file = |path: &str| known.files.get(path).map(Vec::as_slice);
        let mut cached = Cached {
            timestamp: file("timestamp.json"),
            snapshot: file(&format!("{}.snapshot.json", known.version)),
            targets: file(&format!("{}.targets.json", known.version)),
        };
        lose(&mut cached);
        current.known(cached)
    });
    let timestamp = current.timestamp(repository.file("timestamp.json"), &known)?;
    let (file, most) = timestamp.snapshot_file(&root);
    let snapshot = repository.file(&file);
    assert!(snapshot.len() as u64 <= most);
    let snapshot = current.snapshot(&timestamp, snapshot, &known)?;
    let targets = current.targets(&snapshot, repository.file(&snapshot.targets_file(&root).0))?;
    let target = targets.find("trusted_root.json")?;
    let content = repository.files.get(&target.path(&root)?);
    let content = content.map_or(&[][..], Vec::as_slice);
    target.check(content)?;
    Ok(content.to_vec())
}

#[track_caller]
fn refused(repository: &TufRepository, known: Option<&TufRepository>, wanted: &str) {
    let said = update(repository, known).map_or_else(|error| error.to_string(), |_| "fine".into());
    assert!(said.contains(wanted), "{wanted:?}: {said}");
}

/// The same repository with one document changed and signed again by its key.
fn with(change: impl Fn(&mut Value)) -> TufRepository {
    let mut repository = TufRepository::new(CONTENT);
    repository.publish_as(CONTENT, change);
    repository
}

/// Changes only the document of this role.
fn of(role: &str, change: impl Fn(&mut Value)) -> impl Fn(&mut Value) {
    move |document: &mut Value| {
        if document["_type"] == role {
            change(document);
        }
    }
}

#[test]
fn the_target_is_found_also_after_keys_and_versions_have_changed() {
    let mut repository = TufRepository::new(CONTENT);
    assert_eq!(update(&repository, None).expect("fine"), CONTENT);
    repository.rotate();
    repository.publish_root();
    repository.online = TufKey::p256();
    repository.publish_root();
    repository.publish(b"new");
    assert_eq!(update(&repository, None).expect("fine"), b"new");
    // Seen before: an older version, the same, and one whose keys are no longer those.
    let old = TufRepository::new(CONTENT);
    for known in [&old, &repository] {
        assert_eq!(update(&repository, Some(known)).expect("fine"), b"new");
    }
}

#[test]
fn roots_follow_only_when_old_and_new_keys_have_signed_the_next_version() {
    let mut repository = TufRepository::new(CONTENT);
    let first = Root::first(repository.file("1.root.json")).expect("fine");
    let thief = TufKey::p256();
    let root = repository.root(2);
    let told = |bytes: &[u8]| {
        let next = first.next(bytes);
        next.map_or_else(|error| error.to_string(), |root| root.version().to_string())
    };
    let [a, b] = &repository.roots;
    assert_eq!(told(&signed(&root, &[a, b])), "2");
    for by in [&[a][..], &[a, a], &[a, &thief], &[]] {
        let said = told(&signed(&root, by));
        assert!(said.contains("root.json before it, wanted 2"), "{said}");
    }
    for version in [1, 3] {
        let said = told(&signed(&repository.root(version), &[a, b]));
        assert_eq!(said, format!("root.json has version {version}, wanted 2"));
    }
    // A root that hands over to somebody who has not signed.
    let mut other = root.clone();
    other["keys"][&thief.id] = thief.value.clone();
    other["roles"]["root"] = json!({"keyids": [thief.id], "threshold": 1});
    let said = told(&signed(&other, &[a, b]));
    assert!(said.contains("0 keys of the root.json itself"), "{said}");
    assert_eq!(told(&signed(&other, &[a, b, &thief])), "2");
    // One key under two names is one.
    let mut twice = root.clone();
    twice["keys"]["x"] = a.value.clone();
    twice["roles"]["root"]["keyids"] = json!([a.id, "x"]);
    let mut bytes: Value = serde_json::from_slice(&signed(&twice, &[a, b])).expect("JSON");
    let again = json!({"keyid": "x", "sig": bytes["signatures"][0]["sig"]});
    let signatures = bytes["signatures"].as_array_mut().expect("a list");
    signatures.push(again);
    let said = told(&serde_json::to_vec(&bytes).expect("JSON"));
    assert!(
        said.contains("1 keys of the root.json itself, wanted 2"),
        "{said}"
    );
    repository
        .files
        .insert("2.root.json".to_owned(), b"{}".to_vec());
    refused(&repository, None, "not of the form that TUF gives it");
}

/// The SubjectPublicKeyInfo with bytes behind it is the same key to a reader that stops at its end; two spellings would be two keys, and one signer
/// two.
#[test]
fn a_key_with_something_behind_it_is_no_second_key() {
    let repository = TufRepository::new(CONTENT);
    let [a, b] = &repository.roots;
    let pem = a.value["keyval"]["public"]
        .as_str()
        .expect("P-256 is in PEM");
    let der = crate::pem::read(pem.as_bytes(), |_| true).expect("whole");
    let longer = crate::pem::write("PUBLIC KEY", &[&der.content[..], b"\0"].concat());
    let mut root = repository.root(1);
    root["keys"]["x"] = a.value.clone();
    root["roles"]["root"]["keyids"] = json!([a.id, b.id, "x"]);
    let told = |root: &Value| {
        let mut bytes: Value = serde_json::from_slice(&signed(root, &[a])).expect("JSON");
        let again = json!({"keyid": "x", "sig": bytes["signatures"][0]["sig"]});
        let signatures = bytes["signatures"].as_array_mut().expect("a list");
        signatures.push(again);
        let first = Root::first(&serde_json::to_vec(&bytes).expect("JSON"));
        first.expect_err("one has signed").to_string()
    };
    let wanted = "root.json has valid signatures of 1 keys of the root.json itself, wanted 2";
    assert_eq!(told(&root), wanted, "the same spelling");
    root["keys"]["x"]["keyval"]["public"] = json!(longer.as_str());
    assert_eq!(told(&root), wanted, "another spelling");
}

#[test]
fn thresholds_that_nobody_meets_are_no_thresholds() {
    let repository = TufRepository::new(CONTENT);
    let [a, b] = &repository.roots;
    for (threshold, wanted) in [
        (0, "wants 0 signatures of timestamp.json, and names 1 keys"),
        (2, "wants 2 signatures of timestamp.json, and names 1 keys"),
    ] {
        let mut root = repository.root(1);
        root["roles"]["timestamp"]["threshold"] = json!(threshold);
        let said = Root::first(&signed(&root, &[a, b]))
            .expect_err("refused")
            .to_string();
        assert!(said.contains(wanted), "{said}");
    }
    // Keys of other kinds count for nobody.
    for (keytype, scheme) in [
        ("rsa", "rsassa-pss-sha256"),
        ("ed25519", "x"),
        ("ecdsa", "ed25519"),
    ] {
        let mut root = repository.root(1);
        root["keys"][&a.id]["keytype"] = json!(keytype);
        root["keys"][&a.id]["scheme"] = json!(scheme);
        let said = Root::first(&signed(&root, &[a, b]))
            .expect_err("refused")
            .to_string();
        assert!(
            said.contains("valid signatures of 1 keys"),
            "{keytype}: {said}"
        );
    }
}

#[test]
fn what_has_expired_is_refused_by_name() {
    for role in ["timestamp", "snapshot", "targets"] {
        let expired = with(of(role, |d| d["expires"] = json!("2026-11-30T00:53:20Z")));
        refused(
            &expired,
            None,
            &format!("{role}.json of version 2 expired on 2026-11-30"),
        );
        let just = with(of(role, |d| d["expires"] = json!("2026-11-30T00:53:21Z")));
        refused(&just, None, "fine");
    }
    let mut repository = TufRepository::new(CONTENT);
    let mut root = repository.root(2);
    root["expires"] = json!("2026-01-01T00:00:00Z");
    let bytes = signed(&root, &repository.roots.each_ref());
    repository.files.insert("2.root.json".to_owned(), bytes);
    refused(
        &repository,
        None,
        "root.json of version 2 expired on 2026-01-01",
    );
    // One that follows mends it.
    repository.root_version = 2;
    repository.publish_root();
    refused(&repository, None, "fine");
}

#[test]
fn documents_of_several_times_do_not_go_together() {
    for path in ["2.snapshot.json", "2.targets.json"] {
        let mut repository = TufRepository::new(CONTENT);
        let old = repository.file(&path.replace('2', "1")).to_vec();
        repository.publish(b"a longer content than before");
        repository.files.insert(path.to_owned(), old);
        let name = &path[2..];
        let said = update(&repository, None).expect_err("mixed").to_string();
        let is_named = said.contains(&format!("{name} has not the sha256"))
            || said.contains(&format!("{name} has ")) && said.contains("names");
        assert!(is_named, "{said}");
    }
    // Without hashes, the version alone tells.
    for (role, by) in [("snapshot", "timestamp"), ("targets", "snapshot")] {
        let file = format!("{role}.json");
        let bare = with(of(by, |d| d["meta"][&file] = json!({"version": 7})));
        let mut bare = bare;
        let path = format!("7.{file}");
        let own = bare.file(&format!("2.{file}")).to_vec();
        bare.files.insert(path, own);
        refused(&bare, None, &format!("{file} has version 2, wanted 7"));
    }
}

#[test]
fn every_document_says_what_it_is_and_every_file_is_what_is_named() {
    let cases: &[(&str, &str, Value, &str)] = &[
        (
            "timestamp",
            "/spec_version",
            json!("2.0.0"),
            "version \"2.0.0\" of the TUF specification",
        ),
        (
            "snapshot",
            "/spec_version",
            json!("x"),
            "version \"x\" of the TUF specification",
        ),
        (
            "targets",
            "/_type",
            json!("timestamp"),
            "targets.json says that it is \"timestamp\"",
        ),
        (
            "timestamp",
            "/meta",
            json!({}),
            "timestamp.json names no snapshot.json",
        ),
        (
            "snapshot",
            "/meta",
            json!({}),
            "snapshot.json names no targets.json",
        ),
        (
            "targets",
            "/targets",
            json!({}),
            "targets.json names no trusted_root.json",
        ),
        ("targets", "/version", json!("2"), "not of the form"),
        ("targets", "/version", json!(-1), "not of the form"),
        (
            "targets",
            "/expires",
            json!("tomorrow"),
            "not an RFC 3339 time",
        ),
        (
            "timestamp",
            "/x",
            json!(0.5),
            "has a number that is not an integer",
        ),
        (
            "targets",
            "/targets/trusted_root.json/length",
            json!(3),
            "has 16 bytes, and targets.json names 3",
        ),
        (
            "targets",
            "/targets/trusted_root.json/hashes",
            json!({"sha256": "00"}),
            "has 0 bytes, and targets.json names 16",
        ),
        (
            "targets",
            "/targets/trusted_root.json/hashes",
            json!({"md5": "00"}),
            "names no hash of trusted_root.json that is supported",
        ),
        (
            "timestamp",
            "/meta/snapshot.json/hashes",
            json!({}),
            "names no hash of snapshot.json that is supported",
        ),
        (
            "timestamp",
            "/meta/snapshot.json/hashes/sha512",
            json!("00"),
            "snapshot.json has not the sha512",
        ),
    ];
    for (role, pointer, value, wanted) in cases {
        let repository = with(of(role, |document| {
            let (parent, name) = pointer.rsplit_once('/').expect("a pointer");
            document.pointer_mut(parent).expect("it is there")[name] = value.clone();
        }));
        refused(&repository, None, wanted);
    }
    let mut repository = TufRepository::new(CONTENT);
    let mut other = repository.files.iter_mut();
    let (_, content) = other
        .find(|(path, _)| path.starts_with("targets/"))
        .expect("one");
    content[0] ^= 1;
    refused(
        &repository,
        None,
        "trusted_root.json has not the sha256 that targets.json names",
    );
}

#[test]
fn what_is_no_document_is_refused_before_any_signature_is_looked_at() {
    let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
    let long = vec![b' '; 600 << 10];
    let double = br#"{"signed":{},"signed":{},"signatures":[]}"#;
    for (bytes, wanted) in [
        (&b"\xff"[..], "root.json is not UTF-8"),
        (b"", "not JSON that every reader understands alike"),
        (
            deep.as_bytes(),
            "not JSON that every reader understands alike",
        ),
        (double, "not JSON that every reader understands alike"),
        (&long, "has 614400 bytes, more than 524288"),
        (
            br#"{"signed":{},"signatures":[]}"#,
            "not of the form that TUF gives it",
        ),
    ] {
        let said = Root::first(bytes).expect_err("refused").to_string();
        assert!(said.contains(wanted), "{said}");
    }
    let repository = TufRepository::new(CONTENT);
    let mut root: Value = serde_json::from_slice(repository.file("1.root.json")).expect("JSON");
    root["signatures"] = json!(vec![json!({"keyid": "a", "sig": ""}); 65]);
    let said = Root::first(&serde_json::to_vec(&root).expect("JSON")).expect_err("refused");
    assert_eq!(said.to_string(), "root.json has more than 64 signatures");
}

/// Roots 12 to 15 of Sigstore's public instance; testdata/README.md says where they come from.
#[test]
fn the_roots_of_sigstore_follow_each_other() {
    let roots = [
        &include_bytes!("testdata/12.root.json")[..],
        include_bytes!("testdata/13.root.json"),
        include_bytes!("testdata/14.root.json"),
        include_bytes!("testdata/15.root.json"),
    ];
    let mut root = Root::first(roots[0]).expect("of Sigstore");
    for next in &roots[1..] {
        root = root.next(next).expect("it follows");
    }
    assert_eq!((root.version(), root.is_consistent()), (15, true));
    // 2026-11-20T13:58:18Z
    assert!(root.current(1_795_183_097).is_ok());
    let said = root
        .current(1_795_183_098)
        .expect_err("expired")
        .to_string();
    assert_eq!(
        said,
        "root.json of version 15 expired on 2026-11-20T13:58:18Z"
    );
    let said = Root::first(roots[0]).expect("fine").next(roots[2]);
    assert!(said.is_err(), "one cannot be left out");
    // A bit of what is signed.
    let text = String::from_utf8(roots[3].to_vec()).expect("text");
    let changed = text.replace("2026-11-20T", "2027-11-20T");
    let said = Root::first(changed.as_bytes())
        .expect_err("changed")
        .to_string();
    assert_eq!(
        said,
        "root.json has valid signatures of 0 keys of the root.json itself, wanted 3"
    );
}
