//! A cluster and a registry of their own for one measurement, and the load: images, runs, and the marks that runs get.
//!
//! ```text
//!   eight threads ── images ──▶ docker-registry ◀── signatures ── program
//!        └────────── runs ────▶ kube-apiserver ──── runs ───────▶    │
//!   Marks ◀── watch of metadata ──────┘ ◀──────── marks ─────────────┤
//!                              where the work has one, Rekor ◀───────┘
//! ```
//!
//! Each measurement begins anew, because what the one before left would be listed, cached and kept in memory by the next.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tekseal_harness::{ApiServer, Audit, Proxy, Registry, Run, Watch, digest, object_path};

use super::log::{Log, Version};
use super::meter::cpu_of;
use super::task_run;

const THREADS: usize = 8;
const AS_IN_CLUSTERS: Duration = Duration::from_secs(5);
const REPOSITORY: &str = "bench/app";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
/// An archive without a file.
const EMPTY_TAR: [u8; 1024] = [0; 1024];
/// The servers are quiet when they use less of a core, over [`LOOK`], twice in a row.
const QUIET: f64 = 0.1;
const LOOK: Duration = Duration::from_millis(500);
const QUIET_WITHIN: Duration = Duration::from_secs(60);

/// Whether requests are counted, which costs time, or time is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Aim {
    Measure,
    Count,
}

/// A run and the image that it says it has pushed.
#[derive(Clone, Debug)]
pub(super) struct Build {
    pub(super) name: String,
    digest: String,
}

impl Build {
    /// Digest of the image.
    pub(super) fn digest(&self) -> &str {
        &self.digest
    }
}

/// An API server and a registry, used by one program.
pub(super) struct Arena {
    proxy: Option<Proxy>,
    registry: Registry,
    log: Option<Log>,
    /// Namespace of the runs to be signed.
    builds: String,
    /// Namespace of runs that were signed before.
    others: String,
    /// Holds the folder of all, so it ends last.
    pub(super) api: ApiServer,
}

impl Arena {
    /// One with a log of this version, or without.
    ///
    /// # Panics
    ///
    /// When a peer is missing.
    pub(super) fn new(aim: Aim, log: Option<Version>) -> Self {
        let setup = ApiServer::setup().progress_each(AS_IN_CLUSTERS);
        let setup = match aim {
            Aim::Measure => setup.without_audit(),
            Aim::Count => setup,
        };
        let api = setup.start().expect("tests/peers --cluster was run");
        let registry = Registry::setup().start_in(&api.make_folder("registry"));
        Self {
            proxy: (aim == Aim::Count).then(|| Proxy::start(registry.back_door())),
            log: log.map(|version| Log::start(version, aim)),
            builds: api.namespace(),
            others: api.namespace(),
            registry,
            api,
        }
    }

    /// The transparency log, where the work has one.
    pub(super) fn log(&self) -> Option<&Log> {
        self.log.as_ref()
    }

    /// Digest of what was signed of the image of a build: the layer under the tag of its signature.
    ///
    /// # Panics
    ///
    /// When there is none.
    pub(super) fn signed_payload(&self, build: &Build) -> String {
        let tag = format!("{}.sig", build.digest.replace(':', "-"));
        let manifest = self.registry.manifest(REPOSITORY, &tag);
        let manifest = manifest
            .unwrap_or_else(|| panic!("there is no {tag}"))
            .json();
        let digest = manifest["layers"][0]["digest"].as_str();
        digest.expect("a layer has a digest").to_owned()
    }

    /// The registry as `host:port`, as runs name it.
    pub(super) fn registry(&self) -> &str {
        let proxy = self.proxy.as_ref().map(Proxy::address);
        proxy.unwrap_or_else(|| self.registry.address())
    }

    /// The image of a build, `host:port/repository@digest`.
    pub(super) fn image(&self, build: &Build) -> String {
        format!("{}/{REPOSITORY}@{}", self.registry(), build.digest)
    }

