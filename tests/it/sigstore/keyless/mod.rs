//! Signing without a key that is kept, beside a server that speaks Fulcio's protocol: what is stored is good, what cannot be good is not stored, and of
//! what Fulcio may answer that is not to be believed nothing is published.

mod refused;

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use tekseal_harness::{Certifier, Certifying, Proxy, Run, service_account_claims, unsigned_token};

use super::artifacts::{IDENTITY, SERVICE_ACCOUNT, Signery};
use super::ours::{nothing_is_stored, referrers, shared_authority, shared_log};
use crate::workshop::{Workshop, run_document};

const ISSUER: &str = "https://cluster.example";

/// A workshop beside a log of the second version, a timestamp authority, and a certifier.
struct Stand {
    shop: Workshop,
    signery: Signery,
    certifier: Certifier,
    root: PathBuf,
    token: PathBuf,
}

fn now() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    i64::try_from(now.expect("it is not 1970").as_secs()).expect("it fits")
}

fn claims() -> Value {
    service_account_claims(SERVICE_ACCOUNT.0, SERVICE_ACCOUNT.1)
}

impl Stand {
    fn honest() -> Option<Self> {
        Self::with(|_| {})
    }

    /// With a certifier that changes what it certifies so.
    fn with(change: impl Fn(&mut Certifying) + Send + Sync + 'static) -> Option<Self> {
        let signery = Signery::basic()?;
        let certifier = Certifier::start(change);
        let mut root = signery.services().trusted_root();
        root["certificateAuthorities"] = json!([certifier.authority()]);
        let shop = Workshop::new();
        Some(Self {
            root: signery.write("keyless_root.json", &root),
            token: shop.file("token", unsigned_token(&claims()) + "\n"),
            shop,
            signery,
            certifier,
        })
    }

    /// Asks for a certificate at this address.
    fn keyless(&self, run: Run, fulcio: &str) -> Run {
        run.args(["--fulcio-url", fulcio])
            .arg("--identity-token")
            .arg(&self.token)
            .arg("--trusted-root")
            .arg(&self.root)
            .env("TEKSEAL_RETRY_FOR", "2")
    }

    /// Attests the run that built the image; who says when is not said.
    fn attesting_at(&self, fulcio: &str, layout: &str) -> Run {
        let run = Run::tool("tekseal-attest")
            .arg("--run")
            .arg(self.shop.run());
        let run = run.args(["--layout", layout, "--format", "slsa/v2alpha4"]);
        self.keyless(run, fulcio)
    }

    fn attesting(&self, layout: &str) -> Run {
        self.attesting_at(&self.certifier.url(), layout)
    }

    fn verifying(&self) -> Run {
        Run::tool("tekseal-verify")
            .args(["--certificate-identity", IDENTITY])
            .args(["--certificate-oidc-issuer", ISSUER])
            .args(["--insecure-ignore-sct", "--use-signed-timestamps"])
            .arg("--trusted-root")
            .arg(&self.root)
    }

    /// The payloads of the run in a folder, signed with a certificate.
    fn signed_folder(&self) -> PathBuf {
        let folder = self.shop.path("payloads");
        let run = Run::tool("tekseal-provenance").arg("--run");
        run.arg(self.shop.run()).arg("--out").arg(&folder).ok();
        let run = Run::tool("tekseal-sign").arg(&folder);
        self.keyless(run, &self.certifier.url()).ok();
        folder
    }

    fn uploading(&self, folder: &Path) -> Run {
        let run = Run::tool("tekseal-upload").arg(folder);
        run.arg("--trusted-root").arg(&self.root)
    }
}

/// With a timestamp authority.
fn stamped(run: Run) -> Run {
    run.arg("--timestamp-url").arg(shared_authority().url())
}

/// With a log of the second version.
fn logged(run: Run) -> Run {
    let url = shared_log().url();
    run.args(["--tlog", "v2", "--rekor-url", &url])
}

#[test]
fn a_certificate_signs_in_every_layout_and_its_identity_is_told_first() {
    for layout in ["tags", "bundle", "both"] {
        let Some(stand) = Stand::honest() else { return };
        let mut run = stamped(stand.attesting(layout));
        if layout != "tags" {
            run = logged(run);
        }
        let said = run.ok();
        let told = format!("signs with a certificate identity={IDENTITY} issuer={ISSUER} until=");
        let (first, _) = said.stderr.split_once(&told).expect("it is told");
        assert!(!first.contains("\nsigned "), "{said:?}");
        assert!(!said.stderr.contains("eyJ") && !said.stdout.contains("eyJ"));
        assert!(said.stderr.contains("(SCT)"), "{said:?}");
        let verify = || match layout {
            // Under tags there is no room for an entry of the second version.
            "tags" | "both" => stand.verifying().arg("--insecure-ignore-tlog"),
            _ => stand.verifying(),
        };
        let said = verify().arg(&stand.shop.image).ok();
        assert!(said.stdout.contains(IDENTITY), "{said:?}");
        let run = Run::tool("tekseal-verify").args(["--insecure-ignore-sct", "--trusted-root"]);
        run.arg(&stand.root)
            .args([
                "--certificate-identity",
                "https://kubernetes.io/namespaces/team/serviceaccounts/other",
            ])
            .args([
                "--certificate-oidc-issuer",
                ISSUER,
                "--insecure-ignore-tlog",
            ])
            .arg(&stand.shop.image)
            .fails_with(1);
        if layout == "bundle" {
            continue;
        }
        for suffix in ["sig", "att"] {
            let annotations = &stand.shop.layers(suffix)[0]["annotations"];
            for name in ["certificate", "chain"] {
                let pem = annotations[format!("dev.sigstore.cosign/{name}")].as_str();
                let pem = pem.expect("both are there");
                assert!(pem.starts_with("-----BEGIN CERTIFICATE-----\n"), "{pem}");
                assert_eq!(pem.matches("BEGIN").count(), 1);
            }
        }
    }
}

