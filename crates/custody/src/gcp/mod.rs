//! Keys in Google Cloud KMS.
//!
//! ```text
//!   gcpkms://… ─ version of the reference, else the newest enabled one ─▶ pinned ─ getPublicKey ─▶ Key ─ asymmetricSign(digest, CRC-32C) ─▶ signature
//! ```
//!
//! The version is chosen once, when a key is opened: a rotation meanwhile changes nothing for a signer that is open. Every checksum and every name that
//! the service answers is checked; that the signature is one of the key is for [`Signer`] to see.

mod algorithm;
mod crc32c;
mod credentials;
mod service;
mod token;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::{Value, json};
use tekseal_core::excerpt::Excerpt;
use tekseal_signing::key_ref::GcpKey;
use tekseal_signing::remote_key::{Message, Signing};
use tekseal_signing::{HashAlgorithm, KeyAlgorithm, PublicKey, RemoteKey, Signer};

use self::algorithm::{Algorithm, MAKES, WANTED};
use self::crc32c::crc32c;
use self::service::{Call, Need, Public, SERVICE, Service, Signature, Version, answered};
use crate::bearer::Number;
use crate::{Context, Described, Error};

/// How often a damaged answer is asked for again: what Google says («a limited number of retries»).
const TRIES: u32 = 3;
/// What asymmetricSign takes where it takes messages.
const LONGEST_DATA: usize = 64 * 1024;

/// One version of a key, which signs.
struct Key {
    reference: String,
    /// The resource name of the version.
    name: String,
    algorithm: &'static Algorithm,
    service: Service,
}

pub(crate) async fn open(key: &GcpKey, context: &Context) -> Result<Signer, Error> {
    let service = Service::new(context)?;
    let current = current(key, &service).await?;
    let key = Key {
        reference: key.to_string(),
        name: current.name,
        algorithm: current.algorithm,
        service,
    };
    Ok(Signer::remote(Box::new(key), current.public))
}

pub(crate) async fn public_key(key: &GcpKey, context: &Context) -> Result<PublicKey, Error> {
    Ok(current(key, &Service::new(context)?).await?.public)
}

pub(crate) async fn describe(key: &GcpKey, context: &Context) -> Result<Described, Error> {
    let service = Service::new(context)?;
    let current = current(key, &service).await?;
    let created = match current.created {
        Some(told) => Ok(Some(told)),
        None => service.created(key, &current.name).await,
    };
    Ok(Described {
        public: current.public,
        created,
    })
}

pub(crate) async fn create(
    key: &GcpKey,
    algorithm: KeyAlgorithm,
    context: &Context,
) -> Result<PublicKey, Error> {
    let Some(made) = Algorithm::making(algorithm) else {
        return Err(Error::Algorithm {
            service: SERVICE,
            algorithm,
            makes: MAKES,
        });
    };
    no_version(key)?;
    let service = Service::new(context)?;
    let call = Call {
        need: Need::Make,
        action: format!("make {key}"),
        path: format!("{}/{}/cryptoKeys", service::rings(key), key.key_ring),
        query: vec![("cryptoKeyId", key.key.clone())],
        body: Some(json!({
            "purpose": "ASYMMETRIC_SIGN",
            "versionTemplate": {"algorithm": made.name},
        })),
    };
    let mut answer = service.ask::<Value>(&call).await;
    if let Err(Error::Refused { status: 404, .. }) = answer {
        service.make_ring(key).await?;
        answer = service.ask(&call).await;
    }
    match answer {
        Ok(_) => {}
        Err(Error::Refused { status: 409, .. }) => {
            return Err(Error::Setting {
                name: key.to_string(),
                reason: "there is a key of this name already: use it, or rotate it".to_owned(),
            });
        }
        Err(error) => return Err(error),
    }
    let first = format!("{}/cryptoKeyVersions/1", key.resource());
    service.until_enabled(&first).await?;
    let (_, public) = public_of(&key.to_string(), &first, &service).await?;
    Ok(public)
}

pub(crate) async fn rotate(key: &GcpKey, context: &Context) -> Result<PublicKey, Error> {
    no_version(key)?;
    let service = Service::new(context)?;
    let call = Call {
        need: Need::Make,
        action: format!("make a new version of {key}"),
        path: format!("{}/cryptoKeyVersions", key.resource()),
        query: Vec::new(),
        body: Some(json!({})),
    };
    let made: Version = service.ask(&call).await?;
    if service::number_of(key, &made.name).is_none() {
        let found = Excerpt::of(&made.name).to_string();
        return Err(answered(&call.action, found, "a version of this key"));
    }
    service.until_enabled(&made.name).await?;
    let (_, public) = public_of(&key.to_string(), &made.name, &service).await?;
    Ok(public)
}

/// A key is made, and rotated, without a version.
fn no_version(key: &GcpKey) -> Result<(), Error> {
    match &key.version {
        None => Ok(()),
        Some(_) => Err(Error::Setting {
            name: key.to_string(),
            reason: "it names a version, which the service gives; leave it out".to_owned(),
        }),
    }
}

/// The version that signs.
struct Current {
    name: String,
    algorithm: &'static Algorithm,
    public: PublicKey,
    /// When it was made, where that was told by the way.
    created: Option<Timestamp>,
}

