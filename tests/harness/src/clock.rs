//! Programs whose wall clock is wrong, as it is on a node whose time service has failed.
//!
//! A library that is loaded before the C library answers in its place. Time namespaces were no way: they move the clocks that count on, and
//! never the wall clock. The clock of the whole machine is not ours to set.

use std::fs;
use std::path::PathBuf;

use tempfile::TempDir;

use crate::run::{Run, beside_tests};

const SOURCE: &str = include_str!("clock.c");

/// A wrong clock for programs that are linked dynamically: see [`dynamic_program`]. To be kept while such a program starts.
pub struct Clock {
    folder: TempDir,
}

impl Clock {
    /// Compiles it.
    ///
    /// # Panics
    ///
    /// When `cc`, with which Rust links, fails.
    #[must_use]
    pub fn make() -> Self {
        let clock = Self {
            folder: tempfile::tempdir().expect("a temporary folder"),
        };
        let source = clock.folder.path().join("clock.c");
        fs::write(&source, SOURCE).expect("the folder is ours");
        Run::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o"])
            .arg(clock.library())
            .arg(&source)
            .ok();
        clock
    }

    /// Has a program live so many seconds ahead of everybody else; behind, where they are negative.
    #[must_use]
    pub fn shift(&self, program: Run, seconds: i64) -> Run {
        program
            .env("LD_PRELOAD", self.library())
            .env("CLOCK_SHIFT", seconds.to_string())
    }

    fn library(&self) -> PathBuf {
        self.folder.path().join("clock.so")
    }
}

/// One of the project's programs as cargo put it beside the tests, never one of `TEKSEAL_BIN_DIR`: those are static and load no library.
///
/// # Panics
///
/// When it is not there.
#[must_use]
pub fn dynamic_program(name: &str) -> PathBuf {
    beside_tests(name)
}

#[cfg(test)]
mod tests {
    use std::time::{SystemTime, UNIX_EPOCH};

    use super::*;

    #[test]
    fn a_program_lives_an_hour_ahead_or_behind() {
        let clock = Clock::make();
        for seconds in [3600, -3600] {
            let date = Run::new("date").arg("+%s");
            let out = clock.shift(date, seconds).ok();
            let now = SystemTime::now().duration_since(UNIX_EPOCH);
            let now = now.expect("it is not 1970").as_secs();
            let theirs: u64 = out.stdout.trim().parse().expect("a number of seconds");
            let difference = now.saturating_add_signed(seconds).abs_diff(theirs);
            assert!(difference < 60, "{seconds}: {out:?}");
        }
    }
}