/// Another certificate is another signature: nothing that is there is taken for it, and nothing is lost.
#[test]
fn signing_again_adds_a_signature_and_keeps_the_first() {
    for layout in ["tags", "bundle"] {
        let Some(stand) = Stand::honest() else { return };
        stamped(stand.attesting(layout)).ok();
        let before = (stand.shop.layers("sig"), stand.shop.layers("att"));
        stamped(stand.attesting(layout)).ok();
        let after = (stand.shop.layers("sig"), stand.shop.layers("att"));
        match layout {
            "bundle" => assert_eq!(referrers(&stand.shop), 4),
            _ => {
                for (before, after) in [(&before.0, &after.0), (&before.1, &after.1)] {
                    assert_eq!((before.len(), after.len()), (1, 2));
                    assert_eq!(before[0], after[0]);
                }
            }
        }
        let verify = stand.verifying().arg("--insecure-ignore-tlog");
        let said = verify
            .args(["--output", "json"])
            .arg(&stand.shop.image)
            .ok();
        for list in ["signatures", "attestations"] {
            let found = said.json()[0][list].as_array().map(Vec::len);
            assert_eq!(found, Some(2), "{layout}: {said:?}");
        }
    }
}

#[test]
fn three_steps_sign_with_one_certificate_and_a_changed_folder_is_not_stored() {
    for layout in ["tags", "both"] {
        let Some(stand) = Stand::honest() else { return };
        let folder = stand.signed_folder();
        let upload = || stamped(stand.uploading(&folder)).args(["--layout", layout]);
        let index = folder.join("signed.json");
        let good = fs::read_to_string(&index).expect("it was signed");
        let entries: Vec<Value> = serde_json::from_str(&good).expect("JSON");
        assert_eq!(entries.len(), 2);
        let stranger = Stand::honest().expect("there was one");
        let other = stranger.signed_folder().join("signed.json");
        let other = fs::read_to_string(other).expect("it was signed");
        let other: Vec<Value> = serde_json::from_str(&other).expect("JSON");
        let changed = |member: &str, at: &[usize], value: Value| {
            let mut entries = entries.clone();
            at.iter()
                .for_each(|&at| entries[at][member] = value.clone());
            fs::write(&index, json!(entries).to_string()).expect("ours");
        };
        // Somebody else's certificate, none, one alone, and more than a chain.
        changed("certificate", &[0, 1], other[0]["certificate"].clone());
        upload().fails_with(1).says("is of another key");
        changed("certificate", &[0, 1], json!("x"));
        upload().fails_with(2);
        changed("certificate", &[1], Value::Null);
        upload().fails_with(2).says("more than one certificate");
        let chain = entries[0]["chain"].as_str().expect("a text");
        changed("chain", &[0, 1], json!(format!("{chain}and more")));
        upload().fails_with(2);
        nothing_is_stored(&stand.shop);
        fs::write(&index, good).expect("ours");
        // Nobody says when.
        stand
            .uploading(&folder)
            .fails_with(2)
            .says("nobody could verify");
        nothing_is_stored(&stand.shop);
        upload().ok();
        let verify = stand.verifying().arg("--insecure-ignore-tlog");
        verify.arg(&stand.shop.image).ok();
    }
}

#[test]
fn what_was_signed_is_not_stored_after_the_certificate_has_ended() {
    let Some(stand) = Stand::with(|one| one.valid = (one.valid.0 - 600, one.valid.0 + 3)) else {
        return;
    };
    let folder = stand.signed_folder();
    let ends = now() + 3;
    let deadline = Instant::now() + Duration::from_secs(20);
    while now() <= ends {
        assert!(Instant::now() < deadline, "the clock stands");
        thread::sleep(Duration::from_millis(50));
    }
    let said = stamped(stand.uploading(&folder)).fails_with(1);
    assert!(said.stderr.contains("ended at"), "{said:?}");
    assert!(said.stderr.contains("run tekseal-sign again"), "{said:?}");
    nothing_is_stored(&stand.shop);
}

