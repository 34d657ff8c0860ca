//! Keys in AWS KMS.
//!
//! A key is opened by one GetPublicKey, and each signature is one Sign over a digest. The key whose public half was read is the one that signs: it is
//! named by its ARN from then on, so that an alias that is moved meanwhile changes nothing. AWS gives asymmetric keys no versions: to rotate one means
//! to make another and to move the alias.

mod client;
mod credentials;
mod endpoint;
mod key;
mod lifecycle;
mod refusal;
mod sigv4;

use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::json;
use tekseal_remote::rest::Tries;
use tekseal_signing::key_ref::AwsKey;
use tekseal_signing::remote_key::{Message, Signing};
use tekseal_signing::{HashAlgorithm, KeyAlgorithm, PublicKey, RemoteError, RemoteKey, Signer};

use self::client::{Age, Client, Operation};
use self::key::{Held, Kind};
use crate::{Context, Described, Error};

const SERVICE: &str = "AWS KMS";

pub(crate) async fn open(key: &AwsKey, context: &Context) -> Result<Signer, Error> {
    let client = Client::new(key, context).await?;
    let held = Held::read(key, &client).await?;
    let public = held.public;
    let key = Key {
        reference: key.to_string(),
        client,
        arn: held.arn,
        kind: held.kind,
    };
    Ok(Signer::remote(Box::new(key), public))
}

pub(crate) async fn public_key(key: &AwsKey, context: &Context) -> Result<PublicKey, Error> {
    let client = Client::new(key, context).await?;
    Ok(Held::read(key, &client).await?.public)
}

pub(crate) async fn describe(key: &AwsKey, context: &Context) -> Result<Described, Error> {
    let client = Client::new(key, context).await?;
    let held = Held::read(key, &client).await?;
    let created = lifecycle::created(key, &held.arn, &client).await;
    Ok(Described {
        public: held.public,
        created,
    })
}

pub(crate) async fn create(
    key: &AwsKey,
    algorithm: KeyAlgorithm,
    context: &Context,
) -> Result<PublicKey, Error> {
    lifecycle::create(key, algorithm, context).await
}

pub(crate) async fn rotate(key: &AwsKey, context: &Context) -> Result<PublicKey, Error> {
    lifecycle::rotate(key, context).await
}

/// A key that signs.
struct Key {
    reference: String,
    client: Client,
    arn: String,
    kind: &'static Kind,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SignAnswer {
    key_id: String,
    signature: String,
    signing_algorithm: String,
}

impl RemoteKey for Key {
    fn reference(&self) -> &str {
        &self.reference
    }

    fn hash(&self) -> HashAlgorithm {
        self.kind.hash
    }

    fn sign<'a>(&'a self, message: Message<'a>) -> Signing<'a> {
        Box::pin(async move { self.signature(message).await.map_err(RemoteError::from) })
    }
}

impl Key {
    async fn signature(&self, message: Message<'_>) -> Result<Vec<u8>, Error> {
        let Some(digest) = message.digest(self.kind.hash) else {
            return Err(Error::KeyKind {
                reference: self.reference.clone(),
                found: format!("of the kind {}", self.kind.spec),
                wanted: "only its SHA-256 is known of what is to be signed",
            });
        };
        let action = format!("sign with {}", self.reference);
        let body = json!({
            "KeyId": self.arn,
            "Message": STANDARD.encode(digest),
            "MessageType": "DIGEST",
            "SigningAlgorithm": self.kind.signing,
        });
        let answer = self
            .client
            .call(Operation::Sign, Age::Known, &body, &action)
            .await?;
        self.read(answer, action)
    }

    fn read(&self, answer: SignAnswer, action: String) -> Result<Vec<u8>, Error> {
        let odd = |found: &str, wanted| Error::Answer {
            service: SERVICE,
            action,
            found: found.to_owned(),
            wanted,
        };
        if !key::is_same(&self.arn, &answer.key_id) {
            return Err(odd(
                "a signature of another key",
                "one of the key that it was asked for",
            ));
        }
        if answer.signing_algorithm != self.kind.signing {
            return Err(odd(
                "a signature of another algorithm",
                "one of the algorithm that it was asked for",
            ));
        }
        STANDARD
            .decode(&answer.signature)
            .map_err(|_| odd("something else", "a signature in base64"))
    }
}

/// For what AWS refuses with status 400, which is an answer like any other to the client of HTTP, though it asks for fewer requests.
fn tries(context: &Context) -> Tries {
    let options = &context.settings.options;
    Tries::new(options.tries, options.notice)
}

/// The name of a header: those here are constants.
fn named<N: FromStr>(name: &str) -> N {
    let name = name.parse().ok();
    name.expect("it is a constant, and the name of a header")
}
