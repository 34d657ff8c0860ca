//! Trusted roots of a TUF mirror: followed, remembered, and refused by name.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use serde_json::json;
use tekseal_harness::{Proxy, Run, Seen, TufKey, TufRepository, cosign, signed};
use tempfile::TempDir;

use super::{IMAGE, ISSUER, bundle, file, refused, verify, write};

/// A repository that has the trusted root of the recordings, and what a client of it has.
struct Stand {
    repository: TufRepository,
    folder: TempDir,
}

impl Stand {
    fn new() -> Self {
        Self {
            repository: TufRepository::new(&trusted_root()),
            folder: tempfile::tempdir().expect("a folder"),
        }
    }

    /// A client of the mirror that verifies a bundle, which needs no registry.
    fn client(&self, url: &str) -> Run {
        let root = write(
            self.folder.path(),
            "root.json",
            self.repository.file("1.root.json"),
        );
        let bundle = bundle("sign-v3-bundle-rekor2-tsa").display().to_string();
        verify(&[
            "--only",
            "signature",
            "--use-signed-timestamps",
            "--bundle",
            &bundle,
        ])
        .args(["--tuf-mirror", url, "--tuf-root", &root])
        .arg("--tuf-cache")
        .arg(self.cache())
        .arg(format!("registry.invalid/app@{IMAGE}"))
    }

    fn cache(&self) -> PathBuf {
        self.folder.path().join("cache")
    }

    /// The files of the cache, in the order in which they are written.
    fn remembered(&self) -> Vec<&'static str> {
        let names = ["timestamp.json", "snapshot.json", "targets.json"];
        let all = [&names[..], &["trusted_root.json"]].concat();
        let is_there = fs::read_dir(self.cache()).is_ok_and(|mut all| all.next().is_some());
        let there = all.into_iter().filter(|name| self.cached(name).exists());
        match is_there {
            true => there.collect(),
            false => Vec::new(),
        }
    }

    /// A file of the cache, which has one mirror.
    fn cached(&self, name: &str) -> PathBuf {
        let mut folders = fs::read_dir(self.cache()).expect("there is a cache");
        let folder = folders.next().expect("of one mirror").expect("an entry");
        folder.path().join(name)
    }
}

fn trusted_root() -> Vec<u8> {
    fs::read(file("trusted_root.json")).expect("it is there")
}

fn url(mirror: &Proxy) -> String {
    format!("http://{}", mirror.address())
}

/// The paths that were asked for, and forgets them.
fn asked(mirror: &Proxy) -> Vec<String> {
    let seen = mirror.seen();
    mirror.forget();
    seen.into_iter().map(|one| one.path).collect()
}

#[test]
fn the_trusted_root_of_a_mirror_is_used_and_asked_for_once() {
    let mut stand = Stand::new();
    let mirror = stand.repository.serve();
    stand.client(&url(&mirror)).ok();
    let all = asked(&mirror);
    let target = stand
        .repository
        .files
        .keys()
        .find(|path| path.starts_with("targets/"));
    let target = format!("/{}", target.expect("there is one"));
    let wanted = [
        "/2.root.json",
        "/timestamp.json",
        "/1.snapshot.json",
        "/1.targets.json",
        &target,
    ];
    assert_eq!(all, wanted);
    stand.client(&url(&mirror)).ok();
    assert_eq!(asked(&mirror), ["/2.root.json", "/timestamp.json"]);
    stand.client(&url(&mirror)).arg("--offline").ok();
    assert_eq!(asked(&mirror), [""; 0]);
    let address = url(&mirror);
    drop(mirror);
    stand.client(&address).arg("--offline").ok();
    refused(
        stand.client(&address),
        3,
        "cannot read 2.root.json of the mirror",
    );

    // Keys are replaced, and what is trusted: the recordings' logs no more.
    stand.repository.rotate();
    stand.repository.online = TufKey::p256();
    stand.repository.publish_root();
    let nothing = json!({"mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1"});
    stand.repository.publish(nothing.to_string().as_bytes());
    let mirror = stand.repository.serve();
    let client = stand.client(&url(&mirror));
    refused(client, 1, "no valid signature");
    let files = [
        "/2.root.json",
        "/3.root.json",
        "/4.root.json",
        "/timestamp.json",
    ];
    assert_eq!(asked(&mirror)[..4], files);
}

