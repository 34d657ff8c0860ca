use proptest::prelude::*;

use super::*;
use crate::go_tables;
use crate::samples::{self, changed};

fn sample() -> Vec<u8> {
    samples::file("keys/trusted_root.json")
}

#[track_caller]
fn told(root: &[u8]) -> String {
    let told =
        TrustedRoot::parse(root).map_or_else(|error| error.to_string(), |_| "fine".to_owned());
    assert!(told.len() < 300, "{told}");
    told
}

#[test]
fn the_trusted_root_that_cosign_made_is_read() {
    let root = TrustedRoot::parse(&sample()).expect("cosign's");
    let [rekor1, rekor2] = &root.logs[..] else {
        panic!("two logs")
    };
    assert_eq!(rekor1.base_url, "http://127.0.0.1:3055");
    let key = String::from_utf8(samples::file("keys/rekor1.pub")).expect("PEM");
    let key: String = key.lines().filter(|line| !line.starts_with('-')).collect();
    assert_eq!(base64_of(&rekor1.public_key), key);
    assert_eq!(rekor1.key_id.len(), 32);
    assert_eq!(
        rekor2.valid,
        Validity {
            start: Some(1_767_225_600),
            end: None
        }
    );
    let [fulcio] = &root.certificate_authorities[..] else {
        panic!("one authority")
    };
    assert_eq!(
        (fulcio.uri.as_str(), fulcio.chain.len()),
        ("http://127.0.0.1:3057", 1)
    );
    assert_eq!(fulcio.valid.start, Some(1_795_403_737));
    assert_eq!(root.certificate_logs.len(), 1);
    assert_eq!(root.timestamp_authorities[0].chain.len(), 2);
}

