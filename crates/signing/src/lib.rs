//! Makes and opens keys, signs payloads, and verifies what others signed.
//!
//! ```text
//!  cosign.key ─ Signer::from_pem ─▶ Signer ─ sign_payload(Payload) ─▶ Signed
//!  cosign.pub ─ PublicKey::from_pem, or a KeySet ─▶ Verifier ─ (Signed) ─▶ Verified<SimpleSigning> | Verified<Statement>
//!  certificate ─ Certificate::from_der ─ verify_chain, verify_sct (Trust), IdentityRule::check ─▶ whose key it is
//!  timestamp ─ timestamp::verify (Trust) ─▶ when something existed
//!  Signed ─ Unwitnessed ─▶ what a log and a timestamp authority are asked, and whether they answered that
//!  root.json, documents of a mirror ─ tuf ─▶ which trusted root is the current one
//! ```
//!
//! This is the only crate in which the bytes of a private key exist, and the only way to a [`Verified`] value. It reads
//! no file, no variable, no clock and no network: programs pass the bytes in, randomness is an argument, and so is a key that is held elsewhere
//! ([`RemoteKey`]), for whose answer a signature waits.

pub mod asn1;
pub mod assertion;
pub mod certificate;
pub mod cosign_key;
mod curve;
mod der;
mod envelope_shape;
pub mod identity;
pub mod key_ref;
pub mod key_set;
pub mod kms_plugin;
pub mod log;
pub mod pem;
mod private_key;
pub mod public_key;
pub mod random;
pub mod record;
pub mod rejection;
pub mod remote_key;
mod scrypt;
pub mod signer;
pub mod timestamp;
pub mod trust;
pub mod tuf;
pub mod verifier;
pub mod verifying_key;
pub mod witness;

pub use certificate::Certificate;
pub use identity::IdentityRule;
pub use identity::Matcher;
pub use key_ref::KeyRef;
pub use key_set::{DatedKey, KeySet};
pub use public_key::{HashAlgorithm, KeyAlgorithm, PublicKey};
pub use record::{Unbelieved, verify_record};
pub use rejection::Rejection;
pub use remote_key::{RemoteError, RemoteKey};
pub use signer::Signer;
pub use trust::Trust;
pub use verifier::{
    Hashes, Identity, Needs, Types, UnverifiedBundle, Verified, Verifier, Voucher, same_signer,
};
pub use verifying_key::VerifyingKey;
pub use witness::Unwitnessed;
/// Secret bytes that are wiped when dropped; passwords are passed in it.
pub use zeroize::Zeroizing;
