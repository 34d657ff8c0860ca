//! What cosign wrote, made again from its layers, is the same bytes.

use std::path::PathBuf;

use tekseal_core::Digest;
use tekseal_remote::registry::Manifest;
use tekseal_remote::store::manifest::ImageManifest;

pub(crate) fn samples() -> PathBuf {
    PathBuf::from(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../tests/fixtures/cosign-samples"
    ))
}

pub(crate) fn sample(case: &str, tag: &str) -> (String, Vec<u8>) {
    let folder = samples().join(case);
    let tags = std::fs::read(folder.join("tags.json")).expect("the sample has tags");
    let tags: std::collections::BTreeMap<String, String> =
        serde_json::from_slice(&tags).expect("tags are a map");
    let digest = &tags[tag];
    let file = folder.join(format!(
        "manifests/{}.json",
        digest.trim_start_matches("sha256:")
    ));
    (
        digest.clone(),
        std::fs::read(file).expect("the sample has the manifest"),
    )
}

#[test]
fn the_bytes_of_every_tag_that_cosign_wrote_are_made_again() {
    let mut count = 0;
    for case in std::fs::read_dir(samples()).expect("the samples are there") {
        let case = case.expect("a readable folder").path();
        let Ok(tags) = std::fs::read(case.join("tags.json")) else {
            continue;
        };
        let tags: std::collections::BTreeMap<String, String> =
            serde_json::from_slice(&tags).expect("tags are a map");
        for (tag, digest) in tags {
            if ![".sig", ".att", ".sbom"]
                .iter()
                .any(|suffix| tag.ends_with(suffix))
            {
                continue;
            }
            let name = digest.trim_start_matches("sha256:");
            let bytes = std::fs::read(case.join(format!("manifests/{name}.json")))
                .expect("the manifest is there");
            let digest = Digest::of(&bytes);
            let media_type = String::new();
            let found = Manifest {
                bytes,
                media_type,
                digest,
            };
            let encoded = ImageManifest::parse(&found).and_then(|manifest| manifest.encode());
            let encoded = encoded.unwrap_or_else(|e| panic!("{}: {tag}: {e}", case.display()));
            assert_eq!(
                String::from_utf8_lossy(&encoded.manifest),
                String::from_utf8_lossy(&found.bytes),
                "{}: {tag}",
                case.display()
            );
            assert_eq!(encoded.digest, found.digest);
            let config = std::fs::read(case.join(format!("blobs/{}", encoded.config_digest.hex())));
            assert_eq!(
                config.expect("cosign stored the configuration"),
                encoded.config
            );
            count += 1;
        }
    }
    assert!(count >= 20, "only {count} tags were found");
}
