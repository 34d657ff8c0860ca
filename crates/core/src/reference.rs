//! Image references as go-containerregistry reads them with weak validation.
//!
//! Chains and cosign share that reading, so names in statements and payloads must be normalised exactly so:
//! Docker Hub is written `index.docker.io/library/busybox`, the tag is no part of a name, and odd texts such as
//! `https://quay.io/a/b` parse (registry `https:`) because they do there.

use std::fmt;

use crate::digest::{self, Digest};

/// A registry and a path in it, without tag and digest: `index.docker.io/library/busybox`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Repository {
    registry: String,
    path: String,
}

/// An image reference as a person writes it: repository, perhaps a tag, perhaps a digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageRef {
    /// Where the image lives.
    pub repository: Repository,
    /// The tag, if one was written.
    pub tag: Option<String>,
    /// The digest, if one was written.
    pub digest: Option<Digest>,
}

/// One image by digest: what is signed and what is verified.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DigestRef {
    /// Where the image lives.
    pub repository: Repository,
    /// The digest of its manifest or index.
    pub digest: Digest,
}

/// One image by digest, under a name with a tag: `repository:tag`. The tag is what somebody says; no registry was asked.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TaggedImage {
    image: DigestRef,
    tag: String,
}

/// Why a text is no image reference.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Error {
    /// Nothing before the digest.
    #[error("image reference {0:?} has no repository name")]
    Empty(String),
    /// More than one `@`.
    #[error("image reference {0:?} has more than one '@', wanted repository[:tag][@digest]")]
    Separators(String),
    /// A digest is required and missing.
    #[error("image reference {0:?} has no digest, wanted repository@sha256:<64 hex digits>")]
    NoDigest(String),
    /// The part after `@` is no digest.
    #[error("image reference {text:?} has a bad digest")]
    Digest {
        /// The whole reference.
        text: String,
        /// What is wrong with it.
        source: digest::Error,
    },
    /// The repository path is shorter than 2 or longer than 255 characters.
    #[error("repository {0:?} must be 2 to 255 characters long")]
    Length(String),
    /// A character that no repository may have (upper case, blanks, …).
    #[error("repository {0:?} may only contain the characters a-z 0-9 _ - . /")]
    Characters(String),
    /// The registry is no host with an optional port.
    #[error("registry {0:?} is not a host name with an optional port")]
    Registry(String),
    /// What no registry takes for a tag.
    #[error(
        "tag {0:?} is not 1 to 128 characters of a-z A-Z 0-9 _ - . that begin with none of - and ."
    )]
    Tag(String),
    /// A name that can be written, and that no image has.
    #[error("image name {0:?} has a part . or .., or a port over 65535")]
    Name(String),
}

/// How go-containerregistry spells Docker Hub.
const DOCKER_HUB: &str = "index.docker.io";

impl Repository {
    /// Parses `registry/path` or `path` (Docker Hub), without tag and digest.
    pub fn parse(text: &str) -> Result<Self, Error> {
        if text.is_empty() {
            return Err(Error::Empty(text.to_owned()));
        }
        let (registry, path) = match text.split_once('/') {
            Some((first, rest)) if first == "localhost" || first.contains(['.', ':']) => {
                (first, rest)
            }
            _ => ("", text),
        };
        if !path
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_-./".contains(&b))
        {
            return Err(Error::Characters(path.to_owned()));
        }
        if !(2..=255).contains(&path.len()) {
            return Err(Error::Length(path.to_owned()));
        }
        if !is_authority(registry) {
            return Err(Error::Registry(registry.to_owned()));
        }
        let registry = if registry.is_empty() || registry == "docker.io" {
            DOCKER_HUB
        } else {
            registry
        };
        let path = if registry == DOCKER_HUB && !path.contains('/') {
            format!("library/{path}")
        } else {
            path.to_owned()
        };
        Ok(Self {
            registry: registry.to_owned(),
            path,
        })
    }

    /// The registry as it is named in payloads: host with optional port.
    #[must_use]
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// The path below the registry: `library/busybox`.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The same repository with `@digest`.
    #[must_use]
    pub fn at(&self, digest: Digest) -> DigestRef {
        DigestRef {
            repository: self.clone(),
            digest,
        }
    }
}

impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.path)
    }
}

impl ImageRef {
    /// Parses `repository[:tag][@digest]`.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let mut parts = text.split('@');
        let name = parts.next().unwrap_or_default();
        let digest = match (parts.next(), parts.next()) {
            (digest, None) => digest,
            (_, Some(_)) => return Err(Error::Separators(text.to_owned())),
        };
        let digest = digest
            .map(|digest| {
                digest.parse().map_err(|source| Error::Digest {
                    text: text.to_owned(),
                    source,
                })
            })
            .transpose()?;
        let (base, tag) = split_tag(name);
        Ok(Self {
            repository: Repository::parse(base)?,
            tag: tag.map(str::to_owned),
            digest,
        })
    }

    /// The image by digest; an error if no digest was written.
    pub fn digest_ref(self) -> Result<DigestRef, Error> {
        let Some(digest) = self.digest.clone() else {
            return Err(Error::NoDigest(self.to_string()));
        };
        Ok(DigestRef {
            repository: self.repository,
            digest,
        })
    }
}

impl fmt::Display for ImageRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.repository.fmt(f)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

impl DigestRef {
    /// Parses a reference that must have a digest; a tag before it is dropped.
    pub fn parse(text: &str) -> Result<Self, Error> {
        ImageRef::parse(text)?.digest_ref()
    }
}

