//! A signer without a key of one's own: a key of the moment and a certificate of it, renewed before it ends.
//!
//! ```text
//!   Keyless::signer ─▶ the one that is held, while it lasts
//!                   └▶ Source ─ token ─▶ Fulcio ─ certificate ─▶ a new one
//! ```
//!
//! A certificate lives for ten minutes. What is signed with it must be seen by a log or a timestamp authority before it ends, so a signer is handed out only
//! while there is time for that: whoever keeps one for longer asks again.

use std::sync::Arc;

use tekseal_core::Blame;
use tekseal_signing::Signer;
use tokio::sync::Mutex;

use crate::Context;
use crate::fulcio::{self, Fulcio};
use crate::token::{self, Source};

/// How many seconds before its end a certificate is not handed out any more: for two tries of a log that answers late.
pub const LEAST_LEFT: i64 = 120;

/// What time it is, seconds since 1970.
pub type Clock = fn() -> i64;

/// Gives signers with a certificate, one for all callers while it lasts.
pub struct Keyless {
    source: Source,
    fulcio: Fulcio,
    context: Context,
    clock: Clock,
    held: Mutex<Option<Held>>,
}

struct Held {
    signer: Arc<Signer>,
    /// From when on it is not handed out any more.
    until: i64,
}

/// Why there is no signer. No text holds a token.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no token.
    #[error(transparent)]
    Token(#[from] token::Error),
    /// There is no certificate.
    #[error(transparent)]
    Fulcio(#[from] fulcio::Error),
}

impl Error {
    /// Who must act.
    #[must_use]
    pub fn blame(&self) -> Blame {
        match self {
            Self::Token(error) => error.blame(),
            Self::Fulcio(error) => error.blame(),
        }
    }

    /// What people can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Token(error) => error.hint(),
            Self::Fulcio(error) => error.hint(),
        }
    }
}

impl std::fmt::Debug for Keyless {
    /// Without what it holds.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Keyless by {} from {:?}", self.fulcio.url(), self.source)
    }
}

impl Keyless {
    /// Certificates of `fulcio` for tokens of `source`. `context` has the client that asks for tokens, and the variables. Nothing is asked yet.
    #[must_use]
    pub fn new(source: Source, fulcio: Fulcio, context: Context, clock: Clock) -> Self {
        Self {
            source,
            fulcio,
            context,
            clock,
            held: Mutex::new(None),
        }
    }

    /// A signer whose certificate lasts for [`LEAST_LEFT`] seconds more, or for half of its life where that is shorter. Calls side by side wait for one
    /// request. Everything of one signature, its forms in several layouts too, is to be signed with one signer.
    ///
    /// # Errors
    /// As [`Error`] says. The next call tries again.
    pub async fn signer(&self) -> Result<Arc<Signer>, Error> {
        let mut held = self.held.lock().await;
        if let Some(held) = &*held
            && (self.clock)() < held.until
        {
            return Ok(Arc::clone(&held.signer));
        }
        let token = self.source.token(&self.context, (self.clock)()).await?;
        let signer = Arc::new(self.fulcio.certify(&token, self.clock).await?);
        let until = signer.certificate().map_or(0, |certificate| {
            let (start, end) = (certificate.not_before(), certificate.not_after());
            end - LEAST_LEFT.min(end.saturating_sub(start) / 2)
        });
        *held = Some(Held {
            signer: Arc::clone(&signer),
            until,
        });
        Ok(signer)
    }

    /// Fulcio, which certifies.
    #[must_use]
    pub fn fulcio(&self) -> &Fulcio {
        &self.fulcio
    }
}
