//! Keys of the transit engine of HashiCorp Vault, and of OpenBao, which speaks the same: `hashivault://` and `openbao://` mean one thing, as with cosign 3.
//!
//! ```text
//!   settings, variables ─┬▶ place   address, namespace, authorities ─┐
//!                        └▶ tokens  given, in a file, by a login ────┴▶ Vault ─▶ Transit: keys/K · sign/K · keys/K/rotate
//! ```
//!
//! The calls, the variables and their order are those of sigstore's client, `pkg/signature/kms/hashivault`, and of Vault's own, which it uses; the API is
//! <https://developer.hashicorp.com/vault/api-docs/secret/transit>. One thing is different: the version of the key is named with each signature, so that a
//! rotation between the public key and a signature changes nothing.

mod client;
mod place;
mod tokens;
mod transit;

use tekseal_signing::key_ref::VaultKey;
use tekseal_signing::remote_key::{Message, Signing};
use tekseal_signing::{KeyAlgorithm, PublicKey, RemoteKey, Signer};

use self::transit::Transit;
use crate::{Context, Described, Error};

/// What it is, for people.
const SERVICE: &str = "Vault";

/// One version of a key.
struct Held {
    transit: Transit,
    version: u64,
    algorithm: KeyAlgorithm,
}

impl RemoteKey for Held {
    fn reference(&self) -> &str {
        self.transit.reference()
    }

    fn sign<'a>(&'a self, message: Message<'a>) -> Signing<'a> {
        Box::pin(async move {
            let signature = self.transit.sign(self.version, self.algorithm, message);
            Ok(signature.await?)
        })
    }
}

/// Where the certificate of whoever answers is not looked at.
pub(crate) fn warning(context: &Context) -> Option<&'static str> {
    let is_set = place::insecure(context).is_some_and(|told| told.unwrap_or_default());
    is_set.then_some(
        "whoever answers is taken for Vault, and gets its token: TEKSEAL_INSECURE_VAULT_SKIP_VERIFY is set",
    )
}

pub(crate) async fn open(key: &VaultKey, context: &Context) -> Result<Signer, Error> {
    let transit = Transit::new(key, context)?;
    let version = transit.meant().await?;
    let held = Held {
        transit,
        version: version.number,
        algorithm: version.public.algorithm(),
    };
    Ok(Signer::remote(Box::new(held), version.public))
}

pub(crate) async fn public_key(key: &VaultKey, context: &Context) -> Result<PublicKey, Error> {
    Ok(Transit::new(key, context)?.meant().await?.public)
}

pub(crate) async fn describe(key: &VaultKey, context: &Context) -> Result<Described, Error> {
    let version = Transit::new(key, context)?.meant().await?;
    Ok(Described {
        public: version.public,
        created: Ok(version.created),
    })
}

pub(crate) async fn create(
    key: &VaultKey,
    algorithm: KeyAlgorithm,
    context: &Context,
) -> Result<PublicKey, Error> {
    Ok(Transit::new(key, context)?.create(algorithm).await?.public)
}

pub(crate) async fn rotate(key: &VaultKey, context: &Context) -> Result<PublicKey, Error> {
    Ok(Transit::new(key, context)?.rotate().await?.public)
}
