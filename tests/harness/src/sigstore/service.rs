//! A server as a process: started at free ports, awaited, and where it cannot but take a fixed port, put into a network of its own.

use std::ffi::OsStr;
use std::io;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::http::{Request, request};
use crate::port::lasting_port;
use crate::process::Daemon;

const READY_WITHIN: Duration = Duration::from_secs(60);
/// What all of them say then, each in a sentence of its own.
const TAKEN: &str = "address already in use";

/// Starts a program at as many free ports as `flags` takes, and waits until it answers to GET `health` at the first of them.
///
/// # Panics
///
/// When it does not.
pub(crate) fn start<const PORTS: usize>(
    program: &Path,
    flags: impl Fn([u16; PORTS]) -> Vec<String>,
    env: &[(&str, &OsStr)],
    folder: &Path,
    health: &str,
) -> (Daemon, [u16; PORTS]) {
    start_when(program, flags, env, folder, |daemon, ports| {
        await_ready(daemon, &format!("127.0.0.1:{}", ports[0]), health)
    })
}

/// Starts a program as [`start`] does, and waits until it is ready. `place` is where it will be.
///
/// # Panics
///
/// When it does not become so.
pub(crate) fn start_until<const PORTS: usize>(
    program: &Path,
    flags: impl Fn([u16; PORTS]) -> Vec<String>,
    folder: &Path,
    place: &str,
    is_ready: impl Fn() -> bool,
) -> (Daemon, [u16; PORTS]) {
    start_when(program, flags, &[], folder, |daemon, _| {
        await_that(daemon, place, &is_ready)
    })
}

fn start_when<const PORTS: usize>(
    program: &Path,
    flags: impl Fn([u16; PORTS]) -> Vec<String>,
    env: &[(&str, &OsStr)],
    folder: &Path,
    is_ready: impl Fn(&mut Daemon, &[u16; PORTS]) -> bool,
) -> (Daemon, [u16; PORTS]) {
    loop {
        let ports = [0; PORTS].map(|_| lasting_port());
        let mut daemon = Daemon::start_with(program, flags(ports), env, folder);
        if is_ready(&mut daemon, &ports) {
            return (daemon, ports);
        }
        let story = daemon.story();
        assert!(story.contains(TAKEN), "it ended\n{story}");
    }
}

/// Waits until a server answers to GET `health`; `false` when it ended.
///
/// # Panics
///
/// When it does neither for a long time.
pub(super) fn await_ready(daemon: &mut Daemon, address: &str, health: &str) -> bool {
    let question = Request::new("GET", health);
    await_that(daemon, address, || {
        request(address, &question).is_ok_and(|answer| answer.status == 200)
    })
}

/// Waits until it is so; `false` when the server ended. `place` is what is waited for.
fn await_that(daemon: &mut Daemon, place: &str, is_so: impl Fn() -> bool) -> bool {
    let deadline = Instant::now() + READY_WITHIN;
    while !is_so() {
        if daemon.has_ended() {
            return false;
        }
        assert!(
            Instant::now() < deadline,
            "{place} is not ready\n{}",
            daemon.story()
        );
        thread::sleep(Duration::from_millis(10));
    }
    true
}

/// A port of 127.0.0.1 whose connections go on to a socket in the file system. It ends with this value.
pub(super) struct Forward {
    /// `127.0.0.1:port`
    pub(super) address: String,
    stopping: Arc<AtomicBool>,
    accepting: Option<JoinHandle<()>>,
}

impl Forward {
    /// Begins at once; the socket may come later.
    pub(super) fn to(socket: PathBuf) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port on loopback");
        let address = listener.local_addr().expect("a bound socket has one");
        let stopping = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stopping);
        let accepting = thread::spawn(move || {
            for stream in listener.incoming() {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(stream) = stream else { continue };
                let socket = socket.clone();
                // Whoever goes away loses this connection and nothing else.
                thread::spawn(move || pass(&stream, &socket));
            }
        });
        Self {
            address: address.to_string(),
            stopping,
            accepting: Some(accepting),
        }
    }
}

impl Drop for Forward {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::SeqCst);
        // The listener wakes up for one more connection, and sees that it is over.
        let _ = TcpStream::connect(&self.address);
        if let Some(thread) = self.accepting.take() {
            let _ = thread.join();
        }
    }
}

/// Passes bytes both ways until both have said all.
fn pass(client: &TcpStream, socket: &Path) -> io::Result<()> {
    client.set_nodelay(true)?;
    let server = UnixStream::connect(socket)?;
    thread::scope(|scope| {
        scope.spawn(|| {
            let _ = io::copy(&mut &*client, &mut &server);
            let _ = server.shutdown(Shutdown::Write);
        });
        let _ = io::copy(&mut &server, &mut &*client);
        // A client that keeps its connection open says nothing more to a server that has closed it.
        let _ = client.shutdown(Shutdown::Both);
    });
    Ok(())
}
