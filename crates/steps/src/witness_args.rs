//! Who is told of every signature before it is stored: transparency logs and timestamp authorities, by flags, a signing configuration, or Chains'.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::anyhow;
use jiff::Timestamp;
use tekseal_attest::Witnesses;
use tekseal_attest::witness::{self, NoRoom, NoTrust, Trace};
use tekseal_core::config::{Transparency, Upload};
use tekseal_core::marks::TRANSPARENCY_UPLOAD;
use tekseal_core::signing_config::{Purpose, Service, SigningConfig};
use tekseal_core::{Layout, PayloadKind};
use tekseal_remote::log::Options;
use tekseal_remote::{LogVersion, Rekor, TimestampAuthority};
use tekseal_signing::Trust;
use tekseal_signing::witness::EnvelopeEntry;

use crate::keyless_args::Around;
use crate::registry_args::{RegistryArgs, given, told_to_wait};
use crate::trusted_root::{parse_trusted_root, read_trusted_root};
use crate::{Failure, files, log, source_args};

/// No signing configuration comes near this size.
const MOST_BYTES: u64 = 1 << 20;

/// The only version of the protocol of timestamp authorities.
const TIMESTAMP_API: u64 = 1;

/// Who is told of signatures. Nobody, unless something says so.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct WitnessArgs {
    /// Transparency log that is told of every signature: off, v1 (Rekor), or v2 (Rekor v2, whose entries go into bundles alone); without it what
    /// --signing-config says, else transparency.enabled of the configuration, else off
    #[arg(long, env = "TEKSEAL_TLOG", value_name = "VERSION")]
    tlog: Option<String>,
    /// Address of the log; without it that of --signing-config, else transparency.url of the configuration, else for v1 the public one
    #[arg(long, env = "TEKSEAL_REKOR_URL", value_name = "URL")]
    rekor_url: Option<String>,
    /// Kind of entry that an attestation is in a log v1: dsse, or the older intoto, which bundles cannot have; dsse if not given
    #[arg(long, env = "TEKSEAL_REKOR_ENTRY_TYPE", value_name = "KIND")]
    rekor_entry_type: Option<String>,
    /// Address of a timestamp authority (RFC 3161) that signs the time of every signature; may be repeated where bundles alone are stored
    #[arg(
        long,
        env = "TEKSEAL_TIMESTAMP_URLS",
        value_name = "URL",
        value_delimiter = ','
    )]
    timestamp_url: Vec<String>,
    /// Signing configuration of Sigstore (signing_config.v0.2.json), whose logs, timestamp authorities and Fulcio are used where no flag names one
    #[arg(long, env = "TEKSEAL_SIGNING_CONFIG", value_name = "FILE")]
    signing_config: Option<String>,
    /// Trusted root of Sigstore (trusted_root.json), by which answers of logs, timestamp authorities and Fulcio are verified before anything is stored;
    /// without it a log v1 is believed by the key that it tells itself
    #[arg(long, env = "TEKSEAL_TRUSTED_ROOT", value_name = "FILE")]
    trusted_root: Option<String>,
    /// For how many seconds each answer of a log or a timestamp authority is waited for
    #[arg(
        long,
        env = "TEKSEAL_WITNESS_TIMEOUT",
        value_name = "SECONDS",
        default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=600)
    )]
    witness_timeout: u64,
}

/// What the runs say that are attested, for configurations that leave it to them whether a log is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogWish {
    /// No run is here.
    Unknown,
    /// All of them want it.
    Wanted,
    /// None of them wants it.
    Unwanted,
    /// Some of them want it.
    Mixed,
}

impl LogWish {
    /// The wish of these runs and of one more.
    pub(crate) fn and(self, wants: bool) -> Self {
        let one = if wants { Self::Wanted } else { Self::Unwanted };
        match self {
            Self::Unknown => one,
            known if known == one => known,
            Self::Wanted | Self::Unwanted | Self::Mixed => Self::Mixed,
        }
    }
}

