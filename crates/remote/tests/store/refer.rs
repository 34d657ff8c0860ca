//! Bundles that refer to an image: with a registry that lists them, and with one where clients keep an index.

use std::time::Duration;

use serde_json::Value;
use tekseal_core::{Digest, DigestRef, Signed};
use tekseal_remote::registry::Blame;
use tekseal_remote::store::manifest::{DOCKER_LIST, OCI_INDEX, OCI_MANIFEST};
use tekseal_remote::store::{self, Error, Layers, Outcome, Place, Referred};

use crate::double::{Door, Double, Moment, soon};
use crate::{TYPE, bundle, signature};

/// A registry with an image in it.
struct Shelf {
    registry: Double,
    door: Door,
    image: DigestRef,
}

impl Shelf {
    async fn new() -> Self {
        let registry = Double::default();
        let door = registry.door().await;
        let bytes = br#"{"schemaVersion":2,"config":{},"layers":[]}"#;
        registry.put_manifest("img", OCI_MANIFEST, bytes);
        Self {
            image: door.repository().at(Digest::of(bytes)),
            door,
            registry,
        }
    }

    async fn refer(&self, new: &[Signed]) -> Result<Referred, Error> {
        soon(store::refer(&self.door.client(), &self.image, new)).await
    }

    /// The tag of the index.
    fn tag(&self) -> String {
        format!("sha256-{}", self.image.digest.hex())
    }

    /// The index, if there is one.
    fn index(&self) -> Option<Value> {
        let bytes = self.registry.manifest(&self.tag())?;
        Some(serde_json::from_slice(&bytes).expect("JSON"))
    }

    /// The digests in the index.
    fn listed(&self) -> Vec<String> {
        let index = self.index().expect("there is an index");
        let entries = index["manifests"].as_array().expect("a list").clone();
        let digests = entries.iter().map(|entry| entry["digest"].as_str());
        digests.map(|d| d.expect("a text").to_owned()).collect()
    }

    fn written(&self, digest: &Digest) -> Value {
        let bytes = self.registry.manifest(digest.as_str());
        serde_json::from_slice(&bytes.expect("it is there")).expect("JSON")
    }
}

fn texts(referred: &Referred) -> Vec<String> {
    let digests = referred.manifests.iter().map(|(digest, _)| digest);
    digests.map(ToString::to_string).collect()
}

#[tokio::test]
async fn a_registry_without_the_list_gets_an_index_that_says_what_each_one_is() {
    let shelf = Shelf::new().await;
    let new = [bundle("a"), bundle("b")];
    let referred = shelf.refer(&new).await.expect("nobody is in the way");
    let outcomes = referred.manifests.iter().map(|(_, outcome)| *outcome);
    assert!(outcomes.eq([Outcome::Added, Outcome::Added]));
    assert_eq!(shelf.listed(), texts(&referred));
    let index = shelf.index().expect("it was written");
    assert_eq!(index["mediaType"], OCI_INDEX);
    for ((digest, _), bundle) in referred.manifests.iter().zip(&new) {
        let manifest = shelf.written(digest);
        assert_eq!(
            manifest["subject"]["digest"],
            shelf.image.digest.to_string()
        );
        assert_eq!(manifest["subject"]["mediaType"], OCI_MANIFEST);
        assert_eq!(manifest["subject"]["size"], 43);
        let layer = manifest["layers"][0]["digest"].as_str().expect("a digest");
        assert_eq!(layer, bundle.layer_digest().as_str());
        let entries = index["manifests"].as_array().expect("a list");
        let entry = entries.iter().find(|e| e["digest"] == digest.as_str());
        let entry = entry.expect("it is listed");
        assert_eq!(entry["artifactType"], bundle.media_type());
        assert_eq!(entry["annotations"], manifest["annotations"]);
        assert_eq!(
            entry["annotations"]["dev.sigstore.bundle.predicateType"],
            TYPE
        );
        let size = shelf.registry.manifest(digest.as_str()).map(|b| b.len());
        assert_eq!(entry["size"].as_u64(), size.map(|size| size as u64));
    }
    let (tag, digest) = referred.index.expect("clients keep it");
    let bytes = shelf.registry.manifest(&shelf.tag()).expect("it is there");
    assert_eq!((tag, digest), (shelf.tag(), Digest::of(&bytes)));

    let client = shelf.door.client();
    let layers = Layers::referring(&client, &shelf.image).await;
    let mut layers = layers.expect("an index is read");
    let mut found = Vec::new();
    while let Some(fetched) = layers.next().await {
        assert!(matches!(fetched.place, Place::Referrer(_)));
        found.push(fetched.signed.expect("it is whole").layer().to_vec());
    }
    found.sort();
    let mut wanted: Vec<_> = new.iter().map(|b| b.layer().to_vec()).collect();
    wanted.sort();
    assert_eq!(found, wanted);
}

