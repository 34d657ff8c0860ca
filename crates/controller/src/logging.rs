//! One line for each event on stderr: JSON for machines, or text for people, with the fields of the run it is about.
//!
//! ```text
//!  {"timestamp":"…","level":"info","message":"stored","run":"taskrun/ci/build","namespace":"ci","uid":"…","tag":"…"}
//!  2026-01-31T12:00:00.000Z INFO stored run=taskrun/ci/build namespace=ci uid=… tag=…
//! ```
//!
//! A layer of our own instead of `tracing_subscriber::fmt`: that one nests the fields of spans, and lets characters through that a
//! terminal obeys or hides. The level is `RUST_LOG` as `filter::Targets` reads it, without regular expressions.

use std::fmt::{self, Write as _};
use std::io::{self, Write as _};

use jiff::Timestamp;
use serde_json::Value;
use tekseal_cluster::RunRef;
use tekseal_core::is_invisible;
use tekseal_core::run::RunKind;
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Span, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use tracing_subscriber::registry::LookupSpan;

/// How lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For people.
    Text,
    /// One object a line.
    Json,
}

/// Begins to log, and says which program, version and commit is running. Only the first call of a process has an effect.
pub fn start(program: &str, format: Format) {
    let wanted = std::env::var("RUST_LOG").unwrap_or_default();
    let (targets, problem) = targets(&wanted);
    let lines = Lines {
        format,
        write: to_stderr,
    };
    let subscriber = tracing_subscriber::registry().with(targets).with(lines);
    if tracing::subscriber::set_global_default(subscriber).is_err() {
        return;
    }
    let commit = option_env!("TEKSEAL_COMMIT").unwrap_or("unknown");
    tracing::info!(
        program,
        version = env!("CARGO_PKG_VERSION"),
        commit,
        "started"
    );
    if let Some(problem) = problem {
        tracing::warn!(
            RUST_LOG = wanted,
            problem,
            "the level of the log is not understood, and is info"
        );
    }
}

/// A span whose fields stand in every line that is written inside it.
#[must_use]
pub fn of_run(run: &RunRef, uid: &str) -> Span {
    let kind = match run.kind {
        RunKind::TaskRun => "taskrun",
        RunKind::PipelineRun => "pipelinerun",
    };
    // A span of a lower level would be missing from the warnings where only warnings are wanted.
    tracing::error_span!(
        "run",
        run = format_args!("{kind}/{}/{}", run.namespace, run.name),
        namespace = run.namespace,
        uid,
    )
}

/// What others than this program may say. Each prefix stands for all that begins so.
const QUIET: [&str; 6] = ["kube", "hyper", "tower", "reqwest", "rustls", "h2"];

/// Says of each request that failed that it did, and neither which nor why; whoever sent it says both.
const SILENT: &str = "kube_client::client::builder";

/// Warns of an answer that it cannot read with all of it: that may be a Secret. Nothing of it is logged, whatever is wished.
const TELLS_ALL: &str = "kube_client::client";

/// The level that is wished for a target, by the longest prefix of it that is named.
fn most_of(named: &Targets, target: &str) -> LevelFilter {
    let prefixes = named
        .iter()
        .filter(|(prefix, _)| target.starts_with(prefix));
    let longest = prefixes.max_by_key(|(prefix, _)| prefix.len());
    longest.map_or(LevelFilter::OFF, |(_, level)| level)
}

/// What is logged, and what is wrong with the wish. The libraries below are at `warn` unless they are named.
fn targets(wanted: &str) -> (Targets, Option<String>) {
    // `Targets` reads an empty text as «error».
    let wanted = if wanted.trim().is_empty() {
        "info"
    } else {
        wanted
    };
    let (named, problem) = match wanted.parse::<Targets>() {
        Ok(named) => (named, None),
        Err(error) => (Targets::new(), Some(error.to_string())),
    };
    let level = named.default_level().unwrap_or(LevelFilter::INFO);
    let quiet = QUIET.map(|target| (target, level.min(LevelFilter::WARN)));
    // A wish for more of kube is one for this too.
    let is_named = named.iter().any(|(target, _)| SILENT.starts_with(target));
    let of_builder = match is_named {
        true => most_of(&named, SILENT),
        false => LevelFilter::OFF,
    };
    let targets = Targets::new()
        .with_default(level)
        .with_targets(quiet)
        .with_targets(named.iter())
        .with_target(TELLS_ALL, LevelFilter::OFF)
        .with_target(SILENT, of_builder);
    (targets, problem)
}

fn to_stderr(line: &str) {
    // A log that cannot be written is no reason to stop signing, and there is nowhere to say so.
    let _ = io::stderr().lock().write_all(line.as_bytes());
}

/// The layer: collects the fields of spans, and writes a line for each event.
struct Lines<W> {
    format: Format,
    write: W,
}

