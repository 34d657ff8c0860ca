//! Keys in Vault.

use tekseal_signing::key_ref::VaultKey;
use tekseal_signing::{KeyAlgorithm, PublicKey, Signer};

use crate::{Context, Error};

fn unsupported() -> Error {
    Error::Unsupported {
        service: "Vault".to_owned(),
        what: "be used yet",
    }
}

pub(crate) async fn open(_key: &VaultKey, _context: &Context) -> Result<Signer, Error> {
    Err(unsupported())
}

pub(crate) async fn public_key(_key: &VaultKey, _context: &Context) -> Result<PublicKey, Error> {
    Err(unsupported())
}

pub(crate) async fn create(
    _key: &VaultKey,
    _algorithm: KeyAlgorithm,
    _context: &Context,
) -> Result<PublicKey, Error> {
    Err(unsupported())
}

pub(crate) async fn rotate(_key: &VaultKey, _context: &Context) -> Result<PublicKey, Error> {
    Err(unsupported())
}
