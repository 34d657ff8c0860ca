//! Decides which registries may be contacted, for a program that takes the names of images from others.
//!
//! ```text
//!  repository ─▶ admit: is it listed? ──────────────────────────────┐
//!  URL of a request, redirect, upload or token realm ─▶ judge ──────┤ Refused ─▶ nothing is sent
//!                       └▶ Gate ─▶ Sieve: each address of a name ───┘
//! ```
//!
//! A tenant who writes an image name into a result chooses where the program connects, from inside the cluster's
//! network. What is judged is therefore what is connected to: an IP literal in the URL as the client reads it, and of a
//! name every address it resolves to, at the moment of connecting, so that a name which resolves to another address the
//! second time is of no use.
//!
//! What this does not do: with a proxy from the environment the proxy resolves names, so only literals and known names
//! are judged here, and the proxy has to refuse the rest; a proxy on loopback is to be written as an address or as
//! localhost. A NAT64 prefix of the network's own is not known. Private addresses (10/8, 172.16/12, 192.168/16,
//! fc00::/7) are allowed: registries of clusters live there.

mod address;
mod place;
mod sieve;

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use reqwest::Url;
use tekseal_core::Repository;

use self::place::{Listed, Place};
pub(crate) use self::sieve::Sieve;
use crate::http::{bare_host, is_localhost};

/// Names of metadata services. Where they are resolved here their addresses would tell; a proxy may resolve them instead.
const METADATA_NAMES: &[&str] = &[
    "metadata",
    "metadata.google.internal",
    "metadata.goog",
    "instance-data",
    "instance-data.ec2.internal",
];

/// Which registries may be contacted. The default refuses only what no image is ever pulled from.
#[derive(Clone, Debug, Default)]
pub struct Guard {
    listed: Vec<Listed>,
    api_names: Vec<Place>,
    api_addresses: Vec<(IpAddr, Option<u16>)>,
}

/// Why a guard cannot be made.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Error {
    /// An entry of the allowed registries is no registry.
    #[error(
        "allowed registry {text:?} is not host[:port] with an optional path, without scheme, tag and wildcards"
    )]
    Allowed {
        /// The entry.
        text: String,
    },
    /// An entry of the API server's names and addresses is neither.
    #[error("API server {text:?} is not a host name or address with an optional port")]
    ApiServer {
        /// The entry.
        text: String,
    },
}

/// A place that is not connected to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Refused {
    /// Why.
    pub reason: Reason,
    /// The address, where a name resolved to it.
    pub resolved: Option<IpAddr>,
}

/// Why a place is not connected to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// There is a list, and the registry or the path is not in it.
    Unlisted,
    /// This machine itself (127/8, ::1, localhost), and not listed.
    Loopback,
    /// 0/8 and ::, which lead to this machine as well.
    Unspecified,
    /// 169.254/16 and fe80::/10.
    LinkLocal,
    /// Multicast and broadcast.
    Multicast,
    /// A metadata service of a cloud.
    Metadata,
    /// The API server of the cluster.
    ApiServer,
}

/// What was found out about a URL and still has to be known when its name is resolved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Gate {
    /// A listed registry may be on loopback.
    listed: bool,
    /// The port, if the API server has such a one: a resolver is not told. Others are left out, so that a client and its
    /// connections can serve them all.
    api_port: Option<u16>,
    /// A proxy of the environment may be called localhost; a registry of that name never goes through one.
    local_proxy: bool,
}

impl Guard {
    /// A guard that knows the allowed registries and the API server.
    ///
    /// `allowed` has entries `host`, `host:port` or either with `/path-prefix`, which ends where a segment of the path
    /// ends. With any entry only listed registries are contacted, also on loopback; their token servers and the servers
    /// to which they redirect need not be listed, unless they are on loopback. Docker Hub is `docker.io`.
    ///
    /// `api_server` has the host names and addresses of the API server, each with its port or, for all ports, without
    /// one. Being listed does not help them, nor the other forbidden addresses.
    ///
    /// # Errors
    /// [`Error::Allowed`] and [`Error::ApiServer`] for an entry of another form.
    pub fn new<T: AsRef<str>>(allowed: &[T], api_server: &[T]) -> Result<Self, Error> {
        let mut guard = Self::default();
        for text in allowed {
            let text = text.as_ref();
            let listed = Listed::parse(text).ok_or_else(|| Error::Allowed {
                text: text.to_owned(),
            })?;
            guard.listed.push(listed);
        }
        for text in api_server {
            let text = text.as_ref();
            let place = Place::parse(text).ok_or_else(|| Error::ApiServer {
                text: text.to_owned(),
            })?;
            // Localhost is asked for by its name and by its address.
            let loopback = is_localhost(place.host()).then_some(Ipv4Addr::LOCALHOST.into());
            if let Some(address) = place.address().or(loopback) {
                let address = address.to_canonical();
                guard.api_addresses.push((address, place.port()));
            }
            guard.api_names.push(place);
        }
        Ok(guard)
    }

