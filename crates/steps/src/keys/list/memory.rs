//! The keys whose Records a controller believes, as it remembers them.

use tekseal_cluster::vouching::{MEMORY, Vouches, process_start};
use tekseal_core::Blame;
use tekseal_signing::PublicKey;

use super::inventory::{Inventory, Place, Role};
use crate::cluster_args::ClusterArgs;
use crate::{Failure, exit, log};

/// Adds them. What may not be read is told.
///
/// # Errors
/// Where the cluster cannot be reached at all.
pub(super) async fn add(
    inventory: &mut Inventory,
    cluster: &ClusterArgs,
    namespace: &str,
) -> Result<(), Failure> {
    let source = format!("ConfigMap {namespace}/{MEMORY}");
    let found = cluster.connect().await?.config_map(namespace, MEMORY).await;
    let map = match found {
        Ok(Some(map)) => map,
        Ok(None) => {
            inventory.notes.push(format!(
                "{source} is not there: no controller of tekseal has signed anything"
            ));
            return Ok(());
        }
        Err(error) if error.blame() == Blame::Outside => return Err(error.into()),
        Err(error) => {
            inventory.notes.push(format!(
                "whose records the controller believes is not known: {}",
                exit::chain(&error)
            ));
            return Ok(());
        }
    };
    for (name, pem) in &map.data {
        let Some(vouches) = Vouches::of_name(name) else {
            continue;
        };
        let Ok(key) = PublicKey::from_pem(pem.as_bytes()) else {
            let name = log::quoted(name);
            inventory.warnings.push(format!(
                "{name} of {source} is no public key, and records of it are not believed"
            ));
            continue;
        };
        let of = match &vouches {
            Vouches::ForAll => "of all runs".to_owned(),
            Vouches::OfProcess => "of a controller without a key that lasts".to_owned(),
            Vouches::For(namespace) => format!("of runs in {}", log::quoted(namespace)),
        };
        let place = Place {
            source: format!("{source}, {of}"),
            role: Role::Records,
            created: process_start(name),
        };
        let listed = inventory.add(key, place);
        // The same key may be remembered for several.
        match (&listed.vouches, &vouches) {
            (Some(Vouches::ForAll | Vouches::OfProcess), Vouches::For(_)) => {}
            _ => listed.vouches = Some(vouches),
        }
    }
    Ok(())
}

/// Every start of a controller that signs with certificates alone has a key. Of those that are not found to have signed anything, the last one is kept.
pub(super) fn leave_out_old(inventory: &mut Inventory) {
    let start = |place: &Place| place.created;
    let of_process = inventory
        .keys
        .iter()
        .filter(|listed| listed.is_of_process());
    let starts = of_process.flat_map(|listed| listed.places.iter().filter_map(start));
    let newest = starts.max();
    let before = inventory.keys.len();
    inventory.keys.retain(|listed| {
        let is_newest = || listed.places.iter().any(|place| place.created == newest);
        !listed.is_of_process() || listed.last_use.is_some() || is_newest()
    });
    let count = before - inventory.keys.len();
    let who = match count {
        0 => return,
        1 => "a key of an earlier process of the controller is".to_owned(),
        _ => format!("{count} keys of earlier processes of the controller are"),
    };
    inventory
        .notes
        .push(format!("{who} not listed: no record was found"));
}
