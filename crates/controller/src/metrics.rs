//! What the controller counts, and how Prometheus reads it: the names and descriptions of Tekton Chains, and `tekseal_…`.
//!
//! The text format is written here: the client library puts a period after every description and an `EOF` at the end, and wants a type
//! for each label. All methods are cheap and never wait, but for the one that counts failed runs.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Display, Write as _};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tekseal_core::run::RunKind;

/// Media type of [`Metrics::render`].
pub const MEDIA_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// At which step a signature failed, as Chains names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorType {
    /// Making a payload.
    PayloadCreation,
    /// Turning a payload into bytes.
    MarshalPayload,
    /// Signing.
    Signing,
    /// Storing.
    Storage,
    /// Telling a transparency log.
    Tlog,
}

/// Why a run will not be signed any more: few enough to be a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FailureClass {
    /// No payload can be made of it.
    Payload,
    /// The key cannot sign it.
    Signing,
    /// It is too large for the transparency log.
    Log,
    /// A registry or the API server will not take it.
    Storage,
    /// It was tried for as long as the configuration wants.
    RetriesExhausted,
    /// It was deleted and let go.
    ReleasedUnsigned,
    /// It was deleted before we held it, or although we did.
    GoneUnsigned,
}

/// Whether something can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// It can.
    Good,
    /// It cannot, or is not known yet.
    Bad,
}

/// What one process counts; a clone counts into the same.
#[derive(Clone, Default)]
pub struct Metrics(Arc<Figures>);

#[derive(Default)]
struct Figures {
    task_runs: OfKind,
    pipeline_runs: OfKind,
    failed_runs: Mutex<Failed>,
    queue: Mutex<Queue>,
    forged_marks: AtomicU64,
    watch_errors: AtomicU64,
    config: AtomicU64,
    key: AtomicU64,
    leader: AtomicU64,
    to_mark: Histogram,
}

/// The counters of Chains for one kind of run.
#[derive(Default)]
struct OfKind {
    created: AtomicU64,
    uploaded: AtomicU64,
    stored: AtomicU64,
    marked: AtomicU64,
    failures: [AtomicU64; ErrorType::ALL.len()],
}

#[derive(Default)]
struct Queue {
    waiting: usize,
    in_work: usize,
    oldest: Option<Timestamp>,
}

/// Failed runs by namespace and class. Whoever may make namespaces does not make the list endless.
#[derive(Default)]
struct Failed {
    namespaces: BTreeSet<String>,
    counts: BTreeMap<(String, FailureClass), u64>,
}

/// So many namespaces have a name of their own; the next ones are [`OTHERS`].
const MOST_NAMESPACES: usize = 200;
const OTHERS: &str = "other";

impl Metrics {
    /// Nothing counted yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A signature was made.
    pub fn signed(&self, kind: RunKind) {
        count(&self.of(kind).created, 1);
    }

    /// A payload was told to a transparency log.
    pub fn uploaded(&self, kind: RunKind) {
        count(&self.of(kind).uploaded, 1);
    }

    /// A payload was stored, in one place.
    pub fn stored(&self, kind: RunKind) {
        count(&self.of(kind).stored, 1);
    }

    /// A run was marked as signed.
    pub fn marked(&self, kind: RunKind) {
        count(&self.of(kind).marked, 1);
    }

    /// An attempt failed, at this step.
    pub fn failed(&self, kind: RunKind, at: ErrorType) {
        // `ErrorType::ALL` has them in the order of the declaration.
        count(&self.of(kind).failures[at as usize], 1);
    }

    /// A run will not be signed any more.
    pub fn run_failed(&self, namespace: &str, class: FailureClass) {
        let mut failed = self
            .0
            .failed_runs
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        failed.count(namespace, class);
    }

    /// How many runs wait, how many are in work, and when the oldest of those that wait was completed.
    pub fn queue(&self, waiting: usize, in_work: usize, oldest: Option<Timestamp>) {
        let mut queue = self.0.queue.lock().unwrap_or_else(PoisonError::into_inner);
        *queue = Queue {
            waiting,
            in_work,
            oldest,
        };
    }

    /// A mark was found that nobody of ours made.
    pub fn forged_mark(&self) {
        count(&self.0.forged_marks, 1);
    }

    /// The watch of runs or of the configuration broke.
    pub fn watch_error(&self) {
        count(&self.0.watch_errors, 1);
    }

