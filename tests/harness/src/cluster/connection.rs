//! TLS by openssl's `s_client`, one process a connection, kept for the next request: the harness has no TLS of its own, and a process
//! for each request (curl, kubectl) would make a load generator measure itself.

use std::io::{self, BufReader, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

use crate::http::{Answer, Request, message, read_answer};
use crate::process::{spawn, tied};

const TIMEOUT: Duration = Duration::from_secs(60);

/// A TLS connection: a process of openssl, and our end of the socket that is its stdin and stdout.
pub(super) struct Connection {
    openssl: Child,
    pub(super) reader: BufReader<UnixStream>,
}

impl Connection {
    pub(super) fn open(address: &str, ca: &Path) -> io::Result<Self> {
        let (ours, theirs) = UnixStream::pair()?;
        ours.set_read_timeout(Some(TIMEOUT))?;
        ours.set_write_timeout(Some(TIMEOUT))?;
        let host = address.split(':').next().unwrap_or_default();
        let mut command = tied("openssl");
        command
            // `-quiet` also makes it pass on what we send as it is.
            .args(["s_client", "-quiet", "-verify_quiet"])
            .args(["-verify_return_error", "-verify_ip", host])
            .args(["-connect", address, "-CAfile"])
            .arg(ca)
            .stdin(OwnedFd::from(theirs.try_clone()?))
            .stdout(OwnedFd::from(theirs))
            .stderr(Stdio::null());
        Ok(Self {
            openssl: spawn(command)?,
            reader: BufReader::new(ours),
        })
    }

    pub(super) fn stream(&self) -> &UnixStream {
        self.reader.get_ref()
    }

    pub(super) fn exchange(&mut self, address: &str, request: &Request) -> io::Result<Answer> {
        self.stream().write_all(&message(address, request))?;
        read_answer(&mut self.reader, &request.method)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // It may have ended already, with the server.
        let _ = self.openssl.kill();
        let _ = self.openssl.wait();
    }
}
