//! The OCI distribution protocol, as far as signing needs it.
//!
//! Specification: <https://github.com/opencontainers/distribution-spec/blob/main/spec.md>. There is no ping and no
//! existence check nobody asked for; a blob costs POST and PUT. What a registry sends is limited in size, and checked
//! against its digest wherever there is one.

use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderMap};
use reqwest::{Method, Url};
use tekseal_core::docker_config::Credentials;
use tekseal_core::{Digest, Repository};
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::auth::Keyring;
use crate::body::Content;
pub use crate::error::{Blame, Cause, Detail, Error};
use crate::exchange::{Answer, Call, Exchange, Target};
use crate::http::Line;
pub use crate::options::{Access, Notice, Options};
use crate::referrers;
use crate::retry::Patience;
use crate::tls::Files;
pub use crate::upload::Upload;

/// Manifests and lists of referrers may have at most so many bytes, which the specification wants registries to take.
pub(crate) const MANIFEST_LIMIT: u64 = 4 << 20;

const MANIFEST_TYPES: &str = "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json, \
    application/vnd.docker.distribution.manifest.v2+json, application/vnd.docker.distribution.manifest.list.v2+json";

/// Tells the digest of the subject that a manifest was listed for (distribution-spec, «Pushing Manifests with Subject»).
const SUBJECT: &str = "oci-subject";

const CONTENT_DIGEST: &str = "docker-content-digest";

/// Registries over one connection pool. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Registry {
    pub(crate) exchange: Arc<Exchange>,
    /// Leave to have a large manifest in work.
    large: Arc<Semaphore>,
    /// Leave to read a manifest only to know its digest.
    unread: Arc<Semaphore>,
    /// Leave to hold so many MiB of layers.
    layers: Arc<Semaphore>,
}

/// How many MiB of layers are held at once, by all that read some side by side, unless a single one has more. A layer alone may have 128.
const MOST_LAYER_MIB: u32 = 160;

/// How many large manifests are in work at once: each is there several times, as bytes, as layers, and as what is written next.
const MOST_LARGE: usize = 2;

/// A manifest is asked for by tag or by digest.
#[derive(Clone, Copy, Debug)]
pub enum Reference<'a> {
    /// By tag.
    Tag(&'a str),
    /// By digest; what comes back is checked against it.
    Digest(&'a Digest),
}

/// A manifest or index as the registry has it. `digest` was computed from `bytes`.
#[derive(Clone, Debug)]
pub struct Manifest {
    /// Exact bytes.
    pub bytes: Vec<u8>,
    /// Content type the registry gave, without parameters; empty if it gave none.
    pub media_type: String,
    /// Digest of `bytes`.
    pub digest: Digest,
}

/// Who lists what refers to a manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Listing {
    /// The registry does.
    ByRegistry,
    /// The registry did not say that it does.
    NotSaid,
}

/// What a HEAD of a manifest says.
#[derive(Clone, Debug)]
pub struct Head {
    /// The registry's `Docker-Content-Digest`; computed from the content where the registry gives none.
    pub digest: Digest,
    /// Content type the registry gave, without parameters; empty if it gave none.
    pub media_type: String,
    /// Content length the registry gave.
    pub size: u64,
}

impl std::fmt::Display for Reference<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tag(tag) => f.write_str(tag),
            Self::Digest(digest) => digest.fmt(f),
        }
    }
}

impl Registry {
    /// Registries as `options` say. Nothing is connected to and no certificate read yet.
    pub fn new(options: Options) -> Result<Self, Error> {
        let files = Files {
            ca: options.ca,
            cert_dirs: options.cert_dirs,
            ..Files::default()
        };
        let exchange = Exchange {
            line: Arc::new(Line::new(
                options.insecure_registries,
                files,
                options.guard,
                options.timeout,
            )?),
            keyring: Keyring::new(options.credentials, options.access),
            retry_for: options.retry_for,
            notice: options.notice,
            bases: Arc::default(),
        };
        Ok(Self {
            exchange: Arc::new(exchange),
            large: Arc::new(Semaphore::new(MOST_LARGE)),
            unread: Arc::new(Semaphore::new(MOST_LARGE)),
            layers: Arc::new(Semaphore::new(MOST_LAYER_MIB as usize)),
        })
    }