impl<S, W> Layer<S> for Lines<W>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: Fn(&str) + 'static,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        if let Some(span) = context.span(id) {
            let mut fields = Fields::default();
            attributes.record(&mut fields);
            span.extensions_mut().replace(fields);
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        if let Some(span) = context.span(id)
            && let Some(fields) = span.extensions_mut().get_mut::<Fields>()
        {
            values.record(fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut fields = Fields::default();
        let spans = context.event_scope(event).into_iter();
        for span in spans.flat_map(|scope| scope.from_root()) {
            if let Some(of_span) = span.extensions().get::<Fields>() {
                let pairs = of_span.pairs.iter();
                pairs.for_each(|(key, value)| fields.set(key, value.clone()));
            }
        }
        event.record(&mut fields);
        let target = event.metadata().target();
        if !target.starts_with("tekseal") {
            fields.set("target", Value::from(target));
        }
        let line = Line {
            time: Timestamp::now(),
            level: *event.metadata().level(),
            fields: &fields,
        };
        let text = match self.format {
            Format::Json => line.json(),
            Format::Text => line.text(),
        };
        (self.write)(&text);
    }
}

/// Names and values in the order in which they came; of two with one name the inner one counts.
#[derive(Default)]
struct Fields {
    message: String,
    pairs: Vec<(&'static str, Value)>,
}

impl Fields {
    fn set(&mut self, key: &'static str, value: Value) {
        // Two members of one name are read differently by different readers.
        let key = match key {
            "timestamp" => "timestamp_",
            "level" => "level_",
            other => other,
        };
        match self.pairs.iter_mut().find(|(known, _)| *known == key) {
            Some((_, known)) => *known = value,
            None => self.pairs.push((key, value)),
        }
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => value.clone_into(&mut self.message),
            name => self.set(name, Value::from(value)),
        }
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.set(field.name(), Value::from(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.set(field.name(), Value::from(value));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.set(field.name(), Value::from(value));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.set(field.name(), Value::from(value));
    }
}

struct Line<'a> {
    time: Timestamp,
    level: Level,
    fields: &'a Fields,
}

impl Line<'_> {
    fn json(&self) -> String {
        let level = self.level.as_str().to_ascii_lowercase();
        let message = Value::from(self.fields.message.as_str());
        let mut line = format!(
            r#"{{"timestamp":"{:.3}","level":"{level}","message":"#,
            self.time
        );
        push_json(&mut line, &message);
        for (key, value) in &self.fields.pairs {
            line.push(',');
            push_json(&mut line, &Value::from(*key));
            line.push(':');
            push_json(&mut line, value);
        }
        line.push_str("}\n");
        line
    }

    fn text(&self) -> String {
        let visible = |c| if is_invisible(c) { ' ' } else { c };
        let message: String = self.fields.message.chars().map(visible).collect();
        let mut line = format!("{:.3} {} {message}", self.time, self.level);
        for (key, value) in &self.fields.pairs {
            let value = match value {
                Value::String(text) => quoted(text),
                other => other.to_string(),
            };
            line.push_str(&format!(" {key}={value}"));
        }
        line.push('\n');
        line
    }
}

/// A value as JSON in which nothing is invisible: what is not ASCII can only stand inside of texts, where it may be escaped.
fn push_json(line: &mut String, value: &Value) {
    for c in value.to_string().chars() {
        if !is_invisible(c) {
            line.push(c);
            continue;
        }
        let mut units = [0; 2];
        for unit in c.encode_utf16(&mut units) {
            write!(line, "\\u{unit:04x}").expect("a String takes everything");
        }
    }
}

