//! KMS plugins as processes: evil ones, of which nothing is published; ours for PKCS#11 with a token of SoftHSM, started by ours and by both cosigns; and ours starting one that sigstore's own half of
//! the protocol is in.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tekseal_harness::{Cosign, Layout, Run, SoftHsm, cosign, peer_folder, program};

use crate::workshop::Workshop;

const VERSIONS: [&str; 2] = ["2.6.5", "3.1.3"];

/// A registry with an image, a token, and a folder of PATH with our plugin under both names.
struct Bench {
    shop: Workshop,
    hsm: SoftHsm,
}

impl Bench {
    fn new() -> Option<Self> {
        let hsm = SoftHsm::start()?;
        let shop = Workshop::new();
        fs::create_dir(shop.path("plugins")).expect("the folder is ours");
        for name in ["sigstore-kms-pkcs11", "sigstore-kms-hsm"] {
            let plugin = program("sigstore-kms-pkcs11");
            symlink(plugin, shop.path("plugins").join(name)).expect("the folder is ours");
        }
        Some(Self { shop, hsm })
    }

    /// With the plugins in PATH, and with the token.
    fn with(&self, run: Run) -> Run {
        with_path(run, &self.shop.path("plugins"))
            .env("SOFTHSM2_CONF", self.hsm.settings())
            .env("COSIGN_PKCS11_MODULE_PATH", self.hsm.module())
            .env("COSIGN_PKCS11_PIN", SoftHsm::PIN)
    }

    /// What our plugin answers, asked by nobody in particular.
    fn asked(&self, key: &str, method: &str, args: &Value) -> Value {
        let call = json!({
            "initOptions": {"protocolVersion": "v1", "keyResourceID": key, "hashFunc": 5, "rpcOptions": null},
            "methodName": method,
            method: args,
        });
        let run = Run::new(self.shop.path("plugins/sigstore-kms-pkcs11"));
        let run = run.args(["v1".to_owned(), call.to_string()]);
        self.with(run).run().json()
    }

    /// Makes a key of this label, and gives the file of its public half.
    fn made(&self, label: &str, algorithm: &str) -> PathBuf {
        let key = format!("token=tekseal;object={label}");
        let answer = self.asked(&key, "createKey", &json!({"algorithm": algorithm}));
        let encoded = answer["createKey"]["publicKeyPEM"].as_str();
        let encoded = encoded.unwrap_or_else(|| panic!("no {algorithm} key: {answer}"));
        let pem = Run::new("base64").arg("--decode").stdin(encoded).ok();
        self.shop.file(&format!("{label}.pub"), pem.stdout)
    }

    fn attest(&self, shop: &Workshop, key: &str) -> Run {
        self.with(shop.attest_command(&shop.run(), Path::new(key)))
    }
}

fn with_path(run: Run, folder: &Path) -> Run {
    let path = std::env::var("PATH").expect("there is a PATH");
    run.env("PATH", format!("{}:{path}", folder.display()))
}

/// The folder with the plugins of the tests of `tekseal-custody`.
fn scripts() -> PathBuf {
    let plugins = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/custody/tests/plugins");
    plugins.canonicalize().expect("it is there")
}

fn made_by_openssl(file: PathBuf) -> PathBuf {
    let make = Run::new("openssl").args(["genpkey", "-algorithm", "EC"]);
    let make = make.args(["-pkeyopt", "ec_paramgen_curve:P-256", "-out"]);
    make.arg(&file).ok();
    file
}

fn each_cosign(test: impl Fn(&Cosign)) {
    for version in VERSIONS {
        if let Some(cosign) = cosign(version) {
            test(&cosign);
        }
    }
}

/// Both cosigns, and ours, with the public half.
fn all_verify(shop: &Workshop, public: &Path) {
    shop.verify(public).ok();
    each_cosign(|cosign| {
        cosign.verify(public, &shop.image, &[]).ok();
        cosign
            .verify_attestation(public, "slsaprovenance", &shop.image, &[])
            .ok();
    });
}