    /// The same registries with other credentials: connections, and what is trusted, are shared, tokens are not.
    #[must_use]
    pub fn with_credentials(&self, credentials: Credentials) -> Self {
        let shared = &self.exchange;
        Self {
            exchange: Arc::new(Exchange {
                line: Arc::clone(&shared.line),
                keyring: shared.keyring.with(credentials),
                retry_for: shared.retry_for,
                notice: shared.notice,
                bases: Arc::clone(&shared.bases),
            }),
            large: Arc::clone(&self.large),
            unread: Arc::clone(&self.unread),
            layers: Arc::clone(&self.layers),
        }
    }

    /// Waits for its turn with a large manifest. Whoever has one must not ask for another.
    pub(crate) async fn large(&self) -> SemaphorePermit<'_> {
        let permit = self.large.acquire().await;
        permit.expect("the semaphore is never closed")
    }

    /// Waits for its turn to hold so many bytes of layers. Whoever holds some must not ask for more before they are given back.
    pub(crate) async fn layers(&self, bytes: u64) -> SemaphorePermit<'_> {
        let mib = u32::try_from(bytes.div_ceil(1 << 20)).unwrap_or(u32::MAX);
        let permit = self.layers.acquire_many(mib.clamp(1, MOST_LAYER_MIB)).await;
        permit.expect("the semaphore is never closed")
    }

    /// Asks for a manifest's digest; `None` when it is absent.
    pub async fn head_manifest(
        &self,
        repository: &Repository,
        reference: Reference<'_>,
    ) -> Result<Option<Head>, Error> {
        self.head(repository, reference)
            .await
            .map_err(|cause| Error::HeadManifest {
                repository: repository.clone(),
                reference: reference.to_string(),
                source: Box::new(cause),
            })
    }

    /// Reads a manifest; `None` when it is absent.
    ///
    /// # Errors
    /// [`Cause::Digest`] if it is another one than was asked for, or than the registry says it is.
    pub async fn get_manifest(
        &self,
        repository: &Repository,
        reference: Reference<'_>,
    ) -> Result<Option<Manifest>, Error> {
        self.get_manifest_within(repository, reference, MANIFEST_LIMIT)
            .await
    }

    /// [`Self::get_manifest`] of at most so many bytes.
    ///
    /// # Errors
    /// [`Cause::TooLarge`] if it has more.
    pub(crate) async fn get_manifest_within(
        &self,
        repository: &Repository,
        reference: Reference<'_>,
        limit: u64,
    ) -> Result<Option<Manifest>, Error> {
        self.get(repository, reference, limit)
            .await
            .map_err(|cause| Error::GetManifest {
                repository: repository.clone(),
                reference: reference.to_string(),
                source: Box::new(cause),
            })
    }

    /// Writes a manifest, byte for byte. The blobs it names must be there.
    pub async fn put_manifest(
        &self,
        repository: &Repository,
        reference: Reference<'_>,
        media_type: &str,
        bytes: &[u8],
    ) -> Result<(), Error> {
        let bytes = Bytes::copy_from_slice(bytes);
        let patience = self.exchange.patience();
        self.put(repository, reference, media_type, bytes, patience)
            .await?;
        Ok(())
    }

    /// Writes a manifest with a single attempt: for tags that others write too, where a second attempt must not be made
    /// before the tag was read again.
    pub async fn put_manifest_once(
        &self,
        repository: &Repository,
        reference: Reference<'_>,
        media_type: &str,
        bytes: Bytes,
    ) -> Result<(), Error> {
        let once = Patience::new(Duration::ZERO, self.exchange.notice);
        self.put(repository, reference, media_type, bytes, once)
            .await?;
        Ok(())
    }

    /// Writes a manifest that names another one as its subject. Whether the registry said that it lists it there.
    pub(crate) async fn put_referrer(
        &self,
        repository: &Repository,
        digest: &Digest,
        media_type: &str,
        bytes: Bytes,
    ) -> Result<Listing, Error> {
        let patience = self.exchange.patience();
        let reference = Reference::Digest(digest);
        self.put(repository, reference, media_type, bytes, patience)
            .await
    }

    /// For how long one operation may be tried again.
    #[must_use]
    pub fn retry_for(&self) -> Duration {
        self.exchange.retry_for
    }

    /// Whether the repository has the blob.
    pub async fn blob_exists(
        &self,
        repository: &Repository,
        digest: &Digest,
    ) -> Result<bool, Error> {
        let found = async {
            let path = path(repository, &format!("blobs/{digest}"))?;
            let mut call = Call::new(Method::HEAD, Target::Path(path));
            call.answers = &[404];
            let answer = self.exchange.perform(repository, &call).await?;
            Ok(answer.status != 404)
        };
        found.await.map_err(|cause| Error::HeadBlob {
            repository: repository.clone(),
            digest: digest.clone(),
            source: Box::new(cause),
        })
    }

    /// Reads a blob of at most `limit` bytes and checks its digest.
    pub async fn get_blob(
        &self,
        repository: &Repository,
        digest: &Digest,
        limit: u64,
    ) -> Result<Vec<u8>, Error> {
        let read = async {
            let path = path(repository, &format!("blobs/{digest}"))?;
            let mut call = Call::new(Method::GET, Target::Path(path));
            call.limit = limit;
            let answer = self.exchange.perform(repository, &call).await?;
            check(&answer.url, digest, Digest::of(&answer.body))?;
            Ok(answer.body)
        };
        read.await.map_err(|cause| Error::GetBlob {
            repository: repository.clone(),
            digest: digest.clone(),
            source: Box::new(cause),
        })
    }

    /// The index of what refers to `digest`, when the registry has the referrers API, else `None`. The bytes are the
    /// registry's own unless it gave the list in pages, which are then made one index.
    pub async fn referrers(
        &self,
        repository: &Repository,
        digest: &Digest,
    ) -> Result<Option<Vec<u8>>, Error> {
        self.referrers_within(repository, digest, MANIFEST_LIMIT)
            .await
    }

    /// [`Self::referrers`] of at most so many bytes.
    ///
    /// # Errors
    /// [`Cause::TooLarge`] if it has more.
    pub(crate) async fn referrers_within(
        &self,
        repository: &Repository,
        digest: &Digest,
        limit: u64,
    ) -> Result<Option<Vec<u8>>, Error> {
        let read = async {
            let path = path(repository, &format!("referrers/{digest}"))?;
            referrers::read(&self.exchange, repository, path, limit).await
        };
        read.await.map_err(|cause| Error::Referrers {
            repository: repository.clone(),
            digest: digest.clone(),
            source: Box::new(cause),
        })
    }

    /// Key and file of the credentials that were shown to `registry` last, for the log; never the secret.
    #[must_use]
    pub fn credential_used(&self, registry: &str) -> Option<String> {
        self.exchange.keyring.credential_used(registry)
    }

    async fn head(
        &self,
        repository: &Repository,
        reference: Reference<'_>,
    ) -> Result<Option<Head>, Cause> {
        let mut call = manifest_call(Method::HEAD, repository, reference)?;
        call.answers = &[404];
        let answer = self.exchange.perform(repository, &call).await?;
        if answer.status == 404 {
            return Ok(None);
        }
        let size = answer
            .headers
            .get(CONTENT_LENGTH)
            .and_then(|size| size.to_str().ok()?.parse().ok());
        let (Some(digest), Some(size)) = (content_digest(&answer.headers), size) else {
            let _turn = self.unread.acquire().await;
            let manifest = self.get(repository, reference, MANIFEST_LIMIT).await?;
            return Ok(manifest.map(
                |Manifest {
                     bytes,
                     media_type,
                     digest,
                 }| Head {
                    digest,
                    media_type,
                    size: bytes.len() as u64,
                },
            ));
        };
        if let Reference::Digest(wanted) = reference {
            check(&answer.url, wanted, digest.clone())?;
        }
        Ok(Some(Head {
            digest,
            media_type: media_type(&answer.headers),
            size,
        }))
    }

    async fn get(
        &self,
        repository: &Repository,
        reference: Reference<'_>,
        limit: u64,
    ) -> Result<Option<Manifest>, Cause> {
        let mut call = manifest_call(Method::GET, repository, reference)?;
        call.answers = &[404];
        call.limit = limit;
        let Answer {
            status,
            headers,
            body,
            url,
        } = self.exchange.perform(repository, &call).await?;
        if status == 404 {
            return Ok(None);
        }
        let digest = Digest::of(&body);
        if let Reference::Digest(wanted) = reference {
            check(&url, wanted, digest.clone())?;
        }
        if let Some(said) = content_digest(&headers) {
            check(&url, &said, digest.clone())?;
        }
        Ok(Some(Manifest {
            media_type: media_type(&headers),
            bytes: body,
            digest,
        }))
    }

    async fn put(
        &self,
        repository: &Repository,
        reference: Reference<'_>,
        media_type: &str,
        bytes: Bytes,
        mut patience: Patience,
    ) -> Result<Listing, Error> {
        let written = async {
            let mut call = manifest_call(Method::PUT, repository, reference)?;
            let content = Content::Held(bytes.clone());
            call.content = Some((media_type.to_owned(), content));
            let answer = self
                .exchange
                .persist(repository, &call, &mut patience)
                .await?;
            if let Some(stored) = content_digest(&answer.headers) {
                check(&answer.url, &Digest::of(&bytes), stored)?;
            }
            Ok(match answer.headers.contains_key(SUBJECT) {
                true => Listing::ByRegistry,
                false => Listing::NotSaid,
            })
        };
        written.await.map_err(|cause| Error::PutManifest {
            repository: repository.clone(),
            reference: reference.to_string(),
            source: Box::new(cause),
        })
    }
}