impl WitnessArgs {
    /// Those who are told; nothing where nobody is. `config` is where Chains' configuration lies, whose word counts where flags say nothing.
    ///
    /// # Errors
    /// Exit 2 for what cannot be had: in this layout, without a trusted root, or at all.
    pub(crate) fn witnesses(
        &self,
        layout: Layout,
        config: Option<&Path>,
        wish: LogWish,
        registry: &RegistryArgs,
    ) -> Result<Option<Witnesses>, Failure> {
        let signing = given(&self.signing_config).next().map(read_signing_config);
        let signing = signing.transpose()?;
        let trust = self.trust(config)?.map(Arc::new);
        let now = Timestamp::now().as_second();
        let logs = self.logs(signing.as_ref(), config, wish, now)?;
        let authorities = self.authorities(signing.as_ref(), config, now)?;
        let envelopes = self.envelopes(&logs, layout)?;
        check_layout(&logs, &authorities, layout)?;
        if logs.is_empty() && authorities.is_empty() {
            return Ok(None);
        }
        let options = Options {
            ca: registry.ca(),
            timeout: Duration::from_secs(self.witness_timeout),
            notice: told_to_wait,
            ..Options::default()
        };
        let mut opened = Vec::with_capacity(logs.len());
        for (version, url) in &logs {
            opened.push((Rekor::new(url, *version, &options)?, envelopes));
        }
        let authorities = authorities.iter();
        let authorities = authorities.map(|url| TimestampAuthority::new(url, &options));
        let authorities = authorities.collect::<Result<Vec<_>, _>>()?;
        self.open(opened, authorities, trust).map(Some)
    }

