//! Who the process is: where credentials are found, how long they are kept, and what time it is.

use std::time::Duration;

use tekseal_core::Blame;

use crate::{ID, SECRET, Shop, run, told};

const ROLE: &str = "arn:aws:iam::111122223333:role/signer";
const TOKEN: &str = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0.c2lnbmF0dXJl";

/// A shop whose process has a role by its ServiceAccount.
fn with_role() -> Shop {
    let mut shop = Shop::empty();
    shop.make_key("ECC_NIST_P256");
    shop.aws.allow_role(ROLE, TOKEN);
    shop.set("AWS_ROLE_ARN", ROLE);
    shop.set_file(
        "AWS_WEB_IDENTITY_TOKEN_FILE",
        "token",
        &format!("{TOKEN}\n"),
    );
    shop
}

/// One whose process is in a container with an agent.
fn with_agent() -> Shop {
    let mut shop = Shop::empty();
    shop.make_key("ECC_NIST_P256");
    shop.aws.allow_pod(TOKEN);
    let url = format!("http://{}/v1/credentials", shop.aws.address());
    shop.set("AWS_CONTAINER_CREDENTIALS_FULL_URI", &url);
    shop.set_file("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "token", TOKEN);
    shop
}

fn signs(shop: &Shop) {
    let signed = run(shop.open().sign(b"x"));
    signed.unwrap_or_else(|error| panic!("{}", told(&error)));
}

#[test]
fn variables_go_before_everything_else() {
    let mut shop = with_role();
    shop.aws.allow(ID, SECRET, Some("a/token+=="));
    shop.set("AWS_ACCESS_KEY_ID", ID);
    shop.set("AWS_SECRET_ACCESS_KEY", SECRET);
    shop.set("AWS_SESSION_TOKEN", "a/token+==");
    signs(&shop);
    assert_eq!(shop.aws.count_of("AssumeRoleWithWebIdentity"), 0);
    shop.no_complaints();
}

#[test]
fn a_service_account_takes_its_role_once() {
    let mut shop = with_role();
    signs(&shop);
    let asked = shop.aws.bodies_of("AssumeRoleWithWebIdentity");
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0]["RoleArn"], ROLE);
    let session = asked[0]["RoleSessionName"].as_str().expect("a text");
    assert!(session.starts_with("tekseal-"), "{session}");
    shop.set("AWS_ROLE_SESSION_NAME", "build@team=1");
    signs(&shop);
    let asked = shop.aws.bodies_of("AssumeRoleWithWebIdentity");
    assert_eq!(asked[1]["RoleSessionName"], "build@team=1");
    shop.no_complaints();
}

#[test]
fn a_container_asks_its_agent() {
    let shop = with_agent();
    signs(&shop);
    assert_eq!(shop.aws.count_of("agent"), 1);
    shop.no_complaints();
}

#[test]
fn profiles_are_read_from_the_shared_files() {
    let mut shop = Shop::empty();
    shop.make_key("ECC_NIST_P256");
    shop.aws.allow(ID, SECRET, None);
    let keys = format!("aws_access_key_id = {ID}\naws_secret_access_key = {SECRET}\n");
    shop.file(
        ".aws/credentials",
        &format!("[default]\naws_access_key_id=NOBODY\naws_secret_access_key=x\n[team]\n{keys}"),
    );
    shop.file(".aws/config", "[profile team]\nregion = eu-west-1\n");
    shop.set("AWS_PROFILE", "team");
    shop.unset("AWS_REGION");
    signs(&shop);
    shop.no_complaints();
    shop.set("AWS_PROFILE", "other");
    let said = told(&shop.refused());
    assert!(said.contains("there is no profile \"other\""), "{said}");
}

#[test]
fn a_home_that_is_shut_has_no_profiles_and_a_file_that_is_named_must_open() {
    let mut shop = with_role();
    shop.file("shut", "");
    let shut = shop.folder.path().join("shut").display().to_string();
    shop.set("HOME", &shut);
    signs(&shop);
    shop.set("AWS_CONFIG_FILE", &format!("{shut}/config"));
    let said = told(&shop.refused());
    assert!(
        said.contains("cannot read the configuration of AWS"),
        "{said}"
    );
    shop.set("AWS_CONFIG_FILE", &shop.folder.path().display().to_string());
    let said = told(&shop.refused());
    assert!(said.contains("it is no file"), "{said}");
}