fn manifest_call(
    method: Method,
    repository: &Repository,
    reference: Reference<'_>,
) -> Result<Call, Cause> {
    if let Reference::Tag(tag) = reference
        && !is_tag(tag)
    {
        return Err(Cause::Name(tag.to_owned()));
    }
    let mut call = Call::new(
        method,
        Target::Path(path(repository, &format!("manifests/{reference}"))?),
    );
    call.accept = Some(MANIFEST_TYPES);
    Ok(call)
}

/// The path of something in a repository. Steps out of it are refused: credentials are chosen by the path.
pub(crate) fn path(repository: &Repository, rest: &str) -> Result<String, Cause> {
    if repository
        .path()
        .split('/')
        .any(|part| matches!(part, "" | "." | ".."))
    {
        return Err(Cause::Name(repository.to_string()));
    }
    Ok(format!("/v2/{}/{rest}", repository.path()))
}

/// distribution-spec, «Pulling manifests»: `[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}`.
fn is_tag(text: &str) -> bool {
    (1..=128).contains(&text.len())
        && !text.starts_with(['.', '-'])
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte))
}

fn check(url: &Url, wanted: &Digest, found: Digest) -> Result<(), Cause> {
    if *wanted == found {
        return Ok(());
    }
    Err(Cause::Digest {
        url: crate::error::shown(url),
        wanted: wanted.clone(),
        found,
    })
}

/// Digests of other algorithms say nothing to us.
fn content_digest(headers: &HeaderMap) -> Option<Digest> {
    headers.get(CONTENT_DIGEST)?.to_str().ok()?.parse().ok()
}

/// The content type without its parameters.
pub(crate) fn media_type(headers: &HeaderMap) -> String {
    let text = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    text.split(';').next().unwrap_or_default().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registries_can_be_shared_between_threads() {
        fn shared<T: Send + Sync + Clone + 'static>(_: &T) {}
        shared(&Registry::new(Options::default()).expect("the defaults are fine"));
    }

    #[test]
    fn tags_and_paths_that_would_leave_the_repository_are_refused() {
        for tag in ["", ".", "..", "a/b", "-x", "a?b", "a#b", "%2e%2e"] {
            assert!(!is_tag(tag), "{tag}");
        }
        assert!(is_tag("sha256-0abc.sig") && is_tag("_v1.2-3"));
        for name in [
            "r.example/a/../b",
            "r.example/../b",
            "r.example/a//b",
            "r.example/a/.",
        ] {
            let repository = Repository::parse(name).expect("the reference is well formed");
            assert!(
                matches!(path(&repository, "x"), Err(Cause::Name(_))),
                "{name}"
            );
        }
    }
}
