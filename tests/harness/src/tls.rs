//! A private certificate authority and the certificates it gave, made by openssl in a folder of its own.

use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::run::Run;

/// An authority, a server's pair for `127.0.0.1` and `localhost`, and a client's pair. All are P-256, valid for two days.
pub struct Certificates {
    folder: PathBuf,
    _temporary: Option<TempDir>,
}

impl Certificates {
    /// Makes them.
    ///
    /// # Panics
    ///
    /// When openssl is not installed or fails.
    #[must_use]
    pub fn make() -> Self {
        let temporary = tempfile::tempdir().expect("a temporary folder");
        let mut made = Self::make_in(temporary.path());
        made._temporary = Some(temporary);
        made
    }

    /// Makes them in a folder that somebody else removes.
    pub(crate) fn make_in(folder: &Path) -> Self {
        let made = Self {
            folder: folder.to_owned(),
            _temporary: None,
        };
        made.openssl(
            "ca",
            "/CN=private authority of one test",
            &["-addext", "keyUsage=critical,keyCertSign"],
        );
        let server = [
            "-addext",
            "subjectAltName=IP:127.0.0.1,DNS:localhost",
            "-addext",
            "extendedKeyUsage=serverAuth",
        ];
        made.openssl("server", "/CN=localhost", &made.issued(&server));
        made.openssl(
            "client",
            "/CN=client",
            &made.issued(&["-addext", "extendedKeyUsage=clientAuth"]),
        );
        made
    }

    /// The authority's certificate, PEM.
    #[must_use]
    pub fn ca(&self) -> PathBuf {
        self.path("ca.crt")
    }

    /// The server's certificate and key, PEM.
    #[must_use]
    pub fn server(&self) -> (PathBuf, PathBuf) {
        (self.path("server.crt"), self.path("server.key"))
    }

    /// The client's certificate and key, PEM.
    #[must_use]
    pub fn client(&self) -> (PathBuf, PathBuf) {
        (self.path("client.crt"), self.path("client.key"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The arguments for a certificate that the authority gives.
    fn issued<'a>(&self, extensions: &[&'a str]) -> Vec<&'a str> {
        let mut args = vec![
            "-CA",
            "ca.crt",
            "-CAkey",
            "ca.key",
            "-addext",
            "basicConstraints=critical,CA:FALSE",
        ];
        args.extend(extensions);
        args
    }

    fn openssl(&self, name: &str, subject: &str, extra: &[&str]) {
        let (key, certificate) = (format!("{name}.key"), format!("{name}.crt"));
        let fixed = [
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-sha256",
            "-days",
            "2",
        ];
        let own = ["-subj", subject, "-keyout", &key, "-out", &certificate];
        Run::new("openssl")
            .args(fixed)
            .args(own)
            .args(extra)
            .folder(&self.folder)
            .ok();
    }
}

impl AsRef<Path> for Certificates {
    fn as_ref(&self) -> &Path {
        &self.folder
    }
}
