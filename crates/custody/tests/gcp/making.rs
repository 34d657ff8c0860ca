//! Keys that are made and rotated.

use std::time::{Duration, Instant};

use tekseal_core::Blame;
use tekseal_custody::{create, public_key, rotate};
use tekseal_harness::GoogleKms;
use tekseal_signing::KeyAlgorithm;

use super::{KEY, assert_says, context, opened, reference, said, with_key};

#[tokio::test]
async fn a_key_is_made_with_its_ring_and_never_twice() {
    let kms = GoogleKms::start();
    kms.set_looks(2);
    let context = context(&kms, &kms.account_file());
    let made = create(&reference(KEY), KeyAlgorithm::P384, &context).await;
    let made = made.unwrap_or_else(|error| panic!("{}", said(&error)));
    assert_eq!(made.algorithm(), KeyAlgorithm::P384);
    assert_eq!(
        public_key(&reference(KEY), &context)
            .await
            .expect("just made"),
        made
    );

    let error = create(&reference(KEY), KeyAlgorithm::P256, &context).await;
    assert_says(
        &error.expect_err("it is there"),
        Blame::Setting,
        &["there is a key of this name already"],
    );
    let error = create(&reference(KEY), KeyAlgorithm::P521, &context).await;
    assert_says(
        &error.expect_err("no such keys"),
        Blame::Setting,
        &["ECDSA P-521", "it makes P-256"],
    );
    let named = format!("{KEY}/cryptoKeyVersions/1");
    let error = create(&reference(&named), KeyAlgorithm::P256, &context).await;
    assert_says(
        &error.expect_err("a version"),
        Blame::Setting,
        &["leave it out"],
    );
}

#[tokio::test]
async fn a_rotated_key_signs_with_its_new_version_once_that_is_ready() {
    let (kms, before) = with_key();
    kms.set_looks(1);
    let context = context(&kms, &kms.account_file());
    let after = rotate(&reference(KEY), &context).await;
    let after = after.unwrap_or_else(|error| panic!("{}", said(&error)));
    assert_ne!(after.to_pem(), before);
    assert_eq!(*opened(&kms).await.public_key(), after);

    kms.set_looks(u32::MAX);
    let start = Instant::now();
    let error = rotate(&reference(KEY), &context).await;
    let error = error.expect_err("it is never ready");
    assert_says(&error, Blame::Outside, &["PENDING_GENERATION"]);
    assert!(start.elapsed() < Duration::from_secs(20));
    assert_eq!(
        *opened(&kms).await.public_key(),
        after,
        "what is not ready does not sign"
    );
}