#[test]
fn without_a_mirror_only_a_whole_fresh_cache_will_do() {
    let mut stand = Stand::new();
    let offline = |stand: &Stand| stand.client("http://mirror.invalid").arg("--offline");
    let said = refused(offline(&stand), 2, "has no timestamp.json");
    assert!(
        said.stderr.contains("run once without --offline"),
        "{said:?}"
    );
    let week = |document: &mut serde_json::Value| {
        if document["_type"] == "timestamp" {
            document["expires"] = json!("2026-01-01T00:00:00Z");
        }
    };
    let mirror = stand.repository.serve();
    stand.client(&url(&mirror)).ok();
    let offline = |stand: &Stand| stand.client(&url(&mirror)).arg("--offline");
    for name in [
        "timestamp.json",
        "snapshot.json",
        "targets.json",
        "trusted_root.json",
    ] {
        let path = stand.cached(name);
        let before = fs::read(&path).expect("it is there");
        let changed = [&before[..before.len() - 2], b"  "].concat();
        fs::write(&path, changed).expect("the folder is ours");
        let said = refused(offline(&stand), 2, "getting the trusted root of");
        assert!(
            said.stderr.contains("is damaged, or of another repository"),
            "{said:?}"
        );
        fs::remove_file(&path).expect("it is there");
        refused(offline(&stand), 2, &format!("has no {name}"));
        std::os::unix::fs::symlink("/etc/passwd", &path).expect("a link");
        refused(offline(&stand), 2, "is not a plain file");
        fs::remove_file(&path).expect("it is there");
        fs::write(&path, before).expect("the folder is ours");
        offline(&stand).ok();
    }
    stand.repository.publish_as(&trusted_root(), week);
    fs::write(
        stand.cached("timestamp.json"),
        stand.repository.file("timestamp.json"),
    )
    .expect("ours");
    let said = refused(
        offline(&stand),
        2,
        "timestamp.json of version 2 expired on 2026-01-01",
    );
    assert!(said.stderr.contains("is too old"), "{said:?}");
}

#[test]
fn what_a_mirror_must_not_say_is_refused_by_name() {
    let stand = Stand::new();
    let root = &stand.repository;
    let thief = [&TufKey::ed25519(), &TufKey::p256()];
    let by = root.roots.each_ref();
    let long = vec![b' '; 600 << 10];
    #[rustfmt::skip]
    let cases: &[(&str, Vec<u8>, &str)] = &[
        ("2.root.json", signed(&root.root(2), &thief), "root.json has valid signatures of 0 keys of the root.json before it, wanted 2"),
        ("2.root.json", signed(&root.root(3), &by), "root.json has version 3, wanted 2"),
        ("2.root.json", long.clone(), "2.root.json is larger than 524288 bytes"),
        ("timestamp.json", b"<html>".to_vec(), "timestamp.json is not JSON that every reader understands alike"),
        ("timestamp.json", long.clone(), "timestamp.json is larger than 16384 bytes"),
        ("timestamp.json", signed(&json!({}), &by), "timestamp.json is not of the form that TUF gives it"),
        ("1.snapshot.json", long.clone(), "1.snapshot.json is larger than"),
        ("1.targets.json", b"{}".to_vec(), "targets.json has 2 bytes, and snapshot.json names "),
        ("1.targets.json", vec![b' '; root.file("1.targets.json").len()], "targets.json has not the sha256 that snapshot.json names"),
        ("1.targets.json", [root.file("1.targets.json"), b" "].concat(), "1.targets.json is larger than"),
        ("targets/", b"{}".to_vec(), "trusted_root.json has 2 bytes"),
        ("targets/", vec![b' '; trusted_root().len()], "trusted_root.json has not the sha256 that targets.json names"),
    ];
    for (path, content, wanted) in cases {
        let mut served = root.files.clone();
        let found = served.keys().find(|known| known.starts_with(path)).cloned();
        served.insert(found.unwrap_or_else(|| (*path).to_owned()), content.clone());
        let mirror = serve(served);
        refused(stand.client(&url(&mirror)), 3, wanted);
        // What was verified before it is remembered, and nothing of it.
        let order = [
            "timestamp.json",
            "1.snapshot.json",
            "1.targets.json",
            "targets/",
        ];
        let before = order.iter().position(|known| known == path);
        let names = ["timestamp.json", "snapshot.json", "targets.json"];
        assert_eq!(stand.remembered(), names[..before.unwrap_or(0)], "{path}");
        let _ = fs::remove_dir_all(stand.cache());
    }
    for path in ["timestamp.json", "1.snapshot.json", "1.targets.json"] {
        let mut served = root.files.clone();
        served.remove(path);
        let mirror = serve(served);
        refused(
            stand.client(&url(&mirror)),
            3,
            &format!("the mirror has no {path}"),
        );
        let _ = fs::remove_dir_all(stand.cache());
    }
    // A root that has expired is one still: the next may follow from it.
    let mut expired = root.root(2);
    expired["expires"] = json!("2026-01-01T00:00:00Z");
    let mut served = root.files.clone();
    served.insert("2.root.json".to_owned(), signed(&expired, &by));
    let mirror = serve(served.clone());
    let wanted = "root.json of version 2 expired on 2026-01-01";
    refused(stand.client(&url(&mirror)), 3, wanted);
    assert!(stand.cached("2.root.json").is_file());
    served.insert("3.root.json".to_owned(), signed(&root.root(3), &by));
    stand.client(&url(&serve(served))).ok();
    let circle = Proxy::start("127.0.0.1:1");
    circle
        .on("GET", "/")
        .answer(302, &[("Location", "/again")], b"");
    refused(stand.client(&url(&circle)), 3, "redirects too often");
}

