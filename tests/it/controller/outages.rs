//! Registries that hang or are gone: others are not held up, whose runs wait are told, and each run ends signed exactly once or failed.

use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tekseal_harness::{Moment, Proxy, Registry, object_path};

use super::stand::{OCI, REASON, SIGNED, Stand, annotation, is_signed_once, results_at};

/// How long a request may hang, its attempt may be tried again, and others may have their turn before.
const HANGING: Duration = Duration::from_secs(240);
/// How long a run takes that nobody is in the way of: less than any request that hangs.
const UNHINDERED: Duration = Duration::from_secs(20);

/// A run and its image, at an address which may be a proxy's.
struct Build<'a> {
    run: Value,
    registry: &'a Registry,
    repository: String,
    digest: String,
}

impl Build<'_> {
    #[track_caller]
    fn is_signed_once(&self, stand: &Stand) {
        let run = stand.wait_within(HANGING, &self.run, |run| annotation(run, SIGNED).is_some());
        is_signed_once(&run, self.registry, &self.repository, &self.digest);
    }

    /// Waits until the run is told that it waits.
    #[track_caller]
    fn is_told(&self, stand: &Stand) {
        let told = |run: &Value| annotation(run, REASON).is_some();
        let run = stand.wait_within(HANGING, &self.run, told);
        assert_eq!(annotation(&run, SIGNED), None, "{}", self.repository);
        stand.wait_event(&run, "SigningDelayed");
    }
}

fn build<'a>(stand: &Stand, name: &str, registry: &'a Registry, address: &str) -> Build<'a> {
    let repository = format!("team/{name}");
    let digest = registry.push_image(&repository, "1").digest;
    let run = stand.created(name);
    let run = stand.complete(run, results_at(address, &repository, &digest));
    Build {
        run,
        registry,
        repository,
        digest,
    }
}

/// Allows these registries beside the stand's own.
fn configure(stand: &Stand, addresses: &[&str], more: &[(&str, &str)]) {
    let listed = [&[stand.registry.address()], addresses].concat().join(",");
    stand.configure(&[OCI, &[("tekseal.registries", &listed)], more].concat());
}

/// What is under the tag for signatures is read before something is added to it, so its body is awaited.
fn has_a_tag_with_nothing(registry: &Registry, repository: &str) {
    let image = registry.push_image(repository, "1");
    let manifest = registry.manifest(repository, &image.digest);
    let manifest = manifest.expect("it was pushed");
    let mut nothing = manifest.json();
    nothing["layers"] = json!([]);
    let tag = format!("{}.sig", image.digest.replace(':', "-"));
    let bytes = nothing.to_string();
    registry.put_manifest(repository, &tag, &manifest.media_type, bytes.as_bytes());
}

#[test]
fn a_registry_that_hangs_holds_up_nobody_else_and_its_runs_are_signed_when_it_answers() {
    let Some(stand) = Stand::new() else { return };
    let frozen = Registry::start();
    let [head, upload, manifest] = [(); 3].map(|()| Proxy::start(stand.registry.address()));
    let gates = [
        head.on("GET", "/manifests/").stall(0),
        upload
            .on("PUT", "/blobs/uploads/")
            .hold(Moment::BeforeForwarding),
        // What is held here arrives long after its sender has given it up.
        manifest
            .on("PUT", "/manifests/")
            .hold(Moment::BeforeForwarding),
    ];
    let addresses = [&head, &upload, &manifest].map(Proxy::address);
    configure(&stand, &[&[frozen.address()], &addresses[..]].concat(), &[]);
    // As many hang as may be worked on at once.
    let _controller = stand.command().args(["--concurrency", "4"]).start();
    let own = |name, proxy: &Proxy| build(&stand, name, &stand.registry, proxy.address());
    has_a_tag_with_nothing(&stand.registry, "team/head");
    let ill = [
        own("head", &head),
        own("upload", &upload),
        own("manifest", &manifest),
        {
            let digest = frozen.push_image("team/frozen", "1").digest;
            let run = stand.created("frozen");
            frozen.freeze();
            let results = results_at(frozen.address(), "team/frozen", &digest);
            Build {
                run: stand.complete(run, results),
                registry: &frozen,
                repository: "team/frozen".to_owned(),
                digest,
            }
        },
    ];
    for gate in &gates {
        gate.wait_until_held();
    }
    let begun = Instant::now();
    for name in ["good-1", "good-2", "good-3"] {
        let good = build(&stand, name, &stand.registry, stand.registry.address());
        good.is_signed_once(&stand);
    }
    println!("others were signed after {:?}", begun.elapsed());
    for build in &ill {
        build.is_told(&stand);
    }
    println!("who waits was told after {:?}", begun.elapsed());

    frozen.thaw();
    for gate in &gates {
        gate.release();
    }
    for build in &ill {
        build.is_signed_once(&stand);
    }
    println!("all were signed after {:?}", begun.elapsed());
}

