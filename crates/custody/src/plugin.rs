//! Keys in KMS plugins.

use tekseal_signing::key_ref::PluginKey;
use tekseal_signing::{KeyAlgorithm, PublicKey, Signer};

use crate::{Context, Error};

fn unsupported() -> Error {
    Error::Unsupported {
        service: "KMS plugins".to_owned(),
        what: "be used yet",
    }
}

pub(crate) async fn open(_key: &PluginKey, _context: &Context) -> Result<Signer, Error> {
    Err(unsupported())
}

pub(crate) async fn public_key(_key: &PluginKey, _context: &Context) -> Result<PublicKey, Error> {
    Err(unsupported())
}

pub(crate) async fn create(
    _key: &PluginKey,
    _algorithm: KeyAlgorithm,
    _context: &Context,
) -> Result<PublicKey, Error> {
    Err(unsupported())
}

pub(crate) async fn rotate(_key: &PluginKey, _context: &Context) -> Result<PublicKey, Error> {
    Err(unsupported())
}
