//! Builds TLS settings for an API server: whom to believe that it is the one, and who to be there.

use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{self, CryptoProvider};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

use crate::way::{self, Identity, Trust, WayError, certificates_of};

/// How long authorities of a file are used before it is read again: those of a Pod change as its token does.
const FRESH: Duration = Duration::from_secs(60);

/// Why TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsError {
    #[error("cannot set up TLS")]
    Versions(#[source] rustls::Error),
    #[error("an authority of the API server is none")]
    Authority(#[source] rustls::Error),
    #[error("the kubeconfig names no authority of the API server, and the system has none")]
    NoAuthority,
    #[error("the authorities of the API server cannot be used")]
    Verifier(#[source] rustls::client::VerifierBuilderError),
    #[error("the client certificate does not work with its key")]
    Identity(#[source] rustls::Error),
    #[error("the authorities of the API server cannot be read")]
    File(#[source] WayError),
}

/// The settings; for plain http nobody is looked for whom to believe.
pub(crate) fn config(
    is_https: bool,
    trust: Trust,
    identity: Option<Identity>,
) -> Result<ClientConfig, TlsError> {
    let provider = Arc::new(crypto::ring::default_provider());
    let trust = match (is_https, trust) {
        (false, _) => Believed::Authorities(RootCertStore::empty()),
        (true, Trust::System) => {
            let mut store = RootCertStore::empty();
            // What the system has and cannot be read is the system's business: one usable authority is enough.
            store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            if store.is_empty() {
                return Err(TlsError::NoAuthority);
            }
            Believed::Authorities(store)
        }
        (true, Trust::Authorities(found)) => Believed::Authorities(store(found)?),
        (true, Trust::File(path)) => Believed::By(Verifier::of_file(path, &provider)?),
        (true, Trust::DangerAnybody) => Believed::By(Verifier::danger_anybody(&provider)),
    };
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Versions)?;
    let builder = match trust {
        Believed::Authorities(store) => builder.with_root_certificates(store),
        Believed::By(verifier) => builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier)),
    };
    match identity {
        Some(Identity { chain, key }) => builder
            .with_client_auth_cert(chain, key)
            .map_err(TlsError::Identity),
        None => Ok(builder.with_no_client_auth()),
    }
}

enum Believed {
    Authorities(RootCertStore),
    By(Verifier),
}

fn store(found: Vec<CertificateDer<'static>>) -> Result<RootCertStore, TlsError> {
    let mut store = RootCertStore::empty();
    for certificate in found {
        store.add(certificate).map_err(TlsError::Authority)?;
    }
    Ok(store)
}

/// Believes whom a file says at the moment, or everybody; of either it wants that they have the key of their certificate.
#[derive(Debug)]
struct Verifier {
    provider: Arc<CryptoProvider>,
    believed: Option<OfFile>,
}

#[derive(Debug)]
struct OfFile {
    path: PathBuf,
    /// What it had, and when that was.
    last: RwLock<(Arc<WebPkiServerVerifier>, Instant)>,
}

impl Verifier {
    fn danger_anybody(provider: &Arc<CryptoProvider>) -> Self {
        Self {
            provider: Arc::clone(provider),
            believed: None,
        }
    }

    fn of_file(path: PathBuf, provider: &Arc<CryptoProvider>) -> Result<Self, TlsError> {
        let first = read(&path, provider)?;
        Ok(Self {
            provider: Arc::clone(provider),
            believed: Some(OfFile {
                path,
                last: RwLock::new((first, Instant::now())),
            }),
        })
    }
}

fn read(
    path: &std::path::Path,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<WebPkiServerVerifier>, TlsError> {
    let pem = way::read(path).map_err(TlsError::File)?;
    let found = certificates_of("ca.crt", pem.as_bytes()).map_err(TlsError::File)?;
    let store = Arc::new(store(found)?);
    WebPkiServerVerifier::builder_with_provider(store, Arc::clone(provider))
        .build()
        .map_err(TlsError::Verifier)
}

impl OfFile {
    /// Who is believed now. A file that cannot be read changes nothing.
    fn now(&self, provider: &Arc<CryptoProvider>) -> Arc<WebPkiServerVerifier> {
        {
            let last = self.last.read().unwrap_or_else(PoisonError::into_inner);
            if last.1.elapsed() < FRESH {
                return Arc::clone(&last.0);
            }
        }
        let mut last = self.last.write().unwrap_or_else(PoisonError::into_inner);
        if last.1.elapsed() >= FRESH {
            if let Ok(found) = read(&self.path, provider) {
                last.0 = found;
            }
            last.1 = Instant::now();
        }
        Arc::clone(&last.0)
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        match &self.believed {
            Some(file) => file.now(&self.provider).verify_server_cert(
                end_entity,
                intermediates,
                server_name,
                ocsp_response,
                now,
            ),
            None => Ok(ServerCertVerified::assertion()),
        }
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