    /// Whether the configuration that is there now can be used.
    pub fn config(&self, is: Condition) {
        self.0.config.store(is.figure(), Ordering::Relaxed);
    }

    /// Whether the platform's key can be used.
    pub fn key(&self, is: Condition) {
        self.0.key.store(is.figure(), Ordering::Relaxed);
    }

    /// Whether this replica works ([`Condition::Good`]) or stands by.
    pub fn leader(&self, is: Condition) {
        self.0.leader.store(is.figure(), Ordering::Relaxed);
    }

    /// A run was marked so long after it was completed.
    pub fn completed_to_marked(&self, took: Duration) {
        self.0.to_mark.observe(took);
    }

    /// All of it in Prometheus' text format, of the media type [`MEDIA_TYPE`].
    #[must_use]
    pub fn render(&self) -> String {
        self.render_at(Timestamp::now())
    }

    fn render_at(&self, now: Timestamp) -> String {
        let mut text = Text::default();
        self.0.task_runs.render(&mut text, "taskrun", "TaskRun");
        self.0
            .pipeline_runs
            .render(&mut text, "pipelinerun", "PipelineRun");
        self.0.render(&mut text, now);
        text.0
    }

    fn of(&self, kind: RunKind) -> &OfKind {
        match kind {
            RunKind::TaskRun => &self.0.task_runs,
            RunKind::PipelineRun => &self.0.pipeline_runs,
        }
    }
}

impl OfKind {
    /// As Chains names and describes them.
    fn render(&self, text: &mut Text, kind: &str, title: &str) {
        for (name, what, counter) in [
            ("sign_created", "signed messages", &self.created),
            ("payload_uploaded", "uploaded payloads", &self.uploaded),
            ("payload_stored", "stored payloads", &self.stored),
            ("marked_signed", "objects marked as signed", &self.marked),
        ] {
            let name = format!("watcher_{kind}_{name}_total");
            text.one(
                &name,
                COUNTER,
                &format!("Total number of {what} for {kind}s"),
                load(counter),
            );
        }
        let name = format!("watcher_{kind}_signing_failures_total");
        text.family(
            &name,
            COUNTER,
            &format!("Total number of {title} signing failures"),
        );
        for (at, counter) in ErrorType::ALL.iter().zip(&self.failures) {
            text.sample(&name, &[("error_type", at.name())], load(counter));
        }
    }
}

impl Figures {
    fn render(&self, text: &mut Text, now: Timestamp) {
        let version = [
            ("version", env!("CARGO_PKG_VERSION")),
            ("commit", option_env!("TEKSEAL_COMMIT").unwrap_or("unknown")),
        ];
        text.family(
            "tekseal_build_info",
            GAUGE,
            "Version and commit of the program",
        );
        text.sample("tekseal_build_info", &version, 1);
        {
            let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
            let age = queue.oldest.map_or(0, |oldest| {
                now.as_second().saturating_sub(oldest.as_second()).max(0)
            });
            text.one(
                "tekseal_runs_waiting",
                GAUGE,
                "Completed runs that wait to be signed",
                queue.waiting,
            );
            text.one(
                "tekseal_runs_in_work",
                GAUGE,
                "Runs that are worked on",
                queue.in_work,
            );
            text.one(
                "tekseal_oldest_waiting_run_seconds",
                GAUGE,
                "Seconds since the completion of the oldest run that waits",
                age,
            );
        }
        self.failed_runs
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .render(text);
        for (name, help, counter) in [
            (
                "forged_marks",
                "Marks that were found on runs and were not made by this program",
                &self.forged_marks,
            ),
            (
                "watch_errors",
                "Breaks of watches of runs and of the configuration",
                &self.watch_errors,
            ),
        ] {
            text.one(
                &format!("tekseal_{name}_total"),
                COUNTER,
                help,
                load(counter),
            );
        }
        for (name, help, figure) in [
            (
                "config_ok",
                "Whether the configuration that is there now can be used",
                &self.config,
            ),
            ("key_ok", "Whether the key can be used", &self.key),
            (
                "leader",
                "Whether this replica works (1) or stands by (0)",
                &self.leader,
            ),
        ] {
            text.one(&format!("tekseal_{name}"), GAUGE, help, load(figure));
        }
        let help = "Seconds from the completion of a run to its mark";
        self.to_mark
            .render(text, "tekseal_completed_to_marked_seconds", help);
    }
}

