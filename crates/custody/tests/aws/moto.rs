//! Beside an imitation of AWS that others have made.
//!
//! It verifies no signatures of requests, and hashes a digest again that it is given to sign: what it shows is that the shape of requests and answers is
//! that of AWS as others read it, and that such a signature is refused.

use tekseal_harness::Moto;
use tekseal_signing::KeyAlgorithm;

use crate::{ALIAS, Shop, reference, run, told};

#[test]
#[ignore = "needs moto, which tests/custody/build-moto installs: ./test --sigstore"]
fn keys_are_made_read_and_replaced_beside_moto() {
    let Some(moto) = Moto::start() else {
        return;
    };
    let mut shop = Shop::empty();
    shop.set("AWS_ENDPOINT_URL", &format!("http://{}", moto.address()));
    // Its security token service gives credentials to everybody.
    shop.set("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/signer");
    shop.set_file("AWS_WEB_IDENTITY_TOKEN_FILE", "token", "a.b.c");
    let context = shop.context();
    for (alias, algorithm) in [
        (ALIAS, KeyAlgorithm::P256),
        ("alias/p384", KeyAlgorithm::P384),
        ("alias/rsa", KeyAlgorithm::Rsa(2048)),
    ] {
        let key = reference(alias);
        let made = run(tekseal_custody::create(&key, algorithm, &context));
        let made = made.unwrap_or_else(|error| panic!("{alias}: {}", told(&error)));
        assert_eq!(made.algorithm(), algorithm);
        let read = run(tekseal_custody::public_key(&key, &context));
        assert_eq!(read.expect("it is there"), made);
        let twice = run(tekseal_custody::create(&key, algorithm, &context));
        let said = told(&twice.expect_err("it is there"));
        assert!(said.contains("such a key already"), "{said}");
        let new = run(tekseal_custody::rotate(&key, &context));
        let new = new.unwrap_or_else(|error| panic!("{alias}: {}", told(&error)));
        assert_eq!(new.algorithm(), algorithm);
        assert_ne!(new, made);
        let read = run(tekseal_custody::public_key(&key, &context));
        assert_eq!(read.expect("it is there"), new);
    }
    let none = shop.try_open("alias/none").err().expect("there is none");
    assert!(told(&none).contains("NotFoundException"), "{none}");
    let signed = run(shop.open().sign(b"x"));
    let said = told(&signed.expect_err("it is a signature over another hash"));
    assert!(said.contains("none of its public key"), "{said}");
}
