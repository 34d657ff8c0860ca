//! Hosts, ports and paths as settings name them, compared with URLs.

use std::net::IpAddr;

use reqwest::Url;

use crate::http::{DOCKER_HUB, DOCKER_HUB_API, bare_host, url_of};

/// A host and perhaps a port.
#[derive(Clone, Debug)]
pub(super) struct Place {
    /// As the URL reader writes it, without brackets and the dot at the end.
    host: String,
    port: Option<u16>,
}

/// An entry of the list: a registry, or what is below a path of it.
#[derive(Clone, Debug)]
pub(super) struct Listed {
    place: Place,
    /// Without slashes around it; empty for the whole registry.
    path: String,
}

impl Place {
    /// `host` or `host:port`; an IPv6 address may stand without brackets if it has no port.
    pub(super) fn parse(text: &str) -> Option<Self> {
        if let Ok(address) = text.parse::<IpAddr>() {
            let host = address.to_string();
            return Some(Self { host, port: None });
        }
        // The URL reader takes a star for a letter, and drops a port that is the scheme's own.
        let (https, http) = (url_of("https", text)?, url_of("http", text)?);
        let host = bare_host(&https).to_owned();
        if host.is_empty() || host.contains('*') {
            return None;
        }
        Some(Self {
            host,
            port: https.port().or(http.port()),
        })
    }

    pub(super) fn host(&self) -> &str {
        &self.host
    }

    pub(super) fn address(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }

    pub(super) fn port(&self) -> Option<u16> {
        self.port
    }

    /// Whether `url` is at this host and, if the place has one, at this port.
    pub(super) fn has(&self, url: &Url) -> bool {
        bare_host(url) == self.host
            && (self.port.is_none() || self.port == url.port_or_known_default())
    }
}

impl Listed {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (place, path) = text.split_once('/').unwrap_or((text, ""));
        let path = path.strip_suffix('/').unwrap_or(path);
        let is_segment = |segment: &str| {
            !matches!(segment, "" | "." | "..")
                && segment
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_-.".contains(&b))
        };
        if !path.is_empty() && !path.split('/').all(is_segment) {
            return None;
        }
        let mut place = Place::parse(place)?;
        if place.port.is_none() && matches!(place.host.as_str(), "docker.io" | DOCKER_HUB) {
            place.host = DOCKER_HUB_API.to_owned();
        }
        Some(Self {
            place,
            path: path.to_owned(),
        })
    }

    /// Whether `url` is at this registry. Without a port that is the port of the scheme, not every port.
    pub(super) fn is_at(&self, url: &Url) -> bool {
        self.place.has(url) && (self.place.port.is_some() || url.port().is_none())
    }

    /// Whether the repository `path` of the registry at `base` is meant.
    pub(super) fn covers(&self, base: &Url, path: &str) -> bool {
        let rest = path.strip_prefix(&self.path);
        let is_below = rest
            .is_some_and(|rest| self.path.is_empty() || rest.is_empty() || rest.starts_with('/'));
        is_below && self.is_at(base)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).expect("the URL is well formed")
    }

    fn listed(text: &str) -> Listed {
        Listed::parse(text).expect(text)
    }

    #[test]
    fn an_entry_means_its_registry_and_port_alone() {
        for (entry, base, expected) in [
            ("r.example", "https://r.example/", true),
            ("R.Example.", "https://r.example/", true),
            ("r.example", "http://r.example/", true),
            ("r.example", "https://r.example:5000/", false),
            ("r.example", "https://x.r.example/", false),
            ("r.example:443", "https://r.example/", true),
            ("r.example:443", "http://r.example/", false),
            ("r.example:80", "http://r.example/", true),
            ("r.example:5000", "https://r.example:5000/", true),
            ("r.example:5000", "https://r.example:5001/", false),
            ("0x7f.1:5000", "http://127.0.0.1:5000/", true),
            ("[::1]:5000", "http://[::1]:5000/", true),
            ("docker.io", "https://registry-1.docker.io/", true),
        ] {
            assert_eq!(
                listed(entry).covers(&url(base), "org/app"),
                expected,
                "{entry} {base}"
            );
        }
    }

    #[test]
    fn a_path_ends_where_a_segment_ends() {
        let base = url("https://r.example/");
        let entry = listed("r.example/org/team/");
        for (path, expected) in [
            ("org/team", true),
            ("org/team/app", true),
            ("org/teams", false),
            ("org", false),
            ("x/org/team", false),
        ] {
            assert_eq!(entry.covers(&base, path), expected, "{path}");
        }
    }

    #[test]
    fn what_is_no_registry_is_no_entry() {
        for text in [
            "",
            "/org",
            "*",
            "*.example",
            "https://r.example",
            "u@r.example",
            "r.example:",
            "r.example:x",
            "r.example//org",
            "r.example/org//",
            "r.example/../org",
            "r.example/Org",
            "r.example/org:tag",
            "r.example/org*",
            "r example",
        ] {
            assert!(Listed::parse(text).is_none(), "{text}");
        }
    }
}
