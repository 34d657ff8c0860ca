//! What of a configuration of Tekton Chains tekseal's controller can carry out. A controller uses no other, and who explains says of others that
//! they are not used.
//!
//! Nothing is sent: keys, logs and authorities are judged by what the configuration says of them.

use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;

use tekseal_core::config::{Choice as _, Config, SignerKind, Storage, Upload, X509Signer};
use tekseal_core::one_line::causes;
use tekseal_core::{Layout, TrustedRoot, credential};
use tekseal_remote::log::Options;
use tekseal_remote::{Rekor, TimestampAuthority};
use tekseal_signing::tuf::Root;
use tekseal_signing::witness::EnvelopeEntry;
use tekseal_signing::{KeyRef, Trust, key_ref};

use crate::Witnesses;
use crate::witness::Clock;

/// How often one request to a log is sent: the queue tries again later anyway.
const TRIES: u32 = 2;
/// How much of a reference to a key is told, in characters.
const SHOWN_OF_KEY: usize = 100;

/// Transparency log and timestamp authorities of a configuration; nothing where there are none.
#[derive(Clone, Default)]
pub struct Told {
    /// Of runs whose signatures are logged: all.
    pub logged: Option<Witnesses>,
    /// Of the others: the authorities.
    pub unlogged: Option<Witnesses>,
}

/// The text of a trusted root, empty where there is none, and the key of the configuration that it is by.
#[derive(Clone, Copy, Debug)]
pub struct RootText<'a> {
    key: &'static str,
    text: &'a str,
}

impl<'a> RootText<'a> {
    /// That which stands in the configuration.
    #[must_use]
    pub fn of(config: &'a Config) -> Self {
        Self {
            key: "tekseal.trusted-root",
            text: &config.transparency().trusted_root,
        }
    }

    /// What its TUF mirror has.
    #[must_use]
    pub fn of_mirror(text: &'a str) -> Self {
        Self { key: MIRROR, text }
    }
}

/// The key that names a TUF mirror.
pub const MIRROR: &str = "signers.x509.tuf.mirror.url";

/// A TUF mirror that has the trusted root.
#[derive(Clone, Debug)]
pub struct RootMirror {
    url: String,
    text: String,
    first: Root,
}

impl RootMirror {
    /// The mirror by which a configuration is carried out: there is no trusted root in it, and a root of TUF.
    ///
    /// # Errors
    /// Where that is none; where certificates are judged by a mirror of one's own and nothing says by what that is believed. In words.
    pub fn of(config: &Config) -> Result<Option<Self>, String> {
        let transparency = config.transparency();
        if !transparency.trusted_root.trim().is_empty() {
            return Ok(None);
        }
        let url = &config.signers().x509.tuf_mirror_url;
        let text = transparency.tuf_root.trim();
        if text.is_empty() {
            return match uses_certificates(config) && *url != X509Signer::default().tuf_mirror_url {
                true => Err(format!("{MIRROR}: {UNROOTED}")),
                false => Ok(None),
            };
        }
        let first = Root::first(text.as_bytes())
            .map_err(|error| format!("tekseal.tuf-root: {}", chain(&error)))?;
        Ok(Some(Self {
            url: url.clone(),
            text: text.to_owned(),
            first,
        }))
    }

    /// Where it is.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// By what it is believed.
    #[must_use]
    pub fn first(&self) -> &Root {
        &self.first
    }
}

impl PartialEq for RootMirror {
    fn eq(&self, other: &Self) -> bool {
        (&self.url, &self.text) == (&other.url, &other.text)
    }
}

/// Chains takes the first root that such a mirror sends.
const UNROOTED: &str = "a mirror is believed because of a root.json that was got elsewhere: put its text into tekseal.tuf-root, or a trusted root into \
    tekseal.trusted-root";

