//! What an index lists: each manifest read once, and nothing followed that is not what it seems.

use std::error::Error as _;

use tekseal_core::{Digest, DigestRef};
use tekseal_remote::registry::Blame;
use tekseal_remote::store::walk::MOST_LISTED;
use tekseal_remote::store::{Kind, Walked, walk};

use crate::double::{Door, Double, Moment, soon};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";

/// A manifest in the registry.
struct Put {
    digest: String,
    size: usize,
    media_type: &'static str,
}

impl Put {
    /// Its entry in an index, for this platform.
    fn entry(&self, platform: &str) -> String {
        let (os, architecture) = platform.split_once('/').expect("os/architecture");
        let more = format!(r#","platform":{{"os":"{os}","architecture":"{architecture}"}}"#);
        self.entry_with(self.media_type, self.size, &more)
    }

    fn entry_with(&self, media_type: &str, size: usize, more: &str) -> String {
        let digest = &self.digest;
        format!(r#"{{"mediaType":"{media_type}","digest":"{digest}","size":{size}{more}}}"#)
    }
}

fn put(registry: &Double, media_type: &'static str, text: &str) -> Put {
    let digest = Digest::of(text.as_bytes());
    registry.put_manifest(&digest.hex()[..12], media_type, text.as_bytes());
    Put {
        digest: digest.to_string(),
        size: text.len(),
        media_type,
    }
}

fn image(registry: &Double, name: &str, layer_type: &str) -> Put {
    let text = format!(
        r#"{{"schemaVersion":2,"mediaType":"{MANIFEST}","config":{{"name":"{name}"}},"layers":[{{"mediaType":"{layer_type}"}}]}}"#
    );
    put(registry, MANIFEST, &text)
}

fn plain(registry: &Double, name: &str) -> Put {
    image(registry, name, "application/vnd.oci.image.layer.v1.tar")
}

fn index(registry: &Double, entries: &[String]) -> Put {
    let text = format!(
        r#"{{"schemaVersion":2,"mediaType":"{INDEX}","manifests":[{}]}}"#,
        entries.join(",")
    );
    put(registry, INDEX, &text)
}

fn at(door: &Door, put: &Put) -> DigestRef {
    let digest = put.digest.parse().expect("well formed");
    door.repository().at(digest)
}

async fn walked(registry: &Double, put: &Put) -> Walked {
    let door = registry.door().await;
    let walked = soon(walk(&door.client(), &at(&door, put))).await;
    walked.unwrap_or_else(|e| panic!("{e}: {:?}", e.source()))
}

/// What is refused, and after how many requests.
async fn refused(registry: &Double, put: &Put) -> (String, usize) {
    let door = registry.door().await;
    let error = soon(walk(&door.client(), &at(&door, put)))
        .await
        .expect_err("it is refused");
    assert_eq!(error.blame(), Blame::Artifact);
    let source = error.source().map(ToString::to_string).unwrap_or_default();
    (format!("{error}: {source}"), door.seen().len())
}

fn told(walked: &Walked) -> Vec<(String, Kind, String)> {
    let told = walked.listed.iter().map(|member| {
        let digest = member.image.digest.to_string();
        (digest, member.kind, member.platforms.join(","))
    });
    told.collect()
}

#[tokio::test]
async fn an_image_is_one_request_and_an_index_one_for_each_manifest_however_deep() {
    let registry = Double::default();
    let (amd, arm) = (plain(&registry, "amd"), plain(&registry, "arm"));
    let proof = image(&registry, "proof", "application/vnd.in-toto+json");
    let inner = index(&registry, &[arm.entry("linux/arm64"), amd.entry("linux/x")]);
    let outer = index(
        &registry,
        &[
            amd.entry("linux/amd64"),
            inner.entry("any/any"),
            proof.entry("unknown/unknown"),
            amd.entry("linux/amd64"),
        ],
    );
    let door = registry.door().await;
    let alone = soon(walk(&door.client(), &at(&door, &amd)))
        .await
        .expect("an image");
    assert_eq!((alone.itself.kind, alone.listed.len()), (Kind::Image, 0));
    assert_eq!(door.seen().len(), 1);

    let door = registry.door().await;
    let walked = soon(walk(&door.client(), &at(&door, &outer)))
        .await
        .expect("an index");
    assert_eq!(walked.itself.kind, Kind::Index);
    let wanted = [
        (&amd, Kind::Image, "linux/amd64,linux/x"),
        (&inner, Kind::Index, "any/any"),
        (&proof, Kind::Attestations, "unknown/unknown"),
        (&arm, Kind::Image, "linux/arm64"),
    ];
    let wanted = wanted.map(|(put, kind, platform)| {
        let digest = put.digest.clone();
        (digest, kind, platform.to_owned())
    });
    assert_eq!(told(&walked), wanted);
    assert_eq!(
        (door.count("GET", "/manifests/"), door.seen().len()),
        (5, 5)
    );
}

#[tokio::test]
async fn docker_s_list_is_an_index_too() {
    let registry = Double::default();
    let text = format!(r#"{{"schemaVersion":2,"mediaType":"{DOCKER_MANIFEST}","config":{{}}}}"#);
    let image = put(&registry, DOCKER_MANIFEST, &text);
    let entry = image.entry("linux/amd64");
    let text =
        format!(r#"{{"schemaVersion":2,"mediaType":"{DOCKER_LIST}","manifests":[{entry}]}}"#);
    let list = put(&registry, DOCKER_LIST, &text);
    let walked = walked(&registry, &list).await;
    assert_eq!(walked.itself.kind, Kind::Index);
    assert_eq!(walked.listed.len(), 1);
}

#[tokio::test]
async fn what_is_listed_must_be_there_and_be_what_the_index_says() {
    let registry = Double::default();
    let good = plain(&registry, "good");
    let gone = plain(&registry, "gone");
    registry.remove_manifest(&gone.digest);
    let hidden = index(&registry, &[good.entry("linux/amd64")]);
    // Nothing is at the port of the URL; it is not asked.
    let elsewhere = r#","urls":["http://127.0.0.1:1/x"],"data":"e30=""#;
    let (of, size) = (MANIFEST, good.size);
    for (entries, wanted, requests) in [
        (vec![gone.entry("a/b")], "though an index lists it", 2),
        (
            vec![gone.entry_with(of, gone.size, elsewhere)],
            "though an index lists it",
            2,
        ),
        (vec![good.entry_with(of, size + 1, "")], "bytes that", 2),
        (vec![good.entry_with(of, size - 1, "")], "bytes that", 2),
        (vec![good.entry_with(of, 0, "")], "bytes that", 2),
        (
            vec![hidden.entry_with(MANIFEST, hidden.size, "")],
            "is listed as application/vnd.oci.image.manifest.v1+json and is application/vnd.oci.image.index",
            2,
        ),
        (
            vec![good.entry_with(INDEX, size, "")],
            "is listed as application/vnd.oci.image.index",
            2,
        ),
        (
            vec![good.entry_with(DOCKER_MANIFEST, size, "")],
            "is listed as",
            2,
        ),
        (
            vec![good.entry_with("application/vnd.oci.image.layer.v1.tar", size, "")],
            "only images and indexes are followed",
            1,
        ),
        (
            vec![good.entry("a/b"), good.entry_with(of, size + 1, "")],
            "more than once, and not alike",
            1,
        ),
        (
            vec![good.entry_with(of, 17 << 20, "")],
            "all manifests together",
            1,
        ),
    ] {
        let outer = index(&registry, &entries);
        let (told, seen) = refused(&registry, &outer).await;
        assert!(told.contains(wanted), "{wanted}: {told}");
        assert_eq!(seen, requests, "{told}");
    }
    let (told, _) = refused(&registry, &gone).await;
    assert!(told.contains("does not exist: "), "{told}");
}

#[tokio::test]
async fn neither_many_nor_deep_indexes_make_us_read_more_than_the_limits() {
    let registry = Double::default();
    let good = plain(&registry, "good");
    let many = index(&registry, &vec![good.entry("a/b"); 10_000]);
    let (told, seen) = refused(&registry, &many).await;
    assert!(told.contains("more than 1000 manifests"), "{told}");
    assert_eq!(seen, 1);
    // The same, each time from another index.
    let large: Vec<String> = (0..40)
        .map(|number| {
            let mut entries = vec![good.entry("a/b"); MOST_LISTED / 20];
            entries.push(plain(&registry, &format!("{number}")).entry("a/b"));
            index(&registry, &entries).entry("c/d")
        })
        .collect();
    let (told, seen) = refused(&registry, &index(&registry, &large)).await;
    assert!(told.contains("more than 1000 manifests"), "{told}");
    assert!(seen <= 21, "{seen}");

    let mut nested = index(&registry, &[good.entry("a/b")]);
    let mut depths = Vec::new();
    for _ in 0..5 {
        depths.push(index(&registry, &[nested.entry("c/d")]));
        let inner = depths.last().expect("just pushed");
        nested = Put {
            digest: inner.digest.clone(),
            size: inner.size,
            media_type: INDEX,
        };
    }
    assert_eq!(walked(&registry, &depths[2]).await.listed.len(), 4);
    let (told, _) = refused(&registry, &depths[3]).await;
    assert!(told.contains("more than 4 deep"), "{told}");
}

#[tokio::test]
async fn a_registry_that_hands_out_another_index_is_the_outside_s_fault() {
    let registry = Double::default();
    let good = plain(&registry, "good");
    let outer = index(&registry, &[good.entry("a/b")]);
    let door = registry.door().await;
    door.fail("GET", "/manifests/", Moment::Before);
    let patient = soon(walk(&door.client(), &at(&door, &outer))).await;
    assert_eq!(patient.expect("asked again").listed.len(), 1);
    // An index that lists itself needs a digest that is not its own.
    let liar = format!(
        r#"{{"schemaVersion":2,"manifests":[{}]}}"#,
        outer.entry("a/b")
    );
    registry.replace_manifest(&outer.digest, liar.as_bytes());
    let door = registry.door().await;
    let error = soon(walk(&door.client(), &at(&door, &outer)))
        .await
        .expect_err("it is another one");
    assert_eq!(error.blame(), Blame::Outside, "{error}");
    assert_eq!(door.seen().len(), 1);
}
