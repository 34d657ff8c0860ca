//! What is to be signed of a run, as data that outlives its documents: no network, no key, no clock.

use std::borrow::Cow;
use std::collections::BTreeSet;

use tekseal_core::config::{ChildrenRule, Config, SignerKind, Storage, UnsuccessfulRule};
use tekseal_core::hints::{self, Hints, Outcome};
use tekseal_core::plan::{Item, Overrides, Place, Plan, What};
use tekseal_core::redact::{self, Redacted};
use tekseal_core::run::{self, ChildDocument, CompletedRun, MissingChildren};
use tekseal_core::{DigestRef, Layout, Payload, Signed};
use tekseal_signing::verifier::MOST_SUBJECTS;

use crate::trouble::{Stage, Trouble};

/// The largest payload, in bytes. While it is signed and stored it is held three to five times.
pub(crate) const MOST_PAYLOAD: usize = 4 * 1024 * 1024;

/// The most registries that the images of one run may be in.
const MOST_REGISTRIES: usize = 32;
/// How many results that are nearly hints are told on a run.
const MOST_SLIPS: usize = 3;
/// How much of each, in characters.
const LONGEST_SLIP: usize = 160;

/// What is to be signed, and where it goes.
#[derive(Debug, Default)]
pub(crate) struct Prepared {
    /// In Chains' order: the run, then its images.
    pub(crate) pieces: Vec<Piece>,
    /// Images that must be in their registry before anything is signed.
    pub(crate) images: BTreeSet<DigestRef>,
    /// What is not signed, or not kept everywhere, and why: for people.
    pub(crate) gaps: Vec<String>,
    /// Whether the run asks for a log to be told of it.
    pub(crate) asks_for_log: bool,
    /// Whether something has no image that it could be stored beside.
    is_stray: bool,
    /// The ServiceAccount whose credentials are shown to registries.
    pub(crate) account: String,
}

/// One payload and its places.
#[derive(Debug)]
pub(crate) struct Piece {
    /// What is signed.
    pub(crate) payload: Payload,
    /// Who signs it.
    pub(crate) signer: SignerKind,
    /// How it goes into registries, beside its subjects that are images; nothing if it does not.
    pub(crate) in_registry: Option<Layout>,
    /// The names under which it goes into annotations of the run: `taskrun-<uid>`.
    pub(crate) annotation: Option<String>,
}

impl Piece {
    /// How it must be signed: annotations hold the form that tags have.
    pub(crate) fn layout(&self) -> Layout {
        let layout = self.in_registry.unwrap_or(Layout::Tags);
        match self.annotation {
            Some(_) => layout.with_tags(),
            None => layout,
        }
    }

    /// Takes note of one more way to store it in registries.
    fn store(&mut self, layout: Layout) {
        self.in_registry = match self.in_registry {
            Some(other) if other != layout => Some(Layout::Both),
            Some(_) | None => Some(layout),
        };
    }

    /// Whether this form of it goes into registries.
    pub(crate) fn stores(&self, form: &Signed) -> bool {
        self.in_registry
            .is_some_and(|layout| match form.is_bundle() {
                true => layout.has_bundles(),
                false => layout.has_tags(),
            })
    }
}

/// Reads the run and makes its payloads.
///
/// # Errors
/// Whatever keeps anything of it from being signed: then nothing is.
pub(crate) fn prepare(
    document: &str,
    children: &[(String, String)],
    config: &Config,
) -> Result<Prepared, Trouble> {
    let documents: Vec<_> = children
        .iter()
        .map(|(name, text)| ChildDocument {
            name,
            bytes: text.as_bytes(),
        })
        .collect();
    let missing = match config.rules().missing_children {
        ChildrenRule::Fail => MissingChildren::Refuse,
        ChildrenRule::Attest => MissingChildren::Allow,
    };
    let run = CompletedRun::from_json(document.as_bytes(), &documents, missing);
    let mut run = run.map_err(refused)?;
    run.forget_marks();
    run.limit_payloads(MOST_PAYLOAD);
    let mut prepared = Prepared {
        account: run.run().service_account().to_owned(),
        asks_for_log: run.asks_for_log(),
        ..Prepared::default()
    };
    if !run.succeeded() && config.rules().unsuccessful_runs == UnsuccessfulRule::Skip {
        let gap = "the run did not succeed (tekseal.unsuccessful-runs is skip)";
        prepared.gaps.push(gap.to_owned());
        return Ok(prepared);
    }
    let absent = run.absent_children().iter();
    prepared
        .gaps
        .extend(absent.map(|child| format!("left out: {child}")));
    let mut observed = hints::observe(&run);
    let settings = config.settings(&run);
    let mut shown = Cow::Borrowed(&run);
    let mut redacted = Redacted::default();
    if !config.redact_params().is_empty() {
        redacted = redact::redact(shown.to_mut(), config.redact_params())
            .map_err(|error| Trouble::last(Stage::Payload, &error))?;
        observed.hide_inputs(&redacted);
    }
    let plan = Plan::of(&shown, &observed, config, settings, Overrides::default());
    match prepared
        .follow(plan)
        .and_then(|()| prepared.check_registries())
    {
        Ok(()) => {
            if prepared.is_stray && observed.own.results.images.is_empty() {
                prepared
                    .gaps
                    .extend(slips(&observed.own.results, &redacted));
            }
            for gap in &mut prepared.gaps {
                *gap = redacted.hide(gap).into_owned();
            }
            Ok(prepared)
        }
        Err(trouble) => Err(trouble.hide(&redacted)),
    }
}

