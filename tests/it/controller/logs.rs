//! The controller with transparency logs and timestamp authorities: marks come after every answer holds, and nothing is stored before.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::Duration;

use serde_json::json;
use tekseal_harness::{
    Proxy, RekorV2, Run, Services, Sigstore, TimestampAuthority, TufRepository, cosign, object_path,
};

use super::stand::{OCI, REASON, SIGNED, Stand, annotation, layers};

const TRANSPARENCY: &str = "chains.tekton.dev/transparency";
const WANTS_LOG: &str = "chains.tekton.dev/transparency-upload";

/// Rekor v2 and a timestamp authority. The log is of one test alone: all sign the same image with the same key, and a log has an entry once.
struct Witnesses {
    log: RekorV2,
    authority: &'static TimestampAuthority,
}

impl Witnesses {
    fn start() -> Option<Self> {
        Some(Self {
            log: RekorV2::start()?,
            authority: TimestampAuthority::shared()?,
        })
    }

    fn trusted_root(&self) -> String {
        let services = Services::none()
            .with_rekor_v2(&self.log)
            .with_timestamps(self.authority);
        services.trusted_root().to_string()
    }

    /// Bundles with entries of the log, which is at `url`.
    fn configure(&self, stand: &Stand, url: &str, more: &[(&str, &str)]) {
        let (root, authority) = (self.trusted_root(), self.authority.url());
        let settings = [
            ("artifacts.pipelinerun.storage", "oci"),
            ("storage.oci.encoding-format", "sigstore-bundle"),
            ("transparency.enabled", "true"),
            ("transparency.url", url),
            ("tekseal.tlog", "v2"),
            ("tekseal.timestamp.urls", &authority),
            ("tekseal.trusted-root", &root),
        ];
        stand.configure(&[OCI, &settings, more].concat());
    }

    /// Our verifier, which demands what it is not told to ignore.
    fn verify(&self, stand: &Stand) -> Run {
        let root = stand.path("trusted_root.json");
        std::fs::write(&root, self.trusted_root()).expect("the folder is ours");
        stand
            .verify(&stand.image())
            .arg("--trusted-root")
            .arg(root)
            .arg("--use-signed-timestamps")
    }
}

/// `signers.x509.tuf.mirror.url`: runs wait for the first answer of the mirror; later it may be down.
#[test]
fn the_trusted_root_of_a_mirror_is_believed_and_kept_while_it_is_down() {
    let Some(stand) = Stand::new() else { return };
    let Some(witnesses) = Witnesses::start() else {
        return;
    };
    let repository = TufRepository::new(witnesses.trusted_root().as_bytes());
    let upstream = repository.serve();
    let mirror = Proxy::start(upstream.address());
    let is_down = Arc::new(AtomicBool::new(true));
    let when = Arc::clone(&is_down);
    mirror
        .when(move |_| when.load(Ordering::SeqCst))
        .answer(404, &[], b"");
    let url = format!("http://{}", mirror.address());
    let root = String::from_utf8(repository.file("1.root.json").to_vec()).expect("JSON");
    let more = [
        ("tekseal.trusted-root", ""),
        ("tekseal.tuf-root", &root),
        ("signers.x509.tuf.mirror.url", &url),
    ];
    witnesses.configure(&stand, &witnesses.log.url(), &more);
    let _controller = stand.start();
    let first = stand.completed("first", stand.image_results());
    let told = super::services::wait_told(&stand, "BadConfiguration");
    assert!(
        told.contains("signers.x509.tuf.mirror.url: the mirror has no timestamp.json"),
        "{told}"
    );
    is_down.store(false, Ordering::SeqCst);
    let first = stand.wait_marked(&first);
    assert_eq!(annotation(&first, SIGNED), Some("true"), "{first}");
    witnesses.verify(&stand).ok();
    is_down.store(true, Ordering::SeqCst);
    let asked = mirror.count();
    // A change of something else does not ask again.
    let more = [&more[..], &[("tekseal.retry-for", "2h")]].concat();
    witnesses.configure(&stand, &witnesses.log.url(), &more);
    let second = stand.completed("second", stand.image_results());
    let second = stand.wait_marked(&second);
    assert_eq!(annotation(&second, SIGNED), Some("true"), "{second}");
    assert_eq!(mirror.count(), asked);
}