#[test]
fn an_instance_knows_its_role_and_its_region() {
    let mut shop = Shop::empty();
    shop.make_key("ECC_NIST_P256");
    shop.aws.allow_instance("node");
    let url = format!("http://{}", shop.aws.address());
    shop.set("AWS_EC2_METADATA_SERVICE_ENDPOINT", &url);
    shop.set("AWS_EC2_METADATA_DISABLED", "");
    shop.unset("AWS_REGION");
    signs(&shop);
    // The region, and the credentials: a token each, the name of the role, its credentials.
    assert_eq!(shop.aws.count_of("instance"), 5);
    shop.no_complaints();
}

#[test]
fn the_places_where_there_are_no_credentials_are_told() {
    let shop = Shop::empty();
    let error = shop.refused();
    let said = told(&error);
    for place in [
        "AWS_ACCESS_KEY_ID",
        "AWS_WEB_IDENTITY_TOKEN_FILE",
        "the profile default",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
        "AWS_EC2_METADATA_DISABLED",
    ] {
        assert!(said.contains(place), "{place}: {said}");
    }
    assert_eq!(error.blame(), Blame::Setting);
    assert_eq!(shop.aws.count_of("GetPublicKey"), 0);
}

#[test]
fn half_of_credentials_is_told_and_nobody_else_is_asked() {
    let mut shop = with_role();
    shop.set("AWS_ACCESS_KEY_ID", ID);
    let said = told(&shop.refused());
    assert!(said.contains("AWS_SECRET_ACCESS_KEY is not set"), "{said}");
    shop.unset("AWS_ACCESS_KEY_ID");
    shop.unset("AWS_ROLE_ARN");
    let said = told(&shop.refused());
    assert!(said.contains("AWS_ROLE_ARN is not set"), "{said}");
    assert_eq!(shop.aws.count_of("AssumeRoleWithWebIdentity"), 0);
}

#[test]
fn a_token_file_that_is_no_good_is_named() {
    for shop in [with_role(), with_agent()] {
        for text in ["", " \n", "a\nb", "\u{7f}"] {
            shop.file("token", text);
            let said = told(&shop.refused());
            assert!(said.contains("/token has no token in it"), "{said}");
        }
        std::fs::remove_file(shop.folder.path().join("token")).expect("it is there");
        let error = shop.refused();
        assert!(told(&error).contains("there is no file"), "{error}");
        assert_eq!(error.blame(), Blame::Setting);
    }
}

#[test]
fn refused_roles_are_told_with_what_to_do_and_without_the_token() {
    let mut shop = with_role();
    shop.set("AWS_ROLE_ARN", "arn:aws:iam::111122223333:role/other");
    let error = shop.refused();
    let said = told(&error);
    assert!(said.contains("AccessDenied"), "{said}");
    assert!(said.contains("trust policy"), "{said}");
    assert_eq!(error.blame(), Blame::Setting);
    shop.set("AWS_ROLE_ARN", ROLE);
    shop.file("token", "another.token");
    let said = told(&shop.refused());
    assert!(said.contains("InvalidIdentityToken"), "{said}");
    assert!(said.contains("sts.amazonaws.com"), "{said}");
    let operation = "AssumeRoleWithWebIdentity";
    shop.file("token", TOKEN);
    for (code, advice, blame) in [
        (
            "ExpiredTokenException",
            "nobody replaced it",
            Blame::Setting,
        ),
        ("Odd", "status 400: Odd", Blame::Setting),
        ("IDPCommunicationError", "", Blame::Outside),
    ] {
        // The message of the refusal has the token in it.
        shop.aws.refuse(operation, 9, code);
        let error = shop.refused();
        let said = told(&error);
        assert!(said.contains(code) && said.contains(advice), "{said}");
        assert!(!said.contains(TOKEN), "{said}");
        assert_eq!(error.blame(), blame, "{said}");
        shop = with_role();
    }
    // What may pass is tried again.
    shop.aws.refuse(operation, 2, "IDPCommunicationError");
    signs(&shop);
    assert_eq!(shop.aws.count_of(operation), 3);
}

