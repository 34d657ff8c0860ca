//! Keys that a service holds: here a plugin of cosign's protocol, whose keys are files with which openssl signs.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use tekseal_harness::{Run, Running, Spire, Vault};

use super::stand::{OCI, PATIENCE, SIGNED, Stand, annotation, is_signed_once, layers};

/// Everything signed with the key of a service, in the registry.
const KMS: &[(&str, &str)] = &[
    ("artifacts.taskrun.format", "slsa/v1"),
    ("artifacts.taskrun.storage", "oci"),
    ("artifacts.taskrun.signer", "kms"),
    ("artifacts.oci.signer", "kms"),
];

/// The PATH with the plugin `openssl` before all else.
fn path() -> OsString {
    let plugins = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/custody/tests/plugins");
    let mut path = plugins.into_os_string();
    path.push(":");
    path.push(std::env::var_os("PATH").unwrap_or_default());
    path
}

fn start(stand: &Stand) -> Running {
    stand.command().env("PATH", path()).start()
}

/// A new key of the service, under this name.
fn make_key(stand: &Stand, name: &str) -> PathBuf {
    let key = stand.path(name);
    Run::new("openssl")
        .args([
            "genpkey",
            "-algorithm",
            "EC",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-out",
        ])
        .arg(&key)
        .ok();
    key
}

fn reference(key: &Path) -> String {
    format!("openssl://{}", key.display())
}

/// The public half, in a file beside it.
fn public(key: &Path) -> PathBuf {
    let public = key.with_extension("pub");
    Run::new("openssl")
        .args(["pkey", "-pubout", "-in"])
        .arg(key)
        .arg("-out")
        .arg(&public)
        .ok();
    public
}

fn configure(stand: &Stand, pairs: &[(&str, &str)], key: &Path) {
    let key = reference(key);
    stand.configure(&[pairs, &[("signers.kms.kmsref", &key)]].concat());
}

fn verify(stand: &Stand, key: &Path) -> Run {
    Run::tool("tekseal-verify")
        .arg("--key")
        .arg(key)
        .arg(stand.image())
}