/// What is wrong with a configuration, as far as that can be told without asking its mirror. `ca` and `clock` as for [`carry_out`].
///
/// # Errors
/// All that cannot be carried out, in words, each with the key to change.
pub fn foreseen(config: &Config, ca: &[PathBuf], clock: Clock) -> Result<(), String> {
    if RootMirror::of(config)?.is_none() {
        return carry_out(config, RootText::of(config), ca, clock).map(drop);
    }
    match beyond(config) {
        problems if problems.is_empty() => Ok(()),
        problems => Err(problems.join("; ")),
    }
}

/// Who is told of what is signed under a configuration that can be carried out, with this trusted root. `ca` are files with certificate authorities of
/// logs, beside the system's; by `clock` answers are judged.
///
/// # Errors
/// All that cannot be carried out, in words, each with the key to change.
pub fn carry_out(
    config: &Config,
    root: RootText<'_>,
    ca: &[PathBuf],
    clock: Clock,
) -> Result<Told, String> {
    let mut problems = beyond(config);
    let told = told(config, root, ca, clock);
    if let Ok(told) = &told
        && uses_certificates(config)
        && !told.tells_time(config)
    {
        problems.push(UNTIMED.to_owned());
    }
    problems.extend(told.as_ref().err().cloned());
    match told {
        Ok(told) if problems.is_empty() => Ok(told),
        Ok(_) | Err(_) => Err(problems.join("; ")),
    }
}

/// Why nothing is signed with certificates of which nobody says when they signed.
const UNTIMED: &str = "signers.x509.fulcio.enabled: a certificate ends after ten minutes, and nobody would say that it signed before: set \
    transparency.enabled to true with a log of the first version, or tekseal.timestamp.urls";

/// Whether anything is signed with certificates of Fulcio. A key that is named for all goes before them.
#[must_use]
pub fn uses_certificates(config: &Config) -> bool {
    let signers = config.signers();
    signers.x509.fulcio_enabled
        && signers.cosign_key.is_empty()
        && config
            .enabled()
            .any(|(_, artifact)| artifact.signer == SignerKind::X509)
}

/// What a configuration has signatures made with, as far as it names that itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignsWith<'a> {
    /// Nothing that it names: a key that is mounted somewhere, or nothing at all.
    Unnamed,
    /// The key of this reference, which stands under this name.
    Key(&'static str, &'a str),
    /// Certificates of Fulcio.
    Certificates,
    /// A key of a service for some artifacts, and something else for others.
    Several,
}

impl<'a> SignsWith<'a> {
    /// What `config` says.
    #[must_use]
    pub fn of(config: &'a Config) -> Self {
        let signers = config.signers();
        let (mut is_kms, mut is_x509) = (false, false);
        for (_, artifact) in config.enabled() {
            is_kms |= artifact.signer == SignerKind::Kms;
            is_x509 |= artifact.signer == SignerKind::X509;
        }
        match (is_kms, is_x509) {
            (false, false) => Self::Unnamed,
            _ if !signers.cosign_key.is_empty() => {
                Self::Key("signers.cosign.key", &signers.cosign_key)
            }
            (true, true) => Self::Several,
            (true, false) => Self::Key("signers.kms.kmsref", &signers.kms.key_ref),
            (false, true) if signers.x509.fulcio_enabled => Self::Certificates,
            (false, true) => Self::Unnamed,
        }
    }
}

impl Told {
    /// Whether of every run somebody says when it was signed.
    fn tells_time(&self, config: &Config) -> bool {
        let says =
            |witnesses: &Option<Witnesses>| witnesses.as_ref().is_some_and(Witnesses::tell_time);
        match config.transparency().upload {
            Upload::Always => says(&self.logged),
            Upload::Manual => says(&self.logged) && says(&self.unlogged),
            Upload::Off => says(&self.unlogged),
        }
    }
}

/// What a reference to a key is told as that is of no known kind. Somebody may have put the key itself there.
#[must_use]
pub fn no_key(reference: &str) -> String {
    let wanted = "is of a kind that a controller cannot read, wanted k8s://NAMESPACE/SECRET or the key of a service such as hashivault://NAME";
    match credential::looks_like("", reference) {
        Some(what) => format!("key (not shown: it looks like {what}) {wanted}"),
        None => {
            let shown: String = reference.chars().take(SHOWN_OF_KEY).collect();
            format!("key {shown:?} {wanted}")
        }
    }
}

