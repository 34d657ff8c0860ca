//! Each way of changing an entry, or what it is said to be of, and the error that it must give.

use super::samples::{OwnedSigner, Sample, TestLog, key_a, sample, samples, trusted_root};
use super::tests::{Change, edit, proof, variant, verified};
use super::*;

fn edit_checkpoint(sample: &mut Sample, from: &str, to: &str) {
    let checkpoint = &mut proof(sample).checkpoint;
    let changed = checkpoint.replacen(from, to, 1);
    assert_ne!(changed, *checkpoint, "{from:?} is not in the checkpoint");
    *checkpoint = changed;
}

/// Changes a sample in each of the ways, and compares the variant of the error.
fn refuses(case: &str, table: &[(&str, Change)]) {
    for (at, (wanted, change)) in table.iter().enumerate() {
        let mut sample = samples(case).remove(0);
        change(&mut sample);
        match verified(&sample) {
            Err(error) => assert_eq!(variant(&error), *wanted, "{case}, row {at}: {error:?}"),
            Ok(logged) => panic!("{case}, row {at}, {wanted}: accepted as {logged:?}"),
        }
    }
}

/// What is wrong with any entry that has a promise.
const PROMISE: &[(&str, Change)] = &[
    ("Promise", |s| s.entry.log_index += 1),
    ("Promise", |s| {
        *s.entry.integrated_time.as_mut().expect("it has one") -= 1
    }),
    ("NoTime", |s| s.entry.integrated_time = None),
    ("Promise", |s| s.entry.promise = Some(Vec::new())),
    ("Promise", |s| {
        s.entry.promise.as_mut().expect("it has one")[10] ^= 1
    }),
    ("Promise", |s| {
        s.entry.promise = sample("sign-v3-legacy-rekor1").entry.promise
    }),
    ("Promise", |s| {
        s.entry.log_id = trusted_root().logs[1].key_id.clone()
    }),
    // White space that changes no value is still not what the log signed.
    ("Promise", |s| s.entry.body.push(b' ')),
    ("Promise", |s| edit(s, "{", "{\"more\":1,")),
    ("Body", |s| s.entry.body.push(b'x')),
    ("Body", |s| s.entry.body.clear()),
    ("Body", |s| edit(s, "{", "{\"kind\":\"dsse\",")),
    ("Body", |s| {
        edit(s, "\"spec\":{", "\"spec\":{\"x\":{\"y\":1,\"y\":1},")
    }),
    ("TooLarge", |s| s.entry.body.resize(LARGEST + 1, b' ')),
    ("Member", |s| s.entry.body = b"[]".to_vec()),
    ("Member", |s| edit(s, "\"kind\"", "\"Kind\"")),
    ("Member", |s| edit(s, "\"spec\"", "\"Spec\"")),
    ("UnknownKind", |s| {
        s.entry.kind_version = None;
        edit(s, "0.0.1", "0.0.3");
    }),
    ("OtherKind", |s| {
        s.entry.kind_version = Some(("rekord".to_owned(), "0.0.1".to_owned()))
    }),
    ("OtherKind", |s| {
        s.entry.kind_version = Some((String::new(), String::new()))
    }),
];

/// What is wrong with any entry that has a proof.
const PROOF: &[(&str, Change)] = &[
    ("OtherSize", |s| proof(s).tree_size += 1),
    ("OtherSize", |s| proof(s).tree_size = 0),
    ("OtherRoot", |s| proof(s).root_hash[0] ^= 1),
    ("OtherRoot", |s| proof(s).root_hash.push(0)),
    ("OtherRoot", |s| proof(s).root_hash.clear()),
    ("Proof", |s| proof(s).hashes[0][31] ^= 1),
    ("Proof", |s| {
        proof(s).hashes.last_mut().expect("it has some")[0] ^= 1
    }),
    ("Path Length", |s| proof(s).hashes.push(vec![0; 32])),
    ("Path Length", |s| {
        proof(s).hashes.pop();
    }),
    ("Path Hash", |s| {
        proof(s).hashes[0].pop();
    }),
    ("Checkpoint Signature", |s| edit_checkpoint(s, "\n", "x\n")),
    ("Checkpoint Signature", |s| {
        edit_checkpoint(s, "\n\n", "\nmore\n\n")
    }),
    ("Checkpoint Unsigned", |s| {
        let other = sample("sign-v3-bundle-rekor1").entry.log_id == s.entry.log_id;
        let other = if other {
            "sign-v3-bundle-rekor2-tsa"
        } else {
            "sign-v3-bundle-rekor1"
        };
        proof(s).checkpoint = proof(&mut sample(other)).checkpoint.clone();
    }),
    ("Checkpoint Note", |s| proof(s).checkpoint.clear()),
    ("Checkpoint Note", |s| {
        proof(s).checkpoint.pop();
    }),
];

