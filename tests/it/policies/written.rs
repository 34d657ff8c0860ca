//! Statements that a policy must not misread, though they are by the right signer.

use super::rendered::Kind;
use super::roles::Role::*;
use super::roles::{BUILDER, SOURCE};
use super::table::{NOT_SATISFIED, NOTHING, Row, V02_OF_SOURCE, by_digest, hold};

const ANY_V02_OF_SOURCE: &[&str] = &[
    "--provenance",
    "v0.2",
    "--builder-id",
    BUILDER,
    "--source-repository",
    SOURCE,
    "--match",
    "any",
];

const ROWS: &[Row] = &[
    Row {
        kind: Kind::Kyverno,
        flags: V02_OF_SOURCE,
        accepts: &[Written],
        refuses: &[
            (BuilderIsVariable, NOT_SATISFIED),
            (MaterialsObject, "failed to check attestations"),
            (MaterialsMixed, NOT_SATISFIED),
            (NoBuilder, NOT_SATISFIED),
        ],
    },
    Row {
        kind: Kind::PolicyController,
        flags: ANY_V02_OF_SOURCE,
        accepts: &[Written],
        refuses: &[
            (BuilderIsVariable, "policy is not compliant"),
            (MaterialsObject, "policy is not compliant"),
            (MaterialsMixed, "policy is not compliant"),
            (NoBuilder, "policy is not compliant"),
        ],
    },
    Row {
        kind: Kind::RegoOpa,
        flags: V02_OF_SOURCE,
        accepts: &[Written],
        refuses: &[
            (BuilderIsVariable, "is false"),
            (MaterialsObject, "is false"),
            (MaterialsMixed, "is false"),
            (NoBuilder, "is false"),
        ],
    },
    Row {
        kind: Kind::RegoCosign,
        flags: V02_OF_SOURCE,
        accepts: &[Written],
        refuses: &[
            (BuilderIsVariable, "1 validation errors occurred"),
            (MaterialsObject, "cannot unmarshal object"),
            (MaterialsMixed, "cannot unmarshal string"),
            (NoBuilder, "1 validation errors occurred"),
        ],
    },
];

#[test]
#[ignore = "beside programs that enforce policies: ./test --policies"]
fn members_of_another_shape_satisfy_nothing() {
    hold(ROWS, NOTHING, by_digest);
}
