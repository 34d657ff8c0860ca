//! What is sent to a timestamp authority, and what is taken for its answer.

use std::error::Error as _;

use tekseal_remote::timestamp::{Error, Options, TimestampAuthority};

use super::*;

const QUERY: &[u8] = &[0x30, 1, 2, 3];
const REPLY: &[u8] = &[0x30, 4, 5, 6];

async fn stamp(server: &Server, tries: u32) -> Result<Vec<u8>, Error> {
    let url = format!("http://{}/api/v1/timestamp", server.address);
    let options = Options {
        tries,
        ..Options::default()
    };
    let authority = TimestampAuthority::new(&url, &options).expect("a good URL");
    authority.timestamp(QUERY).await
}

#[tokio::test]
async fn a_query_is_sent_to_the_very_url() {
    let server = Server::start(|_, before| match before {
        0 => Reply::new(503),
        _ => Reply::new(201).body(REPLY),
    })
    .await;
    assert_eq!(stamp(&server, 2).await.expect("it answers"), REPLY);
    let seen = &server.seen()[1];
    assert_eq!(seen.line(), "POST /api/v1/timestamp");
    assert_eq!(seen.body, QUERY);
    for (name, value) in [
        ("content-type", "application/timestamp-query"),
        ("accept", "application/timestamp-reply"),
    ] {
        assert_eq!(seen.header(name), Some(value));
    }
}

#[tokio::test]
async fn what_is_no_timestamp_is_refused_by_name() {
    let large = [vec![0x30], vec![0; 128 << 10]].concat();
    for (reply, blame, why) in [
        (
            Reply::new(200),
            Blame::Outside,
            "did not answer with a timestamp",
        ),
        (
            Reply::new(200).body("<html>"),
            Blame::Outside,
            "did not answer with a timestamp",
        ),
        (
            Reply::new(201).body(large),
            Blame::Outside,
            "larger than 131072",
        ),
        (
            Reply::new(201).body(REPLY).cut(),
            Blame::Outside,
            "no complete answer",
        ),
        (
            Reply::new(400).body(r#"{"code":400,"message":"bad hash"}"#),
            Blame::Setting,
            "answered 400: bad hash",
        ),
        (Reply::new(404), Blame::Setting, "not found"),
        (
            Reply::new(308).header("location", "https://elsewhere.example/"),
            Blame::Setting,
            "refusing to follow",
        ),
    ] {
        let server = Server::start(move |_, _| reply.clone()).await;
        let error = stamp(&server, 1).await.expect_err("no timestamp");
        let source = error.source().expect("it has a reason").to_string();
        assert!(source.contains(why), "{source}");
        assert_eq!(error.blame(), blame, "{why}");
        assert_eq!(server.seen().len(), 1, "{why}");
    }
}
