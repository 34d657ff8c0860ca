//! Which run, with which children, and how it is formatted: the flags that every tool shares that reads a run.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};

use anyhow::anyhow;
use tekseal_cluster::{Cluster, Named, RunRef};
use tekseal_core::config::{self, BuildType, Choice as _, Config, TagIdentity, Warning};
use tekseal_core::format::{Format, Settings};
use tekseal_core::hints::{self, DeepInspection, Finding, Observed, Outcome};
use tekseal_core::patterns::NamePatterns;
use tekseal_core::plan::{Overrides, Plan};
use tekseal_core::redact::{self, Redacted};
use tekseal_core::run::{self, CompletedRun, MissingChildren, Run, RunKind};
use tekseal_core::{Payload, PayloadKind, Subject, credential};

use tekseal_signing::verifier::MOST_SUBJECTS;

use crate::Failure;
use crate::cluster_args::{ClusterArgs, NamedRun};
use crate::documents::{Documents, RunSource, Wanted, refused};
use crate::handover;
use crate::log;
use crate::registry_args::given;
use crate::witness_args::LogWish;

/// Which run, and how it is formatted.
#[derive(Debug, clap::Args)]
pub struct SourceArgs {
    /// TaskRun or PipelineRun: a JSON document, - for stdin, or k8s://NAMESPACE/taskrun/NAME, k8s://NAMESPACE/pipelinerun/NAME with its
    /// children, or k8s://NAMESPACE/pipelinerun/NAME/TASK for the TaskRuns of one of its tasks
    #[arg(long, env = "TEKSEAL_RUN", value_name = "RUN")]
    run: PathBuf,
    /// Take runs of a cluster alone: a document, which anybody can write, is refused
    #[arg(long)]
    from_cluster: bool,
    #[command(flatten)]
    context: ContextArgs,
}

/// What a run is formatted with: its children, and the configuration.
#[derive(Debug, clap::Args)]
pub struct ContextArgs {
    /// Child TaskRuns of a PipelineRun: a folder of JSON documents, or a file with one or a List of them; may be repeated
    #[arg(
        long,
        env = "TEKSEAL_CHILDREN",
        value_name = "PATH",
        value_delimiter = ':'
    )]
    children: Vec<String>,
    /// Attest a PipelineRun even if children are absent, with those that are there
    #[arg(long, env = "TEKSEAL_ALLOW_MISSING_CHILDREN", value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    allow_missing_children: Option<String>,
    /// Format of provenance, a comma list; overrides the configuration, also one that turns provenance off by the signer none or an empty storage (in-toto and slsa/v1 are SLSA v0.2, slsa/v2alpha3 and slsa/v2alpha4 SLSA v1)
    #[arg(long = "format", env = "TEKSEAL_FORMAT", value_name = "FORMAT")]
    formats: Vec<String>,
    /// Data of Tekton Chains' chains-config map: a JSON file or a mounted folder; Chains' defaults hold
    #[arg(long, env = "TEKSEAL_CONFIG", value_name = "PATH")]
    config: Option<String>,
    /// Builder id to record; overrides the configuration
    #[arg(long, env = "TEKSEAL_BUILDER_ID", value_name = "URI")]
    builder_id: Option<String>,
    /// Build type of SLSA v1 provenance; overrides the configuration
    #[arg(long, env = "TEKSEAL_BUILD_TYPE", value_name = "URI")]
    build_type: Option<String>,
    /// Whether a PipelineRun's provenance speaks of what its children read and made; overrides the configuration
    #[arg(long, env = "TEKSEAL_DEEP_INSPECTION", value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    deep_inspection: Option<String>,
    /// Parameters whose values are replaced by their digest, a comma list of patterns (*password*); overrides the configuration
    #[arg(
        long = "redact-params",
        env = "TEKSEAL_REDACT_PARAMS",
        value_name = "PATTERNS"
    )]
    redact_params: Option<String>,
    /// Whether images get a second signature, under the name repository:tag that the results give them, as OpenShift's default policy wants it; overrides the configuration
    #[arg(long, env = "TEKSEAL_TAG_IDENTITY", value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    tag_identity: Option<String>,
}

