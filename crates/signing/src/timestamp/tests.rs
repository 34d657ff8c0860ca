//! Tests with the timestamps of Sigstore's authority and of OpenSSL, and with such as are made here.

use tekseal_core::trusted_root::{Authority, Validity};

use super::*;
use crate::certificate::testing::*;

mod made;
mod parts;

/// When the sample was stamped.
const STAMPED: i64 = 1_795_406_115;

/// The timestamp of a sample with annotations, which is of the image signature, and those bytes.
fn annotated() -> (Vec<u8>, Vec<u8>) {
    let manifest = json(
        "sign-v2-tsa-notlog/manifests/4160c3b38639434620bde9f0bf4130a914900c6ed1d4aabe240b3384e2065ff2.json",
    );
    let annotations = &manifest["layers"][0]["annotations"];
    let text = annotations["dev.sigstore.cosign/rfc3161timestamp"]
        .as_str()
        .expect("a text");
    let inner: serde_json::Value = serde_json::from_str(text).expect("JSON");
    (
        base64(&inner["SignedRFC3161Timestamp"]),
        base64(&annotations["dev.cosignproject.cosign/signature"]),
    )
}

/// The timestamp of a bundle, and the signature that it is of.
fn bundled(path: &str) -> (Vec<u8>, Vec<u8>) {
    let bundle = json(path);
    let data = &bundle["verificationMaterial"]["timestampVerificationData"];
    (
        base64(&data["rfc3161Timestamps"][0]["signedTimestamp"]),
        base64(&bundle["dsseEnvelope"]["signatures"][0]["sig"]),
    )
}

const BUNDLES: [&str; 4] = [
    "attest-v3-bundle-rekor2-tsa/blobs/933443133ef2c07f2dc340ad2dd9a9b22c2d4e332569a3e43f3bd708b5866fdb",
    "sign-v3-bundle-rekor2-tsa/blobs/2be97e3ed652f74826dc7d7a9b2d56f3c39bdb043405b2d1addb6ddc6800f158",
    "keyless-v3-bundle-rekor2-tsa/blobs/e69cadefe0e2e648cf8d6cfaefd3fbf409724da1561d937f2fbf06a0a7a00a82",
    "keyless-v3-bundle-rekor2-tsa/blobs/4060de78fee7e321416220595a232918c874c70a4edd2a4b660395d58be327a7",
];

#[test]
fn the_timestamps_of_both_cosigns_are_verified() {
    let trust = sample_trust();
    let (response, message) = annotated();
    let found = verify(&trust, &response, &message);
    let found = found.expect("good").expect("trusted");
    assert_eq!(found.time, STAMPED);
    assert_eq!(found.authority, "http://127.0.0.1:3058/api/v1/timestamp");
    for path in BUNDLES {
        let (response, message) = bundled(path);
        let timestamp = verify(&trust, &response, &message)
            .expect("good")
            .expect("trusted");
        assert!((STAMPED - DAY..STAMPED + DAY).contains(&timestamp.time));
    }
}

#[test]
fn a_timestamp_is_of_one_message() {
    let trust = sample_trust();
    let (response, message) = annotated();
    let (other, _) = bundled(BUNDLES[0]);
    assert_eq!(
        verify(&trust, &response, &message[1..]),
        Err(Error::Imprint)
    );
    assert_eq!(verify(&trust, &other, &message), Err(Error::Imprint));
}

/// What may be changed unseen is what nothing depends on: versions, the list of hashes, and certificates that the trusted root has anyway.
fn assert_no_bit_can_be_changed(response: &[u8], message: &[u8], unsigned: &[(usize, usize)]) {
    let trust = sample_trust();
    let good = verify(&trust, response, message).expect("good");
    let mut seen = 0;
    for at in 0..response.len() {
        let outcome = verify(&trust, &flipped(response, at), message);
        let Ok(Some(timestamp)) = outcome else {
            seen += 1;
            continue;
        };
        assert_eq!(Some(&timestamp), good.as_ref(), "byte {at}");
        let is_unsigned = unsigned.iter().any(|(from, to)| (*from..*to).contains(&at));
        assert!(is_unsigned, "byte {at} was changed unseen");
    }
    assert!(seen > response.len() / 2);
}

#[test]
fn no_bit_that_counts_can_be_changed() {
    let (response, message) = annotated();
    // Version and digestAlgorithms of SignedData, the certificate, version of SignerInfo.
    let unsigned = [(32, 50), (252, 705), (713, 716)];
    assert_no_bit_can_be_changed(&response, &message, &unsigned);
    let (response, message) = bundled(BUNDLES[0]);
    // The same; the set of certificates is empty, and may be one of revocations instead.
    let unsigned = [(32, 50), (230, 231), (240, 243)];
    assert_no_bit_can_be_changed(&response, &message, &unsigned);
}