/// How many bundles refer to the image.
fn bundles(stand: &Stand) -> usize {
    let index = stand
        .registry
        .manifest("team/app", &stand.digest.replace(':', "-"));
    index.map_or(0, |index| {
        index.json()["manifests"].as_array().map_or(0, Vec::len)
    })
}

#[test]
fn runs_are_logged_and_timestamped_and_an_image_once() {
    let Some(stand) = Stand::new() else { return };
    let Some(witnesses) = Witnesses::start() else {
        return;
    };
    witnesses.configure(&stand, &witnesses.log.url(), &[]);
    let controller = stand.start();
    let first = stand.completed("first", stand.image_results());
    let first = stand.wait_marked(&first);
    assert_eq!(annotation(&first, SIGNED), Some("true"), "{first}");
    let address = annotation(&first, TRANSPARENCY).expect("the last entry is named");
    let before = format!("{}?logIndex=", witnesses.log.url());
    assert!(address.starts_with(&before), "{address}");
    assert_eq!(bundles(&stand), 2, "a signature and provenance");
    witnesses.verify(&stand).ok();
    if let Some(cosign) = cosign("3.1.3") {
        let root = format!(
            "--trusted-root={}",
            stand.path("trusted_root.json").display()
        );
        let demands = [
            &*root,
            "--use-signed-timestamps",
            "--insecure-ignore-tlog=false",
        ];
        let (key, image) = (stand.public_key(), stand.image());
        cosign.verify(&key, &image, &demands).ok();
        cosign
            .verify_attestation(&key, "slsaprovenance", &image, &demands)
            .ok();
    }
    // Of runs that differ in nothing but their names, and ended in the same second, the provenance is the same.
    sleep(Duration::from_millis(1100));
    let second = stand.completed("second", stand.image_results());
    stand.wait_marked(&second);
    assert_eq!(bundles(&stand), 3, "the image is signed and logged already");
    controller.signal("TERM");
    let said = controller.wait();
    assert_eq!(
        said.stderr.matches("\"existed\":false").count(),
        3,
        "{said:?}"
    );
}

#[test]
fn a_log_that_is_down_keeps_everything_from_being_stored() {
    let Some(stand) = Stand::new() else { return };
    let Some(witnesses) = Witnesses::start() else {
        return;
    };
    let proxy = Proxy::start(witnesses.log.address());
    let is_ill = Arc::new(AtomicBool::new(true));
    let ill = Arc::clone(&is_ill);
    proxy
        .when(move |_| ill.load(Ordering::Relaxed))
        .answer(503, &[], b"");
    witnesses.configure(&stand, &format!("http://{}", proxy.address()), &[]);
    let _controller = stand.start();
    let run = stand.completed("build", stand.image_results());
    let says = |run: &serde_json::Value| {
        annotation(run, REASON).is_some_and(|reason| reason.contains("transparency log"))
    };
    let waiting = stand.wait(&run, says);
    assert_eq!(annotation(&waiting, SIGNED), None);
    assert_eq!(annotation(&waiting, TRANSPARENCY), None);
    assert_eq!(bundles(&stand), 0);
    is_ill.store(false, Ordering::Relaxed);
    let run = stand.wait_marked(&run);
    assert_eq!(annotation(&run, SIGNED), Some("true"), "{run}");
    assert_eq!(bundles(&stand), 2);
    witnesses.verify(&stand).ok();
}