#[test]
#[ignore = "needs softhsm2: ./test --sigstore"]
fn what_a_key_in_a_token_signed_is_verified_by_both_cosigns() {
    let Some(bench) = Bench::new() else { return };
    for algorithm in [
        "ecdsa-p256",
        "ecdsa-p384",
        "ecdsa-p521",
        "rsa-2048",
        "ed25519",
    ] {
        let public = bench.made(algorithm, algorithm);
        let shop = Workshop::new();
        // As cosign writes it, and as a plugin's reference.
        for scheme in ["pkcs11:", "pkcs11://"] {
            let key = format!("{scheme}token=tekseal;object={algorithm}");
            bench.attest(&shop, &key).ok();
        }
        all_verify(&shop, &public);
        // A verifier asks the token for the public half itself.
        let key = format!("pkcs11:token=tekseal;object={algorithm}");
        let verify = bench.with(shop.verify(Path::new(&key)));
        verify.env("COSIGN_PKCS11_PIN", "").ok();
    }
}

#[test]
#[ignore = "needs softhsm2: ./test --sigstore"]
fn cosign_makes_keys_signs_and_verifies_through_our_plugin() {
    let Some(bench) = Bench::new() else { return };
    each_cosign(|cosign| {
        let label = format!("of-cosign-{}", cosign.major());
        // cosign keeps the scheme pkcs11 for itself.
        let key = format!("hsm://token=tekseal;object={label}");
        let folder = bench.shop.path(&label);
        fs::create_dir(&folder).expect("the folder is ours");
        let generate = cosign.run("generate-key-pair").args(["--kms", &key]);
        bench.with(generate.folder(&folder)).ok();
        let public = folder.join("cosign.pub");
        let again = cosign.run("generate-key-pair").args(["--kms", &key]);
        bench
            .with(again.folder(&folder))
            .fails_with(1)
            .says("has a key with the label");

        let layouts: &[Layout] = match cosign.major() {
            2 => &[Layout::Tags],
            _ => &[Layout::Tags, Layout::Bundles],
        };
        for layout in layouts {
            let shop = Workshop::new();
            let sign = cosign.sign_command(Path::new(&key), "", *layout);
            bench.with(sign.arg(&shop.image)).ok();
            // With the file, and through the plugin, by either program.
            cosign.verify(&public, &shop.image, &[]).ok();
            let verify = cosign.run("verify").args(["--key", &key]);
            let verify = verify.arg("--insecure-ignore-tlog=true").arg(&shop.image);
            bench.with(verify).ok();
            for key in [public.as_path(), Path::new(&key)] {
                let verify = shop.verify(key).args(["--only", "signature"]);
                bench.with(verify).ok();
            }
            // A key of another name verifies nothing.
            let other = bench.made(&format!("{label}-{layout:?}"), "ecdsa-p256");
            let other = other
                .file_stem()
                .expect("it has a name")
                .display()
                .to_string();
            let verify = cosign.run("verify");
            let verify = verify.args(["--key", &format!("hsm://token=tekseal;object={other}")]);
            let verify = verify.arg("--insecure-ignore-tlog=true").arg(&shop.image);
            let refused = bench.with(verify).run();
            assert_ne!(refused.code(), Some(0), "{refused:?}");
        }
        // What ours signs with the same key.
        let shop = Workshop::new();
        bench
            .attest(&shop, &format!("pkcs11:token=tekseal;object={label}"))
            .ok();
        all_verify(&shop, &public);
    });
}

