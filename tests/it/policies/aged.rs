//! Policies that demand a recent build: those of all images ended in March 2026.

use super::rendered::Kind;
use super::roles::Role::*;
use super::table::{ANY_V1, Row, V1, V1_OF_SOURCE, V02, by_digest, hold};

/// Where a build may be ten years old.
const OLD: &[Row] = &[
    Row {
        kind: Kind::Kyverno,
        flags: V02,
        accepts: &[AttV02],
        refuses: &[(AttV02Evil, "attestation checks failed")],
    },
    Row {
        kind: Kind::Kyverno,
        flags: V1,
        accepts: &[AttV1],
        refuses: &[(AttV1Evil, "attestation checks failed")],
    },
    Row {
        kind: Kind::PolicyController,
        flags: ANY_V1,
        accepts: &[AttV1],
        refuses: &[(AttV1Evil, "policy is not compliant")],
    },
    Row {
        kind: Kind::RegoCosign,
        flags: V1_OF_SOURCE,
        accepts: &[AttV1],
        refuses: &[(AttV1Evil, "1 validation errors occurred")],
    },
    Row {
        kind: Kind::RegoOpa,
        flags: V02,
        accepts: &[AttV02],
        refuses: &[(AttV02Evil, "is false")],
    },
];

/// Where it may be an hour old.
const YOUNG: &[Row] = &[
    Row {
        kind: Kind::Kyverno,
        flags: V02,
        accepts: &[],
        refuses: &[(AttV02, "attestation checks failed")],
    },
    Row {
        kind: Kind::Kyverno,
        flags: V1,
        accepts: &[],
        refuses: &[(AttV1, "attestation checks failed")],
    },
    Row {
        kind: Kind::PolicyController,
        flags: ANY_V1,
        accepts: &[],
        refuses: &[(AttV1, "policy is not compliant")],
    },
    Row {
        kind: Kind::RegoCosign,
        flags: V1_OF_SOURCE,
        accepts: &[],
        refuses: &[(AttV1, "1 validation errors occurred")],
    },
    Row {
        kind: Kind::RegoOpa,
        flags: V02,
        accepts: &[],
        refuses: &[(AttV02, "is false")],
    },
];

#[test]
#[ignore = "beside programs that enforce policies: ./test --policies"]
fn builds_may_be_so_old() {
    hold(OLD, &["--max-age", "3650d"], by_digest);
    hold(YOUNG, &["--max-age", "1h"], by_digest);
}
