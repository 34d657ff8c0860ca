use tekseal_core::evidence::InclusionProof;
use tekseal_core::trusted_root::TrustedRoot;

use super::samples::{OwnedSigner, Sample, TestLog, key_a, sample, samples, trusted_root};
use super::*;

/// Every folder of samples with log entries, the kind of its entries, and whether they come with a promise and a proof.
const CASES: &[(&str, &str, bool, bool)] = &[
    ("attest-v2-rekor1-dsse", "dsse 0.0.1", true, false),
    ("attest-v2-rekor1-intoto", "intoto 0.0.1", true, false),
    ("attest-v3-bundle-rekor1", "dsse 0.0.1", true, true),
    (
        "attest-v3-bundle-rekor2-tsa",
        "hashedrekord 0.0.2",
        false,
        true,
    ),
    ("attest-v3-legacy-rekor1", "dsse 0.0.1", true, false),
    (
        "keyless-v2-rekor1",
        "hashedrekord 0.0.1 dsse 0.0.1",
        true,
        false,
    ),
    ("keyless-v2-rekor1-nosct", "hashedrekord 0.0.1", true, false),
    ("keyless-v3-bundle-rekor1", "dsse 0.0.1", true, true),
    (
        "keyless-v3-bundle-rekor2-tsa",
        "hashedrekord 0.0.2",
        false,
        true,
    ),
    (
        "keyless-v3-legacy-rekor1",
        "hashedrekord 0.0.1 dsse 0.0.1",
        true,
        false,
    ),
    (
        "sign-and-attest-v2-rekor1",
        "hashedrekord 0.0.1 dsse 0.0.1",
        true,
        false,
    ),
    ("sign-v2-rekor1", "hashedrekord 0.0.1", true, false),
    ("sign-v3-bundle-rekor1", "dsse 0.0.1", true, true),
    (
        "sign-v3-bundle-rekor2-tsa",
        "hashedrekord 0.0.2",
        false,
        true,
    ),
    ("sign-v3-legacy-rekor1", "hashedrekord 0.0.1", true, false),
];

fn trust(root: &TrustedRoot) -> Trust {
    Trust::new(root).expect("a good root")
}

pub(super) fn verified(sample: &Sample) -> Result<Option<Logged>, Error> {
    verify(&trust(&trusted_root()), &sample.entry, &sample.claim())
}

/// The name of the variant, and of the one in it.
pub(super) fn variant(error: &Error) -> String {
    let name = |debug: String| {
        debug
            .split([' ', '(', '{'])
            .next()
            .unwrap_or_default()
            .to_owned()
    };
    match error {
        Error::Checkpoint(inner) => format!("Checkpoint {}", name(format!("{inner:?}"))),
        Error::Path(inner) => format!("Path {}", name(format!("{inner:?}"))),
        other => name(format!("{other:?}")),
    }
}

#[test]
fn everything_that_cosign_logged_verifies() {
    for (case, kinds, has_promise, has_proof) in CASES {
        let samples = samples(case);
        assert!(!samples.is_empty(), "{case}");
        for sample in samples {
            let logged = verified(&sample).unwrap_or_else(|e| panic!("{case}: {e:?}"));
            let logged = logged.unwrap_or_else(|| panic!("{case}: the log is known"));
            let kind = format!("{} {}", logged.kind, logged.version);
            assert!(kinds.contains(&kind), "{case}: {kind}");
            assert_eq!(logged.log_index, sample.entry.log_index, "{case}");
            assert_eq!(logged.log_id, hex(&sample.entry.log_id), "{case}");
            assert_eq!(
                (logged.has_promise, logged.has_proof),
                (*has_promise, *has_proof),
                "{case}"
            );
            let time = has_promise
                .then_some(sample.entry.integrated_time)
                .flatten();
            assert_eq!(logged.integrated_time, time, "{case}");
            assert_eq!(time.is_some(), *has_promise, "{case}");
            assert_eq!(logged.host, "127.0.0.1", "{case}");
        }
    }
}

