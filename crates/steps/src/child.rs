//! Runs programs of the outside (buildah, git): no shell, every line they print on our stderr as it comes, signals passed on, the last
//! lines kept to explain a failure.
//!
//! The only module of the programs that starts processes, but for the plugins that hold keys (`tekseal-custody`).

use std::cell::RefCell;
use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::future::Future;
use std::io::{self, Write as _};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::anyhow;
use rustix::process::{Pid, Signal as Number, kill_process_group};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::timeout;

use crate::exit::{INTERRUPTED, TERMINATED};
use crate::{Failure, log};

/// The longest line that is passed on whole.
const MAX_LINE: usize = 16 * 1024;
/// How many of the last lines are kept.
const TAIL: usize = 60;
/// The most that is kept of an answer.
const MAX_ANSWER: usize = 64 * 1024;
/// How long a child may take to clean up after a signal; Kubernetes kills the pod after 30 s.
const GRACE: Duration = Duration::from_secs(10);
/// How long pipes may stay open after the child has ended: a process that it left behind may hold them.
const LINGER: Duration = Duration::from_secs(1);

/// A program of the outside.
#[derive(Debug)]
pub(crate) struct Program<'a> {
    /// Its name, looked up in `PATH`, or its path.
    pub(crate) name: &'a str,
    /// What stands before each of its lines in the log, so that none can pass for ours.
    pub(crate) label: &'static str,
    /// What to do where it is missing.
    pub(crate) hint: &'static str,
}

/// One start of a program.
pub(crate) struct Call<'a> {
    pub(crate) program: &'a Program<'a>,
    pub(crate) args: &'a [OsString],
    pub(crate) environment: Environment<'a>,
    pub(crate) stdout: Stdout,
    /// Takes secrets out of each line before it is shown or kept.
    pub(crate) hide: Option<&'a dyn Fn(&str) -> String>,
}

/// What a child has for its environment.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Environment<'a> {
    /// This tool's, without what is for signing, and without these variables.
    OursWithout(&'a [&'static str]),
    /// These variables and no others.
    Only(&'a [(OsString, OsString)]),
}

/// SIGTERM and SIGINT, which from now on end the tool in an orderly way.
#[derive(Debug)]
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

/// How a child ended.
#[derive(Debug)]
pub(crate) struct Ended {
    status: ExitStatus,
    /// The last lines of stdout and stderr, as they came.
    pub(crate) tail: Vec<String>,
    /// stdout, if it was asked for.
    pub(crate) answer: String,
}

/// What happens to stdout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stdout {
    /// Passed on to stderr, as stderr is.
    Log,
    /// Kept as the answer; both outputs stay out of the log.
    Keep,
}

#[derive(Clone, Copy)]
enum Received {
    Terminate,
    Interrupt,
}

impl Signals {
    /// Takes both signals over.
    pub(crate) fn new() -> Result<Self, Failure> {
        let open =
            |kind| signal(kind).map_err(|e| Failure::outside(e).context("taking over signals"));
        Ok(Self {
            terminate: open(SignalKind::terminate())?,
            interrupt: open(SignalKind::interrupt())?,
        })
    }

    async fn received(&mut self) -> Received {
        tokio::select! {
            _ = self.terminate.recv() => Received::Terminate,
            _ = self.interrupt.recv() => Received::Interrupt,
        }
    }

    /// Waits for `work` unless a signal comes first.
    pub(crate) async fn unless_stopped<T>(
        &mut self,
        work: impl Future<Output = T>,
    ) -> Result<T, Failure> {
        tokio::select! {
            done = work => Ok(done),
            received = self.received() => Err(received.failure()),
        }
    }
}

impl Received {
    fn number(self) -> Number {
        match self {
            Self::Terminate => Number::TERM,
            Self::Interrupt => Number::INT,
        }
    }

    fn failure(self) -> Failure {
        let (code, name) = match self {
            Self::Terminate => (TERMINATED, "SIGTERM"),
            Self::Interrupt => (INTERRUPTED, "SIGINT"),
        };
        Failure::with_code(code, anyhow!("ended by {name}, no results written"))
    }
}

impl Ended {
    /// Whether it exited with 0.
    pub(crate) fn is_success(&self) -> bool {
        self.status.success()
    }

    /// A child that ended so.
    #[cfg(test)]
    pub(crate) fn for_test(status: ExitStatus, tail: &[&str]) -> Self {
        Self {
            status,
            tail: tail.iter().map(|line| (*line).to_owned()).collect(),
            answer: String::new(),
        }
    }

    /// `exit status: 125`
    pub(crate) fn status(&self) -> String {
        self.status.to_string()
    }
}

/// Variables for signing, with passwords of keys among them: a build has no use for them, and some of buildah's options pass its
/// environment on.
fn is_ours_alone(name: &OsStr) -> bool {
    let name = name.as_encoded_bytes();
    name.starts_with(b"COSIGN_") || name.starts_with(b"TEKSEAL_")
}