/// The same of the key of the signer `kms`.
fn no_kms_key(reference: &str) -> String {
    let wanted = "wanted gcpkms://…, awskms://…, azurekms://…, hashivault://…, openbao://… or the scheme of a plugin";
    match credential::looks_like("", reference) {
        Some(what) => format!("(not shown: it looks like {what}) is no key of a service, {wanted}"),
        None if reference.is_empty() => format!("it is not set, {wanted}"),
        None => format!("it is no key of a service, {wanted}"),
    }
}

/// What the configuration asks for that this version does not have: nothing is signed in another way than was asked for.
fn beyond(config: &Config) -> Vec<String> {
    let mut found = Vec::new();
    if let Some(key) = config.unknown_key_of_ours() {
        return vec![format!("key {key:?} is not known")];
    }
    for (name, artifact) in config.enabled() {
        for &storage in &artifact.storages {
            if !matches!(storage, Storage::Oci | Storage::Tekton) {
                let storage = storage.name();
                found.push(format!(
                    "artifacts.{name}.storage: {storage} is not built yet, use oci or tekton"
                ));
            }
        }
        let kms = &config.signers().kms.key_ref;
        if artifact.signer == SignerKind::Kms && config.signers().cosign_key.is_empty() {
            match KeyRef::parse(kms) {
                Ok(KeyRef::Kms(_)) => {}
                Ok(_) | Err(key_ref::Error::Content) => found.push(format!(
                    "artifacts.{name}.signer is kms, and signers.kms.kmsref: {}",
                    no_kms_key(kms)
                )),
                Err(error) => found.push(format!(
                    "artifacts.{name}.signer is kms, and signers.kms.kmsref: {error}"
                )),
            }
        }
    }
    if let Err(problem) = config.repository() {
        found.push(problem);
    }
    let keys = config.rules().keys.iter().map(|rule| rule.key.as_str());
    let platform = Some(config.signers().cosign_key.as_str()).filter(|key| !key.is_empty());
    let is_key = |key: &&str| {
        matches!(
            KeyRef::parse(key),
            Ok(KeyRef::Secret { .. } | KeyRef::Kms(_))
        )
    };
    let unknown = keys.chain(platform).filter(|key| !is_key(key));
    found.extend(unknown.map(no_key));
    found
}

/// Who is told of what is signed under a configuration. Nothing is sent yet.
///
/// # Errors
/// If there is nothing to believe them by, or no room for what they answer.
fn told(config: &Config, root: RootText<'_>, ca: &[PathBuf], clock: Clock) -> Result<Told, String> {
    let transparency = config.transparency();
    let is_logged = transparency.upload != Upload::Off;
    if !is_logged && transparency.timestamp_urls.is_empty() {
        return Ok(Told::default());
    }
    let trust = trust(root)?;
    let options = Options {
        ca: ca.to_vec(),
        tries: TRIES,
        ..Options::default()
    };
    let mut logs = Vec::new();
    if is_logged {
        let rekor = Rekor::new(&transparency.url, transparency.version.into(), &options);
        let rekor = rekor.map_err(|error| format!("transparency.url: {}", chain(&error)))?;
        logs.push((rekor, EnvelopeEntry::Dsse));
    }
    let authorities = transparency.timestamp_urls.iter();
    let authorities = authorities.map(|url| TimestampAuthority::new(url, &options));
    let authorities: Vec<_> = authorities
        .collect::<Result<_, _>>()
        .map_err(|error| format!("tekseal.timestamp.urls: {}", chain(&error)))?;
    let of = |logs: Vec<_>, authorities: Vec<_>| -> Result<Option<Witnesses>, String> {
        if logs.is_empty() && authorities.is_empty() {
            return Ok(None);
        }
        let witnesses = Witnesses::new(logs, authorities, trust.clone(), clock)
            .map_err(|error| format!("tekseal.trusted-root is not set: {error}"))?;
        for (name, layout) in layouts(config) {
            witnesses.fit(layout).map_err(|problem| {
                format!(
                    "artifacts.{name}.storage: {problem}; bundles are in the storage oci with storage.oci.encoding-format: sigstore-bundle"
                )
            })?;
        }
        Ok(Some(witnesses))
    };
    Ok(Told {
        unlogged: of(Vec::new(), authorities.clone())?,
        logged: of(logs, authorities)?,
    })
}

