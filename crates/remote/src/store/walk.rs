//! What an image stands for: an index lists manifests, one for each platform, and may list further indexes.
//!
//! ```text
//!   index ─ GET ─▶ Content { kind, lists } ─▶ each listed, once ─ GET ─▶ Content ─▶ … ─▶ Walked { itself, listed }
//! ```
//!
//! Specification: <https://github.com/opencontainers/image-spec/blob/main/image-index.md>, and Docker's list of manifests. As with
//! `cosign sign --recursive`, all of it is in the repository of the index: nothing follows the `urls` of a descriptor.
//!
//! Each manifest is read, once, and must be what the index says. What is listed as an image could be an index itself, and then nobody
//! would look at what that one lists; so no word of a list decides what a manifest is. Whoever may push chooses what an index lists: there are limits to
//! how many manifests, how deep, and how large.

mod content;
mod error;

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use tekseal_core::{Digest, DigestRef, Repository};

use crate::Registry;
use crate::registry::{Cause, MANIFEST_LIMIT, Reference};

use super::concurrent::concurrently;

use content::{Content, Listed};

pub use content::Kind;
pub use error::{Error, Fault};

/// How many manifests an index, with those that are in it, may list. Real ones have a dozen, the largest a few hundred.
pub const MOST_LISTED: usize = 1000;
/// How deep indexes may lie in one another.
pub const MOST_DEPTH: usize = 4;
/// All manifests that are listed together. Real ones have a few kilobytes each.
pub const MOST_LISTED_BYTES: u64 = 16 << 20;

/// How many manifests are read side by side.
const WIDTH: usize = 10;
/// Manifests that have more wait for their turn.
const SMALL_MANIFEST: u64 = 64 << 10;
/// For how many platforms one manifest may be listed.
const MOST_PLATFORMS: usize = 16;

/// An image, and the manifests that it lists if it is an index.
#[derive(Clone, Debug)]
pub struct Walked {
    /// What was asked for.
    pub itself: Member,
    /// All that it lists, each manifest once, those that are nearer first; nothing where it is no index.
    pub listed: Vec<Member>,
}

/// One manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Where it is.
    pub image: DigestRef,
    /// What it is.
    pub kind: Kind,
    /// For which platforms it is listed, each `os/architecture[/variant]`: the word of whoever made the index.
    pub platforms: Vec<String>,
}

/// What was learned so far.
struct Walk<'a> {
    repository: &'a Repository,
    listed: Vec<Member>,
    /// What is known already, and as what; the position among those that are listed.
    known: HashMap<Digest, (Option<usize>, u64, &'static str)>,
    descriptors: usize,
    bytes: u64,
}

/// A manifest that is to be read.
struct Wanted {
    at: usize,
    size: u64,
    media_type: &'static str,
    digest: Digest,
}

/// Reads `image` and all that it lists, however deep: one request for each manifest.
///
/// # Errors
/// If one of them is absent, cannot be read, or is not what the index says; and if there are more than the limits allow. Then nothing is
/// known of any of them.
pub async fn walk(registry: &Registry, image: &DigestRef) -> Result<Walked, Error> {
    let read = async {
        let _turn = registry.large().await;
        let by_digest = Reference::Digest(&image.digest);
        let found = registry.get_manifest(&image.repository, by_digest).await?;
        let found = found.ok_or_else(|| Error::Absent {
            image: image.clone(),
        })?;
        let content = Content::read(&found).map_err(|fault| Error::of(image, fault))?;
        Ok::<_, Error>((found.bytes.len() as u64, content))
    };
    let (size, content) = read.await?;
    let itself = Member {
        image: image.clone(),
        kind: content.kind,
        platforms: Vec::new(),
    };
    let known = (None, size, content.media_type);
    let mut walk = Walk {
        repository: &image.repository,
        listed: Vec::new(),
        known: HashMap::from([(image.digest.clone(), known)]),
        descriptors: 0,
        bytes: 0,
    };
    let mut wanted = walk.admit(image, content.lists)?;
    let mut depth = 1;
    while !wanted.is_empty() {
        if depth > MOST_DEPTH {
            return Err(Error::of(image, Fault::Deep));
        }
        wanted = walk.read_all(registry, wanted).await?;
        depth += 1;
    }
    Ok(Walked {
        itself,
        listed: walk.listed,
    })
}

