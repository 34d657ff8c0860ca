//! Keys in Azure Key Vault.

use tekseal_signing::key_ref::AzureKey;
use tekseal_signing::{KeyAlgorithm, PublicKey, Signer};

use crate::{Context, Error};

fn unsupported() -> Error {
    Error::Unsupported {
        service: "Azure Key Vault".to_owned(),
        what: "be used yet",
    }
}

pub(crate) async fn open(_key: &AzureKey, _context: &Context) -> Result<Signer, Error> {
    Err(unsupported())
}

pub(crate) async fn public_key(_key: &AzureKey, _context: &Context) -> Result<PublicKey, Error> {
    Err(unsupported())
}

pub(crate) async fn create(
    _key: &AzureKey,
    _algorithm: KeyAlgorithm,
    _context: &Context,
) -> Result<PublicKey, Error> {
    Err(unsupported())
}

pub(crate) async fn rotate(_key: &AzureKey, _context: &Context) -> Result<PublicKey, Error> {
    Err(unsupported())
}
