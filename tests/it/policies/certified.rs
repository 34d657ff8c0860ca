//! Images that cosign signs and attests with certificates, as nobody of ours does without a key.

use tekseal_harness::Layout;

use super::roles::Role;
use crate::sigstore::artifacts::{Log, Recipe, Signer, Signery, Timestamp, VERSIONS, Who};

/// Each type of provenance, and its predicate among the samples; both satisfy the rules of the tables.
const PREDICATES: [(&str, &str); 2] = [
    ("slsaprovenance02", "predicate-slsa02.json"),
    ("slsaprovenance1", "predicate-slsa1.json"),
];

/// An image, and how it was signed.
pub(super) struct Certified {
    pub(super) role: Role,
    who: Who,
    layout: Layout,
    log: Log,
}

const fn certified(role: Role, who: Who, layout: Layout, log: Log) -> Certified {
    Certified {
        role,
        who,
        layout,
        log,
    }
}

/// All of them.
#[rustfmt::skip]
pub(super) const ALL: &[Certified] = &[
    certified(Role::Keyless, Who::Builder, Layout::Tags, Log::RekorV1),
    certified(Role::KeylessStranger, Who::Stranger, Layout::Tags, Log::RekorV1),
    certified(Role::KeylessPerson, Who::Person, Layout::Tags, Log::RekorV1),
    certified(Role::KeylessUnlogged, Who::Builder, Layout::Tags, Log::None),
    certified(Role::BundleKeyless, Who::Builder, Layout::Bundles, Log::RekorV1),
    certified(Role::BundleKeylessStranger, Who::Stranger, Layout::Bundles, Log::RekorV1),
    certified(Role::BundleKeylessPerson, Who::Person, Layout::Bundles, Log::RekorV1),
    certified(Role::BundleKeylessUnlogged, Who::Builder, Layout::Bundles, Log::None),
];

impl Certified {
    /// Signs and attests the image, of this reference.
    pub(super) fn make(&self, signery: &Signery, image: &str) {
        let [second, third] = VERSIONS;
        let recipe = Recipe {
            // In bundles version 3 signs as policies want it.
            version: match self.layout {
                Layout::Tags => second,
                Layout::Bundles => third,
            },
            signer: Signer::Certificate(self.who),
            layout: self.layout,
            log: self.log,
            // A certificate is good for ten minutes, and somebody must say that it was then.
            timestamp: match self.log {
                Log::None => Timestamp::Authority,
                Log::RekorV1 | Log::RekorV2 => Timestamp::None,
            },
        };
        signery
            .sign_with_cosign(recipe, image)
            .expect("this version was found before");
        for (predicate_type, predicate) in PREDICATES {
            signery
                .attest_type_with_cosign(recipe, predicate_type, predicate, image)
                .expect("this version was found before");
        }
    }
}