impl Prepared {
    fn follow(&mut self, plan: Plan) -> Result<(), Trouble> {
        let left_out = plan.left_out.iter();
        self.gaps
            .extend(left_out.map(|one| format!("{}: {}", one.what, one.reason)));
        let images = plan
            .items
            .iter()
            .filter(|i| matches!(i.what, What::Image(_)));
        check_count(images.count())?;
        for item in plan.items {
            self.add(item)?;
        }
        Ok(())
    }

    /// Each registry costs connections, and a run may name as many as a wildcard in the DNS has names.
    fn check_registries(&self) -> Result<(), Trouble> {
        let registries = self.images.iter().map(|image| image.repository.registry());
        let count = registries.collect::<BTreeSet<_>>().len();
        if count <= MOST_REGISTRIES {
            return Ok(());
        }
        let text =
            format!("the run names images in {count} registries, more than {MOST_REGISTRIES}");
        Err(Trouble::last_text(Stage::Payload, text))
    }

    fn add(&mut self, item: Item) -> Result<(), Trouble> {
        let payload = item
            .payload
            .map_err(|error| Trouble::last(Stage::Payload, &error))?;
        check_count(payload.subjects().len())?;
        debug_assert!(item.signer != SignerKind::None, "the plan leaves those out");
        let mut piece = Piece {
            in_registry: None,
            annotation: None,
            payload,
            signer: item.signer,
        };
        for place in item.places {
            match place {
                Place::Tag { .. } => piece.store(Layout::Tags),
                Place::Referrer(_) => piece.store(Layout::Bundle),
                Place::Annotations { .. } => piece.annotation = Some(item.short_key.clone()),
                Place::Nothing { storage, reason } => {
                    self.is_stray = true;
                    self.gaps.push(format!(
                        "{} is not in {}: {reason}",
                        item.what,
                        name(storage)
                    ));
                }
                Place::Elsewhere { .. } => {
                    let place = place.to_string();
                    let text = format!("{} cannot be stored: {place}", item.what);
                    return Err(Trouble::last_text(Stage::Storage, text));
                }
            }
        }
        if let What::Image(image) = &item.what {
            self.images.insert(image.clone());
        }
        if piece.in_registry.is_some() {
            let of_subjects = piece.payload.subjects().iter();
            self.images
                .extend(of_subjects.filter_map(tekseal_core::Subject::image));
        }
        self.pieces.push(piece);
        Ok(())
    }

    /// Whether anything of it needs a registry.
    pub(crate) fn needs_registry(&self) -> bool {
        self.pieces.iter().any(|piece| piece.in_registry.is_some())
    }
}

/// What may be wrong with hints of a run that names no image: the first few results that are not used, and who tells all of it.
fn slips(results: &Hints<'_>, redacted: &Redacted) -> Vec<String> {
    let mut slips: Vec<String> = results
        .findings
        .iter()
        .filter_map(|finding| match &finding.outcome {
            Outcome::Ignored(why) | Outcome::Invalid(why) => {
                let text = format!("result {}: {why}", finding.name);
                // Before it is cut: half a value would not be found.
                Some(redacted.hide(&text).chars().take(LONGEST_SLIP).collect())
            }
            Outcome::Used | Outcome::Empty => None,
        })
        .take(MOST_SLIPS)
        .collect();
    slips.push("tekseal-explain says more".to_owned());
    slips
}

fn name(storage: Storage) -> &'static str {
    use tekseal_core::config::Choice as _;
    storage.name()
}

fn refused(error: run::Error) -> Trouble {
    Trouble::last(Stage::Payload, &error)
}

