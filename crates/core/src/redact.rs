//! Care for secrets: the values of named parameters are replaced by their digest wherever they would appear.
//!
//! A run's parameters stand in its provenance in clear text, in its specification, in the specifications of its tasks, in the annotation
//! that `kubectl apply` leaves, and wherever Tekton put them in place of a variable. So values are replaced by name, and every other
//! text that contains such a value has it replaced too. Type hints are read before that: what is signed keeps its name.
//!
//! A digest hides a value only as far as that cannot be guessed. It serves those who know the value and want to see that it was used.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use aho_corasick::{AhoCorasick, MatchKind};

use crate::digest::Digest;
use crate::gojson::{self, Escape};
use crate::patterns::NamePatterns;
use crate::run::CompletedRun;

/// Values shorter than this are replaced where they are a parameter's value, and not inside other texts: they would be found everywhere.
pub const MIN_LENGTH: usize = 6;

/// What was replaced.
#[derive(Default)]
pub struct Redacted {
    /// Names of the parameters whose values were replaced.
    pub params: BTreeSet<String>,
    /// Those of them with a value that is too short to be looked for inside other texts.
    pub short: BTreeSet<String>,
    finder: Option<Finder>,
}

impl Redacted {
    /// A text about the run, such as the reason why a hint was not used, without the values that were replaced.
    #[must_use]
    pub fn hide<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let mut text = Cow::Borrowed(text);
        if let Some(finder) = &self.finder {
            finder.replace(&mut text);
        }
        text
    }
}

/// Replaces the values of the parameters whose names match `patterns`, in the run and in its children.
///
/// # Errors
/// If there are too many such values to look for.
pub fn redact(run: &mut CompletedRun<'_>, patterns: &NamePatterns) -> Result<Redacted, Error> {
    let mut done = Redacted::default();
    let mut values = BTreeSet::new();
    for object in run.objects() {
        object.each_param(&mut |name, value| {
            if !patterns.matches(name) {
                return;
            }
            for text in value.texts().filter(|text| is_value(text)) {
                done.params.insert(name.to_owned());
                if text.len() < MIN_LENGTH {
                    done.short.insert(name.to_owned());
                } else {
                    values.insert(text.to_owned());
                }
            }
        });
    }
    let finder = Finder::new(&values)?;
    for object in run.objects_mut() {
        object.change(
            &mut |name, text| {
                if patterns.matches(name) && is_value(text) {
                    *text = Cow::Owned(digest_of(text));
                } else {
                    finder.replace(text);
                }
            },
            &mut |text| finder.replace(text),
        );
    }
    done.finder = Some(finder);
    Ok(done)
}

/// Why values cannot be replaced.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// More values, or longer ones, than are looked for.
    #[error(
        "the parameters to redact have {count} different values of {bytes} bytes together, at most {MOST_VALUES} of {MOST_BYTES} are looked for"
    )]
    TooMany {
        /// How many values.
        count: usize,
        /// How long they are together, in all forms.
        bytes: usize,
    },
    /// The values cannot be looked for.
    #[error("the values of the parameters to redact cannot be looked for")]
    Build(#[from] aho_corasick::BuildError),
}

/// The most values that are looked for.
const MOST_VALUES: usize = 1000;
/// The most bytes that they may have together, in all forms: a value of one character over and over takes time with the square of it.
const MOST_BYTES: usize = 64 * 1024;

/// Looks for many values at once, in time linear in the text.
struct Finder {
    /// Knows each value as it is, and as it stands inside JSON text.
    automaton: AhoCorasick,
    /// What each of those is replaced by.
    digests: Vec<String>,
}

impl Finder {
    fn new(values: &BTreeSet<String>) -> Result<Self, Error> {
        let mut forms = BTreeMap::new();
        for value in values {
            for form in [
                escaped(value, Escape::Go),
                escaped(value, Escape::Proto),
                value.clone(),
            ] {
                forms.insert(form, digest_of(value));
            }
        }
        let bytes = forms.keys().map(String::len).sum();
        if values.len() > MOST_VALUES || bytes > MOST_BYTES {
            let count = values.len();
            return Err(Error::TooMany { count, bytes });
        }
        let automaton = AhoCorasick::builder()
            .match_kind(MatchKind::LeftmostLongest)
            .build(forms.keys())?;
        let digests = forms.into_values().collect();
        Ok(Self { digests, automaton })
    }

    fn replace(&self, text: &mut Cow<'_, str>) {
        if !self.digests.is_empty() && self.automaton.is_match(text.as_ref()) {
            *text = Cow::Owned(self.automaton.replace_all(text, &self.digests));
        }
    }
}

/// The inside of the JSON string.
fn escaped(value: &str, escape: Escape) -> String {
    let mut json = Vec::with_capacity(value.len() + 2);
    gojson::write_string(&mut json, value, escape);
    let text = String::from_utf8(json).expect("JSON of a text is a text");
    text[1..text.len() - 1].to_owned()
}

fn digest_of(text: &str) -> String {
    Digest::of(text.as_bytes()).to_string()
}