/// What the flags say, read once and before any document: a bad flag is told whatever the run is.
#[derive(Debug)]
pub(crate) struct Flags<'a> {
    /// The formats that are asked for, in place of the configuration's.
    formats: Option<Vec<Format>>,
    tag_identity: Option<TagIdentity>,
    builder_id: Option<&'a str>,
    build_type: Option<BuildType>,
    deep: Option<DeepInspection>,
    redact: Option<NamePatterns>,
    missing: MissingChildren,
}

impl SourceArgs {
    /// The payloads of the run: provenance in each format, then a simple-signing document for each image. Of several runs, those that a
    /// task with a `matrix` made, of one after the other: all of them, or none.
    pub(crate) fn payloads(&self, cluster: &ClusterArgs) -> Result<Vec<Payload>, Failure> {
        if self.from_cluster && matches!(Wanted::parse(&self.run)?, Wanted::File(_)) {
            return Err(Failure::misuse(anyhow!(
                "{} is no run of a cluster",
                self.run.display()
            ))
            .hint("RUN is k8s://NAMESPACE/taskrun/NAME, k8s://NAMESPACE/pipelinerun/NAME, or k8s://NAMESPACE/pipelinerun/NAME/TASK"));
        }
        Ok(self.context.payloads(&self.run, cluster)?.0)
    }
}

impl ContextArgs {
    /// The payloads of a run, or of several: see [`SourceArgs::payloads`]. And whether they ask for a log.
    pub(crate) fn payloads(
        &self,
        run: &Path,
        cluster: &ClusterArgs,
    ) -> Result<(Vec<Payload>, LogWish), Failure> {
        let flags = self.flags()?;
        let config = self.config()?;
        let mut payloads = Vec::new();
        let mut wish = LogWish::Unknown;
        for (source, documents) in self.read_all(run, cluster)? {
            let run = flags
                .completed(&documents)
                .map_err(|e| refused(e, &source))?;
            wish = wish.and(run.asks_for_log());
            for payload in payloads_of(&run, &flags, &config)? {
                // Two of them may name the same image, and provenance v0.2 has no name of a run: one signature of the same bytes is enough, and
                // no place holds two.
                if !payloads.contains(&payload) {
                    payloads.push(payload);
                    continue;
                }
                if let PayloadKind::Statement { format, .. } = payload.kind() {
                    log::info(
                        "the provenance of an earlier run has the same bytes, and is written once",
                        &[("run", &source), ("format", format)],
                    );
                }
            }
        }
        Ok((payloads, wish))
    }

    fn read_all(
        &self,
        run: &Path,
        cluster: &ClusterArgs,
    ) -> Result<Vec<(RunSource, Documents)>, Failure> {
        match Wanted::parse(run)? {
            Wanted::File(path) => {
                let documents = self.read(&path)?;
                Ok(vec![(RunSource::File(path), documents)])
            }
            Wanted::Cluster(named) => crate::block_on(async {
                let cluster = cluster.connect().await?;
                let read = self.all_of_cluster(&cluster, &named).await?;
                Ok(read
                    .into_iter()
                    .map(|(run, documents)| (RunSource::Cluster(run), documents))
                    .collect())
            }),
        }
    }

    /// Paths of the children's documents.
    fn children(&self) -> impl Iterator<Item = &Path> {
        given(&self.children).map(Path::new)
    }

    /// Reads the documents of the run and its children.
    pub(crate) fn read(&self, run: &Path) -> Result<Documents, Failure> {
        Documents::of_files(run, self.children())
    }

    /// Reads the run and its children in a cluster, and the documents of further children that were given: of those that are gone.
    pub(crate) async fn of_cluster(
        &self,
        cluster: &Cluster,
        run: &NamedRun,
    ) -> Result<Documents, Failure> {
        Documents::of_cluster(cluster, run, self.children()).await
    }

    /// [`Self::of_cluster`] of all runs that a reference names.
    async fn all_of_cluster(
        &self,
        cluster: &Cluster,
        named: &Named,
    ) -> Result<Vec<(RunRef, Documents)>, Failure> {
        let children: Vec<&Path> = self.children().collect();
        Documents::all_of_cluster(cluster, named, &children).await
    }

