//! What is sent to a transparency log, and what is taken for its answer.

use std::error::Error as _;
use std::time::{Duration, Instant};

use tekseal_remote::log::{Added, EntryUuid, Error, LogVersion, Options, Query, Rekor};
use tekseal_remote::service::Failed;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;

const PROPOSED: &[u8] = br#"{"apiVersion":"0.0.1","kind":"hashedrekord","spec":{}}"#;
const ANSWER: &[u8] = br#"{"whatever":"it is"}"#;
const ENTRIES: &str = "/api/v1/log/entries";

fn uuid() -> String {
    format!("00000000000000f1{}", "0a".repeat(32))
}

/// One try, so that failures are quick.
fn hasty() -> Options {
    Options {
        tries: 1,
        timeout: Duration::from_secs(20),
        ..Options::default()
    }
}

fn log(server: &Server, version: LogVersion, options: &Options) -> Rekor {
    Rekor::new(&format!("http://{}", server.address), version, options).expect("a good URL")
}

async fn add(server: &Server, version: LogVersion) -> Result<Added, Error> {
    log(server, version, &hasty()).add(PROPOSED).await
}

/// The error with all its sources, as it is printed.
fn told(error: &Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        text = format!("{text}: {source}");
        next = source.source();
    }
    assert!(
        text.len() < 1000 && !text.contains(char::is_control),
        "{text:?}"
    );
    text
}