impl Failed {
    fn count(&mut self, namespace: &str, class: FailureClass) {
        if !self.namespaces.contains(namespace) && self.namespaces.len() < MOST_NAMESPACES {
            self.namespaces.insert(namespace.to_owned());
        }
        let name = match self.namespaces.contains(namespace) {
            true => namespace,
            false => OTHERS,
        };
        *self.counts.entry((name.to_owned(), class)).or_default() += 1;
    }

    fn render(&self, text: &mut Text) {
        let name = "tekseal_runs_failed_total";
        text.family(
            name,
            COUNTER,
            "Runs that will not be signed any more, by reason and namespace",
        );
        for ((namespace, class), &count) in &self.counts {
            text.sample(
                name,
                &[("reason", class.name()), ("namespace", namespace)],
                count,
            );
        }
    }
}

/// Observations by upper bound. Completion times have whole seconds, so nothing finer than a tenth says anything.
#[derive(Default)]
struct Histogram {
    buckets: [AtomicU64; BOUNDS.len()],
    count: AtomicU64,
    milliseconds: AtomicU64,
}

const BOUNDS: [&str; 13] = [
    "0.1", "0.25", "0.5", "1", "2", "5", "10", "30", "60", "300", "900", "3600", "21600",
];
const BOUNDS_IN_MILLISECONDS: [u64; BOUNDS.len()] = [
    100, 250, 500, 1000, 2000, 5000, 10_000, 30_000, 60_000, 300_000, 900_000, 3_600_000,
    21_600_000,
];

impl Histogram {
    fn observe(&self, took: Duration) {
        let took = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        if let Some(at) = BOUNDS_IN_MILLISECONDS
            .iter()
            .position(|&bound| took <= bound)
        {
            count(&self.buckets[at], 1);
        }
        count(&self.count, 1);
        count(&self.milliseconds, took);
    }

    fn render(&self, text: &mut Text, name: &str, help: &str) {
        text.family(name, "histogram", help);
        let bucket = format!("{name}_bucket");
        let mut below = 0;
        for (bound, counter) in BOUNDS.iter().zip(&self.buckets) {
            below += load(counter);
            text.sample(&bucket, &[("le", bound)], below);
        }
        // An observation between the two reads must not make the last bucket smaller than the one before.
        let all = load(&self.count).max(below);
        text.sample(&bucket, &[("le", "+Inf")], all);
        let milliseconds = load(&self.milliseconds);
        let sum = format_args!("{}.{:03}", milliseconds / 1000, milliseconds % 1000);
        text.sample(&format!("{name}_sum"), &[], sum);
        text.sample(&format!("{name}_count"), &[], all);
    }
}

impl ErrorType {
    const ALL: [Self; 5] = [
        Self::PayloadCreation,
        Self::MarshalPayload,
        Self::Signing,
        Self::Storage,
        Self::Tlog,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::PayloadCreation => "payload_creation",
            Self::MarshalPayload => "marshal_payload",
            Self::Signing => "signing",
            Self::Storage => "storage",
            Self::Tlog => "tlog",
        }
    }
}

impl FailureClass {
    fn name(self) -> &'static str {
        match self {
            Self::Payload => "payload",
            Self::Signing => "signing",
            Self::Log => "log",
            Self::Storage => "storage",
            Self::RetriesExhausted => "retries_exhausted",
            Self::ReleasedUnsigned => "released_unsigned",
            Self::GoneUnsigned => "gone_unsigned",
        }
    }
}

impl Condition {
    fn figure(self) -> u64 {
        match self {
            Self::Good => 1,
            Self::Bad => 0,
        }
    }
}

fn count(counter: &AtomicU64, number: u64) {
    counter.fetch_add(number, Ordering::Relaxed);
}

fn load(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

const COUNTER: &str = "counter";
const GAUGE: &str = "gauge";

/// <https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format>
#[derive(Default)]
struct Text(String);

impl Text {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        self.line(format_args!("# HELP {name} {help}"));
        self.line(format_args!("# TYPE {name} {kind}"));
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        let pairs: Vec<_> = labels
            .iter()
            .map(|(key, value)| format!("{key}=\"{}\"", escaped(value)))
            .collect();
        match pairs.is_empty() {
            true => self.line(format_args!("{name} {value}")),
            false => self.line(format_args!("{name}{{{}}} {value}", pairs.join(","))),
        }
    }

    fn one(&mut self, name: &str, kind: &str, help: &str, value: impl Display) {
        self.family(name, kind, help);
        self.sample(name, &[], value);
    }

    fn line(&mut self, line: fmt::Arguments<'_>) {
        writeln!(self.0, "{line}").expect("a String takes everything");
    }
}