#[test]
fn an_agent_that_refuses_is_told_without_the_token() {
    let shop = with_agent();
    shop.file("token", "another-token");
    let said = told(&shop.refused());
    assert!(said.contains("status 403"), "{said}");
    assert!(said.contains("Pod Identity association"), "{said}");
    assert!(!said.contains("another-token"), "{said}");
}

#[test]
fn the_token_of_a_container_goes_to_no_other_host() {
    let mut shop = with_agent();
    for url in [
        "http://10.0.0.1/x",
        "http://example.com/x",
        "ftp://127.0.0.1/x",
    ] {
        shop.set("AWS_CONTAINER_CREDENTIALS_FULL_URI", url);
        let said = told(&shop.refused());
        assert!(said.contains("is neither https nor http at"), "{said}");
    }
    shop.set("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "@example.com/x");
    let said = told(&shop.refused());
    assert!(said.contains("does not begin with a slash"), "{said}");
}

#[test]
fn expired_credentials_are_replaced_once() {
    let shop = with_role();
    let signer = shop.open();
    run(signer.sign(b"x")).expect("it signs");
    shop.aws.expire_all();
    run(signer.sign(b"x")).expect("with others");
    assert_eq!(shop.aws.count_of("AssumeRoleWithWebIdentity"), 2);
    assert_eq!(shop.aws.count_of("Sign"), 3);
    shop.no_complaints();
}

#[test]
fn credentials_that_expire_soon_are_replaced_before() {
    let shop = with_role();
    shop.aws.set_lifetime(Duration::from_secs(60));
    let signer = shop.open();
    run(signer.sign(b"x")).expect("it signs");
    assert_eq!(shop.aws.count_of("AssumeRoleWithWebIdentity"), 2);
    // Those that there are do where there are no others.
    shop.aws
        .refuse("AssumeRoleWithWebIdentity", 1, "AccessDenied");
    run(signer.sign(b"x")).expect("it still signs");
    assert_eq!(shop.aws.count_of("AssumeRoleWithWebIdentity"), 3);
    // And others are not sought with each signature.
    run(signer.sign(b"x")).expect("it still signs");
    assert_eq!(shop.aws.count_of("AssumeRoleWithWebIdentity"), 3);
}

#[test]
fn lasting_credentials_that_have_expired_are_told_at_once() {
    let shop = Shop::with_key();
    let signer = shop.open();
    shop.aws.expire_all();
    let error = run(signer.sign(b"x")).expect_err("they have expired");
    let said = told(&error);
    assert!(said.contains("ExpiredTokenException"), "{said}");
    assert!(said.contains("still good"), "{said}");
    assert!(!said.contains(SECRET), "{said}");
    assert_eq!(error.blame(), Blame::Setting);
    assert_eq!(shop.aws.count_of("Sign"), 1);
}

#[test]
fn a_clock_that_is_wrong_is_corrected_once() {
    for ahead in [-3600, 3600] {
        let shop = Shop::with_key();
        shop.aws.set_ahead(ahead);
        let signer = shop.open();
        run(signer.sign(b"x")).expect("it signs");
        assert_eq!(shop.aws.count_of("GetPublicKey"), 2);
        assert_eq!(shop.aws.count_of("Sign"), 1);
        shop.no_complaints();
    }
}

#[test]
fn a_time_that_is_days_away_is_not_believed() {
    let shop = Shop::with_key();
    shop.aws.set_ahead(3 * 24 * 3600);
    let said = told(&shop.refused());
    assert!(said.contains("the clock of this machine"), "{said}");
    assert_eq!(shop.aws.count_of("GetPublicKey"), 1);
}

#[test]
fn a_wrong_secret_is_told_once_and_not_shown() {
    let mut shop = Shop::with_key();
    shop.set("AWS_SECRET_ACCESS_KEY", "hunter2");
    let error = shop.refused();
    let said = told(&error);
    assert!(said.contains("InvalidSignatureException"), "{said}");
    assert!(said.contains("check the secret access key"), "{said}");
    assert!(!said.contains("hunter2"), "{said}");
    assert_eq!(error.blame(), Blame::Setting);
    assert_eq!(shop.aws.count_of("GetPublicKey"), 1);
}
