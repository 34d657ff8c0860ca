//! Keys in AWS KMS, beside an imitation of AWS that computes every signature of a request anew. cosign has the SDK of AWS: that it signs there too says
//! that the imitation takes what the SDK sends.

use std::path::Path;

use tekseal_harness::{AWS_REGION, Aws, Cosign, Layout, Run, cosign};

use crate::workshop::Workshop;

const KEY: &str = "awskms:///alias/team/sign";
const ID: &str = "AKIDEXAMPLE";
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
const ROLE: &str = "arn:aws:iam::111122223333:role/signer";

/// An AWS with a key of this kind.
fn aws_with(spec: &str) -> Aws {
    let aws = Aws::start();
    let arn = aws.key(spec, "SIGN_VERIFY");
    aws.alias("alias/team/sign", &arn);
    aws.allow(ID, SECRET, Some("session+token/=="));
    aws
}

fn variables(aws: &Aws) -> [(&'static str, String); 6] {
    [
        ("AWS_REGION", AWS_REGION.to_owned()),
        ("AWS_ENDPOINT_URL", format!("http://{}", aws.address())),
        ("AWS_ACCESS_KEY_ID", ID.to_owned()),
        ("AWS_SECRET_ACCESS_KEY", SECRET.to_owned()),
        ("AWS_SESSION_TOKEN", "session+token/==".to_owned()),
        ("AWS_EC2_METADATA_DISABLED", "true".to_owned()),
    ]
}

fn with(run: Run, aws: &Aws) -> Run {
    let variables = variables(aws);
    variables
        .iter()
        .fold(run, |run, (name, value)| run.env(name, value))
}

fn cosign_with(cosign: Cosign, aws: &Aws) -> Cosign {
    let variables = variables(aws);
    variables
        .iter()
        .fold(cosign, |cosign, (name, value)| cosign.env(name, value))
}

fn nothing_is_stored(shop: &Workshop) {
    assert_eq!((shop.layers("sig").len(), shop.layers("att").len()), (0, 0));
}

#[test]
fn cosign_verifies_what_a_key_of_aws_signed() {
    for (spec, digest) in [
        ("ECC_NIST_P256", "sha256"),
        ("RSA_2048", "sha256"),
        ("ECC_NIST_P384", "sha384"),
    ] {
        let (aws, shop) = (aws_with(spec), Workshop::new());
        with(shop.attest_command(&shop.run(), Path::new(KEY)), &aws).ok();
        // The image and its provenance, with the key as it was read once.
        assert_eq!(aws.count_of("Sign"), 2, "{spec}");
        assert_eq!(aws.count_of("GetPublicKey"), 1, "{spec}");
        let arn = aws.key_of("alias/team/sign").expect("it is there");
        let public = shop.file("aws.pub", aws.public_key(&arn));
        for version in ["2.6.5", "3.1.3"] {
            let Some(cosign) = cosign(version) else {
                return;
            };
            let over = ["--signature-digest-algorithm", digest];
            let over = if digest == "sha256" {
                &[][..]
            } else {
                &over[..]
            };
            cosign.verify(&public, &shop.image, over).ok();
            if digest == "sha256" {
                let kind = "slsaprovenance";
                cosign
                    .verify_attestation(&public, kind, &shop.image, over)
                    .ok();
            }
        }
        // In a set beside a key that signs as usual.
        let (_, usual) = shop.plain_key();
        let set = shop.path("keys.json");
        let add = Run::tool("tekseal-keys").arg("set").arg("--out").arg(&set);
        add.arg("--add").arg(&public).arg("--add").arg(usual).ok();
        let by_set = |over: &str| {
            let verify = Run::tool("tekseal-verify").arg("--keys").arg(&set);
            verify
                .args(["--signature-digest-algorithm", over])
                .arg(&shop.image)
        };
        by_set("sha256,sha384").ok();
        by_set(if digest == "sha256" {
            "sha384"
        } else {
            "sha256"
        })
        .fails_with(1);
        assert_eq!(aws.complaints(), Vec::<String>::new(), "{spec}");
    }
}

#[test]
fn ours_and_cosign_sign_and_verify_with_one_key_of_aws() {
    let (aws, shop) = (aws_with("ECC_NIST_P256"), Workshop::new());
    let key = Path::new(KEY);
    for version in ["2.6.5", "3.1.3"] {
        let Some(cosign) = cosign(version) else {
            return;
        };
        let cosign = cosign_with(cosign, &aws);
        cosign.sign(key, "", &shop.image, Layout::Tags).ok();
        cosign.verify(key, &shop.image, &[]).ok();
        let told = cosign.run("public-key").args(["--key", KEY]).ok().stdout;
        let arn = aws.key_of("alias/team/sign").expect("it is there");
        assert_eq!(told.trim(), aws.public_key(&arn).trim());
    }
    assert_eq!(aws.count_of("Sign"), 2);
    let asked = aws.count_of("GetPublicKey");
    let verify = shop.verify(key).args(["--only", "signature"]);
    with(verify, &aws).ok();
    assert_eq!(aws.count_of("GetPublicKey"), asked + 1);
    assert_eq!(aws.complaints(), Vec::<String>::new());
}

#[test]
fn a_service_account_signs_with_its_role() {
    let (aws, shop) = (aws_with("ECC_NIST_P256"), Workshop::new());
    aws.allow_role(ROLE, "a.projected.token");
    let token = shop.file("token", "a.projected.token");
    let run = shop.attest_command(&shop.run(), Path::new(KEY));
    let said = run
        .env("AWS_REGION", AWS_REGION)
        .env("AWS_ENDPOINT_URL", format!("http://{}", aws.address()))
        .env("AWS_ROLE_ARN", ROLE)
        .env("AWS_WEB_IDENTITY_TOKEN_FILE", token)
        .ok();
    assert!(!said.stderr.contains("projected"), "{said:?}");
    assert_eq!(aws.count_of("AssumeRoleWithWebIdentity"), 1);
    assert_eq!(aws.count_of("Sign"), 2);
    assert_eq!(aws.complaints(), Vec::<String>::new());
}

#[test]
fn what_aws_refuses_is_told_and_nothing_is_stored() {
    let (aws, shop) = (aws_with("ECC_NIST_P256"), Workshop::new());
    let attest = || with(shop.attest_command(&shop.run(), Path::new(KEY)), &aws);
    aws.refuse("Sign", 1, "AccessDeniedException");
    let said = attest().fails_with(2);
    assert!(said.stderr.contains("kms:Sign"), "{said:?}");
    assert!(!said.stderr.contains(SECRET), "{said:?}");
    aws.refuse("Sign", 9, "ThrottlingException");
    let said = attest().fails_with(3);
    assert!(said.stderr.contains("quota"), "{said:?}");
    let missing = "awskms:///alias/missing";
    let run = shop.attest_command(&shop.run(), Path::new(missing));
    let said = with(run, &aws).fails_with(2);
    assert!(said.stderr.contains("no such key in region"), "{said:?}");
    let run = shop.attest_command(&shop.run(), Path::new(KEY));
    let said = run
        .env("AWS_REGION", AWS_REGION)
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .fails_with(2);
    assert!(said.stderr.contains("no credentials for AWS"), "{said:?}");
    nothing_is_stored(&shop);
}