    /// Pushes an image for each of `count` runs to come.
    pub(super) fn push(&self, prefix: &str, count: usize) -> Vec<Build> {
        let layer = self.registry.push_blob(REPOSITORY, &EMPTY_TAR);
        let contents: Vec<_> = (0..count)
            .map(|number| {
                let name = format!("{prefix}-{number:05}");
                let config = json!({
                    "architecture": "amd64",
                    "os": "linux",
                    "config": {"Labels": {"build": name}},
                    "rootfs": {"type": "layers", "diff_ids": [layer]},
                });
                let config = config.to_string();
                let manifest = json!({
                    "schemaVersion": 2,
                    "mediaType": MANIFEST,
                    "config": {"mediaType": CONFIG, "digest": digest(config.as_bytes()), "size": config.len()},
                    "layers": [{"mediaType": LAYER, "digest": layer, "size": EMPTY_TAR.len()}],
                });
                let manifest = manifest.to_string();
                let digest = digest(manifest.as_bytes());
                (Build { name, digest }, config, manifest)
            })
            .collect();
        in_parallel(&contents, |(build, config, manifest)| {
            self.registry.push_blob(REPOSITORY, config.as_bytes());
            self.registry
                .put_manifest(REPOSITORY, &build.digest, MANIFEST, manifest.as_bytes());
        });
        contents.into_iter().map(|(build, ..)| build).collect()
    }

    /// Makes these runs and ends them, eight at once; gives when the server had said of each that it is completed.
    pub(super) fn complete(&self, builds: &[Build]) -> BTreeMap<String, Instant> {
        let completed = Mutex::new(BTreeMap::new());
        let time = now();
        in_parallel(builds, |build| {
            let done = self.complete_at(build, &time);
            let mut completed = completed.lock().expect("no holder panics");
            completed.insert(build.name.clone(), done);
        });
        completed.into_inner().expect("no holder panics")
    }

    /// Makes one run and ends it.
    pub(super) fn complete_one(&self, build: &Build) -> Instant {
        self.complete_at(build, &now())
    }

    fn complete_at(&self, build: &Build, time: &str) -> Instant {
        let run = task_run::created(&self.builds, &build.name);
        self.put(&run, &build.digest, time);
        Instant::now()
    }

    /// Puts runs beside those to be signed that somebody is done with.
    pub(super) fn hold_others(&self, count: usize) {
        let time = now();
        let digest = digest(b"long ago");
        let names: Vec<_> = (0..count)
            .map(|number| format!("old-{number:05}"))
            .collect();
        in_parallel(&names, |name| {
            self.put(&task_run::held(&self.others, name), &digest, &time);
        });
    }

    fn put(&self, run: &Value, digest: &str, time: &str) {
        self.api.create(run);
        let url = format!("{}/{REPOSITORY}", self.registry());
        let status = task_run::status(&url, digest, time);
        // A patch, because a controller may set its finalizer at the same time.
        let path = format!("{}/status", object_path(run));
        self.api.patch(&path, &json!({ "status": status }));
    }

    /// Begins to watch for marks.
    pub(super) fn marks(&self) -> Marks {
        let path = format!("/apis/tekton.dev/v1/namespaces/{}/taskruns", self.builds);
        Marks {
            watch: self.api.watch_metadata(&path),
            seen: BTreeMap::new(),
        }
    }

    /// Processor time of the API server, etcd and the registry.
    pub(super) fn cpu_s(&self) -> f64 {
        cpu_of(&self.api.processes()) + cpu_of(&self.registry.processes())
    }

    /// Waits until the servers, and `program` where there is one, have nothing to do.
    ///
    /// # Panics
    ///
    /// When they go on for a minute.
    pub(super) fn settle(&self, program: &[u32]) {
        let deadline = Instant::now() + QUIET_WITHIN;
        let cpu = || self.cpu_s() + cpu_of(program);
        let mut quiet = 0;
        while quiet < 2 {
            assert!(Instant::now() < deadline, "the servers do not come to rest");
            let before = cpu();
            thread::sleep(LOOK);
            let used = (cpu() - before) / LOOK.as_secs_f64();
            quiet = if used < QUIET { quiet + 1 } else { 0 };
        }
    }

