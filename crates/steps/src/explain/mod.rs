//! `tekseal-explain`: why a run would be signed or not. Each result and parameter with the hint that it is or nearly is, what would be
//! signed of it, under which key, where it would be stored, and what stands in the way. Of a run in a cluster also what became of it by now,
//! and what happens next.
//!
//! It reads documents, or a cluster: it signs nothing, asks no registry, and needs no key.

mod cluster;
mod configuration;
mod keys;
mod next;
mod record;
mod text;
mod warnings;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::PathBuf;

use serde::Serialize;
use tekseal_cluster::ConfigSource;
use tekseal_core::config::{ChildrenRule, Config, UnsuccessfulRule};
use tekseal_core::format::Format;
use tekseal_core::hints::{self, DeepInspection, Finding, Observed, Outcome, TaskHints};
use tekseal_core::plan::{Item, Place, Plan};
use tekseal_core::redact::Redacted;
use tekseal_core::run::{self, Absence, AbsentChild, CompletedRun, Run, RunKind};
use tekseal_core::{Digest, PayloadKind, Repository, marks};
use tekseal_signing::PublicKey;

pub(crate) use keys::shown;
pub(crate) use next::attempts;

use crate::Failure;
use crate::ca_args::CaArgs;
use crate::cluster_args::{ClusterArgs, runs_named};
use crate::documents::{Documents, RunSource, Wanted, refused};
use crate::key_args;
use crate::output::{Output, OutputArgs};
use crate::registry_args::given;
use crate::source_args::{ContextArgs, Flags, is_spare, name_of};

use cluster::{Facts, OnCluster};
use keys::Keys;
use record::RecordSaid;

/// Explain what of a run would be signed, under which key and where it would be stored, and why not.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// TaskRun or PipelineRun: a JSON document, - for stdin, or k8s://NAMESPACE/taskrun/NAME, k8s://NAMESPACE/pipelinerun/NAME, or
    /// k8s://NAMESPACE/pipelinerun/NAME/TASK for each TaskRun of one of its tasks
    #[arg(env = "TEKSEAL_RUN", value_name = "RUN")]
    run: PathBuf,
    #[command(flatten)]
    context: ContextArgs,
    #[command(flatten)]
    cluster: ClusterArgs,
    /// Namespace of the controller, with its ConfigMap chains-config and its Lease
    #[arg(
        long,
        env = "TEKSEAL_SYSTEM_NAMESPACE",
        value_name = "NAMESPACE",
        default_value = "tekton-chains"
    )]
    system_namespace: String,
    /// Where the controller's configuration is: configmap/NAMESPACE/NAME or tektonconfig/NAME [default: the ConfigMap chains-config of
    /// the system namespace]
    #[arg(
        long,
        env = "TEKSEAL_CONFIG_FROM",
        value_name = "SOURCE",
        conflicts_with = "config"
    )]
    config_from: Option<ConfigSource>,
    /// Public key of the controller, with which the record on the run is verified: a file or any other reference of a key, such as k8s://NAMESPACE/SECRET
    #[arg(
        long,
        env = "TEKSEAL_PUBLIC_KEY",
        value_name = "REF",
        hide_env_values = true
    )]
    key: Option<String>,
    #[command(flatten)]
    ca: CaArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// All that is said of a run. The names of the members are those of the JSON output.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Explanation {
    kind: String,
    namespace: String,
    name: String,
    uid: String,
    /// `completed` or `not completed`, and how it ended.
    state: String,
    /// Whether anything would be signed.
    would_sign: bool,
    /// The reason in a sentence.
    decision: String,
    /// Annotations by which some signer says what it did. They prove nothing.
    marks: Vec<Mark>,
    /// What a controller says it did, signed.
    #[serde(skip_serializing_if = "Option::is_none")]
    record: Option<RecordSaid>,
    /// Why it is not signed, as a controller wrote it on the run.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// What is known in the cluster beside the run.
    #[serde(skip_serializing_if = "Option::is_none")]
    on_cluster: Option<OnCluster>,
    results: Vec<Entry>,
    parameters: Vec<Entry>,
    /// Names of the parameters whose values are replaced by their digest.
    redacted: Vec<String>,
    steps: Vec<Owner>,
    children: Vec<Owner>,
    deep_inspection: bool,
    items: Vec<Signing>,
    left_out: Vec<Reason>,
    warnings: Vec<String>,
    /// Whether the decision is the configuration's, and not that the run cannot be attested as it is.
    #[serde(skip)]
    is_planned: bool,
    /// Where images are, and where something would be stored.
    #[serde(skip)]
    repositories: BTreeSet<Repository>,
}