/// Starts a program in a process group of its own and waits for its end. stdin is empty.
///
/// # Errors
/// Exit 2 if the program is not there; 143 or 130 after a signal, which the whole group got.
pub(crate) async fn run(signals: &mut Signals, call: Call<'_>) -> Result<Ended, Failure> {
    let program = call.program;
    let mut child = command(&call)
        .spawn()
        .map_err(|e| not_started(program, e))?;
    let pipes = (child.stdout.take(), child.stderr.take());
    let tail = RefCell::new(VecDeque::new());
    let answer = RefCell::new(String::new());
    let hidden = |line: &str| match call.hide {
        Some(hide) => hide(line),
        None => line.to_owned(),
    };
    let keep = |line: String| {
        let mut tail = tail.borrow_mut();
        if tail.len() == TAIL {
            tail.pop_front();
        }
        tail.push_back(line);
    };
    let on_stdout = |line: &str| match call.stdout {
        Stdout::Log => {
            let line = hidden(line);
            pass_on(program, &line);
            keep(line);
        }
        Stdout::Keep => {
            let mut answer = answer.borrow_mut();
            if answer.len() + line.len() < MAX_ANSWER {
                answer.push_str(line);
                answer.push('\n');
            }
        }
    };
    let on_stderr = |line: &str| {
        let line = hidden(line);
        if call.stdout == Stdout::Log {
            pass_on(program, &line);
        }
        keep(line);
    };
    let pump = async { tokio::join!(lines(pipes.0, on_stdout), lines(pipes.1, on_stderr)) };
    let status = wait(signals, program, &mut child, pump).await?;
    Ok(Ended {
        status,
        tail: tail.take().into(),
        answer: answer.take(),
    })
}

fn command(call: &Call<'_>) -> Command {
    let mut command = Command::new(call.program.name);
    match call.environment {
        Environment::OursWithout(names) => {
            for (name, _) in std::env::vars_os().filter(|(name, _)| is_ours_alone(name)) {
                command.env_remove(name);
            }
            for name in names {
                command.env_remove(name);
            }
        }
        Environment::Only(variables) => {
            command
                .env_clear()
                .envs(variables.iter().map(|(name, value)| (name, value)));
        }
    }
    command
        .args(call.args)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true);
    command
}

/// Waits for the child and its output; passes a signal on.
async fn wait<T>(
    signals: &mut Signals,
    program: &Program<'_>,
    child: &mut Child,
    pump: impl Future<Output = T>,
) -> Result<ExitStatus, Failure> {
    let group = child
        .id()
        .and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
    let mut pump = std::pin::pin!(pump);
    let mut is_drained = false;
    let lost = |e: io::Error| Failure::outside(e).context(format!("waiting for {}", program.label));
    loop {
        tokio::select! {
            _ = &mut pump, if !is_drained => is_drained = true,
            status = child.wait() => {
                if !is_drained {
                    // What is still in the pipes; more than that is nobody's.
                    let _ = timeout(LINGER, pump).await;
                }
                return status.map_err(lost);
            }
            received = signals.received() => {
                let send = |number| group.is_some_and(|group| kill_process_group(group, number).is_ok());
                send(received.number());
                let end = async {
                    tokio::select! {
                        _ = child.wait() => {}
                        () = async { (&mut pump).await; std::future::pending().await }, if !is_drained => {}
                    }
                };
                if timeout(GRACE, end).await.is_err() {
                    log::warn(
                        "it did not end after the signal, killing it",
                        &[("program", &program.label)],
                    );
                }
                send(Number::KILL);
                return Err(received.failure());
            }
        }
    }
}

/// Splits a pipe into lines of at most [`MAX_LINE`] bytes and cleans them.
async fn lines(pipe: Option<impl AsyncRead + Unpin>, mut each: impl FnMut(&str)) {
    let Some(pipe) = pipe else { return };
    let mut reader = BufReader::new(pipe);
    let mut line = Vec::new();
    loop {
        let chunk = match reader.fill_buf().await {
            Ok(chunk) if !chunk.is_empty() => chunk,
            _ => break,
        };
        let end = chunk.iter().position(|byte| *byte == b'\n');
        let used = end.unwrap_or(chunk.len()).min(MAX_LINE - line.len());
        line.extend_from_slice(&chunk[..used]);
        let is_ended = end == Some(used);
        reader.consume(used + usize::from(is_ended));
        // Nothing taken and not ended: the line is full and goes on.
        if is_ended || used == 0 {
            each(&clean(&line));
            line.clear();
        }
    }
    if !line.is_empty() {
        each(&clean(&line));
    }
}

/// A line without control characters, which could forge other lines or move a terminal's cursor.
fn clean(line: &[u8]) -> String {
    let text = String::from_utf8_lossy(line);
    let text = text.trim_end_matches('\r');
    text.chars()
        .map(|c| if c.is_control() && c != '\t' { ' ' } else { c })
        .collect()
}

fn pass_on(program: &Program<'_>, line: &str) {
    // Nobody reads stderr any more: no reason to stop the work.
    let _ = writeln!(io::stderr(), "{}: {line}", program.label);
}