    /// Whether a configuration was given.
    pub(crate) fn has_config(&self) -> bool {
        self.config_path().is_some()
    }

    /// Where the configuration lies, if one was given.
    pub(crate) fn config_path(&self) -> Option<&Path> {
        given(&self.config).map(Path::new).next()
    }

    /// The configuration, with what is odd about it told.
    pub(crate) fn config(&self) -> Result<Config, Failure> {
        let Some(path) = self.config_path() else {
            return Ok(Config::of_a_step());
        };
        let config = read_config(path)?;
        if !config.keys_of_others().is_empty() {
            let keys = config.keys_of_others().join(",");
            log::info(
                "configuration keys that formatting does not depend on",
                &[("keys", &keys)],
            );
        }
        Ok(config)
    }

    /// What the flags say.
    pub(crate) fn flags(&self) -> Result<Flags<'_>, Failure> {
        let formats: Vec<&str> = given(&self.formats).collect();
        let formats = (!formats.is_empty()).then(|| config::formats(&formats.join(",")));
        let redact = given(&self.redact_params).next().map(NamePatterns::parse);
        let deep = switch("--deep-inspection", &self.deep_inspection)?;
        let allowed = switch("--allow-missing-children", &self.allow_missing_children)?;
        let named = switch("--tag-identity", &self.tag_identity)?;
        Ok(Flags {
            formats: formats
                .transpose()
                .map_err(|e| Failure::misuse(e).context("--format"))?,
            builder_id: given(&self.builder_id).next(),
            build_type: given(&self.build_type).next().map(build_type).transpose()?,
            deep: deep.map(|is_on| match is_on {
                true => DeepInspection::On,
                false => DeepInspection::Off,
            }),
            redact: redact
                .transpose()
                .map_err(|e| Failure::misuse(e).context("--redact-params"))?,
            tag_identity: named.map(|is_on| match is_on {
                true => TagIdentity::On,
                false => TagIdentity::Off,
            }),
            missing: match allowed {
                Some(true) => MissingChildren::Allow,
                Some(false) | None => MissingChildren::Refuse,
            },
        })
    }
}

impl Flags<'_> {
    /// The completed run in the documents, without what a controller of ours wrote on it; the error is the library's, for callers that explain it.
    pub(crate) fn completed<'d>(
        &self,
        documents: &'d Documents,
    ) -> Result<CompletedRun<'d>, run::Error> {
        let mut run = documents.completed(self.missing)?;
        run.forget_marks_of_ours();
        Ok(run)
    }

    /// Attests a PipelineRun with the children that are there.
    pub(crate) fn allow_missing_children(&mut self) {
        self.missing = MissingChildren::Allow;
    }

    /// What the flags say in place of the configuration.
    pub(crate) fn overrides(&self) -> Overrides<'_> {
        Overrides {
            formats: self.formats.as_deref(),
            tag_identity: self.tag_identity,
        }
    }

    /// What is said of every Statement: by the flags, else by the configuration.
    pub(crate) fn settings<'c>(
        &'c self,
        config: &'c Config,
        run: &CompletedRun<'_>,
    ) -> Settings<'c> {
        let settings = config.settings(run);
        Settings {
            builder_id: self.builder_id.unwrap_or(settings.builder_id),
            build_type: self.build_type.unwrap_or(settings.build_type),
            deep: self.deep.unwrap_or(settings.deep),
        }
    }

    /// The run as it may be shown: itself, or with the values of the parameters that must not be shown replaced, also in what was read
    /// of its inputs.
    pub(crate) fn redact<'r, 'a>(
        &self,
        run: &'r CompletedRun<'a>,
        observed: &mut Observed<'_>,
        config: &Config,
    ) -> Result<(Cow<'r, CompletedRun<'a>>, Redacted), Failure> {
        let patterns = self.redact.as_ref().unwrap_or(config.redact_params());
        if patterns.is_empty() {
            return Ok((Cow::Borrowed(run), Redacted::default()));
        }
        let mut shown = run.clone();
        let redacted = redact::redact(&mut shown, patterns).map_err(Failure::no)?;
        observed.hide_inputs(&redacted);
        if redacted.params.is_empty() {
            log::warn(
                "no parameter of the run has a name that is to be redacted",
                &[],
            );
        }
        for param in &redacted.params {
            log::info("redacted", &[("param", param)]);
        }
        for param in &redacted.short {
            log::warn(
                "the value of a redacted parameter is too short to be looked for inside other texts",
                &[("param", param)],
            );
        }
        Ok((Cow::Owned(shown), redacted))
    }
}

