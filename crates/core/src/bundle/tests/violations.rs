use super::*;

#[test]
fn each_violation_has_its_error() {
    let logged = samples::bundle(LOGGED);
    let keyless = samples::bundle(KEYLESS);
    let entry = samples::value(&logged, ENTRY).to_string();
    let signature = r#"{"sig":"AA=="}"#;
    let message =
        r#"{"messageDigest":{"algorithm":"SHA2_256","digest":"AA=="},"signature":"AA=="}"#;
    let chain = r#"{"certificates":[{"rawBytes":"AA=="}]}"#;
    let many = |item: &str, count: usize| format!("[{}]", vec![item; count].join(","));
    let material = "/verificationMaterial";
    let hash = format!("\"{}=\"", "A".repeat(43));
    let at = |place: &str| format!("{ENTRY}/{place}");
    let cases: Vec<(&[u8], String, Option<String>, &str)> = vec![
        (&logged, "/mediaType".into(), None, "mediaType is missing"),
        (
            &logged,
            "/mediaType".into(),
            Some("3".into()),
            "mediaType is a number, where a text belongs",
        ),
        (
            &logged,
            material.into(),
            None,
            "verificationMaterial is missing",
        ),
        (
            &logged,
            material.into(),
            Some("\"\"".into()),
            "verificationMaterial is a text, where an object belongs",
        ),
        (
            &logged,
            material.into(),
            Some("[]".into()),
            "not JSON that every reader understands alike",
        ),
        (
            &logged,
            format!("{material}/publicKey"),
            None,
            "verificationMaterial has no certificate, x509CertificateChain or publicKey",
        ),
        (
            &logged,
            format!("{material}/publicKey"),
            Some("null".into()),
            "verificationMaterial has no certificate, x509CertificateChain or publicKey",
        ),
        (
            &logged,
            format!("{material}/publicKey/hint"),
            Some("1".into()),
            "verificationMaterial.publicKey.hint is a number, where a text belongs",
        ),
        (
            &logged,
            format!("{material}/public_key"),
            Some("{}".into()),
            "not JSON that every reader understands alike",
        ),
        (
            &logged,
            format!("{material}/certificate"),
            Some(r#"{"rawBytes":"AA=="}"#.into()),
            "verificationMaterial has both certificate and publicKey",
        ),
        (
            &logged,
            format!("{material}/x509CertificateChain"),
            Some(chain.into()),
            "verificationMaterial has both x509CertificateChain and publicKey",
        ),
        (
            &keyless,
            format!("{material}/x509CertificateChain"),
            Some(chain.into()),
            "verificationMaterial has both certificate and x509CertificateChain",
        ),
        (
            &keyless,
            format!("{material}/publicKey"),
            Some("{}".into()),
            "verificationMaterial has both certificate and publicKey",
        ),
        (
            &keyless,
            format!("{material}/certificate/rawBytes"),
            None,
            "verificationMaterial.certificate.rawBytes is missing",
        ),
        (
            &keyless,
            format!("{material}/certificate/rawBytes"),
            Some("\"MII\"".into()),
            "verificationMaterial.certificate.rawBytes is not base64",
        ),
        (
            &keyless,
            format!("{material}/certificate/rawBytes"),
            Some(format!("\"{}\"", "A".repeat(4 * 21_848))),
            "verificationMaterial.certificate.rawBytes has 87392 bytes, at most 87384 are read",
        ),
        (
            &keyless,
            format!("{material}/timestampVerificationData/rfc3161Timestamps/0/signedTimestamp"),
            Some("\"\"".into()),
            "verificationMaterial.timestampVerificationData.rfc3161Timestamps[0].signedTimestamp is missing",
        ),
        (
            &keyless,
            format!("{material}/timestampVerificationData/rfc3161Timestamps"),
            Some(many(r#"{"signedTimestamp":"AA=="}"#, 33)),
            "verificationMaterial.timestampVerificationData.rfc3161Timestamps has 33 items, at most 32 are read",
        ),
        (
            &logged,
            "/dsseEnvelope".into(),
            None,
            "the bundle has no dsseEnvelope or messageSignature",
        ),
        (
            &logged,
            "/messageSignature".into(),
            Some(message.into()),
            "the bundle has both dsseEnvelope and messageSignature",
        ),
        (
            &logged,
            "/dsseEnvelope/signatures".into(),
            None,
            "the envelope has 0 signatures and not one",
        ),
        (
            &logged,
            "/dsseEnvelope/signatures".into(),
            Some(many(signature, 2)),
            "the envelope has 2 signatures and not one",
        ),
        (
            &logged,
            "/dsseEnvelope/signatures/0/sig".into(),
            None,
            "dsseEnvelope.signatures[0].sig is missing",
        ),
        (
            &logged,
            "/dsseEnvelope/signatures/0/sig".into(),
            Some("\"*\"".into()),
            "dsseEnvelope.signatures[0].sig is not base64",
        ),
        (
            &logged,
            "/dsseEnvelope/signatures/0/sig".into(),
            Some("\"__8=\"".into()),
            "dsseEnvelope.signatures[0].sig is not base64",
        ),
        (
            &logged,
            "/dsseEnvelope/signatures/0".into(),
            Some("null".into()),
            "dsseEnvelope.signatures[0] is null, where an object belongs",
        ),
        (
            &logged,
            "/dsseEnvelope/payload".into(),
            None,
            "dsseEnvelope.payload is missing",
        ),
        (
            &logged,
            "/dsseEnvelope/payload".into(),
            Some("\"e30\"".into()),
            "dsseEnvelope.payload is not base64",
        ),
        (
            &logged,
            "/dsseEnvelope/payloadType".into(),
            Some("\"\"".into()),
            "dsseEnvelope.payloadType is missing",
        ),
        (
            &logged,
            "/dsseEnvelope/payload_type".into(),
            Some("\"\"".into()),
            "not JSON that every reader understands alike",
        ),
        (
            &logged,
            ENTRY.into(),
            Some("null".into()),
            "verificationMaterial.tlogEntries[0] is null, where an object belongs",
        ),
        (
            &logged,
            at("logIndex"),
            Some("-1".into()),
            "verificationMaterial.tlogEntries[0].logIndex is not an integer from 0 to 9223372036854775807",
        ),
        (
            &logged,
            at("logIndex"),
            Some("\"0x10\"".into()),
            "verificationMaterial.tlogEntries[0].logIndex is not an integer from 0 to 9223372036854775807",
        ),
        (
            &logged,
            at("integratedTime"),
            Some("\"-5\"".into()),
            "verificationMaterial.tlogEntries[0].integratedTime is not an integer from 0 to 9223372036854775807",
        ),
        (
            &logged,
            at("logId"),
            None,
            "verificationMaterial.tlogEntries[0].logId is missing",
        ),
        (
            &logged,
            at("logId/keyId"),
            None,
            "verificationMaterial.tlogEntries[0].logId.keyId is missing",
        ),
        (
            &logged,
            at("logId/key_id"),
            Some("\"AA==\"".into()),
            "not JSON that every reader understands alike",
        ),
        (
            &logged,
            at("kindVersion"),
            None,
            "verificationMaterial.tlogEntries[0].kindVersion is missing",
        ),
        (
            &logged,
            at("kindVersion/kind"),
            None,
            "verificationMaterial.tlogEntries[0].kindVersion.kind is missing",
        ),
        (
            &logged,
            at("kindVersion/version"),
            None,
            "verificationMaterial.tlogEntries[0].kindVersion.version is missing",
        ),
        (
            &logged,
            at("canonicalizedBody"),
            None,
            "verificationMaterial.tlogEntries[0].canonicalizedBody is missing",
        ),
        (
            &logged,
            at("inclusionPromise/signedEntryTimestamp"),
            None,
            "verificationMaterial.tlogEntries[0].inclusionPromise.signedEntryTimestamp is missing",
        ),
        (
            &logged,
            at("inclusionProof"),
            None,
            "verificationMaterial.tlogEntries[0] has no inclusionProof",
        ),
        (
            &logged,
            at("inclusionProof/logIndex"),
            Some("\"47\"".into()),
            "verificationMaterial.tlogEntries[0].inclusionProof proves entry 47 of a tree of 47",
        ),
        (
            &logged,
            at("inclusionProof/treeSize"),
            None,
            "verificationMaterial.tlogEntries[0].inclusionProof.treeSize is missing",
        ),
        (
            &logged,
            at("inclusionProof/rootHash"),
            None,
            "verificationMaterial.tlogEntries[0].inclusionProof.rootHash is missing",
        ),
        (
            &logged,
            at("inclusionProof/rootHash"),
            Some("\"AA==\"".into()),
            "verificationMaterial.tlogEntries[0].inclusionProof.rootHash has 1 bytes and not 32",
        ),
        (
            &logged,
            at("inclusionProof/hashes/1"),
            Some("\"AAAA\"".into()),
            "verificationMaterial.tlogEntries[0].inclusionProof.hashes[1] has 3 bytes and not 32",
        ),
        (
            &logged,
            at("inclusionProof/hashes"),
            Some(many(&hash, 65)),
            "verificationMaterial.tlogEntries[0].inclusionProof.hashes has 65 items, at most 64 are read",
        ),
        (
            &logged,
            at("inclusionProof/checkpoint"),
            None,
            "verificationMaterial.tlogEntries[0].inclusionProof.checkpoint is missing",
        ),
        (
            &logged,
            at("inclusionProof/checkpoint/envelope"),
            Some("\"\"".into()),
            "verificationMaterial.tlogEntries[0].inclusionProof.checkpoint.envelope is missing",
        ),
        (
            &logged,
            format!("{material}/tlogEntries"),
            Some(many(&entry, 2)),
            "verificationMaterial.tlogEntries[1] is the same entry of the same log as one before",
        ),
        (
            &logged,
            format!("{material}/tlogEntries"),
            Some(many(&entry, 33)),
            "verificationMaterial.tlogEntries has 33 items, at most 32 are read",
        ),
        (
            &logged,
            "/unknown".into(),
            Some(many("0", 9000)),
            "more than 8192 values are in the document",
        ),
    ];
    for (bundle, pointer, value, wanted) in cases {
        let bundle = changed(bundle, &pointer, value.as_deref());
        assert_eq!(told(&bundle), wanted, "{pointer}");
    }
    for (bundle, wanted) in [
        (&b""[..], "not a JSON object"),
        (b"[]", "not a JSON object"),
        (
            b"{\"mediaType\":",
            "not JSON that every reader understands alike",
        ),
        (b"{\"\xff\"}", "not UTF-8"),
    ] {
        assert_eq!(told(bundle), wanted);
    }
}