#[test]
fn a_run_says_whether_it_is_logged_where_the_configuration_leaves_it_that() {
    let Some(stand) = Stand::new() else { return };
    let Some(witnesses) = Witnesses::start() else {
        return;
    };
    let manual = [("transparency.enabled", "manual")];
    witnesses.configure(&stand, &witnesses.log.url(), &manual);
    let _controller = stand.start();
    let quiet = stand.completed("quiet", stand.image_results());
    let quiet = stand.wait_marked(&quiet);
    assert_eq!(annotation(&quiet, SIGNED), Some("true"));
    assert_eq!(annotation(&quiet, TRANSPARENCY), None);
    let refused = witnesses.verify(&stand).fails_with(1);
    assert!(refused.stderr.contains("log"), "{refused:?}");
    // The timestamps are for all.
    witnesses.verify(&stand).arg("--insecure-ignore-tlog").ok();
    let made = stand.created("told");
    let wish = json!({"metadata": {"annotations": {WANTS_LOG: "true"}}});
    let made = stand.api.patch(&object_path(&made), &wish);
    let told = stand.complete(made, stand.image_results());
    let told = stand.wait_marked(&told);
    assert_eq!(annotation(&told, SIGNED), Some("true"));
    assert!(annotation(&told, TRANSPARENCY).is_some());
    witnesses.verify(&stand).ok();
}

#[test]
fn a_log_without_a_key_to_believe_it_by_stops_signing_and_loses_no_run() {
    let Some(stand) = Stand::new() else { return };
    let Some(witnesses) = Witnesses::start() else {
        return;
    };
    let none = [("tekseal.trusted-root", "")];
    witnesses.configure(&stand, &witnesses.log.url(), &none);
    let _controller = stand.start();
    let run = stand.completed("build", stand.image_results());
    let says = |run: &serde_json::Value| {
        annotation(run, REASON).is_some_and(|reason| reason.contains("tekseal.trusted-root"))
    };
    stand.wait(&run, says);
    assert_eq!(bundles(&stand), 0);
    witnesses.configure(&stand, &witnesses.log.url(), &[]);
    let run = stand.wait_marked(&run);
    assert_eq!(annotation(&run, SIGNED), Some("true"), "{run}");
}

#[test]
#[ignore = "needs Rekor v1 and its database: ./test --sigstore"]
fn entries_of_rekor_v1_are_found_by_its_search_and_demanded_by_verifiers() {
    let Some(stand) = Stand::new() else { return };
    let Some(sigstore) = Sigstore::shared() else {
        return;
    };
    let url = sigstore.rekor.url();
    let both = "dsse,sigstore-bundle";
    let settings = [
        ("storage.oci.encoding-format", both),
        ("transparency.enabled", "true"),
        ("transparency.url", &url),
    ];
    stand.configure(&[OCI, &settings].concat());
    let _controller = stand.start();
    let run = stand.completed("build", stand.image_results());
    let run = stand.wait_marked(&run);
    assert_eq!(annotation(&run, SIGNED), Some("true"), "{run}");
    let address = annotation(&run, TRANSPARENCY).expect("the last entry is named");
    Run::new("curl").args(["--silent", "--fail", address]).ok();
    let found = sigstore.rekor.cli("search");
    found.args(["--sha", &stand.digest]).ok();
    let found = Run::tool("tekseal-log").args(["search", "--rekor-url", &url]);
    found.args(["--sha", &stand.digest]).ok();
    for suffix in ["sig", "att"] {
        assert_eq!(
            layers(&stand.registry, "team/app", &stand.digest, suffix),
            1
        );
    }
    let root = stand.path("trusted_root.json");
    let services = Services::none().with_rekor_v1(&sigstore.rekor);
    std::fs::write(&root, services.trusted_root().to_string()).expect("the folder is ours");
    let ours = stand.verify(&stand.image());
    ours.arg("--trusted-root").arg(&root).ok();
    for version in ["2.6.5", "3.1.3"] {
        let Some(cosign) = cosign(version) else {
            continue;
        };
        let root = format!("--trusted-root={}", root.display());
        let demands = [&*root, "--insecure-ignore-tlog=false"];
        let (key, image) = (stand.public_key(), stand.image());
        cosign.verify(&key, &image, &demands).ok();
        cosign
            .verify_attestation(&key, "slsaprovenance", &image, &demands)
            .ok();
    }
}
