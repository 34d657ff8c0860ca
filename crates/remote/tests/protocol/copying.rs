//! Blobs that go from one repository to another.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tekseal_remote::copy::Copied;

use super::*;

const BLOB: &[u8] = b"the content of a layer";

fn digest() -> Digest {
    Digest::of(BLOB)
}

/// One registry with both repositories, that answers a wish to mount like this.
async fn one_registry(mount: impl Fn() -> Reply + Send + Sync + 'static) -> Server {
    Server::start(move |seen, _| match seen.method.as_str() {
        "POST" if seen.target.contains("mount=") => mount(),
        "POST" => Reply::new(202).header("location", "/up/plain"),
        "HEAD" => Reply::new(404),
        "GET" => Reply::new(200).body(BLOB),
        _ => Reply::new(201),
    })
    .await
}

async fn copy(
    registry: &Registry,
    from: &Repository,
    to: &Repository,
    size: usize,
) -> Result<Copied, Error> {
    registry.copier(from, to).blob(&digest(), size as u64).await
}

#[tokio::test]
async fn a_registry_that_has_both_repositories_mounts() {
    let server = one_registry(|| Reply::new(201)).await;
    let (from, to) = (repository(&server, "a/from"), repository(&server, "a/to"));
    let done = copy(&registry(""), &from, &to, BLOB.len()).await;
    assert_eq!(done.expect("it mounts"), Copied::Mounted);
    let seen = server.seen();
    assert_eq!(server.lines(), ["POST /v2/a/to/blobs/uploads/"]);
    let query = format!("?mount={}&from=a/from", digest());
    assert!(seen[0].target.ends_with(&query), "{}", seen[0].target);
}

#[tokio::test]
async fn where_nothing_is_mounted_the_blob_is_read_and_sent_with_its_size() {
    type Answer = fn() -> Reply;
    let answers: [(&str, Answer); 4] = [
        ("/up/mount", || {
            Reply::new(202).header("location", "/up/mount")
        }),
        ("/up/plain", || refusal(403, "DENIED")),
        ("/up/plain", || refusal(405, "UNSUPPORTED")),
        ("/up/plain", || refusal(404, "NAME_UNKNOWN")),
    ];
    for (place, answer) in answers {
        let server = one_registry(answer).await;
        let (from, to) = (repository(&server, "a/from"), repository(&server, "a/to"));
        let registry = registry("");
        let copier = registry.copier(&from, &to);
        for _ in 0..2 {
            let done = copier.blob(&digest(), BLOB.len() as u64).await;
            assert_eq!(done.expect("it is sent"), Copied::Sent, "{place}");
        }
        let seen = server.seen();
        let puts: Vec<_> = seen.iter().filter(|seen| seen.method == "PUT").collect();
        assert!(puts[0].line() == format!("PUT {place}"), "{:?}", puts[0]);
        for put in &puts {
            assert_eq!(put.body, BLOB);
            assert_eq!(put.header("content-length"), Some("22"));
            assert_eq!(put.header("transfer-encoding"), None);
        }
        let mounts = seen.iter().filter(|seen| seen.target.contains("mount="));
        assert_eq!((puts.len(), mounts.count()), (2, 1), "asked once: {place}");
    }
}

#[tokio::test]
async fn another_registry_is_asked_whether_it_has_the_blob_and_shown_its_own_credentials() {
    for is_there in [true, false] {
        let source = Server::start(|seen, _| match seen.header("authorization") {
            Some(BASIC) => Reply::new(200).body(BLOB),
            _ => basic_challenge(),
        })
        .await;
        let target = Server::start(move |seen, _| match seen.method.as_str() {
            "HEAD" => Reply::new(if is_there { 200 } else { 404 }),
            "POST" => Reply::new(202).header("location", "/up/1"),
            _ => Reply::new(201),
        })
        .await;
        let (from, to) = (repository(&source, "a/from"), repository(&target, "a/to"));
        let done = copy(&registry(&login(&source)), &from, &to, BLOB.len()).await;
        let (wanted, puts) = match is_there {
            true => (Copied::AlreadyThere, 0),
            false => (Copied::Sent, 1),
        };
        assert_eq!(done.expect("it is there afterwards"), wanted);
        let seen = target.seen();
        assert!(
            seen.iter()
                .all(|seen| seen.header("authorization").is_none())
        );
        let sent = seen.iter().filter(|seen| seen.method == "PUT");
        assert_eq!(sent.count(), puts);
        assert_eq!(source.seen().is_empty(), is_there);
    }
}

