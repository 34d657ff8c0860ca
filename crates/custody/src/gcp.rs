//! Keys in Google Cloud KMS.

use tekseal_signing::key_ref::GcpKey;
use tekseal_signing::{KeyAlgorithm, PublicKey, Signer};

use crate::{Context, Error};

fn unsupported() -> Error {
    Error::Unsupported {
        service: "Google Cloud KMS".to_owned(),
        what: "be used yet",
    }
}

pub(crate) async fn open(_key: &GcpKey, _context: &Context) -> Result<Signer, Error> {
    Err(unsupported())
}

pub(crate) async fn public_key(_key: &GcpKey, _context: &Context) -> Result<PublicKey, Error> {
    Err(unsupported())
}

pub(crate) async fn create(
    _key: &GcpKey,
    _algorithm: KeyAlgorithm,
    _context: &Context,
) -> Result<PublicKey, Error> {
    Err(unsupported())
}

pub(crate) async fn rotate(_key: &GcpKey, _context: &Context) -> Result<PublicKey, Error> {
    Err(unsupported())
}
