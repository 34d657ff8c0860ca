//! Formats: how a completed run becomes a Statement.
//!
//! A format is named as in Chains' configuration. `slsa/v1` and `in-toto` are two names of one format, and that format is provenance
//! **v0.2**: the names in the configuration count Chains' own versions, not SLSA's. `slsa/v2alpha3` and `slsa/v2alpha4` are provenance v1.

mod materials;
mod order;
mod slsa_v1;
mod slsa_v2;

use crate::artifact::MOST_SUBJECTS;
use crate::config::BuildType;
use crate::gojson::{Escape, Members, Writer};
use crate::hints::{DeepInspection, Observed};
use crate::payload::Payload;
use crate::run::{CompletedRun, PayloadSize, RunKind};
use crate::statement::{DigestSet, STATEMENT_V01, STATEMENT_V1, Subject};
use crate::typed::ParamValue;

/// A format of provenance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `slsa/v1`: Statement v0.1 with SLSA provenance v0.2.
    SlsaV1,
    /// `in-toto`: the same under its other name.
    InToto,
    /// `slsa/v2alpha3`: Statement v1 with SLSA provenance v1.
    SlsaV2alpha3,
    /// `slsa/v2alpha4`: Statement v1 with SLSA provenance v1, with step results and stricter build artifacts.
    SlsaV2alpha4,
}

/// What the configuration says of every Statement.
#[derive(Clone, Copy, Debug)]
pub struct Settings<'a> {
    /// `builder.id`.
    pub builder_id: &'a str,
    /// `builddefinition.buildtype`.
    pub build_type: BuildType,
    /// `artifacts.pipelinerun.enable-deep-inspection`.
    pub deep: DeepInspection,
}

/// Why a run has no provenance in a format.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Error {
    /// The node reported no usable image for a step: the run ended before its pod had one.
    #[error(
        "step {step:?} of TaskRun {run} has no image digest (imageID {image_id:?}), so the run's materials are unknown"
    )]
    ImageId {
        /// Name of the TaskRun.
        run: String,
        /// Name of the step or sidecar.
        step: String,
        /// What was reported.
        image_id: String,
    },
    /// A child that ended without having started has no place in provenance v0.2.
    #[error("child TaskRun {0} has no status.startTime, which provenance v0.2 must state")]
    NotStarted(String),
    /// A value that Tekton's own types cannot write.
    #[error("the run cannot be written as Tekton writes it: {0}")]
    Unwritable(String),
    /// The payload would be too large.
    #[error("the payload is too large: {0}")]
    PayloadSize(PayloadSize),
    /// No format of this name.
    #[error(
        "format {0:?} is not known, wanted in-toto or slsa/v1 (both are SLSA provenance v0.2), slsa/v2alpha3 or slsa/v2alpha4 (SLSA provenance v1)"
    )]
    Unknown(String),
}

impl Format {
    /// Every format.
    pub const ALL: [Self; 4] = [
        Self::InToto,
        Self::SlsaV1,
        Self::SlsaV2alpha3,
        Self::SlsaV2alpha4,
    ];

    /// The format of this name.
    ///
    /// # Errors
    /// If there is none.
    pub fn parse(name: &str) -> Result<Self, Error> {
        Self::ALL
            .into_iter()
            .find(|format| format.name() == name)
            .ok_or_else(|| Error::Unknown(name.to_owned()))
    }