fn not_started(program: &Program<'_>, error: io::Error) -> Failure {
    let kind = error.kind();
    let failure = match kind {
        io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied => Failure::misuse(error),
        _ => Failure::outside(error),
    };
    let path = std::env::var_os("PATH").unwrap_or_default();
    failure
        .context(format!(
            "starting {}, looked for in PATH {}",
            program.name,
            OsStr::to_string_lossy(&path)
        ))
        .hint(program.hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block_on<T>(work: impl Future<Output = T>) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        runtime.block_on(work)
    }

    #[test]
    fn lines_are_split_cut_and_cleaned() {
        let mut text = b"one\r\n\x1b[31mtwo\x07\n\n".to_vec();
        text.extend(vec![b'x'; MAX_LINE + 3]);
        let mut found = Vec::new();
        block_on(lines(Some(text.as_slice()), |line| {
            found.push(line.to_owned())
        }));
        assert_eq!(
            found[..3],
            ["one".to_owned(), " [31mtwo ".to_owned(), String::new()]
        );
        assert_eq!(
            found[3..].iter().map(String::len).collect::<Vec<_>>(),
            [MAX_LINE, 3]
        );
    }

    #[test]
    fn a_line_of_the_greatest_length_is_one_line() {
        let mut text = vec![b'x'; MAX_LINE];
        text.extend(b"\ny\n");
        let mut found = Vec::new();
        block_on(lines(Some(text.as_slice()), |line| found.push(line.len())));
        assert_eq!(found, [MAX_LINE, 1]);
    }

    #[test]
    fn what_is_for_signing_is_told_from_what_buildah_needs() {
        for name in ["COSIGN_PASSWORD", "COSIGN_KEY", "TEKSEAL_AUTH_FILE"] {
            assert!(is_ours_alone(OsStr::new(name)), "{name}");
        }
        for name in [
            "REGISTRY_AUTH_FILE",
            "STORAGE_DRIVER",
            "CONTAINERS_STORAGE_CONF",
            "HTTPS_PROXY",
            "no_proxy",
            "PATH",
            "HOME",
            "TMPDIR",
            "XDG_RUNTIME_DIR",
            "BUILDAH_ISOLATION",
            "MY_COSIGN_X",
        ] {
            assert!(!is_ours_alone(OsStr::new(name)), "{name}");
        }
    }

    /// Runs a shell script, which stands for any program.
    fn sh(script: &str, environment: Environment<'_>, stdout: Stdout) -> Ended {
        const SH: Program<'_> = Program {
            name: "sh",
            label: "test",
            hint: "",
        };
        let args = ["-c".into(), script.into()];
        block_on(async {
            let mut signals = Signals::new().expect("signals");
            let call = Call {
                program: &SH,
                args: &args,
                environment,
                stdout,
                hide: Some(&|line| line.replace("s3cret", "***")),
            };
            run(&mut signals, call).await.expect("a shell starts")
        })
    }

    #[test]
    fn a_child_has_the_variables_it_was_given_and_no_others() {
        let path = ("PATH".into(), std::env::var_os("PATH").unwrap_or_default());
        let variables = [path, ("ONE".into(), "1".into())];
        let ended = sh("env", Environment::Only(&variables), Stdout::Keep);
        assert!(ended.answer.contains("ONE=1"), "{}", ended.answer);
        assert!(!ended.answer.contains("CARGO_"), "{}", ended.answer);
        let ended = sh("env", Environment::OursWithout(&["PATH"]), Stdout::Keep);
        assert!(ended.answer.contains("CARGO_"), "{}", ended.answer);
        let has_path = ended.answer.lines().any(|line| line.starts_with("PATH="));
        assert!(!has_path, "{}", ended.answer);
    }

    #[test]
    fn secrets_are_hidden_in_what_is_kept_of_the_log() {
        let script = "echo out s3cret; echo err s3cret >&2; exit 3";
        let mut ended = sh(script, Environment::OursWithout(&[]), Stdout::Log);
        ended.tail.sort();
        assert_eq!(ended.tail, ["err ***", "out ***"]);
        assert!(!ended.is_success());
        let ended = sh(script, Environment::OursWithout(&[]), Stdout::Keep);
        assert_eq!(ended.answer, "out s3cret\n");
        assert_eq!(ended.tail, ["err ***"]);
    }

    #[test]
    fn an_absent_program_is_misuse_with_a_hint() {
        const ABSENT: Program<'_> = Program {
            name: "tekseal-no-such-program",
            label: "test",
            hint: "install it",
        };
        let failure = block_on(async {
            let mut signals = Signals::new().expect("signals");
            let call = Call {
                program: &ABSENT,
                args: &[],
                environment: Environment::OursWithout(&[]),
                stdout: Stdout::Keep,
                hide: None,
            };
            run(&mut signals, call).await.expect_err("it is absent")
        });
        assert_eq!(failure.code(), crate::exit::MISUSE);
        assert!(
            failure.message().contains("tekseal-no-such-program"),
            "{}",
            failure.message()
        );
        assert!(format!("{failure:?}").contains("install it"));
    }
}