/// A value with blanks or control characters is quoted, so that a line stays a line and pairs stay pairs; as the steps do it.
fn quoted(value: &str) -> String {
    let is_plain = |c: char| !is_invisible(c) && !c.is_whitespace() && c != '"';
    if !value.is_empty() && value.chars().all(is_plain) {
        return value.to_owned();
    }
    // Debug escapes control characters and most of the invisible ones; the rest go.
    format!("{value:?}")
        .chars()
        .filter(|&c| !is_invisible(c))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    /// What is logged by `work` where `RUST_LOG` is `level`.
    fn logged(format: Format, level: &str, work: impl FnOnce()) -> Vec<String> {
        let said = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&said);
        let write = move |line: &str| kept.lock().expect("no panic").push(line.to_owned());
        let subscriber = tracing_subscriber::registry()
            .with(targets(level).0)
            .with(Lines { format, write });
        tracing::subscriber::with_default(subscriber, work);
        said.lock().expect("no panic").clone()
    }

    fn run() -> RunRef {
        RunRef::new(RunKind::PipelineRun, "ci", "release-1").expect("they are names")
    }

    #[test]
    fn a_line_has_the_fields_of_its_run_flat() {
        let lines = logged(Format::Json, "", || {
            let _in_run = of_run(&run(), "u-1").entered();
            tracing::info!(payloads = 2, added = true, took = 0.5, tag = %"sha256-1.sig", "stored");
        });
        let [line] = &lines[..] else {
            panic!("{lines:?}")
        };
        assert!(line.ends_with("}\n"), "{line}");
        let (time, rest) = line.split_once(r#","level""#).expect("level follows");
        let time: Value = serde_json::from_str(&format!("{time}}}")).expect("it is JSON");
        let time = time["timestamp"].as_str().expect("a text");
        assert!(
            time.len() == 24 && time.parse::<Timestamp>().is_ok(),
            "{time}"
        );
        assert_eq!(
            rest,
            concat!(
                r#":"info","message":"stored","run":"pipelinerun/ci/release-1","namespace":"ci","uid":"u-1","#,
                r#""payloads":2,"added":true,"took":0.5,"tag":"sha256-1.sig"}"#,
                "\n"
            )
        );
    }

    #[test]
    fn of_two_fields_with_one_name_the_inner_one_is_written_once() {
        let lines = logged(Format::Json, "", || {
            let _in_run = of_run(&run(), "u-1").entered();
            tracing::info!(uid = "u-2", level = "x", "told");
        });
        let line: Value = serde_json::from_str(&lines[0]).expect("it is JSON");
        assert_eq!(lines[0].matches(r#""uid""#).count(), 1);
        assert_eq!(
            (&line["uid"], &line["level"], &line["level_"]),
            (&"u-2".into(), &"info".into(), &"x".into())
        );
    }

    #[test]
    fn no_value_can_forge_a_line_or_a_field() {
        let evil = "a\n{\"level\":\"error\"}\u{1b}[2J\u{202e}\u{2028}\u{85}\u{7f}\u{e0041} uid=x";
        let work = || {
            tracing::warn!(evil, also = ?evil, "{evil}");
        };
        let json = logged(Format::Json, "", work);
        let line: Value = serde_json::from_str(&json[0]).expect("it is JSON");
        assert_eq!(
            (line["evil"].as_str(), line["message"].as_str()),
            (Some(evil), Some(evil))
        );
        let text = logged(Format::Text, "", work);
        for line in [&json[0], &text[0]] {
            let line = line.strip_suffix('\n').expect("a line has an end");
            assert!(!line.chars().any(is_invisible), "{line:?}");
        }
        assert!(
            text[0].contains(r#" evil="a\n{\"level\":\"error\"}\u{1b}[2J"#),
            "{}",
            text[0]
        );
    }

    #[test]
    fn people_get_pairs_that_stay_pairs() {
        let lines = logged(Format::Text, "", || {
            tracing::error!(error = "no answer", tag = "v1", empty = "", "cannot store");
        });
        let (_, line) = lines[0].split_once(' ').expect("a time stands first");
        assert_eq!(
            line,
            "ERROR cannot store error=\"no answer\" tag=v1 empty=\"\"\n"
        );
    }

    #[test]
    fn the_level_is_asked_for_by_target_and_libraries_are_quiet() {
        let work = || {
            tracing::debug!("ours in detail");
            tracing::info!("ours");
            tracing::info!(target: "kube_client::api", "theirs");
            tracing::error!(target: "kube_client::client", "a whole Secret");
            tracing::warn!(target: "kube_runtime::watcher", "theirs, grave");
            tracing::error!(target: SILENT, "failed");
        };
        let said = |level: &str| -> Vec<String> {
            let lines = logged(Format::Json, level, work);
            let message = |line: &String| {
                serde_json::from_str::<Value>(line).ok()?["message"]
                    .as_str()
                    .map(str::to_owned)
            };
            lines.iter().filter_map(message).collect()
        };
        assert_eq!(said(""), ["ours", "theirs, grave"]);
        assert_eq!(said("debug"), ["ours in detail", "ours", "theirs, grave"]);
        assert_eq!(said("error"), [""; 0]);
        assert_eq!(said("off"), [""; 0]);
        assert_eq!(
            said("warn,kube_client=info"),
            ["theirs", "theirs, grave", "failed"]
        );
        assert_eq!(said("off,kube_client::client=trace"), ["failed"]);
        assert_eq!(said("no=such=level"), ["ours", "theirs, grave"]);
        assert!(targets("no=such=level").1.is_some() && targets("").1.is_none());
    }

    #[test]
    fn a_warning_names_its_run_where_only_warnings_are_wanted() {
        let lines = logged(Format::Json, "warn", || {
            let _in_run = of_run(&run(), "u-1").entered();
            tracing::warn!("odd");
        });
        assert!(lines[0].contains(r#""uid":"u-1""#), "{lines:?}");
    }

    #[test]
    fn a_line_of_a_library_says_whose_it_is() {
        let lines = logged(
            Format::Json,
            "",
            || tracing::warn!(target: "kube_runtime::watcher", "odd"),
        );
        assert!(
            lines[0].contains(r#""target":"kube_runtime::watcher""#),
            "{lines:?}"
        );
    }
}
