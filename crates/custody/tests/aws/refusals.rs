//! What AWS says no to: told by name, with what to do, and tried again only where that can help.

use tekseal_core::Blame;

use crate::{ALIAS, SECRET, Shop, run, told};

#[test]
fn throttling_is_waited_for() {
    let shop = Shop::with_key();
    let signer = shop.open();
    shop.aws.refuse("Sign", 2, "ThrottlingException");
    run(signer.sign(b"x")).expect("the third time it signs");
    assert_eq!(shop.aws.count_of("Sign"), 3);
    shop.aws.refuse("Sign", 9, "ThrottlingException");
    let error = run(signer.sign(b"x")).expect_err("it never signs");
    let said = told(&error);
    assert!(said.contains("ThrottlingException"), "{said}");
    assert!(said.contains("quota"), "{said}");
    assert_eq!(error.blame(), Blame::Outside);
    assert_eq!(shop.aws.count_of("Sign"), 6);
}

#[test]
fn a_server_that_is_not_well_is_asked_again() {
    let shop = Shop::with_key();
    let signer = shop.open();
    shop.aws.refuse("Sign", 2, "KMSInternalException");
    run(signer.sign(b"x")).expect("the third time it signs");
    shop.aws.refuse("Sign", 9, "KMSInternalException");
    let error = run(signer.sign(b"x")).expect_err("it never signs");
    assert_eq!(error.blame(), Blame::Outside);
    assert_eq!(shop.aws.count_of("Sign"), 6);
}

#[test]
fn refusals_say_what_to_do() {
    for (code, advice) in [
        ("AccessDeniedException", "let the identity have kms:Sign"),
        ("NotFoundException", "no such key in region eu-west-1"),
        ("DisabledException", "enable the key"),
        ("KMSInvalidStateException", "waiting for its deletion"),
        ("InvalidKeyUsageException", "SIGN_VERIFY"),
        (
            "UnrecognizedClientException",
            "does not know these credentials",
        ),
        (
            "LimitExceededException",
            "a quota of the account is used up",
        ),
        ("ValidationException", "so the test says"),
    ] {
        let shop = Shop::with_key();
        let signer = shop.open();
        shop.aws.refuse("Sign", 9, code);
        let error = run(signer.sign(b"x")).expect_err("it is refused");
        let said = told(&error);
        let wanted = format!("AWS KMS refused to sign with awskms:///{ALIAS}: status 400: {code}");
        assert!(said.contains(&wanted), "{said}");
        assert!(said.contains(advice), "{said}");
        assert!(!said.contains(SECRET), "{said}");
        assert_eq!(error.blame(), Blame::Setting, "{said}");
    }
}

#[test]
fn a_key_that_cannot_sign_is_refused_when_it_is_opened() {
    for (spec, usage, wanted) in [
        (
            "SYMMETRIC_DEFAULT",
            "ENCRYPT_DECRYPT",
            "use an asymmetric key",
        ),
        ("RSA_2048", "ENCRYPT_DECRYPT", "is for ENCRYPT_DECRYPT"),
        ("ECC_NIST_P256", "KEY_AGREEMENT", "is for KEY_AGREEMENT"),
        (
            "ECC_SECG_P256K1",
            "SIGN_VERIFY",
            "of the kind ECC_SECG_P256K1",
        ),
    ] {
        let shop = Shop::new();
        let arn = shop.aws.key(spec, usage);
        shop.aws.alias(ALIAS, &arn);
        let error = shop.refused();
        assert!(told(&error).contains(wanted), "{}", told(&error));
        assert_eq!(error.blame(), Blame::Setting);
    }
}

#[test]
fn a_key_that_is_disabled_is_named() {
    let shop = Shop::new();
    let arn = shop.make_key("ECC_NIST_P256");
    let signer = shop.open();
    shop.aws.set_state(&arn, "Disabled");
    let said = told(&run(signer.sign(b"x")).expect_err("it is disabled"));
    assert!(said.contains("DisabledException"), "{said}");
    shop.aws.set_state(&arn, "PendingDeletion");
    let said = told(&shop.refused());
    assert!(said.contains("KMSInvalidStateException"), "{said}");
    let missing = shop.try_open("alias/other").err().expect("there is none");
    assert!(told(&missing).contains("Alias arn:aws:kms"), "{missing}");
}