#[test]
fn a_changed_image_signature_is_refused() {
    let table: &[(&str, Change)] = &[
        ("OtherSignature", |s| s.signature[9] ^= 1),
        ("OtherSignature", |s| {
            edit(s, "\"content\":\"MEQ", "\"content\":\"MEU")
        }),
        ("Member", |s| {
            edit(s, "\"content\":\"MEQ", "\"content\":\"?EQ")
        }),
        ("Member", |s| {
            edit(s, "\"content\":\"MEQ", "\"content\":7,\"y\":\"MEQ")
        }),
        ("OtherMessage", |s| s.message.push(b' ')),
        ("OtherMessage", |s| {
            edit(s, "\"value\":\"5c", "\"value\":\"5d")
        }),
        ("OtherMessage", |s| edit(s, "\"sha256\"", "\"sha512\"")),
        ("Hash", |s| edit(s, "\"sha256\"", "\"sha1\"")),
        ("OtherSigner", |s| {
            s.signer = OwnedSigner::Key(TestLog::new("x").key().clone())
        }),
        ("OtherSigner", |s| {
            s.signer = OwnedSigner::Certificate(key_a().spki_der().to_vec());
        }),
        ("SignerPem", |s| edit(s, "LS0tLS1CRUdJTi", "LS0tLS0CRUdJTi")),
        ("WrongKind", |s| s.payload = Some(s.message.clone())),
        ("WrongKind", |s| {
            s.payload = Some(s.message.clone());
            s.stored = Some(s.message.clone());
        }),
        ("WrongKind", |s| {
            s.entry = samples("attest-v2-rekor1-dsse").remove(0).entry
        }),
        ("WrongKind", |s| {
            s.entry = sample("attest-v2-rekor1-intoto").entry
        }),
        ("OtherSignature", |s| {
            s.entry = sample("sign-v3-legacy-rekor1").entry
        }),
        ("NoEvidence", |s| s.entry.promise = None),
    ];
    refuses("sign-v2-rekor1", table);
    refuses("sign-v2-rekor1", PROMISE);
}

#[test]
fn a_changed_attestation_in_a_layer_is_refused() {
    let table: &[(&str, Change)] = &[
        ("OtherSignature", |s| s.signature[9] ^= 1),
        ("OtherSignature", |s| {
            edit(s, "\"signature\":\"MEU", "\"signature\":\"MEQ")
        }),
        ("OtherSignature", |s| {
            edit(s, "\"signatures\":[", "\"signatures\":[],\"x\":[")
        }),
        ("Member", |s| {
            edit(s, "\"signatures\":[", "\"signatures\":7,\"x\":[")
        }),
        ("Member", |s| {
            edit(s, "\"signatures\":[", "\"signatures\":[7,")
        }),
        ("TooMany", |s| {
            let many = format!("\"signatures\":[{}", "7,".repeat(100));
            edit(s, "\"signatures\":[", &many);
        }),
        ("OtherPayload", |s| {
            s.payload.as_mut().expect("it has one").push(b' ')
        }),
        ("OtherPayload", |s| {
            edit(s, "\"value\":\"8c0e", "\"value\":\"8c0f")
        }),
        ("OtherEnvelope", |s| {
            s.stored.as_mut().expect("it has one").push(b'\n')
        }),
        ("OtherEnvelope", |s| {
            edit(s, "\"value\":\"58c3", "\"value\":\"58c4")
        }),
        ("OtherSigner", |s| {
            s.signer = OwnedSigner::Key(TestLog::new("x").key().clone())
        }),
        ("WrongKind", |s| {
            s.payload = None;
            s.stored = None;
        }),
        ("WrongKind", |s| s.entry = sample("sign-v2-rekor1").entry),
        ("OtherSignature", |s| {
            s.entry = samples("attest-v2-rekor1-dsse").remove(1).entry
        }),
        ("NoEvidence", |s| s.entry.promise = None),
    ];
    refuses("attest-v2-rekor1-dsse", table);
    refuses("attest-v2-rekor1-dsse", PROMISE);
}