#[test]
fn what_is_older_than_before_is_refused_and_what_was_before_stays() {
    let mut stand = Stand::new();
    let old = stand.repository.file("timestamp.json").to_vec();
    stand.repository.publish(&trusted_root());
    let mirror = stand.repository.serve();
    // One that shows what was, once it has shown what is.
    let turned = Proxy::start(mirror.address());
    let is_turned = Arc::new(AtomicBool::new(false));
    let when = Arc::clone(&is_turned);
    turned
        .when(move |seen| seen.path == "/timestamp.json" && when.load(Ordering::SeqCst))
        .answer(200, &[], &old);
    stand.client(&url(&turned)).ok();
    let kept = fs::read(stand.cached("timestamp.json")).expect("it is there");
    is_turned.store(true, Ordering::SeqCst);
    let run = stand.client(&url(&turned));
    refused(run, 3, "timestamp.json was rolled back: version 1 after 2");
    assert_eq!(
        fs::read(stand.cached("timestamp.json")).expect("it is there"),
        kept
    );
    stand.client(&url(&turned)).arg("--offline").ok();
}

/// What was shown is remembered at once, also if the rest is not to be had; and what is lost of it is not all that is known.
#[test]
fn a_mirror_that_fails_after_the_timestamp_cannot_go_back_either() {
    const BEFORE: usize = 0;
    const HALF: usize = 1;
    const WHOLE: usize = 2;
    let mut stand = Stand::new();
    let old = stand.repository.file("timestamp.json").to_vec();
    stand.repository.publish(&trusted_root());
    let upstream = stand.repository.serve();
    let mirror = Proxy::start(upstream.address());
    let shown = Arc::new(AtomicUsize::new(BEFORE));
    let is = |what: usize, path: &'static str| {
        let shown = Arc::clone(&shown);
        move |seen: &Seen| seen.path == path && shown.load(Ordering::SeqCst) == what
    };
    let rule = mirror.when(is(BEFORE, "/timestamp.json"));
    rule.answer(200, &[], &old);
    let rule = mirror.when(is(HALF, "/2.snapshot.json"));
    rule.answer(404, &[], b"");
    let client = |what: usize| {
        shown.store(what, Ordering::SeqCst);
        stand.client(&url(&mirror))
    };
    client(BEFORE).ok();
    refused(client(HALF), 3, "the mirror has no 2.snapshot.json");
    let wanted = "timestamp.json was rolled back: version 1 after 2";
    refused(client(BEFORE), 3, wanted);
    client(WHOLE).ok();
    let lost = |name: &str| fs::remove_file(stand.cached(name)).expect("it is there");
    lost("timestamp.json");
    let wanted = "snapshot.json was rolled back: version 1 after 2";
    refused(client(BEFORE), 3, wanted);
    lost("snapshot.json");
    let wanted = "targets.json was rolled back: version 1 after 2";
    refused(client(BEFORE), 3, wanted);
    client(WHOLE).ok();
}

