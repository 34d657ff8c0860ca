//! Reading back, and listing.

use tekseal_core::cosign::Tag;
use tekseal_remote::store::{self, LayerError, Layers, manifest, tree};

use crate::double::{Double, REPOSITORY, soon};
use crate::golden::{sample, samples};
use crate::{att_tag, image, never, sig_tag, signature};

/// Puts a recorded repository under the name that the doors have.
fn replay(registry: &Double, case: &str) {
    let folder = samples().join(case);
    for blob in std::fs::read_dir(folder.join("blobs")).expect("the sample has blobs") {
        registry.put_blob(&std::fs::read(blob.expect("readable").path()).expect("readable"));
    }
    let tags = std::fs::read(folder.join("tags.json")).expect("the sample has tags");
    let tags: std::collections::BTreeMap<String, String> =
        serde_json::from_slice(&tags).expect("tags are a map");
    for tag in tags.keys() {
        let (_, bytes) = sample(case, tag);
        let json: serde_json::Value = serde_json::from_slice(&bytes).expect("manifests are JSON");
        registry.put_manifest(
            tag,
            json["mediaType"].as_str().expect("cosign writes it"),
            &bytes,
        );
    }
}

fn of_layers(layers: &[String]) -> String {
    format!(
        r#"{{"schemaVersion":2,"config":{{"mediaType":"x","size":2,"digest":"sha256:0"}},"layers":[{}]}}"#,
        layers.join(",")
    )
}

fn layer(digest: &str, size: usize, annotations: &str) -> String {
    format!(
        r#"{{"mediaType":"t","size":{size},"digest":"{digest}","annotations":{{{annotations}}}}}"#
    )
}

const SIGNED: &str = r#""dev.cosignproject.cosign/signature":"c2ln""#;

#[tokio::test]
async fn what_cosign_wrote_is_read_with_one_request_for_each_layer() {
    let registry = Double::default();
    replay(&registry, "sign-v2-annotations-two-keys");
    let door = registry.door().await;
    let image = image(&door.repository());
    let fetched = soon(store::signatures(&door.client(), &image))
        .await
        .expect("the tag is fine");
    assert_eq!(fetched.len(), 3);
    assert_eq!(
        fetched
            .iter()
            .map(|layer| layer.position)
            .collect::<Vec<_>>(),
        [0, 1, 2]
    );
    for layer in &fetched {
        let signed = layer.signed.as_ref().expect("the layer is fine");
        assert_eq!(signed.layer_digest().to_string(), layer.digest);
        assert!(
            signed
                .annotations()
                .contains_key("dev.cosignproject.cosign/signature")
        );
    }
    assert_eq!(
        (door.count("GET", "/manifests/"), door.seen().len()),
        (1, 4)
    );
}

#[tokio::test]
async fn an_image_without_signatures_has_none() {
    let door = Double::default().door().await;
    let image = image(&door.repository());
    let client = door.client();
    assert!(
        soon(store::signatures(&client, &image))
            .await
            .expect("absent is no error")
            .is_empty()
    );
    assert!(
        soon(store::attestations(&client, &image))
            .await
            .expect("absent is no error")
            .is_empty()
    );
    assert_eq!(door.seen().len(), 2);
}

#[tokio::test]
async fn a_bad_layer_does_not_hide_the_others() {
    let registry = Double::default();
    let door = registry.door().await;
    let good = registry.put_blob(b"good");
    let unknown = format!("sha256:{}", "0".repeat(64));
    let text = of_layers(&[
        layer(&good, 4, ""),
        layer(&unknown, 4, SIGNED),
        layer("sha512:aa", 4, SIGNED),
        layer(&good, 4, SIGNED),
        layer(&unknown.replace('0', "1"), (128 << 20) + 1, SIGNED),
        layer(&good, 4, &SIGNED.replace("c2ln", "b3RoZXI=")),
        layer(&registry.put_blob(b"longer than it says"), 4, SIGNED),
    ]);
    registry.put_manifest(&att_tag(), manifest::OCI_MANIFEST, text.as_bytes());
    let image = image(&door.repository());
    let fetched = soon(store::attestations(&door.client(), &image))
        .await
        .expect("the tag is fine");
    let outcomes: Vec<&str> = fetched
        .iter()
        .map(|layer| match &layer.signed {
            Ok(signed) => {
                assert_eq!(signed.layer(), b"good");
                "good"
            }
            Err(LayerError::NoSignature) => "no signature",
            Err(LayerError::Unread(_)) => "registry",
            Err(LayerError::Digest(_)) => "digest",
            Err(LayerError::Size { .. }) => "size",
            Err(LayerError::Total) => "total",
            Err(other) => panic!("{other}"),
        })
        .collect();
    assert_eq!(
        outcomes,
        [
            "no signature",
            "registry",
            "digest",
            "good",
            "size",
            "good",
            "registry"
        ]
    );
    // The manifest, and each of the three blobs once.
    assert_eq!(door.seen().len(), 4, "{:#?}", door.seen());
}