fn check_count(count: usize) -> Result<(), Trouble> {
    if count <= MOST_SUBJECTS {
        return Ok(());
    }
    let text = format!("the run names {count} artifacts, more than {MOST_SUBJECTS}");
    Err(Trouble::last_text(Stage::Payload, text))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// A completed TaskRun with these results and a parameter `password`.
    fn run(results: &[(&str, String)]) -> String {
        let result = |(name, value): &(&str, String)| serde_json::json!({"name": name, "type": "string", "value": value});
        let results: Vec<_> = results.iter().map(result).collect();
        let run = serde_json::json!({
            "apiVersion": "tekton.dev/v1", "kind": "TaskRun",
            "metadata": {"name": "build", "namespace": "team", "uid": "u"},
            "spec": {"params": [{"name": "password", "value": "Correct-Horse"}]},
            "status": {
                "conditions": [{"type": "Succeeded", "status": "True"}],
                "startTime": "2026-11-01T10:00:00Z", "completionTime": "2026-11-01T10:01:00Z",
                "results": results,
            },
        });
        run.to_string()
    }

    #[test]
    fn images_in_too_many_registries_are_refused() {
        let config = Config::from_map(&BTreeMap::new()).expect("the defaults are good");
        let prepared = |count: usize| {
            let digest = "0".repeat(64);
            let image = |at| format!("r{at}.example/app@sha256:{digest}");
            let images: Vec<_> = (0..count).map(image).collect();
            prepare(&run(&[("IMAGES", images.join(","))]), &[], &config)
        };
        assert_eq!(prepared(32).expect("32 are enough").images.len(), 32);
        let Err(Trouble::Last { reason, .. }) = prepared(33) else {
            panic!("it is refused for good");
        };
        assert_eq!(
            reason,
            "the run names images in 33 registries, more than 32"
        );
    }

    #[test]
    fn a_redacted_value_is_in_no_reason() {
        let run = run(&[
            ("ARTIFACT_URI", "r.example/Correct-Horse".to_owned()),
            ("ARTIFACT_DIGEST", format!("sha256:{}", "0".repeat(64))),
        ]);
        let gaps = |pairs: &[(&str, &str)]| {
            let pairs = pairs.iter().map(|&(k, v)| (k.to_owned(), v.to_owned()));
            let mut map: BTreeMap<String, String> = pairs.collect();
            map.insert("artifacts.taskrun.storage".to_owned(), "oci".to_owned());
            map.insert(
                "artifacts.taskrun.format".to_owned(),
                "slsa/v2alpha3".to_owned(),
            );
            let config = Config::from_map(&map).expect("a good configuration");
            let prepared = prepare(&run, &[], &config).expect("it can be described");
            prepared.gaps.join("; ")
        };
        let open = gaps(&[]);
        assert!(open.contains("Correct-Horse"), "{open}");
        let hidden = gaps(&[("tekseal.redact-params", "password")]);
        assert!(
            !hidden.contains("Correct-Horse") && hidden.contains("is no image"),
            "{hidden}"
        );
    }

    #[test]
    fn a_run_that_names_no_image_is_told_the_first_hints_that_are_not_used() {
        let reasons = |results: serde_json::Value, redact: &str| {
            let run = serde_json::json!({
                "apiVersion": "tekton.dev/v1", "kind": "TaskRun",
                "metadata": {"name": "build", "namespace": "team", "uid": "u"},
                "spec": {"params": [{"name": "password", "value": "Correct-Horse"}]},
                "status": {"conditions": [{"type": "Succeeded", "status": "True"}], "results": results},
            });
            let map = [
                ("artifacts.taskrun.storage", "oci"),
                ("tekseal.redact-params", redact),
            ];
            let map = map.map(|(key, value)| (key.to_owned(), value.to_owned()));
            let config = Config::from_map(&map.into()).expect("a good configuration");
            let prepared = prepare(&run.to_string(), &[], &config).expect("it can be described");
            prepared.gaps
        };
        let said = reasons(
            serde_json::json!([
                {"name": "IMAGE_URI", "type": "string", "value": "r.example/a"},
                {"name": "IMAGE_DIGEST", "type": "string", "value": "sha256:12"},
                {"name": "log", "type": "string", "value": "x"},
            ]),
            "",
        );
        assert!(
            said[0].contains("is not in oci")
                && said[1] == "result IMAGE_URI: is no hint: it is nearly IMAGE_URL"
                && said[2].starts_with("result IMAGE_DIGEST: ")
                && said[3] == "tekseal-explain says more"
                && said.len() == 4,
            "{said:?}"
        );
        let bad = |at: usize| {
            let value = format!("{}Correct-Horse", "x".repeat(at));
            serde_json::json!({"name": format!("{at}-ARTIFACT_OUTPUTS"), "type": "object",
                "value": {"uri": "a", "digest": value}})
        };
        let many: Vec<_> = (0..160).map(bad).collect();
        for one in &many {
            let said = reasons(serde_json::json!([one]), "password").join("; ");
            assert!(
                said.contains("ARTIFACT_OUTPUTS") && !said.contains("Corre"),
                "{said}"
            );
        }
        let said = reasons(many.into(), "password");
        assert_eq!(said.len(), 2 + MOST_SLIPS, "{said:?}");
        assert!(
            said.iter()
                .skip(1)
                .all(|one| one.chars().count() <= LONGEST_SLIP)
        );
    }
}