    /// Begins to count requests.
    pub(super) fn count(&self) -> Counter<'_> {
        let proxy = self.proxy.as_ref().expect("this arena counts");
        proxy.forget();
        let log = self
            .log
            .as_ref()
            .map(|log| log.proxy().expect("this arena counts"));
        Counter {
            proxy,
            log,
            audit: self.api.audit(),
        }
    }
}

/// Counts requests of programs.
pub(super) struct Counter<'a> {
    proxy: &'a Proxy,
    log: Option<&'a Proxy>,
    audit: Audit<'a>,
}

/// How often each kind of request was sent.
pub(super) type Kinds = BTreeMap<String, usize>;

impl Counter<'_> {
    /// Requests to the API server by whoever calls itself so. Those for Leases come with time and not with runs, and are left out.
    pub(super) fn of_api(&self, agent: &str) -> Kinds {
        let mut kinds = Kinds::new();
        for request in self.audit.requests() {
            if !request.user_agent.contains(agent) || request.resource == "leases" {
                continue;
            }
            let part = if request.subresource.is_empty() {
                String::new()
            } else {
                format!("/{}", request.subresource)
            };
            let kind = format!("{} {}{part}", request.verb, request.resource);
            *kinds.entry(kind).or_default() += 1;
        }
        kinds
    }

    /// Requests to the registry.
    pub(super) fn of_registry(&self) -> Kinds {
        let mut kinds = Kinds::new();
        for seen in self.proxy.seen() {
            let what = seen
                .path
                .split('/')
                .find(|part| ["manifests", "blobs", "tags", "referrers"].contains(part))
                .unwrap_or("/v2/");
            let what = match what {
                "blobs" if seen.path.contains("/uploads/") => "uploads",
                "manifests" if seen.path.contains("/sha256-") => "tag",
                "manifests" => "image",
                other => other,
            };
            *kinds.entry(format!("{} {what}", seen.method)).or_default() += 1;
        }
        kinds
    }

    /// Requests to the log, where there is one.
    pub(super) fn of_log(&self) -> Option<Kinds> {
        let mut kinds = Kinds::new();
        for seen in self.log?.seen() {
            // The identity of an entry is no kind.
            let mut parts = seen.path.rsplit('/').filter(|part| part.len() < 64);
            let what = parts.next().unwrap_or_default();
            *kinds.entry(format!("{} {what}", seen.method)).or_default() += 1;
        }
        Some(kinds)
    }
}

/// What runs are marked with, and when.
pub(super) struct Marks {
    watch: Watch,
    seen: BTreeMap<String, Instant>,
}

impl Marks {
    /// Waits until so many runs were marked as signed since the watch began.
    ///
    /// # Errors
    ///
    /// With a text, when the time is over before, or when one was not signed.
    pub(super) fn wait_for(&mut self, count: usize, time: Duration) -> Result<Instant, String> {
        let deadline = Instant::now() + time;
        let mut last = Instant::now();
        while self.seen.len() < count {
            let left = deadline.saturating_duration_since(Instant::now());
            let Some(event) = self.watch.next_within(left) else {
                let seen = self.seen.len();
                return Err(format!("{seen} of {count} runs were signed after {time:?}"));
            };
            let metadata = &event["object"]["metadata"];
            let name = metadata["name"].as_str().unwrap_or_default();
            match metadata["annotations"][super::SIGNED].as_str() {
                None => {}
                Some("true") => {
                    last = *self
                        .seen
                        .entry(name.to_owned())
                        .or_insert_with(Instant::now)
                }
                Some(other) => return Err(format!("{name} is marked {other:?}: {metadata:#}")),
            }
        }
        Ok(last)
    }

    /// When the mark of each run was seen.
    pub(super) fn seen(&self) -> &BTreeMap<String, Instant> {
        &self.seen
    }
}

/// Does something with each item, eight at once.
fn in_parallel<T: Sync>(items: &[T], work: impl Fn(&T) + Sync) {
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                while let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed)) {
                    work(item);
                }
            });
        }
    });
}

/// Now, as Kubernetes writes it.
fn now() -> String {
    let out = Run::new("date").args(["-u", "+%Y-%m-%dT%H:%M:%SZ"]).ok();
    out.stdout.trim().to_owned()
}
