//! What a private key that is held elsewhere must offer: a signature, and nothing of the key itself.
//!
//! A key management service, a token, or another program signs. This crate knows no network: it hands over the message, waits, and believes nothing
//! of the answer: [`Signer`](crate::Signer) verifies every signature with the public key before anybody sees it.

use std::fmt;
use std::pin::Pin;
use std::time::Duration;

use tekseal_core::{Blame, Digest};

use crate::public_key::HashAlgorithm;

/// A signature in the making.
pub type Signing<'a> = Pin<Box<dyn Future<Output = Result<Vec<u8>, RemoteError>> + Send + 'a>>;

/// A private key that is held elsewhere, of which one version signs.
pub trait RemoteKey: Send + Sync {
    /// The reference by which it was opened, for messages and logs: without secrets, such as `hashivault://name`.
    fn reference(&self) -> &str;

    /// The hash that its signatures are made over; for Ed25519, which has its own, any.
    fn hash(&self) -> HashAlgorithm {
        HashAlgorithm::Sha256
    }

    /// The signature of one message: ASN.1 DER for ECDSA (RFC 3279, 2.2.3), PKCS#1 v1.5 for RSA, 64 bytes for Ed25519.
    ///
    /// # Errors
    /// As [`RemoteError`] says. What may pass has been tried again before.
    fn sign<'a>(&'a self, message: Message<'a>) -> Signing<'a>;
}

/// What is to be signed.
#[derive(Clone, Copy, Debug)]
pub enum Message<'a> {
    /// All of it.
    Whole(&'a [u8]),
    /// The SHA-256 of what is too large for memory.
    Sha256(&'a Digest),
}

impl Message<'_> {
    /// Its digest by `hash`, or nothing where only another one is known.
    #[must_use]
    pub fn digest(&self, hash: HashAlgorithm) -> Option<Vec<u8>> {
        match (self, hash) {
            (Self::Whole(bytes), hash) => Some(hash.digest(bytes)),
            (Self::Sha256(digest), HashAlgorithm::Sha256) => Some(digest.to_bytes().to_vec()),
            (Self::Sha256(_), HashAlgorithm::Sha384 | HashAlgorithm::Sha512) => None,
        }
    }
}

/// Why a key that is held elsewhere did not sign. Its text is that of its cause, and names the place.
#[derive(Debug)]
pub struct RemoteError {
    blame: Blame,
    retry_after: Option<Duration>,
    cause: Box<dyn std::error::Error + Send + Sync>,
}

impl RemoteError {
    /// An error that `blame` must act on: [`Blame::Setting`] for a refusal, a missing key or bad credentials, [`Blame::Outside`] for what may pass.
    pub fn new(blame: Blame, cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self {
            blame,
            retry_after: None,
            cause: cause.into(),
        }
    }

    /// The same, where the service said when to come back.
    #[must_use]
    pub fn after(self, retry_after: Option<Duration>) -> Self {
        Self {
            retry_after,
            ..self
        }
    }

    /// Who must act.
    #[must_use]
    pub fn blame(&self) -> Blame {
        self.blame
    }

    /// When the service wants to be asked again, if it said so.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }
}

impl fmt::Display for RemoteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.cause.fmt(f)
    }
}

impl std::error::Error for RemoteError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.cause.source()
    }
}