fn conflict(location: &str) -> Reply {
    Reply::new(409)
        .header("location", location)
        .body(r#"{"code":409,"message":"an equivalent entry already exists"}"#)
}

#[tokio::test]
async fn an_entry_is_sent_as_it_is_and_the_answer_is_handed_on_as_it_is() {
    for (version, path) in [
        (LogVersion::V1, ENTRIES),
        (LogVersion::V2, "/api/v2/log/entries"),
    ] {
        let server = Server::start(|_, _| Reply::new(201).body(ANSWER)).await;
        let added = add(&server, version).await.expect("it is taken");
        assert_eq!((added.answer.as_slice(), added.existed), (ANSWER, false));
        let seen = &server.seen()[0];
        assert_eq!(seen.line(), format!("POST {path}"));
        assert_eq!(seen.body, PROPOSED);
        for (name, value) in [
            ("content-type", "application/json"),
            ("accept", "application/json"),
        ] {
            assert_eq!(seen.header(name), Some(value));
        }
        let agent = seen.header("user-agent").expect("it is told");
        assert!(agent.starts_with("tekseal/"), "{agent}");
    }
}

#[tokio::test]
async fn the_url_of_a_log_may_have_a_path() {
    let server = Server::start(|_, _| Reply::new(201).body(ANSWER)).await;
    let url = format!("http://{}/team/log/", server.address);
    let log = Rekor::new(&url, LogVersion::V1, &hasty()).expect("a good URL");
    log.add(PROPOSED).await.expect("it is taken");
    assert_eq!(server.lines(), [format!("POST /team/log{ENTRIES}")]);
}

#[tokio::test]
async fn an_entry_that_is_there_is_asked_for() {
    let location = |server: &str, form: &str| match form {
        "absolute" => format!("http://{server}{ENTRIES}/{}", uuid()),
        "short" => format!("{ENTRIES}/{}", "0a".repeat(32)),
        "elsewhere below" => format!("/inner{ENTRIES}/{}", uuid()),
        _ => format!("{ENTRIES}/{}", uuid()),
    };
    for form in ["a path", "absolute", "short", "elsewhere below"] {
        let server = Server::start(move |seen, _| match seen.method.as_str() {
            "POST" => {
                let host = seen.header("host").expect("it is told");
                conflict(&location(host, form))
            }
            _ => Reply::new(200).body(ANSWER),
        })
        .await;
        let added = add(&server, LogVersion::V1).await.expect("it is there");
        assert_eq!((added.answer.as_slice(), added.existed), (ANSWER, true));
        let uuid = match form {
            "short" => "0a".repeat(32),
            _ => uuid(),
        };
        assert_eq!(server.lines()[1], format!("GET {ENTRIES}/{uuid}"), "{form}");
    }
}

#[tokio::test]
async fn an_entry_that_is_not_in_the_tree_yet_is_waited_for() {
    let server = Server::start(|seen, before| match (seen.method.as_str(), before) {
        ("POST", _) => conflict(&format!("{ENTRIES}/{}", uuid())),
        (_, 0) => Reply::new(404),
        _ => Reply::new(200).body(ANSWER),
    })
    .await;
    let log = log(&server, LogVersion::V1, &Options::default());
    assert!(log.add(PROPOSED).await.expect("it comes").existed);
    assert_eq!(server.seen().len(), 3);
}

#[tokio::test]
async fn a_conflict_without_an_entry_is_refused() {
    let server = Server::start(|seen, _| match seen.method.as_str() {
        "POST" => conflict(&format!("{ENTRIES}/{}", uuid())),
        _ => Reply::new(404),
    })
    .await;
    let error = add(&server, LogVersion::V1).await.expect_err("not there");
    assert_eq!((error.blame(), error.status()), (Blame::Outside, Some(404)));
    assert!(
        told(&error).contains(&format!("has this entry as {}, and cannot give it", uuid())),
        "{error}"
    );
}

#[tokio::test]
async fn a_conflict_that_names_no_entry_of_this_log_is_refused_and_nothing_else_is_asked() {
    let elsewhere = Server::start(|_, _| Reply::new(200).body(ANSWER)).await;
    let foreign = format!("http://{}{ENTRIES}/{}", elsewhere.address, uuid());
    for (location, why) in [
        (foreign.as_str(), "refusing to follow"),
        (
            &format!("https://log.example{ENTRIES}/{}", uuid()),
            "refusing to follow",
        ),
        ("", "without a usable Location"),
        ("/api/v1/log/entries/", "without a usable Location"),
        (
            "/api/v1/log/entries/../../secret",
            "without a usable Location",
        ),
        (
            &format!("/elsewhere/{}", uuid()),
            "without a usable Location",
        ),
        ("file:///etc/passwd", "without a usable Location"),
    ] {
        let reply = conflict(location);
        let server = Server::start(move |_, _| reply.clone()).await;
        let error = add(&server, LogVersion::V1).await.expect_err("no entry");
        assert!(told(&error).contains(why), "{location}: {}", told(&error));
        assert_eq!(server.seen().len(), 1, "{location}");
    }
    assert!(elsewhere.seen().is_empty());
}

#[tokio::test]
async fn a_conflict_in_a_log_of_the_second_version_may_tell_the_index() {
    for (message, wanted) in [
        (
            "an equivalent entry already exists in the transparency log with index 17",
            Some(17),
        ),
        ("an equivalent entry already exists", None),
        ("with index -1", None),
        (" with index 18446744073709551616", None),
    ] {
        let body = format!(r#"{{"code":6,"message":"{message}","details":[]}}"#);
        let server = Server::start(move |_, _| Reply::new(409).body(body.clone())).await;
        let error = add(&server, LogVersion::V2).await.expect_err("a conflict");
        let Error::AlreadyLogged { index, .. } = error else {
            panic!("{error}");
        };
        assert_eq!(index, wanted, "{message}");
        assert_eq!(server.seen().len(), 1);
    }
}

#[tokio::test]
async fn trouble_that_passes_is_waited_for_four_times_at_the_most() {
    for trouble in [
        Reply::new(503),
        Reply::new(429),
        Reply::silence(),
        Reply::new(201).body(ANSWER).cut(),
    ] {
        let script = trouble.clone();
        let server = Server::start(move |_, before| match before {
            0 | 1 => script.clone(),
            _ => Reply::new(201).body(ANSWER),
        })
        .await;
        let stays = Server::start(move |_, _| trouble.clone()).await;
        let options = Options::default();
        let passes = log(&server, LogVersion::V2, &options);
        let log = log(&stays, LogVersion::V2, &options);
        let (passed, stayed) = tokio::join!(passes.add(PROPOSED), log.add(PROPOSED));
        assert_eq!(passed.expect("it passes").answer, ANSWER);
        let error = stayed.expect_err("it stays");
        assert_eq!(error.blame(), Blame::Outside, "{}", told(&error));
        assert_eq!((server.seen().len(), stays.seen().len()), (3, 4));
    }
}

#[tokio::test]
async fn refusals_are_final_and_told_in_the_words_of_the_log() {
    for (status, blame) in [
        (400, Blame::Setting),
        (403, Blame::Setting),
        (404, Blame::Setting),
        (413, Blame::Setting),
    ] {
        let server = Server::start(move |_, _| {
            Reply::new(status)
                .body(r#"{"code":1,"message":"error processing\u0007 entry: bad signature"}"#)
        })
        .await;
        let log = log(&server, LogVersion::V1, &Options::default());
        let error = log.add(PROPOSED).await.expect_err("it is refused");
        assert_eq!((error.status(), error.blame()), (Some(status), blame));
        assert!(
            told(&error).ends_with(": error processing entry: bad signature"),
            "{}",
            told(&error)
        );
        assert_eq!(server.seen().len(), 1);
    }
}

#[tokio::test]
async fn what_is_no_answer_of_a_log_is_refused_by_name() {
    let page = "<html><script>x</script>\u{1b}[2J".repeat(10_000);
    for (reply, blame, why) in [
        (
            Reply::new(201).body(vec![b'x'; (1 << 20) + 1]),
            Blame::Outside,
            "is larger than 1048576 bytes",
        ),
        (
            Reply::new(502).body(page.clone()),
            Blame::Outside,
            "answered 502",
        ),
        (Reply::new(400).body(page), Blame::Setting, "answered 400"),
        (
            Reply::new(201).body(ANSWER).cut(),
            Blame::Outside,
            "no complete answer",
        ),
        (
            Reply::new(201)
                .header("x-long", "x".repeat(40_000))
                .body(ANSWER),
            Blame::Outside,
            "is larger than 32768 bytes",
        ),
    ] {
        for version in [LogVersion::V1, LogVersion::V2] {
            let reply = reply.clone();
            let server = Server::start(move |_, _| reply.clone()).await;
            let error = add(&server, version).await.expect_err("no answer");
            assert_eq!(error.blame(), blame, "{why}");
            let told = told(&error);
            assert!(told.contains(why) && !told.contains("script"), "{told}");
        }
    }
}

#[tokio::test]
async fn a_log_that_never_answers_is_not_waited_for_longer_than_is_said() {
    let server = Server::start(|_, _| Reply::never()).await;
    let options = Options {
        timeout: Duration::from_millis(200),
        tries: 2,
        ..Options::default()
    };
    let start = Instant::now();
    let log = log(&server, LogVersion::V2, &options);
    let error = log.add(PROPOSED).await.expect_err("it never answers");
    assert_eq!(error.blame(), Blame::Outside, "{}", told(&error));
    assert!(
        start.elapsed() < Duration::from_secs(10),
        "{:?}",
        start.elapsed()
    );
    assert_eq!(server.seen().len(), 2);
}

#[tokio::test]
async fn nobody_is_followed_to_another_place() {
    let elsewhere = Server::start(|_, _| Reply::new(201).body(ANSWER)).await;
    let address = elsewhere.address.clone();
    let server = Server::start(move |seen, before| {
        let target = match before {
            0 => format!("http://{address}{}", seen.target),
            // Not even at home is anything written a second time.
            _ => format!("{}?again", seen.target),
        };
        Reply::new(307).header("location", target)
    })
    .await;
    for _ in 0..2 {
        let error = add(&server, LogVersion::V1).await.expect_err("sent away");
        let Error::Add { source, .. } = &error else {
            panic!("{error}");
        };
        assert!(matches!(**source, Failed::Elsewhere { .. }), "{source}");
        assert_eq!(error.blame(), Blame::Setting);
        assert!(error.hint().is_some());
    }
    let log = log(&server, LogVersion::V1, &hasty());
    assert!(log.public_key().await.is_err());
    assert!(elsewhere.seen().is_empty());
}

#[tokio::test]
async fn entries_are_asked_for_by_their_names_and_by_their_places() {
    let server = Server::start(|seen, _| match seen.target.as_str() {
        "/api/v1/log/entries?logIndex=7" => Reply::new(200).body(ANSWER),
        target if target.ends_with(&uuid()) => Reply::new(200).body("another"),
        _ => Reply::new(404),
    })
    .await;
    let log = log(&server, LogVersion::V1, &hasty());
    let named: EntryUuid = uuid().parse().expect("a good name");
    assert_eq!(log.entry_at(7).await.expect("it is there"), ANSWER);
    assert_eq!(log.entry(&named).await.expect("it is there"), b"another");
    let error = log.entry_at(8).await.expect_err("it is not there");
    assert_eq!(error.blame(), Blame::Artifact, "{}", told(&error));
}

#[tokio::test]
async fn an_index_is_asked_as_rekor_cli_asks_it() {
    let found = format!(r#"["{0}","{1}","{0}"]"#, uuid(), "0b".repeat(32));
    let server = Server::start(move |_, _| Reply::new(200).body(found.clone())).await;
    let log = log(&server, LogVersion::V1, &hasty());
    let query = Query {
        hash: Some("sha256:0a".to_owned()),
        email: Some("me@example.com".to_owned()),
        public_key: Some("PEM".to_owned()),
    };
    let found = log.search(&[query]).await.expect("it answers");
    let found: Vec<_> = found.iter().map(EntryUuid::as_str).collect();
    assert_eq!(found, [uuid().as_str(), &"0b".repeat(32)]);
    let seen = &server.seen()[0];
    assert_eq!(seen.line(), "POST /api/v1/index/retrieve");
    assert_eq!(
        String::from_utf8_lossy(&seen.body),
        r#"{"email":"me@example.com","hash":"sha256:0a","operator":"or","publicKey":{"content":"UEVN","format":"x509"}}"#
    );
}

#[tokio::test]
async fn the_answers_of_an_index_have_a_size_together() {
    // Two of them are as many bytes as are read, and none is too large by itself.
    let half = format!("[\"{}\"{}]", uuid(), " ".repeat((2 << 20) - 84));
    assert_eq!(half.len(), 2 << 20);
    let server = Server::start(move |_, _| Reply::new(200).body(half.clone())).await;
    let log = log(&server, LogVersion::V1, &hasty());
    let queries = vec![Query::default(); 3];
    let found = log.search(&queries[..2]).await.expect("it is small enough");
    assert_eq!(found.len(), 1, "each once");
    let error = log.search(&queries).await.expect_err("it is too much");
    assert!(told(&error).contains("is larger than 0 bytes"), "{error:?}");
    assert_eq!(error.blame(), Blame::Outside);
    assert_eq!(server.seen().len(), 5);
    assert!(log.search(&[]).await.expect("nobody is asked").is_empty());
}

/// What comes byte by byte, or by way of others, takes no longer in all than one answer may.
#[tokio::test]
async fn a_whole_answer_is_waited_for_as_long_as_is_said() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await;
    let listener = listener.expect("loopback has free ports");
    let address = listener.local_addr().expect("it is bound");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let head = b"HTTP/1.1 201 Created\r\ncontent-length: 1000\r\n\r\n";
                // The whole request is one segment.
                let mut is_there = stream.read(&mut [0; 4096]).await.is_ok();
                is_there = is_there && stream.write_all(head).await.is_ok();
                while is_there {
                    tokio::time::sleep(Duration::from_millis(200)).await;
                    is_there = stream.write_all(b" ").await.is_ok();
                }
            });
        }
    });
    let options = Options {
        tries: 1,
        timeout: Duration::from_secs(3),
        ..Options::default()
    };
    let log = Rekor::new(&format!("http://{address}"), LogVersion::V1, &options);
    let started = Instant::now();
    let error = log.expect("a good URL").add(PROPOSED).await;
    let (took, error) = (started.elapsed(), error.expect_err("it never ends"));
    assert_eq!(error.blame(), Blame::Outside, "{}", told(&error));
    assert!((3..5).contains(&took.as_secs()), "{took:?}");
}

