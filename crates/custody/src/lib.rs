//! Keys that somebody else holds: key management services, and programs that speak cosign's plugin protocol. And keys of the moment, which Fulcio certifies to
//! whoever an identity token stands for.
//!
//! ```text
//!   KmsRef ─ open ─▶ public key (asked once) ─▶ Signer ─ sign(digest) ─▶ aws │ gcp │ azure │ vault │ plugin
//!                                                 └ verifies every signature
//!   token::Source ─ Keyless ─▶ key of the moment, Fulcio's certificate of it ─▶ Signer, renewed before it ends
//! ```
//!
//! Each service is spoken to in plain REST over the one client of `tekseal-remote`; credentials are found where the service's own tools look for them inside
//! a cluster. The exception is SPIFFE, whose agent speaks gRPC at a socket of the machine. No key and no signature is kept here.

mod aws;
mod azure;
mod bearer;
mod context;
mod error;
pub mod fulcio;
mod gcp;
pub mod keyless;
mod plugin;
mod secret_file;
pub mod spiffe;
pub mod token;
mod vault;

pub use context::{Context, Settings, Variables, VaultSettings};
pub use error::Error;
pub use fulcio::Fulcio;
use jiff::Timestamp;
pub use keyless::Keyless;
use tekseal_signing::key_ref::KmsRef;
use tekseal_signing::{KeyAlgorithm, PublicKey, Signer};

/// The key to sign with. Its public half is asked for here, once; each signature is one more call.
///
/// # Errors
/// As [`Error`] says.
pub async fn open(key: &KmsRef, context: &Context) -> Result<Signer, Error> {
    match key {
        KmsRef::Aws(key) => aws::open(key, context).await,
        KmsRef::Gcp(key) => gcp::open(key, context).await,
        KmsRef::Azure(key) => azure::open(key, context).await,
        KmsRef::Vault(key) => vault::open(key, context).await,
        KmsRef::Plugin(key) => plugin::open(key, context).await,
    }
}

/// The public half of the key's current version.
///
/// # Errors
/// As [`Error`] says.
pub async fn public_key(key: &KmsRef, context: &Context) -> Result<PublicKey, Error> {
    match key {
        KmsRef::Aws(key) => aws::public_key(key, context).await,
        KmsRef::Gcp(key) => gcp::public_key(key, context).await,
        KmsRef::Azure(key) => azure::public_key(key, context).await,
        KmsRef::Vault(key) => vault::public_key(key, context).await,
        KmsRef::Plugin(key) => plugin::public_key(key, context).await,
    }
}

/// What is known of a key where it is held.
#[derive(Debug)]
pub struct Described {
    /// The public half of its current version.
    pub public: PublicKey,
    /// When that version was made; nothing where no such time is kept. Some services are asked for it by itself, and may refuse that alone.
    pub created: Result<Option<Timestamp>, Error>,
}

/// The public half of the key's current version, and how old that is. AWS, and Google Cloud where the reference names a version, are asked twice.
///
/// # Errors
/// As [`Error`] says, if the public half is not to be had.
pub async fn describe(key: &KmsRef, context: &Context) -> Result<Described, Error> {
    match key {
        KmsRef::Aws(key) => aws::describe(key, context).await,
        KmsRef::Gcp(key) => gcp::describe(key, context).await,
        KmsRef::Azure(key) => azure::describe(key, context).await,
        KmsRef::Vault(key) => vault::describe(key, context).await,
        // The protocol has no such question.
        KmsRef::Plugin(key) => Ok(Described {
            public: plugin::public_key(key, context).await?,
            created: Ok(None),
        }),
    }
}

/// Makes a key, where there is none of this name, and gives its public half.
///
/// # Errors
/// As [`Error`] says; also where there is one already.
pub async fn create(
    key: &KmsRef,
    algorithm: KeyAlgorithm,
    context: &Context,
) -> Result<PublicKey, Error> {
    match key {
        KmsRef::Aws(key) => aws::create(key, algorithm, context).await,
        KmsRef::Gcp(key) => gcp::create(key, algorithm, context).await,
        KmsRef::Azure(key) => azure::create(key, algorithm, context).await,
        KmsRef::Vault(key) => vault::create(key, algorithm, context).await,
        KmsRef::Plugin(key) => plugin::create(key, algorithm, context).await,
    }
}

/// Makes a new version of the key, with which everything is signed from then on, and gives its public half.
///
/// # Errors
/// As [`Error`] says; also where the service knows no versions of such keys.
pub async fn rotate(key: &KmsRef, context: &Context) -> Result<PublicKey, Error> {
    match key {
        KmsRef::Aws(key) => aws::rotate(key, context).await,
        KmsRef::Gcp(key) => gcp::rotate(key, context).await,
        KmsRef::Azure(key) => azure::rotate(key, context).await,
        KmsRef::Vault(key) => vault::rotate(key, context).await,
        KmsRef::Plugin(key) => plugin::rotate(key, context).await,
    }
}
