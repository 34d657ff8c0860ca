//! Bad input, tool by tool: a message that says what, where and what to do, the documented exit code, and nothing half-written.

use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::json;
use tekseal_harness::{Bearer, Moment, Output, Proxy, Registry, Run, USER, program};

use crate::workshop::{PASSWORD, Workshop, plain_key, run_document};

/// The last error line has all of these.
fn says(output: &Output, wanted: &[&str]) {
    let line = output
        .stderr
        .lines()
        .find(|line| line.contains(": error: "))
        .unwrap_or_default();
    for text in wanted {
        assert!(
            line.contains(text),
            "{text:?} is missing in {line:?}; all of stderr:\n{}",
            output.stderr
        );
    }
}

fn hints(output: &Output, wanted: &str) {
    let found = output
        .stderr
        .lines()
        .any(|line| line.contains(": hint: ") && line.contains(wanted));
    assert!(found, "no hint with {wanted:?} in:\n{}", output.stderr);
}

fn is_empty(folder: &Path) -> bool {
    fs::read_dir(folder).map_or(true, |mut entries| entries.next().is_none())
}

// --- runs

fn refused_run(content: &[u8], code: i32, wanted: &[&str]) {
    let shop = tempfile::tempdir().expect("a temporary folder");
    let out = shop.path().join("out");
    let refused = Run::tool("tekseal-provenance")
        .args(["--run", "-", "--out"])
        .arg(&out)
        .stdin(content)
        .fails_with(code);
    says(&refused, wanted);
    assert!(is_empty(&out), "nothing may be left in the folder");
}

