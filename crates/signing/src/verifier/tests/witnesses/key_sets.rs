//! Keys with times of use: what is proven of when a signature was made decides, else it was made now.

use tekseal_core::key_set::{self, Entry};

use super::*;
use crate::key_set::KeySet;

/// When the samples were logged and stamped: within a few seconds of this.
const MADE: i64 = 1_795_406_112;

fn dated(pem: &[u8], start: i64, end: Option<i64>) -> Entry {
    Entry {
        name: "platform".to_owned(),
        public_key: key(pem).spki_der().to_vec(),
        valid: Validity {
            start: Some(start),
            end,
        },
    }
}

fn set(keys: Vec<Entry>) -> KeySet {
    KeySet::new(&key_set::KeySet { keys }).expect("good keys")
}

fn of_set(keys: Vec<Entry>, now: i64) -> Verifier {
    Verifier::of_key_set(set(keys), HashAlgorithm::Sha256, now).expect("good keys")
}

/// Judges what came along, and asks for none of it.
fn trusting(verifier: Verifier) -> Verifier {
    let needs = Needs {
        log: false,
        ..all()
    };
    verifier.trusting(trust(&root()), needs)
}

#[test]
fn a_key_that_ended_verifies_what_is_proven_to_be_signed_before() {
    let keys = || vec![dated(B, 0, None), dated(A, MADE - 100, Some(MADE + 100))];
    for case in [
        "sign-v2-rekor1",
        "attest-v2-rekor1-dsse",
        "sign-v3-bundle-rekor1",
        "sign-v2-tsa-notlog",
        "attest-v3-bundle-rekor2-tsa",
    ] {
        let vouchers = check(&trusting(of_set(keys(), NOW)), case);
        let vouchers = vouchers.unwrap_or_else(|e| panic!("{case}: {e}"));
        assert!(vouchers.iter().all(|v| v.key == key(A)), "{case}");
        // What came along is nobody's word where nobody is trusted.
        let rejection = check(&of_set(keys(), NOW), case).expect_err(case);
        assert!(
            matches!(rejection, Rejection::KeyEnded { .. }),
            "{case}: {rejection:?}"
        );
        check(&of_set(keys(), MADE), case).expect("the key is in use");
    }
    for case in [
        "sign-v2-notlog",
        "sign-v3-bundle-notlog",
        "attest-v2-notlog",
    ] {
        let rejection = check(&trusting(of_set(keys(), NOW)), case).expect_err(case);
        let told = rejection.to_string();
        let wanted = format!(
            "signed by {} (\"platform\"), which ended at",
            key(A).fingerprint()
        );
        assert!(told.starts_with(&wanted), "{told}");
        assert!(
            told.ends_with("nothing proves when it was signed"),
            "{told}"
        );
    }
}

#[test]
fn what_is_proven_to_be_signed_at_another_time_does_not_count_though_the_key_is_in_use_now() {
    for (start, end) in [(MADE + 100, None), (0, Some(MADE - 100))] {
        for case in ["sign-v2-rekor1", "sign-v3-bundle-rekor2-tsa"] {
            let verifier = trusting(of_set(vec![dated(A, start, end)], MADE + 200));
            let rejection = check(&verifier, case).expect_err(case);
            assert!(
                matches!(rejection, Rejection::KeyNotInUse { .. }),
                "{case}: {rejection:?}"
            );
        }
    }
    let early = of_set(vec![dated(A, MADE, None)], MADE - 1);
    let rejection = check(&early, "sign-v2-notlog").expect_err("not yet");
    assert!(
        matches!(rejection, Rejection::KeyNotYet { .. }),
        "{rejection:?}"
    );
}

#[test]
fn a_second_signature_by_a_key_in_use_counts_beside_one_that_does_not() {
    let [old, new] = [1, 2].map(|_| {
        let signer = crate::Signer::generate(&mut crate::random::system);
        signer.expect("a key")
    });
    let text = format!(
        r#"{{"_type":"https://in-toto.io/Statement/v0.1","predicateType":"https://p","subject":[{{"name":"a","digest":{{"sha256":"{}"}}}}],"predicate":{{}}}}"#,
        image().hex()
    );
    let pae = dsse::pae(IN_TOTO_PAYLOAD_TYPE, text.as_bytes());
    let sign =
        |signer: &crate::Signer| tekseal_harness::at_once(signer.sign(&pae)).expect("it signs");
    let envelope = |signer: &crate::Signer| {
        Envelope::new(IN_TOTO_PAYLOAD_TYPE, text.as_bytes(), "", &sign(signer))
    };
    let mut both = envelope(&old);
    both.signatures.extend(envelope(&new).signatures);
    let entry = |signer: &crate::Signer, end| Entry {
        public_key: signer.public_key().spki_der().to_vec(),
        ..dated(A, 0, end)
    };
    let keys = || vec![entry(&old, Some(10)), entry(&new, None)];
    let attested = |envelope: &Envelope, now| {
        let signed = fetched(&envelope.to_bytes(), &[]);
        let verified = of_set(keys(), now).attestation(&signed, &image(), Types::Any);
        verified.map(|verified| verified.key().clone())
    };
    assert_eq!(attested(&both, 5).ok().as_ref(), Some(old.public_key()));
    assert_eq!(attested(&both, 20).ok().as_ref(), Some(new.public_key()));
    let rejection = attested(&envelope(&old), 20).expect_err("it ended");
    assert!(
        matches!(rejection, Rejection::KeyEnded { .. }),
        "{rejection:?}"
    );
}

#[test]
fn no_set_makes_a_verifier_try_without_end() {
    let mut keys = vec![dated(A, 0, None)];
    keys.extend((0..255).map(|_| dated(B, 0, None)));
    let verifier = of_set(keys, 5);
    // The same key counts once.
    let signed = good_image();
    assert!(
        verifier
            .image_signature(&signed, &image(), &BTreeMap::new())
            .is_ok()
    );
    let many: Vec<Entry> = (0..256)
        .map(|_| {
            let signer = crate::Signer::generate(&mut crate::random::system).expect("a key");
            Entry {
                public_key: signer.public_key().spki_der().to_vec(),
                ..dated(A, 0, None)
            }
        })
        .collect();
    let large = fetched(
        &vec![b' '; 65 << 20],
        &[(cosign::SIGNATURE_ANNOTATION, IMAGE_SIGNATURE)],
    );
    let rejection = image_rejection(&of_set(many, 5), &large);
    assert!(
        matches!(rejection, Rejection::TooMuchToTry { .. }),
        "{rejection:?}"
    );
}
