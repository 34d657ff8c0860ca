//! Why a token did not do what it was asked. The text is the answer to the caller; no text holds a PIN.

use std::path::PathBuf;

use cryptoki::error::{Error as Module, RvError};
use tekseal_signing::{kms_plugin, public_key};

/// What can go wrong.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("version {0:?} of the plugin protocol is not known, only v1 is")]
    Version(String),
    #[error("{0}")]
    Call(#[from] kms_plugin::Error),
    #[error("cannot read the message")]
    Message(#[source] std::io::Error),
    #[error("the message is larger than {0} bytes")]
    TooLarge(u64),
    #[error("the PKCS#11 URI is not usable: {0}")]
    Uri(String),
    #[error(
        "no PKCS#11 module: set module-path in the URI or COSIGN_PKCS11_MODULE_PATH to the absolute path of one"
    )]
    NoModule,
    #[error("the PKCS#11 module {} cannot be loaded: {reason}", path.display())]
    Load { path: PathBuf, reason: String },
    #[error("no token {wanted}; there {found}")]
    NoToken { wanted: String, found: String },
    #[error("{count} tokens {wanted}; say which with serial or slot-id")]
    Tokens { wanted: String, count: usize },
    #[error("the token holds no {half} key {wanted}{hint}")]
    NoKey {
        half: &'static str,
        wanted: String,
        hint: &'static str,
    },
    #[error("the token holds {count} {half} keys {wanted}; say which with id and object")]
    Keys {
        half: &'static str,
        wanted: String,
        count: usize,
    },
    #[error("the token has a key {0} already")]
    Exists(String),
    #[error("the token wants a PIN: set COSIGN_PKCS11_PIN, or pin-source=file:/PATH in the URI")]
    NoPin,
    #[error("cannot read the PIN file {}", path.display())]
    PinFile {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("the token did not accept the PIN: {0}")]
    Pin(&'static str),
    #[error("the token wants its PIN for each signature of this key, which is not supported")]
    AlwaysAuthenticate,
    #[error("the key is of a kind that is not supported: {0}")]
    Kind(String),
    #[error("the public key that the token gives is not usable: {0}")]
    PublicKey(#[from] public_key::Error),
    #[error("the token cannot make {0} keys, or not of this size")]
    Algorithm(String),
    #[error("keys in tokens have no versions, and version {0:?} was asked for")]
    KeyVersion(String),
    #[error(
        "hash {0} of the plugin protocol is not supported, only SHA-256, SHA-384 and SHA-512 are"
    )]
    Hash(u64),
    #[error("the digest has {found} bytes, which is none of {hash}")]
    Digest { found: usize, hash: String },
    #[error("Ed25519 keys in tokens sign messages, not digests, and only a digest was given")]
    WholeOnly,
    #[error("only a digest was given; to verify, the message is needed")]
    Unverifiable,
    #[error("the signature is not one of the key over the message")]
    Invalid,
    #[error("the token gave something else than a signature of the key")]
    Signature,
    #[error("{action} failed: {reason}")]
    Token {
        action: &'static str,
        reason: String,
    },
}

impl Error {
    /// What the module says of a call.
    pub(crate) fn of_module(action: &'static str, error: &Module) -> Self {
        match error {
            Module::Pkcs11(RvError::PinIncorrect, _) => Self::Pin("it is another one"),
            Module::Pkcs11(RvError::PinLocked, _) => {
                Self::Pin("it is locked after too many wrong ones")
            }
            Module::Pkcs11(RvError::PinExpired, _) => Self::Pin("it has expired"),
            Module::Pkcs11(RvError::PinLenRange, _) => Self::Pin("it is too short or too long"),
            // The names of PKCS#11, without its paragraphs.
            Module::Pkcs11(error, function) => Self::Token {
                action,
                reason: format!("{function:?} says {error:?}"),
            },
            other => Self::Token {
                action,
                reason: other.to_string(),
            },
        }
    }
}
