//! What each key was found to have signed last: Records on runs, and what hangs on images. Only what verifies counts.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use anyhow::anyhow;
use futures_util::StreamExt as _;
use jiff::Timestamp;
use tekseal_cluster::vouching::Vouches;
use tekseal_cluster::{Cluster, Scope, Seen, Sight, watch};
use tekseal_core::marks::{self, Record};
use tekseal_core::run::RunKind;
use tekseal_core::{Provenance, Statement};
use tekseal_remote::Registry;
use tekseal_remote::store::Source;
use tekseal_signing::{KeySet, verify_record};

use super::inventory::Inventory;
use crate::cluster_args::ClusterArgs;
use crate::verify::{self, AttestationReport, DemandArgs, VerifyingKeys, within};
use crate::{Failure, exit};

/// How long runs of one kind are looked through.
const LONGEST: Duration = Duration::from_secs(60);
/// The most runs of one kind that are looked at.
const MOST_RUNS: usize = 50_000;
/// The most keys that are told of which nothing else is known.
const MOST_STRANGERS: usize = 8;
/// How long one image may take, in seconds.
const MOST_SECONDS: u64 = 300;

/// Looks through the Records on all runs. What may not be listed is told.
pub(super) async fn of_runs(
    inventory: &mut Inventory,
    cluster: &ClusterArgs,
) -> Result<(), Failure> {
    let cluster = cluster.connect().await?;
    let mut strangers = BTreeMap::new();
    let keys = inventory.keys.iter().enumerate();
    let names: HashMap<String, usize> = keys
        .map(|(at, listed)| (listed.key.fingerprint(), at))
        .collect();
    for kind in [RunKind::TaskRun, RunKind::PipelineRun] {
        let looking = of_kind(inventory, &names, &cluster, kind, &mut strangers);
        match tokio::time::timeout(LONGEST, looking).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => inventory
                .notes
                .push(format!("last use by {kind}s is not known: {error}")),
            Err(_) => inventory.notes.push(format!(
                "last use by {kind}s may be later: not all were looked through in {} s",
                LONGEST.as_secs()
            )),
        }
    }
    for (key, count) in strangers.into_iter().take(MOST_STRANGERS) {
        inventory.notes.push(format!(
            "{count} runs have a record that says it is of the key {}, which is not listed: of another controller, replaced and forgotten, or forged",
            crate::log::quoted(&key)
        ));
    }
    Ok(())
}

async fn of_kind(
    inventory: &mut Inventory,
    names: &HashMap<String, usize>,
    cluster: &Cluster,
    kind: RunKind,
    strangers: &mut BTreeMap<String, usize>,
) -> Result<(), String> {
    let mut sights = watch(cluster, kind, &Scope::All);
    let mut looked = 0;
    while let Some(sight) = sights.next().await {
        match sight {
            Ok(Sight::There(run)) => {
                look_at(inventory, names, kind, &run, strangers);
                looked += 1;
                if looked == MOST_RUNS {
                    return Err(format!("only {MOST_RUNS} were looked at"));
                }
            }
            Ok(Sight::Listed) => return Ok(()),
            Ok(Sight::Gone(_) | Sight::Listing) => {}
            Err(error) => return Err(exit::chain(&error)),
        }
    }
    Ok(())
}