#[tokio::test]
async fn all_layers_together_are_limited_too_and_one_blob_named_often_counts_often() {
    let registry = Double::default();
    let door = registry.door().await;
    let blob = registry.put_blob(b"small");
    let claimed = layer(&blob, 100 << 20, SIGNED);
    registry.put_manifest(
        &sig_tag(),
        manifest::OCI_MANIFEST,
        of_layers(&vec![claimed; 4]).as_bytes(),
    );
    let image = image(&door.repository());
    let client = door.client();
    let mut layers = soon(Layers::open(&client, &image, Tag::Signatures))
        .await
        .expect("the tag is fine");
    let (mut good, mut refused) = (0, 0);
    while let Some(layer) = soon(layers.next()).await {
        match layer.signed {
            Ok(_) => good += 1,
            Err(LayerError::Total) => refused += 1,
            Err(other) => panic!("{other}"),
        }
    }
    assert_eq!((good, refused), (2, 2));
}

#[tokio::test]
async fn something_else_under_the_tag_is_an_error_and_not_an_unsigned_image() {
    let registry = Double::default();
    let door = registry.door().await;
    registry.put_manifest(&sig_tag(), manifest::OCI_MANIFEST, b"{");
    let image = image(&door.repository());
    let error = soon(store::signatures(&door.client(), &image))
        .await
        .expect_err("this is no manifest");
    assert!(matches!(error, store::Error::Manifest { .. }));
}

#[tokio::test]
async fn the_tree_shows_tags_layers_and_what_they_bring() {
    let registry = Double::default();
    for case in [
        "sign-v2-rekor1",
        "attest-v2-notlog",
        "sbom-v2",
        "mixed-legacy-and-foreign-bundle",
        "sign-v2-tsa-notlog",
    ] {
        replay(&registry, case);
    }
    let door = registry.door().await;
    let image = image(&door.repository());
    // The image itself is known by digest.
    registry.put_manifest("img", manifest::OCI_MANIFEST, &sample("sbom-v2", "img").1);
    let shown = soon(store::tree(&door.client(), &image))
        .await
        .expect("all of it is fine");
    assert!(
        matches!(&shown.image, tree::Image::Manifest { media_type } if media_type == manifest::OCI_MANIFEST)
    );
    let kinds: Vec<Tag> = shown.tags.iter().map(|tag| tag.kind).collect();
    assert_eq!(kinds, [Tag::Signatures, Tag::Attestations, Tag::Sbom]);
    let layers = |at: usize| shown.tags[at].layers.as_ref().expect("cosign wrote it");
    assert!(
        layers(0)[0].has_timestamp && !layers(0)[0].has_certificate && !layers(0)[0].has_log_entry
    );
    let types: Vec<_> = layers(1)
        .iter()
        .map(|layer| layer.predicate_type.as_deref())
        .collect();
    assert_eq!(
        types,
        [
            Some("https://slsa.dev/provenance/v0.2"),
            Some("https://slsa.dev/provenance/v1")
        ]
    );
    assert_eq!(layers(2)[0].media_type, "text/spdx+json");
    assert_eq!(shown.source, tree::ReferrersSource::FallbackTag);
    let artifact = shown.referrers[0].artifact_type.as_deref();
    assert_eq!(
        artifact,
        Some("application/vnd.dev.sigstore.bundle.v0.3+json")
    );
    assert_eq!(door.seen().len(), 6, "{:#?}", door.seen());
}

#[tokio::test]
async fn the_tree_of_nothing_is_empty_and_a_broken_tag_is_shown_as_such() {
    let registry = Double::default();
    let door = registry.door().await;
    let image = image(&door.repository());
    let empty = soon(store::tree(&door.client(), &image))
        .await
        .expect("absent is no error");
    assert!(matches!(empty.image, tree::Image::Absent));
    assert_eq!(
        (empty.tags.len(), empty.referrers.len(), empty.source),
        (0, 0, tree::ReferrersSource::Nowhere)
    );

    registry.put_manifest(&att_tag(), manifest::OCI_MANIFEST, b"{}");
    let bundle = r#"{"manifests":[{"mediaType":"m","size":7,"digest":"sha256:1","artifactType":"a/b","annotations":{"k":"v"}}]}"#;
    registry.list_referrers(bundle.as_bytes());
    soon(store::append(
        &door.client(),
        &image,
        Tag::Signatures,
        &[signature("a")],
        &never,
    ))
    .await
    .expect("alone");
    let shown = soon(store::tree(&door.client(), &image))
        .await
        .expect("the rest is fine");
    assert!(shown.tags[0].layers.is_ok());
    assert!(matches!(
        shown.tags[1].layers,
        Err(manifest::Error::Kind { .. })
    ));
    assert_eq!(shown.source, tree::ReferrersSource::Api);
    assert_eq!(shown.referrers[0].annotations["k"], "v");
}

#[tokio::test]
async fn the_tree_of_an_index_names_its_platforms() {
    let registry = Double::default();
    let door = registry.door().await;
    let (digest, bytes) = sample("sign-v2-recursive", "img");
    registry.put_manifest("idx", manifest::OCI_INDEX, &bytes);
    let image = door.repository().at(digest.parse().expect("a digest"));
    let shown = soon(store::tree(&door.client(), &image))
        .await
        .expect("it is there");
    let tree::Image::Index { platforms, .. } = shown.image else {
        panic!("{REPOSITORY} holds an index")
    };
    assert_eq!(platforms.len(), 2);
    assert!(platforms.iter().all(|one| {
        one.platform
            .as_deref()
            .is_some_and(|text| text.starts_with("linux/"))
    }));
}
