//! To which images a policy applies: one way to write it, from which each peer's own is made.
//!
//! Peers read `*` differently (within a part of a path, or across parts), match tags and digests or do not, and know Docker Hub by different
//! names. So a pattern here is a repository with its registry, and a star stands at its end at most, where it means: however it goes on.

use std::fmt;

/// Images: those of one repository, or of all whose names begin so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Pattern {
    /// Repositories of one registry.
    Repositories {
        /// The registry: host with optional port.
        host: String,
        /// Path of the repository, or its beginning; empty where all of the registry are meant.
        path: String,
        /// Which repositories.
        extent: Extent,
    },
    /// `*.DOMAIN`: every registry of that domain; without the `*.`.
    Domain(String),
}

/// Which repositories a path stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extent {
    /// `HOST/PATH`: this one.
    One,
    /// `HOST/*`, `HOST/PATH/*`: all below, however deep.
    Below,
    /// `HOST/PATH*`: all that begin so.
    Beginning,
}

/// Docker Hub, as images name it.
pub(super) const DOCKER_HUB: &str = "docker.io";

/// All names of Docker Hub.
pub(super) const DOCKER_HUBS: [&str; 3] = [DOCKER_HUB, "index.docker.io", "registry-1.docker.io"];

/// Where the images of Docker Hub lie that are written without an owner.
pub(super) const OFFICIAL: &str = "library/";

/// Why something is no pattern for images.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(super) enum PatternError {
    /// A star that is not at the end.
    #[error("the pattern {0:?} has a * elsewhere than at its end or, as *., before a domain")]
    Star(String),
    /// The registry is missing: what stands for it differs from peer to peer.
    #[error("the pattern {0:?} names no registry")]
    NoRegistry(String),
    /// A tag or a digest.
    #[error("the pattern {0:?} names a tag or a digest")]
    Tag(String),
    /// What is before the star is no repository.
    #[error(
        "the pattern {0:?} names no repositories: a path has the characters a-z 0-9 _ - . between slashes"
    )]
    Path(String),
}

impl Pattern {
    /// Reads `HOST/PATH`, `HOST/PATH/*`, `HOST/*`, `HOST/PATH*` or `*.DOMAIN`; `/**` is the same as `/*`. The registry must be there, with a dot, a
    /// port, or as `localhost`.
    ///
    /// # Errors
    /// For anything else.
    pub(super) fn parse(text: &str) -> Result<Self, PatternError> {
        if let Some(domain) = text.strip_prefix("*.") {
            let is_domain = is_host(domain) && !domain.contains(':');
            return match is_domain {
                true => Ok(Self::Domain(domain.to_owned())),
                false => Err(PatternError::Star(text.to_owned())),
            };
        }
        let literal = match text.strip_suffix("/**") {
            Some(below) => format!("{below}/*"),
            None => text.to_owned(),
        };
        let (literal, has_star) = match literal.strip_suffix('*') {
            Some(literal) => (literal, true),
            None => (literal.as_str(), false),
        };
        if literal.contains('*') {
            return Err(PatternError::Star(text.to_owned()));
        }
        let Some((host, path)) = literal.split_once('/') else {
            return Err(PatternError::NoRegistry(text.to_owned()));
        };
        let names_registry = host == "localhost" || host.contains(['.', ':']);
        if !names_registry || !is_host(host) {
            return Err(PatternError::NoRegistry(text.to_owned()));
        }
        if path.contains(['@', ':']) {
            return Err(PatternError::Tag(text.to_owned()));
        }
        let (path, extent) = match (has_star, path.strip_suffix('/')) {
            (true, Some(path)) => (path, Extent::Below),
            (true, None) if path.is_empty() => (path, Extent::Below),
            (true, None) => (path, Extent::Beginning),
            (false, _) => (path, Extent::One),
        };
        let host = match DOCKER_HUBS.contains(&host) {
            true => DOCKER_HUB,
            false => host,
        };
        // An image of one name alone is below library/ there, which only some know.
        let has_owner = host != DOCKER_HUB || extent != Extent::One || path.contains('/');
        let is_whole = extent == Extent::Below && path.is_empty() && !literal.ends_with("//");
        if !has_owner || !(is_whole || is_path(path, extent)) {
            return Err(PatternError::Path(text.to_owned()));
        }
        Ok(Self::Repositories {
            host: host.to_owned(),
            path: path.to_owned(),
            extent,
        })
    }

    /// Whether images of `repository`, HOST/PATH, are among those that it names.
    pub(super) fn covers(&self, repository: &str) -> bool {
        let Ok(Self::Repositories { host, path, .. }) = Self::parse(repository) else {
            return false;
        };
        match self {
            Self::Domain(domain) => {
                let (name, _) = host.split_once(':').unwrap_or((&host, ""));
                let registry = name.strip_suffix(domain.as_str());
                registry.is_some_and(|registry| registry.ends_with('.'))
            }
            Self::Repositories {
                host: named,
                path: beginning,
                extent,
            } => {
                let rest = path.strip_prefix(beginning.as_str());
                *named == host
                    && rest.is_some_and(|rest| match extent {
                        Extent::One => rest.is_empty(),
                        Extent::Below => beginning.is_empty() || rest.starts_with('/'),
                        Extent::Beginning => true,
                    })
            }
        }
    }

    /// Whether it is of Docker Hub, whose images have several names.
    pub(super) fn is_of_docker_hub(&self) -> bool {
        matches!(self, Self::Repositories { host, .. } if host == DOCKER_HUB)
    }
}

