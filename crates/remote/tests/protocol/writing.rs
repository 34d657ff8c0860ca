//! Uploads and manifests that go out.

use std::time::Duration;

use super::*;

async fn upload(registry: &Registry, repository: &Repository) -> Result<(), Error> {
    let upload = registry.start_upload(repository).await?;
    registry
        .finish_upload(repository, upload, &Digest::of(b"blob"), "blob")
        .await
}

#[tokio::test]
async fn a_blob_is_post_and_put_on_one_connection() {
    let server = Server::start(|seen, _| match seen.method.as_str() {
        "POST" => Reply::new(202).header("location", "/up/1?state=s"),
        // Some registries leave out where it is now.
        _ => Reply::new(201),
    })
    .await;
    upload(&registry(""), &repository(&server, "a/b"))
        .await
        .expect("it is stored");
    let seen = server.seen();
    assert_eq!(server.lines(), ["POST /v2/a/b/blobs/uploads/", "PUT /up/1"]);
    assert_eq!(seen[0].header("content-length"), Some("0"));
    let digest = Digest::of(b"blob");
    assert_eq!(
        seen[1].target,
        format!("/up/1?state=s&digest=sha256%3A{}", digest.hex())
    );
    assert_eq!(seen[1].body, b"blob");
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn a_lost_upload_is_started_again() {
    let troubles = [
        refusal(404, "BLOB_UPLOAD_UNKNOWN"),
        refusal(400, "DIGEST_INVALID"),
        Reply::new(500),
        Reply::silence(),
    ];
    for trouble in troubles {
        let script = trouble.clone();
        let server = Server::start(move |seen, before| match seen.method.as_str() {
            "POST" => Reply::new(202).header("location", format!("/up/{before}")),
            _ if seen.line() == "PUT /up/0" => script.clone(),
            _ => Reply::new(201),
        })
        .await;
        let done = upload(
            &patient(Duration::from_secs(20)),
            &repository(&server, "a/b"),
        )
        .await;
        done.unwrap_or_else(|error| panic!("{trouble:?}: {}", chain(&error)));
        let post = "POST /v2/a/b/blobs/uploads/";
        assert_eq!(
            server.lines(),
            [post, "PUT /up/0", post, "PUT /up/1"],
            "{trouble:?}"
        );
    }
}

#[tokio::test]
async fn an_upload_elsewhere_gets_the_blob_and_no_credentials() {
    let other = Server::start(|_, _| Reply::new(201)).await;
    let target = format!("http://user:pass@{}/up", other.address);
    let server = Server::start(move |seen, _| match seen.header("authorization") {
        Some(BASIC) => Reply::new(202).header("location", target.clone()),
        _ => basic_challenge(),
    })
    .await;
    upload(&registry(&login(&server)), &repository(&server, "a/b"))
        .await
        .expect("it is stored");
    let seen = other.seen();
    assert_eq!((seen.len(), seen[0].header("authorization")), (1, None));
    assert_eq!(seen[0].body, b"blob");
}

#[tokio::test]
async fn an_upload_without_a_place_fails() {
    let server = Server::start(|_, _| Reply::new(202)).await;
    let error = upload(&registry(""), &repository(&server, "a/b"))
        .await
        .expect_err("there is no place");
    assert!(matches!(cause(&error), Cause::Location { .. }), "{error:?}");
    assert_eq!(error.blame(), Blame::Outside);
}

#[tokio::test]
async fn a_manifest_is_sent_byte_for_byte_and_what_was_stored_is_compared() {
    for (stored, is_right) in [
        (None, true),
        (Some(Digest::of(MANIFEST)), true),
        (Some(Digest::of(b"x")), false),
    ] {
        let server = Server::start(move |_, _| match &stored {
            Some(digest) => Reply::new(201).header("docker-content-digest", digest.to_string()),
            None => Reply::new(201),
        })
        .await;
        let (registry, repository) = (registry(""), repository(&server, "a/b"));
        let done = registry
            .put_manifest(
                &repository,
                Reference::Tag("t.sig"),
                MANIFEST_TYPE,
                MANIFEST,
            )
            .await;
        assert_eq!(done.is_ok(), is_right);
        let seen = &server.seen()[0];
        assert_eq!(seen.line(), "PUT /v2/a/b/manifests/t.sig");
        assert_eq!(
            (seen.body.as_slice(), seen.header("content-type")),
            (MANIFEST, Some(MANIFEST_TYPE))
        );
    }
}

#[tokio::test]
async fn a_manifest_whose_blobs_are_missing_says_so() {
    let server = Server::start(|_, _| refusal(400, "MANIFEST_BLOB_UNKNOWN")).await;
    let (registry, repository) = (registry(""), repository(&server, "a/b"));
    let done = registry
        .put_manifest(&repository, Reference::Tag("t"), MANIFEST_TYPE, MANIFEST)
        .await;
    let error = done.expect_err("it is refused");
    assert!(error.has_code("MANIFEST_BLOB_UNKNOWN") && !error.has_code("DENIED"));
    assert!(
        chain(&error).ends_with("answered 400: MANIFEST_BLOB_UNKNOWN the message"),
        "{}",
        chain(&error)
    );
}
