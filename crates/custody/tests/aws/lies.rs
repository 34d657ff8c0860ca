//! A service that fails or lies: nothing of it is believed, nothing panics, nobody is waited for without end.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tekseal_core::Blame;
use tekseal_harness::{Answer, Moment, Proxy};

use crate::{ALIAS, Shop, run, told};

/// A proxy before AWS.
fn before(shop: &mut Shop) -> Proxy {
    let proxy = Proxy::start(shop.aws.address());
    shop.set("AWS_ENDPOINT_URL", &format!("http://{}", proxy.address()));
    proxy
}

/// Changes the answers to an operation.
fn change(
    proxy: &Proxy,
    operation: &'static str,
    edit: impl Fn(&mut Value) + Send + Sync + 'static,
) {
    of(proxy, operation).edit(move |answer: &mut Answer| {
        let mut body = serde_json::from_slice(&answer.body).expect("JSON");
        edit(&mut body);
        answer.body = body.to_string().into_bytes();
    });
}

fn of<'p>(proxy: &'p Proxy, operation: &'static str) -> tekseal_harness::Rule<'p> {
    let target = format!("TrentService.{operation}");
    proxy.when(move |seen| seen.header("x-amz-target") == Some(&target))
}

#[test]
fn the_public_key_of_something_else_is_refused() {
    let other = Shop::new();
    other.make_key("ECC_NIST_P384");
    let spki = STANDARD.encode(other.public_key().spki_der());
    type Edit = Box<dyn Fn(&mut Value) + Send + Sync>;
    let set = |name: &'static str, value: Value| -> Edit {
        Box::new(move |body| body[name] = value.clone())
    };
    let other_key = "arn:aws:kms:eu-west-1:111122223333:key/other";
    for (edit, wanted) in [
        (set("KeyId", json!("alias/sign")), "another key"),
        (set("KeyId", json!("")), "another key"),
        (set("KeyId", Value::Null), "something else"),
        (set("PublicKey", json!("no base64")), "something else"),
        (set("PublicKey", json!("AAAA")), "cannot be used"),
        (set("PublicKey", json!("")), "cannot be used"),
        (set("PublicKey", json!(spki)), "of another kind"),
        (set("PublicKey", json!({"a": 1})), "something else"),
        (set("KeySpec", json!("ML_DSA_65")), "of the kind ML_DSA_65"),
        (set("KeySpec", json!("\u{1b}[31m")), "something unknown"),
        (set("KeyUsage", json!("KEY_AGREEMENT")), "KEY_AGREEMENT"),
        (set("SigningAlgorithms", json!([])), "other signing"),
        (set("SigningAlgorithms", Value::Null), "other signing"),
        (
            set("SigningAlgorithms", json!("x".repeat(1000))),
            "something else",
        ),
        (Box::new(|body| *body = json!([])), "something else"),
        (Box::new(|body| *body = json!("x")), "something else"),
    ] {
        let mut shop = Shop::with_key();
        let proxy = before(&mut shop);
        change(&proxy, "GetPublicKey", edit);
        let said = told(&shop.refused());
        assert!(said.contains(wanted), "{wanted}: {said}");
        assert!(!said.contains('\u{1b}'), "{said:?}");
    }
    // Asked for by an alias it may be any key; by its own name it may not.
    let mut shop = Shop::new();
    let arn = shop.make_key("ECC_NIST_P256");
    let proxy = before(&mut shop);
    change(&proxy, "GetPublicKey", set("KeyId", json!(other_key)));
    let id = arn.rsplit('/').next().expect("it has one");
    for name in [&arn, id] {
        let error = shop.try_open(name).err().expect("it is another one");
        assert!(told(&error).contains("another key"), "{error}");
    }
}

#[test]
fn a_signature_of_something_else_is_refused() {
    let other = Shop::with_key();
    let signature = run(other.open().sign(b"x")).expect("it signs");
    let signature = STANDARD.encode(signature);
    type Edit = Box<dyn Fn(&mut Value) + Send + Sync>;
    let set = |name: &'static str, value: Value| -> Edit {
        Box::new(move |body| body[name] = value.clone())
    };
    for (edit, wanted) in [
        (set("Signature", json!(signature)), "none of its public key"),
        (set("Signature", json!("")), "none of its public key"),
        (set("Signature", json!("AAAA")), "none of its public key"),
        (set("Signature", json!("no base64")), "something else"),
        (set("Signature", json!(7)), "something else"),
        (set("KeyId", json!("other")), "of another key"),
        (
            set("SigningAlgorithm", json!("ECDSA_SHA_384")),
            "of another algorithm",
        ),
        (Box::new(|body| *body = Value::Null), "something else"),
    ] {
        let mut shop = Shop::with_key();
        let proxy = before(&mut shop);
        change(&proxy, "Sign", edit);
        let error = run(shop.open().sign(b"x")).expect_err("it is no signature");
        let said = told(&error);
        assert!(said.contains(wanted), "{wanted}: {said}");
        assert_eq!(error.blame(), Blame::Outside, "{said}");
        assert_eq!(shop.aws.count_of("Sign"), 1);
    }
}