    /// What there is to ask for certificates with, and to judge them by.
    ///
    /// # Errors
    /// Exit 2 for files that cannot be read.
    pub(crate) fn around<'a>(
        &self,
        config: Option<&'a Path>,
        registry: &RegistryArgs,
    ) -> Result<Around<'a>, Failure> {
        let signing = given(&self.signing_config).next().map(read_signing_config);
        Ok(Around {
            config,
            signing: signing.transpose()?,
            trust: self.trust(config)?.map(Arc::new),
            ca: registry.ca(),
            timeout: Some(Duration::from_secs(self.witness_timeout)),
        })
    }

    fn open(
        &self,
        logs: Vec<(Rekor, EnvelopeEntry)>,
        authorities: Vec<TimestampAuthority>,
        trust: Option<Arc<Trust>>,
    ) -> Result<Witnesses, Failure> {
        if trust.is_none() {
            for (rekor, _) in &logs {
                log::info(
                    "the log is believed by the key that it tells itself, which proves that it is consistent and not whose it is: --trusted-root proves both",
                    &[("log", &rekor.url())],
                );
            }
        }
        let clock = || Timestamp::now().as_second();
        Witnesses::new(logs, authorities, trust, clock).map_err(|error| {
            let what = match error {
                NoTrust::Log => "a log of Rekor v2",
                NoTrust::Timestamps => "timestamps",
            };
            Failure::misuse(error).hint(format!(
                "{what} need --trusted-root: `cosign trusted-root create` makes the file of what you run yourself"
            ))
        })
    }

    /// Version and address of the logs that are told.
    fn logs(
        &self,
        signing: Option<&SigningConfig>,
        config: Option<&Path>,
        wish: LogWish,
        now: i64,
    ) -> Result<Vec<(LogVersion, String)>, Failure> {
        let url = given(&self.rekor_url).next();
        let of_signing = |versions: &[u64]| match signing {
            Some(signing) => signing
                .services(Purpose::Logs, versions, now)
                .map_err(|e| Failure::misuse(e).context("--signing-config")),
            None => Ok(Vec::new()),
        };
        let of_version = |version: LogVersion, number: u64| {
            if let Some(url) = url {
                return Ok(vec![(version, url.to_owned())]);
            }
            let of_signing = of_signing(&[number])?;
            if !of_signing.is_empty() {
                return Ok(of_signing.into_iter().map(named).collect());
            }
            let transparency = transparency(config)?;
            match version {
                _ if LogVersion::from(transparency.version) == version => {
                    Ok(vec![(version, transparency.url)])
                }
                LogVersion::V1 => Err(Failure::misuse(anyhow!(
                    "--tlog v1 is given, and the log of the configuration is v2 (tekseal.tlog)"
                ))
                .hint("name the log with --rekor-url")),
                LogVersion::V2 => Err(Failure::misuse(anyhow!("--tlog v2 names no log"))
                    .hint("give its address with --rekor-url, or a --signing-config that has one")),
            }
        };
        match (given(&self.tlog).next(), url) {
            (Some("off"), None) => Ok(Vec::new()),
            (Some("off"), Some(_)) => Err(Failure::misuse(anyhow!(
                "--rekor-url is given with --tlog off"
            ))),
            (Some("v1"), _) => of_version(LogVersion::V1, 1),
            (Some("v2"), _) => of_version(LogVersion::V2, 2),
            (Some(other), _) => Err(Failure::misuse(anyhow!(
                "--tlog {other:?} is none of off, v1, v2"
            ))),
            (None, Some(_)) => Err(
                Failure::misuse(anyhow!("--rekor-url is given without --tlog"))
                    .hint("say which kind of log is there: --tlog v1, or v2"),
            ),
            (None, None) => {
                let logs = of_signing(&[1, 2])?;
                if !logs.is_empty() {
                    return Ok(logs.into_iter().map(named).collect());
                }
                let transparency = transparency(config)?;
                match (transparency.upload, wish) {
                    (Upload::Off, _) | (Upload::Manual, LogWish::Unwanted) => Ok(Vec::new()),
                    (Upload::Always, _) | (Upload::Manual, LogWish::Wanted) => {
                        Ok(vec![(transparency.version.into(), transparency.url)])
                    }
                    (Upload::Manual, LogWish::Unknown | LogWish::Mixed) => {
                        Err(Failure::misuse(anyhow!(
                            "transparency.enabled of the configuration is manual, so each run says by the annotation {TRANSPARENCY_UPLOAD} whether it is logged: {}",
                            if wish == LogWish::Mixed { "these do not agree" } else { "none is here" }
                        ))
                        .hint("say it: --tlog v1, or --tlog off"))
                    }
                }
            }
        }
    }

    /// Addresses of the authorities that sign times.
    fn authorities(
        &self,
        signing: Option<&SigningConfig>,
        config: Option<&Path>,
        now: i64,
    ) -> Result<Vec<String>, Failure> {
        let mut urls: Vec<String> = given(&self.timestamp_url).map(str::to_owned).collect();
        if let (true, Some(signing)) = (urls.is_empty(), signing) {
            let services = signing.services(Purpose::Timestamps, &[TIMESTAMP_API], now);
            let services = services.map_err(|e| Failure::misuse(e).context("--signing-config"))?;
            urls.extend(services.into_iter().map(|service| service.url.clone()));
        }
        if urls.is_empty() {
            urls = transparency(config)?.timestamp_urls;
        }
        let mut named = HashSet::new();
        urls.retain(|url| named.insert(url.clone()));
        Ok(urls)
    }

    /// By what answers are believed: the trusted root of the flag, else that of the configuration.
    fn trust(&self, config: Option<&Path>) -> Result<Option<Trust>, Failure> {
        if let Some(path) = given(&self.trusted_root).next() {
            return read_trusted_root(path).map(Some);
        }
        let text = transparency(config)?.trusted_root;
        let is_there = !text.trim().is_empty();
        let root = is_there.then(|| parse_trusted_root(text.as_bytes(), "of the configuration"));
        root.transpose()
    }

    /// What an attestation is in a log of the first version.
    fn envelopes(
        &self,
        logs: &[(LogVersion, String)],
        layout: Layout,
    ) -> Result<EnvelopeEntry, Failure> {
        let Some(kind) = given(&self.rekor_entry_type).next() else {
            return Ok(EnvelopeEntry::default());
        };
        if logs.iter().all(|(version, _)| *version != LogVersion::V1) {
            return Err(Failure::misuse(anyhow!(
                "--rekor-entry-type is given, and no log of Rekor v1 is told anything"
            )));
        }
        match kind {
            "dsse" => Ok(EnvelopeEntry::Dsse),
            "intoto" if layout.has_bundles() => Err(Failure::misuse(anyhow!(
                "--rekor-entry-type intoto is not for bundles: their readers want the signature in the entry, and find it in dsse alone"
            ))),
            "intoto" => Ok(EnvelopeEntry::InToto),
            other => Err(Failure::misuse(anyhow!(
                "--rekor-entry-type {other:?} is none of dsse, intoto"
            ))),
        }
    }
}

