//! Keys and certificates of a trusted root, as policies need them: in PEM, and only what is in use.

use std::path::Path;

use anyhow::anyhow;
use tekseal_core::TrustedRoot;
use tekseal_core::trusted_root::{self, LogKey};
use tekseal_signing::{PublicKey, pem};

use super::policy::{Log, Root};
use crate::{Failure, files};

/// What stands for the root of Sigstore's public instance.
const PUBLIC_GOOD: &str = "public-good";
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
    let is_public = path == PUBLIC_GOOD;
    let bytes = match is_public {
        true => trusted_root::PUBLIC_GOOD.to_vec(),
        false => files::read(Path::new(path), MOST_BYTES, "trusted root")?,
    };
    let read = || {
        let root = TrustedRoot::parse(&bytes).map_err(Failure::misuse)?;
        let json = String::from_utf8(bytes.clone()).map_err(Failure::misuse)?;
        let in_use = |log: &&LogKey| log.valid.covers(now);
        let logs: Vec<_> = root.logs.iter().filter(in_use).collect();
        let log = match url {
            None => (logs.len() == 1).then(|| logs.first()).flatten(),
            Some(url) => {
                let is_it = |log: &&&LogKey| {
                    log.base_url.trim_end_matches('/') == url.trim_end_matches('/')
                };
                let found = logs.iter().find(is_it).ok_or_else(|| {
                    let known: Vec<_> = logs.iter().map(|log| log.base_url.as_str()).collect();
                    Failure::misuse(anyhow!("it has no log {url} in use"))
                        .hint(format!("logs in use: {}", known.join(", ")))
                })?;
                Some(found)
            }
        };
        let log = log.map(|log| {
            Ok::<_, Failure>(Log {
                url: Some(log.base_url.clone()),
                key: key(log)?,
            })
        });
        let certificate_logs = root.certificate_logs.iter().filter(in_use).map(key);
        let authorities = root.certificate_authorities.iter();
        let certificates = authorities
            .filter(|authority| authority.valid.covers(now))
            .flat_map(|authority| &authority.chain)
            .map(|certificate| pem::write("CERTIFICATE", certificate));
        let material = Root {
            is_public,
            // A text ends its last line, as everybody writes it.
            json: format!("{}\n", json.trim_end()),
            authorities: certificates.collect(),
            certificate_logs: certificate_logs.collect::<Result<_, _>>()?,
        };
        Ok((material, log.transpose()?))
    };
    read().map_err(|failure: Failure| failure.context(format!("reading the trusted root {path}")))
}

fn key(log: &LogKey) -> Result<String, Failure> {
    let key = PublicKey::from_spki(&log.public_key);
    let key = key.map_err(|e| {
        Failure::misuse(e).context(format!("reading the key of the log {:?}", log.base_url))
    })?;
    Ok(key.to_pem())
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
