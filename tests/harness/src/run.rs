//! Runs programs as processes: arguments in; status, stdout and stderr out; never longer than a deadline.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io::{Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::str::FromStr;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tempfile::TempDir;

const TIMEOUT: Duration = Duration::from_secs(60);
/// What a process gets of the environment of the tests. Everything else (passwords, proxies, registry logins) would make results
/// depend on the machine.
const PASSED_ON: [&str; 4] = ["PATH", "TMPDIR", "LLVM_PROFILE_FILE", "LANG"];

/// The path of one of the project's programs: in the folder `TEKSEAL_BIN_DIR`, else where cargo put it beside the tests.
///
/// # Panics
///
/// When it is not there.
#[must_use]
pub fn program(name: &str) -> PathBuf {
    if let Some(folder) = std::env::var_os("TEKSEAL_BIN_DIR") {
        let path = PathBuf::from(folder).join(name);
        assert!(
            path.is_file(),
            "{} is missing: TEKSEAL_BIN_DIR must name a folder with the programs",
            path.display()
        );
        return path;
    }
    beside_tests(name)
}

/// The path of one of the project's programs where cargo put it beside the tests.
pub(crate) fn beside_tests(name: &str) -> PathBuf {
    let exe = std::env::current_exe().expect("a process has an executable");
    let found = exe
        .ancestors()
        .skip(1)
        .take(2)
        .map(|folder| folder.join(name))
        .find(|path| path.is_file());
    found.unwrap_or_else(|| {
        panic!("{name} is not beside {}: build it with `cargo build -p tekseal-steps -p tekseal-controller --bins`, or name a folder with the programs in TEKSEAL_BIN_DIR", exe.display())
    })
}

/// A program to run. It gets an almost empty environment and an empty home folder.
pub struct Run {
    program: PathBuf,
    args: Vec<OsString>,
    env: BTreeMap<OsString, OsString>,
    folder: Option<PathBuf>,
    stdin: Vec<u8>,
    timeout: Duration,
}

impl Run {
    /// Any program, by path or by a name that is looked up in `PATH`.
    #[must_use]
    pub fn new(program: impl Into<PathBuf>) -> Self {
        let env = PASSED_ON
            .iter()
            .filter_map(|name| Some((OsString::from(name), std::env::var_os(name)?)))
            .collect();
        Self {
            program: program.into(),
            args: Vec::new(),
            env,
            folder: None,
            stdin: Vec::new(),
            timeout: TIMEOUT,
        }
    }

    /// One of the project's programs: see [`program`].
    #[must_use]
    pub fn tool(name: &str) -> Self {
        Self::new(program(name))
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.args.push(arg.as_ref().to_owned());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<A: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args
            .extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    /// Sets a variable of the environment.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.env.insert(name.into(), value.as_ref().to_owned());
        self
    }

    /// Runs in this folder.
    #[must_use]
    pub fn folder(mut self, folder: impl Into<PathBuf>) -> Self {
        self.folder = Some(folder.into());
        self
    }

    /// What the program reads from stdin; nothing unless this is called.
    #[must_use]
    pub fn stdin(mut self, bytes: impl AsRef<[u8]>) -> Self {
        self.stdin = bytes.as_ref().to_vec();
        self
    }

    /// After how long the program is killed; 60 s unless this is called.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Starts the program and waits for its end.
    ///
    /// # Panics
    ///
    /// When it cannot be started.
    #[must_use]
    pub fn run(self) -> Output {
        self.start().wait()
    }

    /// Runs, panics unless the status is 0, and gives the output.
    pub fn ok(self) -> Output {
        self.run().ok()
    }

    /// Runs, panics unless the status is `code`, and gives the output.
    pub fn fails_with(self, code: i32) -> Output {
        self.run().fails_with(code)
    }

    /// Starts the program and does not wait: for tests that make something happen meanwhile.
    ///
    /// # Panics
    ///
    /// When it cannot be started.
    #[must_use]
    pub fn start(mut self) -> Running {
        let mut home = None;
        self.env.entry("HOME".into()).or_insert_with(|| {
            let made = tempfile::tempdir().expect("a temporary folder");
            home.insert(made).path().into()
        });
        let mut command = Command::new(&self.program);
        command.args(&self.args).env_clear().envs(&self.env);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        // A group of its own, so that the children of a program that hangs end with it.
        command.process_group(0);
        if let Some(folder) = &self.folder {
            command.current_dir(folder);
        }
        let said = format!(
            "{} {}",
            self.program.display(),
            self.args.join(OsStr::new(" ")).display()
        );
        let mut child = command
            .spawn()
            .unwrap_or_else(|e| panic!("cannot start {said}: {e}"));
        let mut stdin = child.stdin.take().expect("stdin is a pipe");
        let input = std::mem::take(&mut self.stdin);
        // A program need not read its input, so a broken pipe is no failure.
        let writer = thread::spawn(move || drop(stdin.write_all(&input)));
        let stdout = collect(child.stdout.take().expect("stdout is a pipe"));
        let stderr = collect(child.stderr.take().expect("stderr is a pipe"));
        let deadline = Instant::now() + self.timeout;
        Running {
            said,
            child: Group(child),
            deadline,
            timeout: self.timeout,
            writer,
            stdout,
            stderr,
            _home: home,
        }
    }
}

/// A program that has been started. It is killed when its time is over, and when this value is dropped.
pub struct Running {
    said: String,
    child: Group,
    deadline: Instant,
    timeout: Duration,
    writer: JoinHandle<()>,
    stdout: JoinHandle<Vec<u8>>,
    stderr: JoinHandle<Vec<u8>>,
    _home: Option<TempDir>,
}

