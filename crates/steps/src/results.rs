//! Task results: files that Tekton reads after the step, written all together as the last act of a tool, or not at all.
//!
//! Tekton reads results even when the step failed and carries them in the termination message of the container, 4,096 bytes for all of
//! them and its own entries (<https://tekton.dev/docs/pipelines/tasks/#larger-results-using-sidecar-logs>). Hence: nothing is written
//! before the effect that it describes, nothing stays when a write fails, no newline is added (it would end up in the parameters of
//! the next task), and no more than 3 KiB are written.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::anyhow;
use tempfile::NamedTempFile;

use crate::files::{self, Mode};
use crate::registry_args::given;
use crate::{Failure, log};

/// The most that names and values of all results may take together.
pub const MAX_BYTES: usize = 3 * 1024;

/// Where Tekton wants results.
const TEKTON: &str = "/tekton/results";

/// The flags of every tool with results.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct ResultsArgs {
    /// Folder for the result files, one per result; without it /tekton/results if that exists, else none are written
    #[arg(
        id = "results",
        long = "results",
        env = "TEKSEAL_RESULTS",
        value_name = "DIR"
    )]
    // Not a `PathBuf`: clap refuses an empty path, and Tekton gives empty texts for what is not set.
    pub(crate) folder: Option<String>,
    /// Path of any one result of a StepAction, $(step.results.NAME.path): the result files are written into its folder, in place of --results
    #[arg(
        id = "results_beside",
        long = "results-beside",
        env = "TEKSEAL_RESULTS_BESIDE",
        value_name = "FILE"
    )]
    beside: Option<String>,
}

/// Results that are collected and not yet written.
#[derive(Debug)]
pub struct Results {
    folder: Option<PathBuf>,
    values: Vec<(String, String)>,
}

/// Why results cannot be written. In every case none are there.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// More than [`MAX_BYTES`].
    #[error(
        "the results take {size} bytes, more than the {MAX_BYTES} that fit into a termination message with Tekton's own entries"
    )]
    TooLarge {
        /// Names and values together.
        size: usize,
    },
    /// The folder is absent or is no folder.
    #[error("the results folder {} is not there, or is not a folder", folder.display())]
    NoFolder {
        /// The folder.
        folder: PathBuf,
    },
    /// The folder does not take files.
    #[error("the results folder {} cannot be written to", folder.display())]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// The operating system's reason.
        source: io::Error,
    },
    /// A file could not be written; those written before were removed.
    #[error("result {name} cannot be written to {}", folder.display())]
    Write {
        /// The result.
        name: String,
        /// The folder.
        folder: PathBuf,
        /// The operating system's reason.
        source: io::Error,
    },
}

impl ResultsArgs {
    /// Opens the folder of the flags, or Tekton's.
    ///
    /// # Errors
    /// Exit 2 if both flags are given or the folder is not there, 3 if a file cannot be made in it: better known before the work than after it.
    pub fn open(&self) -> Result<Results, Failure> {
        let folder = given(&self.folder).next().map(PathBuf::from);
        let beside = given(&self.beside).next();
        let folder = match (folder, beside) {
            (Some(_), Some(_)) => {
                return Err(Failure::misuse(anyhow!(
                    "--results and --results-beside are both given"
                ))
                .hint("a Task gives --results or nothing, a StepAction --results-beside"));
            }
            (Some(folder), None) => Some(folder),
            (None, Some(file)) => Some(beside_of(file)?),
            (None, None) => Some(PathBuf::from(TEKTON)).filter(|folder| folder.is_dir()),
        };
        Ok(Results::open(folder)?)
    }
}

impl Results {
    /// Results for `folder`, or for nowhere.
    ///
    /// # Errors
    /// [`Error::NoFolder`] if it is none, [`Error::Folder`] if no file can be made there.
    pub fn open(folder: Option<PathBuf>) -> Result<Self, Error> {
        if let Some(folder) = &folder {
            if !folder.is_dir() {
                return Err(Error::NoFolder {
                    folder: folder.clone(),
                });
            }
            let trial = temporary(folder, b"trial").and_then(NamedTempFile::close);
            trial.map_err(|e| Error::Folder {
                folder: folder.clone(),
                source: bare(&e),
            })?;
        }
        Ok(Self {
            folder,
            values: Vec::new(),
        })
    }