#[tokio::test]
async fn nothing_is_published_before_all_blobs_are_there_nor_listed_before_it_is_published() {
    let shelf = Shelf::new().await;
    shelf
        .refer(&[bundle("a"), bundle("b")])
        .await
        .expect("alone");
    let seen = shelf.door.seen();
    let at = |part: &str| {
        let puts = seen.iter().enumerate();
        let puts = puts.filter(|(_, line)| line.starts_with("PUT") && line.contains(part));
        puts.map(|(at, _)| at).collect::<Vec<_>>()
    };
    let (blobs, manifests) = (at("/uploads/"), at("/manifests/sha256:"));
    let tag = at("/manifests/sha256-");
    assert_eq!((blobs.len(), manifests.len(), tag.len()), (3, 2, 1));
    assert!(blobs.iter().max() < manifests.iter().min(), "{seen:#?}");
    assert!(manifests.iter().max() < tag.iter().min(), "{seen:#?}");
}

#[tokio::test]
async fn a_first_bundle_takes_its_requests_in_as_few_rounds_as_can_be() {
    let shelf = Shelf::new().await;
    shelf.registry.put_blob(b"{}");
    let door = shelf.registry.slow_door(Duration::from_millis(60)).await;
    let mut rounds = [
        vec![
            ("HEAD", "/manifests/sha256:"),
            ("GET", "/referrers/"),
            ("GET", "/manifests/sha256-"),
            ("HEAD", "/blobs/"),
            ("POST", "/uploads/"),
        ],
        vec![("PUT", "/uploads/")],
        vec![("PUT", "/manifests/sha256:")],
        vec![("PUT", "/manifests/sha256-")],
        vec![("HEAD", "/manifests/sha256-")],
    ]
    .map(|round| {
        let hold = |(method, part)| door.hold(method, part, Moment::Before);
        round.into_iter().map(hold).collect::<Vec<_>>()
    });
    let image = door.repository().at(shelf.image.digest.clone());
    let new = [bundle("a")];
    let client = door.client();
    let rounds = async {
        for round in &mut rounds {
            // None of them may wait for the answer to another one.
            for gate in round.iter_mut() {
                gate.arrived().await;
            }
            for gate in round.drain(..) {
                gate.release();
            }
        }
    };
    let (referred, ()) = tokio::join!(soon(store::refer(&client, &image, &new)), rounds);
    referred.expect("nobody is in the way");
    // The index may be asked for again before it is written.
    let seen = door.seen();
    let count = seen.len() - door.count("HEAD", "/manifests/sha256-") + 1;
    assert_eq!(count, 9, "{seen:#?}");
}

#[tokio::test]
async fn a_registry_that_lists_referrers_gets_no_index() {
    let shelf = Shelf::new().await;
    shelf.registry.have_referrers();
    let new = [bundle("a")];
    let first = shelf.refer(&new).await.expect("nobody is in the way");
    assert_eq!(first.index, None);
    assert_eq!(shelf.registry.tags(), ["img"]);
    let before = shelf.door.count("PUT", "");
    let second = shelf.refer(&new).await.expect("nobody is in the way");
    assert_eq!(second.manifests[0].0, first.manifests[0].0);
    assert_eq!(second.manifests[0].1, Outcome::AlreadyThere);
    assert_eq!(shelf.door.count("PUT", ""), before, "nothing is new");
}