/// The configuration in a file or a mounted folder.
///
/// # Errors
/// Exit 2 if it cannot be read, or is bad.
pub(crate) fn read_config(path: &Path) -> Result<Config, Failure> {
    let place = format!("configuration {}", path.display());
    let config = config_of_map(&handover::read_map(path)?)
        .map_err(|e| Failure::misuse(e).context(place.clone()))?;
    if let Some(key) = config.unknown_key_of_ours() {
        return Err(Failure::misuse(anyhow!("key {key} is not known"))
            .context(place)
            .hint("Tekton Chains has no keys that begin with tekseal., and a misspelt one of ours may show what it should hide"));
    }
    Ok(config)
}

/// The payloads of one run.
fn payloads_of(
    run: &CompletedRun<'_>,
    flags: &Flags<'_>,
    config: &Config,
) -> Result<Vec<Payload>, Failure> {
    let mut observed = hints::observe(run);
    let settings = flags.settings(config, run);
    let (shown, redacted) = flags.redact(run, &mut observed, config)?;
    warn_of_run(run, &observed);
    warn_of_credentials(&shown);
    warn_of_hints(&observed, run.kind(), settings.deep, &redacted);
    let plan = Plan::of(&shown, &observed, config, settings, flags.overrides());
    for left_out in &plan.left_out {
        log::info(
            "not to be signed",
            &[("what", &left_out.what), ("reason", &left_out.reason)],
        );
    }
    check_count(observed.images(run.kind()))?;
    let mut payloads = Vec::with_capacity(plan.items.len());
    for item in plan.items {
        let payload = item
            .payload
            .map_err(|e| without_provenance(e, run, item.format))?;
        check_count(payload.subjects())?;
        payloads.push(payload);
    }
    Ok(payloads)
}

fn build_type(uri: &str) -> Result<BuildType, Failure> {
    let mut all = BuildType::ALL.iter();
    let found = all.find(|build_type| build_type.name() == uri);
    found.copied().ok_or_else(|| {
        let names: Vec<_> = BuildType::ALL.iter().map(|b| b.name()).collect();
        let wanted = names.join(" or ");
        Failure::misuse(anyhow!(
            "--build-type {uri:?} is not known, wanted {wanted}"
        ))
    })
}

/// A switch that may be absent or empty, as Tekton substitutes it.
fn switch(flag: &str, value: &Option<String>) -> Result<Option<bool>, Failure> {
    match given(value).next() {
        None => Ok(None),
        Some("true") => Ok(Some(true)),
        Some("false") => Ok(Some(false)),
        Some(other) => Err(Failure::misuse(anyhow!(
            "{flag} {other:?} is not understood, wanted true or false"
        ))),
    }
}

/// The configuration of this map, with what is odd about it told.
pub(crate) fn config_of_map(map: &BTreeMap<String, String>) -> Result<Config, config::Error> {
    let config = Config::from_map(map);
    let warnings = match &config {
        Ok(config) => config.warnings(),
        Err(error) => &error.warnings[..],
    };
    warnings.iter().for_each(warn_of_config);
    config
}

fn warn_of_config(warning: &Warning) {
    match warning {
        Warning::UnknownKey { key, nearest } => {
            let what = "configuration key is not known and was ignored";
            match nearest {
                Some(near) => log::warn(what, &[("key", key), ("did-you-mean", near)]),
                None => log::warn(what, &[("key", key)]),
            }
        }
        Warning::IgnoredValue { key, value, wanted } => log::warn(
            "configuration value is not understood and the default holds",
            &[("key", key), ("value", value), ("wanted", wanted)],
        ),
    }
}

fn without_provenance(
    error: tekseal_core::format::Error,
    run: &CompletedRun<'_>,
    format: &str,
) -> Failure {
    Failure::no(error).context(format!(
        "{} {}/{} has no provenance {}",
        run.kind(),
        run.namespace(),
        run.name(),
        format
    ))
}

