//! Manifests, blobs and referrers that come in.

use super::*;

#[tokio::test]
async fn absence_is_an_answer() {
    let server = Server::start(|_, _| refusal(404, "MANIFEST_UNKNOWN")).await;
    let (registry, repository) = (registry(""), repository(&server, "a/b"));
    let digest = Digest::of(b"x");
    assert!(
        registry
            .get_manifest(&repository, Reference::Tag("t"))
            .await
            .expect("404 is fine")
            .is_none()
    );
    assert!(
        registry
            .head_manifest(&repository, Reference::Digest(&digest))
            .await
            .expect("404 is fine")
            .is_none()
    );
    assert!(
        registry
            .referrers(&repository, &digest)
            .await
            .expect("404 is fine")
            .is_none()
    );
    assert!(
        !registry
            .blob_exists(&repository, &digest)
            .await
            .expect("404 is fine")
    );
    let error = registry
        .get_blob(&repository, &digest, 10)
        .await
        .expect_err("a blob that is named must be there");
    assert_eq!(
        (error.blame(), error.status()),
        (Blame::Artifact, Some(404))
    );
    let error = registry
        .start_upload(&repository)
        .await
        .expect_err("nothing to upload to");
    assert_eq!(error.blame(), Blame::Setting);
}

#[tokio::test]
async fn other_content_than_was_asked_for_is_refused() {
    let server = Server::start(|_, _| manifest()).await;
    let (registry, repository) = (registry(""), repository(&server, "a/b"));
    let (right, wrong) = (Digest::of(MANIFEST), Digest::of(b"other"));
    let found = registry
        .get_manifest(&repository, Reference::Digest(&right))
        .await;
    assert_eq!(
        found.expect("it is right").expect("it is there").digest,
        right
    );
    let error = registry
        .get_manifest(&repository, Reference::Digest(&wrong))
        .await
        .expect_err("it is another one");
    assert!(matches!(cause(&error), Cause::Digest { .. }), "{error:?}");
    assert_eq!(error.blame(), Blame::Outside);
    let error = registry
        .get_blob(&repository, &wrong, 100)
        .await
        .expect_err("it is another one");
    assert!(matches!(cause(&error), Cause::Digest { .. }), "{error:?}");
    assert_eq!(
        registry
            .get_blob(&repository, &right, 100)
            .await
            .expect("it is right"),
        MANIFEST
    );
}

#[tokio::test]
async fn content_that_the_registry_itself_says_is_another_is_refused() {
    let other = Digest::of(b"other").to_string();
    let server =
        Server::start(move |_, _| manifest().header("docker-content-digest", other.clone())).await;
    let error = get(&registry(""), &repository(&server, "a/b"))
        .await
        .expect_err("they contradict each other");
    assert!(matches!(cause(&error), Cause::Digest { .. }), "{error:?}");
    let digest = Digest::of(MANIFEST);
    let found = registry("")
        .head_manifest(&repository(&server, "a/b"), Reference::Digest(&digest))
        .await;
    assert!(matches!(
        cause(&found.expect_err("it is another one")),
        Cause::Digest { .. }
    ));
}

#[tokio::test]
async fn a_head_without_a_digest_is_computed_from_the_content() {
    let server = Server::start(|_, _| manifest()).await;
    let found = registry("")
        .head_manifest(&repository(&server, "a/b"), Reference::Tag("t"))
        .await;
    let head = found.expect("it is read").expect("it is there");
    assert_eq!(head.digest, Digest::of(MANIFEST));
    assert_eq!(
        (head.size, head.media_type.as_str()),
        (MANIFEST.len() as u64, MANIFEST_TYPE)
    );
    assert_eq!(
        server.lines(),
        ["HEAD /v2/a/b/manifests/t", "GET /v2/a/b/manifests/t"]
    );
}

#[tokio::test]
async fn a_head_with_a_digest_is_one_request() {
    let digest = Digest::of(MANIFEST).to_string();
    let server =
        Server::start(move |_, _| manifest().header("Docker-Content-Digest", digest.clone())).await;
    let found = registry("")
        .head_manifest(&repository(&server, "a/b"), Reference::Tag("t"))
        .await;
    let head = found.expect("it is read").expect("it is there");
    assert_eq!(
        (head.digest, head.size),
        (Digest::of(MANIFEST), MANIFEST.len() as u64)
    );
    assert_eq!(server.lines(), ["HEAD /v2/a/b/manifests/t"]);
    let accepted = server.seen()[0]
        .header("accept")
        .expect("it says what it reads")
        .to_owned();
    assert!(
        accepted.contains("image.index.v1+json") && accepted.contains("manifest.list.v2+json"),
        "{accepted}"
    );
}