#[tokio::test]
async fn a_list_of_referrers_that_is_long_is_read_too() {
    let shelf = Shelf::new().await;
    shelf.registry.have_referrers();
    let new = [bundle("a")];
    shelf.refer(&new).await.expect("nobody is in the way");
    let digest = shelf.image.digest.to_string();
    for at in 0..200 {
        let text = format!(
            r#"{{"subject":{{"digest":"{digest}"}},"annotations":{{"a":"{}{at}"}}}}"#,
            "x".repeat(200)
        );
        shelf
            .registry
            .put_manifest("other", OCI_MANIFEST, text.as_bytes());
    }
    let again = shelf.refer(&new).await.expect("nobody is in the way");
    assert_eq!(again.manifests[0].1, Outcome::AlreadyThere);
    assert_eq!(
        shelf.door.count("GET", "/referrers/"),
        3,
        "the last one twice"
    );
}

#[tokio::test]
async fn who_says_that_it_lists_a_manifest_is_believed() {
    let shelf = Shelf::new().await;
    shelf.registry.say_subject();
    let referred = shelf.refer(&[bundle("a")]).await.expect("alone");
    assert_eq!(referred.index, None);
    assert_eq!(shelf.index(), None);
}

#[tokio::test]
async fn the_same_bundle_again_adds_nothing() {
    let shelf = Shelf::new().await;
    let first = shelf.refer(&[bundle("a"), bundle("a")]).await;
    let first = first.expect("nobody is in the way");
    assert_eq!(first.manifests[0].1, Outcome::Added);
    assert_eq!(first.manifests[1].1, Outcome::AlreadyThere);
    assert_eq!(shelf.listed().len(), 1);
    let before = shelf.door.count("PUT", "");
    let again = shelf.refer(&[bundle("a")]).await.expect("alone");
    assert_eq!(again.manifests[0].1, Outcome::AlreadyThere);
    assert_eq!(again.index, first.index);
    assert_eq!(shelf.door.count("PUT", ""), before);
    let more = shelf.refer(&[bundle("a"), bundle("b")]).await;
    let more = more.expect("nobody is in the way");
    assert_eq!(more.manifests[0].1, Outcome::AlreadyThere);
    assert_eq!(more.manifests[1].1, Outcome::Added);
    assert_eq!(shelf.listed(), texts(&more));
}

