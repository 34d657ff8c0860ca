//! One docker-registry process on a free port, with its log, ended with its value.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::Ipv4Addr;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::run::on_path;

const READY_WITHIN: Duration = Duration::from_secs(30);

/// A running server.
pub(super) struct Server {
    /// `127.0.0.1:port`
    pub(super) address: String,
    /// Its process id; `None` when somebody else runs it.
    pub(super) process: Option<u32>,
    /// `None` when somebody else runs it.
    watcher: Option<Child>,
    /// While this pipe is open the server lives. It closes when the value is dropped, and when this process dies in whatever way.
    alive: Option<ChildStdin>,
    log: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// A server that somebody else runs.
    pub(super) fn at(address: &str) -> Self {
        Self {
            address: address.to_owned(),
            process: None,
            watcher: None,
            alive: None,
            log: Arc::default(),
        }
    }

    /// Starts one at an address and a port; with 0 it is a free one.
    ///
    /// # Panics
    ///
    /// When it does not come up.
    pub(super) fn start(folder: &Path, name: &str, at: (Ipv4Addr, u16), extra: &str) -> Self {
        assert!(
            on_path("docker-registry").is_some(),
            "docker-registry is not installed: run tests/peers"
        );
        // Port 0 and the log line that names the port: no other process can take it in between.
        let (host, port) = at;
        let text = format!(
            "version: 0.1\nlog: {{level: info, accesslog: {{disabled: true}}}}\n\
             storage: {{filesystem: {{rootdirectory: {}/data}}, delete: {{enabled: true}}}}\nhttp:\n  addr: {host}:{port}\n{extra}",
            folder.display()
        );
        let file = folder.join(format!("{name}.yml"));
        fs::write(&file, text).expect("the temporary folder is writable");
        // A server that was stopped hears of its end only when it goes on.
        let script = r#"docker-registry serve "$1" & server=$!; echo "process $server" >&2; exec >&- 2>&-; read -r _; kill $server; kill -s CONT $server; wait $server"#;
        let mut command = Command::new("sh");
        command
            .args(["-c", script, "sh"])
            .arg(&file)
            // Ctrl-C is not for the watcher: without it the server, which ignores that as a process in the background, would stay.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut watcher = command.spawn().expect("sh starts");
        let alive = watcher.stdin.take();
        let log = Arc::new(Mutex::new(Vec::new()));
        let (found, wanted) = mpsc::channel();
        let (told, process) = mpsc::channel();
        let lines = BufReader::new(watcher.stderr.take().expect("stderr is a pipe")).lines();
        let kept = Arc::clone(&log);
        thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                if let Some((_, rest)) = line.split_once("listening on ") {
                    let address: String = rest
                        .chars()
                        .take_while(|c| c.is_ascii_digit() || ".:".contains(*c))
                        .collect();
                    let _ = found.send(address);
                }
                if let Some(id) = line.strip_prefix("process ") {
                    let _ = told.send(id.parse().expect("a shell writes numbers"));
                }
                kept.lock().expect("no holder of the log panics").push(line);
            }
        });
        let mut server = Self {
            address: String::new(),
            process: None,
            watcher: Some(watcher),
            alive,
            log,
        };
        server.address = match wanted.recv_timeout(READY_WITHIN) {
            Ok(address) => address,
            Err(RecvTimeoutError::Timeout) => panic!(
                "docker-registry did not come up within {READY_WITHIN:?}:\n{}",
                server.log()
            ),
            Err(RecvTimeoutError::Disconnected) => {
                panic!("docker-registry ended:\n{}", server.log())
            }
        };
        let told = process.recv_timeout(READY_WITHIN);
        server.process = Some(told.expect("the shell tells it, beside what the server says"));
        server
    }

    /// Sends a signal to the server, which must be ours.
    pub(super) fn signal(&self, signal: Signal) {
        let process = self.process.expect("somebody else runs this server");
        let process = i32::try_from(process).expect("process ids fit");
        kill(Pid::from_raw(process), signal)
            .expect("the watcher waits for it, so its id is its own");
    }

    /// Stops the server, which must be ours; once this returns, each of its threads has stopped.
    pub(super) fn freeze(&self) {
        self.signal(Signal::SIGSTOP);
        let tasks = format!(
            "/proc/{}/task",
            self.process.expect("it was signalled just now")
        );
        // The kernel stops a thread when it next looks, on another core some time after the signal was sent.
        let stopped = || {
            let mut threads = fs::read_dir(&tasks).expect("the watcher waits for it");
            threads.all(|thread| {
                let stat = thread.and_then(|thread| fs::read_to_string(thread.path().join("stat")));
                // A thread that has just ended has nothing to read: the next look does without it.
                stat.is_ok_and(|stat| match stat.rsplit_once(") ") {
                    Some((_, state)) => state.starts_with('T'),
                    None => false,
                })
            })
        };
        let deadline = Instant::now() + Duration::from_secs(10);
        while !stopped() {
            assert!(Instant::now() < deadline, "it does not stop");
            thread::sleep(Duration::from_millis(1));
        }
    }

    pub(super) fn log(&self) -> String {
        let lines = self.log.lock().expect("no holder of the log panics");
        lines[lines.len().saturating_sub(30)..].join("\n")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.alive.take());
        if let Some(watcher) = &mut self.watcher {
            let _ = watcher.wait();
        }
    }
}
