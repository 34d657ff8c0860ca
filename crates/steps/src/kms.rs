//! Keys that a service or a plugin holds, for the programs: see `tekseal-custody`.

use tekseal_custody::{Context, Settings};
use tekseal_remote::rest::Options;
use tekseal_signing::key_ref::KmsRef;
use tekseal_signing::{PublicKey, Signer};

use crate::registry_args::told_to_wait;
use crate::{Failure, log};

/// How the services are asked, which tells people when they are waited for.
pub(crate) fn context() -> Context {
    Context::new(Settings {
        options: Options {
            notice: told_to_wait,
            ..Options::default()
        },
        plugin_notice: Some(|program, text| {
            log::info("the plugin says", &[("program", &program), ("text", &text)]);
        }),
        ..Settings::default()
    })
}

/// The key to sign with.
pub(crate) async fn open(key: &KmsRef) -> Result<Signer, Failure> {
    let signer = tekseal_custody::open(key, &context()).await;
    signer.map_err(|error| Failure::from(error).context(format!("opening the key {key}")))
}

/// Its public half.
pub(crate) async fn public_key(key: &KmsRef) -> Result<PublicKey, Failure> {
    let public = tekseal_custody::public_key(key, &context()).await;
    public.map_err(|error| Failure::from(error).context(format!("asking for the public key {key}")))
}

impl From<tekseal_custody::Error> for Failure {
    fn from(error: tekseal_custody::Error) -> Self {
        let hint = error.hint();
        let failure = Self::blamed(error.blame(), error);
        match hint {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }
}
