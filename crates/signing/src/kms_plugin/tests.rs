//! What is written and read, held against what sigstore writes.

use super::*;

/// What sigstore 1.10.8 writes, one call or answer a line; testdata/kms_plugin/README.md says how it was made.
const CALLS: &str = include_str!("../testdata/kms_plugin/calls.jsonl");
const ANSWERS: &str = include_str!("../testdata/kms_plugin/answers.jsonl");

fn calls() -> Vec<Call> {
    let digest = || Some((0..32).collect());
    let methods = [
        Method::DefaultAlgorithm,
        Method::SupportedAlgorithms,
        Method::CreateKey {
            algorithm: "ecdsa-p256".to_owned(),
        },
        Method::PublicKey,
        Method::SignMessage(MessageOptions::default()),
        Method::SignMessage(MessageOptions {
            digest: digest(),
            hash: Some(hash_number(HashAlgorithm::Sha256)),
        }),
        Method::VerifySignature {
            signature: b"any <signature>".to_vec(),
            options: MessageOptions::default(),
        },
    ];
    let call = |deadline: Option<&str>, method| Call {
        deadline: deadline.map(str::to_owned),
        key: "token=a&b;object=<c>".to_owned(),
        hash: hash_number(HashAlgorithm::Sha256),
        key_version: None,
        method,
    };
    let plain = methods.iter().map(|method| call(None, method.clone()));
    let bounded = methods
        .iter()
        .map(|method| call(Some("2025-04-01T02:47:00.5Z"), method.clone()));
    plain.chain(bounded).collect()
}

#[test]
fn calls_are_written_byte_for_byte_as_sigstore_writes_them_and_read_again() {
    let mut lines = CALLS.lines();
    for call in calls() {
        let line = lines.next().expect("there is a line for each call");
        assert_eq!(call.to_json(), line);
        assert_eq!(Call::parse(line).expect("it is one"), call);
    }
    assert_eq!(lines.next(), None);
}

#[test]
fn answers_are_written_byte_for_byte_as_sigstore_writes_them_and_read_again() {
    let create = Method::CreateKey {
        algorithm: "a".to_owned(),
    };
    let verify = Method::VerifySignature {
        signature: Vec::new(),
        options: MessageOptions::default(),
    };
    let sign = Method::SignMessage(MessageOptions::default());
    let mut lines = ANSWERS.lines();
    for (answer, method) in [
        (
            Answer::DefaultAlgorithm("rsa-2048".to_owned()),
            Method::DefaultAlgorithm,
        ),
        (
            Answer::SupportedAlgorithms(vec!["rsa-2048".to_owned(), "a<b".to_owned()]),
            Method::SupportedAlgorithms,
        ),
        (Answer::CreatedKey(b"mypem".to_vec()), create),
        (Answer::PublicKey(b"mypem".to_vec()), Method::PublicKey),
        (Answer::Signature(b"any-signature".to_vec()), sign),
        (Answer::Verified, verify),
        (
            Answer::Refused("no <key> of this name".to_owned()),
            Method::PublicKey,
        ),
    ] {
        let line = lines.next().expect("there is a line for each answer");
        assert_eq!(answer.to_json(), line);
        let read = Answer::parse(line.as_bytes(), &method).expect("it is one");
        assert_eq!(read, answer);
    }
    assert_eq!(lines.next(), None);
}

#[test]
fn an_answer_to_something_else_is_none() {
    for bad in [
        "",
        "{}",
        "null",
        "[]",
        r#"{"publicKey":null}"#,
        r#"{"signMessage":{"signature":"AAAA"}}"#,
        r#"{"publicKey":{"publicKeyPEM":"%%"}}"#,
        r#"{"publicKey":{"publicKeyPEM":7}}"#,
        r#"{"publicKey":{"publicKeyPEM":"bXlwZW0="}} x"#,
    ] {
        let read = Answer::parse(bad.as_bytes(), &Method::PublicKey);
        assert!(read.is_err(), "{bad}: {read:?}");
    }
    // Both at once is a refusal, as it is for sigstore.
    let both = br#"{"errorMessage":"no","publicKey":{"publicKeyPEM":"bXlwZW0="}}"#;
    let read = Answer::parse(both, &Method::PublicKey).expect("it is one");
    assert_eq!(read, Answer::Refused("no".to_owned()));
}

#[test]
fn a_call_needs_what_belongs_to_its_method() {
    let init = r#""initOptions":{"protocolVersion":"v1","keyResourceID":"k","hashFunc":5,"rpcOptions":null}"#;
    for (rest, good) in [
        (r#""methodName":"publicKey""#, true),
        (r#""methodName":"signMessage""#, false),
        (
            r#""methodName":"signMessage","signMessage":{"signOptions":{}}"#,
            true,
        ),
        (r#""methodName":"createKey""#, false),
        (r#""methodName":"verifySignature""#, false),
        (r#""methodName":"deleteKey""#, false),
        (r#""publicKey":{}"#, false),
    ] {
        let read = Call::parse(&format!("{{{init},{rest}}}"));
        assert_eq!(read.is_ok(), good, "{rest}: {read:?}");
    }
}