async fn current(key: &GcpKey, service: &Service) -> Result<Current, Error> {
    let (name, created) = match &key.version {
        Some(version) => (
            format!("{}/cryptoKeyVersions/{version}", key.resource()),
            None,
        ),
        None => {
            let newest = service.newest(key).await?;
            // The service gives no public half of those, and says so in other words.
            known(&key.to_string(), &newest.algorithm)?;
            let created = newest.created();
            (newest.name, created)
        }
    };
    let (algorithm, public) = public_of(&key.to_string(), &name, service).await?;
    Ok(Current {
        name,
        algorithm,
        public,
        created,
    })
}

fn known(reference: &str, algorithm: &str) -> Result<&'static Algorithm, Error> {
    Algorithm::named(algorithm).ok_or_else(|| Error::KeyKind {
        reference: reference.to_owned(),
        found: match algorithm {
            "" => "of no algorithm that the service tells".to_owned(),
            name => format!("one of {}", Excerpt::of(name)),
        },
        wanted: WANTED,
    })
}

/// How a version signs, and its public half.
async fn public_of(
    reference: &str,
    name: &str,
    service: &Service,
) -> Result<(&'static Algorithm, PublicKey), Error> {
    let call = Call {
        need: Need::PublicKey,
        action: format!("give the public key of {reference}"),
        path: format!("{name}/publicKey"),
        query: Vec::new(),
        body: None,
    };
    let mut tries = 1;
    let public: Public = loop {
        let public: Public = service.ask(&call).await?;
        if is_sum(public.pem_crc32c.as_ref(), public.pem.as_bytes()) || tries == TRIES {
            break public;
        }
        tries += 1;
    };
    let algorithm = known(reference, &public.algorithm)?;
    is_name(&call.action, &public.name, name)?;
    if !is_sum(public.pem_crc32c.as_ref(), public.pem.as_bytes()) {
        return Err(damaged(&call.action));
    }
    let key = PublicKey::from_pem(public.pem.as_bytes()).map_err(|source| Error::PublicKey {
        service: SERVICE,
        reference: reference.to_owned(),
        source,
    })?;
    if key.algorithm() != algorithm.key {
        let found = format!("an {} key for {}", key.algorithm(), algorithm.name);
        return Err(answered(&call.action, found, "a key of the algorithm"));
    }
    Ok((algorithm, key))
}

/// Whether these bytes came as they were sent.
fn is_sum(sum: Option<&Number>, bytes: &[u8]) -> bool {
    sum.and_then(Number::get) == Some(u64::from(crc32c(bytes)))
}

fn damaged(action: &str) -> Error {
    let found = "bytes that their checksum does not fit".to_owned();
    answered(action, found, "whole ones")
}

fn is_name(action: &str, found: &str, wanted: &str) -> Result<(), Error> {
    if found == wanted {
        return Ok(());
    }
    let end = |name| match str::rsplit_once(name, "/cryptoKeys/") {
        Some((_, end)) => end,
        None => name,
    };
    // Names are long, and most likely the version alone is another one.
    let shown = match end(found) == end(wanted) {
        true => found,
        false => end(found),
    };
    let found = format!("one of {}", Excerpt::of(shown));
    Err(answered(
        action,
        found,
        "that of the version that was asked",
    ))
}

impl RemoteKey for Key {
    fn reference(&self) -> &str {
        &self.reference
    }

    fn hash(&self) -> HashAlgorithm {
        self.algorithm.hash
    }

    fn sign<'a>(&'a self, message: Message<'a>) -> Signing<'a> {
        Box::pin(async move { Ok(self.signature(message).await?) })
    }
}

impl Key {
    async fn signature(&self, message: Message<'_>) -> Result<Vec<u8>, Error> {
        let body = self.body(message)?;
        let call = Call {
            need: Need::Sign,
            action: format!("sign with {}", self.reference),
            path: format!("{}:asymmetricSign", self.name),
            query: Vec::new(),
            body: Some(body),
        };
        for _ in 0..TRIES {
            let answer: Signature = self.service.ask(&call).await?;
            is_name(&call.action, &answer.name, &self.name)?;
            let was_whole = match self.algorithm.key {
                KeyAlgorithm::Ed25519 => answer.verified_data_crc32c,
                _ => answer.verified_digest_crc32c,
            };
            let signature = STANDARD.decode(&answer.signature).map_err(|_| {
                answered(
                    &call.action,
                    "text that is no base64".to_owned(),
                    "a signature",
                )
            })?;
            if was_whole && is_sum(answer.signature_crc32c.as_ref(), &signature) {
                return Ok(signature);
            }
        }
        Err(damaged(&call.action))
    }

    /// What is sent: the digest, or for Ed25519 the message itself.
    fn body(&self, message: Message<'_>) -> Result<Value, Error> {
        let refuse = |what| Error::Unsupported {
            service: SERVICE.to_owned(),
            what,
        };
        if self.algorithm.key == KeyAlgorithm::Ed25519 {
            let data = match message {
                Message::Whole(data) if data.len() <= LONGEST_DATA => data,
                Message::Whole(_) | Message::Sha256(_) => {
                    return Err(refuse(
                        "sign more than 64 KiB with an Ed25519 key; use an EC_SIGN_P256_SHA256 key",
                    ));
                }
            };
            return Ok(json!({
                "data": STANDARD.encode(data),
                "dataCrc32c": crc32c(data).to_string(),
            }));
        }
        let hash = self.algorithm.hash;
        let digest = message
            .digest(hash)
            .ok_or_else(|| refuse("sign a SHA-256 with this key, which signs another digest"))?;
        Ok(json!({
            "digest": {hash.to_string(): STANDARD.encode(&digest)},
            "digestCrc32c": crc32c(&digest).to_string(),
        }))
    }
}