    /// Adds a result. They are written in the order in which they were added, so that of a pair the second one completes it.
    pub fn set(&mut self, name: &str, value: impl Into<String>) {
        self.values.push((name.to_owned(), value.into()));
    }

    /// Names and values, in order.
    #[must_use]
    pub fn values(&self) -> &[(String, String)] {
        &self.values
    }

    /// Refuses what would not fit; to be asked before an effect when the lengths are known.
    ///
    /// # Errors
    /// [`Error::TooLarge`].
    pub fn check_size(&self) -> Result<(), Error> {
        let size = self
            .values
            .iter()
            .map(|(name, value)| name.len() + value.len())
            .sum();
        if size > MAX_BYTES {
            return Err(Error::TooLarge { size });
        }
        Ok(())
    }

    /// Writes every result: first all of them under temporary names and synced, then each renamed, in order.
    ///
    /// # Errors
    /// As [`Error`] says; those already renamed are removed again.
    pub fn commit(self) -> Result<(), Error> {
        self.check_size()?;
        let Some(folder) = self.folder else {
            return Ok(());
        };
        let failed = |name: &str, e: &io::Error| Error::Write {
            name: name.to_owned(),
            folder: folder.clone(),
            source: bare(e),
        };
        let mut files = Vec::with_capacity(self.values.len());
        for (name, value) in &self.values {
            files.push((
                name,
                temporary(&folder, value.as_bytes()).map_err(|e| failed(name, &e))?,
            ));
        }
        let mut done: Vec<PathBuf> = Vec::with_capacity(files.len());
        for (name, file) in files {
            let path = folder.join(name);
            if let Err(e) = file.persist(&path) {
                for path in &done {
                    // Nothing more can be done about a file that cannot be removed; the first failure is the one to tell.
                    let _ = fs::remove_file(path);
                }
                return Err(failed(name, &e.error));
            }
            done.push(path);
        }
        log::info(
            "wrote results",
            &[("folder", &folder.display()), ("count", &done.len())],
        );
        Ok(())
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::TooLarge { .. } => {
                Failure::misuse(error).hint("use a shorter image name or fewer platforms, or build each platform in a TaskRun of its own")
            }
            Error::NoFolder { .. } => Failure::misuse(error)
                .hint("give a folder that is there by --results or --results-beside, or leave both out"),
            Error::Folder { .. } | Error::Write { .. } => Failure::outside(error)
                .hint("check that the folder is writable and has room; no result was left behind"),
        }
    }
}

/// The folder in which this file is, or would be. A name without a path is what Tekton did not replace, so it leads to no folder.
fn beside_of(file: &str) -> Result<PathBuf, Failure> {
    let path = Path::new(file);
    match (path.parent(), path.file_name()) {
        (Some(folder), Some(_)) if path.is_absolute() => Ok(folder.to_owned()),
        _ => Err(Failure::misuse(anyhow!(
            "--results-beside {file:?} is not the path of a file from the root on"
        ))
        .hint("give $(step.results.NAME.path) of a result that the StepAction declares")),
    }
}

/// The error without the name of a temporary file, which tells nobody anything.
fn bare(error: &io::Error) -> io::Error {
    error.kind().into()
}

