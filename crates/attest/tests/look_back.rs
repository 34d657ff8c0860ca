//! What is called stored before it has settled, and is taken away by another writer: a real docker-registry, and a writer that does not look.

use tekseal_attest::{Item, LookBack, Looked, Lost, Place};
use tekseal_core::{Digest, DigestRef, Payload, Repository};
use tekseal_harness::Registry as Server;
use tekseal_remote::Registry;
use tekseal_remote::registry::{Access, Options};
use tekseal_signing::{Signer, random};

/// A signature that was called stored, and what is left to do.
struct Stored {
    server: Server,
    tag: String,
    look_back: LookBack,
}

const REPOSITORY: &str = "team/app";

async fn stored() -> Stored {
    let server = Server::start();
    let digest: Digest = server
        .push_image(REPOSITORY, "1")
        .digest
        .parse()
        .expect("it is a digest");
    let name = format!("{}/{REPOSITORY}", server.address());
    let image = DigestRef {
        repository: Repository::parse(&name).expect("it is a repository"),
        digest,
    };
    let registry = Registry::new(Options {
        access: Access::PullPush,
        retry_for: std::time::Duration::from_secs(1),
        ..Options::default()
    });
    let registry = registry.expect("the options are fine");
    let signer = Signer::generate(&mut random::system).expect("a key");
    let payload = Payload::simple_signing(&image);
    let signed = tekseal_harness::at_once(signer.sign_payload(&payload)).expect("it signs");
    let items = vec![Item::new(signed, &payload)];
    let early = tekseal_attest::store_early(&registry, items, signer.verifying().clone(), None);
    let (places, look_back) = early.await.expect("nobody is in the way");
    let Place::Tag { tag, added, .. } = &places[0].place else {
        panic!("it has a place: {places:?}");
    };
    assert!(added);
    Stored {
        tag: tag.clone(),
        look_back: look_back.expect("it was just written"),
        server,
    }
}

#[tokio::test]
async fn what_stayed_is_not_written_again() {
    let Stored {
        server,
        tag,
        look_back,
    } = stored().await;
    let before = server.manifest(REPOSITORY, &tag).expect("it is there");
    let looked = look_back.look().await.expect("the registry answers");
    assert_eq!(looked, Looked::AsWritten);
    let after = server.manifest(REPOSITORY, &tag).expect("it is there");
    assert_eq!(after.digest, before.digest);
}

#[tokio::test]
async fn what_another_writer_took_away_is_stored_beside_what_he_wrote() {
    let Stored {
        server,
        tag,
        look_back,
    } = stored().await;
    let ours = server.manifest(REPOSITORY, &tag).expect("it is there");
    let mut theirs = ours.json();
    let layer = server.push_blob(REPOSITORY, b"of another signer");
    theirs["layers"][0]["digest"] = layer.clone().into();
    theirs["layers"][0]["size"] = 17.into();
    let bytes = theirs.to_string();
    server.put_manifest(REPOSITORY, &tag, &ours.media_type, bytes.as_bytes());
    let looked = look_back.look().await.expect("the registry answers");
    assert_eq!(looked, Looked::StoredAgain);
    let both = server
        .manifest(REPOSITORY, &tag)
        .expect("it is there")
        .json();
    let layers: Vec<_> = both["layers"]
        .as_array()
        .expect("it has layers")
        .iter()
        .map(|layer| layer["digest"].clone())
        .collect();
    assert_eq!(
        layers,
        [layer.into(), ours.json()["layers"][0]["digest"].clone()]
    );
}

#[tokio::test]
async fn what_cannot_be_looked_at_is_an_error() {
    let Stored {
        server, look_back, ..
    } = stored().await;
    drop(server);
    let failure = look_back.look().await.expect_err("there is no registry");
    assert!(failure.place().contains(REPOSITORY), "{failure:?}");
}

#[tokio::test]
async fn what_is_gone_is_lost_where_only_its_digest_was_kept() {
    for is_there in [true, false] {
        let Stored {
            server,
            tag,
            mut look_back,
        } = stored().await;
        assert!(look_back.bytes() > 0);
        look_back.keep_digests();
        assert_eq!(look_back.bytes(), 0);
        if !is_there {
            let ours = server.manifest(REPOSITORY, &tag).expect("it is there");
            server.delete_manifest(REPOSITORY, &ours.digest);
        }
        let looked = look_back.look().await;
        match is_there {
            true => assert!(matches!(looked, Ok(Looked::AsWritten)), "{looked:?}"),
            false => assert!(matches!(looked, Err(Lost::Gone(_))), "{looked:?}"),
        }
    }
}