#[test]
#[ignore = "needs softhsm2: ./test --sigstore"]
fn a_pin_comes_from_a_file_and_a_wrong_one_or_none_publishes_nothing() {
    let Some(bench) = Bench::new() else { return };
    let public = bench.made("k", "ecdsa-p256");
    let Bench { shop, hsm } = &bench;
    let pin = shop.file("pin", format!("{}\n", SoftHsm::PIN));
    let wrong = shop.file("wrong", "another");
    let with_pin_of = |file: &Path| {
        format!(
            "pkcs11:token=tekseal;object=k?pin-source=file:{}",
            file.display()
        )
    };
    let plain = "pkcs11:token=tekseal;object=k".to_owned();
    for (key, variables, why) in [
        (
            with_pin_of(&wrong),
            [("COSIGN_PKCS11_PIN", SoftHsm::PIN); 1],
            "did not accept the PIN: it is another one",
        ),
        (
            with_pin_of(Path::new("/nowhere/pin")),
            [("COSIGN_PKCS11_PIN", SoftHsm::PIN)],
            "cannot read the PIN file /nowhere/pin",
        ),
        (
            plain.clone(),
            [("COSIGN_PKCS11_PIN", "")],
            "the token wants a PIN",
        ),
        (
            plain.clone(),
            [("COSIGN_PKCS11_MODULE_PATH", "")],
            "no PKCS#11 module",
        ),
        (
            plain.clone(),
            [("COSIGN_PKCS11_MODULE_PATH", "/etc/hostname")],
            "cannot be loaded",
        ),
        (
            "pkcs11:token=other;object=k".to_owned(),
            [("LC_ALL", "C")],
            r#"no token with the label \"other\"; there are \"tekseal\""#,
        ),
        (
            "pkcs11:token=tekseal;object=other".to_owned(),
            [("LC_ALL", "C")],
            r#"no public key with the label \"other\""#,
        ),
        (
            "pkcs11:object=k".to_owned(),
            [("LC_ALL", "C")],
            "it names no token",
        ),
        (
            "my-hsm://k".to_owned(),
            [("LC_ALL", "C")],
            "sigstore-kms-my-hsm is in none of the",
        ),
    ] {
        let run = bench.attest(shop, &key);
        let run = variables
            .into_iter()
            .fold(run, |run, (name, value)| run.env(name, value));
        let refused = run.fails_with(2).says(why);
        assert!(!refused.stderr.contains(SoftHsm::PIN), "{refused:?}");
        assert_eq!(shop.registry.tags("team/app").len(), 1, "{why}");
    }

    // As cosign has it, which is warned of, and shown nowhere.
    let key = format!(
        "pkcs11:token=tekseal;object=k?module-path={}&pin-value={}",
        hsm.module().display(),
        SoftHsm::PIN
    );
    let said = bench
        .attest(shop, &key)
        .env("COSIGN_PKCS11_PIN", "")
        .env("COSIGN_PKCS11_MODULE_PATH", "")
        .ok()
        .says("the PIN stands in the key reference");
    assert!(!said.stderr.contains(SoftHsm::PIN), "{said:?}");
    shop.verify(&public).ok();

    let fresh = Workshop::new();
    let quiet = bench
        .attest(&fresh, &with_pin_of(&pin))
        .env("COSIGN_PKCS11_PIN", "")
        .ok();
    assert!(!quiet.stderr.contains("the plugin says"), "{quiet:?}");
    fresh.verify(&public).ok();
}

#[test]
#[ignore = "needs softhsm2: ./test --sigstore"]
fn two_keys_of_one_label_are_told_apart_by_id_and_never_guessed() {
    let Some(bench) = Bench::new() else { return };
    for id in ["%01", "%02"] {
        let key = format!("token=tekseal;object=twin;id={id}");
        let made = bench.asked(&key, "createKey", &json!({"algorithm": "ecdsa-p256"}));
        assert!(made["createKey"].is_object(), "{made}");
    }
    let options = json!({"publicKeyOptions": {"rpcOptions": {}}});
    let asked = |key: &str| bench.asked(key, "publicKey", &options);
    let either = asked("token=tekseal;object=twin");
    assert_eq!(
        either["errorMessage"],
        r#"the token holds 2 public keys with the label "twin"; say which with id and object"#
    );
    let (one, two) = (asked("token=tekseal;id=%01"), asked("token=tekseal;id=%02"));
    assert!(one["publicKey"].is_object(), "{one}");
    assert_ne!(one, two);
}