#[derive(Debug, Serialize)]
struct Mark {
    annotation: String,
    value: String,
}

/// A result or parameter and what became of it.
#[derive(Debug, Serialize)]
struct Entry {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<&'static str>,
    /// `used`, `empty`, `ignored`, `invalid`, or `no hint`.
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

/// A step or a child, and its results.
#[derive(Debug, Serialize)]
struct Owner {
    name: String,
    results: Vec<Entry>,
}

/// Something that would be signed, unless there is a problem.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Signing {
    what: String,
    format: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    predicate_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    digest: Option<Digest>,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
    subjects: Vec<String>,
    key: String,
    short_key: String,
    full_key: String,
    places: Vec<String>,
    #[serde(skip)]
    is_all_beside_images: bool,
}

#[derive(Debug, Serialize)]
struct Reason {
    what: String,
    reason: String,
}

/// What was read of a run: its documents, the configuration that holds for it, and what a cluster knows beside.
type Read = (RunSource, Documents, Config, Option<Facts>);

/// Reads the documents and prints the explanation, of several runs one after the other. Exit 0 whatever it says; 2 when a document or the
/// configuration cannot be read.
pub fn run(args: &Args) -> Result<(), Failure> {
    let mut flags = args.context.flags()?;
    let wanted = Wanted::parse(&args.run)?;
    let ca = args.ca.all();
    let keys = given(&args.key).next();
    let keys = keys
        .map(|reference| key_args::public_keys(reference, &args.cluster, &ca))
        .transpose()?;
    let mut texts = Vec::new();
    for (source, documents, config, facts) in args.read(wanted)? {
        let ground = Ground {
            source: &source,
            config: &config,
            labels: facts.as_ref().and_then(Facts::labels),
        };
        let (mut explanation, absent) = explained(&documents, &mut flags, &ground)?;
        let is_planned = explanation.is_planned;
        explanation.read_marks(&documents, keys.as_deref())?;
        if is_planned && explanation.is_marked_signed() {
            explanation.decision = format!(
                "marked as signed; if it were signed anew: {}",
                explanation.decision
            );
        }
        if let Some(facts) = facts {
            explanation.warnings.extend(facts.configuration().doubt());
            explanation
                .warnings
                .extend(facts.elsewhere(&args.system_namespace));
            if let Some(proviso) = facts.configuration().proviso()
                && is_planned
            {
                explanation.decision = format!("{}; {proviso}", explanation.decision);
            }
            let next = next::of(&facts, &config, &explanation, &absent);
            let repositories: Vec<Repository> = explanation.repositories.iter().cloned().collect();
            explanation.on_cluster = Some(facts.tell(&repositories, next));
        }
        texts.push(match args.output.form() {
            Output::Text => text::draw(&explanation),
            Output::Json => {
                serde_json::to_string_pretty(&explanation)
                    .map_err(|e| Failure::misuse(e).context("printing the explanation"))?
                    + "\n"
            }
        });
    }
    let between = match args.output.form() {
        Output::Text => "\n",
        Output::Json => "",
    };
    std::io::stdout()
        .lock()
        .write_all(texts.join(between).as_bytes())
        .map_err(|e| Failure::outside(e).context("writing to stdout"))
}

impl Args {
    fn read(&self, wanted: Wanted) -> Result<Vec<Read>, Failure> {
        let named = match wanted {
            Wanted::Cluster(named) => named,
            Wanted::File(path) => {
                let config = self.context.config()?;
                let documents = self.context.read(&path)?;
                return Ok(vec![(RunSource::File(path), documents, config, None)]);
            }
        };
        crate::block_on(async {
            let cluster = self.cluster.connect().await?;
            let namespace = &self.system_namespace;
            let from = self.config_from.clone();
            let from = from.unwrap_or_else(|| ConfigSource::of_chains(namespace));
            let mut read = Vec::new();
            for one in runs_named(&cluster, &named).await? {
                let gathered = cluster::gather(&cluster, &one, &self.context, namespace, &from);
                let (documents, config, facts) = gathered.await?;
                read.push((RunSource::Cluster(one.run), documents, config, Some(facts)));
            }
            Ok(read)
        })
    }
}

/// What a run is explained with.
struct Ground<'g> {
    source: &'g RunSource,
    config: &'g Config,
    /// Labels of the run's namespace, where they are known.
    labels: Option<&'g BTreeMap<String, String>>,
}

impl Ground<'_> {
    /// Whether a controller signs the run, by rules that the tools do not have.
    fn is_of_controller(&self) -> bool {
        matches!(self.source, RunSource::Cluster(_))
    }
}