fn is_host(text: &str) -> bool {
    let (host, port) = text.split_once(':').unwrap_or((text, "443"));
    let is_label = |label: &str| {
        label
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && label.starts_with(|c: char| c != '-')
            && !label.ends_with('-')
    };
    host.split('.').all(is_label)
        && (1..=5).contains(&port.len())
        && port.bytes().all(|b| b.is_ascii_digit())
}

fn is_path(path: &str, extent: Extent) -> bool {
    let is_part = |part: &str| {
        part.bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_-.".contains(&b))
            && part.starts_with(|c: char| c.is_ascii_alphanumeric())
    };
    let ends_well = path.ends_with(|c: char| c.is_ascii_alphanumeric());
    path.len() <= 255 && path.split('/').all(is_part) && (ends_well || extent == Extent::Beginning)
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Domain(domain) => write!(f, "*.{domain}"),
            Self::Repositories { host, path, extent } => {
                let slash = if path.is_empty() { "" } else { "/" };
                let star = match extent {
                    Extent::One => "",
                    Extent::Below => "/*",
                    Extent::Beginning => "*",
                };
                write!(f, "{host}{slash}{path}{star}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> (String, String, Extent) {
        match Pattern::parse(text).expect(text) {
            Pattern::Repositories { host, path, extent } => (host, path, extent),
            Pattern::Domain(domain) => panic!("{text} is the domain {domain}"),
        }
    }

    #[test]
    fn patterns_name_one_repository_or_all_that_begin_so() {
        for (text, host, path, extent) in [
            ("quay.io/org/app", "quay.io", "org/app", Extent::One),
            ("quay.io/org/*", "quay.io", "org", Extent::Below),
            ("quay.io/org/**", "quay.io", "org", Extent::Below),
            ("127.0.0.1:5000/*", "127.0.0.1:5000", "", Extent::Below),
            ("localhost/app", "localhost", "app", Extent::One),
            (
                "quay.io/org/app-*",
                "quay.io",
                "org/app-",
                Extent::Beginning,
            ),
            (
                "index.docker.io/library/*",
                "docker.io",
                "library",
                Extent::Below,
            ),
        ] {
            assert_eq!(
                of(text),
                (host.to_owned(), path.to_owned(), extent),
                "{text}"
            );
        }
        assert_eq!(
            Pattern::parse("*.example.com"),
            Ok(Pattern::Domain("example.com".into()))
        );
        for text in [
            "quay.io/org/app",
            "quay.io/org/*",
            "quay.io/*",
            "quay.io/org/app*",
            "*.example.com",
        ] {
            assert_eq!(Pattern::parse(text).expect(text).to_string(), text);
        }
    }

    #[test]
    fn a_pattern_covers_the_repositories_that_it_names() {
        let image = "quay.io/org/app";
        for (pattern, is_covered) in [
            ("quay.io/org/app", true),
            ("quay.io/org/*", true),
            ("quay.io/*", true),
            ("quay.io/org/a*", true),
            ("quay.io/org/app*", true),
            ("*.io", true),
            ("quay.io/org/app/*", false),
            ("quay.io/org/ap", false),
            ("quay.io/or/*", false),
            ("other.io/*", false),
            ("*.ay.io", false),
            ("*.quay.io", false),
        ] {
            let parsed = Pattern::parse(pattern).expect(pattern);
            assert_eq!(parsed.covers(image), is_covered, "{pattern}");
        }
        let hub = Pattern::parse("docker.io/library/*").expect("a pattern");
        assert!(hub.covers("index.docker.io/library/nginx"));
    }

    #[test]
    fn bad_patterns_are_refused_by_what_is_wrong() {
        use PatternError::{NoRegistry, Path, Star, Tag};
        let refused = |text: &str| Pattern::parse(text).expect_err(text);
        for text in [
            "*",
            "app",
            "org/app",
            "org/*",
            "quay.io",
            "",
            "[::1]/x/*",
            "qu ay.io/x/*",
            "-a.io/x/*",
            "a.io:x/y",
        ] {
            assert!(
                matches!(refused(text), NoRegistry(_)),
                "{text}: {:?}",
                refused(text)
            );
        }
        for text in [
            "*/*",
            "**",
            "quay.io/*/app",
            "q*.io/org/app",
            "*.example.com/org",
            "*.*.com",
            "quay.io/org/***",
        ] {
            assert!(
                matches!(refused(text), Star(_)),
                "{text}: {:?}",
                refused(text)
            );
        }
        for text in [
            "quay.io/org/app:1",
            "quay.io/org/app@sha256:ab",
            "quay.io/org/app:*",
        ] {
            assert!(
                matches!(refused(text), Tag(_)),
                "{text}: {:?}",
                refused(text)
            );
        }
        for text in [
            "quay.io/Org/app",
            "quay.io/org/a b",
            "quay.io/org/\"*",
            "quay.io/org/{{x}}/*",
            "quay.io/org/app\n*",
            "quay.io//*",
            "quay.io//x",
            "quay.io/org?/*",
            "quay.io/$(x)/*",
            "quay.io/../x",
            "quay.io/",
            "quay.io/org/",
            "docker.io/app",
            "quay.io/org/-*",
        ] {
            assert!(
                matches!(refused(text), Path(_)),
                "{text}: {:?}",
                refused(text)
            );
        }
    }
}