    /// Its name in the configuration.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::SlsaV1 => "slsa/v1",
            Self::InToto => "in-toto",
            Self::SlsaV2alpha3 => "slsa/v2alpha3",
            Self::SlsaV2alpha4 => "slsa/v2alpha4",
        }
    }

    /// The predicate type of its Statements.
    #[must_use]
    pub fn predicate_type(self) -> &'static str {
        match self {
            Self::SlsaV1 | Self::InToto => slsa_v1::PREDICATE_TYPE,
            Self::SlsaV2alpha3 | Self::SlsaV2alpha4 => slsa_v2::PREDICATE_TYPE,
        }
    }

    /// Whether two names stand for the same bytes.
    #[must_use]
    pub fn is_alias_of(self, other: Self) -> bool {
        matches!(
            (self, other),
            (Self::SlsaV1 | Self::InToto, Self::SlsaV1 | Self::InToto)
        ) || self == other
    }

    /// Who the Statement of this format speaks of.
    #[must_use]
    pub fn subjects(self, observed: &Observed<'_>, deep: DeepInspection) -> Vec<Subject> {
        match self {
            Self::SlsaV1 | Self::InToto | Self::SlsaV2alpha3 => observed.subjects_of_outputs(deep),
            Self::SlsaV2alpha4 => observed.subjects_of_builds(deep),
        }
    }

    /// The provenance of `run` as a payload. `observed` is what its hints say.
    ///
    /// # Errors
    /// If the run lacks what the format must state.
    pub fn payload(
        self,
        run: &CompletedRun<'_>,
        observed: &Observed<'_>,
        settings: Settings<'_>,
    ) -> Result<Payload, Error> {
        let subjects = self.subjects(observed, settings.deep);
        if subjects.len() > MOST_SUBJECTS {
            return Err(Error::Unwritable(format!(
                "it names more than {MOST_SUBJECTS} artifacts"
            )));
        }
        let mut writer = Writer::new(Escape::Proto);
        let statement_type = match self {
            Self::SlsaV1 | Self::InToto => STATEMENT_V01,
            Self::SlsaV2alpha3 | Self::SlsaV2alpha4 => STATEMENT_V1,
        };
        let mut outcome = Ok(());
        writer.declared(|statement| {
            statement.text("_type", statement_type);
            if !subjects.is_empty() {
                statement.list("subject", |list| {
                    for subject in &subjects {
                        list.next().declared(|s| descriptor(s, subject));
                    }
                });
            }
            statement.text("predicateType", self.predicate_type());
            let predicate = statement.key("predicate");
            outcome = match self {
                Self::SlsaV1 | Self::InToto => {
                    slsa_v1::predicate(predicate, run, observed, settings)
                }
                Self::SlsaV2alpha3 => {
                    slsa_v2::predicate(predicate, run, observed, settings, slsa_v2::Version::Alpha3)
                }
                Self::SlsaV2alpha4 => {
                    slsa_v2::predicate(predicate, run, observed, settings, slsa_v2::Version::Alpha4)
                }
            };
        });
        outcome?;
        let bytes = writer.finish().map_err(Error::Unwritable)?;
        run.check_limit(bytes.len()).map_err(Error::PayloadSize)?;
        Ok(Payload::statement(
            self.name(),
            self.predicate_type(),
            bytes,
            subjects,
        ))
    }
}

/// The type of run, as provenance v0.2 names it. It is that of v1, whatever version the document has.
fn kind_of_run(kind: RunKind) -> &'static str {
    match kind {
        RunKind::TaskRun => "tekton.dev/v1/TaskRun",
        RunKind::PipelineRun => "tekton.dev/v1/PipelineRun",
    }
}

/// The members of a Subject in the order of in-toto's ResourceDescriptor.
fn descriptor(members: &mut Members<'_>, subject: &Subject) {
    members.text_unless_empty("name", &subject.name);
    write_digest(members, &subject.digest);
}

/// The member `digest`, left out when there is none.
fn write_digest(members: &mut Members<'_>, digest: &DigestSet) {
    if !digest.is_empty() {
        members.sorted("digest", |digests| {
            for (algorithm, hex) in digest {
                digests.text(algorithm, hex);
            }
        });
    }
}

/// Refuses to go on with a payload that is out of all proportion to the documents.
fn check_size(writer: &mut Writer, completed: &CompletedRun<'_>) -> Result<(), Error> {
    completed
        .check_payload(writer.raw().len())
        .map_err(Error::PayloadSize)
}

/// The value of a parameter or result. Tekton's type has none without a value, and Go fails to write it.
fn write_value(writer: &mut Writer, value: Option<&ParamValue<'_>>, name: &str) {
    match value {
        Some(value) => value.write(writer),
        None => writer.fail(|| format!("parameter or result {name:?} has no value")),
    }
}
