//! Policies that demand that all tasks of the run succeeded.

use super::rendered::Kind;
use super::roles::Role::*;
use super::table::{
    ANY_V1, ANY_V02, BUNDLE_ANY_V02, NOT_SATISFIED, Row, V1, V1_OF_SOURCE, V02, V02_OF_SOURCE,
    by_digest, hold,
};

/// Of a TaskRun's provenance, as that of most roles is, nobody knows how tasks ended.
const ROWS: &[Row] = &[
    Row {
        kind: Kind::Kyverno,
        flags: V02,
        accepts: &[Succeeded],
        refuses: &[
            (OneFailed, NOT_SATISFIED),
            (NoTasks, NOT_SATISFIED),
            (Written, "failed to check attestations"),
            (AttV02, "failed to check attestations"),
        ],
    },
    Row {
        kind: Kind::KyvernoImageValidating,
        flags: BUNDLE_ANY_V02,
        accepts: &[BundleSucceeded],
        refuses: &[
            (BundleOneFailed, "did not succeed"),
            (BundleV02, "no such key"),
        ],
    },
    Row {
        kind: Kind::PolicyController,
        flags: ANY_V02,
        accepts: &[Succeeded],
        refuses: &[
            (OneFailed, "policy is not compliant"),
            (NoTasks, "policy is not compliant"),
            (Written, "policy is not compliant"),
        ],
    },
    Row {
        kind: Kind::PolicyController,
        flags: ANY_V1,
        accepts: &[SucceededV1],
        refuses: &[
            (OneFailedV1, "policy is not compliant"),
            (NoTasksV1, "policy is not compliant"),
            (AttV1, "policy is not compliant"),
        ],
    },
    Row {
        kind: Kind::RegoCosign,
        flags: V02_OF_SOURCE,
        accepts: &[Succeeded],
        refuses: &[
            (OneFailed, "1 validation errors occurred"),
            (NoTasks, "1 validation errors occurred"),
            (Written, "1 validation errors occurred"),
        ],
    },
    Row {
        kind: Kind::RegoCosign,
        flags: V1_OF_SOURCE,
        accepts: &[SucceededV1],
        refuses: &[
            (OneFailedV1, "1 validation errors occurred"),
            (NoTasksV1, "1 validation errors occurred"),
            (AttV1, "1 validation errors occurred"),
        ],
    },
    Row {
        kind: Kind::RegoOpa,
        flags: V02,
        accepts: &[Succeeded],
        refuses: &[
            (OneFailed, "is false"),
            (NoTasks, "is false"),
            (Written, "is false"),
        ],
    },
    Row {
        kind: Kind::RegoOpa,
        flags: V1,
        accepts: &[SucceededV1],
        refuses: &[
            (OneFailedV1, "is false"),
            (NoTasksV1, "is false"),
            (AttV1, "is false"),
        ],
    },
];

#[test]
#[ignore = "beside programs that enforce policies: ./test --policies"]
fn all_tasks_must_have_succeeded() {
    hold(ROWS, &["--succeeded"], by_digest);
}
