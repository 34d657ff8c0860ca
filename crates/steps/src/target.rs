//! The parameter `IMAGE`: where the image goes. Its text becomes a result, so what would make a bad hint is refused here.

use anyhow::anyhow;
use tekseal_core::{ImageRef, Repository};

use crate::Failure;
use crate::parameters::wrong;

/// Where the image goes.
#[derive(Clone, Debug)]
pub(crate) struct Image {
    /// As given, tag included: the result `IMAGE_URL`.
    pub(crate) url: String,
    /// As given, without tag.
    pub(crate) name: String,
    pub(crate) repository: Repository,
    pub(crate) tag: Option<String>,
}

impl Image {
    /// Reads `repository[:tag]`; white space around it is taken off, as it comes from results that were written with a newline.
    ///
    /// # Errors
    /// Exit 2 if it is absent, has a digest or white space in it, or is no reference to an image.
    pub(crate) fn parse(given: &str) -> Result<Self, Failure> {
        let url = given.trim();
        if url.is_empty() {
            return Err(Failure::misuse(anyhow!("IMAGE is missing"))
                .hint("give --image or the environment variable IMAGE, as registry/repository:tag; a list such as --build-args ends with ';'"));
        }
        let refused = |reason: &str, hint: &str| {
            Err(Failure::misuse(anyhow!("IMAGE {url:?} {reason}")).hint(hint))
        };
        if url.contains('@') {
            return refused(
                "has a digest already",
                "the digest is what the push will give; leave only registry/repository:tag",
            );
        }
        if url.chars().any(char::is_whitespace) {
            return refused(
                "has white space in it",
                "a result that was written with a newline is a frequent cause; look at the task before",
            );
        }
        if url.contains("://") {
            return refused("has a scheme", "leave only registry/repository:tag");
        }
        let parsed = ImageRef::parse(url).map_err(|e| {
            let hint = match url.to_lowercase() == url {
                true => "write registry/repository:tag",
                false => "repositories are in lower case; only a tag may have upper case",
            };
            Failure::misuse(e).context("reading IMAGE").hint(hint)
        })?;
        let name = match &parsed.tag {
            Some(tag) => &url[..url.len() - tag.len() - 1],
            None => url,
        };
        if name.ends_with('/') || name.starts_with('/') || name.contains("//") {
            return refused(
                "has an empty part in its repository",
                "write registry/repository:tag",
            );
        }
        Ok(Self {
            url: url.to_owned(),
            name: name.to_owned(),
            repository: parsed.repository,
            tag: parsed.tag,
        })
    }

    /// More tags for the same image, each once, without the one that it has.
    ///
    /// # Errors
    /// Exit 2 for what is no tag.
    pub(crate) fn more_tags(&self, given: &[String]) -> Result<Vec<String>, Failure> {
        let mut tags: Vec<String> = Vec::new();
        for tag in given {
            let tag = tag.trim();
            let is_word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
            let good = tag.len() <= 128
                && tag.bytes().next().is_some_and(is_word)
                && tag.bytes().all(|b| is_word(b) || b == b'.' || b == b'-');
            if !good {
                return Err(wrong(
                    "a tag in ADDITIONAL_TAGS",
                    tag,
                    "a plain tag: at most 128 of A-Z a-z 0-9 _ . -, not beginning with . or -",
                ));
            }
            if self.tag.as_deref().unwrap_or("latest") != tag
                && !tags.iter().any(|known| known == tag)
            {
                tags.push(tag.to_owned());
            }
        }
        Ok(tags)
    }
}