/// The explanation, and the children that a PipelineRun lacks. In a cluster the configuration may say to do without those that are gone.
fn explained(
    documents: &Documents,
    flags: &mut Flags<'_>,
    ground: &Ground<'_>,
) -> Result<(Explanation, Vec<AbsentChild>), Failure> {
    let mut completed = flags.completed(documents);
    if let Err(run::Error::ChildrenAbsent { absent, .. }) = &completed
        && ground.is_of_controller()
        && ground.config.rules().missing_children == ChildrenRule::Attest
        && !absent
            .iter()
            .any(|child| child.reason == Absence::NotCompleted)
    {
        flags.allow_missing_children();
        completed = flags.completed(documents);
    }
    match completed {
        Ok(run) => {
            let absent = run.absent_children().to_vec();
            Ok((of_completed(&run, flags, ground)?, absent))
        }
        Err(refusal) => {
            let absent = match &refusal {
                run::Error::ChildrenAbsent { absent, .. } => absent.clone(),
                _ => Vec::new(),
            };
            Ok((of_unfinished(documents, refusal, ground)?, absent))
        }
    }
}

/// A run that cannot be attested as it is: not completed, or without its children.
fn of_unfinished(
    documents: &Documents,
    refusal: run::Error,
    ground: &Ground<'_>,
) -> Result<Explanation, Failure> {
    let decision = match &refusal {
        run::Error::NotCompleted { .. } => {
            format!("not signed: {refusal}; what ends later can be signed then")
        }
        run::Error::ChildrenAbsent { .. } if ground.is_of_controller() => format!(
            "not signed: {refusal}; a controller does without those that are gone where tekseal.missing-children is attest"
        ),
        run::Error::ChildrenAbsent { .. } => format!(
            "not signed: {refusal}; give their documents with --children, or --allow-missing-children to sign without them"
        ),
        run::Error::Repetition(_) => format!("not signed: {refusal}"),
        run::Error::Json(_)
        | run::Error::Field(_)
        | run::Error::Kind { .. }
        | run::Error::ChildTwice(_)
        | run::Error::Child { .. } => return Err(refused(refusal, ground.source)),
    };
    let run = documents.unfinished()?;
    let own = TaskHints::of(&run);
    Ok(Explanation {
        decision,
        ..of_run(&run, &own)
    })
}

fn of_completed(
    run: &CompletedRun<'_>,
    flags: &Flags<'_>,
    ground: &Ground<'_>,
) -> Result<Explanation, Failure> {
    let config = ground.config;
    let mut observed = hints::observe(run);
    let settings = flags.settings(config, run);
    let (shown, redacted) = flags.redact(run, &mut observed, config)?;
    let plan = Plan::of(&shown, &observed, config, settings, flags.overrides());
    let mut explanation = of_run(run.run(), &observed.own);
    explanation.is_planned = true;
    explanation.deep_inspection = settings.deep == DeepInspection::On;
    let places = plan.items.iter().flat_map(|item| &item.places);
    explanation
        .repositories
        .extend(places.filter_map(|place| match place {
            Place::Tag { repository, .. } => Some(repository.clone()),
            Place::Referrer(image) => Some(image.repository.clone()),
            Place::Annotations { .. } | Place::Elsewhere { .. } | Place::Nothing { .. } => None,
        }));
    explanation.children = children(&observed, settings.deep);
    let keys = Keys {
        config,
        namespace: run.run().namespace(),
        labels: ground.labels,
    };
    explanation.items = plan.items.iter().map(|item| signing(item, &keys)).collect();
    explanation.left_out = plan
        .left_out
        .into_iter()
        .map(|left_out| Reason {
            what: left_out.what,
            reason: left_out.reason,
        })
        .collect();
    let is_skipped = ground.is_of_controller()
        && !run.succeeded()
        && config.rules().unsuccessful_runs == UnsuccessfulRule::Skip;
    if is_skipped {
        explanation.skip();
    }
    explanation.would_sign = explanation.items.iter().any(|item| item.problem.is_none());
    explanation.decision = decision(&explanation);
    explanation.warnings = warnings::of(run, &shown, &observed, settings.deep);
    if !run.succeeded() && !is_skipped {
        let warning = "the run did not succeed; failed runs get provenance all the same";
        explanation.warnings.insert(0, warning.to_owned());
    }
    let of_config = warnings::of_config(config, &explanation.items, ground.is_of_controller());
    explanation.warnings.extend(of_config);
    explanation.warnings.extend(redacted.short.iter().map(|name| {
        format!("parameter {name} is redacted, but its value is too short to be looked for inside other texts")
    }));
    if !explanation
        .items
        .iter()
        .any(|item| item.format == Format::SlsaV2alpha4.name())
    {
        explanation.pass_over_steps();
    }
    explanation.hide(&redacted);
    explanation.redacted = redacted.params.into_iter().collect();
    Ok(explanation)
}