#[test]
fn an_entry_alone_is_vouched_for_as_one_of_a_signature_is() {
    for (case, ..) in CASES {
        for sample in samples(case) {
            let alone = verify_entry(&trust(&trusted_root()), &sample.entry);
            let alone = alone.unwrap_or_else(|e| panic!("{case}: {e:?}"));
            let of_signature = verified(&sample).expect("it holds");
            assert!(alone.is_some() && alone == of_signature, "{case}");
        }
    }
    let mut other = sample("sign-v3-bundle-rekor1");
    edit(&mut other, "\"value\":\"", "\"value\":\"0");
    let told = verify_entry(&trust(&trusted_root()), &other.entry);
    assert!(matches!(told, Err(Error::Promise)), "{told:?}");
    other.entry.log_id = vec![7; 32];
    let told = verify_entry(&trust(&trusted_root()), &other.entry);
    assert_eq!(told.expect("nothing is looked at"), None);
}

#[test]
fn kinds_that_are_not_understood_are_vouched_for_under_their_own_names() {
    let log = TestLog::new("log.example");
    let mut entry = log.entry(br#"{"apiVersion":"0.0.7","kind":"rpm","spec":{"data":[]}}"#);
    entry.kind_version = None;
    let logged = verify_entry(&trust(&log.root()), &entry).expect("it is there");
    let logged = logged.expect("known");
    assert_eq!(
        (logged.kind.as_str(), logged.version.as_str()),
        ("rpm", "0.0.7")
    );
    entry.kind_version = Some(("rpm".to_owned(), "0.0.1".to_owned()));
    let told = verify_entry(&trust(&log.root()), &entry);
    assert!(matches!(told, Err(Error::OtherKind { .. })), "{told:?}");
    let summary = Summary::of(&entry.body).expect("it names its kind");
    assert!(summary.hashes.is_empty() && summary.signers.is_empty());
    for body in [
        "",
        "[]",
        "{\"kind\":\"rpm\"}",
        "{\"kind\":7,\"apiVersion\":\"1\"}",
    ] {
        assert!(Summary::of(body.as_bytes()).is_err(), "{body}");
    }
    assert!(matches!(
        Summary::of(&vec![b'x'; 2 << 20]),
        Err(Error::TooLarge(_))
    ));
}

#[test]
fn a_summary_has_the_hashes_and_the_signers_of_an_entry() {
    for (case, ..) in CASES {
        for sample in samples(case) {
            let summary = Summary::of(&sample.entry.body).expect("it is of a known kind");
            let has = |what: HashedWhat, content: &[u8]| {
                let value = hex(&HashAlgorithm::Sha256.digest(content));
                summary.hashes.contains(&Hashed {
                    what,
                    algorithm: "sha256".to_owned(),
                    value,
                })
            };
            let is_right = match (&sample.payload, summary.kind.as_str()) {
                (Some(payload), "dsse" | "intoto") => has(HashedWhat::Payload, payload),
                _ => has(HashedWhat::Message, &sample.message),
            };
            assert!(is_right, "{case}: {summary:?}");
            match (&sample.signer, summary.signers.as_slice()) {
                (OwnedSigner::Key(key), [EntrySigner::Key(_)]) => {
                    assert!(summary.is_by(key), "{case}");
                }
                (OwnedSigner::Certificate(der), [EntrySigner::Certificate(found)]) => {
                    assert_eq!(found.der(), der, "{case}");
                    assert!(summary.is_by(found.public_key()) && !summary.is_by(&key_a()));
                }
                (_, found) => panic!("{case}: {found:?}"),
            }
        }
    }
}

#[test]
fn the_log_that_signed_a_checkpoint_is_found() {
    let root = trusted_root();
    for (case, at) in [
        ("sign-v3-bundle-rekor1", 0),
        ("sign-v3-bundle-rekor2-tsa", 1),
    ] {
        let mut sample = sample(case);
        let checkpoint = proof(&mut sample).checkpoint.clone();
        let found = signer_of_checkpoint(&trust(&root), &checkpoint).expect("it is one");
        assert_eq!(found.as_ref(), Some(&root.logs[at].key_id), "{case}");
        let head = tree_head(&checkpoint).expect("it is one");
        let proof = proof(&mut sample);
        assert_eq!(
            (head.size, &head.root[..]),
            (proof.tree_size, &proof.root_hash[..])
        );
        let nobody = signer_of_checkpoint(&Trust::default(), &checkpoint);
        assert_eq!(nobody.expect("it is one"), None);
        let changed = checkpoint.replacen('\n', "x\n", 1);
        let error = signer_of_checkpoint(&trust(&root), &changed).expect_err("changed");
        assert_eq!(error, CheckpointError::Signature, "{case}");
    }
    assert!(tree_head("").is_err());
}

#[test]
fn one_of_promise_and_proof_suffices_and_only_a_promise_vouches_for_a_time() {
    let mut proof_only = sample("sign-v3-bundle-rekor1");
    let promise = proof_only.entry.promise.take();
    let logged = verified(&proof_only).expect("a proof").expect("known");
    assert_eq!((logged.has_promise, logged.has_proof), (false, true));
    assert_eq!((logged.integrated_time, logged.log_index), (None, 46));
    // Nobody vouches for what stands beside: the proof's index is told.
    proof_only.entry.log_index = 1_000_046;
    proof_only.entry.integrated_time = Some(1);
    let logged = verified(&proof_only).expect("a proof").expect("known");
    assert_eq!((logged.integrated_time, logged.log_index), (None, 46));

    let mut promise_only = sample("sign-v3-bundle-rekor1");
    promise_only.entry.inclusion = None;
    let logged = verified(&promise_only).expect("a promise").expect("known");
    assert_eq!((logged.has_promise, logged.has_proof), (true, false));
    assert_eq!(logged.integrated_time, Some(1_795_406_114));

    promise_only.entry.promise = None;
    let error = verified(&promise_only).expect_err("neither");
    assert!(matches!(error, Error::NoEvidence), "{error}");
    assert!(promise.is_some());
}

#[test]
fn a_log_that_is_not_trusted_is_skipped() {
    for id in [vec![], vec![7; 32], vec![0xec; 33]] {
        let mut sample = sample("sign-v2-rekor1");
        sample.entry.log_id = id;
        sample.entry.body.clear();
        assert_eq!(verified(&sample).expect("nothing is looked at"), None);
    }
}

#[test]
fn a_key_that_was_not_in_use_cannot_promise() {
    let sample = sample("sign-v2-rekor1");
    let time = sample.entry.integrated_time.expect("Rekor v1 has one");
    let with = |start: i64, end: i64| {
        let mut root = trusted_root();
        root.logs[0].valid = Validity {
            start: Some(start),
            end: Some(end),
        };
        root
    };
    let told = |root: &TrustedRoot| verify(&trust(root), &sample.entry, &sample.claim());
    assert!(told(&with(time, time)).is_ok());
    for (start, end) in [(time + 1, i64::MAX), (0, time - 1)] {
        let error = told(&with(start, end)).expect_err("out of use");
        assert!(matches!(error, Error::OutOfUse(t) if t == time), "{error}");
    }
    // The same key may stand there again, with another time of use.
    let mut twice = with(0, time - 1);
    let again = with(time, time).logs.remove(0);
    twice.logs.push(again);
    let logged = told(&twice).expect("in use").expect("known");
    assert!(logged.log_was_in_use_at(time) && logged.log_was_in_use_at(0));
    assert!(!logged.log_was_in_use_at(time + 1));
}

/// A way in which a sample is changed.
pub(super) type Change = fn(&mut Sample);

pub(super) fn proof(sample: &mut Sample) -> &mut InclusionProof {
    sample.entry.inclusion.as_mut().expect("it has a proof")
}

/// Replaces a text in the body that is there once at least.
pub(super) fn edit(sample: &mut Sample, from: &str, to: &str) {
    let body = String::from_utf8(sample.entry.body.clone()).expect("a text");
    let changed = body.replacen(from, to, 1);
    assert_ne!(changed, body, "{from:?} is not in the body");
    sample.entry.body = changed.into_bytes();
}

/// The entry of `sample`, changed and then taken in by a log of our own: only what it says can be wrong.
fn logged_anew(sample: &Sample, log: &TestLog) -> Result<Option<Logged>, Error> {
    let entry = log.entry(&sample.entry.body);
    verify(&trust(&log.root()), &entry, &sample.claim())
}

#[test]
fn what_a_log_took_in_must_still_be_of_this_signature() {
    let log = TestLog::new("log.example");
    for (case, ..) in CASES {
        for sample in samples(case) {
            let logged = logged_anew(&sample, &log).unwrap_or_else(|e| panic!("{case}: {e:?}"));
            assert_eq!(logged.expect("known").host, "log.example");
        }
    }
    let rows: &[(&str, &str, Change)] = &[
        ("sign-v2-rekor1", "OtherSignature", |s| {
            edit(s, "\"content\":\"MEQ", "\"content\":\"MEU");
        }),
        ("sign-v2-rekor1", "OtherMessage", |s| {
            edit(s, "\"value\":\"5c", "\"value\":\"5d")
        }),
        ("sign-v2-rekor1", "Body", |s| {
            edit(s, "{", "{\"kind\":\"dsse\",")
        }),
        ("attest-v2-rekor1-dsse", "OtherPayload", |s| {
            edit(s, "\"8c0e", "\"8c0f")
        }),
        ("attest-v2-rekor1-intoto", "OtherEnvelope", |s| {
            edit(s, "\"0b21", "\"0b22")
        }),
        ("sign-v3-bundle-rekor2-tsa", "NotCanonical", |s| {
            s.entry.body.push(b'\n')
        }),
    ];
    for (case, wanted, change) in rows {
        let mut sample = samples(case).remove(0);
        change(&mut sample);
        let error = logged_anew(&sample, &log).expect_err("it was changed");
        assert_eq!(variant(&error), *wanted, "{case}: {error:?}");
    }
}

#[test]
fn only_rekor_v2_must_sign_under_its_host() {
    let log = TestLog::new("log.example");
    let with_origin = |case: &str, origin: &str| {
        let mut sample = samples(case).remove(0);
        sample.entry = log.entry(&sample.entry.body);
        proof(&mut sample).checkpoint = log.checkpoint(origin, &sample.entry.body);
        verify(&trust(&log.root()), &sample.entry, &sample.claim())
    };
    let v1 = with_origin(
        "sign-v3-bundle-rekor1",
        "rekor.example - 7596279240563982053",
    );
    assert!(v1.expect("signed by the key").is_some());
    let v2 = with_origin("sign-v3-bundle-rekor2-tsa", "log.example");
    assert!(v2.expect("its host").is_some());
    for origin in [
        "log.example:443",
        "log.example - 1",
        "other.example",
        "LOG.example",
    ] {
        let error = with_origin("sign-v3-bundle-rekor2-tsa", origin).expect_err("another origin");
        let wanted = CheckpointError::Origin {
            found: origin.to_owned(),
            wanted: vec!["log.example".to_owned()],
        };
        assert!(
            matches!(&error, Error::Checkpoint(found) if *found == wanted),
            "{error:?}"
        );
    }
}

#[test]
fn other_hashes_of_the_message_are_known() {
    let log = TestLog::new("log.example");
    let good = sample("sign-v2-rekor1");
    let body = String::from_utf8(good.entry.body.clone()).expect("a text");
    let sha256 = hex(&digest_by_ring(HashAlgorithm::Sha256, &good.message));
    for hash in [HashAlgorithm::Sha384, HashAlgorithm::Sha512] {
        let value = hex(&digest_by_ring(hash, &good.message));
        let mut sample = good.clone();
        sample.entry.body = body
            .replace("\"sha256\"", &format!("\"{hash}\""))
            .replace(&sha256, &value)
            .into_bytes();
        assert!(
            logged_anew(&sample, &log)
                .expect("the right hash")
                .is_some()
        );
        edit(&mut sample, &value, &sha256);
        let error = logged_anew(&sample, &log).expect_err("the hash of another algorithm");
        assert!(matches!(error, Error::OtherMessage), "{error}");
    }
}

fn digest_by_ring(hash: HashAlgorithm, message: &[u8]) -> Vec<u8> {
    let algorithm = match hash {
        HashAlgorithm::Sha256 => &ring::digest::SHA256,
        HashAlgorithm::Sha384 => &ring::digest::SHA384,
        HashAlgorithm::Sha512 => &ring::digest::SHA512,
    };
    ring::digest::digest(algorithm, message).as_ref().to_vec()
}

/// The body that Rekor would make of this envelope as `intoto` 0.0.2.
fn intoto_2(sample: &Sample) -> String {
    let stored = sample.stored.as_deref().unwrap_or(b"spelled otherwise");
    let digest = |content: &[u8]| hex(&digest_by_ring(HashAlgorithm::Sha256, content));
    format!(
        "{{\"apiVersion\":\"0.0.2\",\"kind\":\"intoto\",\"spec\":{{\"content\":{{\"envelope\":{{\"payloadType\":\
         \"application/vnd.in-toto+json\",\"signatures\":[{{\"publicKey\":\"{}\",\"sig\":\"{}\"}}]}},\"hash\":{{\
         \"algorithm\":\"sha256\",\"value\":\"{}\"}},\"payloadHash\":{{\"algorithm\":\"sha256\",\"value\":\"{}\"}}}}}}}}",
        STANDARD.encode(key_a().to_pem()),
        STANDARD.encode(STANDARD.encode(&sample.signature)),
        digest(stored),
        digest(sample.payload.as_deref().expect("it has one")),
    )
}

#[test]
fn intoto_2_binds_signature_signer_payload_and_stored_envelope() {
    let log = TestLog::new("log.example");
    for case in ["attest-v2-rekor1-dsse", "attest-v3-bundle-rekor1"] {
        let rows: &[(&str, Change)] = &[
            ("fine", |_| ()),
            ("OtherSignature", |s| s.signature[9] ^= 1),
            ("OtherSigner", |s| {
                s.signer = OwnedSigner::Key(TestLog::new("x").key().clone())
            }),
            ("OtherPayload", |s| {
                s.payload.as_mut().expect("it has one").push(b' ')
            }),
            ("WrongKind", |s| s.payload = None),
            ("Member", |s| {
                let once = STANDARD.encode(&s.signature);
                edit(s, &STANDARD.encode(&once), &STANDARD.encode(b"\xff"));
            }),
        ];
        for (wanted, change) in rows {
            let mut sample = samples(case).remove(0);
            sample.entry.body = intoto_2(&sample).into_bytes();
            change(&mut sample);
            let told = match logged_anew(&sample, &log) {
                Ok(logged) => logged.map_or("unknown", |_| "fine").to_owned(),
                Err(error) => variant(&error),
            };
            assert_eq!(told, *wanted, "{case}");
        }
    }
    let mut sample = samples("attest-v2-rekor1-dsse").remove(0);
    sample.entry.body = intoto_2(&sample).into_bytes();
    sample.stored.as_mut().expect("it has one").push(b'\n');
    let error = logged_anew(&sample, &log).expect_err("another envelope");
    assert!(matches!(error, Error::OtherEnvelope), "{error}");
}

#[test]
fn any_of_the_signatures_of_a_dsse_entry_may_be_the_one() {
    let log = TestLog::new("log.example");
    let mut sample = samples("attest-v2-rekor1-dsse").remove(0);
    let other = TestLog::new("x").key().to_pem();
    let junk = format!(
        "\"signatures\":[{{\"signature\":\"AAAA\",\"verifier\":\"{0}\"}},{{\"signature\":\"{1}\",\"verifier\":\"{0}\"}},",
        STANDARD.encode(other),
        STANDARD.encode(&sample.signature),
    );
    edit(&mut sample, "\"signatures\":[", &junk);
    assert!(logged_anew(&sample, &log).expect("the third one").is_some());
}

#[test]
fn errors_of_hostile_texts_are_short_and_plain() {
    let mut sample = sample("sign-v2-rekor1");
    edit(
        &mut sample,
        "\"kind\":\"",
        &format!("\"kind\":\"{}\\u001b", "x".repeat(9999)),
    );
    let text = verified(&sample).expect_err("unknown").to_string();
    assert!(text.len() < 600 && !text.contains('\u{1b}'), "{text}");
}
