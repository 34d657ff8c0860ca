//! Runs that are signed with certificates of the real Fulcio, by the name of a ServiceAccount, and logged: what the configuration of Chains asks for under
//! `signers.x509.fulcio`.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use tekseal_harness::{Proxy, Sigstore};

use super::stand::{OCI, REASON, SIGNED, Stand, annotation, is_signed_once, layers, replace};
use crate::certified::Certified;

const ACCOUNT: [&str; 2] = ["tekton-chains", "tekseal-controller"];
const TRANSPARENCY: &str = "chains.tekton.dev/transparency";
const CERTIFY: &str = "/api/v2/signingCert";
/// A run that waits for somebody is looked at again after a minute at the latest.
const AGAIN: Duration = Duration::from_secs(90);

/// A controller's surroundings without any key, beside a whole Sigstore.
struct Scene {
    stand: Stand,
    sigstore: &'static Sigstore,
    /// Before Fulcio.
    fulcio: Proxy,
    verifiers: Certified<'static>,
    /// Where the controller looks for its identity token. Nothing is there.
    token: PathBuf,
}

impl Scene {
    /// `None` where a peer is missing.
    fn new() -> Option<Self> {
        let stand = Stand::new()?;
        let sigstore = Sigstore::shared()?;
        fs::remove_file(stand.keys().join("x509.pem")).expect("it is there");
        let issuer = sigstore.issuer.cluster();
        let scene = Self {
            token: stand.path("oidc-token"),
            fulcio: Proxy::start(sigstore.fulcio.address()),
            verifiers: Certified::by_account(sigstore, &issuer, ACCOUNT),
            sigstore,
            stand,
        };
        scene.configure();
        Some(scene)
    }

    fn configure(&self) {
        let (fulcio, rekor) = (
            format!("http://{}", self.fulcio.address()),
            self.sigstore.rekor.url(),
        );
        let (root, issuer) = (
            self.verifiers.trusted_root(),
            self.sigstore.issuer.cluster(),
        );
        let settings = [
            ("artifacts.taskrun.storage", "oci,tekton"),
            ("artifacts.pipelinerun.storage", "oci"),
            ("signers.x509.fulcio.enabled", "true"),
            ("signers.x509.fulcio.address", &fulcio),
            ("signers.x509.fulcio.issuer", &issuer),
            ("signers.x509.fulcio.provider", "filesystem"),
            (
                "signers.x509.identity.token.file",
                self.token.to_str().expect("it is a text"),
            ),
            ("transparency.enabled", "true"),
            ("transparency.url", &rekor),
            ("tekseal.trusted-root", &root),
        ];
        self.stand.configure(&[OCI, &settings].concat());
    }

    fn good_token(&self) -> String {
        let [namespace, name] = ACCOUNT;
        self.sigstore.issuer.service_account_token(namespace, name)
    }

    /// The run waits with this in its reason, and nothing of it is anywhere.
    #[track_caller]
    fn waits(&self, run: &Value, told: &str) {
        let is_told = |run: &Value| annotation(run, REASON).is_some_and(|why| why.contains(told));
        let run = self.stand.wait_within(AGAIN, run, is_told);
        assert_eq!(annotation(&run, SIGNED), None);
        assert_eq!(annotation(&run, TRANSPARENCY), None);
        for suffix in ["sig", "att"] {
            let found = layers(&self.stand.registry, "team/app", &self.stand.digest, suffix);
            assert_eq!(found, 0, "{suffix}");
        }
    }

    /// The run is signed once, which everybody accepts.
    #[track_caller]
    fn is_signed(&self, run: &Value) {
        let run = self
            .stand
            .wait_within(AGAIN, run, |run| annotation(run, SIGNED).is_some());
        is_signed_once(&run, &self.stand.registry, "team/app", &self.stand.digest);
        let address = annotation(&run, TRANSPARENCY).expect("the last entry is named");
        assert!(address.starts_with(&self.sigstore.rekor.url()), "{address}");
        self.verifiers.accept(&self.stand.image());
        self.certificate_is_on(&run);
    }