/// Readable by all: steps run under different users.
fn temporary(folder: &Path, bytes: &[u8]) -> io::Result<NamedTempFile> {
    files::temporary(folder, bytes, Mode::Public)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).expect("the folder is there");
        let mut names: Vec<_> = entries
            .map(|e| {
                e.expect("an entry")
                    .file_name()
                    .into_string()
                    .expect("an ASCII name")
            })
            .collect();
        names.sort();
        names
    }

    #[test]
    fn results_are_the_bytes_and_nothing_else() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut results = Results::open(Some(folder.path().to_owned())).expect("a writable folder");
        results.set("IMAGE_URL", "r/a:1");
        results.set("IMAGE_DIGEST", "");
        results.commit().expect("room for two files");
        assert_eq!(
            fs::read(folder.path().join("IMAGE_URL")).expect("written"),
            b"r/a:1"
        );
        assert_eq!(
            fs::read(folder.path().join("IMAGE_DIGEST")).expect("written"),
            b""
        );
        assert_eq!(names(folder.path()), ["IMAGE_DIGEST", "IMAGE_URL"]);
    }

    #[test]
    fn a_stepaction_names_the_folder_by_one_of_its_results() {
        let folder = tempfile::tempdir().expect("a folder");
        let args = |folder: Option<&str>, beside: &str| ResultsArgs {
            folder: folder.map(str::to_owned),
            beside: Some(beside.to_owned()),
        };
        let file = folder.path().join("SIGNED").display().to_string();
        let mut results = args(Some(""), &file).open().expect("the folder is there");
        results.set("REASON", "because");
        results.commit().expect("room for a file");
        assert_eq!(names(folder.path()), ["REASON"]);
        assert!(args(None, "").open().is_ok(), "empty is absent");
        let both = folder.path().to_str().expect("UTF-8");
        for (results, beside) in [
            (Some(both), &file[..]),
            (None, "SIGNED"),
            (None, "$(step.results.SIGNED.path)"),
            (None, "../SIGNED"),
            (None, "/"),
            (None, "/tmp/.."),
            (None, "/absent/SIGNED"),
        ] {
            let failure = args(results, beside).open().expect_err(beside);
            assert_eq!(failure.code(), crate::exit::MISUSE, "{beside}");
        }
    }

    #[test]
    fn when_one_result_cannot_be_written_none_stays() {
        let folder = tempfile::tempdir().expect("a folder");
        fs::create_dir(folder.path().join("IMAGE_DIGEST")).expect("a folder in the way");
        let mut results = Results::open(Some(folder.path().to_owned())).expect("a writable folder");
        results.set("IMAGE_URL", "r/a:1");
        results.set("IMAGE_DIGEST", "sha256:00");
        let error = results
            .commit()
            .expect_err("a folder cannot be replaced by a file");
        assert!(
            matches!(error, Error::Write { ref name, .. } if name == "IMAGE_DIGEST"),
            "{error}"
        );
        assert_eq!(names(folder.path()), ["IMAGE_DIGEST"]);
        assert_eq!(Failure::from(error).code(), crate::exit::OUTSIDE);
    }

    #[test]
    fn a_folder_that_takes_no_files_is_refused_before_the_work() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let error = Results::open(Some(file.path().to_owned())).expect_err("a file is no folder");
        assert!(matches!(error, Error::NoFolder { .. }), "{error}");
        assert_eq!(Failure::from(error).code(), crate::exit::MISUSE);
        let error = Results::open(Some(PathBuf::from("/absent/folder"))).expect_err("absent");
        assert_eq!(Failure::from(error).code(), crate::exit::MISUSE);
    }

    #[test]
    fn a_folder_without_room_is_the_outsides_fault_and_no_temporary_file_is_named() {
        // A folder in which not even root can make a file.
        let error = Results::open(Some(PathBuf::from("/proc/self"))).expect_err("not writable");
        assert!(matches!(error, Error::Folder { .. }), "{error}");
        let failure = Failure::from(error);
        assert_eq!(failure.code(), crate::exit::OUTSIDE);
        assert!(
            !failure.message().contains(".tekseal-"),
            "{}",
            failure.message()
        );
    }

    #[test]
    fn more_than_three_kibibytes_are_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut results = Results::open(Some(folder.path().to_owned())).expect("a writable folder");
        results.set("IMAGES", "x".repeat(MAX_BYTES - "IMAGES".len()));
        results.check_size().expect("exactly the limit");
        results.set("A", "");
        assert!(matches!(results.commit(), Err(Error::TooLarge { size }) if size == MAX_BYTES + 1));
        assert!(names(folder.path()).is_empty());
    }
}
