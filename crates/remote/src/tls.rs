//! Builds TLS settings: which authorities are trusted, which client certificate is shown.
//!
//! Everything here happens only when the first https connection is made. A run that talks to a plain-http registry reads
//! no authority at all, and works where none is installed. System authorities are read from `SSL_CERT_FILE` and
//! every folder of `SSL_CERT_DIR`, or from where the distribution keeps them.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{self, CryptoProvider};
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

/// What a connection trusts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Trust {
    /// Nobody: for plain http, where no certificate is ever looked at.
    Nobody,
    /// The system's authorities and the ones that were given.
    Authorities,
    /// Whatever certificate comes, for registries that were named insecure.
    DangerAnybody,
}

/// Files that were given.
#[derive(Debug, Default)]
pub(crate) struct Files {
    /// PEM files and folders of them.
    pub(crate) ca: Vec<PathBuf>,
    /// Folders with `*.crt`, `*.cert` and `*.key`.
    pub(crate) cert_dirs: Vec<PathBuf>,
}

/// Why TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or folder that was named cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file is no PEM.
    #[error("{} is not PEM", path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: pem::Error,
    },
    /// A file has no certificate in it.
    #[error("{} has no certificate in it", path.display())]
    NoCertificate {
        /// The file.
        path: PathBuf,
    },
    /// A certificate that cannot be an authority.
    #[error("{} has a certificate that cannot be used as an authority", path.display())]
    Authority {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: rustls::Error,
    },
    /// Neither the system nor the settings give any authority.
    #[error(
        "no certificate authority is installed and none was given, so no https server can be trusted"
    )]
    NoAuthority,
    /// A client certificate and its key do not work together.
    #[error("client certificate {} does not work with its key", path.display())]
    ClientPair {
        /// The certificate's file.
        path: PathBuf,
        /// What is wrong.
        source: rustls::Error,
    },
    /// The crypto provider does not know the protocol versions.
    #[error("cannot set up TLS")]
    Versions(#[source] rustls::Error),
}

/// The settings for `trust`.
pub(crate) fn client_config(trust: Trust, files: &Files) -> Result<ClientConfig, Error> {
    let provider = Arc::new(crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(Error::Versions)?;
    let builder = match trust {
        Trust::Nobody => {
            return Ok(builder
                .with_root_certificates(RootCertStore::empty())
                .with_no_client_auth());
        }
        Trust::Authorities => {
            // What the system has and cannot be read is the system's business: one usable authority is enough.
            let system = rustls_native_certs::load_native_certs().certs;
            builder.with_root_certificates(authorities(system, files)?)
        }
        Trust::DangerAnybody => builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(DangerAnybody { provider })),
    };
    let Some(pair) = client_pair(&files.cert_dirs)? else {
        return Ok(builder.with_no_client_auth());
    };
    builder
        .with_client_auth_cert(pair.chain, pair.key)
        .map_err(|source| Error::ClientPair {
            path: pair.path,
            source,
        })
}

fn authorities(
    system: Vec<CertificateDer<'static>>,
    files: &Files,
) -> Result<RootCertStore, Error> {
    let mut store = RootCertStore::empty();
    store.add_parsable_certificates(system);
    for path in &files.ca {
        if path.is_dir() {
            for path in listed(path, &["pem", "crt"])? {
                add_file(&mut store, &path)?;
            }
        } else {
            add_file(&mut store, path)?;
        }
    }
    for folder in &files.cert_dirs {
        for path in listed(folder, &["crt"])? {
            add_file(&mut store, &path)?;
        }
    }
    if store.is_empty() {
        return Err(Error::NoAuthority);
    }
    Ok(store)
}

fn add_file(store: &mut RootCertStore, path: &Path) -> Result<(), Error> {
    for certificate in certificates(path)? {
        store.add(certificate).map_err(|source| Error::Authority {
            path: path.to_owned(),
            source,
        })?;
    }
    Ok(())
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let bytes = read(path)?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    let certificates = certificates.map_err(|source| Error::Pem {
        path: path.to_owned(),
        source,
    })?;
    if certificates.is_empty() {
        return Err(Error::NoCertificate {
            path: path.to_owned(),
        });
    }
    Ok(certificates)
}

struct ClientPair {
    path: PathBuf,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

/// The first `name.cert` with its `name.key`.
fn client_pair(folders: &[PathBuf]) -> Result<Option<ClientPair>, Error> {
    for folder in folders {
        if let Some(path) = listed(folder, &["cert"])?.into_iter().next() {
            let key_path = path.with_extension("key");
            let key =
                PrivateKeyDer::from_pem_slice(&read(&key_path)?).map_err(|source| Error::Pem {
                    path: key_path,
                    source,
                })?;
            return Ok(Some(ClientPair {
                chain: certificates(&path)?,
                key,
                path,
            }));
        }
    }
    Ok(None)
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    fs::read(path).map_err(|source| Error::Read {
        path: path.to_owned(),
        source,
    })
}

/// The files in `folder` with one of these extensions, ordered. Links are followed: mounted ConfigMaps consist of them.
fn listed(folder: &Path, extensions: &[&str]) -> Result<Vec<PathBuf>, Error> {
    let unreadable = |source| Error::Read {
        path: folder.to_owned(),
        source,
    };
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        let extension = path.extension().and_then(|extension| extension.to_str());
        if extension.is_some_and(|extension| extensions.contains(&extension)) && path.is_file() {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

/// Accepts every certificate, but still wants the server to own its key.
#[derive(Debug)]
struct DangerAnybody {
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for DangerAnybody {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        crypto::verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        crypto::verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn https_without_any_authority_is_an_error_and_plain_http_reads_none() {
        let none = authorities(Vec::new(), &Files::default());
        assert!(matches!(none, Err(Error::NoAuthority)));
        let absent = Files {
            ca: vec![PathBuf::from("/absent/ca.pem")],
            cert_dirs: Vec::new(),
        };
        assert!(matches!(
            authorities(Vec::new(), &absent),
            Err(Error::Read { .. })
        ));
        assert!(client_config(Trust::Nobody, &absent).is_ok());
    }

    #[test]
    fn a_given_authority_is_enough() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/ca.pem");
        let given = Files {
            ca: vec![path],
            cert_dirs: Vec::new(),
        };
        let store = authorities(Vec::new(), &given).expect("the file is an authority");
        assert_eq!(store.len(), 1);
    }
}