#[test]
fn a_namespace_whose_registry_hangs_leaves_slots_to_the_others() {
    let Some(mut stand) = Stand::new() else {
        return;
    };
    let hanging = Proxy::start(stand.registry.address());
    let gate = hanging
        .on("HEAD", "/manifests/")
        .hold(Moment::BeforeForwarding);
    configure(&stand, &[hanging.address()], &[]);
    let other = stand.api.namespace();
    let namespaces = format!("{},{other}", stand.builds);
    let _controller = stand
        .command_for(&namespaces)
        .args(["--concurrency", "2"])
        .start();
    for name in ["ill-1", "ill-2", "ill-3", "ill-4"] {
        build(&stand, name, &stand.registry, hanging.address());
    }
    gate.wait_until_holding(2);
    stand.builds = other;
    let good = build(&stand, "good", &stand.registry, stand.registry.address());
    let marked = |run: &Value| annotation(run, SIGNED).is_some();
    stand.wait_within(UNHINDERED, &good.run, marked);
    good.is_signed_once(&stand);
    assert_eq!(gate.held(), 2, "one namespace has no more than it may");
    gate.release();
}

#[test]
fn large_runs_whose_registry_hangs_leave_room_to_those_of_others() {
    let Some(mut stand) = Stand::new() else {
        return;
    };
    let hanging = Proxy::start(stand.registry.address());
    let gate = hanging
        .on("HEAD", "/manifests/")
        .hold(Moment::BeforeForwarding);
    configure(&stand, &[hanging.address()], &[]);
    let other = stand.api.namespace();
    let namespaces = format!("{},{other}", stand.builds);
    let large = |stand: &Stand, name: &str, address: &str, bytes: usize| {
        let repository = format!("team/{name}");
        let digest = stand.registry.push_image(&repository, "1").digest;
        let run = stand.created(name);
        let params = json!([{"name": "message", "value": "x".repeat(bytes)}]);
        let spec = json!({"spec": {"params": params}});
        stand.api.patch(&object_path(&run), &spec);
        stand.complete(run, results_at(address, &repository, &digest))
    };
    for name in ["ill-1", "ill-2"] {
        large(&stand, name, hanging.address(), 1_100_000);
    }
    let _controller = stand.command_for(&namespaces).start();
    gate.wait_until_held();
    stand.builds = other;
    let good = large(&stand, "good", stand.registry.address(), 100_000);
    let marked = |run: &Value| annotation(run, SIGNED).is_some();
    let good = stand.wait_within(UNHINDERED, &good, marked);
    assert_eq!(annotation(&good, SIGNED), Some("true"));
    gate.release();
}

