//! Fulcio: certifies a key of the moment to whoever an identity token stands for.
//!
//! ```text
//!   IdentityToken, new key ─ POST /api/v2/signingCert ─▶ certificate, chain ─ Certificate::judge ─▶ Signer
//! ```
//!
//! Specification: <https://github.com/sigstore/fulcio/blob/main/fulcio.proto>. Nothing that Fulcio answers is believed before it was judged: a certificate
//! for somebody else, or one that no verifier accepts, signs nothing.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use tekseal_core::{Blame, certificates};
use tekseal_remote::Rest;
use tekseal_remote::rest::{Answer, Failed, Method, Request, Url, header};
use tekseal_signing::certificate::issued::{Asked, Mismatch};
use tekseal_signing::signer::{self, SignError};
use tekseal_signing::{Certificate, Signer, Trust, certificate, random};
use zeroize::Zeroizing;

use crate::Context;
use crate::error;
use crate::token::IdentityToken;

/// The most bytes of an answer: a certificate and its chain have some thousand.
const LARGEST_ANSWER: u64 = 256 * 1024;
/// Where certificates are asked for, below the address of Fulcio.
const PATH: &str = "/api/v2/signingCert";

/// Where certificates are asked for, and by what they are judged.
#[derive(Clone, Debug)]
pub struct Fulcio {
    url: Url,
    rest: Rest,
    trust: Option<Arc<Trust>>,
}

/// Why there is no certificate. No text holds a token.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address is none.
    #[error("{0:?} is no http or https URL of Fulcio")]
    Url(String),
    /// The key of the moment could not be made.
    #[error("cannot make a key to be certified")]
    Key(#[source] Box<signer::Error>),
    /// It could not sign.
    #[error("cannot prove that the key is ours")]
    Proof(#[source] Box<SignError>),
    /// The token cannot stand in a request.
    #[error("the identity token has characters that no request can have")]
    Token,
    /// No complete answer came.
    #[error("cannot ask {url} for a certificate")]
    Request {
        /// Where Fulcio is.
        url: String,
        /// Why.
        source: Box<Failed>,
    },
    /// Fulcio says no.
    #[error("Fulcio at {url} gives no certificate: status {status}{detail}")]
    Refused {
        /// Where it is.
        url: String,
        /// The status of HTTP.
        status: u16,
        /// What it says, after a colon.
        detail: String,
    },
    /// Fulcio answers something else.
    #[error("Fulcio at {url} answered with {found}")]
    Answer {
        /// Where it is.
        url: String,
        /// What came.
        found: &'static str,
    },
    /// The certificates are no PEM.
    #[error("Fulcio at {url} answered with certificates that cannot be read")]
    Pem {
        /// Where it is.
        url: String,
        /// Why not.
        source: certificates::Error,
    },
    /// The certificate is damaged.
    #[error("Fulcio at {url} answered with a certificate that cannot be used")]
    Certificate {
        /// Where it is.
        url: String,
        /// Why not.
        source: certificate::Error,
    },
    /// The certificate is not what was asked for.
    #[error("Fulcio at {url} answered with a certificate that is not ours to use")]
    Mismatch {
        /// Where it is.
        url: String,
        /// Why not.
        source: Mismatch,
    },
}

impl Error {
    /// Who must act.
    #[must_use]
    pub fn blame(&self) -> Blame {
        match self {
            Self::Url(_) | Self::Token => Blame::Setting,
            Self::Request { source, .. } => error::blame_of_request(source),
            Self::Refused { status, .. } => error::blame_of_status(*status),
            // The trusted root is of another Fulcio.
            Self::Mismatch {
                source: Mismatch::Untrusted(_),
                ..
            } => Blame::Setting,
            Self::Key(_)
            | Self::Proof(_)
            | Self::Answer { .. }
            | Self::Pem { .. }
            | Self::Certificate { .. }
            | Self::Mismatch { .. } => Blame::Outside,
        }
    }

    /// What people can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Url(_) => "write it like https://fulcio.example",
            Self::Request { source, .. } => return source.hint(),
            Self::Refused {
                status: 400 | 401 | 403,
                ..
            } => {
                "Fulcio must know the issuer of the token, and reach it: the issuer of a cluster is often reachable from inside alone"
            }
            Self::Refused { status: 404, .. } => {
                "check the URL: a Fulcio with the second version of its API is wanted there"
            }
            Self::Mismatch {
                source: Mismatch::Untrusted(_),
                ..
            } => {
                "the trusted root must have the authority and the log of certificates of this very Fulcio: `cosign trusted-root create` makes one"
            }
            Self::Mismatch {
                source: Mismatch::Time { .. },
                ..
            } => "the clock of this machine may be wrong, or that of Fulcio",
            Self::Key(_)
            | Self::Proof(_)
            | Self::Token
            | Self::Refused { .. }
            | Self::Answer { .. }
            | Self::Pem { .. }
            | Self::Certificate { .. }
            | Self::Mismatch { .. } => return None,
        };
        Some(hint.to_owned())
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Asking<'a> {
    public_key_request: PublicKeyRequest<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PublicKeyRequest<'a> {
    public_key: PublicKeyText<'a>,
    proof_of_possession: String,
}

