//! What names an image as its subject: which manifests are read, in what order, and how much of them.

use tekseal_core::Digest;
use tekseal_remote::store::{LayerError, Layers, Place};

use crate::double::{Double, soon};
use crate::image;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
const SIGNATURE: &str = "application/vnd.dev.cosign.simplesigning.v1+json";

/// Puts a manifest with these layers into the registry, and gives its entry of a list.
fn put(registry: &Double, layers: &[String]) -> String {
    let manifest = format!(
        r#"{{"schemaVersion":2,"mediaType":"{MANIFEST}","config":{{"mediaType":"x","size":2,"digest":"sha256:0"}},"layers":[{}]}}"#,
        layers.join(",")
    );
    let digest = Digest::of(manifest.as_bytes());
    registry.put_manifest(&digest.hex()[..8], MANIFEST, manifest.as_bytes());
    entry(&digest.to_string(), BUNDLE)
}

fn entry(digest: &str, kind: &str) -> String {
    format!(r#"{{"mediaType":"{MANIFEST}","size":7,"digest":"{digest}","artifactType":"{kind}"}}"#)
}

fn layer(registry: &Double, kind: &str, content: &str, annotation: &str) -> String {
    let digest = registry.put_blob(content.as_bytes());
    let size = content.len();
    format!(
        r#"{{"mediaType":"{kind}","size":{size},"digest":"{digest}","annotations":{{"dev.cosignproject.cosign/signature":"{annotation}"}}}}"#
    )
}

/// What is found where the list has these entries: the content, or why there is none; in the order of the list.
async fn found(registry: &Double, entries: &[String]) -> Vec<String> {
    registry.list_referrers(format!(r#"{{"manifests":[{}]}}"#, entries.join(",")).as_bytes());
    let door = registry.door().await;
    let (client, image) = (door.client(), image(&door.repository()));
    let mut layers = soon(Layers::referring(&client, &image))
        .await
        .expect("the list is fine");
    let mut found = Vec::new();
    while let Some(fetched) = soon(layers.next()).await {
        assert!(matches!(fetched.place, Place::Referrer(_)));
        found.push(match fetched.signed {
            Ok(signed) => String::from_utf8_lossy(signed.unverified_payload()).into_owned(),
            Err(error) => error.to_string(),
        });
    }
    found
}

#[tokio::test]
async fn bundles_and_signatures_are_found_and_nothing_else_is_read() {
    let registry = Double::default();
    let of = |kind: &str, content: &str| put(&registry, &[layer(&registry, kind, content, "")]);
    let sbom = of("application/spdx+json", "an SBOM").replace(BUNDLE, "application/spdx+json");
    let untold = of(BUNDLE, "untold").replace(BUNDLE, "application/vnd.oci.empty.v1+json");
    let entries = [
        of(BUNDLE, "a bundle"),
        of(SIGNATURE, "a signature"),
        of("text/plain", "something"),
        sbom.clone(),
        untold,
    ];
    assert_eq!(
        found(&registry, &entries).await,
        ["a bundle", "a signature", "untold"]
    );
    let door = registry.door().await;
    let (client, image) = (door.client(), image(&door.repository()));
    registry.list_referrers(format!(r#"{{"manifests":[{sbom}]}}"#).as_bytes());
    soon(Layers::referring(&client, &image))
        .await
        .expect("the list is fine");
    assert_eq!(door.count("GET", "/manifests/"), 0, "{:?}", door.seen());
}

#[tokio::test]
async fn a_manifest_that_is_listed_twice_is_read_once() {
    let registry = Double::default();
    let one = put(&registry, &[layer(&registry, BUNDLE, "a bundle", "")]);
    assert_eq!(found(&registry, &vec![one; 1500]).await, ["a bundle"]);
}

#[tokio::test]
async fn what_is_larger_than_is_of_use_is_left_out_unread() {
    let registry = Double::default();
    let of = |content: &str| put(&registry, &[layer(&registry, BUNDLE, content, "")]);
    let large = "l".repeat(11);
    let entries = [of(&large), of("it is ten."), of("small")];
    registry.list_referrers(format!(r#"{{"manifests":[{}]}}"#, entries.join(",")).as_bytes());
    let door = registry.door().await;
    let (client, image) = (door.client(), image(&door.repository()));
    let layers = soon(Layers::referring(&client, &image)).await;
    let mut layers = layers.expect("the list is fine");
    layers.leave_out_larger(10);
    let mut found = Vec::new();
    while let Some(fetched) = soon(layers.next()).await {
        let signed = fetched.signed.expect("it is there");
        found.push(String::from_utf8_lossy(signed.layer()).into_owned());
    }
    assert_eq!(found, ["it is ten.", "small"]);
    let digest = Digest::of(large.as_bytes());
    assert_eq!(door.count("GET", &format!("/blobs/{digest}")), 0);
    assert_eq!(door.count("GET", "/blobs/"), 2);
}

#[tokio::test]
async fn a_list_that_is_none_is_refused() {
    let registry = Double::default();
    let door = registry.door().await;
    let (client, image) = (door.client(), image(&door.repository()));
    for list in ["[]", "[[]]", "7", "{\"manifests\":[[]]}", "{"] {
        registry.list_referrers(list.as_bytes());
        let refused = soon(Layers::referring(&client, &image)).await;
        assert!(refused.is_err(), "{list}");
    }
}

#[tokio::test]
async fn large_manifests_take_no_room_from_small_ones_and_end_with_their_own() {
    let registry = Double::default();
    let padding = "s".repeat(3_900_000);
    let mut entries: Vec<_> = (0..4)
        .map(|at| {
            let annotation = format!("{at}{padding}");
            let large = layer(&registry, SIGNATURE, &format!("large {at}"), &annotation);
            put(&registry, &[large])
        })
        .collect();
    entries.push(put(&registry, &[layer(&registry, BUNDLE, "small", "")]));
    let mut all = found(&registry, &entries).await;
    all.sort();
    let too_much = LayerError::Manifests { most: 8 << 20 }.to_string();
    assert_eq!(
        all,
        ["large 0", "large 1", &too_much, &too_much, "small"],
        "two of 3.9 MB are within 8 MiB"
    );
}

#[tokio::test]
async fn all_referrers_have_a_thousand_signatures_at_most_and_bundles_besides() {
    let registry = Double::default();
    let signatures = |salt: usize, count: usize| {
        let layers: Vec<_> = (0..count)
            .map(|at| layer(&registry, SIGNATURE, &format!("{salt}"), &format!("{at}")))
            .collect();
        put(&registry, &layers)
    };
    let bundle = put(&registry, &[layer(&registry, BUNDLE, "a bundle", "")]);
    let entries = [
        signatures(1, 600),
        signatures(2, 401),
        bundle,
        signatures(3, 400),
    ];
    let all = found(&registry, &entries).await;
    let count = |wanted: &str| all.iter().filter(|found| *found == wanted).count();
    assert_eq!((count("1"), count("2"), count("3")), (600, 0, 400));
    assert_eq!(count("a bundle"), 1);
    assert_eq!(count(&LayerError::Signatures.to_string()), 1);
}

#[tokio::test]
async fn whatever_stands_in_the_place_of_a_digest_is_cut() {
    let registry = Double::default();
    let long: String = (0..100_000).map(|at| at.to_string()).collect();
    registry.list_referrers(format!(r#"{{"manifests":[{}]}}"#, entry(&long, BUNDLE)).as_bytes());
    let door = registry.door().await;
    let (client, image) = (door.client(), image(&door.repository()));
    let mut layers = soon(Layers::referring(&client, &image))
        .await
        .expect("the list is fine");
    let fetched = soon(layers.next()).await.expect("it is told");
    assert!(matches!(fetched.signed, Err(LayerError::Digest(_))));
    assert_eq!(fetched.digest, long[..135]);
}