/// A Record names its key itself; that is believed only once its signature holds, and that is only asked where it would be the last.
fn look_at(
    inventory: &mut Inventory,
    names: &HashMap<String, usize>,
    kind: RunKind,
    run: &Seen,
    strangers: &mut BTreeMap<String, usize>,
) {
    let Some(annotation) = run.annotation(marks::RECORD) else {
        return;
    };
    let Ok(unverified) = Record::parse(annotation) else {
        return;
    };
    let keys = &mut inventory.keys;
    let Some(&recorder) = names.get(&unverified.keyid) else {
        // As many names as somebody cares to make up are not kept.
        if strangers.len() < MOST_STRANGERS || strangers.contains_key(&unverified.keyid) {
            *strangers.entry(unverified.keyid).or_default() += 1;
        }
        return;
    };
    let at = unverified.record.at.parse::<Timestamp>().ok();
    let mut used = vec![recorder];
    // A key that vouches for some runs alone says nothing of others' keys.
    if matches!(
        keys[recorder].vouches,
        Some(Vouches::ForAll | Vouches::OfProcess)
    ) {
        let named = unverified.record.keys.iter();
        used.extend(named.filter_map(|name| names.get(name)));
    }
    let is_later = |at_key: &usize| {
        let known = keys[*at_key].last_use.as_ref();
        known.is_none_or(|last| last.at < at)
    };
    if !used.iter().any(is_later) {
        return;
    }
    if verify_record(annotation, run.uid(), [&keys[recorder].key]).is_ok() {
        let name = run.reference(kind);
        let name = name.map_or_else(|| kind.to_string(), |run| run.to_string());
        for at_key in used {
            let what = match at_key == recorder {
                true => format!("{name} (record)"),
                false => name.clone(),
            };
            keys[at_key].used(at, &what);
        }
    }
}

/// Verifies what hangs on images with all keys that are known.
pub(super) async fn of_images(
    inventory: &mut Inventory,
    registry: &Registry,
    images: &[&str],
) -> Result<(), Failure> {
    if inventory.keys.is_empty() {
        return Err(Failure::misuse(anyhow!(
            "an image is given, and no key that may have signed it"
        ))
        .hint("a signature does not say whose it is: give keys by REF or --trust"));
    }
    let keys = inventory.keys.iter().map(|listed| listed.key.clone());
    let keys = VerifyingKeys::Set(KeySet::of(keys.collect()));
    let demands = DemandArgs::usual(None).over_any_hash().of_keys(keys)?;
    for text in images {
        let image = verify::parse_image(text)?;
        let examined = within(MOST_SECONDS, async {
            let image = verify::resolve(registry, image).await?;
            let source = Source::of(registry, &image);
            let examined = demands.examine(source, &image.digest).await;
            Ok((image, examined))
        });
        let (image, examined) = match examined.await {
            Ok(found) => found,
            Err(failure) => {
                inventory
                    .warnings
                    .push(format!("image {text}: {}", failure.message()));
                continue;
            }
        };
        if let Some(missed) = examined.missed {
            inventory
                .warnings
                .push(format!("image {image}: {}", missed.message()));
        }
        match examined.signatures {
            Some(Ok(good)) => {
                for signature in &good {
                    used(
                        inventory,
                        &signature.signer(),
                        None,
                        &format!("{image} (signature)"),
                    );
                }
            }
            Some(Err(failure)) => nothing(inventory, &image.to_string(), &failure),
            None => {}
        }
        match examined.attestations {
            Some(Ok(good)) => {
                for attestation in &good {
                    let kind = crate::log::quoted(attestation.predicate_type());
                    let what = format!("{image} (attestation {kind})");
                    used(
                        inventory,
                        &attestation.signer(),
                        finished(attestation),
                        &what,
                    );
                }
            }
            Some(Err(failure)) => nothing(inventory, &image.to_string(), &failure),
            None => {}
        }
    }
    Ok(())
}

/// Nothing of an image is of a key that is listed: perhaps of one that should be.
fn nothing(inventory: &mut Inventory, image: &str, failure: &Failure) {
    let told = format!("image {image}: {}", failure.message());
    match failure.code() {
        exit::NO => inventory.notes.push(told),
        _ => inventory.warnings.push(told),
    }
}

/// Notes a use, if it is later than the one that is known.
fn used(inventory: &mut Inventory, key: &str, at: Option<Timestamp>, what: &str) {
    let mut keys = inventory.keys.iter_mut();
    if let Some(listed) = keys.find(|listed| listed.key.fingerprint() == key) {
        listed.used(at, what);
    }
}

/// When what is attested was finished, as far as it says so.
fn finished(attestation: &AttestationReport) -> Option<Timestamp> {
    let text = attestation.statement()?.get();
    let statement = Statement::parse(text.as_bytes()).ok()?;
    let provenance = Provenance::of(&statement).ok().flatten()?;
    provenance.finished_on?.parse().ok()
}
