//! Policies that were filled in from what a good image shows.

use super::rendered::Kind;
use super::roles::Role::*;
use super::table::{NOT_SATISFIED, OTHER_IMAGE, OTHER_TYPE, Row, by_digest, hold};

/// With `--from` an image whose provenance is v1: what it shows is demanded.
const FROM_V1: &[Row] = &[
    Row {
        kind: Kind::Kyverno,
        flags: &[],
        accepts: &[AttV1, BothTypes],
        refuses: &[
            (AttV1Evil, NOT_SATISFIED),
            (AttForeignSource, NOT_SATISFIED),
            (AttV02, OTHER_TYPE),
            (Tampered, OTHER_IMAGE),
        ],
    },
    Row {
        kind: Kind::PolicyController,
        flags: &["--match", "any"],
        accepts: &[AttV1, BothTypes],
        refuses: &[
            (AttV1Evil, "policy is not compliant"),
            (AttForeignSource, "policy is not compliant"),
            (AttV02, "no matching attestations with type"),
        ],
    },
    Row {
        kind: Kind::RegoOpa,
        flags: &[],
        accepts: &[AttV1, BothTypes],
        refuses: &[(AttV1Evil, "is false"), (AttForeignSource, "is false")],
    },
];

#[test]
#[ignore = "beside programs that enforce policies: ./test --policies"]
fn policies_filled_from_a_good_image() {
    let good = by_digest(AttV1);
    hold(FROM_V1, &["--from", good.as_str()], by_digest);
}
