//! Keys of each kind beside transparency logs: which logs take what is signed with them; and where one does, everybody accepts the entry.

use super::artifacts::{Log, Signery, Timestamp};
use super::ours::{Case, accepted, attesting, nothing_is_stored, with_services};
use crate::algorithms::{KINDS, Kind, import};
use crate::workshop::Workshop;

/// Attests with a key of each kind. Where the log takes what it signs, both versions of cosign and ours demand the entry and accept it; else nothing is
/// stored.
fn logged(mut signery: Signery, case: Case, is_taken: impl Fn(&Kind) -> bool) {
    let layout = case.layout;
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

fn case(log: Log, layout: &'static str, timestamp: Timestamp) -> Case {
    Case {
        layout,
        log,
        timestamp,
    }
}

/// Kinds whose signatures are over what a log is sent that is sent a digest.
fn signs_digests(kind: &Kind) -> bool {
    kind.name == "p256" || kind.name.starts_with("rsa")
}

#[test]
fn an_authority_stamps_what_every_kind_of_key_signs() {
    for layout in ["tags", "bundle"] {
        if let Some(signery) = Signery::basic() {
            let case = case(Log::None, layout, Timestamp::Authority);
            logged(signery, case, |_| true);
        }
    }
}

#[test]
#[ignore = "takes as long as the one without an authority: ./test --sigstore"]
fn rekor_v2_and_an_authority_take_what_p256_and_rsa_sign() {
    if let Some(signery) = Signery::basic() {
        let case = case(Log::RekorV2, "bundle", Timestamp::Authority);
        logged(signery, case, signs_digests);
    }
}

#[test]
fn rekor_v2_takes_what_p256_and_rsa_sign() {
    if let Some(signery) = Signery::basic() {
        let case = case(Log::RekorV2, "bundle", Timestamp::None);
        logged(signery, case, signs_digests);
    }
}

#[test]
#[ignore = "needs Rekor v1, Fulcio and their database: ./test --sigstore"]
fn rekor_v1_takes_image_signatures_of_p256_and_rsa() {
    for timestamp in [Timestamp::None, Timestamp::Authority] {
        if let Some(signery) = Signery::full() {
            let case = case(Log::RekorV1, "tags", timestamp);
            logged(signery, case, signs_digests);
        }
    }
}

#[test]
#[ignore = "needs Rekor v1, Fulcio and their database: ./test --sigstore"]
fn rekor_v1_takes_bundles_of_every_kind_of_key() {
    for timestamp in [Timestamp::None, Timestamp::Authority] {
        if let Some(signery) = Signery::full() {
            let case = case(Log::RekorV1, "bundle", timestamp);
            logged(signery, case, |_| true);
        }
    }
}
