//! `tekseal-keys set`: makes the key set that verifiers read, and changes it as keys come and go.
//!
//! A key never leaves a set: what it signed while it was in use stays good, as far as somebody proves when that was.

use std::path::{Path, PathBuf};

use anyhow::anyhow;
use tekseal_core::key_set::{Entry, KeySet as Document};
use tekseal_core::time::Time;
use tekseal_core::trusted_root::Validity;
use tekseal_signing::{DatedKey, PublicKey, key_ref};

use super::print;
use crate::ca_args::CaArgs;
use crate::cluster_args::ClusterArgs;
use crate::files::{self, Mode};
use crate::registry_args::given;
use crate::{Failure, key_args, key_sets, log};

/// Make or continue a key set for verifiers.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Key set to continue: a file, https://…, env://NAME, or k8s://NAMESPACE/CONFIGMAP with keys.json; without it a new one
    #[arg(long, env = "TEKSEAL_KEYS", value_name = "KEYSET")]
    from: Option<String>,
    /// Public key that is in use from --at on: a file or any other reference of a key; may be repeated
    #[arg(
        long = "add",
        env = "TEKSEAL_KEYS_ADD",
        value_name = "REF",
        hide_env_values = true
    )]
    add: Vec<String>,
    /// What people call the key that is added; else its reference
    #[arg(long, env = "TEKSEAL_KEYS_NAME", value_name = "NAME")]
    name: Option<String>,
    /// Key that is in use until --at: its name, or its id as SHA256:… or sha256 digits; may be repeated
    #[arg(long = "end", env = "TEKSEAL_KEYS_END", value_name = "KEY")]
    end: Vec<String>,
    /// Moment at which keys begin or end, RFC 3339 such as 2026-03-01T00:00:00Z [default: now]
    #[arg(long, env = "TEKSEAL_KEYS_AT", value_name = "TIME")]
    at: Option<String>,
    /// File to write in the place of stdout, at once: the one of --from too
    #[arg(long, env = "TEKSEAL_KEYS_OUT", value_name = "FILE")]
    out: Option<String>,
    #[command(flatten)]
    ca: CaArgs,
    #[command(flatten)]
    cluster: ClusterArgs,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let at = args.at()?;
    let ca = args.ca.all();
    let mut keys = match given(&args.from).next() {
        Some(reference) => key_sets::read(reference, &args.cluster, &ca)?
            .keys()
            .to_vec(),
        None => Vec::new(),
    };
    let names: Vec<&str> = given(&args.add).collect();
    let name = given(&args.name).next();
    if name.is_some() && names.len() != 1 {
        return Err(Failure::misuse(anyhow!(
            "--name is given, and not one key with --add"
        )));
    }
    for key in given(&args.end) {
        end(&mut keys, key, at)?;
    }
    for reference in names {
        let key = key_args::public_key(reference, &args.cluster, &ca)?;
        let name = name.map_or_else(|| key_ref::shown(reference), str::to_owned);
        add(&mut keys, key, &name, at)?;
    }
    let document = written(&keys)?;
    let path = given(&args.out).next().map(PathBuf::from);
    match path.as_deref() {
        Some(path) => write(path, &document),
        None => print(&document),
    }
}

impl Args {
    /// Seconds since 1970.
    fn at(&self) -> Result<i64, Failure> {
        match given(&self.at).next() {
            None => Ok(jiff::Timestamp::now().as_second()),
            Some(text) => Time::parse(text).map(Time::second_before).map_err(|e| {
                Failure::misuse(e)
                    .context("--at")
                    .hint("write it like 2026-03-01T00:00:00Z")
            }),
        }
    }
}

/// A key that is in use from this second on.
fn add(keys: &mut Vec<DatedKey>, key: PublicKey, name: &str, at: i64) -> Result<(), Failure> {
    let is_there = keys
        .iter()
        .any(|entry| entry.key == key && entry.valid.end.is_none_or(|end| at <= end));
    if is_there {
        return Err(Failure::misuse(anyhow!(
            "the key {} is in the set, and in use at that time",
            key.fingerprint()
        )));
    }
    keys.push(DatedKey {
        key,
        name: name.to_owned(),
        valid: Validity {
            start: Some(at),
            end: None,
        },
    });
    Ok(())
}

