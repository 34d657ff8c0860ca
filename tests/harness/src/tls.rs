//! Private certificate authorities and the certificates they gave, made by openssl in folders of their own.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::run::Run;

const BEGIN: &str = "20200101000000Z";
const END: &str = "20491231000000Z";
/// When all of them begin to be valid, as JSON has it.
pub(crate) const VALID_FROM: &str = "2020-01-01T00:00:00Z";
/// What `openssl ca` needs to know: where it counts, and that requests say what they are for.
const CONFIGURATION: &str = "[ca]
default_ca = test
[test]
database = index.txt
new_certs_dir = .
rand_serial = yes
unique_subject = no
default_md = sha256
policy = names
copy_extensions = copyall
x509_extensions = identifiers
email_in_dn = no
[names]
organizationName = optional
commonName = supplied
[identifiers]
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
";

/// An authority, a server's pair for `127.0.0.1` and `localhost`, and a client's pair. All are P-256, and valid for so long that a
/// client whose clock is wrong has no other trouble with them than with those of a real cluster, which were made long ago.
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
        let authority = Authority::make(
            folder,
            "/CN=private authority of one test",
            &[
                "basicConstraints=critical,CA:TRUE",
                "keyUsage=critical,keyCertSign",
            ],
        );
        authority.certify(
            "server",
            "/CN=localhost",
            &[
                "basicConstraints=critical,CA:FALSE",
                // The second address is that of the tests' Kubernetes node.
                "subjectAltName=IP:127.0.0.1,IP:10.250.0.2,DNS:localhost",
                "extendedKeyUsage=serverAuth",
            ],
        );
        authority.certify(
            "client",
            "/CN=client",
            &[
                "basicConstraints=critical,CA:FALSE",
                "extendedKeyUsage=clientAuth",
            ],
        );
        Self {
            folder: folder.to_owned(),
            _temporary: None,
        }
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

    /// Makes another server's certificate and key, PEM, for a host of this name and no address.
    pub(crate) fn server_named(&self, host: &str) -> (PathBuf, PathBuf) {
        let authority = Authority {
            folder: self.folder.clone(),
        };
        authority.certify(
            host,
            &format!("/CN={host}"),
            &[
                "basicConstraints=critical,CA:FALSE",
                &format!("subjectAltName=DNS:{host}"),
                "extendedKeyUsage=serverAuth",
            ],
        );
        (
            self.path(&format!("{host}.crt")),
            self.path(&format!("{host}.key")),
        )
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

impl AsRef<Path> for Certificates {
    fn as_ref(&self) -> &Path {
        &self.folder
    }
}

/// An authority in a folder, with its key and certificate in `ca.key` and `ca.crt`.
pub(crate) struct Authority {
    folder: PathBuf,
}

impl Authority {
    /// Makes it in a folder that is there and has none.
    pub(crate) fn make(folder: &Path, subject: &str, extensions: &[&str]) -> Self {
        let made = Self {
            folder: folder.to_owned(),
        };
        fs::write(folder.join("ca.conf"), CONFIGURATION).expect("the folder is writable");
        fs::write(folder.join("index.txt"), "").expect("the folder is writable");
        made.certify("ca", subject, extensions);
        made
    }

    /// Makes a key, and has the authority certify it, as `NAME.key` and `NAME.crt`; the authority does so for itself.
    pub(crate) fn certify(&self, name: &str, subject: &str, extensions: &[&str]) {
        let (key, request) = (format!("{name}.key"), format!("{name}.csr"));
        let certificate = format!("{name}.crt");
        let extensions = extensions
            .iter()
            .flat_map(|extension| ["-addext", extension]);
        self.openssl()
            .args([
                "req",
                "-new",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:prime256v1",
            ])
            .args([
                "-nodes", "-sha256", "-subj", subject, "-keyout", &key, "-out", &request,
            ])
            .args(extensions)
            .ok();
        // `openssl req -x509` can only begin now, before OpenSSL 3.4.
        let signer: &[&str] = match name {
            "ca" => &["-selfsign"],
            _ => &["-cert", "ca.crt"],
        };
        self.openssl()
            .args([
                "ca", "-batch", "-notext", "-config", "ca.conf", "-keyfile", "ca.key",
            ])
            .args(signer)
            .args([
                "-startdate",
                BEGIN,
                "-enddate",
                END,
                "-in",
                &request,
                "-out",
                &certificate,
            ])
            .ok();
    }

    fn openssl(&self) -> Run {
        Run::new("openssl").folder(&self.folder)
    }
}
