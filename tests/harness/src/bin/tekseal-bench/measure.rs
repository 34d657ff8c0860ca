//! Runs one command in a process of its own and tells what it cost.
//!
//! The kernel reports the processor time and the peak memory of children only as sums and maxima over all that have ended. So the
//! benchmark runs itself once for each command (`tekseal-bench measure PROGRAM ARG…`), and that process has this one child.
//! A child begins as a copy of its parent, so peaks below about 3 MiB are those of the measuring process.

use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use nix::sys::resource::{Usage, UsageWho, getrusage};
use nix::sys::time::TimeValLike as _;
use serde::{Deserialize, Serialize};
use tekseal_harness::{Output, Run};

/// How long a command may go on that is not measured.
const PATIENCE: Duration = Duration::from_mins(10);

/// What one run of one command cost.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Cost {
    /// From start to end.
    pub(crate) wall_s: f64,
    /// Processor time, user and system, of the command and its children.
    pub(crate) cpu_s: f64,
    /// The largest resident set.
    pub(crate) peak_mib: f64,
}

impl Cost {
    /// The cost of one command after another.
    pub(crate) fn then(self, next: Self) -> Self {
        Self {
            wall_s: self.wall_s + next.wall_s,
            cpu_s: self.cpu_s + next.cpu_s,
            peak_mib: self.peak_mib.max(next.peak_mib),
        }
    }

    /// The share of one of so many that were worked on in one call. All of them had the same memory.
    pub(crate) fn share_of_one(self, count: u32) -> Self {
        Self {
            wall_s: self.wall_s / f64::from(count),
            cpu_s: self.cpu_s / f64::from(count),
            peak_mib: self.peak_mib,
        }
    }
}

/// A command to measure.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    program: String,
    args: Vec<String>,
    env: Vec<(String, String)>,
}

impl Job {
    /// A program with arguments.
    pub(crate) fn new<A: AsRef<str>>(program: &Path, args: impl IntoIterator<Item = A>) -> Self {
        let args = args
            .into_iter()
            .map(|arg| arg.as_ref().to_owned())
            .collect();
        Self {
            program: program.display().to_string(),
            args,
            env: Vec::new(),
        }
    }

    /// Sets a variable of its environment, which holds nothing else but `PATH`.
    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Runs it unmeasured, for what it says.
    pub(crate) fn said(&self) -> Output {
        let run = Run::new(&self.program).args(&self.args).timeout(PATIENCE);
        let env = self.env.iter();
        env.fold(run, |run, (name, value)| run.env(name, value))
            .run()
    }

    /// Runs it in a measuring process.
    ///
    /// # Panics
    ///
    /// When it fails: a benchmark of something that does not work says nothing.
    pub(crate) fn cost(&self) -> Cost {
        let own = std::env::current_exe().expect("a process has an executable");
        let mut command = Command::new(own);
        command
            .arg("measure")
            .arg(&self.program)
            .args(&self.args)
            .env_clear();
        command
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .envs(self.env.iter().cloned());
        let out = command
            .stdin(Stdio::null())
            .output()
            .expect("the benchmark can run itself");
        let said = || {
            format!(
                "{} {}\n{}",
                self.program,
                self.args.join(" "),
                String::from_utf8_lossy(&out.stderr)
            )
        };
        assert!(
            out.status.success(),
            "a measured command failed: {}",
            said()
        );
        serde_json::from_slice(&out.stdout).unwrap_or_else(|e| panic!("{e}: {}", said()))
    }
}

/// The measuring process: runs the command, lets its stderr through, prints its cost as JSON, and fails as it failed.
pub(crate) fn run(command: &[String]) -> ExitCode {
    let mut child = Command::new(&command[0]);
    child
        .args(&command[1..])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .process_group(0);
    let start = Instant::now();
    let status = child.status();
    let wall_s = start.elapsed().as_secs_f64();
    let used = getrusage(UsageWho::RUSAGE_CHILDREN);
    match (status, used) {
        (Ok(status), Ok(used)) if status.success() => {
            println!("{}", serde_json::json!(cost(wall_s, &used)));
            ExitCode::SUCCESS
        }
        (Ok(status), _) => {
            eprintln!("{status}");
            ExitCode::FAILURE
        }
        (Err(e), _) => {
            eprintln!("cannot start: {e}");
            ExitCode::FAILURE
        }
    }
}

fn cost(wall_s: f64, used: &Usage) -> Cost {
    let seconds = |time: nix::sys::time::TimeVal| micros(time.num_microseconds()) / 1e6;
    Cost {
        wall_s,
        cpu_s: seconds(used.user_time()) + seconds(used.system_time()),
        peak_mib: micros(used.max_rss()) / 1024.0,
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "times and sizes of one command are far below 2^53"
)]
fn micros(value: i64) -> f64 {
    value as f64
}