#[test]
fn each_part_that_is_changed_has_its_name() {
    let trust = sample_trust();
    let (response, message) = annotated();
    let changed = |part: &[u8], skip: usize| {
        let at = position(&response, part) + skip;
        verify(&trust, &flipped(&response, at), &message)
    };
    let imprint = token::hash(crate::HashAlgorithm::Sha256, &message);
    assert_eq!(changed(imprint.as_ref(), 0), Err(Error::Imprint));
    assert_eq!(changed(b"20261123035515Z", 13), Err(Error::MessageDigest));
    // messageDigest: SET, OCTET STRING of 32 bytes
    let digest = [0x01, 0x09, 0x04, 0x31, 0x22, 0x04, 0x20];
    assert_eq!(changed(&digest, 7), Err(Error::MessageDigest));
    // The time of signing is an attribute that says nothing, but is signed.
    let signing_time = [0x01, 0x09, 0x05, 0x31, 0x0f];
    assert!(matches!(
        changed(&signing_time, 10),
        Err(Error::Signature(_))
    ));
    let last = response.len() - 1;
    assert!(matches!(
        verify(&trust, &flipped(&response, last), &message),
        Err(Error::Signature(_))
    ));
    // signingCertificateV2: SET, three SEQUENCEs, the hash
    let id = [0x10, 0x02, 0x2f, 0x31, 0x6e];
    assert_eq!(changed(&id, 13), Err(Error::SigningCertificate));
}

#[test]
fn an_authority_that_is_not_trusted_says_nothing() {
    let (response, message) = annotated();
    assert_eq!(verify(&Trust::default(), &response, &message), Ok(None));
    let (response, message) = bundled(BUNDLES[0]);
    assert_eq!(verify(&Trust::default(), &response, &message), Ok(None));
    // Without its certificate in the trusted root nobody knows who signed.
    let mut trust = sample_trust();
    trust.timestamp_authorities[0].chain.remove(0);
    assert_eq!(verify(&trust, &response, &message), Ok(None));
    // It may come along.
    let (response, message) = annotated();
    assert!(matches!(
        verify(&trust, &response, &message),
        Ok(Some(Timestamp { time: STAMPED, .. }))
    ));
}

#[test]
fn the_authority_must_have_been_in_use() {
    let (response, message) = annotated();
    let during = |start, end| {
        let mut trust = sample_trust();
        trust.timestamp_authorities[0].valid = Validity { start, end };
        verify(&trust, &response, &message)
    };
    assert!(matches!(during(Some(STAMPED), Some(STAMPED)), Ok(Some(_))));
    for (start, end) in [(Some(STAMPED + 1), None), (None, Some(STAMPED - 1))] {
        assert!(matches!(
            during(start, end),
            Err(Error::AuthorityNotValid { .. })
        ));
    }
}

fn openssls(trusted: &[&[u8]]) -> Trust {
    Trust {
        timestamp_authorities: vec![Authority {
            uri: "openssl".to_owned(),
            chain: trusted.iter().map(|pem| der_of(pem)).collect(),
            valid: Validity::default(),
        }],
        ..Trust::default()
    }
}

const ROOT: &[u8] = include_bytes!("../testdata/chains/tsa-root.pem");
const INTERMEDIATE: &[u8] = include_bytes!("../testdata/chains/tsa-intermediate.pem");
const LEAF: &[u8] = include_bytes!("../testdata/chains/tsa.pem");
const V1: &[u8] = include_bytes!("../testdata/chains/v1.tsr");
const V2: &[u8] = include_bytes!("../testdata/chains/v2.tsr");
const BARE: &[u8] = include_bytes!("../testdata/chains/v2-without-certificates.tsr");

#[test]
fn openssls_timestamps_are_verified() {
    let trusts = [
        openssls(&[ROOT]),
        openssls(&[INTERMEDIATE, ROOT]),
        openssls(&[LEAF, INTERMEDIATE, ROOT]),
    ];
    for trust in &trusts {
        for response in [V1, V2] {
            let timestamp = verify(trust, response, b"a message");
            assert!(matches!(timestamp, Ok(Some(_))), "{timestamp:?}");
            assert_eq!(
                verify(trust, response, b"another message"),
                Err(Error::Imprint)
            );
        }
    }
    assert_eq!(verify(&trusts[1], BARE, b"a message"), Ok(None));
    assert!(matches!(
        verify(&trusts[2], BARE, b"a message"),
        Ok(Some(_))
    ));
    assert_eq!(verify(&sample_trust(), V2, b"a message"), Ok(None));
}

#[test]
fn a_refusal_is_told() {
    let refused = include_bytes!("../testdata/chains/refused.tsr");
    assert_eq!(
        verify(&openssls(&[ROOT]), refused, b"a message"),
        Err(Error::NotGranted { status: 2 })
    );
}

#[test]
fn what_is_no_response_is_refused() {
    let trust = sample_trust();
    let (response, message) = annotated();
    for bad in [
        &b""[..],
        b"nothing",
        &response[..response.len() - 1],
        &[&response[..], &[0]].concat(),
    ] {
        assert_eq!(
            verify(&trust, bad, &message),
            Err(Error::Malformed("TimeStampResp"))
        );
    }
    assert_eq!(
        verify(&trust, &[0x30, 5, 0x30, 3, 2, 1, 0], &message),
        Err(Error::NoToken)
    );
    assert_eq!(
        verify(&trust, &vec![0; LARGEST + 1], &message),
        Err(Error::TooLarge(LARGEST + 1))
    );
}