/// Readers accept no Statement with more subjects.
fn check_count<T>(list: &[T]) -> Result<(), Failure> {
    if list.len() <= MOST_SUBJECTS {
        return Ok(());
    }
    let error = anyhow!(
        "the run names {} artifacts, more than {MOST_SUBJECTS}",
        list.len()
    );
    Err(Failure::no(error)
        .hint("readers accept no Statement with that many subjects; build fewer images in one run"))
}

/// Children that are there and do not count, because they belong to no task of the Pipeline.
pub(crate) fn unlabelled<'r>(
    run: &'r CompletedRun<'_>,
    observed: &Observed<'r>,
) -> impl Iterator<Item = &'r str> {
    let counted: HashSet<&str> = observed.children.iter().map(|child| child.run).collect();
    let names = run.children().iter().map(Run::name);
    names.filter(move |name| !counted.contains(name))
}

fn warn_of_run(run: &CompletedRun<'_>, observed: &Observed<'_>) {
    if !run.succeeded() {
        log::warn(
            "the run did not succeed; its provenance does not say so",
            &[("run", &run.name())],
        );
    }
    for child in run.absent_children() {
        log::warn("child left out", &[("child", &child)]);
    }
    for child in unlabelled(run, observed) {
        log::warn(
            "a child does not count, neither its steps nor its results: its label tekton.dev/pipelineTask names no task of the Pipeline",
            &[("child", &child)],
        );
    }
}

/// Takes the run as provenance will show it: what is redacted is no danger.
fn warn_of_credentials(run: &CompletedRun<'_>) {
    for suspicion in credential::suspicions(run) {
        log::warn(
            "the value of a parameter looks like a credential, and provenance shows it in clear text; --redact-params would hide it",
            &[
                ("run", &suspicion.run),
                ("param", &suspicion.param),
                ("looks-like", &suspicion.what),
            ],
        );
    }
}

fn warn_of_hints(
    observed: &Observed<'_>,
    kind: RunKind,
    deep: DeepInspection,
    redacted: &Redacted,
) {
    if kind == RunKind::TaskRun && observed.images(kind).is_empty() {
        log::warn(
            "the run names no image, so there is nothing to sign but its provenance",
            &[("wanted", &"results IMAGE_URL and IMAGE_DIGEST, or IMAGES")],
        );
    }
    let of_children = |deep| observed.subjects_of_outputs(deep).is_empty();
    if kind == RunKind::PipelineRun && of_children(deep) {
        let why = match of_children(DeepInspection::On) {
            true => "neither its results nor its children's name any",
            false => {
                "only its children's results do: use --deep-inspection, or give the Pipeline such results"
            }
        };
        log::warn(
            "the run names no artifact, so its provenance speaks of none",
            &[("reason", &why)],
        );
    }
    let children = match deep {
        DeepInspection::On => &observed.children[..],
        DeepInspection::Off => &[],
    };
    for task in [&observed.own].into_iter().chain(children) {
        let findings = &task.results.findings;
        for finding in findings.iter().filter(|f| !is_spare(f, findings)) {
            if let Outcome::Ignored(reason) | Outcome::Invalid(reason) = &finding.outcome {
                log::warn(
                    "hint not used",
                    &[
                        ("run", &task.run),
                        ("result", &finding.name),
                        ("reason", &redacted.hide(reason)),
                    ],
                );
            }
        }
    }
}

/// Whether a name that is nearly a hint's stands beside that hint, and so is meant for something else: `IMAGE_REF` beside `IMAGE_URL`.
pub(crate) fn is_spare(finding: &Finding<'_>, all: &[Finding<'_>]) -> bool {
    let is_near = !finding.name.ends_with(finding.hint);
    is_near
        && all
            .iter()
            .any(|other| other.hint == finding.hint && other.outcome == Outcome::Used)
}

/// What a Subject is called in messages.
#[must_use]
pub(crate) fn name_of(subject: &Subject) -> String {
    subject
        .image()
        .map_or_else(|| subject.name.clone(), |image| image.to_string())
}