/// Whether a text is a value of its own: neither empty nor just a reference to a variable, such as `$(params.token)`.
fn is_value(text: &str) -> bool {
    let is_reference = text
        .strip_prefix("$(")
        .and_then(|rest| rest.strip_suffix(')'))
        .is_some_and(|name| !name.contains(['(', ')']));
    !text.is_empty() && !is_reference
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::{Format, Settings};
    use crate::hints;
    use crate::run::MissingChildren;

    const SECRET: &str = "pa<ss>\"w0rd";

    #[test]
    fn no_value_hides_a_task_or_takes_long() {
        let document = |password: &str| {
            serde_json::json!({
                "apiVersion": "tekton.dev/v1", "kind": "TaskRun", "metadata": {"name": "curl-evil"},
                "spec": {"params": [{"name": "password", "value": password}]},
                "status": {
                    "conditions": [{"type": "Succeeded", "status": "True"}],
                    "steps": [{"name": "curl-evil", "container": "step-curl-evil"}],
                    "taskSpec": {"steps": [{"name": "curl-evil", "script": "curl-evil"}]},
                },
            })
            .to_string()
        };
        let patterns = NamePatterns::parse("password").expect("the pattern is well formed");
        let evil = document("curl-evil");
        let mut run = CompletedRun::from_json(evil.as_bytes(), &[], MissingChildren::Refuse)
            .expect("the run is well formed");
        redact(&mut run, &patterns).expect("there are few values");
        let step = run.run().steps().next().expect("it has a step");
        let spec = run.run().step_specs().next().expect("it has a step");
        assert_eq!((step.name(), spec.name()), ("curl-evil", "curl-evil"));
        assert_eq!(spec.entry_point(), digest_of("curl-evil"));

        let git = serde_json::json!({
            "apiVersion": "tekton.dev/v1", "kind": "TaskRun",
            "spec": {"params": [{"name": "CHAINS-GIT_URL", "value": "https://u:secret@git/x"},
                {"name": "CHAINS-GIT_COMMIT", "value": "c"}]},
            "status": {"conditions": [{"type": "Succeeded", "status": "True"}]},
        })
        .to_string();
        let mut run = CompletedRun::from_json(git.as_bytes(), &[], MissingChildren::Refuse)
            .expect("the run is well formed");
        let clear = run.clone();
        let mut observed = hints::observe(&clear);
        let patterns =
            NamePatterns::parse("*GIT_URL,password").expect("the patterns are well formed");
        observed.hide_inputs(&redact(&mut run, &patterns).expect("there are few values"));
        let uri = observed.own.git.map(|git| git.uri).unwrap_or_default();
        let digest = digest_of("https://u:secret@git/x");
        assert_eq!(uri, format!("git+{digest}.git"));

        let long = document(&"<".repeat(16_000));
        let mut run = CompletedRun::from_json(long.as_bytes(), &[], MissingChildren::Refuse)
            .expect("the run is well formed");
        assert!(matches!(
            redact(&mut run, &patterns),
            Err(Error::TooMany { .. })
        ));
    }

    #[test]
    fn a_value_is_nowhere_in_the_payload_and_hints_keep_theirs() {
        let document = serde_json::json!({
            "apiVersion": "tekton.dev/v1", "kind": "TaskRun",
            "metadata": {"name": "r", "annotations": {
                "kubectl.kubernetes.io/last-applied-configuration": serde_json::json!({"password": SECRET}).to_string(),
                "note": format!("it is {SECRET}!"),
            }},
            "spec": {"params": [
                {"name": "DB_Password", "value": SECRET},
                {"name": "pin", "value": "12"},
                {"name": "passed", "value": ["x", SECRET]},
                {"name": "password-ref", "value": "$(params.x)"},
            ]},
            "status": {
                "conditions": [{"type": "Succeeded", "status": "True"}],
                "results": [
                    {"name": "log", "value": format!("used {SECRET}")},
                    {"name": "twelve", "value": "12"},
                    {"name": "a-ARTIFACT_OUTPUTS", "value": {
                        "uri": format!("pkg:{SECRET}"),
                        "digest": format!("sha256:{}", "a".repeat(64)),
                    }},
                ],
                "taskSpec": {"params": [{"name": "password-default", "default": "defaultvalue"}],
                    "steps": [{"name": "s", "script": "echo defaultvalue"}]},
            },
        })
        .to_string();
        let run = CompletedRun::from_json(document.as_bytes(), &[], MissingChildren::Refuse)
            .expect("the run is well formed");
        let observed = hints::observe(&run);
        let mut redacted = run.clone();
        let patterns = NamePatterns::parse("*password*,pin").expect("the patterns are well formed");
        let done = redact(&mut redacted, &patterns).expect("there are few values");
        assert_eq!(
            done.params.iter().map(String::as_str).collect::<Vec<_>>(),
            ["DB_Password", "password-default", "pin"]
        );
        assert_eq!(
            done.short.iter().map(String::as_str).collect::<Vec<_>>(),
            ["pin"]
        );
        let told = done.hide("digest \"pa<ss>\\\"w0rd\" is wrong");
        assert_eq!(told, format!("digest \"{}\" is wrong", digest_of(SECRET)));
        let settings = Settings {
            builder_id: "b",
            build_type: crate::config::BuildType::SlsaTekton,
            deep: hints::DeepInspection::On,
        };
        for format in Format::ALL {
            let payload = format
                .payload(&redacted, &observed, settings)
                .expect("the run has a payload");
            let text = String::from_utf8_lossy(payload.bytes());
            let (subjects, rest) = text.split_once("\"predicate\":").expect("a statement");
            assert!(
                !rest.contains("w0rd") && !rest.contains("defaultvalue"),
                "{text}"
            );
            assert!(
                rest.contains(&digest_of(SECRET)) && rest.contains("$(params.x)"),
                "{text}"
            );
            assert!(rest.contains(&digest_of("12")), "{text}");
            if format != Format::SlsaV2alpha4 {
                assert!(subjects.contains("w0rd"), "{text}");
            }
        }
    }
}