impl Walk<'_> {
    /// Reads these, and gives what they list that is new.
    async fn read_all(
        &mut self,
        registry: &Registry,
        wanted: Vec<Wanted>,
    ) -> Result<Vec<Wanted>, Error> {
        let mut next = Vec::new();
        // By tens, so that what ten indexes list is counted before ten more are read.
        for some in wanted.chunks(WIDTH) {
            let reads = some
                .iter()
                .map(|wanted| wanted.read(registry, self.repository));
            for (wanted, content) in some.iter().zip(concurrently(WIDTH, reads).await) {
                let content = content?;
                let member = &mut self.listed[wanted.at];
                member.kind = content.kind;
                let image = member.image.clone();
                next.extend(self.admit(&image, content.lists)?);
            }
        }
        Ok(next)
    }

    /// Takes note of what `index` lists, and gives what is to be read.
    fn admit(&mut self, index: &DigestRef, lists: Vec<Listed>) -> Result<Vec<Wanted>, Error> {
        self.descriptors += lists.len();
        if self.descriptors > MOST_LISTED {
            return Err(Error::of(index, Fault::Many));
        }
        let mut wanted = Vec::new();
        for Listed {
            digest,
            size,
            media_type,
            platform,
        } in lists
        {
            let at = self.listed.len();
            match self.known.entry(digest.clone()) {
                Entry::Occupied(known) => {
                    let (earlier, known_size, known_type) = *known.get();
                    if (known_size, known_type) != (size, media_type) {
                        return Err(Error::of(index, Fault::Unlike { digest }));
                    }
                    if let (Some(earlier), Some(platform)) = (earlier, platform) {
                        self.listed[earlier].add(platform);
                    }
                }
                Entry::Vacant(new) => {
                    new.insert((Some(at), size, media_type));
                    self.bytes = self.bytes.saturating_add(size);
                    self.listed.push(Member {
                        image: self.repository.at(digest.clone()),
                        kind: Kind::of_media_type(media_type),
                        platforms: platform.into_iter().collect(),
                    });
                    wanted.push(Wanted {
                        at,
                        size,
                        media_type,
                        digest,
                    });
                }
            }
        }
        if self.bytes > MOST_LISTED_BYTES {
            return Err(Error::of(index, Fault::Bytes));
        }
        Ok(wanted)
    }
}

impl Wanted {
    async fn read(&self, registry: &Registry, repository: &Repository) -> Result<Content, Error> {
        let image = repository.at(self.digest.clone());
        let fault = |fault| Error::of(&image, fault);
        let _turn = match self.size > SMALL_MANIFEST {
            true => Some(registry.large().await),
            false => None,
        };
        let by_digest = Reference::Digest(&self.digest);
        let limit = self.size.min(MANIFEST_LIMIT);
        let found = match registry
            .get_manifest_within(repository, by_digest, limit)
            .await
        {
            Err(error) if matches!(error.cause(), Some(Cause::TooLarge { .. })) => {
                return Err(fault(Fault::Size { said: self.size }));
            }
            found => found?,
        };
        let found = found.ok_or_else(|| Error::ListedAbsent {
            image: image.clone(),
        })?;
        if found.bytes.len() as u64 != self.size {
            return Err(fault(Fault::Size { said: self.size }));
        }
        let content = Content::read(&found).map_err(fault)?;
        if content.media_type != self.media_type {
            return Err(fault(Fault::Disguised {
                said: self.media_type,
                is: content.media_type,
            }));
        }
        Ok(content)
    }
}

impl Member {
    fn add(&mut self, platform: String) {
        if self.platforms.len() < MOST_PLATFORMS && !self.platforms.contains(&platform) {
            self.platforms.push(platform);
        }
    }
}