impl Explanation {
    /// What a controller wrote on the run.
    fn read_marks(
        &mut self,
        documents: &Documents,
        keys: Option<&[PublicKey]>,
    ) -> Result<(), Failure> {
        // As it is there: what is attested of it has no marks.
        let run = documents.unfinished()?;
        self.marks = run
            .annotations()
            .filter(|(key, _)| {
                let name = key.strip_prefix(tekseal_core::plan::ANNOTATION_PREFIX);
                name.is_some_and(|name| matches!(name, "signed" | "retries" | "transparency"))
            })
            .map(|(key, value)| Mark {
                annotation: key.to_owned(),
                value: value.to_owned(),
            })
            .collect();
        let annotation = |wanted: &str| run.annotations().find(|(key, _)| *key == wanted);
        let mark = annotation(marks::SIGNED).map(|(_, value)| value);
        self.record = annotation(marks::RECORD)
            .map(|(_, record)| RecordSaid::of(record, run.uid(), mark, keys));
        self.reason = annotation(marks::REASON).map(|(_, reason)| reason.to_owned());
        Ok(())
    }

    /// Whether a mark says that it is signed, and no record contradicts it.
    fn is_marked_signed(&self) -> bool {
        let signed = marks::Outcome::Signed.mark();
        self.marks
            .iter()
            .any(|mark| mark.annotation == marks::SIGNED && mark.value == signed)
            && !self.record.as_ref().is_some_and(RecordSaid::is_forged)
    }

    /// Nothing is signed of a run that did not succeed, where the configuration says so.
    fn skip(&mut self) {
        self.items.clear();
        let reason = "the run did not succeed, and tekseal.unsuccessful-runs is skip";
        self.left_out = vec![Reason {
            what: format!("{} {}", self.kind, self.name),
            reason: reason.to_owned(),
        }];
    }

    /// The hints of steps count in one format alone.
    fn pass_over_steps(&mut self) {
        let entries = self.steps.iter_mut().flat_map(|step| &mut step.results);
        for entry in entries.filter(|entry| entry.outcome == "used") {
            entry.outcome = "ignored";
            let why =
                "only slsa/v2alpha4 reads the results of steps, and no image is signed for them";
            entry.reason = Some(why.to_owned());
        }
    }

    /// Takes redacted values out of the reasons, which quote what was wrong with a hint.
    fn hide(&mut self, redacted: &Redacted) {
        let owners = self.steps.iter_mut().chain(&mut self.children);
        let lists = owners.map(|owner| &mut owner.results);
        for entry in lists.chain([&mut self.results]).flatten() {
            if let Some(reason) = &mut entry.reason {
                *reason = redacted.hide(reason).into_owned();
            }
        }
    }
}

/// What can be said of any run, completed or not.
fn of_run(run: &Run<'_>, own: &TaskHints<'_>) -> Explanation {
    let state = match run.succeeded_status() {
        "True" => "completed, succeeded",
        "False" => "completed, failed or cancelled",
        _ => "not completed",
    };
    Explanation {
        kind: run.kind().to_string(),
        namespace: run.namespace().to_owned(),
        name: run.name().to_owned(),
        uid: run.uid().to_owned(),
        state: state.to_owned(),
        repositories: own
            .results
            .images
            .iter()
            .map(|image| image.repository.clone())
            .collect(),
        results: entries(run.results().map(|r| r.name), &own.results.findings),
        parameters: parameters(run),
        steps: run
            .steps()
            .zip(&own.steps)
            .map(|(step, (name, hints))| Owner {
                name: (*name).to_owned(),
                results: entries(step.results().map(|r| r.name), &hints.findings),
            })
            .filter(|step| !step.results.is_empty())
            .collect(),
        ..Explanation::default()
    }
}

/// Every result, hint or not, in the run's order.
fn entries<'r>(names: impl Iterator<Item = &'r str>, findings: &[Finding<'r>]) -> Vec<Entry> {
    let mut rest = findings.iter().peekable();
    names
        .enumerate()
        .map(|(at, name)| match rest.next_if(|f| f.at == at) {
            Some(finding) if is_spare(finding, findings) => no_hint(name),
            Some(finding) => entry(name, Some(finding.hint), &finding.outcome),
            None => no_hint(name),
        })
        .collect()
}

