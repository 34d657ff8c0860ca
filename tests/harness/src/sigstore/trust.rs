//! The files that tell clients which services there are: a trusted root for those who verify, a signing configuration for those who sign.
//!
//! Specification: `sigstore_trustroot.proto` of <https://github.com/sigstore/protobuf-specs>, in the JSON form of protobuf.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::key::{KeyPair, blocks};
use super::{Fulcio, RekorV1, RekorV2, TimestampAuthority};
use crate::tls::VALID_FROM;

/// What all of them are said to belong to.
const OPERATOR: &str = "local.test";

/// A choice of running services. What is not chosen is neither used nor trusted.
#[derive(Clone, Copy, Default)]
pub struct Services<'a> {
    rekor_v1: Option<&'a RekorV1>,
    rekor_v2: Option<&'a RekorV2>,
    fulcio: Option<&'a Fulcio>,
    timestamps: Option<&'a TimestampAuthority>,
}

impl<'a> Services<'a> {
    /// None of them.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// Chooses this log.
    #[must_use]
    pub fn with_rekor_v1(mut self, log: &'a RekorV1) -> Self {
        self.rekor_v1 = Some(log);
        self
    }

    /// Chooses this log.
    #[must_use]
    pub fn with_rekor_v2(mut self, log: &'a RekorV2) -> Self {
        self.rekor_v2 = Some(log);
        self
    }

    /// Chooses this authority, and the log of its certificates.
    #[must_use]
    pub fn with_fulcio(mut self, authority: &'a Fulcio) -> Self {
        self.fulcio = Some(authority);
        self
    }

    /// Chooses this authority.
    #[must_use]
    pub fn with_timestamps(mut self, authority: &'a TimestampAuthority) -> Self {
        self.timestamps = Some(authority);
        self
    }

    /// `trusted_root.json`: who verifies with it believes these services and nobody else. All are trusted from 2020 on.
    #[must_use]
    pub fn trusted_root(&self) -> Value {
        let first = self.rekor_v1;
        let first = first.map(|log| transparency_log(&log.url(), log.key(), &log.log_id()));
        let second = self.rekor_v2;
        let second = second.map(|log| transparency_log(&log.url(), log.key(), &log.log_id()));
        let fulcio = self.fulcio;
        let certificates =
            fulcio.map(|ca| transparency_log(ca.log_url(), ca.log_key(), &ca.log_id()));
        let fulcio = fulcio.map(|ca| authority(&ca.url(), "fulcio root", &ca.root()));
        let timestamps = self.timestamps;
        let timestamps =
            timestamps.map(|tsa| authority(&tsa.url(), "timestamp root", &tsa.chain()));
        json!({
            "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
            "tlogs": first.into_iter().chain(second).collect::<Value>(),
            "certificateAuthorities": fulcio.into_iter().collect::<Value>(),
            "ctlogs": certificates.into_iter().collect::<Value>(),
            "timestampAuthorities": timestamps.into_iter().collect::<Value>(),
        })
    }

    /// What `cosign --signing-config` reads: who signs with it uses these services; of two logs the second version.
    #[must_use]
    pub fn signing_config(&self) -> Value {
        let first = self.rekor_v1.map(|log| service(&log.url(), 1));
        let second = self.rekor_v2.map(|log| service(&log.url(), 2));
        let logs: Vec<_> = first.into_iter().chain(second).collect();
        let fulcio = self.fulcio.map(|ca| service(&ca.url(), 1));
        let timestamps = self.timestamps.map(|tsa| service(&tsa.url(), 1));
        let choice = |is_one: bool| match is_one {
            true => json!({"selector": "ANY"}),
            false => json!({}),
        };
        json!({
            "mediaType": "application/vnd.dev.sigstore.signingconfig.v0.2+json",
            "caUrls": fulcio.into_iter().collect::<Value>(),
            "rekorTlogConfig": choice(!logs.is_empty()),
            "rekorTlogUrls": logs,
            "tsaConfig": choice(timestamps.is_some()),
            "tsaUrls": timestamps.into_iter().collect::<Value>(),
        })
    }
}

fn transparency_log(url: &str, key: &KeyPair, id: &[u8]) -> Value {
    json!({
        "baseUrl": url,
        "hashAlgorithm": "SHA2_256",
        "publicKey": {
            "rawBytes": STANDARD.encode(&key.der),
            "keyDetails": key.kind.details(),
            "validFor": {"start": VALID_FROM},
        },
        "logId": {"keyId": STANDARD.encode(id)},
    })
}

fn authority(url: &str, name: &str, chain: &Path) -> Value {
    let certificates = blocks(chain).into_iter();
    let certificates: Vec<_> = certificates
        .map(|der| json!({"rawBytes": STANDARD.encode(der)}))
        .collect();
    json!({
        "subject": {"organization": OPERATOR, "commonName": name},
        "uri": url,
        "certChain": {"certificates": certificates},
        "validFor": {"start": VALID_FROM},
    })
}

fn service(url: &str, version: u32) -> Value {
    json!({
        "url": url,
        "majorApiVersion": version,
        "validFor": {"start": VALID_FROM},
        "operator": OPERATOR,
    })
}
