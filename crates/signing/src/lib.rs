//! Makes and opens keys, signs payloads, and verifies what others signed.
//!
//! ```text
//!  cosign.key ─ Signer::from_pem ─▶ Signer ─ sign_payload(Payload) ─▶ Signed
//!  cosign.pub ─ PublicKey::from_pem ─▶ Verifier ─ (Signed) ─▶ Verified<SimpleSigning> | Verified<Statement>
//! ```
//!
//! This is the only crate in which the bytes of a private key exist, and the only way to a [`Verified`] value. It reads
//! no file, no variable, no clock and no network: programs pass the bytes in, and randomness is an argument.

pub mod cosign_key;
mod der;
mod envelope_shape;
pub mod key_ref;
pub mod pem;
mod private_key;
pub mod public_key;
pub mod random;
pub mod record;
pub mod rejection;
mod scrypt;
pub mod signer;
pub mod verifier;

pub use key_ref::KeyRef;
pub use public_key::{HashAlgorithm, KeyAlgorithm, PublicKey};
pub use record::{Unbelieved, verify_record};
pub use rejection::Rejection;
pub use signer::Signer;
pub use verifier::{Types, Verified, Verifier, same_signer};
/// Secret bytes that are wiped when dropped; passwords are passed in it.
pub use zeroize::Zeroizing;