/// A key that is in use until this second.
fn end(keys: &mut [DatedKey], wanted: &str, at: i64) -> Result<(), Failure> {
    let is_wanted = |entry: &&mut DatedKey| {
        let digest = entry.key.spki_digest();
        entry.name == wanted
            || entry.key.fingerprint() == wanted
            || digest.hex() == wanted
            || digest.as_str() == wanted
    };
    let mut found: Vec<&mut DatedKey> = keys.iter_mut().filter(is_wanted).collect();
    // An end that was set for later is moved: a key may be lost before.
    let is_in_use = |entry: &DatedKey| entry.valid.covers(at) && entry.valid.end != Some(at);
    let has_one = found.iter().any(|entry| is_in_use(entry));
    found.retain(|entry| match has_one {
        true => is_in_use(entry),
        false => entry.valid.end.is_none(),
    });
    let [entry] = &mut found[..] else {
        let error = match found.len() {
            0 => anyhow!("no key of the set that is in use is called {wanted:?}"),
            count => anyhow!("{count} keys of the set are called {wanted:?}"),
        };
        return Err(Failure::misuse(error).hint(
            "give its id, as `tekseal-keys list --trust` tells it, and the set with --from",
        ));
    };
    if entry.valid.start.is_some_and(|start| at < start) {
        return Err(Failure::misuse(anyhow!(
            "the key {wanted:?} is not in use yet at that time"
        )));
    }
    entry.valid.end = Some(at);
    Ok(())
}

/// The document. It is read again before anybody else does.
fn written(keys: &[DatedKey]) -> Result<String, Failure> {
    let entries = keys.iter().map(|entry| Entry {
        name: entry.name.clone(),
        public_key: entry.key.spki_der().to_vec(),
        valid: entry.valid,
    });
    let document = Document {
        keys: entries.collect(),
    };
    let text = document.to_json().map_err(Failure::misuse)?;
    key_sets::parse(text.as_bytes())
        .map_err(|failure| failure.context("the key set that this would be"))?;
    Ok(text)
}

fn write(path: &Path, document: &str) -> Result<(), Failure> {
    files::write(path, document.as_bytes(), Mode::Public)?;
    log::info("wrote key set", &[("file", &path.display())]);
    Ok(())
}

#[cfg(test)]
mod tests {
    use tekseal_signing::{Signer, random};

    use super::*;

    fn key() -> PublicKey {
        let signer = Signer::generate(&mut random::system).expect("a key");
        signer.public_key().clone()
    }

    #[test]
    fn a_key_begins_once_and_ends_once() {
        let (first, second) = (key(), key());
        let mut keys = Vec::new();
        add(&mut keys, first.clone(), "first", 100).expect("an empty set");
        assert!(add(&mut keys, first.clone(), "again", 150).is_err());
        add(&mut keys, second.clone(), "second", 200).expect("another key");
        assert!(end(&mut keys, "third", 300).is_err());
        assert!(end(&mut keys, "first", 99).is_err());
        end(&mut keys, &first.fingerprint(), 300).expect("it is in use");
        assert!(end(&mut keys, "first", 400).is_err(), "it has ended");
        assert!(add(&mut keys, first.clone(), "first", 300).is_err());
        add(&mut keys, first.clone(), "first", 500).expect("in use again");
        end(&mut keys, second.spki_digest().hex(), 600).expect("it is in use");
        let set = key_sets::parse(written(&keys).expect("a set").as_bytes()).expect("read again");
        let times: Vec<_> = set
            .keys()
            .iter()
            .map(|entry| (entry.name.as_str(), entry.valid.start, entry.valid.end))
            .collect();
        assert_eq!(
            times,
            [
                ("first", Some(100), Some(300)),
                ("second", Some(200), Some(600)),
                ("first", Some(500), None),
            ]
        );
        assert!(
            written(&[]).is_err(),
            "a set without a key verifies nothing"
        );
    }

    #[test]
    fn an_end_that_was_set_for_later_is_moved_when_the_key_is_lost_before() {
        let key = key();
        let mut keys = Vec::new();
        add(&mut keys, key.clone(), "k", 100).expect("an empty set");
        end(&mut keys, "k", 900).expect("it is in use");
        add(&mut keys, key, "k", 1000).expect("in use again");
        end(&mut keys, "k", 300).expect("it is in use then");
        let ends = |keys: &[DatedKey]| [keys[0].valid.end, keys[1].valid.end];
        assert_eq!(ends(&keys), [Some(300), None]);
        assert!(end(&mut keys, "k", 300).is_err(), "it ends then");
        assert!(end(&mut keys, "k", 999).is_err(), "between its times");
        end(&mut keys, "k", 1500).expect("it is in use then");
        assert_eq!(ends(&keys), [Some(300), Some(1500)]);
    }

    #[test]
    fn keys_of_one_name_are_told_by_their_ids() {
        let mut keys = Vec::new();
        for _ in 0..2 {
            add(&mut keys, key(), "same", 0).expect("another key");
        }
        let failure = end(&mut keys, "same", 5).expect_err("which one");
        assert!(failure.message().contains("2 keys"), "{failure:?}");
        let id = keys[1].key.spki_digest().to_string();
        end(&mut keys, &id, 5).expect("that one");
        assert_eq!(keys[0].valid.end, None);
    }
}