fn base64_of(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

#[test]
fn both_ends_are_read_and_fractions_are_left_out() {
    let root = changed(
        &sample(),
        "/tlogs/0/publicKey/validFor",
        Some(r#"{"start":"2021-01-12T11:53:27.001Z","end":"2022-10-31T23:59:59.999+01:00"}"#),
    );
    let valid = TrustedRoot::parse(&root).expect("well formed").logs[0].valid;
    assert_eq!(
        valid,
        Validity {
            start: Some(1_610_452_408),
            end: Some(1_667_257_199)
        }
    );
    assert!(valid.covers(1_610_452_408) && valid.covers(1_667_257_199));
    assert!(!valid.covers(1_610_452_407) && !valid.covers(1_667_257_200));
    let root = changed(&root, "/certificateAuthorities/0/validFor", None);
    let root = TrustedRoot::parse(&root).expect("certificates have times of their own");
    assert_eq!(root.certificate_authorities[0].valid, Validity::default());
}

#[test]
fn media_types_are_those_of_versions_0_1_and_0_2() {
    let of = |media_type: &str| {
        told(&changed(
            &sample(),
            "/mediaType",
            Some(&format!("{media_type:?}")),
        ))
    };
    let base = "application/vnd.dev.sigstore.trustedroot";
    for version in [
        "+json;version=0.1",
        "+json;version=0.2",
        ".v0.1+json",
        ".v0.2+json",
    ] {
        assert_eq!(of(&format!("{base}{version}")), "fine");
    }
    for version in [".v0.3+json", "+json;version=0.3", "+json", ".v0.2"] {
        assert_eq!(
            of(&format!("{base}{version}")),
            format!(
                "the media type \"{base}{version}\" is not that of a trusted root of version 0.1 or 0.2"
            )
        );
    }
    assert_eq!(
        told(&changed(&sample(), "/mediaType", None)),
        "mediaType is missing"
    );
}

#[test]
fn each_flaw_is_told_with_its_place() {
    let many = |item: &str, count: usize| format!("[{}]", vec![item; count].join(","));
    let log = samples::value(&sample(), "/tlogs/0").to_string();
    let authority = samples::value(&sample(), "/certificateAuthorities/0").to_string();
    let (logs, authorities) = (many(&log, 65), many(&authority, 65));
    let certificates = many(r#"{"rawBytes":"AA=="}"#, 17);
    for (pointer, value, wanted) in [
        (
            "/tlogs",
            Some("{}"),
            "tlogs is an object, where a list belongs",
        ),
        (
            "/tlogs",
            Some(logs.as_str()),
            "tlogs has 65 items, at most 64 are read",
        ),
        (
            "/ctlogs",
            Some(&logs),
            "ctlogs has 65 items, at most 64 are read",
        ),
        (
            "/certificateAuthorities",
            Some(&authorities),
            "certificateAuthorities has 65 items, at most 64 are read",
        ),
        (
            "/timestampAuthorities",
            Some(&authorities),
            "timestampAuthorities has 65 items, at most 64 are read",
        ),
        (
            "/tlogs/1",
            Some("null"),
            "tlogs[1] is null, where an object belongs",
        ),
        ("/tlogs/1/publicKey", None, "tlogs[1].publicKey is missing"),
        (
            "/tlogs/1/public_key",
            Some("{}"),
            "not JSON that every reader understands alike",
        ),
        (
            "/tlogs/1/publicKey/rawBytes",
            None,
            "tlogs[1].publicKey.rawBytes is missing",
        ),
        (
            "/tlogs/1/publicKey/rawBytes",
            Some("\"M\""),
            "tlogs[1].publicKey.rawBytes is not base64",
        ),
        (
            "/tlogs/1/publicKey/validFor",
            None,
            "tlogs[1].publicKey.validFor is missing",
        ),
        (
            "/tlogs/1/publicKey/validFor/start",
            None,
            "tlogs[1].publicKey.validFor.start is missing",
        ),
        (
            "/tlogs/1/publicKey/validFor/start",
            Some("\"2026\""),
            "tlogs[1].publicKey.validFor.start is not a time",
        ),
        (
            "/tlogs/1/publicKey/validFor/end",
            Some("\"2025-01-01T00:00:00Z\""),
            "tlogs[1].publicKey.validFor ends before it starts",
        ),
        ("/tlogs/1/logId", None, "tlogs[1].logId is missing"),
        (
            "/tlogs/1/logId/keyId",
            Some("\"\""),
            "tlogs[1].logId.keyId is missing",
        ),
        (
            "/tlogs/1/hashAlgorithm",
            None,
            "tlogs[1].hashAlgorithm is missing",
        ),
        (
            "/tlogs/1/hashAlgorithm",
            Some("\"SHA2_512\""),
            "tlogs[1].hashAlgorithm is \"SHA2_512\", and only SHA2_256 is supported",
        ),
        (
            "/ctlogs/0/logId/keyId",
            Some("\"?\""),
            "ctlogs[0].logId.keyId is not base64",
        ),
        (
            "/tlogs/0/baseUrl",
            Some("1"),
            "tlogs[0].baseUrl is a number, where a text belongs",
        ),
        (
            "/certificateAuthorities/0/certChain",
            None,
            "certificateAuthorities[0].certChain is missing",
        ),
        (
            "/certificateAuthorities/0/certChain/certificates",
            Some("[]"),
            "certificateAuthorities[0].certChain.certificates is missing",
        ),
        (
            "/certificateAuthorities/0/certChain/certificates",
            Some(&certificates),
            "certificateAuthorities[0].certChain.certificates has 17 items, at most 16 are read",
        ),
        (
            "/certificateAuthorities/0/validFor/end",
            Some("7"),
            "certificateAuthorities[0].validFor.end is a number, where a text belongs",
        ),
        (
            "/timestampAuthorities/0/certChain/certificates/1/rawBytes",
            None,
            "timestampAuthorities[0].certChain.certificates[1].rawBytes is missing",
        ),
        (
            "/x",
            Some(&many("0", 20_000)),
            "more than 16384 values are in the document",
        ),
    ] {
        assert_eq!(
            told(&changed(&sample(), pointer, value)),
            wanted,
            "{pointer}"
        );
    }
    assert_eq!(told(b""), "not a JSON object");
    let twice = String::from_utf8(sample()).expect("JSON is text");
    let twice = twice.replacen("\"tlogs\"", "\"tlogs\":[],\"tlogs\"", 1);
    assert_eq!(
        told(twice.as_bytes()),
        "not JSON that every reader understands alike"
    );
}

#[test]
fn what_is_absent_is_empty() {
    let root = br#"{"mediaType":"application/vnd.dev.sigstore.trustedroot+json;version=0.1","tlogs":null,"new":1}"#;
    let root = TrustedRoot::parse(root).expect("well formed");
    assert_eq!(root, TrustedRoot::default());
}

proptest! {
    #![proptest_config(go_tables::fixed_cases())]

    #[test]
    fn no_bytes_are_too_odd(bytes: Vec<u8>, damages in proptest::collection::vec(any::<(usize, u8, u8)>(), 1..6)) {
        let _ = TrustedRoot::parse(&bytes);
        let _ = TrustedRoot::parse(&samples::damaged(sample(), &damages));
        for (at, by, _) in damages {
            let _ = TrustedRoot::parse(&samples::replaced(&sample(), at, by.into()));
        }
    }
}

#[test]
fn the_root_of_the_public_instance_is_read() {
    let root = TrustedRoot::parse(PUBLIC_GOOD).expect("Sigstore's");
    let urls: Vec<_> = root.logs.iter().map(|log| log.base_url.as_str()).collect();
    assert_eq!(
        urls,
        [
            "https://rekor.sigstore.dev",
            "https://log2025-1.rekor.sigstore.dev"
        ]
    );
    assert_eq!(root.certificate_authorities.len(), 2);
    assert_eq!(root.certificate_logs.len(), 2);
    assert_eq!(root.timestamp_authorities.len(), 1);
    let digest = crate::Digest::of(PUBLIC_GOOD);
    let wanted = "6494e21ea73fa7ee769f85f57d5a3e6a08725eae1e38c755fc3517c9e6bc0b66";
    assert_eq!(
        digest.hex(),
        wanted,
        "the documentation says which one it is"
    );
}