#[test]
#[ignore = "needs a plugin with sigstore's half of the protocol: ./test --sigstore"]
fn ours_starts_a_plugin_with_sigstores_half_of_the_protocol() {
    let plugins = peer_folder().join("kms-plugin-1.10.8");
    if !plugins.join("sigstore-kms-localkms").is_file() {
        assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"));
        println!("skipped: sigstore-kms-localkms is not built: run tests/peers --sigstore");
        return;
    }
    let shop = Workshop::new();
    let key = format!("localkms://{}", shop.path("key.pem").display());
    let attest = || with_path(shop.attest_command(&shop.run(), Path::new(&key)), &plugins);
    attest().fails_with(2).says("no such file or directory");
    assert_eq!(shop.registry.tags("team/app").len(), 1);

    let Some(cosign) = cosign(VERSIONS[1]) else {
        return;
    };
    let generate = cosign.run("generate-key-pair").args(["--kms", &key]);
    with_path(generate.folder(shop.path("")), &plugins).ok();
    let public = shop.path("cosign.pub");
    attest().ok().says("called with 2 arguments");
    all_verify(&shop, &public);
}

/// The plugins are those of the tests of `tekseal-custody`, which hold more of them, and those that hang, against its errors.
#[test]
fn nothing_is_published_of_a_plugin_that_does_what_it_should_not() {
    let plugins = scripts();
    let shop = Workshop::new();
    let file = |name: &str| made_by_openssl(shop.path(name));
    let (key, _other) = (file("key"), file("key.other"));
    let attest = |key: &str| with_path(shop.attest_command(&shop.run(), Path::new(key)), &plugins);
    for (evil, code, why) in [
        ("signs-with-another-key", 3, "is none of its public key"),
        ("answers-something-else", 2, "an answer to something else"),
        ("writes-garbage", 2, "not the JSON of the plugin protocol"),
        ("says-nothing", 2, "with no answer"),
        ("fails", 2, "exit status 7"),
        ("refuses", 2, "did not sign"),
        ("floods-stdout", 2, "was killed when it had written"),
        ("leaves-a-child", 2, "left a process behind"),
        ("is-killed", 3, "was ended by signal 9"),
    ] {
        let reference = format!("evil://signMessage,{evil},{}", key.display());
        attest(&reference)
            .fails_with(code)
            .says(why)
            .says(&reference);
        assert_eq!(shop.registry.tags("team/app").len(), 1, "{evil}");
    }
    attest(&format!("openssl://{}", key.display())).ok();
    assert_eq!(shop.registry.tags("team/app").len(), 3);
}

#[test]
fn a_pin_in_a_reference_stands_in_no_list_no_key_set_and_no_help() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let key = made_by_openssl(folder.path().join("k?pin-value=hunter2"));
    let reference = format!("openssl://{}", key.display());
    let hidden = reference.replace("hunter2", "(not shown)");
    let keys = || with_path(Run::new(program("tekseal-keys")), &scripts());
    for (run, is_named) in [
        (keys().args(["set", "--add", &reference]), true),
        (keys().args(["list", &reference]), true),
        (
            keys().args(["list", &reference, "--trust", &reference, "-o", "json"]),
            true,
        ),
        (
            keys()
                .args(["list", "--help"])
                .env("TEKSEAL_KEY", &reference),
            false,
        ),
        (
            Run::new(program("tekseal-sign"))
                .arg("--help")
                .env("TEKSEAL_KEY", &reference),
            false,
        ),
    ] {
        let output = run.ok();
        let said = format!("{}{}", output.stdout, output.stderr);
        assert!(!said.contains("hunter2"), "{said}");
        assert_eq!(said.contains(&hidden), is_named, "{said}");
    }
}

#[test]
fn no_key_is_made_where_its_public_half_could_not_be_written() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let key = folder.path().join("key");
    let reference = format!("openssl://{}", key.display());
    let make = |prefix: &Path| {
        let run = Run::new(program("tekseal-keygen")).args(["--kms", &reference]);
        with_path(run.arg("--output-key-prefix").arg(prefix), &scripts())
    };
    make(&folder.path().join("missing/k"))
        .fails_with(2)
        .says("no key was made");
    assert!(!key.exists());
    make(&folder.path().join("k")).ok();
    assert!(key.exists() && folder.path().join("k.pub").exists());
}