fn entry(name: &str, hint: Option<&'static str>, outcome: &Outcome) -> Entry {
    let (outcome, reason) = match outcome {
        Outcome::Used => ("used", None),
        Outcome::Empty => ("empty", None),
        Outcome::Ignored(why) => ("ignored", Some(why.clone())),
        Outcome::Invalid(why) => ("invalid", Some(why.clone())),
    };
    Entry {
        name: name.to_owned(),
        hint,
        outcome,
        reason,
    }
}

fn no_hint(name: &str) -> Entry {
    Entry {
        name: name.to_owned(),
        hint: None,
        outcome: "no hint",
        reason: None,
    }
}

/// Parameters and defaults. Only the git hints may be parameters; those that would be hints as results are told so.
fn parameters(run: &Run<'_>) -> Vec<Entry> {
    let given: Vec<&str> = run.params().map(|p| p.name).collect();
    let defaults = run
        .param_defaults()
        .filter(|default| !given.contains(&default.name));
    run.params()
        .chain(defaults)
        .map(|param| {
            let hint = match param.name {
                hints::GIT_URL => Some(hints::GIT_URL),
                hints::GIT_COMMIT => Some(hints::GIT_COMMIT),
                _ => None,
            };
            if hint.is_some() && !param.text().is_empty() {
                return entry(param.name, hint, &Outcome::Used);
            }
            if hint.is_some() {
                let why = "its value is no text, or empty".to_owned();
                return entry(param.name, hint, &Outcome::Invalid(why));
            }
            match hints::nearly(param.name) {
                Some(near @ (hints::GIT_URL | hints::GIT_COMMIT)) => {
                    let why = format!("is no hint: it is nearly {near}");
                    entry(param.name, Some(near), &Outcome::Ignored(why))
                }
                _ => no_hint(param.name),
            }
        })
        .collect()
}

fn children(observed: &Observed<'_>, deep: DeepInspection) -> Vec<Owner> {
    observed
        .children
        .iter()
        .map(|child| Owner {
            name: child.run.to_owned(),
            results: child
                .results
                .findings
                .iter()
                .map(|finding| match (&finding.outcome, deep) {
                    (Outcome::Used, DeepInspection::Off) => {
                        let why = "deep inspection is off, so the PipelineRun's provenance does not speak of it";
                        entry(finding.name, Some(finding.hint), &Outcome::Ignored(why.to_owned()))
                    }
                    (outcome, _) => entry(finding.name, Some(finding.hint), outcome),
                })
                .collect(),
        })
        .collect()
}

fn signing(item: &Item, keys: &Keys<'_>) -> Signing {
    let payload = item.payload.as_ref();
    let predicate_type = payload.ok().and_then(|payload| match payload.kind() {
        PayloadKind::Statement { predicate_type, .. } => Some(predicate_type.clone()),
        PayloadKind::SimpleSigning => None,
    });
    Signing {
        what: item.what.to_string(),
        format: item.format,
        predicate_type,
        digest: payload.ok().map(|payload| Digest::of(payload.bytes())),
        problem: payload.err().map(ToString::to_string),
        subjects: payload
            .map(|payload| payload.subjects().iter().map(name_of).collect())
            .unwrap_or_default(),
        key: keys.of(item.signer),
        short_key: item.short_key.clone(),
        full_key: item.full_key.clone(),
        places: item.places.iter().map(Place::to_string).collect(),
        is_all_beside_images: item
            .places
            .iter()
            .all(|place| matches!(place, Place::Tag { .. } | Place::Referrer(_))),
    }
}

fn decision(explanation: &Explanation) -> String {
    let whole = explanation
        .items
        .iter()
        .filter(|item| item.problem.is_none());
    let count = whole.count();
    if count == 0 {
        let problem = explanation
            .items
            .iter()
            .find_map(|item| item.problem.clone());
        let reason = problem.or_else(|| {
            let first = explanation.left_out.first();
            first.map(|left_out| left_out.reason.clone())
        });
        return format!("nothing would be signed: {}", reason.unwrap_or_default());
    }
    let is_image = |item: &Signing| item.predicate_type.is_none();
    if explanation.kind == RunKind::TaskRun.to_string()
        && !explanation.items.iter().any(is_image)
        && explanation.left_out.is_empty()
    {
        return format!("{} would be signed, but of no image", payloads(count));
    }
    if count < explanation.items.len() {
        return format!(
            "{count} of {} payloads would be signed; nothing is written unless all can be made",
            explanation.items.len()
        );
    }
    format!("{} would be signed", payloads(count))
}

fn payloads(count: usize) -> String {
    match count {
        1 => "1 payload".to_owned(),
        _ => format!("{count} payloads"),
    }
}
