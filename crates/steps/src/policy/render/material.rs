//! Keys and certificates of a trusted root, as policies need them: in PEM, and only what is in use.

use std::path::Path;

use anyhow::anyhow;
use tekseal_core::TrustedRoot;
use tekseal_core::trusted_root::{self, LogKey};
use tekseal_signing::certificate::SubjectNames;
use tekseal_signing::{PublicKey, pem};

use super::policy::{Authority, Log, Root};
use crate::trusted_root::{bytes_of, is_public_good};
use crate::{Failure, files};

/// No trusted root and no key comes near this size.
const MOST_BYTES: u64 = 1 << 20;

/// What the trusted root at `path` says at `now`, seconds since 1970: its material, and the one log that has this address, or that alone is in use.
///
/// # Errors
/// Exit 2 if it cannot be read, and for an address that no log of it has.
pub(super) fn trusted_root(
    path: &str,
    url: Option<&str>,
    now: i64,
) -> Result<(Root, Option<Log>), Failure> {
    let bytes = bytes_of(path, MOST_BYTES)?;
    let read = || {
        let root = TrustedRoot::parse(&bytes).map_err(Failure::misuse)?;
        let logs = logs(&root.logs, now)?;
        let log = match url {
            None if logs.len() == 1 => logs.first(),
            None => None,
            Some(url) => Some(named(&logs, url)?),
        };
        let log = log.cloned();
        let material = Root {
            is_public: is_public_good(path),
            logs,
            authorities: authorities(&root.certificate_authorities, now)?,
            certificate_logs: self::logs(&root.certificate_logs, now)?,
            timestamp_authorities: authorities(&root.timestamp_authorities, now)?,
        };
        Ok((material, log))
    };
    read().map_err(|failure: Failure| failure.context(format!("reading the trusted root {path}")))
}

/// The log with this address.
fn named<'a>(logs: &'a [Log], url: &str) -> Result<&'a Log, Failure> {
    let same = |log: &&Log| {
        let address = log.url.as_deref().unwrap_or_default();
        address.trim_end_matches('/') == url.trim_end_matches('/')
    };
    logs.iter().find(same).ok_or_else(|| {
        let known: Vec<_> = logs.iter().filter_map(|log| log.url.as_deref()).collect();
        Failure::misuse(anyhow!("it has no log {url} in use"))
            .hint(format!("logs in use: {}", known.join(", ")))
    })
}

fn logs(all: &[LogKey], now: i64) -> Result<Vec<Log>, Failure> {
    let in_use = all.iter().filter(|log| log.valid.covers(now));
    let read = in_use.map(|log| {
        let url = log.base_url.clone();
        let key = PublicKey::from_spki(&log.public_key).map_err(|e| {
            Failure::misuse(e).context(format!("reading the key of the log {url:?}"))
        })?;
        Ok(Log {
            url: Some(url),
            key: key.to_pem(),
        })
    });
    read.collect()
}

fn authorities(all: &[trusted_root::Authority], now: i64) -> Result<Vec<Authority>, Failure> {
    let in_use = all.iter().filter(|authority| authority.valid.covers(now));
    let read = in_use.map(|authority| {
        let root = authority.chain.last().map(Vec::as_slice);
        let names = SubjectNames::of(root.unwrap_or_default()).map_err(|e| {
            Failure::misuse(e).context(format!("reading the authority {:?}", authority.uri))
        })?;
        let chain = authority.chain.iter();
        Ok(Authority {
            uri: authority.uri.clone(),
            chain: chain.map(|der| pem::write("CERTIFICATE", der)).collect(),
            names,
        })
    });
    read.collect()
}

/// The key of a log in the file at `path`.
///
/// # Errors
/// Exit 2 if it cannot be read.
pub(super) fn log_key(path: &str) -> Result<String, Failure> {
    let bytes = files::read(Path::new(path), MOST_BYTES, "key of the log")?;
    let key = PublicKey::from_pem(&bytes)
        .map_err(|e| Failure::misuse(e).context(format!("reading the key of the log {path}")))?;
    Ok(key.to_pem())
}
