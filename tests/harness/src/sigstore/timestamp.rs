//! A timestamp authority (RFC 3161) with a certificate of its own root.
//!
//! Its metrics are at port 2112, whatever it is told, so two of them could not be on one machine, nor one beside what another process left
//! there. It therefore gets a network of its own, and is reached through a socket in the file system:
//!
//! ```text
//!   client ──▶ Forward (127.0.0.1, a free port) ──▶ socket in the folder ──▶ timestamp-server (no network)
//! ```

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use super::peers::TIMESTAMP_SERVER;
use super::service::{Forward, await_ready};
use crate::process::{Daemon, Folder};
use crate::tls::Authority;

const PATH: &str = "/api/v1/timestamp";

/// A running authority. It ends when this value is dropped, and when the process of the tests ends in whatever way.
pub struct TimestampAuthority {
    forward: Forward,
    _server: Daemon,
    /// The last to be dropped.
    folder: Folder,
}

impl TimestampAuthority {
    /// The one authority of this process, started with the first call; `None`, with the reason printed, where it is missing.
    ///
    /// # Panics
    ///
    /// When it does not come up, and when it is missing and `CI` is `true`.
    #[must_use]
    pub fn shared() -> Option<&'static Self> {
        static SHARED: OnceLock<Option<TimestampAuthority>> = OnceLock::new();
        SHARED.get_or_init(Self::start).as_ref()
    }

    /// An authority of one's own; `None`, with the reason printed, where it is missing.
    ///
    /// # Panics
    ///
    /// When it does not come up, and when it is missing and `CI` is `true`.
    #[must_use]
    pub fn start() -> Option<Self> {
        let program = TIMESTAMP_SERVER.find()?;
        let folder = Folder::make();
        certify(folder.path());
        let socket = folder.path().join("socket");
        let mut args = vec!["--net".to_owned()];
        if !nix::unistd::geteuid().is_root() {
            args.insert(0, "--map-root-user".to_owned());
        }
        args.push(program.display().to_string());
        args.extend(
            [
                "serve",
                "--scheme=unix",
                "--timestamp-signer=file",
                "--file-signer-key-path=leaf.key",
                "--file-signer-passwd=",
                "--certificate-chain-path=chain.pem",
                "--disable-ntp-monitoring",
            ]
            .map(str::to_owned),
        );
        args.push(format!("--socket-path={}", socket.display()));
        let forward = Forward::to(socket);
        let mut server = Daemon::start(Path::new("unshare"), args, folder.path());
        assert!(
            await_ready(&mut server, &forward.address, "/ping"),
            "timestamp-server ended\n{}",
            server.story()
        );
        Some(Self {
            forward,
            _server: server,
            folder,
        })
    }

    /// `127.0.0.1:port`
    #[must_use]
    pub fn address(&self) -> &str {
        &self.forward.address
    }

    /// Where it is asked for timestamps, as clients are told it.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}{PATH}", self.address())
    }

    /// Its own certificate and that of its root, PEM.
    #[must_use]
    pub fn chain(&self) -> PathBuf {
        self.folder.path().join("chain.pem")
    }

    /// The certificate of its root, PEM.
    #[must_use]
    pub fn root(&self) -> PathBuf {
        self.folder.path().join("ca.crt")
    }
}

/// Makes `leaf.key`, `chain.pem` and what stands behind them.
fn certify(folder: &Path) {
    let root = Authority::make(
        folder,
        "/O=local.test/CN=timestamp root",
        &[
            "basicConstraints=critical,CA:TRUE",
            "keyUsage=critical,keyCertSign,cRLSign",
        ],
    );
    root.certify(
        "leaf",
        "/O=local.test/CN=timestamp authority",
        &[
            "basicConstraints=critical,CA:FALSE",
            "keyUsage=critical,digitalSignature",
            "extendedKeyUsage=critical,timeStamping",
        ],
    );
    let read = |name: &str| fs::read_to_string(folder.join(name)).expect("just made");
    let chain = read("leaf.crt") + &read("ca.crt");
    fs::write(folder.join("chain.pem"), chain).expect("the folder is ours");
}