#[test]
fn runs_that_cannot_be_attested_are_refused_with_their_reason() {
    let mut running = run_document(json!([]));
    running["status"]["conditions"][0]["status"] = json!("Unknown");
    refused_run(
        running.to_string().as_bytes(),
        1,
        &["team/build-1", "not completed", "Unknown"],
    );

    let mut unborn = run_document(json!([]));
    unborn["status"]["conditions"] = json!([]);
    refused_run(
        unborn.to_string().as_bytes(),
        1,
        &["not completed", "absent"],
    );

    let mut early = run_document(json!([]));
    early["status"]["steps"][0]["imageID"] = json!("");
    refused_run(
        early.to_string().as_bytes(),
        1,
        &["step \"build\"", "no image digest"],
    );

    refused_run(b"this is not JSON", 2, &["not a JSON object"]);
    refused_run(b"", 2, &["not a JSON object"]);
    refused_run(
        br#"{"apiVersion":"v1","kind":"Pod"}"#,
        2,
        &["Pod", "wanted a TaskRun or PipelineRun"],
    );
    refused_run(
        br#"{"apiVersion":"tekton.dev/v1alpha1","kind":"TaskRun"}"#,
        2,
        &["tekton.dev/v1alpha1"],
    );
    refused_run(
        br#"{"apiVersion":"tekton.dev/v1","kind":"TaskRun","status":{"steps":7}}"#,
        2,
        &["field status.steps", "expected a list"],
    );
    let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    refused_run(
        format!(r#"{{"kind":"TaskRun","apiVersion":"tekton.dev/v1","spec":{deep}}}"#).as_bytes(),
        2,
        &["field spec", "expected an object"],
    );
    let nested = r#"{"retriesStatus":["#.repeat(10_000);
    refused_run(
        format!(r#"{{"kind":"TaskRun","apiVersion":"tekton.dev/v1","status":{nested}"#).as_bytes(),
        2,
        &["field status.retriesStatus", "recursion limit"],
    );
    let mut large = run_document(json!([])).to_string().into_bytes();
    large.resize(20 << 20, b' ');
    refused_run(&large, 2, &["larger than"]);
}

#[test]
fn a_missing_run_or_a_bad_configuration_is_misuse() {
    let shop = Workshop::new();
    let out = shop.path("out");
    let provenance = |run: &Path| {
        Run::tool("tekseal-provenance")
            .arg("--run")
            .arg(run)
            .arg("--out")
            .arg(&out)
    };
    says(
        &provenance(Path::new("/nonexistent.json")).fails_with(2),
        &["/nonexistent.json", "No such file"],
    );
    let run = shop.run();
    says(
        &provenance(&run).args(["--format", "slsa/v9"]).fails_with(2),
        &["--format", "slsa/v9", "in-toto"],
    );
    let config = shop.file("config.json", r#"{"artifacts.taskrun.format": "tekton"}"#);
    says(
        &provenance(&run).arg("--config").arg(&config).fails_with(2),
        &["artifacts.taskrun.format", "tekton"],
    );
    let broken = shop.file("broken.json", "{");
    says(
        &provenance(&run).arg("--config").arg(&broken).fails_with(2),
        &["broken.json"],
    );
    assert!(is_empty(&out));
    provenance(&run).arg("--no-such-flag").fails_with(2);
}

#[test]
fn a_folder_that_cannot_be_made_is_misuse() {
    let shop = Workshop::new();
    let blocked = shop.file("blocked", "a file where a folder should be");
    let refused = Run::tool("tekseal-provenance")
        .arg("--run")
        .arg(shop.run())
        .arg("--out")
        .arg(blocked.join("out"))
        .fails_with(2);
    says(&refused, &["blocked/out"]);
}

// --- keys

fn refused_key(shop: &Workshop, key: &Path, password: Option<&str>, wanted: &[&str]) -> Output {
    let folder = shop.path("payloads");
    Run::tool("tekseal-provenance")
        .arg("--run")
        .arg(shop.run())
        .arg("--out")
        .arg(&folder)
        .ok();
    // A session of its own has no terminal, so nobody can be asked.
    let mut sign = Run::new("setsid")
        .arg("--wait")
        .arg(program("tekseal-sign"))
        .arg("--key")
        .arg(key)
        .arg(&folder);
    if let Some(password) = password {
        sign = sign.env("COSIGN_PASSWORD", password);
    }
    let refused = sign.fails_with(2);
    says(&refused, wanted);
    assert!(
        !folder.join("signed.json").exists(),
        "nothing may be signed"
    );
    refused
}

#[test]
fn keys_that_cannot_be_opened_are_refused_by_name() {
    let shop = Workshop::new();
    let (key, public) = shop.key_pair("ours");
    let text = fs::read_to_string(&key).expect("just made");

    let secret = "not the password";
    let refused = refused_key(&shop, &key, Some(secret), &["ours.key", "password"]);
    assert!(!refused.stderr.contains(secret));
    let refused = refused_key(&shop, &key, None, &["a password is needed"]);
    hints(&refused, "COSIGN_PASSWORD");
    let refused = refused_key(&shop, &public, Some(PASSWORD), &["ours.pub", "public key"]);
    assert!(!refused.stderr.is_empty());
    refused_key(
        &shop,
        &shop.file("cut.key", &text[..text.len() / 2]),
        Some(PASSWORD),
        &["cut.key"],
    );
    refused_key(
        &shop,
        &shop.file("no.key", "no key at all"),
        Some(PASSWORD),
        &["no.key", "PEM"],
    );
    refused_key(
        &shop,
        Path::new("/nonexistent.key"),
        Some(PASSWORD),
        &["/nonexistent.key"],
    );
    refused_key(
        &shop,
        Path::new("env://TEKSEAL_NO_SUCH_KEY"),
        Some(PASSWORD),
        &["TEKSEAL_NO_SUCH_KEY", "not set"],
    );
    for (reference, wanted) in [
        ("hashivault://x", &["hashivault://x", "VAULT_ADDR"][..]),
        ("pkcs11:token=t", &["pkcs11:token=t", "sigstore-kms-pkcs11"]),
        ("https://h/key", &["a private key is not read from a URL"]),
        ("gitlab://x", &["gitlab://x", "GITLAB_TOKEN is not set"]),
    ] {
        refused_key(&shop, Path::new(reference), Some(PASSWORD), wanted);
    }
    for (from, to, wanted) in [
        ("\"scrypt\"", "\"argon2\"", "argon2"),
        ("\"N\":65536", "\"N\":1073741824", "1073741824"),
        ("\"r\":8", "\"r\":1000000", "1000000"),
        ("nacl/secretbox", "aes/ecb", "aes/ecb"),
    ] {
        let changed = shop.file("changed.key", edit_key(&text, from, to));
        refused_key(&shop, &changed, Some(PASSWORD), &["changed.key", wanted]);
    }
}

/// The key file with something replaced in the JSON inside its PEM.
fn edit_key(pem: &str, from: &str, to: &str) -> String {
    let body: String = pem
        .lines()
        .filter(|line| !line.starts_with("-----"))
        .collect();
    let json = Run::new("base64").arg("-d").stdin(body).ok().stdout;
    assert!(json.contains(from), "{json}");
    let body = Run::new("base64")
        .args(["-w", "64"])
        .stdin(json.replace(from, to))
        .ok()
        .stdout;
    format!(
        "-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----\n{}\n-----END ENCRYPTED SIGSTORE PRIVATE KEY-----\n",
        body.trim_end()
    )
}

#[test]
fn verify_refuses_what_is_no_public_key_and_flags_that_contradict() {
    let shop = Workshop::new();
    let (private, public) = plain_key();
    says(
        &shop.verify(&private).fails_with(2),
        &["plain.pem", "private key"],
    );
    says(
        &shop
            .verify(&public)
            .args(["--type", "nonsense"])
            .fails_with(2),
        &["nonsense"],
    );
    says(
        &shop
            .verify(&public)
            .args(["--only", "signature", "--type", "spdx"])
            .fails_with(2),
        &["--type", "--only"],
    );
    says(
        &shop.verify(&public).args(["-a", "novalue"]).fails_with(2),
        &["novalue"],
    );
    says(
        &Run::tool("tekseal-verify")
            .arg("--key")
            .arg(&public)
            .arg("quay.io/Upper/case")
            .fails_with(2),
        &["Upper/case"],
    );
}

#[test]
fn a_key_given_in_place_of_its_reference_is_not_shown() {
    let shop = Workshop::new();
    let (private, _) = plain_key();
    let text = fs::read_to_string(private).expect("a fixture");
    let folder = shop.path("payloads");
    let refused = Run::tool("tekseal-sign")
        .env("TEKSEAL_KEY", &text)
        .arg(&folder)
        .fails_with(2);
    let body = text.lines().nth(1).expect("PEM has a body");
    assert!(!refused.stderr.contains(body), "{}", refused.stderr);
}

#[test]
fn a_pipe_or_a_link_in_the_folder_is_refused_at_once() {
    let shop = Workshop::new();
    let (key, _) = plain_key();
    let folder = shop.path("payloads");
    fs::create_dir(&folder).expect("ours");
    Run::new("mkfifo").arg(folder.join("payloads.json")).ok();
    let sign = || {
        Run::tool("tekseal-sign")
            .arg("--key")
            .arg(&key)
            .arg(&folder)
            .timeout(Duration::from_secs(20))
    };
    says(&sign().fails_with(2), &["not a plain file"]);
    fs::remove_file(folder.join("payloads.json")).expect("ours");
    std::os::unix::fs::symlink("/etc/hostname", folder.join("payloads.json")).expect("ours");
    says(&sign().fails_with(2), &["not a plain file"]);
}

// --- registries

#[test]
fn a_registry_that_is_down_is_the_outsides_fault() {
    let shop = Workshop::new();
    let (key, public) = plain_key();
    let free = std::net::TcpListener::bind("127.0.0.1:0")
        .and_then(|l| l.local_addr())
        .expect("a free port");
    let run = shop.run_at(&free.to_string());
    says(
        &shop.attest_command(&run, &key).fails_with(3),
        &[&free.to_string()],
    );
    let image = format!("{free}/team/app@{}", shop.digest);
    Run::tool("tekseal-verify")
        .arg("--key")
        .arg(&public)
        .args(["--retry-for", "1"])
        .arg(&image)
        .fails_with(3);
}

#[test]
fn answers_of_a_registry_have_their_exit_codes() {
    for (status, code) in [(401, 2), (403, 2), (500, 3), (502, 3), (429, 3)] {
        let shop = Workshop::new();
        let (key, _) = plain_key();
        let proxy = Proxy::start(shop.registry.address());
        let body = br#"{"errors":[{"code":"DENIED","message":"no \u001b[31mway"}]}"#;
        proxy.on("POST", "/blobs/uploads/").answer(
            status,
            &[("Content-Type", "application/json")],
            body,
        );
        let refused = shop
            .attest_command(&shop.run_at(proxy.address()), &key)
            .fails_with(code);
        let wanted = match status {
            401 => "asks for credentials and none was found".to_owned(),
            403 => "denied".to_owned(),
            other => other.to_string(),
        };
        says(&refused, &[&wanted]);
        assert!(
            !refused.stderr.contains('\u{1b}'),
            "an escape sequence of the registry reached the terminal"
        );
        assert!(shop.layers("sig").is_empty() && shop.layers("att").is_empty());
    }
}

#[test]
fn failures_that_pass_are_retried_without_losing_or_doubling_anything() {
    let shop = Workshop::new();
    let (key, public) = plain_key();
    let proxy = Proxy::start(shop.registry.address());
    proxy
        .on("PUT", "/manifests/")
        .first(1)
        .answer(503, &[], b"");
    proxy
        .on("POST", "/blobs/uploads/")
        .first(1)
        .answer(429, &[("Retry-After", "0")], b"");
    proxy.on("PUT", "/blobs/uploads/").first(1).refuse();
    shop.attest_command(&shop.run_at(proxy.address()), &key)
        .args(["--retry-for", "30"])
        .ok();
    assert_eq!((shop.layers("sig").len(), shop.layers("att").len()), (1, 1));
    let image = format!("{}/team/app@{}", proxy.address(), shop.digest);
    Run::tool("tekseal-verify")
        .arg("--key")
        .arg(&public)
        .arg(&image)
        .ok();
}

#[test]
fn a_manifest_whose_answer_was_lost_is_not_written_twice() {
    let shop = Workshop::new();
    let (key, _) = plain_key();
    let proxy = Proxy::start(shop.registry.address());
    proxy.on("PUT", ".sig").first(1).lose_answer();
    shop.attest_command(&shop.run_at(proxy.address()), &key)
        .args(["--retry-for", "30"])
        .ok();
    assert_eq!(shop.layers("sig").len(), 1);
}

#[test]
fn what_a_broken_or_hostile_registry_hands_out_is_refused() {
    let shop = Workshop::new();
    let (key, public) = plain_key();
    let proxy = Proxy::start(shop.registry.address());
    shop.attest_command(&shop.run_at(proxy.address()), &key)
        .ok();
    let image = format!("{}/team/app@{}", proxy.address(), shop.digest);
    let verify = |proxy: &Proxy| {
        let image = image.replace(image.split('/').next().unwrap_or_default(), proxy.address());
        Run::tool("tekseal-verify")
            .arg("--key")
            .arg(&public)
            .args(["--retry-for", "1"])
            .arg(image)
    };

    let cut = Proxy::start(shop.registry.address());
    cut.on("GET", "/blobs/").cut(20);
    assert_eq!(verify(&cut).fails_with(3).stdout, "");

    let swapped = Proxy::start(shop.registry.address());
    swapped
        .on("GET", "/blobs/")
        .edit(|answer| answer.body[0] ^= 1);
    assert_eq!(verify(&swapped).fails_with(3).stdout, "");

    for bad in [&b"not json"[..], b"[]", b"{\"layers\":7}"] {
        let garbled = Proxy::start(shop.registry.address());
        garbled.on("GET", "/manifests/").answer(
            200,
            &[("Content-Type", "application/vnd.oci.image.manifest.v1+json")],
            bad,
        );
        assert_eq!(verify(&garbled).fails_with(1).stdout, "");
    }

    let huge = Proxy::start(shop.registry.address());
    let many = vec![b' '; 9 << 20];
    huge.on("GET", "/manifests/").answer(
        200,
        &[("Content-Type", "application/vnd.oci.image.manifest.v1+json")],
        &many,
    );
    let refused = verify(&huge).run();
    assert!(
        matches!(refused.code(), Some(1 | 3)) && refused.stdout.is_empty(),
        "{}",
        refused.stderr
    );
}

#[test]
fn a_registry_that_sends_a_byte_a_second_does_not_hold_the_pipeline() {
    let shop = Workshop::new();
    let (_, public) = plain_key();
    let proxy = Proxy::start(shop.registry.address());
    let _hanging = proxy.on("GET", "/manifests/").hold(Moment::BeforeAnswering);
    let image = format!("{}/team/app@{}", proxy.address(), shop.digest);
    let verify = Run::tool("tekseal-verify")
        .arg("--key")
        .arg(&public)
        .args(["--timeout", "1"])
        .arg(image);
    says(
        &verify.timeout(Duration::from_secs(20)).fails_with(3),
        &["not done after 1 seconds"],
    );
}

#[test]
fn a_tag_that_holds_something_else_is_left_as_it_is() {
    let shop = Workshop::new();
    let (key, _) = plain_key();
    let tag = format!("{}.sig", shop.digest.replace(':', "-"));
    let index = shop.registry.push_index("team/app", "multi").image;
    let foreign = shop
        .registry
        .manifest("team/app", &index.digest)
        .expect("just pushed");
    shop.registry
        .put_manifest("team/app", &tag, &foreign.media_type, &foreign.bytes);
    shop.attest_command(&shop.run(), &key).fails_with(1);
    assert_eq!(
        shop.registry
            .manifest("team/app", &tag)
            .expect("still there")
            .bytes,
        foreign.bytes
    );
}

#[test]
fn credentials_are_used_and_wrong_ones_are_misuse() {
    let shop = Workshop::with(Registry::setup().with_basic_auth().start());
    let (key, public) = plain_key();
    let refused = shop.attest_command(&shop.run(), &key).fails_with(2);
    says(&refused, &["asks for credentials and none was found"]);
    hints(&refused, "auths");
    let config = shop.registry.docker_config(shop.registry.address());
    let file = config.join("config.json");
    shop.attest_command(&shop.run(), &key)
        .arg("--auth-file")
        .arg(&file)
        .ok();
    shop.verify(&public).env("REGISTRY_AUTH_FILE", &file).ok();
    shop.verify(&public)
        .env("DOCKER_CONFIG", file.parent().expect("a folder"))
        .ok();

    let text = fs::read_to_string(&file).expect("just written");
    let wrong = shop.file(
        "wrong.json",
        json!({"auths": {shop.registry.address(): {"username": USER, "password": "wrong-secret"}}})
            .to_string(),
    );
    let refused = shop
        .verify(&public)
        .env("REGISTRY_AUTH_FILE", &wrong)
        .fails_with(2);
    assert!(!refused.stderr.contains("wrong-secret") && !refused.stderr.contains(&text));
    let broken = shop.file(
        "broken.json",
        "{\"auths\": {\"x\": {\"password\": \"hush-hush\" ",
    );
    let refused = shop
        .verify(&public)
        .arg("--auth-file")
        .arg(&broken)
        .fails_with(2);
    says(&refused, &["broken.json"]);
    assert!(!refused.stderr.contains("hush-hush"));
}

#[test]
fn a_private_authority_must_be_named() {
    let shop = Workshop::with(Registry::setup().with_tls().start());
    let (key, public) = plain_key();
    let ca = shop.registry.certificates().expect("it has TLS").ca();
    shop.attest_command(&shop.run(), &key)
        .arg("--registry-ca")
        .arg(&ca)
        .ok();
    shop.verify(&public).env("TEKSEAL_REGISTRY_CA", &ca).ok();
    shop.verify(&public)
        .args(["--insecure-registry", shop.registry.address()])
        .ok();
}

#[test]
fn sigterm_in_the_middle_publishes_nothing_and_leaves_no_index() {
    let shop = Workshop::new();
    let (key, _) = plain_key();
    let proxy = Proxy::start(shop.registry.address());
    let gate = proxy
        .on("PUT", "/blobs/uploads/")
        .hold(Moment::BeforeForwarding);
    let folder = shop.path("payloads");
    Run::tool("tekseal-provenance")
        .arg("--run")
        .arg(shop.run_at(proxy.address()))
        .arg("--out")
        .arg(&folder)
        .ok();
    Run::tool("tekseal-sign")
        .arg("--key")
        .arg(&key)
        .arg(&folder)
        .ok();
    let running = Run::tool("tekseal-upload")
        .arg(&folder)
        .timeout(Duration::from_secs(20))
        .start();
    gate.wait_until_held();
    running.signal("TERM");
    let ended = running.wait();
    assert_ne!(ended.code(), Some(0));
    gate.release();
    assert!(!folder.join("stored.json").exists());
    assert!(shop.layers("sig").is_empty() && shop.layers("att").is_empty());
}

#[test]
fn bearer_tokens_are_fetched_once_with_the_scope_that_is_needed() {
    let shop = Workshop::new();
    let (key, _) = plain_key();
    let proxy = Proxy::start_with_bearer(
        shop.registry.address(),
        Bearer::new(USER, tekseal_harness::PASSWORD),
    );
    let config = shop.registry.docker_config(proxy.address());
    let file = config.join("config.json");
    shop.attest_command(&shop.run_at(proxy.address()), &key)
        .arg("--auth-file")
        .arg(&file)
        .ok();
    let scopes = proxy.scopes_asked();
    assert_eq!(scopes, ["repository:team/app:pull,push"]);
}

/// Whoever looks for a fault asks for them. Each error is then made with one, also those that are dealt with, and released programs have no tables to make
/// one of.
#[test]
fn errors_are_told_where_backtraces_are_asked_for() {
    let shop = Workshop::new();
    let out = shop.path("out");
    let asking = |name: &str| Run::tool(name).env("RUST_BACKTRACE", "1");
    let provenance = || asking("tekseal-provenance").arg("--run").arg(shop.run());
    provenance().arg("--out").arg(&out).ok();
    let refusals: [(&str, &[&str]); 6] = [
        ("tekseal-keys", &["public", "absent.pub"]),
        (
            "tekseal-provenance",
            &["--run", "absent", "--out", "absent"],
        ),
        ("tekseal-sign", &["absent", "--key", "absent"]),
        ("tekseal-upload", &["absent"]),
        ("tekseal-explain", &["absent"]),
        ("tekseal-controller", &[]),
    ];
    for (name, args) in refusals {
        let said = asking(name).args(args).fails_with(2);
        let all = format!("{}{}", said.stdout, said.stderr);
        assert!(all.contains("error"), "{name}: {all}");
    }
}