/// What a trusted root says is trusted; nothing where there is none.
///
/// # Errors
/// If it is none, in words.
pub fn trust(root: RootText<'_>) -> Result<Option<Arc<Trust>>, String> {
    let RootText { key, text } = root;
    if text.trim().is_empty() {
        return Ok(None);
    }
    let parsed = TrustedRoot::parse(text.as_bytes());
    let parsed = parsed.map_err(|error| format!("{key}: {}", chain(&error)))?;
    let trust = Trust::new(&parsed).map_err(|error| format!("{key}: {}", chain(&error)))?;
    Ok(Some(Arc::new(trust)))
}

/// In which layouts what is signed is kept, artifact by artifact: annotations of a run hold what tags hold.
fn layouts(config: &Config) -> impl Iterator<Item = (&'static str, Layout)> {
    let of_oci = config.storages().oci.layout;
    config.enabled().filter_map(move |(name, artifact)| {
        let storages = &artifact.storages;
        let layout = storages.contains(&Storage::Oci).then_some(of_oci);
        let layout = match storages.contains(&Storage::Tekton) {
            true => Some(layout.unwrap_or_default().with_tags()),
            false => layout,
        };
        layout.map(|layout| (name, layout))
    })
}

/// An error and what caused it.
fn chain(error: &dyn Error) -> String {
    causes(error, MOST)
}

/// The longest that is told of one error, in characters.
const MOST: usize = 800;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_says_what_signs_where_it_names_one_thing() {
        let kms = ("signers.kms.kmsref", "hashivault://k");
        let fulcio = ("signers.x509.fulcio.enabled", "true");
        let each = ["taskrun", "pipelinerun", "oci"].map(|kind| format!("artifacts.{kind}.signer"));
        let all = |signer| each.iter().map(move |key| (key.as_str(), signer));
        let one = |signer| all(signer).take(1);
        let cases: [(Vec<(&str, &str)>, SignsWith<'_>); 8] = [
            (vec![], SignsWith::Unnamed),
            (vec![kms], SignsWith::Unnamed),
            (vec![fulcio], SignsWith::Certificates),
            (
                all("kms").chain([kms, fulcio]).collect(),
                SignsWith::Key("signers.kms.kmsref", "hashivault://k"),
            ),
            (
                one("kms").chain([kms, fulcio]).collect(),
                SignsWith::Several,
            ),
            (one("kms").chain([kms]).collect(), SignsWith::Several),
            (
                one("kms")
                    .chain([kms, ("signers.cosign.key", "k8s://a/b")])
                    .collect(),
                SignsWith::Key("signers.cosign.key", "k8s://a/b"),
            ),
            (
                all("none")
                    .chain([fulcio, ("signers.cosign.key", "k8s://a/b")])
                    .collect(),
                SignsWith::Unnamed,
            ),
        ];
        for (pairs, wanted) in cases {
            let owned = |&(key, value): &(&str, &str)| (key.to_owned(), value.to_owned());
            let config = Config::from_map(&pairs.iter().map(owned).collect()).expect("a good map");
            assert_eq!(SignsWith::of(&config), wanted, "{pairs:?}");
            assert_eq!(
                uses_certificates(&config) && wanted != SignsWith::Several,
                wanted == SignsWith::Certificates,
                "{pairs:?}"
            );
        }
    }
}