impl TaggedImage {
    /// The image under this tag.
    ///
    /// # Errors
    /// [`Error::Tag`] for what the distribution specification does not take for a tag, which is less than go-containerregistry does, and
    /// [`Error::Name`] for a repository that would be another one, or none, for whoever asks for it. Each is signed as somebody writes it, and
    /// read by others.
    pub fn new(image: DigestRef, tag: &str) -> Result<Self, Error> {
        if !is_tag(tag) || tag.starts_with(['-', '.']) {
            return Err(Error::Tag(tag.chars().take(128).collect()));
        }
        let repository = &image.repository;
        let is_dots = |part: &str| matches!(part, "." | "..");
        let has_dots = is_dots(&repository.registry) || repository.path.split('/').any(is_dots);
        let port = repository
            .registry
            .rsplit_once(':')
            .map_or("", |(_, port)| port);
        let is_digits = !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
        if has_dots || (is_digits && port.parse::<u16>().is_err()) {
            return Err(Error::Name(
                repository.to_string().chars().take(300).collect(),
            ));
        }
        Ok(Self {
            image,
            tag: tag.to_owned(),
        })
    }

    /// The image.
    #[must_use]
    pub fn image(&self) -> &DigestRef {
        &self.image
    }

    /// The tag.
    #[must_use]
    pub fn tag(&self) -> &str {
        &self.tag
    }

    /// `repository:tag`, without the digest.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{}:{}", self.image.repository, self.tag)
    }
}

impl fmt::Display for DigestRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.repository, self.digest)
    }
}

/// Splits `name:tag`: what follows the last `:` is a tag if it has no `/` and looks like one. go-containerregistry
/// keeps the `:` in the repository otherwise, where it is then refused.
fn split_tag(name: &str) -> (&str, Option<&str>) {
    match name.rsplit_once(':') {
        Some((base, tag)) if is_tag(tag) && !base.is_empty() => (base, Some(tag)),
        _ => (name, None),
    }
}

fn is_tag(text: &str) -> bool {
    (1..=128).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b))
}

/// RFC 3986 authority as Go's `net/url` accepts it for go-containerregistry: no user, a port of digits.
fn is_authority(registry: &str) -> bool {
    let host = match registry.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => host,
        Some(_) if !registry.starts_with('[') => return false,
        _ => registry,
    };
    host.bytes()
        .all(|b| b.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=[]:".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "b29814cf5792e684cd75d6a7fce7a67a11887e312f87ca2ac2496d81f365ff72";

    #[test]
    fn docker_hub_names_are_normalised() {
        for (text, name) in [
            ("busybox", "index.docker.io/library/busybox"),
            ("docker.io/a/b", "index.docker.io/a/b"),
            ("quay.io/o/i:1.2", "quay.io/o/i"),
            ("localhost:5000/app", "localhost:5000/app"),
            ("127.0.0.1:5000/app:v1", "127.0.0.1:5000/app"),
            ("https://quay.io/a/b", "https://quay.io/a/b"),
        ] {
            assert_eq!(
                ImageRef::parse(text).map(|r| r.repository.to_string()),
                Ok(name.to_owned()),
                "{text}"
            );
        }
    }

    #[test]
    fn a_port_is_not_taken_for_a_tag() {
        let parsed = ImageRef::parse(&format!("host:5000/repo:tag@sha256:{HEX}"))
            .expect("this is well formed");
        assert_eq!(parsed.repository.registry(), "host:5000");
        assert_eq!(parsed.tag.as_deref(), Some("tag"));
        assert_eq!(
            parsed.to_string(),
            format!("host:5000/repo:tag@sha256:{HEX}")
        );
    }

    #[test]
    fn a_name_with_a_tag_is_one_that_registries_take() {
        let image = DigestRef::parse(&format!("host:5000/repo@sha256:{HEX}")).expect("well formed");
        let longest = "t".repeat(128);
        for tag in ["1.0", "_x", "Latest-2", &longest] {
            let tagged = TaggedImage::new(image.clone(), tag).expect("a tag");
            assert_eq!(tagged.name(), format!("host:5000/repo:{tag}"));
            assert_eq!((tagged.image(), tagged.tag()), (&image, tag));
        }
        let too_long = "t".repeat(129);
        for tag in ["", "-1", ".1", "a b", "a/b", "a@b", "ä", &too_long] {
            let refused = TaggedImage::new(image.clone(), tag);
            assert!(matches!(refused, Err(Error::Tag(_))), "{tag}");
        }
    }

    #[test]
    fn a_name_that_no_image_has_is_refused() {
        let named = |name: &str| {
            let image = DigestRef::parse(&format!("{name}@sha256:{HEX}")).expect("well formed");
            TaggedImage::new(image, "1.0").map(|tagged| tagged.name())
        };
        for name in [
            "victim.example:99999/app",
            "victim.example:65536/app",
            "victim.example/v/../app",
            "victim.example/./app",
            "victim.example/app/..",
            "../app",
        ] {
            assert!(matches!(named(name), Err(Error::Name(_))), "{name}");
        }
        for name in ["host:65535/app", "host.example/.a/b..c", "[::1]:5000/app"] {
            assert_eq!(named(name), Ok(format!("{name}:1.0")));
        }
    }

    #[test]
    fn bad_references_say_what_is_wrong() {
        assert!(matches!(
            ImageRef::parse("quay.io/a/B"),
            Err(Error::Characters(_))
        ));
        assert!(matches!(
            ImageRef::parse("quay.io/a b"),
            Err(Error::Characters(_))
        ));
        assert!(matches!(
            ImageRef::parse("host:port/app"),
            Err(Error::Registry(_))
        ));
        assert!(matches!(
            DigestRef::parse("quay.io/a/b:1"),
            Err(Error::NoDigest(_))
        ));
        assert!(matches!(
            ImageRef::parse("a@b@c"),
            Err(Error::Separators(_))
        ));
        assert!(matches!(ImageRef::parse(""), Err(Error::Empty(_))));
    }
}