#[derive(Serialize)]
struct PublicKeyText<'a> {
    algorithm: &'static str,
    content: &'a str,
}

/// One of both is there.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Given {
    signed_certificate_embedded_sct: Option<Chained>,
    signed_certificate_detached_sct: Option<Detached>,
}

#[derive(Deserialize)]
struct Chained {
    chain: Chain,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Detached {
    chain: Chain,
    #[serde(default)]
    signed_certificate_timestamp: String,
}

#[derive(Deserialize)]
struct Chain {
    certificates: Vec<String>,
}

/// What gateways of gRPC say.
#[derive(Deserialize)]
struct Refusal {
    message: String,
}

impl Fulcio {
    /// The Fulcio at `url`, asked by the client of `context`. Certificates are judged by `trust`, where there is one. Nothing is sent yet.
    ///
    /// # Errors
    /// If the address is none.
    pub fn new(url: &str, context: &Context, trust: Option<Arc<Trust>>) -> Result<Self, Error> {
        let none = || Error::Url(url.chars().take(200).collect());
        let parsed = Url::parse(url).map_err(|_| none())?;
        if !matches!(parsed.scheme(), "http" | "https")
            || parsed.query().is_some()
            || parsed.fragment().is_some()
            || !parsed.username().is_empty()
            || parsed.password().is_some()
        {
            return Err(none());
        }
        context.tell_if_plain("the identity token", &parsed);
        let url = format!("{}{PATH}", parsed.as_str().trim_end_matches('/'));
        Ok(Self {
            url: Url::parse(&url).map_err(|_| none())?,
            rest: context.rest.clone(),
            trust,
        })
    }

    /// Where it is.
    #[must_use]
    pub fn url(&self) -> &str {
        self.url.as_str().trim_end_matches(PATH)
    }

    /// Whether there is something by which certificates are judged.
    #[must_use]
    pub fn has_trust(&self) -> bool {
        self.trust.is_some()
    }

    /// A new key with a certificate for whom the token stands; `clock` is asked again when the certificate is here.
    ///
    /// # Errors
    /// As [`Error`] says. Nothing was signed but what proves that the key is ours.
    pub async fn certify(
        &self,
        token: &IdentityToken,
        clock: fn() -> i64,
    ) -> Result<Signer, Error> {
        let key = Signer::generate(&mut random::system).map_err(|e| Error::Key(Box::new(e)))?;
        let proof = key.sign(token.subject().as_bytes()).await;
        let proof = proof.map_err(|e| Error::Proof(Box::new(e)))?;
        let answer = self.ask(&key, &proof, token).await?;
        let (certificate, chain) = self.read(&answer.body)?;
        let asked = Asked {
            key: key.public_key(),
            names: token.names(),
            subject: token.subject_of_template(),
            issuers: token.issuers(),
            now: clock(),
        };
        let judged = certificate.judge(&chain, &asked, self.trust.as_deref());
        judged.map_err(|source| self.mismatch(source))?;
        key.certified(certificate, &chain)
            .map_err(|signer::OtherKey| self.mismatch(Mismatch::Key))
    }