/// Whether the layout has room for what they answer.
fn check_layout(
    logs: &[(LogVersion, String)],
    authorities: &[String],
    layout: Layout,
) -> Result<(), Failure> {
    let versions: Vec<LogVersion> = logs.iter().map(|(version, _)| *version).collect();
    witness::fit(&versions, authorities.len(), layout).map_err(|error| {
        let hint = match error {
            NoRoom::Proof(_) => "a layer under a tag shows the promise of a log, and Rekor v2 makes none: store with --layout bundle, or use a log v1",
            NoRoom::Several { .. } => "store with --layout bundle, or name one",
        };
        Failure::misuse(error).hint(hint)
    })
}

fn named(service: &Service) -> (LogVersion, String) {
    let version = match service.api_version {
        1 => LogVersion::V1,
        _ => LogVersion::V2,
    };
    (version, service.url.clone())
}

fn transparency(config: Option<&Path>) -> Result<Transparency, Failure> {
    match config {
        Some(path) => Ok(source_args::read_config(path)?.transparency().clone()),
        None => Ok(Transparency::default()),
    }
}

/// The signing configuration in a file.
///
/// # Errors
/// Exit 2 if it cannot be read.
pub(crate) fn read_signing_config(path: &str) -> Result<SigningConfig, Failure> {
    let bytes = files::read(Path::new(path), MOST_BYTES, "signing configuration")?;
    SigningConfig::parse(&bytes).map_err(|e| {
        Failure::misuse(e)
            .context(format!("reading the signing configuration {path}"))
            .hint("wanted is version 0.2, as `cosign signing-config create` writes it")
    })
}

/// One line for each entry and each time; `kind` tells what an item is.
pub(crate) fn report<'k>(traces: &[Trace], kind: impl Fn(usize) -> &'k PayloadKind) {
    for trace in traces {
        let of = match kind(trace.item) {
            PayloadKind::SimpleSigning => "image signature",
            PayloadKind::Statement { predicate_type, .. } => predicate_type,
        };
        for entry in &trace.entries {
            let what = if entry.existed {
                "already logged"
            } else {
                "logged"
            };
            let index = entry.logged.log_index;
            match entry.logged.integrated_time {
                Some(time) => log::info(
                    what,
                    &[
                        ("of", &of),
                        ("log", &entry.url),
                        ("index", &index),
                        ("time", &moment(time)),
                    ],
                ),
                None => log::info(what, &[("of", &of), ("log", &entry.url), ("index", &index)]),
            }
        }
        for stamp in &trace.timestamps {
            let time = moment(stamp.time);
            let pairs: &[(&str, &dyn std::fmt::Display)] = &[
                ("of", &of),
                ("authority", &stamp.authority),
                ("time", &time),
            ];
            log::info("timestamped", pairs);
        }
    }
}

/// A time of a log or an authority, for people.
pub(crate) fn moment(seconds: i64) -> String {
    Timestamp::from_second(seconds).map_or_else(|_| seconds.to_string(), |time| time.to_string())
}

#[cfg(test)]
mod tests;