impl Running {
    /// Waits for the end.
    ///
    /// # Panics
    ///
    /// When the operating system refuses to tell.
    #[must_use]
    pub fn wait(mut self) -> Output {
        let mut late = false;
        let status = loop {
            if let Some(status) = self.child.0.try_wait().expect("the state of a child") {
                break status;
            }
            if Instant::now() >= self.deadline {
                late = true;
                self.child.signal("KILL");
                break self.child.0.wait().expect("the state of a child");
            }
            thread::sleep(Duration::from_millis(2));
        };
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        let Self {
            said,
            child: _ended,
            writer,
            stdout,
            stderr,
            timeout,
            ..
        } = self;
        writer.join().expect("the writer does not panic");
        let stdout = text(stdout.join().expect("the reader does not panic"));
        let stderr = text(stderr.join().expect("the reader does not panic"));
        Output {
            said,
            status,
            killed_after: late.then_some(timeout),
            stdout,
            stderr,
        }
    }

    /// Whether it has ended already.
    ///
    /// # Panics
    ///
    /// When the operating system refuses to tell.
    pub fn has_ended(&mut self) -> bool {
        self.child
            .0
            .try_wait()
            .expect("the state of a child")
            .is_some()
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.0.id()
    }

    /// Sends a signal (`TERM`, `INT`, `KILL`) to the program and its children.
    ///
    /// # Panics
    ///
    /// When there is no such signal.
    pub fn signal(&self, name: &str) {
        self.child.signal(name);
    }
}

/// A child that leads a process group, and ends with this value.
struct Group(Child);

impl Group {
    fn signal(&self, name: &str) {
        let signal = Signal::from_str(&format!("SIG{name}"))
            .unwrap_or_else(|_| panic!("no signal has the name {name}"));
        let group = i32::try_from(self.0.id()).expect("process ids fit");
        // It may have ended already.
        let _ = killpg(Pid::from_raw(group), signal);
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if matches!(self.0.try_wait(), Ok(None)) {
            self.signal("KILL");
            let _ = self.0.wait();
        }
    }
}

/// What a program left when it ended.
#[derive(Clone)]
pub struct Output {
    said: String,
    status: ExitStatus,
    killed_after: Option<Duration>,
    /// What it wrote to stdout.
    pub stdout: String,
    /// What it wrote to stderr.
    pub stderr: String,
}

impl Output {
    /// The exit status; `None` when a signal ended it.
    #[must_use]
    pub fn code(&self) -> Option<i32> {
        self.status.code()
    }

    /// Whether it was killed because its time was over.
    #[must_use]
    pub fn timed_out(&self) -> bool {
        self.killed_after.is_some()
    }

    /// Panics with the whole story unless the status is 0.
    #[track_caller]
    pub fn ok(self) -> Self {
        self.fails_with(0)
    }

    /// Panics with the whole story unless the status is `code`.
    #[track_caller]
    pub fn fails_with(self, code: i32) -> Self {
        assert!(
            self.code() == Some(code),
            "expected exit status {code}\n{self:?}"
        );
        self
    }

    /// Panics unless stderr contains this text.
    #[track_caller]
    pub fn says(self, text: &str) -> Self {
        assert!(
            self.stderr.contains(text),
            "expected `{text}` on stderr\n{self:?}"
        );
        self
    }

    /// Stdout as one JSON value.
    #[track_caller]
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|e| panic!("stdout is not JSON: {e}\n{self:?}"))
    }
}

impl fmt::Debug for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "$ {}", self.said)?;
        match (self.killed_after, self.status.code(), self.status.signal()) {
            (Some(after), ..) => writeln!(f, "killed after {after:?}")?,
            (None, Some(code), _) => writeln!(f, "exit status {code}")?,
            (None, None, signal) => writeln!(f, "ended by signal {}", signal.unwrap_or_default())?,
        }
        write!(
            f,
            "--- stdout\n{}\n--- stderr\n{}\n---",
            self.stdout, self.stderr
        )
    }
}

fn collect(mut pipe: impl Read + Send + 'static) -> JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        // What was read before an error is still worth showing.
        let _ = pipe.read_to_end(&mut bytes);
        bytes
    })
}

/// Whether a program of this name is found through `PATH`.
pub(crate) fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|file| Path::is_file(file))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_input_and_environment_arrive_and_the_rest_of_the_environment_does_not() {
        let out = Run::new("sh")
            .args([
                "-c",
                r#"cat; echo "$1 $A ${CARGO_MANIFEST_DIR-none}"; echo bad >&2; exit 3"#,
                "sh",
                "x y",
            ])
            .env("A", "b")
            .stdin("in ")
            .run();
        let out = out.fails_with(3).says("bad");
        assert_eq!(out.stdout, "in x y b none\n");
    }

    #[test]
    fn a_program_that_hangs_is_killed_with_its_children() {
        let out = Run::new("sh")
            .args(["-c", "sleep 600; true"])
            .timeout(Duration::from_millis(50))
            .run();
        assert!(out.timed_out() && out.code().is_none(), "{out:?}");
    }

    #[test]
    fn a_signal_ends_a_started_program() {
        let running = Run::new("sh").args(["-c", "sleep 600"]).start();
        running.signal("TERM");
        let out = running.wait();
        assert!(!out.timed_out() && out.code().is_none(), "{out:?}");
    }
}