    /// Whether `repository`, whose registry is at `base`, is allowed by the list. Addresses are judged with each request.
    pub(crate) fn admit(&self, repository: &Repository, base: &Url) -> Result<(), Refused> {
        let is_listed = |listed: &Listed| listed.covers(base, repository.path());
        if self.listed.is_empty() || self.listed.iter().any(is_listed) {
            return Ok(());
        }
        Err(Reason::Unlisted.into())
    }

    /// Whether a request may go to `url`, as far as the URL tells. What the gate lets through is to be resolved by a
    /// [`Sieve`] with that gate.
    pub(crate) fn judge(&self, url: &Url) -> Result<Gate, Refused> {
        let host = bare_host(url);
        let port = url.port_or_known_default();
        let is_api_port = |(_, known): &(IpAddr, Option<u16>)| known.is_some() && *known == port;
        let gate = Gate {
            listed: self.listed.iter().any(|listed| listed.is_at(url)),
            api_port: port.filter(|_| self.api_addresses.iter().any(is_api_port)),
            local_proxy: false,
        };
        let reason = match host.parse() {
            Ok(address) => self.judge_address(address, gate),
            Err(_) if METADATA_NAMES.contains(&host) => Some(Reason::Metadata),
            Err(_) if self.api_names.iter().any(|place| place.has(url)) => Some(Reason::ApiServer),
            Err(_) if is_localhost(host) && !gate.listed => Some(Reason::Loopback),
            Err(_) => None,
        };
        match reason {
            Some(reason) => Err(reason.into()),
            None => Ok(gate),
        }
    }

    /// What speaks against `address`, which may have another one inside it.
    fn judge_address(&self, address: IpAddr, gate: Gate) -> Option<Reason> {
        // A server on loopback mostly answers at every address of it.
        let is_same = |known: &IpAddr, face: &IpAddr| {
            known == face || known.is_loopback() && face.is_loopback()
        };
        let is_api_server = |face: &IpAddr| {
            self.api_addresses.iter().any(|(known, port)| {
                is_same(known, face) && (port.is_none() || *port == gate.api_port)
            })
        };
        address::faces(address).into_iter().find_map(|face| {
            if is_api_server(&face) {
                return Some(Reason::ApiServer);
            }
            address::reason(face).filter(|reason| *reason != Reason::Loopback || !gate.listed)
        })
    }

    /// The addresses of a name that may be connected to; an error if it has only others.
    fn sift(&self, addresses: Vec<SocketAddr>, gate: Gate) -> Result<Vec<SocketAddr>, Refused> {
        let mut refused = None;
        let mut passed = addresses;
        passed.retain(|address| match self.judge_address(address.ip(), gate) {
            Some(reason) => {
                refused.get_or_insert(Refused {
                    reason,
                    resolved: Some(address.ip()),
                });
                false
            }
            None => true,
        });
        match refused {
            Some(refused) if passed.is_empty() => Err(refused),
            _ => Ok(passed),
        }
    }
}

impl Gate {
    /// The same for a client that may go through a proxy of the environment.
    pub(crate) fn with_local_proxy(self) -> Self {
        Self {
            local_proxy: true,
            ..self
        }
    }
}

impl From<Reason> for Refused {
    fn from(reason: Reason) -> Self {
        Self {
            reason,
            resolved: None,
        }
    }
}

impl Refused {
    /// The next action.
    pub(crate) fn hint(self) -> &'static str {
        match self.reason {
            Reason::Unlisted | Reason::Loopback => {
                "list the registry in tekseal.registries, which then forbids all that are not listed"
            }
            Reason::Unspecified
            | Reason::LinkLocal
            | Reason::Multicast
            | Reason::Metadata
            | Reason::ApiServer => {
                "correct the image name: listing it in tekseal.registries does not help here"
            }
        }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.resolved {
            Some(address) => write!(f, "it resolves to {address}, which {}", self.reason),
            None => write!(f, "it {}", self.reason),
        }
    }
}

/// The end of a sentence about a place.
impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unlisted => "is not listed in tekseal.registries",
            Self::Loopback => "is on loopback and not listed in tekseal.registries",
            Self::Unspecified => "is an unspecified address",
            Self::LinkLocal => "is a link-local address",
            Self::Multicast => "is a multicast or broadcast address",
            Self::Metadata => "is a cloud's metadata service",
            Self::ApiServer => "is the API server of the cluster",
        })
    }
}

#[cfg(test)]
mod tests;