#[test]
fn who_names_the_image_of_another_beside_one_that_hangs_is_not_in_its_way() {
    let Some(stand) = Stand::new() else { return };
    let hanging = Proxy::start(stand.registry.address());
    let gate = hanging
        .on("PUT", "/manifests/")
        .hold(Moment::BeforeForwarding);
    configure(&stand, &[hanging.address()], &[]);
    let _controller = stand.start();
    let slow = stand.registry.push_image("team/slow", "1").digest;
    let mut results = Vec::new();
    for (name, address, repository, digest) in [
        ("A", stand.registry.address(), "team/app", &stand.digest),
        ("B", hanging.address(), "team/slow", &slow),
    ] {
        let image = format!("{address}/{repository}");
        results.extend([
            json!({"name": format!("{name}_IMAGE_URL"), "type": "string", "value": image}),
            json!({"name": format!("{name}_IMAGE_DIGEST"), "type": "string", "value": digest}),
        ]);
    }
    let both = stand.completed("both", Value::Array(results));
    gate.wait_until_held();
    let own = stand.completed("own", stand.image_results());
    let marked = |run: &Value| annotation(run, SIGNED).is_some();
    let own = stand.wait_within(UNHINDERED, &own, marked);
    assert_eq!(annotation(&own, SIGNED), Some("true"));
    assert_eq!(annotation(&both, SIGNED), None);
    gate.release();
    let both = stand.wait_within(HANGING, &both, marked);
    assert_eq!(annotation(&both, SIGNED), Some("true"));
}

#[test]
fn a_registry_that_hangs_for_good_fails_its_run_when_the_time_allowed_is_over() {
    let Some(stand) = Stand::new() else { return };
    let frozen = Registry::start();
    configure(&stand, &[frozen.address()], &[("tekseal.retry-for", "1s")]);
    let digest = frozen.push_image("team/frozen", "1").digest;
    frozen.freeze();
    let _controller = stand.start();
    let results = results_at(frozen.address(), "team/frozen", &digest);
    let run = stand.completed("frozen", results);
    let marked = |run: &Value| annotation(run, SIGNED).is_some();
    let run = stand.wait_within(HANGING, &run, marked);
    assert_eq!(annotation(&run, SIGNED), Some("failed"));
    let reason = annotation(&run, REASON).expect("it says why");
    assert!(reason.contains("given up after 1 seconds"), "{reason}");
    println!("{reason}");
    stand.wait_event(&run, "SigningDelayed");
    stand.wait_event(&run, "SigningFailed");
}

#[test]
fn a_registry_that_is_gone_for_half_a_minute_gets_every_signature_once() {
    let Some(stand) = Stand::new() else { return };
    let mut registry = Registry::setup().with_lasting_port().start();
    configure(&stand, &[registry.address()], &[]);
    let images: Vec<_> = (0..16)
        .map(|at| {
            let repository = format!("team/app-{at}");
            let digest = registry.push_image(&repository, "1").digest;
            (repository, digest)
        })
        .collect();
    let _controller = stand.start();
    let complete = |at: usize| {
        let (repository, digest) = &images[at];
        let results = results_at(registry.address(), repository, digest);
        stand.completed(&format!("build-{at}"), results)
    };
    let address = registry.address().to_owned();
    // Some are in work, or wait for their turn, when it goes.
    let mut runs: Vec<_> = (0..8).map(complete).collect();
    while stand.marked().is_empty() {
        sleep(Duration::from_millis(2));
    }
    registry.kill();
    let gone = Instant::now();
    println!("{} were signed before", stand.marked().len());
    let complete = |at: usize| {
        let (repository, digest) = &images[at];
        let results = results_at(&address, repository, digest);
        stand.completed(&format!("build-{at}"), results)
    };
    let half_a_minute = Duration::from_secs(30);
    for at in 8..images.len() {
        runs.push(complete(at));
        sleep(half_a_minute / 8);
    }
    let good = build(&stand, "good", &stand.registry, stand.registry.address());
    sleep(half_a_minute.saturating_sub(gone.elapsed()));
    let told = |run: &Value| annotation(run, REASON).is_some();
    let told = stand.wait(&runs[8], told);
    assert_eq!(annotation(&told, SIGNED), None);
    registry.restart();
    let back = Instant::now();
    for (run, (repository, digest)) in runs.iter().zip(&images) {
        let run = stand.wait_within(HANGING, run, |run| annotation(run, SIGNED).is_some());
        is_signed_once(&run, &registry, repository, digest);
    }
    println!("all were signed {:?} after it was back", back.elapsed());
    good.is_signed_once(&stand);
}
