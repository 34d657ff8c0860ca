//! Keys in AWS KMS.

use tekseal_signing::key_ref::AwsKey;
use tekseal_signing::{KeyAlgorithm, PublicKey, Signer};

use crate::{Context, Error};

fn unsupported() -> Error {
    Error::Unsupported {
        service: "AWS KMS".to_owned(),
        what: "be used yet",
    }
}

pub(crate) async fn open(_key: &AwsKey, _context: &Context) -> Result<Signer, Error> {
    Err(unsupported())
}

pub(crate) async fn public_key(_key: &AwsKey, _context: &Context) -> Result<PublicKey, Error> {
    Err(unsupported())
}

pub(crate) async fn create(
    _key: &AwsKey,
    _algorithm: KeyAlgorithm,
    _context: &Context,
) -> Result<PublicKey, Error> {
    Err(unsupported())
}

pub(crate) async fn rotate(_key: &AwsKey, _context: &Context) -> Result<PublicKey, Error> {
    Err(unsupported())
}