#[tokio::test]
async fn a_listed_manifest_that_is_gone_is_written_again_and_one_that_is_not_listed_is_listed() {
    let shelf = Shelf::new().await;
    let first = shelf.refer(&[bundle("a")]).await.expect("alone");
    let digest = first.manifests[0].0.clone();
    shelf.registry.remove_manifest(digest.as_str());
    let again = shelf.refer(&[bundle("a")]).await.expect("alone");
    assert_eq!(again.manifests[0].1, Outcome::Added);
    shelf.written(&digest);
    let empty = format!(r#"{{"schemaVersion":2,"mediaType":"{OCI_INDEX}","manifests":[]}}"#);
    let tag = shelf.tag();
    shelf
        .registry
        .put_manifest(&tag, OCI_INDEX, empty.as_bytes());
    let again = shelf.refer(&[bundle("a")]).await.expect("alone");
    assert_eq!(again.manifests[0].1, Outcome::Added);
    assert_eq!(shelf.listed(), [digest.to_string()]);
}

#[tokio::test]
async fn an_index_of_somebody_else_is_kept_byte_for_byte() {
    let shelf = Shelf::new().await;
    let foreign =
        r#"{ "size": 7, "digest":"sha512:ab", "mediaType":"x/y", "future":{"a":"\u003c"} }"#;
    let text = format!(
        r#"{{"manifests":[{foreign}],"schemaVersion":2,"mediaType":"{OCI_INDEX}","annotations":{{"by": "somebody"}}}}"#
    );
    let tag = shelf.tag();
    shelf
        .registry
        .put_manifest(&tag, OCI_INDEX, text.as_bytes());
    shelf.refer(&[bundle("a")]).await.expect("an index");
    let bytes = shelf.registry.manifest(&tag).expect("it is there");
    let after = String::from_utf8(bytes).expect("JSON");
    let (before, rest) = text.split_once(foreign).expect("it is in it");
    assert!(
        after.starts_with(&format!("{before}{foreign},{{")),
        "{after}"
    );
    assert!(after.ends_with(rest), "{after}");
    assert_eq!(shelf.listed().len(), 2);
}

#[tokio::test]
async fn what_is_no_index_is_named_and_never_overwritten() {
    let large = format!(r#"{{"x":"{}"}}"#, "x".repeat(4 << 20));
    let image = r#"{"schemaVersion":2,"config":{},"layers":[]}"#;
    let list = r#"{"schemaVersion":2,"manifests":[]}"#;
    let twice = r#"{"schemaVersion":2,"manifests":[],"Manifests":[]}"#;
    for (kind, text) in [
        (OCI_MANIFEST, image),
        (OCI_INDEX, image),
        (DOCKER_LIST, list),
        (OCI_INDEX, "garbage"),
        (OCI_INDEX, twice),
        (OCI_INDEX, r#"{"schemaVersion":2,"manifests":[7]}"#),
        (OCI_INDEX, &large),
    ] {
        let shelf = Shelf::new().await;
        let tag = shelf.tag();
        shelf.registry.put_manifest(&tag, kind, text.as_bytes());
        let error = shelf.refer(&[bundle("a")]).await.expect_err(kind);
        let told = error.to_string();
        assert!(told.contains(&tag), "{told}");
        match text.len() > 4 << 20 {
            true => assert!(matches!(error, Error::Registry(_)), "{error:?}"),
            false => {
                assert!(matches!(error, Error::Manifest { .. }), "{error:?}");
                assert_eq!(error.blame(), Blame::Artifact);
                assert!(error.hint().is_some_and(|hint| hint.contains(&tag)));
            }
        }
        let kept = shelf.registry.manifest(&tag).expect("it is there");
        assert!(kept == text.as_bytes());
        assert_eq!(shelf.door.count("PUT", ""), 0, "nothing is written at all");
    }
}

#[tokio::test]
async fn what_is_no_index_is_in_nobodys_way_where_the_registry_lists() {
    let shelf = Shelf::new().await;
    shelf.registry.have_referrers();
    let tag = shelf.tag();
    shelf.registry.put_manifest(&tag, OCI_INDEX, b"garbage");
    shelf.refer(&[bundle("a")]).await.expect("nobody reads it");
}

#[tokio::test]
async fn an_index_that_would_be_too_large_is_left_as_it_is() {
    let shelf = Shelf::new().await;
    let text = format!(
        r#"{{"schemaVersion":2,"mediaType":"{OCI_INDEX}","manifests":[],"x":"{}"}}"#,
        "x".repeat((4 << 20) - 200)
    );
    let tag = shelf.tag();
    shelf
        .registry
        .put_manifest(&tag, OCI_INDEX, text.as_bytes());
    let error = shelf.refer(&[bundle("a")]).await.expect_err("it is full");
    assert!(matches!(error, Error::Manifest { .. }), "{error:?}");
    assert!(shelf.registry.manifest(&tag).expect("it is there") == text.as_bytes());
}

#[tokio::test]
async fn nothing_refers_to_an_image_that_is_not_there_and_nothing_but_bundles_refers() {
    let shelf = Shelf::new().await;
    let absent = shelf.image.repository.at(Digest::of(b"absent"));
    let client = shelf.door.client();
    let error = soon(store::refer(&client, &absent, &[bundle("a")])).await;
    let error = error.expect_err("there is none");
    assert!(matches!(&error, Error::NoImage { image } if *image == absent.to_string()));
    assert_eq!(error.blame(), Blame::Artifact);
    let error = shelf.refer(&[bundle("a"), signature("b")]).await;
    let error = error.expect_err("a signature goes under a tag");
    assert!(matches!(error, Error::NoBundle { .. }), "{error:?}");
    let error = shelf.refer(&[]).await.expect_err("nothing to store");
    assert!(matches!(error, Error::Empty { .. }), "{error:?}");
    assert_eq!(shelf.door.count("PUT", ""), 0);
}

#[tokio::test]
async fn a_blob_that_the_registry_has_lost_is_uploaded_again() {
    let shelf = Shelf::new().await;
    shelf.door.forget_next_blob();
    let referred = shelf.refer(&[bundle("a")]).await.expect("it is sent again");
    assert_eq!(shelf.listed(), texts(&referred));
    assert!(shelf.door.count("PUT", "/uploads/") > 2);
}

#[tokio::test]
async fn an_index_without_our_entry_after_our_write_gets_it_again() {
    let shelf = Shelf::new().await;
    let mut back = shelf
        .door
        .hold("HEAD", "/manifests/sha256-", Moment::Before);
    let (client, image) = (shelf.door.client(), shelf.image.clone());
    let run = tokio::spawn(async move { store::refer(&client, &image, &[bundle("a")]).await });
    back.arrived().await;
    // Before or after the write: what stands there when it is looked at again is all that is known.
    let foreign = r#"{"mediaType":"x/y","size":1,"digest":"sha256:00"}"#;
    let text =
        format!(r#"{{"schemaVersion":2,"mediaType":"{OCI_INDEX}","manifests":[{foreign}]}}"#);
    let tag = shelf.tag();
    shelf
        .registry
        .put_manifest(&tag, OCI_INDEX, text.as_bytes());
    back.release();
    let referred = soon(run).await.expect("it does not panic");
    let referred = referred.expect("it is written again");
    let own = texts(&referred).remove(0);
    assert_eq!(shelf.listed(), ["sha256:00".to_owned(), own]);
}

#[tokio::test]
async fn many_writers_of_an_index_lose_nothing() {
    let shelf = Shelf::new().await;
    let mut runs = Vec::new();
    for number in 0..6 {
        let door = shelf.registry.door().await;
        let digest = shelf.image.digest.clone();
        runs.push(tokio::spawn(async move {
            let image = door.repository().at(digest);
            let new = [bundle(&format!("writer {number}"))];
            store::refer(&door.client(), &image, &new).await
        }));
    }
    let mut wanted = Vec::new();
    for run in runs {
        let referred = soon(run).await.expect("no writer panics");
        wanted.extend(texts(&referred.expect("every writer gets there")));
    }
    let mut listed = shelf.listed();
    listed.sort();
    wanted.sort();
    assert_eq!(listed, wanted);
}

#[tokio::test]
async fn an_index_that_never_stays_is_given_up_in_time() {
    let shelf = Shelf::new().await;
    shelf.registry.forget_tags();
    let patience = Duration::from_millis(300);
    let (client, new) = (shelf.door.client(), [bundle("a")]);
    let run = store::refer_within(&client, &shelf.image, &new, patience);
    let error = soon(run).await.expect_err("the index is never there");
    assert!(matches!(&error, Error::Lost { place, .. } if place.contains(&shelf.tag())));
}

#[tokio::test]
async fn who_need_not_wait_looks_back_at_once_and_leaves_the_settling_to_the_caller() {
    let shelf = Shelf::new().await;
    let (client, new) = (shelf.door.client(), [bundle("a")]);
    let early = || store::refer_early(&client, &shelf.image, &new);
    let (referred, left) = soon(early()).await.expect("nobody is in the way");
    assert!(left.is_some_and(|left| left >= Duration::from_millis(45)));
    assert_eq!(shelf.listed(), texts(&referred));
    let (again, left) = soon(early()).await.expect("nobody is in the way");
    assert_eq!((again.manifests[0].1, left), (Outcome::AlreadyThere, None));
}
