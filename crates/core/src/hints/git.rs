//! The source repository, from `CHAINS-GIT_URL` and `CHAINS-GIT_COMMIT`.

use super::{GIT_COMMIT, GIT_URL};
use crate::artifact::Artifact;
use crate::run::{Param, Run, RunKind};

/// The source repository as it is gathered: URL and commit override each on their own.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct GitSource<'v> {
    url: &'v str,
    commit: &'v str,
}

impl<'v> GitSource<'v> {
    pub(super) fn set(&mut self, name: &str, text: &'v str) {
        match name {
            GIT_URL => self.url = text,
            GIT_COMMIT => self.commit = text,
            _ => {}
        }
    }

    /// For a TaskRun or a step. The commit is not checked, and a missing URL gives `git+.git`: that is what Chains does, and the bytes
    /// are the contract.
    pub(super) fn of_task(self) -> Option<Artifact> {
        if self.commit.is_empty() {
            return None;
        }
        let prefix = if self.url.starts_with("git+") {
            ""
        } else {
            "git+"
        };
        let suffix = if self.url.ends_with(".git") {
            ""
        } else {
            ".git"
        };
        let uri = format!("{prefix}{}{suffix}", self.url);
        Some(Artifact::new(
            &uri,
            "sha1".to_owned(),
            self.commit.to_owned(),
        ))
    }

    /// For a PipelineRun, where both must be there.
    fn of_pipeline(self) -> Option<Artifact> {
        self.of_task().filter(|_| !self.url.is_empty())
    }
}

/// Defaults, then parameters, then results; the later wins.
pub(super) fn of_run(run: &Run<'_>, results: &[Param<'_, '_>]) -> Option<Artifact> {
    let mut source = GitSource::default();
    for param in run.param_defaults().chain(run.params()) {
        source.set(param.name, param.text());
    }
    for result in results {
        source.set(result.name, result.text());
    }
    match run.kind() {
        RunKind::TaskRun => source.of_task(),
        RunKind::PipelineRun => source.of_pipeline(),
    }
}