#[test]
fn a_changed_intoto_entry_is_refused() {
    let table: &[(&str, Change)] = &[
        ("OtherPayload", |s| {
            s.payload.as_mut().expect("it has one").push(b' ')
        }),
        ("OtherPayload", |s| {
            edit(s, "\"value\":\"6b76", "\"value\":\"6b77")
        }),
        ("OtherEnvelope", |s| {
            s.stored.as_mut().expect("it has one").push(b'\n')
        }),
        ("OtherEnvelope", |s| {
            edit(s, "\"value\":\"0b21", "\"value\":\"0b22")
        }),
        ("OtherSigner", |s| {
            s.signer = OwnedSigner::Key(TestLog::new("x").key().clone())
        }),
        ("SignerPem", |s| edit(s, "LS0tLS1CRUdJTi", "LS0tLS0CRUdJTi")),
        ("WrongKind", |s| s.stored = None),
        ("WrongKind", |s| {
            s.payload = None;
            s.stored = None;
        }),
        ("NoEvidence", |s| s.entry.promise = None),
    ];
    refuses("attest-v2-rekor1-intoto", table);
    refuses("attest-v2-rekor1-intoto", PROMISE);
}

#[test]
fn a_changed_entry_of_a_certificate_is_refused() {
    let table: &[(&str, Change)] = &[
        ("OtherSigner", |s| s.signer = OwnedSigner::Key(key_a())),
        ("OtherSigner", |s| match &mut s.signer {
            OwnedSigner::Certificate(der) => der[100] ^= 1,
            OwnedSigner::Key(_) => panic!("it is keyless"),
        }),
        ("OtherSignature", |s| s.signature.clear()),
    ];
    for case in [
        "keyless-v2-rekor1",
        "keyless-v3-legacy-rekor1",
        "keyless-v3-bundle-rekor1",
        "keyless-v3-bundle-rekor2-tsa",
    ] {
        refuses(case, table);
    }
    refuses("keyless-v3-bundle-rekor1", PROMISE);
    refuses("keyless-v3-bundle-rekor1", PROOF);
    refuses("keyless-v3-bundle-rekor2-tsa", PROOF);
}

#[test]
fn a_changed_bundle_of_rekor_v1_is_refused() {
    let table: &[(&str, Change)] = &[
        ("OtherSignature", |s| s.signature[9] ^= 1),
        ("OtherPayload", |s| {
            s.payload.as_mut().expect("it has one").push(b' ')
        }),
        ("OtherSigner", |s| {
            s.signer = OwnedSigner::Key(TestLog::new("x").key().clone())
        }),
        ("OtherSignature", |s| {
            s.entry = sample("sign-v3-bundle-rekor1").entry
        }),
        ("WrongKind", |s| s.payload = None),
        // The proof is held against the body even where a promise is not there.
        ("Proof", |s| {
            s.entry.promise = None;
            s.entry.body.push(b' ');
        }),
        ("Path Outside", |s| proof(s).log_index = 52),
        ("Path Length", |s| proof(s).log_index = 0),
        ("Proof", |s| proof(s).log_index = 50),
        ("Checkpoint Signature", |s| {
            edit_checkpoint(s, "\n52\n", "\n51\n")
        }),
        ("Checkpoint Size", |s| {
            edit_checkpoint(s, "\n52\n", "\n052\n")
        }),
        ("Checkpoint Signature", |s| {
            edit_checkpoint(s, "\ntEUy", "\ntEUz")
        }),
        ("Checkpoint Root", |s| edit_checkpoint(s, "\ntEUy", "\n")),
        ("Checkpoint Unsigned", |s| {
            edit_checkpoint(s, " 7KRx1", " 7KRy1")
        }),
        ("Checkpoint Signature", |s| {
            edit_checkpoint(s, " 7KRx1DBFAi", " 7KRx1DBEAi")
        }),
        // A checkpoint that the log signed, of another tree.
        ("OtherSize", |s| {
            proof(s).checkpoint = proof(&mut sample("sign-v3-bundle-rekor1"))
                .checkpoint
                .clone();
        }),
    ];
    refuses("attest-v3-bundle-rekor1", table);
    refuses("attest-v3-bundle-rekor1", PROMISE);
    refuses("attest-v3-bundle-rekor1", PROOF);
}

