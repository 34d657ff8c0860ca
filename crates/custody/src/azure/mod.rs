//! Keys in Azure Key Vault and in managed HSMs.
//!
//! ```text
//!   azurekms://HOST/KEY[/VERSION] ─ get key ─▶ JSON Web Key ─▶ public key, version pinned ─ sign(digest) ─▶ r‖s ─▶ DER
//! ```
//!
//! The version is chosen once, when a key is opened: a rotation meanwhile changes nothing for a signer that is open. Each answer must name that version;
//! that the signature is one of the key is for [`Signer`] to see.

mod credentials;
mod jwk;
mod service;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use serde_json::json;
use tekseal_core::excerpt::Excerpt;
use tekseal_signing::key_ref::AzureKey;
use tekseal_signing::remote_key::{Message, Signing};
use tekseal_signing::{HashAlgorithm, KeyAlgorithm, PublicKey, RemoteKey, Signer};

use self::jwk::{Unfit, ecdsa_der};
use self::service::{Bundle, SERVICE, Service, answered};
use crate::{Context, Described, Error};

/// For people.
const WANTED: &str =
    "signing here needs an enabled EC or RSA key of P-256, P-384, P-521 or RSA that may sign";
/// For people.
const MAKES: &str = "P-256, P-384, P-521, and RSA of 2048, 3072 and 4096 bits";

/// One version of a key, which signs.
struct Key {
    key: AzureKey,
    reference: String,
    version: String,
    algorithm: Algorithm,
    service: Service,
}

/// How a kind of key signs: RFC 7518, section 3.1.
#[derive(Clone, Copy)]
struct Algorithm {
    name: &'static str,
    hash: HashAlgorithm,
    /// Bytes of each half of an ECDSA signature.
    half: Option<usize>,
}

pub(crate) async fn open(key: &AzureKey, context: &Context) -> Result<Signer, Error> {
    let service = Service::new(key, context)?;
    let current = current(key, &service).await?;
    let key = Key {
        reference: key.to_string(),
        key: key.clone(),
        version: current.version,
        algorithm: current.algorithm,
        service,
    };
    Ok(Signer::remote(Box::new(key), current.public))
}

pub(crate) async fn public_key(key: &AzureKey, context: &Context) -> Result<PublicKey, Error> {
    Ok(current(key, &Service::new(key, context)?).await?.public)
}

pub(crate) async fn describe(key: &AzureKey, context: &Context) -> Result<Described, Error> {
    let current = current(key, &Service::new(key, context)?).await?;
    Ok(Described {
        public: current.public,
        created: Ok(current.created),
    })
}

pub(crate) async fn create(
    key: &AzureKey,
    algorithm: KeyAlgorithm,
    context: &Context,
) -> Result<PublicKey, Error> {
    let kind = match algorithm {
        KeyAlgorithm::P256 => json!({"kty": "EC", "crv": "P-256"}),
        KeyAlgorithm::P384 => json!({"kty": "EC", "crv": "P-384"}),
        KeyAlgorithm::P521 => json!({"kty": "EC", "crv": "P-521"}),
        KeyAlgorithm::Rsa(bits @ (2048 | 3072 | 4096)) => json!({"kty": "RSA", "key_size": bits}),
        KeyAlgorithm::Rsa(_) | KeyAlgorithm::Ed25519 => {
            return Err(Error::Algorithm {
                service: SERVICE,
                algorithm,
                makes: MAKES,
            });
        }
    };
    no_version(key)?;
    let service = Service::new(key, context)?;
    // To make a key that is there would rotate it.
    match service.get(key, None).await {
        Err(Error::Refused { status: 404, .. }) => {}
        Ok(_) => {
            return Err(Error::Setting {
                name: key.to_string(),
                reason: "there is a key of this name already: use it, or rotate it".to_owned(),
            });
        }
        Err(error) => return Err(error),
    }
    let mut body = kind;
    body["key_ops"] = json!(["sign", "verify"]);
    body["attributes"] = json!({"enabled": true});
    let made = service.create(key, &body).await?;
    let public = read(key, &service, &made)?.public;
    match public.algorithm() == algorithm {
        true => Ok(public),
        false => Err(answered(
            &format!("make {key}"),
            format!("an {} key", public.algorithm()),
            "one of the algorithm that was asked for",
        )),
    }
}

pub(crate) async fn rotate(key: &AzureKey, context: &Context) -> Result<PublicKey, Error> {
    no_version(key)?;
    let service = Service::new(key, context)?;
    // Nothing is changed of a key that does not sign.
    let before = current(key, &service).await?;
    let made = service.rotate(key).await?;
    let after = read(key, &service, &made)?;
    match before.version == after.version {
        false => Ok(after.public),
        true => Err(answered(
            &format!("rotate {key}"),
            "the version that there was".to_owned(),
            "a new one",
        )),
    }
}

