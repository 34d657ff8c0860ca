//! Which registries must show buildah a valid certificate: all, but those on loopback and those named as insecure, unless it was said.

use std::net::IpAddr;

use tekseal_core::ImageRef;

/// Whether a registry must show a valid certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tls {
    Verify,
    Insecure,
}

/// What was said of all registries, and which are named as insecure.
#[derive(Clone, Debug, Default)]
pub(super) struct Trust {
    said: Option<Tls>,
    insecure: Vec<String>,
}

impl Trust {
    /// `said` wins over everything; `insecure` are hosts with or without port.
    pub(super) fn new(said: Option<Tls>, insecure: Vec<String>) -> Self {
        Self { said, insecure }
    }

    /// What TLSVERIFY says, if it was given.
    pub(super) fn said(&self) -> Option<Tls> {
        self.said
    }

    /// For one registry.
    pub(super) fn of(&self, registry: &str) -> Tls {
        let named = || {
            let known = |host: &String| host.eq_ignore_ascii_case(registry);
            self.insecure.iter().any(known)
        };
        match self.said {
            Some(said) => said,
            None if named() || is_loopback(registry) => Tls::Insecure,
            None => Tls::Verify,
        }
    }

    /// For a call that may talk to the registries of all these images, since buildah has one option for all: lax only if each may be.
    pub(super) fn of_all(&self, images: &[String]) -> Tls {
        let lax = |image: &String| {
            ImageRef::parse(image)
                .is_ok_and(|image| self.of(image.repository.registry()) == Tls::Insecure)
        };
        match self.said {
            Some(said) => said,
            None if !images.is_empty() && images.iter().all(lax) => Tls::Insecure,
            None => Tls::Verify,
        }
    }
}

/// `localhost`, 127.0.0.0/8 or `[::1]`, with or without port: nobody is between.
fn is_loopback(registry: &str) -> bool {
    let host = match registry.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => host,
        _ => registry,
    };
    let bare = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .unwrap_or(host);
    bare.eq_ignore_ascii_case("localhost")
        || bare
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_and_named_registries_need_no_certificate() {
        let trust = Trust::new(None, vec!["r.example:5000".to_owned()]);
        for (registry, wanted) in [
            ("localhost", Tls::Insecure),
            ("localhost:5000", Tls::Insecure),
            ("127.8.0.1:1", Tls::Insecure),
            ("[::1]", Tls::Insecure),
            ("[::1]:5000", Tls::Insecure),
            ("R.example:5000", Tls::Insecure),
            ("r.example", Tls::Verify),
            ("r.example:5001", Tls::Verify),
            ("localhost.example", Tls::Verify),
            ("127.0.0.1.example:80", Tls::Verify),
            ("10.0.0.1:5000", Tls::Verify),
            ("index.docker.io", Tls::Verify),
        ] {
            assert_eq!(trust.of(registry), wanted, "{registry}");
        }
    }

    #[test]
    fn what_was_said_wins() {
        let images = ["localhost:5000/a".to_owned(), "r.example/b".to_owned()];
        for said in [Tls::Verify, Tls::Insecure] {
            let trust = Trust::new(Some(said), vec!["r.example".to_owned()]);
            assert_eq!(trust.of("localhost"), said);
            assert_eq!(trust.of("r.example"), said);
            assert_eq!(trust.of("q.example"), said);
            assert_eq!(trust.of_all(&images), said);
        }
    }

    #[test]
    fn one_registry_that_must_be_verified_is_enough() {
        let trust = Trust::default();
        let local = "localhost:5000/app:1".to_owned();
        assert_eq!(trust.of_all(std::slice::from_ref(&local)), Tls::Insecure);
        assert_eq!(trust.of_all(&[local, "alpine".to_owned()]), Tls::Verify);
        assert_eq!(trust.of_all(&[]), Tls::Verify);
    }
}