#[test]
fn a_changed_bundle_of_rekor_v2_is_refused() {
    let table: &[(&str, Change)] = &[
        ("OtherSignature", |s| s.signature[9] ^= 1),
        ("OtherSignature", |s| {
            edit(s, "\"content\":\"MEU", "\"content\":\"MEQ")
        }),
        ("OtherSigner", |s| {
            s.signer = OwnedSigner::Key(TestLog::new("x").key().clone())
        }),
        ("OtherSigner", |s| {
            edit(s, "\"rawBytes\":\"MFkw", "\"rawBytes\":\"MFkx")
        }),
        ("OtherSigner", |s| edit(s, "publicKey", "x509Certificate")),
        ("KeyDetails", |s| {
            edit(s, "PKIX_ECDSA_P256_SHA_256", "PKIX_ECDSA_P384_SHA_256")
        }),
        ("KeyDetails", |s| {
            edit(s, "PKIX_ECDSA_P256_SHA_256", "PKIX_ED25519")
        }),
        ("OtherMessage", |s| s.message.push(b' ')),
        ("OtherMessage", |s| {
            edit(s, "\"digest\":\"Lk", "\"digest\":\"Ll")
        }),
        ("NotCanonical", |s| edit(s, "SHA2_256", "SHA2_512")),
        ("NotCanonical", |s| s.entry.body.push(b' ')),
        ("NotCanonical", |s| edit(s, "{", "{\"more\":1,")),
        ("Body", |s| edit(s, "{", "{\"kind\":\"hashedrekord\",")),
        ("Member", |s| {
            edit(s, "hashedRekordV002", "hashedRekordV001")
        }),
        ("Member", |s| edit(s, "keyDetails", "key_details")),
        ("OtherKind", |s| edit(s, "0.0.2", "0.0.1")),
        ("UnknownKind", |s| {
            s.entry.kind_version = None;
            edit(s, "hashedrekord", "dsse");
        }),
        ("OtherSignature", |s| {
            s.entry = sample("sign-v3-bundle-rekor2-tsa").entry
        }),
        ("OtherIndex", |s| s.entry.log_index += 1),
        ("OtherIndex", |s| proof(s).log_index -= 1),
        ("Path Outside", |s| {
            s.entry.log_index = 17;
            proof(s).log_index = 17;
        }),
        ("Path Length", |s| {
            s.entry.log_index = 15;
            proof(s).log_index = 15;
        }),
        ("Checkpoint Signature", |s| {
            edit_checkpoint(s, "\n17\n", "\n18\n")
        }),
        ("Checkpoint Unsigned", |s| {
            edit_checkpoint(s, "— 127.0.0.1 ", "— 127.0.0.2 ")
        }),
        ("Checkpoint Unsigned", |s| {
            edit_checkpoint(s, " EbBd5w", " EbBe5w")
        }),
        ("Promise", |s| {
            s.entry.promise = Some(vec![0; 64]);
            s.entry.integrated_time = Some(1_795_406_125);
        }),
        ("NoEvidence", |s| s.entry.inclusion = None),
    ];
    refuses("attest-v3-bundle-rekor2-tsa", table);
    refuses("attest-v3-bundle-rekor2-tsa", PROOF);
}
