//! What others may have put where signatures are looked for. It takes nothing away from a good signature beside it, and alone it is a no that says why:
//! exit status 1, or 3 where the registry itself fails.
//!
//! Whoever may push to the repository may write all of it, and needs no key for that. docker-registry takes little of it, so a proxy says it in its place.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tekseal_harness::{Output, Proxy, Registry, Seen, digest};

use super::specimen::{INDEX, MANIFEST, SIGN, SIGNATURE, Specimen, list, tag, text};
use super::{IMAGE, by_key, error, file, hints, refused, replayed, verify};

const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
const SIMPLE_SIGNING: &str = "application/vnd.dev.cosign.simplesigning.v1+json";

/// What is said in place of the registry.
#[derive(Default)]
struct Lies {
    /// By a text that the path ends with: media type and content.
    answers: Vec<(String, &'static str, Vec<u8>)>,
}

impl Lies {
    /// The list under the fallback tag is this.
    fn list(content: impl AsRef<[u8]>) -> Self {
        Self::default().and(format!("/manifests/{}", tag("")), INDEX, content)
    }

    /// The list has these manifests, and they are there.
    fn manifests(manifests: &[Value]) -> Self {
        let bytes: Vec<_> = manifests.iter().map(Value::to_string).collect();
        let listed: Vec<_> = bytes
            .iter()
            .map(|bytes| listed(&digest(bytes.as_bytes())))
            .collect();
        let place = |bytes: &String| format!("/manifests/{}", digest(bytes.as_bytes()));
        let start = Self::list(list(&listed));
        bytes
            .iter()
            .fold(start, |lies, bytes| lies.and(place(bytes), MANIFEST, bytes))
    }

    fn and(mut self, path: String, media_type: &'static str, content: impl AsRef<[u8]>) -> Self {
        self.answers
            .push((path, media_type, content.as_ref().to_vec()));
        self
    }