#[test]
fn the_root_of_the_public_instance_is_part_of_the_program() {
    let bundle = bundle("sign-v3-bundle-rekor2-tsa").display().to_string();
    let run = verify(&[
        "--only",
        "signature",
        "--bundle",
        &bundle,
        "--trusted-root",
        "public-good",
    ]);
    let run = run.arg(format!("registry.invalid/app@{IMAGE}"));
    // The recordings are of other logs.
    refused(run, 1, "no valid signature");
    let root = file("trusted_root.json");
    let nowhere = format!("registry.invalid/app@{IMAGE}");
    #[rustfmt::skip]
    let cases: &[(&[&str], &str)] = &[
        (&["--trusted-root", "./public-good"], "reading the trusted root ./public-good"),
        (&["--tuf-mirror", "https://m.invalid"], "--tuf-mirror needs --tuf-root"),
        (&["--tuf-root", &root], "--tuf-root needs --tuf-mirror"),
        (&["--tuf-mirror", "https://m.invalid", "--tuf-root", &root], "reading the TUF root"),
        (&["--tuf-mirror", "https://m.invalid", "--tuf-root", &root, "--trusted-root", &root], "--trusted-root and --tuf-mirror are both given"),
    ];
    for (flags, wanted) in cases {
        refused(verify(flags).arg(&nowhere), 2, wanted);
    }
    let run = Run::tool("tekseal-verify").args(["--offline", "--key", "k8s://a/b", &nowhere]);
    refused(run, 2, "k8s://a/b is not on this machine");
    let stand = Stand::new();
    for (mirror, wanted) in [
        ("file:///etc", "is not an http or https URL"),
        ("https://u:secret@m.invalid", "without user"),
    ] {
        let said = refused(stand.client(mirror), 2, wanted);
        assert!(!said.stderr.contains("secret"), "{said:?}");
    }
}

/// `public.sigstore.json` is `pkg/cosign/testdata/oci-attestation.sigstore.json` of cosign 3.1.3 (Apache-2.0): Sigstore's public Fulcio and Rekor
/// wrote it in February 2025.
#[test]
fn what_the_public_instance_vouched_for_is_verified_by_the_root_of_the_program() {
    let bundle = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/it/offline/public.sigstore.json"
    );
    let digest = "sha256:732112270d7e59418a8c080b134b24cabd67d250d0d0147a97ed95ba5c280aa4";
    let check = |root: &str, issuer: &str| {
        let run = Run::tool("tekseal-verify").args(["--offline", "--only", "attestation"]);
        let run = run.args(["--trusted-root", root, "--bundle", bundle]);
        let run = run.args(["--certificate-identity-regexp", "^[^@]+@soyland\\.com$"]);
        let run = run.args(["--certificate-oidc-issuer", issuer]);
        run.arg(format!("registry.invalid/app@{digest}"))
    };
    let issuer = "https://github.com/login/oauth";
    let said = check("public-good", issuer).ok();
    assert!(said.stdout.contains("log-index=175508996"), "{said:?}");
    refused(check("public-good", ISSUER), 1, "no valid attestation");
    refused(
        check(&file("trusted_root.json"), issuer),
        1,
        "no valid attestation",
    );
}

#[test]
fn cosign_takes_the_same_repository() {
    let Some(cosign) = cosign("3.1.3") else {
        return;
    };
    let stand = Stand::new();
    let mirror = stand.repository.serve();
    let root = write(
        stand.folder.path(),
        "root.json",
        stand.repository.file("1.root.json"),
    );
    let run = cosign.run("initialize");
    run.args(["--mirror", &url(&mirror), "--root", &root]).ok();
    assert!(
        mirror.count_of("GET", ".trusted_root.json") > 0,
        "it has read the target"
    );
    stand.client(&url(&mirror)).ok();
}

/// A mirror of these files.
fn serve(files: BTreeMap<String, Vec<u8>>) -> Proxy {
    let mut repository = TufRepository::new(b"");
    repository.files = files;
    repository.serve()
}
