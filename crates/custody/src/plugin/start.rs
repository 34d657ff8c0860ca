//! One start of a program that is believed nothing: no shell, a group of its own, and bounds on its time and on what it writes.
//!
//! ```text
//!   message ─▶ stdin │ program │ stdout ─▶ 64 KiB at the most, whole
//!                    │ group   │ stderr ─▶ 1 MiB at the most, of which the end is kept
//!   ended, late, too much, or output still open a second after its end ─▶ the whole group is killed
//! ```

use std::io;
use std::path::Path;
use std::pin::pin;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, ChildStdin, Command};
use tokio::time::{Instant, sleep_until};

/// The most that an answer has: the largest is a public key in base64.
const MOST_STDOUT: usize = 64 * 1024;
/// The most that a program may say besides.
const MOST_STDERR: usize = 1024 * 1024;
/// What is kept of that, its end.
const KEPT_STDERR: usize = 4 * 1024;
/// How long the output may stay open after the end: nobody else should have it.
const LINGER: Duration = Duration::from_secs(1);

/// What a program left when it ended.
pub(super) struct Ended {
    pub(super) status: ExitStatus,
    pub(super) stdout: Vec<u8>,
    /// The end of it.
    pub(super) stderr: Vec<u8>,
}

/// Why there is no end.
pub(super) enum Failure {
    Start(io::Error),
    Wait(io::Error),
    /// It was killed when its time was over.
    Late {
        stderr: Vec<u8>,
    },
    /// It was killed because it wrote too much.
    Flood {
        pipe: &'static str,
        most: usize,
    },
    /// It ended, and somebody else has its output.
    HeldOpen,
}

/// Starts the program with this process's variables and folder, and waits for its end, for `timeout` at the most. Nothing of it is left then.
pub(super) async fn program(
    path: &Path,
    args: [&str; 2],
    stdin: &[u8],
    timeout: Duration,
) -> Result<Ended, Failure> {
    let deadline = Instant::now() + timeout;
    let mut child = Command::new(path)
        .args(args)
        .stdin(match stdin.is_empty() {
            true => Stdio::null(),
            false => Stdio::piped(),
        })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // With a group of its own all that it starts can be killed with it. It has no terminal then.
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(Failure::Start)?;
    let _group = Group::of(&child);
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    let feeding = feed(child.stdin.take(), stdin);
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let outcome = {
        let reading = async {
            tokio::try_join!(
                read(out, &mut stdout, MOST_STDOUT, MOST_STDOUT, "stdout"),
                read(err, &mut stderr, MOST_STDERR, KEPT_STDERR, "stderr"),
            )
        };
        let (mut reading, mut feeding) = (pin!(reading), pin!(feeding));
        let (mut is_read, mut is_fed, mut status) = (false, false, None);
        let mut patience = deadline;
        loop {
            if let (true, Some(status)) = (is_read, status) {
                break Ok(status);
            }
            tokio::select! {
                read = &mut reading, if !is_read => match read {
                    Ok(_) => is_read = true,
                    Err(failure) => break Err(failure),
                },
                // It need not read its input to the end, or at all.
                () = &mut feeding, if !is_fed => is_fed = true,
                ended = child.wait(), if status.is_none() => match ended {
                    Ok(ended) => {
                        status = Some(ended);
                        patience = Instant::now() + LINGER;
                    }
                    Err(error) => break Err(Failure::Wait(error)),
                },
                () = sleep_until(patience) => break Err(match status {
                    Some(_) => Failure::HeldOpen,
                    None => Failure::Late { stderr: Vec::new() },
                }),
            }
        }
    };
    match outcome {
        Ok(status) => Ok(Ended {
            status,
            stdout,
            stderr,
        }),
        Err(Failure::Late { .. }) => Err(Failure::Late { stderr }),
        Err(failure) => Err(failure),
    }
}

/// Writes all of the message and closes the pipe. Whoever does not want it closes it earlier.
async fn feed(pipe: Option<ChildStdin>, message: &[u8]) {
    if let Some(mut pipe) = pipe {
        let _ = pipe.write_all(message).await;
    }
}

/// Reads to the end; of more than `kept` bytes the last ones are kept.
async fn read(
    pipe: Option<impl AsyncRead + Unpin>,
    into: &mut Vec<u8>,
    most: usize,
    kept: usize,
    name: &'static str,
) -> Result<(), Failure> {
    let Some(mut pipe) = pipe else { return Ok(()) };
    let mut buffer = [0; 4096];
    let mut total = 0;
    loop {
        let read = pipe.read(&mut buffer).await.map_err(Failure::Wait)?;
        if read == 0 {
            return Ok(());
        }
        total += read;
        if total > most {
            return Err(Failure::Flood { pipe: name, most });
        }
        into.extend_from_slice(&buffer[..read]);
        into.drain(..into.len().saturating_sub(kept));
    }
}

/// The program and all that it started: gone with this value.
///
/// After the program itself was waited for, its number belongs to the group for as long as anybody is in it, and to nobody afterwards.
struct Group(Option<Pid>);

impl Group {
    fn of(child: &Child) -> Self {
        let id = child.id().and_then(|id| i32::try_from(id).ok());
        Self(id.and_then(Pid::from_raw))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // Usually there is nobody any more.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}