    /// A proxy that tells them.
    fn told(self, registry: &Registry) -> Proxy {
        let proxy = Proxy::start(registry.address());
        for (path, media_type, content) in self.answers {
            let ends = move |seen: &Seen| seen.path.ends_with(&path);
            proxy
                .when(ends)
                .answer(200, &[("Content-Type", media_type)], &content);
        }
        proxy
    }
}

/// An entry of a list.
fn listed(digest: &str) -> Value {
    json!({"mediaType": MANIFEST, "size": 900, "digest": digest, "artifactType": BUNDLE})
}

fn absent(number: usize) -> Value {
    listed(&digest(&number.to_be_bytes()))
}

/// A manifest with these layers.
fn manifest(layers: &[Value]) -> Value {
    let empty = digest(b"{}");
    json!({
        "schemaVersion": 2, "mediaType": MANIFEST, "layers": layers,
        "config": {"mediaType": "application/vnd.oci.empty.v1+json", "size": 2, "digest": empty},
    })
}

fn layer(media_type: &str, size: u64, digest: &str) -> Value {
    json!({"mediaType": media_type, "size": size, "digest": digest, "annotations": {SIGNATURE: ""}})
}

/// Beside the good signature of `sign-v2-notlog` the lies change nothing; beside the image alone they are told.
#[track_caller]
fn takes_nothing_away(name: &str, registry: &Registry, lies: Lies, code: i32, wanted: &str) {
    let proxy = lies.told(registry);
    let at = |case: &str| format!("{}/{case}@{IMAGE}", proxy.address());
    let good = by_key(&[]).arg(at("sign-v2-notlog")).run();
    assert_eq!(good.code(), Some(0), "{name}: {good:?}");
    let alone = by_key(&[]).arg(at("unsigned")).run();
    assert!(
        is_told(&alone, code, wanted),
        "{name}: {wanted:?}\n{alone:?}"
    );
}

fn is_told(output: &Output, code: i32, wanted: &str) -> bool {
    let said = error(output);
    output.code() == Some(code)
        && said.contains(wanted)
        && said.len() < 4500
        && output.stdout.is_empty()
}

#[test]
fn a_list_of_somebody_else_s_making_takes_nothing_from_a_good_signature() {
    let registry = Registry::start();
    replayed(&registry, "sign-v2-notlog");
    replayed(&registry, "unsigned");
    let digest = digest(b"somewhere");
    let whole = |members: Value| Lies::list(members.to_string());
    let entries = |entries: Vec<Value>| Lies::list(list(&entries));
    let nested = format!("{{\"manifests\":{}", "[".repeat(100_000));
    let once = format!(
        "no valid signature: layer {}: the manifest that",
        text(&absent(1)["digest"])
    );
    let no_index = "the referrers: the manifest at 127.0.0.1";
    let no_json = "no well-formed image manifest";
    let bad_entry = "the descriptor of layer 0 is malformed";
    #[rustfmt::skip]
    let cases = [
        // The list itself.
        ("nothing at all", Lies::list(b""), 1, no_index),
        ("not JSON", Lies::list(b"<html>not found</html>"), 1, no_json),
        ("not UTF-8", Lies::list([0xff, 0xfe, 0]), 1, no_json),
        ("a list in a list", Lies::list(nested), 1, no_json),
        ("a text", Lies::list(b"\"manifests\""), 1, no_json),
        ("a list", Lies::list(b"[]"), 1, no_json),
        ("an image", whole(manifest(&[layer(BUNDLE, 7, &digest)])), 1, "no signature found"),
        ("null", whole(json!({"manifests": null})), 1, "no signature found"),
        ("a number of manifests", whole(json!({"manifests": 7})), 1, no_json),
        ("more bytes than a manifest has", Lies::list(" ".repeat((4 << 20) + 1)), 1, "is larger than 4194304 bytes"),
        // Its entries.
        ("an empty entry", entries(vec![json!({})]), 1, bad_entry),
        ("an entry that is a text", entries(vec![json!(digest)]), 1, bad_entry),
        ("an entry of a negative size", entries(vec![json!({"digest": digest, "size": -1})]), 1, bad_entry),
        ("a malformed digest", entries(vec![listed("sha256:a1")]), 1, "layer sha256:a1: the digest of a layer is malformed"),
        ("a digest that is a path", entries(vec![listed("sha256:../../../v2/x")]), 1, "the digest of a layer is malformed"),
        ("a digest of another algorithm", entries(vec![listed(&format!("sha512:{}", "a1".repeat(64)))]), 1, "the digest of a layer is malformed"),
        ("a digest with an escape sequence", entries(vec![listed("\u{1b}[2Jsha256:a1")]), 1, "layer  [2Jsha256:a1: "),
        ("a digest of a megabyte", entries(vec![listed(&"a".repeat(1 << 20))]), 1, "the digest of a layer is malformed"),
        ("an entry that is not there", entries(vec![absent(1)]), 1, "the manifest that the list of referrers names is not there"),
        ("5000 entries that are not there", entries((0..5000).map(absent).collect()), 1, "5000 manifests name the image as their subject, the first 1000 were looked at"),
        ("the same entry 5000 times", entries(vec![absent(1); 5000]), 1, &once),
        ("5000 other things", entries(vec![json!({"digest": digest, "mediaType": MANIFEST, "artifactType": "application/spdx+json"}); 5000]), 1, "no signature found"),
    ];
    for (name, lies, code, wanted) in cases {
        takes_nothing_away(name, &registry, lies, code, wanted);
    }
}

#[test]
fn manifests_of_somebody_else_s_making_take_nothing_from_a_good_signature() {
    let registry = Registry::start();
    replayed(&registry, "sign-v2-notlog");
    replayed(&registry, "unsigned");
    let gone = digest(b"gone");
    let one = |manifest: Value| Lies::manifests(&[manifest]);
    let of = |layers: &[Value]| Lies::manifests(&[manifest(layers)]);
    let many = |count: usize, kind: &str| vec![layer(kind, 7, &gone); count];
    let (a, b) = (digest(b"a"), digest(b"b"));
    let others = Lies::list(list(&[listed(&a)])).and(format!("/manifests/{a}"), MANIFEST, b"b");
    let content = Lies::manifests(&[manifest(&[layer(BUNDLE, 2, &a)])]);
    let other_content = content.and(format!("/blobs/{a}"), "application/json", b"{}");
    let larger = Lies::manifests(&[manifest(&[layer(BUNDLE, 1, &b)])]);
    let larger = larger.and(format!("/blobs/{b}"), "application/json", b"bb");
    let not_json = Lies::list(list(&[listed(&a)])).and(format!("/manifests/{a}"), MANIFEST, b"a");
    let unusable = "the manifest that names the image as its subject cannot be used";
    #[rustfmt::skip]
    let cases = [
        ("no JSON", not_json, 1, "no well-formed image manifest"),
        ("an index", one(json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": []})), 1, "an index of manifests stands where an image manifest is expected"),
        ("no configuration", one(json!({"schemaVersion": 2, "mediaType": MANIFEST, "layers": []})), 1, unusable),
        ("10,000 bundles", of(&many(10_000, BUNDLE)), 1, "the manifest has 10000 layers, more than 1000"),
        ("10,000 signatures", of(&many(10_000, SIMPLE_SIGNING)), 1, "the manifest has 10000 layers, more than 1000"),
        ("1000 signatures that are not there", of(&many(1000, SIMPLE_SIGNING)), 1, "not found"),
        ("1200 signatures in two manifests", Lies::manifests(&[600, 601].map(|count| manifest(&many(count, SIMPLE_SIGNING)))), 1, "the manifests of all referrers have more than 1000"),
        ("a bundle of 200 MB", of(&[layer(BUNDLE, 200 << 20, &gone)]), 1, "layer has 209715200 bytes, more than 134217728"),
        ("a bundle that is not there", of(&[layer(BUNDLE, 7, &gone)]), 1, "not found"),
        ("three bundles of 100 MB", Lies::manifests(&[1, 2, 3].map(|at| manifest(&[layer(BUNDLE, 100 << 20, &digest(&[at]))]))), 1, "all layers together have more than 268435456"),
        ("a layer of a negative size", one(manifest(&[json!({"mediaType": BUNDLE, "size": -1, "digest": gone})])), 1, "the descriptor of layer 0 is malformed"),
        ("a layer of a malformed digest", of(&[layer(BUNDLE, 7, "sha256:../x")]), 1, "layer sha256:../x: the digest of a layer is malformed"),
        ("a layer without a digest", one(manifest(&[json!({"mediaType": BUNDLE, "size": 7})])), 1, "the descriptor of layer 0 is malformed"),
        ("a bundle with more bytes than it should have", larger, 1, "is larger than 1 bytes"),
        ("layers of nobody's kind", of(&many(1000, "text/plain")), 1, "no signature found"),
        // The registry hands out something else than it was asked for: that may pass.
        ("another manifest", others, 3, "not everything could be read"),
        ("another bundle", other_content, 3, "not everything could be read"),
    ];
    for (name, lies, code, wanted) in cases {
        takes_nothing_away(name, &registry, lies, code, wanted);
    }
}

#[test]
fn bundles_of_other_images_in_the_list_are_named_and_take_nothing_away() {
    let registry = Registry::start();
    replayed(&registry, "sign-v2-notlog");
    replayed(&registry, "unsigned");
    let foreign = foreign_bundle();
    for case in ["sign-v2-notlog", "unsigned"] {
        registry.push_blob(case, &foreign);
        registry.push_blob(case, b"{}");
        let manifest = manifest(&[layer(BUNDLE, foreign.len() as u64, &digest(&foreign))]);
        let bytes = manifest.to_string().into_bytes();
        registry.put_manifest(case, &digest(&bytes), MANIFEST, &bytes);
        registry.put_manifest(case, &tag(""), INDEX, &list(&[listed(&digest(&bytes))]));
    }
    by_key(&[])
        .arg(registry.reference("sign-v2-notlog", IMAGE))
        .ok();
    let alone = by_key(&[]).arg(registry.reference("unsigned", IMAGE));
    refused(alone, 1, "no matching subject digest found");
}

/// A bundle by the key `a` of one of the images of an index, where the list is of another image.
fn foreign_bundle() -> Vec<u8> {
    let case = super::samples().join("sign-v3-bundle-recursive/blobs");
    let blobs = std::fs::read_dir(case).expect("it was recorded");
    let blobs = blobs.map(|blob| std::fs::read(blob.expect("readable").path()).expect("readable"));
    let is_foreign = |blob: &Vec<u8>| {
        let Ok(bundle) = serde_json::from_slice::<Value>(blob) else {
            return false;
        };
        let payload = bundle["dsseEnvelope"]["payload"]
            .as_str()
            .unwrap_or_default();
        let payload = STANDARD.decode(payload);
        let payload = String::from_utf8(payload.unwrap_or_default()).unwrap_or_default();
        payload.contains(SIGN) && !payload.contains(&IMAGE[7..])
    };
    blobs
        .into_iter()
        .find(is_foreign)
        .expect("the index was signed too")
}

#[test]
fn good_bundles_are_found_among_a_thousand_bad_ones() {
    let registry = Registry::start();
    let good = Specimen::bundle("sign-v3-bundle-rekor1", SIGN);
    let image = good.publish(&registry, "good");
    let good = good.descriptor();
    let mut all: Vec<_> = (0..999).map(absent).collect();
    all.push(good.clone());
    let proxy = Lies::list(list(&all)).told(&registry);
    let behind = image.replace(registry.address(), proxy.address());
    by_key(&[]).arg(&behind).ok();
    // One more, and it is not looked at.
    all.insert(0, absent(1000));
    let proxy = Lies::list(list(&all)).told(&registry);
    let behind = image.replace(registry.address(), proxy.address());
    refused(
        by_key(&[]).arg(&behind),
        1,
        "1001 manifests name the image as their subject",
    );
}

#[test]
fn a_registry_that_fails_is_told_apart_from_one_that_says_no() {
    let registry = Registry::start();
    let signed = Specimen::bundle("sign-v3-bundle-rekor1", SIGN);
    let image = signed.publish(&registry, "signed");
    let good = Specimen::signature("sign-v2-notlog");
    let both = good.publish(&registry, "both");
    signed.publish(&registry, "both");
    let bundle = digest(&signed.bytes());
    let content = digest(&signed.content);
    #[rustfmt::skip]
    let cases = [
        (format!("/manifests/{}", tag("")), 503, 3, "the referrers: "),
        (format!("/manifests/{}", tag("")), 401, 2, "asks for credentials and none was found"),
        (format!("/referrers/{IMAGE}"), 401, 2, "no valid signature, but not everything could be read: the referrers: "),
        (format!("/referrers/{IMAGE}"), 403, 2, "no valid signature, but not everything could be read: the referrers: "),
        (format!("/manifests/{bundle}"), 401, 2, "asks for credentials and none was found"),
        (format!("/blobs/{content}"), 401, 2, "no valid signature, but not everything could be read: layer sha256:"),
        (format!("/manifests/{bundle}"), 500, 3, "no valid signature, but not everything could be read: layer sha256:"),
        (format!("/blobs/{content}"), 500, 3, "no valid signature, but not everything could be read: layer sha256:"),
        (format!("/blobs/{content}"), 404, 1, "no valid signature: layer sha256:"),
    ];
    for (path, status, code, wanted) in cases {
        let proxy = Proxy::start(registry.address());
        let ends = path.clone();
        proxy
            .when(move |seen| seen.path.ends_with(&ends))
            .answer(status, &[], b"");
        let at = |image: &str| image.replace(registry.address(), proxy.address());
        let said = by_key(&[]).arg(at(&image)).run();
        assert!(is_told(&said, code, wanted), "{path} {status}: {said:?}");
        let said = by_key(&[]).arg(at(&both)).run();
        assert_eq!(said.code(), Some(0), "{path} {status}: {said:?}");
    }
}

#[test]
fn a_tag_of_signatures_that_is_none_takes_nothing_from_a_good_bundle() {
    let registry = Registry::start();
    let image = replayed(&registry, "sign-v3-bundle-rekor1");
    let path = format!("/manifests/{}", tag(".sig"));
    #[rustfmt::skip]
    let cases = [
        ("no JSON", b"{".to_vec()),
        ("an index", list(&[])),
        ("10,000 layers", manifest(&vec![layer(SIMPLE_SIGNING, 7, &digest(b"gone")); 10_000]).to_string().into_bytes()),
        ("layers that are not there", manifest(&vec![layer(SIMPLE_SIGNING, 7, &digest(b"gone")); 900]).to_string().into_bytes()),
    ];
    for (name, content) in cases {
        let proxy = Lies::default()
            .and(path.clone(), MANIFEST, content)
            .told(&registry);
        let behind = image.replace(registry.address(), proxy.address());
        let said = by_key(&[]).arg(behind).run();
        assert_eq!(said.code(), Some(0), "{name}: {said:?}");
    }
}

#[test]
fn a_payload_may_not_forge_what_is_printed() {
    let registry = Registry::start();
    let mut specimen = Specimen::bundle("sign-v3-bundle-rekor1", SIGN);
    specimen.layer(|bundle| {
        bundle["dsseEnvelope"]["payloadType"] = json!("x\nverified signature\u{1b}[2J");
    });
    let image = specimen.publish(&registry, "forged");
    let said = refused(by_key(&[]).arg(image), 1, "invalid payloadType");
    assert!(
        !said.stderr.contains('\u{1b}') && !said.stderr.contains("\nverified"),
        "{said:?}"
    );
    assert!(!hints(&said, "verified"));
    let key = file("a.pub");
    let unsigned = replayed(&registry, "unsigned");
    refused(
        verify(&["--key", &key]).arg(unsigned),
        1,
        "no signature found",
    );
}
