//! The registry held against what the tests of the project expect of it.

use super::*;
use crate::http;
use crate::peers::fixtures;
use crate::run::Run;

#[test]
fn an_image_comes_back_as_it_was_pushed_and_can_be_deleted() {
    let registry = Registry::start();
    let image = registry.push_image("a/b", "v1");
    let manifest = registry
        .manifest("a/b", "v1")
        .expect("the image was pushed");
    assert_eq!(
        (manifest.digest.as_str(), manifest.media_type.as_str()),
        (image.digest.as_str(), MANIFEST)
    );
    let layer = manifest.json()["layers"][0]["digest"]
        .as_str()
        .expect("an image has a layer")
        .to_owned();
    assert_eq!(
        registry.blob("a/b", &layer).map(|bytes| digest(&bytes)),
        Some(layer)
    );
    assert_eq!(registry.tags("a/b"), ["v1"]);
    registry.delete_manifest("a/b", &image.digest);
    assert!(registry.manifest("a/b", "v1").is_none());
}

#[test]
fn an_index_names_its_two_images() {
    let registry = Registry::start();
    let index = registry.push_index("multi", "v1");
    let json = registry
        .manifest("multi", &index.image.digest)
        .expect("the index was pushed")
        .json();
    let named: Vec<_> = json["manifests"]
        .as_array()
        .expect("an index lists manifests")
        .iter()
        .map(|m| m["digest"].as_str())
        .collect();
    assert_eq!(
        named,
        index
            .children
            .iter()
            .map(|child| Some(child.digest.as_str()))
            .collect::<Vec<_>>()
    );
    assert_ne!(named[0], named[1]);
}

#[test]
fn a_recorded_repository_is_replayed_with_its_tags() {
    let registry = Registry::start();
    registry.replay(
        &fixtures().join("cosign-samples/sign-v2-recursive"),
        "again",
    );
    let tags = fs::read(fixtures().join("cosign-samples/sign-v2-recursive/tags.json"))
        .expect("the fixture is there");
    let tags: BTreeMap<String, String> =
        serde_json::from_slice(&tags).expect("the fixture is JSON");
    assert!(!tags.is_empty());
    for (tag, digest) in tags {
        assert_eq!(
            registry.manifest("again", &tag).map(|m| m.digest),
            Some(digest)
        );
    }
}

#[test]
fn the_front_asks_for_a_login_and_the_back_door_does_not() {
    let registry = Registry::setup().with_basic_auth().start();
    registry.push_image("a", "v1");
    let ask = Request::new("GET", "/v2/a/manifests/v1").header("Accept", MANIFEST);
    let refused = request(registry.address(), &ask).expect("it answers");
    assert_eq!(refused.status, 401);
    assert!(
        http::find(&refused.headers, "www-authenticate")
            .is_some_and(|challenge| challenge.starts_with("Basic "))
    );
    // The same login as in docker_config().
    let config = fs::read(
        registry
            .docker_config(registry.address())
            .join("config.json"),
    )
    .expect("it was just written");
    let config: Value = serde_json::from_slice(&config).expect("it is JSON");
    let auth = config["auths"][registry.address()]["auth"]
        .as_str()
        .expect("there is a login");
    let let_in = request(
        registry.address(),
        &ask.header("Authorization", &format!("Basic {auth}")),
    )
    .expect("it answers");
    assert_eq!(let_in.status, 200);
}

#[test]
fn the_tls_front_has_a_certificate_of_its_authority_and_wants_one_when_told() {
    let registry = Registry::setup().with_client_certificate().start();
    let made = registry.certificates().expect("it speaks TLS");
    let connect = |client: bool| {
        let run = Run::new("openssl").args([
            "s_client",
            "-verify_return_error",
            "-verify_ip",
            "127.0.0.1",
            "-ign_eof",
            "-connect",
            registry.address(),
            "-CAfile",
        ]);
        let run = run.arg(made.ca()).stdin("GET /v2/ HTTP/1.0\r\n\r\n");
        if !client {
            return run.run();
        }
        run.arg("-cert")
            .arg(made.client().0)
            .arg("-key")
            .arg(made.client().1)
            .run()
    };
    assert!(connect(true).ok().stdout.contains("200 OK"));
    assert!(!connect(false).stdout.contains("200 OK"));
}

#[test]
fn the_server_ends_with_its_value() {
    let registry = Registry::start();
    let address = registry.address().to_owned();
    drop(registry);
    assert!(request(&address, &Request::new("GET", "/v2/")).is_err());
}

#[test]
fn a_frozen_registry_is_silent_and_a_killed_one_comes_back_with_what_it_had() {
    let mut registry = Registry::setup().with_lasting_port().start();
    let digest = registry.push_image("a/b", "v1").digest;
    let address = registry.address().to_owned();

    registry.freeze();
    let stream = std::net::TcpStream::connect(&address).expect("the kernel connects");
    let short = std::time::Duration::from_millis(200);
    stream.set_read_timeout(Some(short)).expect("it is no zero");
    std::io::Write::write_all(&mut &stream, b"GET /v2/ HTTP/1.1\r\nHost: a\r\n\r\n")
        .expect("the kernel takes it");
    let silent = std::io::Read::read(&mut &stream, &mut [0]);
    assert!(silent.is_err(), "it answered");
    registry.thaw();
    assert!(registry.manifest("a/b", &digest).is_some());

    registry.kill();
    let refused = || std::net::TcpStream::connect(&address).is_err();
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while !refused() {
        assert!(std::time::Instant::now() < deadline, "it is still there");
    }
    registry.restart();
    assert_eq!(registry.address(), address);
    assert!(registry.manifest("a/b", &digest).is_some());
    // One that is dropped while it is frozen ends too, or this test would not.
    registry.freeze();
}
