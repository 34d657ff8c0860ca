//! Keys of each kind beside transparency logs: which logs take what is signed with them; and where one does, everybody accepts the entry.

use super::artifacts::{Log, Signery, Timestamp};
use super::ours::{Case, accepted, attesting, nothing_is_stored, with_services};
use crate::algorithms::{KINDS, Kind, import};
use crate::workshop::Workshop;

/// Attests with a key of each kind. Where the log takes what it signs, both versions of cosign and ours demand the entry and accept it; else nothing is
/// stored.
fn logged(mut signery: Signery, log: Log, layout: &'static str, is_taken: impl Fn(&Kind) -> bool) {
    let case = Case {
        layout,
        log,
        timestamp: Timestamp::None,
    };
    for kind in &KINDS {
        let shop = Workshop::new();
        let pem = kind.by_openssl(&shop);
        (signery.key, signery.public) = import(&shop, &pem, "ours");
        let attest = with_services(attesting(&shop, &signery, layout), &signery, case);
        if is_taken(kind) {
            attest.ok();
            accepted(&signery, &shop, case);
            continue;
        }
        attest
            .fails_with(2)
            .says("Rekor v1 takes its attestations and bundles");
        nothing_is_stored(&shop);
    }
}

/// Kinds whose signatures are over what a log is sent that is sent a digest.
fn signs_digests(kind: &Kind) -> bool {
    kind.name == "p256" || kind.name.starts_with("rsa")
}

#[test]
fn rekor_v2_takes_what_p256_and_rsa_sign() {
    if let Some(signery) = Signery::basic() {
        logged(signery, Log::RekorV2, "bundle", signs_digests);
    }
}

#[test]
#[ignore = "needs Rekor v1, Fulcio and their database: ./test --sigstore"]
fn rekor_v1_takes_image_signatures_of_p256_and_rsa() {
    if let Some(signery) = Signery::full() {
        logged(signery, Log::RekorV1, "tags", signs_digests);
    }
}

#[test]
#[ignore = "needs Rekor v1, Fulcio and their database: ./test --sigstore"]
fn rekor_v1_takes_bundles_of_every_kind_of_key() {
    if let Some(signery) = Signery::full() {
        logged(signery, Log::RekorV1, "bundle", |_| true);
    }
}