#[tokio::test]
async fn manifests_and_blobs_have_limits() {
    let server = Server::start(|_, _| Reply::new(200).body(vec![b' '; (4 << 20) + 1])).await;
    let (registry, repository) = (registry(""), repository(&server, "a/b"));
    let error = get(&registry, &repository)
        .await
        .expect_err("it is too large");
    assert!(
        matches!(
            cause(&error),
            Cause::TooLarge {
                limit: 4_194_304,
                ..
            }
        ),
        "{error:?}"
    );
    assert_eq!(error.blame(), Blame::Artifact);
    let error = registry
        .get_blob(&repository, &Digest::of(b""), 1000)
        .await
        .expect_err("it is too large");
    assert!(
        matches!(cause(&error), Cause::TooLarge { limit: 1000, .. }),
        "{error:?}"
    );
}

#[tokio::test]
async fn redirects_are_followed_without_credentials() {
    let cdn = Server::start(|_, _| Reply::new(200).body("blob")).await;
    let target = format!("http://{}/cdn/x?signature=s", cdn.address);
    let server = Server::start(move |seen, _| match seen.header("authorization") {
        Some(BASIC) => Reply::new(307).header("location", target.clone()),
        _ => basic_challenge(),
    })
    .await;
    let registry = registry(&login(&server));
    let blob = registry
        .get_blob(&repository(&server, "a/b"), &Digest::of(b"blob"), 10)
        .await;
    assert_eq!(blob.expect("the other server has it"), b"blob");
    let seen = cdn.seen();
    assert_eq!(seen[0].target, "/cdn/x?signature=s");
    assert_eq!(seen[0].header("authorization"), None);
    assert_eq!(seen.len(), 1);
}

#[tokio::test]
async fn a_server_behind_a_redirect_cannot_ask_for_credentials() {
    let cdn = Server::start(|_, _| basic_challenge()).await;
    let target = format!("http://{}/x?secret=s", cdn.address);
    let server =
        Server::start(move |_, _| Reply::new(302).header("location", target.clone())).await;
    let config = format!(
        r#"{{"auths":{{"{}":{{"username":"user","password":"pass"}},"{}":{{"username":"user"}}}}}}"#,
        server.address, cdn.address
    );
    let registry = registry(&config);
    let error = registry
        .get_blob(&repository(&server, "a/b"), &Digest::of(b""), 10)
        .await
        .expect_err("401");
    assert_eq!(error.blame(), Blame::Outside);
    assert!(!chain(&error).contains("secret"), "{}", chain(&error));
    assert_eq!(
        (cdn.seen().len(), cdn.seen()[0].header("authorization")),
        (1, None)
    );
}

#[tokio::test]
async fn redirects_have_an_end() {
    let server = Server::start(|_, _| Reply::new(302).header("location", "/again")).await;
    let error = get(&registry(""), &repository(&server, "a/b"))
        .await
        .expect_err("it goes in circles");
    assert!(
        matches!(cause(&error), Cause::Redirects { .. }),
        "{error:?}"
    );
    assert_eq!(server.seen().len(), 6);
}

#[tokio::test]
async fn referrers_are_given_as_they_are_and_pages_are_joined() {
    const INDEX: &str = "application/vnd.oci.image.index.v1+json";
    let server = Server::start(|seen, _| match seen.target.as_str() {
        "/v2/a/b/page?n=2" => Reply::new(200)
            .header("content-type", INDEX)
            .body(r#"{"manifests":[{"digest":"two", "x":1e2}]}"#),
        target if target.starts_with("/v2/a/b/referrers/") => Reply::new(200)
            .header("content-type", INDEX)
            .header("link", "</v2/a/b/page?n=2>; rel=\"next\"")
            .body(r#"{"schemaVersion":2,"manifests":[{"digest":"one"}]}"#),
        target if target.starts_with("/v2/one/") => {
            Reply::new(200).header("content-type", INDEX).body(" {} ")
        }
        _ => Reply::new(200)
            .header("content-type", "text/html")
            .body("<html>"),
    })
    .await;
    let registry = registry("");
    let digest = Digest::of(b"x");
    let text = async |path: &str| {
        let found = registry
            .referrers(&repository(&server, path), &digest)
            .await
            .expect("it answers");
        found.map(|bytes| String::from_utf8(bytes).expect("it is JSON"))
    };
    assert_eq!(text("one").await.as_deref(), Some(" {} "));
    assert_eq!(text("no/api").await, None);
    let joined = r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{"digest":"one"},{"digest":"two", "x":1e2}]}"#;
    assert_eq!(text("a/b").await.as_deref(), Some(joined));
}

#[tokio::test]
async fn an_answer_with_endless_headers_is_refused_and_its_connection_closed() {
    let server = Server::start(|seen, before| match (seen.target.as_str(), before) {
        ("/v2/a/b/manifests/t", 0) => (0..12).fold(manifest(), |reply, at| {
            reply.header(&format!("x-{at}"), "v".repeat(4000))
        }),
        _ => manifest(),
    })
    .await;
    let registry = registry("");
    let repository = repository(&server, "a/b");
    let error = get(&registry, &repository)
        .await
        .expect_err("48 KB of headers");
    assert!(matches!(cause(&error), Cause::TooLarge { .. }), "{error:?}");
    get(&registry, &repository).await.expect("it is there");
    get(&registry, &repository).await.expect("it is there");
    assert_eq!(server.connections(), 2);
}
