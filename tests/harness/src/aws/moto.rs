//! moto, an imitation of AWS that others have made: <https://github.com/getmoto/moto>. It verifies no signatures of requests.

use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use crate::http::{Request, request};
use crate::peers::{cache_folder, present};
use crate::port::lasting_port;
use crate::process::{Daemon, Folder};
use crate::run::Run;

/// Python reads many files before it listens.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// A running moto. It ends with this value.
pub struct Moto {
    address: String,
    _server: Daemon,
    /// The last to be dropped.
    _folder: Folder,
}

impl Moto {
    /// Starts it; `None`, with the reason printed, where `tests/custody/build-moto` has not installed it.
    ///
    /// # Panics
    ///
    /// When it does not come up, and when it is missing and `CI` is `true`.
    #[must_use]
    pub fn start() -> Option<Self> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../custody/build-moto");
        let said = Run::new(script)
            .arg("--path")
            .env("TEKSEAL_CACHE", cache_folder())
            .ok();
        let installed = PathBuf::from(said.stdout.trim_end());
        let reason = format!(
            "moto is not in {}: run tests/custody/build-moto",
            installed.display()
        );
        let is_complete = installed.join("complete").is_file();
        let program = present(
            is_complete.then(|| installed.join("bin/moto_server")),
            &reason,
        )?;
        let folder = Folder::make();
        let port = lasting_port().to_string();
        let args = ["-H", "127.0.0.1", "-p", &port];
        let mut server = Daemon::start(&program, args, folder.path());
        let address = format!("127.0.0.1:{port}");
        let question = Request::new("GET", "/moto-api/data.json");
        let deadline = Instant::now() + READY_WITHIN;
        while !request(&address, &question).is_ok_and(|answer| answer.status == 200) {
            assert!(
                !server.has_ended() && Instant::now() < deadline,
                "moto is not ready\n{}",
                server.story()
            );
            thread::sleep(Duration::from_millis(50));
        }
        Some(Self {
            address,
            _server: server,
            _folder: folder,
        })
    }

    /// `127.0.0.1:port`.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }
}
