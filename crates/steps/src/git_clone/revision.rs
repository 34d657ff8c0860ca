//! What is checked out: the parameters `revision` and `refspec`, and the hash of a commit.

use anyhow::anyhow;
use tekseal_core::is_invisible;

use crate::Failure;
use crate::parameters::wrong;

/// The full hash of a commit: 40 hex digits, or 64 in a repository with SHA-256.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Commit(String);

/// What is to be checked out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Revision {
    /// What the repository's HEAD points to.
    Default,
    /// This commit and no other.
    Commit(Commit),
    /// A branch, a tag or a reference.
    Name(String),
}

/// The hash that a repository names its objects with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ObjectFormat {
    Sha1,
    Sha256,
}

impl Commit {
    /// Reads 40 or 64 hex digits.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let is_hash = matches!(text.len(), 40 | 64) && text.bytes().all(|b| b.is_ascii_hexdigit());
        is_hash.then(|| Self(text.to_ascii_lowercase()))
    }

    /// The digits, in lower case.
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl Revision {
    /// Reads the parameter. `refspecs` are those that are fetched first: among what they bring, `name~1` and `name^` may be looked up.
    ///
    /// # Errors
    /// Exit 2 for what git would take for an option, or for more than one reference.
    pub(super) fn parse(given: Option<&str>, refspecs: &[String]) -> Result<Self, Failure> {
        let Some(text) = given else {
            return Ok(Self::Default);
        };
        if let Some(commit) = Commit::parse(text) {
            return Ok(Self::Commit(commit));
        }
        let suffix = if refspecs.is_empty() { "" } else { "~^" };
        let is_good = !text.starts_with(['-', '+', '^', '~', '@'])
            && !text.contains("..")
            && !text.contains("@{")
            && text.len() <= 1024
            && text.chars().all(|c| {
                !is_invisible(c)
                    && !c.is_whitespace()
                    && (!":?*[\\~^".contains(c) || suffix.contains(c))
            });
        if !is_good {
            return Err(wrong(
                "revision",
                text,
                "a branch, a tag, a full commit hash or a reference such as refs/pull/1/head",
            ));
        }
        Ok(Self::Name(text.to_owned()))
    }

    /// What it says about the repository.
    pub(super) fn object_format(&self) -> ObjectFormat {
        match self {
            Self::Commit(commit) if commit.0.len() == 64 => ObjectFormat::Sha256,
            Self::Commit(_) | Self::Default | Self::Name(_) => ObjectFormat::Sha1,
        }
    }

    /// As git is asked for it.
    pub(super) fn as_str(&self) -> &str {
        match self {
            Self::Default => "HEAD",
            Self::Commit(commit) => &commit.0,
            Self::Name(name) => name,
        }
    }

    /// Whether it looks like the beginning of a hash, with which no server can be asked.
    pub(super) fn is_short_hash(&self) -> bool {
        match self {
            Self::Default | Self::Commit(_) => false,
            Self::Name(name) => {
                (4..64).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_hexdigit())
            }
        }
    }
}

impl ObjectFormat {
    /// git's word for it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Sha1 => "sha1",
            Self::Sha256 => "sha256",
        }
    }
}

/// The words of the parameter `refspec`. git itself says what is wrong with one.
///
/// # Errors
/// Exit 2 for a word that git would take for an option.
pub(super) fn refspecs(given: Option<&str>) -> Result<Vec<String>, Failure> {
    let all: Vec<_> = given
        .unwrap_or_default()
        .split_ascii_whitespace()
        .map(str::to_owned)
        .collect();
    if let Some(bad) = all
        .iter()
        .find(|word| word.starts_with('-') || word.chars().any(is_invisible))
    {
        return Err(wrong(
            "refspec",
            bad,
            "one or more of [+]source[:destination], such as refs/pull/1/head:refs/heads/pull, with blanks between",
        ));
    }
    // git reads `tag x` as two words for refs/tags/x:refs/tags/x, which is another thing than two references.
    if all.iter().any(|word| word == "tag") {
        return Err(Failure::misuse(anyhow!("refspec has the word tag"))
            .hint("write refs/tags/NAME:refs/tags/NAME"));
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Revision, Failure> {
        Revision::parse(Some(text), &[])
    }

    #[test]
    fn hashes_names_and_nothing_are_told_apart() {
        let hash = "0A".repeat(20);
        let commit = Commit::parse(&hash).expect("a hash");
        assert_eq!(commit.as_str(), hash.to_lowercase());
        assert_eq!(parse(&hash).expect("good"), Revision::Commit(commit));
        let long = parse(&"0a".repeat(32)).expect("good");
        assert_eq!(long.object_format(), ObjectFormat::Sha256);
        for name in [
            "main",
            "v1.0",
            "refs/pull/1/head",
            "feature/ü+x",
            "HEAD",
            "a@b",
            &"0a".repeat(19),
        ] {
            assert_eq!(parse(name).expect(name), Revision::Name(name.to_owned()));
        }
        assert_eq!(Revision::parse(None, &[]).expect("good"), Revision::Default);
        assert!(parse("abc123").expect("good").is_short_hash());
        assert!(!parse("main").expect("good").is_short_hash());
    }

    #[test]
    fn what_git_could_take_for_something_else_is_refused() {
        for text in [
            "-b",
            "--upload-pack=id",
            "+main",
            "main:refs/heads/x",
            "^main",
            "main~1",
            "a..b",
            "main@{1}",
            "@",
            "a b",
            "a\nb",
            "a\u{0}",
            "*",
            "a\\b",
        ] {
            let failure = parse(text).expect_err(text);
            assert_eq!(failure.code(), crate::exit::MISUSE, "{text}");
        }
        let refspecs = ["refs/heads/*:refs/heads/*".to_owned()];
        assert!(Revision::parse(Some("main~1"), &refspecs).is_ok());
        assert!(Revision::parse(Some("~1"), &refspecs).is_err());
    }

    #[test]
    fn a_refspec_is_one_or_more_words() {
        assert_eq!(
            refspecs(Some(" +refs/heads/*:refs/remotes/origin/*  a:b ")).expect("good"),
            ["+refs/heads/*:refs/remotes/origin/*", "a:b"]
        );
        assert!(refspecs(None).expect("good").is_empty());
        for bad in ["a --upload-pack=id", "-x", "tag v1", "a\u{1b}"] {
            assert!(refspecs(Some(bad)).is_err(), "{bad}");
        }
    }
}
