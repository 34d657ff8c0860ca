//! What is tried again, when, and what is not.

use std::time::{Duration, Instant};

use super::*;

#[tokio::test]
async fn trouble_that_passes_is_waited_for() {
    for trouble in [
        Reply::new(500),
        Reply::new(503),
        Reply::new(429),
        Reply::new(408),
        Reply::silence(),
        manifest().cut(),
    ] {
        let script = trouble.clone();
        let server = Server::start(move |_, before| {
            if before < 2 {
                script.clone()
            } else {
                manifest()
            }
        })
        .await;
        let found = get(
            &patient(Duration::from_secs(20)),
            &repository(&server, "a/b"),
        )
        .await;
        assert_eq!(
            found.expect("the third attempt succeeds"),
            MANIFEST,
            "{trouble:?}"
        );
        assert_eq!(server.seen().len(), 3, "{trouble:?}");
    }
}

#[tokio::test]
async fn trouble_that_stays_is_the_outsides() {
    for trouble in [refusal(500, "UNKNOWN"), Reply::silence(), manifest().cut()] {
        let script = trouble.clone();
        let server = Server::start(move |_, _| script.clone()).await;
        let found = get(
            &patient(Duration::from_millis(200)),
            &repository(&server, "a/b"),
        )
        .await;
        assert_eq!(
            found.expect_err("it never succeeds").blame(),
            Blame::Outside,
            "{trouble:?}"
        );
        assert!(server.seen().len() > 1, "{trouble:?}");
    }
}

#[tokio::test]
async fn a_registry_that_is_not_there_is_the_outsides() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback has free ports");
    let address = listener.local_addr().expect("it is bound");
    drop(listener);
    let repository = Repository::parse(&format!("{address}/a/b")).expect("the name is well formed");
    let error = get(&patient(Duration::from_millis(50)), &repository)
        .await
        .expect_err("nobody listens");
    assert_eq!(error.blame(), Blame::Outside);
    assert!(chain(&error).contains("refused"), "{}", chain(&error));
}

#[tokio::test]
async fn retry_after_is_honoured() {
    let server = Server::start(|_, before| {
        if before == 0 {
            Reply::new(429).header("retry-after", "1")
        } else {
            manifest()
        }
    });
    let server = server.await;
    let start = Instant::now();
    get(
        &patient(Duration::from_secs(20)),
        &repository(&server, "a/b"),
    )
    .await
    .expect("it passes");
    assert!(
        start.elapsed() >= Duration::from_secs(1),
        "{:?}",
        start.elapsed()
    );
    assert_eq!(server.seen().len(), 2);
}

#[tokio::test]
async fn retry_after_does_not_stretch_the_budget() {
    let server = Server::start(|_, _| Reply::new(503).header("retry-after", "3600")).await;
    let start = Instant::now();
    let found = get(
        &patient(Duration::from_millis(200)),
        &repository(&server, "a/b"),
    )
    .await;
    assert_eq!(found.expect_err("it never succeeds").status(), Some(503));
    assert!(
        start.elapsed() < Duration::from_secs(60),
        "{:?}",
        start.elapsed()
    );
    assert_eq!(server.seen().len(), 2);
}

#[tokio::test]
async fn refusals_are_final() {
    for status in [400, 409, 418] {
        let server = Server::start(move |_, _| refusal(status, "NO")).await;
        let found = get(
            &patient(Duration::from_secs(20)),
            &repository(&server, "a/b"),
        )
        .await;
        let error = found.expect_err("it is refused");
        assert_eq!(
            (error.status(), error.blame()),
            (Some(status), Blame::Outside)
        );
        assert_eq!(server.seen().len(), 1);
    }
}

#[tokio::test]
async fn trouble_of_the_token_server_is_waited_for() {
    let server =
        Server::start(
            |seen, before| match (seen.line().as_str(), seen.header("authorization")) {
                ("GET /token", _) if before == 0 => Reply::new(502),
                ("GET /token", _) => token("T"),
                (_, Some("Bearer T")) => manifest(),
                _ => bearer_challenge(seen),
            },
        )
        .await;
    let options = Options {
        retry_for: Duration::from_secs(20),
        ..options(&login(&server))
    };
    let registry = Registry::new(options).expect("the options are fine");
    get(&registry, &repository(&server, "a/b"))
        .await
        .expect("the second token request succeeds");
}
