//! Formats: how a completed run becomes a Statement.
//!
//! A format is named as in Chains' configuration. `slsa/v1` and `in-toto` are two names of one format, and that format is provenance
//! **v0.2**: the name in the configuration counts Chains' own versions, not SLSA's.

mod slsa_v1;

use crate::hints::Artifacts;
use crate::payload::Payload;
use crate::run::CompletedRun;

/// A format of provenance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `slsa/v1`: Statement v0.1 with SLSA provenance v0.2.
    SlsaV1,
    /// `in-toto`: the same under its other name.
    InToto,
}

/// Why a run has no provenance in a format.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Error {
    /// The node reported no usable image for a step: the run ended before its pod had one.
    #[error(
        "step {step:?} has no image digest (imageID {image_id:?}), so the run's materials are unknown"
    )]
    ImageId {
        /// Name of the step or sidecar.
        step: String,
        /// What was reported.
        image_id: String,
    },
    /// No format of this name.
    #[error("format {0:?} is not known, wanted in-toto or slsa/v1 (both are SLSA provenance v0.2)")]
    Unknown(String),
}

impl Format {
    /// The format of this name.
    pub fn parse(name: &str) -> Result<Self, Error> {
        match name {
            "slsa/v1" => Ok(Self::SlsaV1),
            "in-toto" => Ok(Self::InToto),
            _ => Err(Error::Unknown(name.to_owned())),
        }
    }

    /// Its name in the configuration.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::SlsaV1 => "slsa/v1",
            Self::InToto => "in-toto",
        }
    }

    /// Whether two names stand for the same bytes.
    #[must_use]
    pub fn is_alias_of(self, other: Self) -> bool {
        match (self, other) {
            (Self::SlsaV1 | Self::InToto, Self::SlsaV1 | Self::InToto) => true,
        }
    }

    /// The provenance of `run` as a payload, built under the name `builder_id`.
    pub fn payload(
        self,
        run: &CompletedRun,
        artifacts: &Artifacts,
        builder_id: &str,
    ) -> Result<Payload, Error> {
        match self {
            Self::SlsaV1 | Self::InToto => {
                let bytes = slsa_v1::statement(run, artifacts, builder_id)?;
                Ok(Payload::statement(
                    self.name(),
                    slsa_v1::PREDICATE_TYPE,
                    bytes,
                    artifacts.subjects.clone(),
                ))
            }
        }
    }
}