fn escaped(value: &str) -> String {
    value
        .replace('\\', r"\\")
        .replace('"', r#"\""#)
        .replace('\n', r"\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The samples whose line begins so.
    fn samples(metrics: &Metrics, prefix: &str) -> Vec<String> {
        let text = metrics.render_at("2026-01-31T12:00:00Z".parse().expect("a time"));
        text.lines()
            .filter(|line| line.starts_with(prefix))
            .map(str::to_owned)
            .collect()
    }

    #[test]
    fn names_and_descriptions_are_those_of_chains() {
        let metrics = Metrics::new();
        metrics.signed(RunKind::TaskRun);
        metrics.stored(RunKind::TaskRun);
        metrics.stored(RunKind::TaskRun);
        metrics.marked(RunKind::PipelineRun);
        metrics.failed(RunKind::PipelineRun, ErrorType::Storage);
        let text = metrics.render();
        let of_chains: Vec<&str> = text
            .lines()
            .filter(|line| line.contains("watcher_"))
            .collect();
        assert_eq!(of_chains.join("\n"), OF_CHAINS.trim());
    }

    const OF_CHAINS: &str = r#"
# HELP watcher_taskrun_sign_created_total Total number of signed messages for taskruns
# TYPE watcher_taskrun_sign_created_total counter
watcher_taskrun_sign_created_total 1
# HELP watcher_taskrun_payload_uploaded_total Total number of uploaded payloads for taskruns
# TYPE watcher_taskrun_payload_uploaded_total counter
watcher_taskrun_payload_uploaded_total 0
# HELP watcher_taskrun_payload_stored_total Total number of stored payloads for taskruns
# TYPE watcher_taskrun_payload_stored_total counter
watcher_taskrun_payload_stored_total 2
# HELP watcher_taskrun_marked_signed_total Total number of objects marked as signed for taskruns
# TYPE watcher_taskrun_marked_signed_total counter
watcher_taskrun_marked_signed_total 0
# HELP watcher_taskrun_signing_failures_total Total number of TaskRun signing failures
# TYPE watcher_taskrun_signing_failures_total counter
watcher_taskrun_signing_failures_total{error_type="payload_creation"} 0
watcher_taskrun_signing_failures_total{error_type="marshal_payload"} 0
watcher_taskrun_signing_failures_total{error_type="signing"} 0
watcher_taskrun_signing_failures_total{error_type="storage"} 0
watcher_taskrun_signing_failures_total{error_type="tlog"} 0
# HELP watcher_pipelinerun_sign_created_total Total number of signed messages for pipelineruns
# TYPE watcher_pipelinerun_sign_created_total counter
watcher_pipelinerun_sign_created_total 0
# HELP watcher_pipelinerun_payload_uploaded_total Total number of uploaded payloads for pipelineruns
# TYPE watcher_pipelinerun_payload_uploaded_total counter
watcher_pipelinerun_payload_uploaded_total 0
# HELP watcher_pipelinerun_payload_stored_total Total number of stored payloads for pipelineruns
# TYPE watcher_pipelinerun_payload_stored_total counter
watcher_pipelinerun_payload_stored_total 0
# HELP watcher_pipelinerun_marked_signed_total Total number of objects marked as signed for pipelineruns
# TYPE watcher_pipelinerun_marked_signed_total counter
watcher_pipelinerun_marked_signed_total 1
# HELP watcher_pipelinerun_signing_failures_total Total number of PipelineRun signing failures
# TYPE watcher_pipelinerun_signing_failures_total counter
watcher_pipelinerun_signing_failures_total{error_type="payload_creation"} 0
watcher_pipelinerun_signing_failures_total{error_type="marshal_payload"} 0
watcher_pipelinerun_signing_failures_total{error_type="signing"} 0
watcher_pipelinerun_signing_failures_total{error_type="storage"} 1
watcher_pipelinerun_signing_failures_total{error_type="tlog"} 0
"#;

    #[test]
    fn a_clone_counts_into_the_same() {
        let metrics = Metrics::new();
        let clone = metrics.clone();
        clone.forged_mark();
        clone.watch_error();
        clone.config(Condition::Good);
        clone.key(Condition::Good);
        clone.leader(Condition::Good);
        clone.leader(Condition::Bad);
        for wanted in [
            "tekseal_forged_marks_total 1",
            "tekseal_watch_errors_total 1",
            "tekseal_config_ok 1",
            "tekseal_key_ok 1",
            "tekseal_leader 0",
        ] {
            assert_eq!(samples(&metrics, wanted), [wanted]);
        }
    }

    #[test]
    fn the_oldest_run_grows_older_while_nobody_tells_of_it() {
        let metrics = Metrics::new();
        assert_eq!(
            samples(&metrics, "tekseal_oldest"),
            ["tekseal_oldest_waiting_run_seconds 0"]
        );
        let completed = "2026-01-31T11:58:30Z".parse().expect("a time");
        metrics.queue(7, 2, Some(completed));
        assert_eq!(
            samples(&metrics, "tekseal_oldest"),
            ["tekseal_oldest_waiting_run_seconds 90"]
        );
        assert_eq!(
            samples(&metrics, "tekseal_runs_waiting"),
            ["tekseal_runs_waiting 7"]
        );
        assert_eq!(
            samples(&metrics, "tekseal_runs_in_work"),
            ["tekseal_runs_in_work 2"]
        );
        // A clock that is behind makes no negative age.
        let later = "2026-01-31T12:30:00Z".parse().expect("a time");
        metrics.queue(1, 0, Some(later));
        assert_eq!(
            samples(&metrics, "tekseal_oldest"),
            ["tekseal_oldest_waiting_run_seconds 0"]
        );
    }

    #[test]
    fn many_namespaces_are_no_endless_list() {
        let metrics = Metrics::new();
        for number in 0..1000 {
            metrics.run_failed(&format!("n{number}"), FailureClass::Payload);
        }
        metrics.run_failed("n7", FailureClass::Payload);
        metrics.run_failed("n999", FailureClass::ReleasedUnsigned);
        let found = samples(&metrics, "tekseal_runs_failed_total{");
        assert_eq!(found.len(), MOST_NAMESPACES + 2);
        for wanted in [
            r#"tekseal_runs_failed_total{reason="payload",namespace="n7"} 2"#,
            r#"tekseal_runs_failed_total{reason="payload",namespace="other"} 800"#,
            r#"tekseal_runs_failed_total{reason="released_unsigned",namespace="other"} 1"#,
        ] {
            assert!(found.iter().any(|line| line == wanted), "{wanted}");
        }
    }

    #[test]
    fn a_histogram_counts_all_that_is_below_each_bound() {
        let metrics = Metrics::new();
        for milliseconds in [100, 101, 4_000, 90_000_000] {
            metrics.completed_to_marked(Duration::from_millis(milliseconds));
        }
        let found = samples(&metrics, "tekseal_completed_to_marked_seconds");
        let ends = |bound: &str| -> String {
            let line = found
                .iter()
                .find(|line| line.contains(bound))
                .expect("it is there");
            line.rsplit(' ').next().expect("a value").to_owned()
        };
        let below = [
            "le=\"0.1\"",
            "le=\"0.25\"",
            "le=\"2\"",
            "le=\"5\"",
            "le=\"21600\"",
            "le=\"+Inf\"",
            "_count",
        ]
        .map(ends);
        assert_eq!(below, ["1", "2", "2", "3", "3", "4", "4"]);
        assert_eq!(ends("_sum"), "90004.201");
        for (bound, milliseconds) in BOUNDS.iter().zip(BOUNDS_IN_MILLISECONDS) {
            let seconds: f64 = bound.parse().expect("a number");
            assert_eq!((seconds * 1000.0).to_string(), milliseconds.to_string());
        }
    }

    #[test]
    fn every_name_is_described_once_and_before_its_samples() {
        let text = Metrics::new().render();
        let mut described = BTreeSet::new();
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                let name = rest.split(' ').next().expect("a name");
                assert!(described.insert(name.to_owned()), "{name} twice");
            }
            if !line.starts_with('#') {
                let name = line.split(['{', ' ']).next().expect("a name");
                let family = ["_bucket", "_sum", "_count"]
                    .iter()
                    .find_map(|end| name.strip_suffix(end))
                    .unwrap_or(name);
                assert!(described.contains(family), "{line}");
            }
        }
        assert_eq!(escaped("a\"b\\c\nd"), r#"a\"b\\c\nd"#);
    }
}