    async fn ask(
        &self,
        key: &Signer,
        proof: &[u8],
        token: &IdentityToken,
    ) -> Result<Answer, Error> {
        let asking = Asking {
            public_key_request: PublicKeyRequest {
                public_key: PublicKeyText {
                    algorithm: "ECDSA",
                    content: &key.public_key().to_pem(),
                },
                proof_of_possession: STANDARD.encode(proof),
            },
        };
        let body = serde_json::to_vec(&asking).expect("texts are JSON");
        let bearer = Zeroizing::new(format!("Bearer {}", **token.secret()));
        let request = Request::new(Method::POST, self.url.clone(), LARGEST_ANSWER)
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::ACCEPT, "application/json")
            .secret_header(header::AUTHORIZATION, bearer.as_bytes())
            .map_err(|_| Error::Token)?
            .body(body);
        let answer = self.rest.send(&request).await;
        let answer = answer.map_err(|source| Error::Request {
            url: self.url().to_owned(),
            source: Box::new(source),
        })?;
        if answer.is_success() {
            return Ok(answer);
        }
        let text = match serde_json::from_slice::<Refusal>(&answer.body) {
            Ok(refusal) => refusal.message,
            Err(_) => String::from_utf8_lossy(&answer.body).into_owned(),
        };
        let told = answer.told(&text);
        Err(Error::Refused {
            url: self.url().to_owned(),
            status: answer.status,
            detail: match told.is_empty() {
                true => told,
                false => format!(": {told}"),
            },
        })
    }

    /// The certificate and those above it (DER). Nothing of them is judged yet.
    fn read(&self, body: &[u8]) -> Result<(Certificate, Vec<Vec<u8>>), Error> {
        let other = |found| Error::Answer {
            url: self.url().to_owned(),
            found,
        };
        let given: Given = serde_json::from_slice(body)
            .map_err(|_| other("something that is no JSON with certificates"))?;
        let chain = match (
            given.signed_certificate_embedded_sct,
            given.signed_certificate_detached_sct,
        ) {
            (Some(embedded), None) => embedded.chain,
            // Without a log of certificates this member is used too, and has nothing.
            (None, Some(detached)) if detached.signed_certificate_timestamp.is_empty() => {
                detached.chain
            }
            (None, Some(_)) => {
                return Err(other(
                    "a certificate whose promise of a log (SCT) is beside it: neither a layer nor a bundle has room for that",
                ));
            }
            (None, None) => return Err(other("no certificate")),
            (Some(_), Some(_)) => return Err(other("two certificates")),
        };
        if chain.certificates.len() > certificates::MOST_CERTIFICATES {
            return Err(other("more certificates than any chain has"));
        }
        let mut ders = Vec::with_capacity(chain.certificates.len());
        for text in &chain.certificates {
            let found = certificates::of_pem(text).map_err(|source| Error::Pem {
                url: self.url().to_owned(),
                source,
            })?;
            let [der] = <[_; 1]>::try_from(found)
                .map_err(|_| other("several certificates in the place of one"))?;
            ders.push(der);
        }
        let mut ders = ders.into_iter();
        let leaf = ders.next().ok_or_else(|| other("no certificate"))?;
        let certificate = Certificate::from_der(&leaf).map_err(|source| Error::Certificate {
            url: self.url().to_owned(),
            source,
        })?;
        Ok((certificate, ders.collect()))
    }

    fn mismatch(&self, source: Mismatch) -> Error {
        Error::Mismatch {
            url: self.url().to_owned(),
            source,
        }
    }
}