#[test]
fn what_is_no_json_is_refused() {
    let deep = format!(r#"{{"KeyId":{}"#, "[".repeat(100_000));
    for body in ["", "{", "null", "\u{0}", &deep, r#"{"KeyId":1e999}"#] {
        let mut shop = Shop::with_key();
        let proxy = before(&mut shop);
        of(&proxy, "Sign").answer(200, &[], body.as_bytes());
        let error = run(shop.open().sign(b"x")).expect_err("it is no answer");
        assert!(told(&error).contains("something else"), "{error}");
        let refusing = before(&mut shop);
        of(&refusing, "GetPublicKey").answer(400, &[], body.as_bytes());
        assert!(told(&shop.refused()).contains("status 400"));
    }
}

#[test]
fn a_refusal_shows_no_control_characters_and_nothing_that_was_sent() {
    let mut shop = Shop::with_key();
    shop.aws
        .allow("AKIDOTHER", "secret", Some("session-token-1"));
    shop.set("AWS_ACCESS_KEY_ID", "AKIDOTHER");
    shop.set("AWS_SECRET_ACCESS_KEY", "secret");
    shop.set("AWS_SESSION_TOKEN", "session-token-1");
    for message in [
        json!("\u{1b}[31m\r\nforged line\u{202e}"),
        json!("it was session-token-1"),
        json!("x".repeat(5000)),
    ] {
        let proxy = before(&mut shop);
        let body = json!({"__type": "a\u{1b}#Odd\n", "message": message});
        of(&proxy, "GetPublicKey").answer(400, &[], body.to_string().as_bytes());
        let said = told(&shop.refused());
        let is_odd = |c: char| c.is_control() || c == '\u{202e}';
        assert!(!said.contains(is_odd), "{said:?}");
        assert!(!said.contains("session-token-1"), "{said}");
        assert!(said.len() < 1000, "{said}");
    }
}

#[test]
fn too_much_too_late_and_cut_off_are_told() {
    let opening = |rule: &dyn Fn(&Proxy), wanted: &str| {
        let mut shop = Shop::with_key();
        (shop.tries, shop.timeout) = (1, Duration::from_secs(2));
        let proxy = before(&mut shop);
        rule(&proxy);
        let error = shop.refused();
        let said = told(&error);
        assert!(said.contains(wanted), "{wanted}: {said}");
        assert!(said.contains(&format!("awskms:///{ALIAS}")), "{said}");
        assert_eq!(error.blame(), Blame::Outside, "{said}");
    };
    let huge = json!({"KeyId": "x".repeat(1 << 20)}).to_string();
    let answer = |proxy: &Proxy| of(proxy, "GetPublicKey").answer(200, &[], huge.as_bytes());
    opening(&answer, "262144");
    opening(&|proxy| of(proxy, "GetPublicKey").cut(10), "cannot give");
    opening(&|proxy| of(proxy, "GetPublicKey").refuse(), "cannot give");
    let mut shop = Shop::with_key();
    (shop.tries, shop.timeout) = (1, Duration::from_secs(2));
    let proxy = before(&mut shop);
    let gate = of(&proxy, "GetPublicKey").hold(Moment::BeforeAnswering);
    let error = shop.refused();
    assert_eq!(error.blame(), Blame::Outside, "{}", told(&error));
    gate.release();
}

#[test]
fn nobody_is_followed_to_another_place() {
    let mut shop = Shop::with_key();
    let proxy = before(&mut shop);
    let place = [("Location", "http://127.0.0.1:1/")];
    of(&proxy, "GetPublicKey").answer(307, &place, b"");
    let said = told(&shop.refused());
    assert!(said.contains("refusing to follow"), "{said}");
}

/// What has perhaps been signed is signed again: a signature too many does no harm.
#[test]
fn a_lost_signature_is_asked_for_again() {
    let mut shop = Shop::with_key();
    let proxy = before(&mut shop);
    of(&proxy, "Sign").first(1).lose_answer();
    run(shop.open().sign(b"x")).expect("the second time it signs");
    assert_eq!(shop.aws.count_of("Sign"), 2);
    shop.no_complaints();
}