/// A key is made, and rotated, without a version.
fn no_version(key: &AzureKey) -> Result<(), Error> {
    match &key.version {
        None => Ok(()),
        Some(_) => Err(Error::Setting {
            name: key.to_string(),
            reason: "it names a version, which the vault gives; leave it out".to_owned(),
        }),
    }
}

/// The version that signs.
struct Current {
    version: String,
    algorithm: Algorithm,
    public: PublicKey,
    created: Option<Timestamp>,
}

async fn current(key: &AzureKey, service: &Service) -> Result<Current, Error> {
    let bundle = service.get(key, key.version.as_deref()).await?;
    let read = read(key, service, &bundle)?;
    match &key.version {
        Some(asked) if *asked != read.version => Err(answered(
            &format!("give the public key of {key}"),
            format!("that of version {}", Excerpt::of(&read.version)),
            "that of the version that was asked",
        )),
        Some(_) | None => Ok(read),
    }
}

/// What a vault says of a key.
fn read(key: &AzureKey, service: &Service, bundle: &Bundle) -> Result<Current, Error> {
    let action = format!("give the public key of {key}");
    let jwk = &bundle.key;
    let version = service.version(key, &jwk.kid, &action)?;
    let unfit = |found: String| Error::KeyKind {
        reference: key.to_string(),
        found,
        wanted: WANTED,
    };
    let spki = jwk.spki().map_err(|reason| match reason {
        Unfit::Kind => {
            let kind = format!("{} {}", jwk.kty, jwk.crv);
            unfit(format!("one of type {}", Excerpt::of(kind.trim())))
        }
        Unfit::Malformed => answered(
            &action,
            "numbers that are no key".to_owned(),
            "a JSON Web Key",
        ),
    })?;
    if bundle.attributes.enabled == Some(false) {
        return Err(unfit("disabled".to_owned()));
    }
    let operations = jwk.key_ops.as_deref();
    if operations.is_some_and(|known| !known.iter().any(|operation| operation == "sign")) {
        return Err(unfit("not one that may sign".to_owned()));
    }
    let public = PublicKey::from_spki(&spki).map_err(|source| Error::PublicKey {
        service: SERVICE,
        reference: key.to_string(),
        source,
    })?;
    let algorithm = Algorithm::of(public.algorithm())
        .ok_or_else(|| unfit(format!("an {} key", public.algorithm())))?;
    let created = bundle.attributes.created;
    Ok(Current {
        version,
        algorithm,
        public,
        created: created.and_then(|at| Timestamp::from_second(at).ok()),
    })
}

impl Algorithm {
    /// RSA signs SHA-256 at any size, as cosign verifies it without being told another hash.
    fn of(key: KeyAlgorithm) -> Option<Self> {
        use HashAlgorithm::{Sha256, Sha384, Sha512};
        let (name, hash, half) = match key {
            KeyAlgorithm::P256 => ("ES256", Sha256, Some(32)),
            KeyAlgorithm::P384 => ("ES384", Sha384, Some(48)),
            KeyAlgorithm::P521 => ("ES512", Sha512, Some(66)),
            KeyAlgorithm::Rsa(_) => ("RS256", Sha256, None),
            KeyAlgorithm::Ed25519 => return None,
        };
        Some(Self { name, hash, half })
    }
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
        let Algorithm { name, hash, half } = self.algorithm;
        let digest = message.digest(hash).ok_or_else(|| Error::Unsupported {
            service: SERVICE.to_owned(),
            what: "sign a SHA-256 with this key, which signs another digest",
        })?;
        let digest = URL_SAFE_NO_PAD.encode(digest);
        let action = format!("sign with {}", self.reference);
        let signed = self
            .service
            .sign(&self.key, &self.version, name, &digest)
            .await?;
        let version = self.service.version(&self.key, &signed.kid, &action)?;
        if version != self.version {
            let found = format!("a signature of version {}", Excerpt::of(&version));
            return Err(answered(
                &action,
                found,
                "one of the version that was asked",
            ));
        }
        let value = signed.value.trim_end_matches('=');
        let malformed = || answered(&action, "something else".to_owned(), "a signature");
        let raw = URL_SAFE_NO_PAD.decode(value).map_err(|_| malformed())?;
        match half {
            None => Ok(raw),
            Some(half) => ecdsa_der(&raw, half).ok_or_else(malformed),
        }
    }
}