    /// The storage `tekton` has the certificate that stands beside the image, and those above it.
    #[track_caller]
    fn certificate_is_on(&self, run: &Value) {
        let tag = format!("{}.att", self.stand.digest.replace(':', "-"));
        let manifest = self.stand.registry.manifest("team/app", &tag);
        let manifest = manifest.expect("it was attested").json();
        let beside = &manifest["layers"][0]["annotations"];
        let uid = run["metadata"]["uid"].as_str().expect("it has one");
        for (on_run, in_layer) in [("cert", "certificate"), ("chain", "chain")] {
            let written = annotation(run, &format!("chains.tekton.dev/{on_run}-taskrun-{uid}"));
            let written = STANDARD.decode(written.expect("it is there"));
            let written = String::from_utf8(written.expect("it is base64")).expect("it is PEM");
            assert!(
                written.starts_with("-----BEGIN CERTIFICATE-----"),
                "{written}"
            );
            assert_eq!(beside[format!("dev.sigstore.cosign/{in_layer}")], *written);
        }
    }
}

#[test]
#[ignore = "needs Rekor v1, Fulcio and their database: ./test --sigstore"]
fn runs_are_signed_in_the_name_of_a_service_account_with_one_certificate() {
    let Some(scene) = Scene::new() else { return };
    let stand = &scene.stand;
    replace(&scene.token, scene.good_token());
    let controller = stand.start();
    let run = stand.completed("app", stand.image_results());
    scene.is_signed(&run);
    scene.verifiers.refuse_another(&stand.image());
    let digest = stand.registry.push_image("team/other", "1").digest;
    let other = stand.completed("other", stand.results_of("team/other", &digest));
    let other = stand.wait_marked(&other);
    is_signed_once(&other, &stand.registry, "team/other", &digest);
    scene
        .verifiers
        .accept(&stand.registry.reference("team/other", &digest));
    assert_eq!(scene.fulcio.count_of("POST", CERTIFY), 1);
    controller.signal("TERM");
    let said = controller.wait();
    assert!(
        said.stderr.contains(scene.verifiers.identity()),
        "whom the certificate names is told: {said:?}"
    );

    // The key of the certificate, and that of the records, went with the process. What it recorded is believed all the same.
    let _controller = stand.start();
    let digest = stand.registry.push_image("team/third", "1").digest;
    let third = stand.completed("third", stand.results_of("team/third", &digest));
    stand.wait_marked(&third);
    assert_eq!(scene.fulcio.count_of("POST", CERTIFY), 2);
    stand.nothing_is_called_forged();
    assert_eq!(layers(&stand.registry, "team/app", &stand.digest, "sig"), 1);
}

#[test]
#[ignore = "needs Rekor v1, Fulcio and their database: ./test --sigstore"]
fn a_token_that_cannot_be_good_is_named_and_sent_nowhere_until_there_is_a_good_one() {
    let Some(scene) = Scene::new() else { return };
    let stand = &scene.stand;
    let _controller = stand.start();
    let run = stand.completed("app", stand.image_results());
    scene.waits(&run, "cannot read the identity token");
    let [namespace, name] = ACCOUNT;
    let issuer = &scene.sigstore.issuer;
    let other = issuer.service_account_token_for("https://kubernetes.example", namespace, name);
    for (token, told) in [
        (
            other,
            "is for the audience [https://kubernetes.example], and must be for sigstore (a projected",
        ),
        ("no token".to_owned(), "is malformed"),
    ] {
        replace(&scene.token, token);
        scene.waits(&run, told);
    }
    assert_eq!(scene.fulcio.count(), 0);
    replace(&scene.token, scene.good_token());
    scene.is_signed(&run);
}

#[test]
#[ignore = "needs Rekor v1, Fulcio and their database: ./test --sigstore"]
fn a_fulcio_that_refuses_or_is_down_keeps_everything_from_being_published() {
    let Some(scene) = Scene::new() else { return };
    let stand = &scene.stand;
    let is_down = Arc::new(AtomicBool::new(true));
    let down = Arc::clone(&is_down);
    scene
        .fulcio
        .when(move |_| down.load(Ordering::Relaxed))
        .answer(503, &[], b"");
    // Nobody's signature is on it that Fulcio knows.
    let good = scene.good_token();
    let (signed, _) = good.rsplit_once('.').expect("it has three parts");
    replace(&scene.token, format!("{signed}.{}", "A".repeat(342)));
    let _controller = stand.start();
    let run = stand.completed("app", stand.image_results());
    scene.waits(&run, "status 503");
    is_down.store(false, Ordering::Relaxed);
    scene.waits(&run, "gives no certificate: status 4");
    replace(&scene.token, good);
    scene.is_signed(&run);
}