#[test]
fn where_nobody_says_when_nothing_is_asked_and_nothing_stored() {
    let Some(stand) = Stand::honest() else { return };
    let fulcio = Proxy::start(stand.certifier.address());
    let url = format!("http://{}", fulcio.address());
    let none = stand.attesting_at(&url, "tags").fails_with(2);
    assert!(
        none.stderr
            .contains("nobody could verify after ten minutes")
    );
    let only_v2 = logged(stand.attesting_at(&url, "bundle")).fails_with(2);
    assert!(only_v2.stderr.contains("--timestamp-url"), "{only_v2:?}");
    let predicate = stand.shop.file("predicate.json", r#"{"a": 1}"#);
    let predicate_of = |run: Run| {
        let run = run
            .arg(&stand.shop.image)
            .arg("--predicate")
            .arg(&predicate);
        stand.keyless(run.args(["--type", "https://example.com/p"]), &url)
    };
    predicate_of(Run::tool("tekseal-attest")).fails_with(2);
    // And of what is neither logged nor timestamped, whatever is asked for.
    let large = format!(r#"{{"a": "{}"}}"#, "x".repeat(9 << 20));
    let large = stand.shop.file("large.json", large);
    for time in [
        "--insecure-keyless-without-time",
        "--timestamp-url=http://127.0.0.1:1/",
    ] {
        let run = Run::tool("tekseal-attest").arg(&stand.shop.image);
        let run = run.args(["--type", "https://example.com/p", time, "--predicate"]);
        let said = stand.keyless(run.arg(&large), &url).fails_with(2);
        assert!(said.stderr.contains("too large for"), "{said:?}");
    }
    assert_eq!(fulcio.count(), 0);
    nothing_is_stored(&stand.shop);
    let insecure = stand.attesting_at(&url, "tags");
    insecure.arg("--insecure-keyless-without-time").ok();
    stamped(predicate_of(Run::tool("tekseal-attest"))).ok();
    assert_eq!(fulcio.count(), 2);
    assert_eq!(
        (
            stand.shop.layers("sig").len(),
            stand.shop.layers("att").len()
        ),
        (1, 2)
    );
}

#[test]
fn the_configuration_of_chains_and_a_signing_configuration_are_followed() {
    let Some(stand) = Stand::honest() else { return };
    let config = json!({
        "signers.x509.fulcio.enabled": "true",
        "signers.x509.fulcio.address": stand.certifier.url(),
        "signers.x509.identity.token.file": stand.token,
    });
    let config = stand.shop.file("config.json", config.to_string());
    let attest = || {
        let run = Run::tool("tekseal-attest")
            .arg("--run")
            .arg(stand.shop.run());
        stamped(run.arg("--trusted-root").arg(&stand.root))
    };
    attest().arg("--config").arg(&config).ok();
    let verify = || {
        stand
            .verifying()
            .arg("--insecure-ignore-tlog")
            .arg(&stand.shop.image)
    };
    verify().ok();
    // A key that is given goes before it.
    let (key, public) = stand.shop.plain_key();
    attest()
        .arg("--config")
        .arg(&config)
        .arg("--key")
        .arg(&key)
        .ok();
    stand.shop.verify(&public).ok();
    assert_eq!(stand.shop.layers("sig").len(), 2);

    let authorities = |list: Value| {
        let mut signing = stand.signery.services().signing_config();
        signing["caUrls"] = list;
        stand.signery.write("signing_config.json", &signing)
    };
    let service = json!([{
        "url": stand.certifier.url(), "majorApiVersion": 1, "operator": "local.test",
        "validFor": {"start": "2020-01-01T00:00:00Z"},
    }]);
    let token = unsigned_token(&claims());
    let attest = || {
        let run = Run::tool("tekseal-attest")
            .arg("--run")
            .arg(stand.shop.run());
        run.args(["--layout", "bundle", "--oidc-provider", "envvar"])
            .arg("--trusted-root")
            .arg(&stand.root)
            .env("SIGSTORE_ID_TOKEN", &token)
    };
    let none = attest().arg("--signing-config").arg(authorities(json!([])));
    none.fails_with(2).says("names no Fulcio");
    let run = attest().arg("--signing-config").arg(authorities(service));
    run.ok();
    verify().args(["--only", "signature"]).ok();
}

#[test]
fn many_images_have_one_certificate() {
    let Some(stand) = Stand::honest() else { return };
    let fulcio = Proxy::start(stand.certifier.address());
    let mut images = vec![stand.shop.image.clone()];
    for number in 2..=20 {
        images.push(
            stand
                .shop
                .registry
                .push_image("team/app", &number.to_string())
                .reference,
        );
    }
    let results = json!([{"name": "IMAGES", "value": images.join(",")}]);
    let run = stand
        .shop
        .file("many.json", run_document(results).to_string());
    let attest = Run::tool("tekseal-attest").arg("--run").arg(run);
    let url = format!("http://{}", fulcio.address());
    stamped(stand.keyless(attest, &url)).ok();
    assert_eq!(fulcio.count(), 1);
    let verify = stand.verifying().arg("--insecure-ignore-tlog");
    verify.args(&images).ok();
}