#[tokio::test]
async fn files_are_looked_for_in_two_places_and_whole_where_a_part_is_gone() {
    let server = Server::start(|seen, _| match seen.target.as_str() {
        "/checkpoint" => Reply::new(200).body("the checkpoint"),
        "/tile/0/x001/234.p/3" | "/tile/entries/000" => Reply::new(200).body(vec![7; 96]),
        "/tile/1/000" => Reply::new(200).body(vec![9; 8192]),
        "/tile/2/000.p/9" => Reply::new(200).body(vec![9; 100]),
        "/tile/3/000.p/1" => Reply::new(200).body(vec![9; 8193]),
        _ => Reply::new(404),
    })
    .await;
    let log = log(&server, LogVersion::V2, &hasty());
    let tiles = log.tiles().await.expect("there is a checkpoint");
    assert_eq!(tiles.checkpoint(), "the checkpoint");
    assert_eq!(tiles.tile(0, 1234, 3).await.expect("it is there"), [7; 96]);
    assert_eq!(tiles.tile(1, 0, 2).await.expect("the whole is"), [9; 64]);
    assert_eq!(tiles.entries(0, 17).await.expect("the whole is"), [7; 96]);
    for (level, width, why) in [
        (2, 9, "did not answer with a tile of 9 hashes"),
        (3, 1, "is larger than 8192 bytes"),
        (4, 256, "not found"),
    ] {
        let error = tiles.tile(level, 0, width).await.expect_err("no tile");
        assert!(told(&error).contains(why), "{}", told(&error));
    }
    let lines = server.lines();
    assert_eq!(lines[..2], ["GET /api/v2/checkpoint", "GET /checkpoint"]);
    assert_eq!(lines[3..5], ["GET /tile/1/000.p/2", "GET /tile/1/000"]);
    assert_eq!(lines.last().map(String::as_str), Some("GET /tile/4/000"));
}

#[tokio::test]
async fn the_key_is_read_from_logs_of_the_first_version() {
    let server = Server::start(|seen, before| match (seen.line().as_str(), before) {
        ("GET /api/v1/log/publicKey", 0) => Reply::new(302).header("location", "/moved"),
        ("GET /moved", _) => Reply::new(200).body("PEM"),
        ("GET /api/v1/log/publicKey", 1) => Reply::new(200).body(vec![b'x'; 100_000]),
        _ => Reply::new(404),
    })
    .await;
    let first = log(&server, LogVersion::V1, &hasty());
    assert_eq!(first.public_key().await.expect("it is there"), b"PEM");
    let error = first.public_key().await.expect_err("no key is so large");
    assert!(told(&error).contains("larger than 65536"), "{error}");
    let error = first.public_key().await.expect_err("it is not there");
    assert_eq!(error.blame(), Blame::Artifact);
    let second = log(&server, LogVersion::V2, &hasty());
    let error = second.public_key().await.expect_err("there is no call");
    assert_eq!(error.blame(), Blame::Setting);
    assert!(told(&error).contains("API version 2"), "{error}");
}