/// Waits for an Event about the configuration, and gives its note.
#[track_caller]
pub(super) fn wait_told(stand: &Stand, reason: &str) -> String {
    let path = format!("/apis/events.k8s.io/v1/namespaces/{}/events", stand.system);
    let deadline = Instant::now() + PATIENCE;
    loop {
        let list = stand.api.get(&path).expect("Events can be listed");
        let events = list["items"].as_array().cloned().unwrap_or_default();
        if let Some(found) = events.iter().find(|event| event["reason"] == reason) {
            return found["note"].as_str().unwrap_or_default().to_owned();
        }
        assert!(Instant::now() < deadline, "no {reason} among {events:#?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn runs_are_signed_with_the_key_of_a_service() {
    let Some(stand) = Stand::new() else { return };
    let key = make_key(&stand, "service.key");
    fs::remove_file(stand.keys().join("x509.pem")).expect("it is there");
    configure(&stand, KMS, &key);
    let _controller = start(&stand);
    let run = stand.completed("app", stand.image_results());
    let run = stand.wait_marked(&run);
    is_signed_once(&run, &stand.registry, "team/app", &stand.digest);
    verify(&stand, &public(&key))
        .args(["--type", "slsaprovenance02"])
        .ok();
    // Records are signed with it too: what was signed is not looked at again.
    let again = stand.completed("again", stand.image_results());
    stand.wait_marked(&again);
    assert_eq!(layers(&stand.registry, "team/app", &stand.digest, "sig"), 1);
    stand.nothing_is_called_forged();
}

/// What the configuration says of it is enough, beside the authority: by the flag, or as Vault's own client reads it.
#[test]
#[ignore = "needs Vault: ./test --sigstore"]
fn a_vault_with_a_private_authority_signs_runs() {
    let Some(stand) = Stand::new() else { return };
    let Some(vault) = Vault::start_with_https("127.0.0.1") else {
        return;
    };
    vault.make_key("release", "ecdsa-p256");
    vault.make_policy("release");
    let (url, token) = (vault.https_url(), vault.token(&["release"], "1h"));
    let of_vault = [
        ("signers.kms.kmsref", "openbao://release"),
        ("signers.kms.auth.address", url.as_str()),
        ("signers.kms.auth.token", token.as_str()),
    ];
    stand.configure(&[KMS, &of_vault].concat());
    let by_flag = |run: Run| run.arg("--registry-ca").arg(vault.ca());
    let by_variable = |run: Run| run.env("VAULT_CACERT", vault.ca());
    let ways: [(&str, &dyn Fn(Run) -> Run); 2] = [("flag", &by_flag), ("variable", &by_variable)];
    for (name, way) in ways {
        let _controller = way(stand.command()).start();
        let run = stand.completed(name, stand.image_results());
        let run = stand.wait_marked(&run);
        assert_eq!(annotation(&run, SIGNED), Some("true"), "{name}: {run}");
    }
    let public = Run::tool("tekseal-keys")
        .args(["public", "openbao://release", "--ca"])
        .arg(vault.ca())
        .env("BAO_ADDR", &url)
        .env("BAO_TOKEN", &token)
        .ok();
    let file = stand.path("vault.pub");
    fs::write(&file, public.stdout).expect("the folder is ours");
    verify(&stand, &file)
        .args(["--type", "slsaprovenance02"])
        .ok();
}

#[test]
fn each_type_of_artifact_has_the_key_of_its_signer() {
    let Some(stand) = Stand::new() else { return };
    let key = make_key(&stand, "service.key");
    let mixed = [&KMS[..3], &[("artifacts.oci.signer", "x509")]].concat();
    configure(&stand, &mixed, &key);
    let _controller = start(&stand);
    let run = stand.completed("app", stand.image_results());
    let run = stand.wait_marked(&run);
    is_signed_once(&run, &stand.registry, "team/app", &stand.digest);
    // The image signature is the mounted key's, the provenance the service's.
    verify(&stand, &stand.public_key())
        .args(["--only", "signature"])
        .ok();
    verify(&stand, &stand.public_key())
        .args(["--type", "slsaprovenance02"])
        .fails_with(1);
    verify(&stand, &public(&key))
        .args(["--only", "attestation", "--type", "slsaprovenance02"])
        .ok();
}

#[test]
fn a_key_that_was_rotated_is_used_without_a_restart_and_told() {
    let Some(stand) = Stand::new() else { return };
    let key = make_key(&stand, "service.key");
    configure(&stand, KMS, &key);
    let _controller = start(&stand);
    let run = stand.completed("before", stand.image_results());
    let before = stand.wait_marked(&run);
    let old = fs::read(public(&key)).expect("just written");
    // The service has another key now, whose public half the controller has not asked for.
    let next = make_key(&stand, "next.key");
    fs::rename(&next, &key).expect("the folder is ours");
    let run = stand.completed("after", stand.image_results());
    let run = stand.wait_marked(&run);
    assert_eq!(annotation(&run, SIGNED), Some("true"));
    assert_ne!(fs::read(public(&key)).expect("just written"), old);
    verify(&stand, &public(&key)).ok();
    let told = wait_told(&stand, "KeyChanged");
    assert!(
        told.contains("signs from now on what the signer kms does, before it was SHA256:"),
        "{told}"
    );
    // What the old key recorded is believed all the same.
    let uid = |run: &Value| run["metadata"]["uid"].clone();
    assert_ne!(uid(&before), uid(&run));
    stand.nothing_is_called_forged();
}

#[test]
fn a_rules_key_that_was_rotated_is_told_too() {
    let Some(stand) = Stand::new() else { return };
    let key = make_key(&stand, "service.key");
    let rule = format!("{}: {}", stand.builds, reference(&key));
    stand.configure(&[OCI, &[("tekseal.keys", &rule)]].concat());
    let _controller = start(&stand);
    stand.wait_marked(&stand.completed("before", stand.image_results()));
    verify(&stand, &public(&key)).ok();
    // The controller looks every five seconds which keys there are; what came and went in between is not told.
    thread::sleep(Duration::from_secs(6));
    let next = make_key(&stand, "next.key");
    fs::rename(&next, &key).expect("the folder is ours");
    stand.wait_marked(&stand.completed("after", stand.image_results()));
    verify(&stand, &public(&key)).ok();
    let told = wait_told(&stand, "KeyChanged");
    let named = format!(
        "for the namespaces to which tekseal.keys gives {}, before it was SHA256:",
        reference(&key)
    );
    assert!(told.contains(&named), "{told}");
    stand.nothing_is_called_forged();
}

#[test]
fn a_service_that_does_not_sign_is_waited_for_beyond_all_tries() {
    let Some(stand) = Stand::new() else { return };
    let key = make_key(&stand, "service.key");
    let sealed = stand.path("service.key.sealed");
    fs::write(&sealed, "").expect("the folder is ours");
    // What is done with a run can be recorded: the key that is mounted is there.
    let mixed = [
        ("artifacts.taskrun.storage", "oci"),
        ("artifacts.oci.signer", "kms"),
        ("tekseal.retry-for", "1s"),
    ];
    configure(&stand, &mixed, &key);
    let _controller = start(&stand);
    let run = stand.completed("app", stand.image_results());
    let told = stand.wait_event(&run, "SigningBlocked");
    assert!(told.contains("it is sealed"), "{told}");
    thread::sleep(Duration::from_secs(8));
    let run = stand.wait(&run, |_| true);
    assert_eq!(annotation(&run, SIGNED), None);
    assert_eq!(layers(&stand.registry, "team/app", &stand.digest, "att"), 0);
    fs::remove_file(&sealed).expect("it is there");
    let run = stand.wait_within(Duration::from_secs(90), &run, |run| {
        annotation(run, SIGNED).is_some()
    });
    is_signed_once(&run, &stand.registry, "team/app", &stand.digest);
}

#[test]
fn a_service_that_refuses_is_waited_for_and_nothing_is_published() {
    let Some(stand) = Stand::new() else { return };
    let key = stand.path("service.key");
    fs::remove_file(stand.keys().join("x509.pem")).expect("it is there");
    configure(&stand, KMS, &key);
    let _controller = start(&stand);
    let run = stand.completed("app", stand.image_results());
    let told = stand.wait_event(&run, "SigningBlocked");
    assert!(told.contains("there is no key at"), "{told}");
    assert_eq!(layers(&stand.registry, "team/app", &stand.digest, "sig"), 0);
    make_key(&stand, "service.key");
    let run = stand.wait_marked(&run);
    is_signed_once(&run, &stand.registry, "team/app", &stand.digest);
}

#[test]
#[ignore = "needs Vault and SPIRE: ./test --sigstore"]
fn spire_says_to_vault_who_the_controller_is() {
    let (Some(stand), Some(vault), Some(spire)) = (Stand::new(), Vault::start(), Spire::start(""))
    else {
        return;
    };
    vault.make_key("controller", "ecdsa-p256");
    vault.make_policy("controller");
    let id = format!("spiffe://{}/controller", Spire::TRUST_DOMAIN);
    vault.let_in_by(&spire.keys_pem(), "signer", &id, "controller", 0);
    fs::remove_file(stand.keys().join("x509.pem")).expect("it is there");
    let (address, socket) = (vault.url(), spire.address());
    let of_vault = [
        ("signers.kms.kmsref", "hashivault://controller"),
        ("signers.kms.auth.address", &*address),
        ("signers.kms.auth.oidc.path", "jwt"),
        ("signers.kms.auth.oidc.role", "signer"),
        ("signers.kms.auth.spire.sock", &*socket),
        ("signers.kms.auth.spire.audience", "vault"),
    ];
    stand.configure(&[KMS, &of_vault].concat());
    let _controller = start(&stand);
    let run = stand.completed("app", stand.image_results());
    let told = stand.wait_event(&run, "SigningBlocked");
    assert!(told.contains("has no identity for this process"), "{told}");
    assert_eq!(layers(&stand.registry, "team/app", &stand.digest, "sig"), 0);
    spire.name("controller");
    let run = stand.wait_marked(&run);
    is_signed_once(&run, &stand.registry, "team/app", &stand.digest);
    let public = Run::tool("tekseal-keys").args(["public", "hashivault://controller"]);
    let public = public
        .env("VAULT_ADDR", &address)
        .env("VAULT_TOKEN", vault.root());
    let key = stand.path("vault.pub");
    fs::write(&key, public.ok().stdout).expect("the folder is ours");
    verify(&stand, &key).ok();
}