#[tokio::test]
async fn a_blob_that_lies_is_never_sent_to_its_end() {
    let lies: [(&str, Reply, usize); 4] = [
        (
            "digest",
            Reply::new(200).body("the content of another"),
            BLOB.len(),
        ),
        ("bytes, wanted", Reply::new(200).body(BLOB), 21),
        ("bytes, wanted", Reply::new(200).body(BLOB), 23),
        ("not found", refusal(404, "BLOB_UNKNOWN"), BLOB.len()),
    ];
    for (wanted, reply, size) in lies {
        let source = Server::start(move |_, _| reply.clone()).await;
        let target = Server::start(|seen, _| match seen.method.as_str() {
            "HEAD" => Reply::new(404),
            "POST" => Reply::new(202).header("location", "/up/1"),
            _ => Reply::new(201),
        })
        .await;
        let (from, to) = (repository(&source, "a/from"), repository(&target, "a/to"));
        // With all patience: a lie does not pass.
        let error = copy(&patient(Duration::from_secs(60)), &from, &to, size)
            .await
            .expect_err(wanted);
        let told = chain(&error);
        assert!(told.contains(wanted), "{wanted}: {told}");
        assert!(told.contains(&source.address), "{told}");
        let blame = match wanted {
            "digest" => Blame::Outside,
            _ => Blame::Artifact,
        };
        assert_eq!(error.blame(), blame, "{told}");
        assert_eq!(source.seen().len(), 1, "asked once: {wanted}");
        let puts = target
            .seen()
            .into_iter()
            .filter(|seen| seen.method == "PUT");
        assert_eq!(puts.count(), 0, "no whole request: {wanted}");
    }
}

#[tokio::test]
async fn a_blob_whose_reading_or_sending_breaks_is_copied_anew() {
    let reads = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&reads);
    let source = Server::start(move |_, _| {
        let whole = Reply::new(200).body(BLOB);
        match counted.fetch_add(1, Ordering::Relaxed) {
            0 => whole.cut(),
            1 => Reply::new(503),
            _ => whole,
        }
    })
    .await;
    let target = Server::start(|seen, before| match seen.method.as_str() {
        "HEAD" => Reply::new(404),
        "POST" => Reply::new(202).header("location", format!("/up/{before}")),
        "PUT" if seen.line() == "PUT /up/2" => Reply::new(500),
        _ => Reply::new(201),
    })
    .await;
    let (from, to) = (repository(&source, "a/from"), repository(&target, "a/to"));
    let done = copy(&patient(Duration::from_secs(20)), &from, &to, BLOB.len()).await;
    assert_eq!(done.expect("in the end"), Copied::Sent);
    assert_eq!(reads.load(Ordering::Relaxed), 4);
    let puts: Vec<_> = target
        .lines()
        .into_iter()
        .filter(|line| line.starts_with("PUT"))
        .collect();
    assert_eq!(puts, ["PUT /up/2", "PUT /up/3"]);
}

#[tokio::test]
async fn where_a_blob_is_read_a_refusal_that_repeats_a_credential_is_not_shown() {
    let source = Server::start(|seen, _| match seen.header("authorization") {
        Some(BASIC) => {
            let body = format!(r#"{{"errors":[{{"code":"NO","message":"got {BASIC}"}}]}}"#);
            Reply::new(400).body(body)
        }
        _ => basic_challenge(),
    })
    .await;
    let target = Server::start(|seen, _| match seen.method.as_str() {
        "HEAD" => Reply::new(404),
        "POST" => Reply::new(202).header("location", "/up/1"),
        _ => Reply::new(201),
    })
    .await;
    let (from, to) = (repository(&source, "a/from"), repository(&target, "a/to"));
    let error = copy(&registry(&login(&source)), &from, &to, BLOB.len())
        .await
        .expect_err("it is refused");
    let told = chain(&error);
    assert!(told.contains("it repeats a credential"), "{told}");
    assert!(!told.contains("dXNlcjpwYXNz"), "{told}");
}
