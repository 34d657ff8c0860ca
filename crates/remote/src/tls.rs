//! Builds TLS settings: which authorities are trusted, which client certificate is shown.
//!
//! Everything here happens only when the first https connection is made. A run that talks to a plain-http registry reads
//! no authority at all, and works where none is installed. System authorities are read from `SSL_CERT_FILE` and
//! every folder of `SSL_CERT_DIR`, or from where the distribution keeps them.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
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
    /// What is in no file.
    pub(crate) authorities: Authorities,
    /// For whom servers must have their certificate.
    pub(crate) certificate: Certificate,
}

/// Certificate authorities that are in no file.
#[derive(Clone, Debug, Default)]
pub struct Authorities(Vec<CertificateDer<'static>>);

/// For whom the certificate of a server must be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Certificate {
    /// For the host of its URL.
    #[default]
    OfUrl,
    /// For this one, wherever it is.
    Of(ServerName<'static>),
    /// For anybody, by anybody: who answers is not known.
    DangerAnybody,
}

impl Authorities {
    /// Those of a text in PEM.
    ///
    /// # Errors
    /// Why it has none that can be used, in words.
    pub fn from_pem(text: &[u8]) -> Result<Self, &'static str> {
        let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text).collect();
        let certificates = certificates.map_err(|_| "it is no PEM")?;
        if certificates.is_empty() {
            return Err("it has no certificate in it");
        }
        let mut store = RootCertStore::empty();
        let (_, refused) = store.add_parsable_certificates(certificates.iter().cloned());
        match refused {
            0 => Ok(Self(certificates)),
            _ => Err("it has a certificate that cannot be used as an authority"),
        }
    }
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
    let trust = match (trust, &files.certificate) {
        (Trust::Authorities, Certificate::DangerAnybody) => Trust::DangerAnybody,
        (trust, _) => trust,
    };
    let builder = match trust {
        Trust::Nobody => {
            return Ok(builder
                .with_root_certificates(RootCertStore::empty())
                .with_no_client_auth());
        }
        Trust::Authorities => {
            // What the system has and cannot be read is the system's business: one usable authority is enough.
            let system = rustls_native_certs::load_native_certs().certs;
            let store = authorities(system, files)?;
            match &files.certificate {
                Certificate::Of(name) => builder
                    .dangerous()
                    .with_custom_certificate_verifier(Arc::new(Named::new(name, store, provider))),
                Certificate::OfUrl | Certificate::DangerAnybody => {
                    builder.with_root_certificates(store)
                }
            }
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
    store.add_parsable_certificates(files.authorities.0.iter().cloned());
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

/// Verifies as always, but for another name than that of the URL.
#[derive(Debug)]
struct Named {
    name: ServerName<'static>,
    inner: Arc<WebPkiServerVerifier>,
}

impl Named {
    fn new(
        name: &ServerName<'static>,
        store: RootCertStore,
        provider: Arc<CryptoProvider>,
    ) -> Self {
        let inner = WebPkiServerVerifier::builder_with_provider(Arc::new(store), provider).build();
        Self {
            name: name.clone(),
            inner: inner.expect("there is an authority, and no list of revoked certificates"),
        }
    }
}

impl ServerCertVerifier for Named {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.inner
            .verify_server_cert(end_entity, intermediates, &self.name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner
            .verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner
            .verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
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
            ..Files::default()
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
            ca: vec![path.clone()],
            ..Files::default()
        };
        let store = authorities(Vec::new(), &given).expect("the file is an authority");
        assert_eq!(store.len(), 1);
        let text = fs::read(path).expect("it is there");
        let given = Files {
            authorities: Authorities::from_pem(&text).expect("the text is one too"),
            ..Files::default()
        };
        let store = authorities(Vec::new(), &given).expect("the text is an authority");
        assert_eq!(store.len(), 1);
    }

    #[test]
    fn a_text_without_a_usable_authority_is_refused() {
        let broken = b"-----BEGIN CERTIFICATE-----\n";
        let other = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        for (text, wanted) in [
            (&b""[..], "it has no certificate in it"),
            (b"no PEM at all", "it has no certificate in it"),
            (broken, "it is no PEM"),
            (
                other,
                "it has a certificate that cannot be used as an authority",
            ),
        ] {
            let said = Authorities::from_pem(text).map(|_| ());
            assert_eq!(said, Err(wanted));
        }
    }
}
