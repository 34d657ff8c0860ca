//! Processes and a folder that end with this process, whatever ends it: its last line, a panic, ctrl-C, `kill -9`.
//!
//! A child is started through `setpriv --pdeathsig KILL`: the kernel kills it when the *thread* that started it ends. That is why one
//! thread, which lives as long as the process, starts them all. The folder is removed by a small shell that reads from a pipe which
//! only this process holds open; should it be killed too, the next process that makes such a folder removes what it finds abandoned.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{self, Sender};
use std::thread;

const PREFIX: &str = "tekseal-cluster-";
/// Memory where there is such a folder: etcd syncs every write.
const MEMORY: &str = "/dev/shm";
const SHOWN_OF_LOG: u64 = 4096;
/// Tries again, because what is killed at the same moment may still write.
const BROOM: &str = r#"trap '' HUP INT TERM; read -r _; n=0; until rm -rf "$1" || [ $((n += 1)) -gt 150 ]; do sleep 0.2; done"#;

/// A child with its log. It is killed when this value is dropped, and when this process ends.
pub struct Daemon {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Daemon {
    /// Starts `program` in `folder` with nothing of the environment but `PATH`; `program`'s name with `.log` holds there what it says, after
    /// what an earlier one said.
    ///
    /// # Panics
    ///
    /// When it cannot be started.
    pub fn start<A: AsRef<OsStr>>(
        program: &Path,
        args: impl IntoIterator<Item = A>,
        folder: &Path,
    ) -> Self {
        Self::start_with(program, args, &[], folder)
    }

    /// [Starts](Self::start) it with more variables of the environment.
    ///
    /// # Panics
    ///
    /// When it cannot be started.
    pub fn start_with<A: AsRef<OsStr>>(
        program: &Path,
        args: impl IntoIterator<Item = A>,
        env: &[(&str, &OsStr)],
        folder: &Path,
    ) -> Self {
        let name = program
            .file_name()
            .expect("a program has a name")
            .to_string_lossy()
            .into_owned();
        let log = folder.join(format!("{name}.log"));
        let file = File::options()
            .create(true)
            .append(true)
            .open(&log)
            .expect("the folder is ours");
        let mut command = tied(program);
        command
            .args(args)
            .current_dir(folder)
            .env_clear()
            .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
            .envs(env.iter().copied())
            // Ctrl-C reaches it by the end of this process, not at the same time.
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(file.try_clone().expect("a file has another handle"))
            .stderr(file);
        let child = spawn(command).unwrap_or_else(|e| panic!("{name} cannot be started: {e}"));
        Self { name, child, log }
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it has ended by itself.
    ///
    /// # Panics
    ///
    /// When the operating system refuses to tell.
    pub fn has_ended(&mut self) -> bool {
        self.child
            .try_wait()
            .expect("the state of a child")
            .is_some()
    }

    /// The end of its log.
    #[must_use]
    pub fn story(&self) -> String {
        format!("log of {}:\n{}", self.name, tail(&self.log))
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A command whose process, once [started](spawn), ends with this process.
pub(crate) fn tied(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--"]).arg(program);
    command
}

/// Starts a process from the one thread that outlives all others.
pub(crate) fn spawn(command: Command) -> io::Result<Child> {
    type Order = (Command, Sender<io::Result<Child>>);
    static STARTER: OnceLock<Sender<Order>> = OnceLock::new();
    let starter = STARTER.get_or_init(|| {
        let (orders, taken) = mpsc::channel::<Order>();
        thread::spawn(move || {
            for (mut command, answer) in taken {
                // Who ordered waits for the answer.
                let _ = answer.send(command.spawn());
            }
        });
        orders
    });
    let (answer, started) = mpsc::channel();
    starter
        .send((command, answer))
        .expect("the starter lives as long as the process");
    started.recv().expect("the starter answers")
}

/// The last lines of a log.
pub(crate) fn tail(log: &Path) -> String {
    let read = || -> io::Result<String> {
        let mut file = File::open(log)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(SHOWN_OF_LOG)))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    read().unwrap_or_else(|e| format!("{}: {e}", log.display()))
}

/// A folder of this process alone, in memory where that can be had.
pub(crate) struct Folder {
    path: PathBuf,
    broom: Child,
    /// Held as long as the folder is in use.
    _lock: File,
}

impl Folder {
    pub(crate) fn make() -> Self {
        let memory = Path::new(MEMORY);
        if memory.is_dir() {
            return Self::make_in(memory);
        }
        Self::make_on_disk()
    }

    /// Where temporary files are: for what is too large for the little memory that containers give for this.
    pub(crate) fn make_on_disk() -> Self {
        Self::make_in(&std::env::temp_dir())
    }

    fn make_in(base: &Path) -> Self {
        remove_abandoned(base);
        let path = tempfile::Builder::new()
            .prefix(PREFIX)
            .tempdir_in(base)
            .unwrap_or_else(|e| panic!("no folder can be made in {}: {e}", base.display()))
            .keep();
        let broom = Command::new("sh")
            .args(["-c", BROOM, "sh"])
            .arg(&path)
            .current_dir("/")
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("sh starts");
        // It gets its name when it is locked: nobody takes the folder for abandoned before.
        let young = path.join("young");
        let lock = File::create(&young).expect("the folder is ours");
        lock.try_lock().expect("nobody else knows this file");
        fs::rename(young, path.join("lock")).expect("the folder is ours");
        Self {
            path,
            broom,
            _lock: lock,
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(self.broom.stdin.take());
        let _ = self.broom.wait();
    }
}

/// Removes folders whose process has ended without a broom.
fn remove_abandoned(base: &Path) {
    let Ok(entries) = fs::read_dir(base) else {
        return;
    };
    for entry in entries.flatten() {
        if !entry.file_name().to_string_lossy().starts_with(PREFIX) {
            continue;
        }
        let Ok(lock) = File::open(entry.path().join("lock")) else {
            continue;
        };
        if lock.try_lock().is_ok() {
            // Another process may be removing it too.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_in_use_is_kept_and_an_abandoned_one_is_removed() {
        let used = Folder::make();
        let base = used.path().parent().expect("it is in a folder").to_owned();
        let abandoned = base.join(format!("{PREFIX}test-{}", std::process::id()));
        fs::create_dir_all(&abandoned).expect("the folder is writable");
        fs::write(abandoned.join("lock"), "").expect("the folder is ours");
        remove_abandoned(&base);
        assert!(used.path().is_dir() && !abandoned.exists());

        let path = used.path().to_owned();
        drop(used);
        assert!(!path.exists());
    }

    #[test]
    fn a_daemon_outlives_the_thread_that_wanted_it_and_ends_with_its_value() {
        let folder = Folder::make();
        let sleep = crate::run::on_path("sleep").expect("sleep is everywhere");
        let path = folder.path().to_owned();
        let mut daemon = thread::spawn(move || Daemon::start(&sleep, ["600"], &path))
            .join()
            .expect("the thread does not panic");
        thread::sleep(std::time::Duration::from_millis(50));
        assert!(!daemon.has_ended(), "{}", daemon.story());
        let process = PathBuf::from(format!("/proc/{}", daemon.id()));
        drop(daemon);
        assert!(!process.exists());
    }
}
