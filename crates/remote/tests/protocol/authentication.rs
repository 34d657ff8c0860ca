//! Challenges, tokens and passwords.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::*;

#[tokio::test]
async fn one_challenge_and_one_token_serve_concurrent_requests() {
    let server =
        Server::start(
            |seen, _| match (seen.line().as_str(), seen.header("authorization")) {
                ("GET /token", _) => token("T"),
                (_, Some("Bearer T")) if seen.method == "POST" => {
                    Reply::new(202).header("location", "/up/1")
                }
                (_, Some("Bearer T")) => manifest(),
                _ => bearer_challenge(seen),
            },
        )
        .await;
    let registry = registry(&login(&server));
    let repository = repository(&server, "a/b");
    let (old, one, two) = tokio::join!(
        registry.get_manifest(&repository, Reference::Tag("t")),
        registry.start_upload(&repository),
        registry.start_upload(&repository),
    );
    assert_eq!(
        old.expect("it is there").expect("it is there").bytes,
        MANIFEST
    );
    one.expect("the upload starts");
    two.expect("the upload starts");

    let seen = server.seen();
    assert_eq!(seen.len(), 5, "{:?}", server.lines());
    assert_eq!(
        seen.iter()
            .filter(|seen| seen.header("authorization").is_none())
            .count(),
        1
    );
    let tokens: Vec<_> = seen
        .iter()
        .filter(|seen| seen.line() == "GET /token")
        .collect();
    assert_eq!(tokens.len(), 1);
    assert_eq!(
        tokens[0].target,
        "/token?service=svc&scope=repository%3Aa%2Fb%3Apull%2Cpush"
    );
    assert_eq!(tokens[0].header("authorization"), Some(BASIC));
    let used = registry.credential_used(repository.registry());
    assert_eq!(used, Some(format!("key {:?} in the-file", server.address)));
}

#[tokio::test]
async fn a_reader_asks_for_pull_alone_and_needs_no_credentials_for_public_content() {
    let server =
        Server::start(
            |seen, _| match (seen.line().as_str(), seen.header("authorization")) {
                ("GET /token", None) => Reply::new(200).body(r#"{"access_token":"T"}"#),
                (_, Some("Bearer T")) => manifest(),
                _ => bearer_challenge(seen),
            },
        )
        .await;
    let registry = Registry::new(Options {
        access: Access::Pull,
        ..options("")
    })
    .expect("the options are fine");
    get(&registry, &repository(&server, "a/b"))
        .await
        .expect("it is public");
    assert_eq!(
        server.seen()[1].target,
        "/token?service=svc&scope=repository%3Aa%2Fb%3Apull"
    );
    assert_eq!(registry.credential_used(&server.address), None);
}

#[tokio::test]
async fn a_second_repository_needs_no_challenge_but_its_own_token() {
    let server =
        Server::start(
            |seen, _| match (seen.line().as_str(), seen.header("authorization")) {
                ("GET /token", _) => token(if seen.target.contains("c%2Fd") {
                    "CD"
                } else {
                    "AB"
                }),
                ("GET /v2/a/b/manifests/t", Some("Bearer AB"))
                | ("GET /v2/c/d/manifests/t", Some("Bearer CD")) => manifest(),
                _ => bearer_challenge(seen),
            },
        )
        .await;
    let registry = registry(&login(&server));
    get(&registry, &repository(&server, "a/b"))
        .await
        .expect("the token fits");
    get(&registry, &repository(&server, "c/d"))
        .await
        .expect("the token fits");
    assert_eq!(
        server.lines(),
        [
            "GET /v2/a/b/manifests/t",
            "GET /token",
            "GET /v2/a/b/manifests/t",
            "GET /token",
            "GET /v2/c/d/manifests/t"
        ]
    );
    assert!(
        !server.seen()[3].target.contains("a%2Fb"),
        "the other repository's scope is not asked for"
    );
}

#[tokio::test]
async fn basic_is_sent_unasked_after_the_first_challenge() {
    let server = Server::start(|seen, _| match seen.header("authorization") {
        Some(BASIC) => manifest(),
        _ => basic_challenge(),
    })
    .await;
    let registry = registry(&login(&server));
    for path in ["a/b", "a/b", "c/d"] {
        get(&registry, &repository(&server, path))
            .await
            .expect("the password is right");
    }
    assert_eq!(server.seen().len(), 4, "{:?}", server.lines());
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn whoever_shares_connections_shows_only_credentials_of_his_own() {
    let server = Server::start(|seen, _| match seen.header("authorization") {
        Some(BASIC) => manifest(),
        _ => basic_challenge(),
    })
    .await;
    let image = repository(&server, "a/b");
    let ours = registry(&login(&server));
    get(&ours, &image).await.expect("the password is right");
    let theirs = ours.with_credentials(Credentials::default());
    let error = get(&theirs, &image).await.expect_err("it has none");
    assert_eq!(error.status(), Some(401));
    assert_eq!(theirs.credential_used(&server.address), None);
    get(&ours, &image).await.expect("the password is right");
    let shown: Vec<_> = server
        .seen()
        .iter()
        .map(|seen| seen.header("authorization").is_some())
        .collect();
    assert_eq!(shown, [false, true, false, true]);
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn an_identity_token_is_exchanged() {
    let server =
        Server::start(
            |seen, _| match (seen.line().as_str(), seen.header("authorization")) {
                ("POST /token", None) => {
                    Reply::new(200).body(r#"{"access_token":"T","expires_in":60}"#)
                }
                (_, Some("Bearer T")) => manifest(),
                _ => bearer_challenge(seen),
            },
        )
        .await;
    let config = format!(
        r#"{{"auths":{{"{}":{{"identitytoken":"id&1"}}}}}}"#,
        server.address
    );
    get(&registry(&config), &repository(&server, "a/b"))
        .await
        .expect("the token is exchanged");
    let asked = String::from_utf8(server.seen()[1].body.clone()).expect("a form is ASCII");
    assert_eq!(
        asked,
        "grant_type=refresh_token&client_id=tekseal&refresh_token=id%261&service=svc&scope=repository%3Aa%2Fb%3Apull%2Cpush"
    );
    assert_eq!(
        server.seen()[1].header("content-type"),
        Some("application/x-www-form-urlencoded")
    );
}

#[tokio::test]
async fn an_identity_token_is_a_password_where_nothing_is_exchanged() {
    let server =
        Server::start(
            |seen, _| match (seen.line().as_str(), seen.header("authorization")) {
                ("POST /token", _) => Reply::new(404),
                // `user:id`.
                ("GET /token", Some("Basic dXNlcjppZA==")) => token("T"),
                (_, Some("Bearer T")) => manifest(),
                _ => bearer_challenge(seen),
            },
        )
        .await;
    let entry = r#"{"username":"user","identitytoken":"id"}"#;
    let config = format!(r#"{{"auths":{{"{}":{entry}}}}}"#, server.address);
    get(&registry(&config), &repository(&server, "a/b"))
        .await
        .expect("the token is taken as a password");
}

#[tokio::test]
async fn a_registry_token_is_shown_as_it_is() {
    let server = Server::start(|seen, _| match seen.header("authorization") {
        Some("Bearer ready") => manifest(),
        _ => bearer_challenge(seen),
    })
    .await;
    let config = format!(
        r#"{{"auths":{{"{}":{{"registrytoken":"ready"}}}}}}"#,
        server.address
    );
    get(&registry(&config), &repository(&server, "a/b"))
        .await
        .expect("the token is shown");
    assert_eq!(server.seen().len(), 2);
}

#[tokio::test]
async fn a_token_that_is_no_longer_taken_is_renewed_once() {
    let tokens = AtomicUsize::new(0);
    let server = Server::start(move |seen, before| {
        match (seen.line().as_str(), seen.header("authorization")) {
            ("GET /token", _) => token(&format!("T{}", tokens.fetch_add(1, Ordering::Relaxed))),
            (_, Some("Bearer T0")) if before < 2 => manifest(),
            (_, Some("Bearer T1")) => manifest(),
            _ => bearer_challenge(seen),
        }
    })
    .await;
    let registry = registry(&login(&server));
    let repository = repository(&server, "a/b");
    get(&registry, &repository)
        .await
        .expect("the first token fits");
    get(&registry, &repository)
        .await
        .expect("the second token fits");
    let manifest = "GET /v2/a/b/manifests/t";
    assert_eq!(
        server.lines(),
        [
            manifest,
            "GET /token",
            manifest,
            manifest,
            "GET /token",
            manifest
        ]
    );
}

#[tokio::test]
async fn a_token_whose_time_is_over_is_renewed_without_being_refused() {
    let server =
        Server::start(
            |seen, _| match (seen.line().as_str(), seen.header("authorization")) {
                // Less than the least life is not believed.
                ("GET /token", _) => Reply::new(200).body(r#"{"token":"T","expires_in":1}"#),
                (_, Some("Bearer T")) => manifest(),
                _ => bearer_challenge(seen),
            },
        )
        .await;
    let registry = registry(&login(&server));
    let repository = repository(&server, "a/b");
    get(&registry, &repository).await.expect("the token fits");
    get(&registry, &repository).await.expect("the token fits");
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(51)).await;
    tokio::time::resume();
    get(&registry, &repository).await.expect("the token fits");
    let manifest = "GET /v2/a/b/manifests/t";
    assert_eq!(
        server.lines(),
        [
            manifest,
            "GET /token",
            manifest,
            manifest,
            "GET /token",
            manifest
        ]
    );
}

#[tokio::test]
async fn a_wrong_password_is_a_setting_and_the_error_names_the_entry() {
    let server = Server::start(|_, _| basic_challenge()).await;
    let registry = registry(&login(&server));
    let error = get(&registry, &repository(&server, "a/b"))
        .await
        .expect_err("the password is wrong");
    assert_eq!(error.blame(), Blame::Setting);
    assert_eq!(error.status(), Some(401));
    let expected = format!(
        "does not accept key {:?} in the-file: UNAUTHORIZED the message",
        server.address
    );
    assert!(chain(&error).contains(&expected), "{}", chain(&error));
    assert!(!chain(&error).contains("pass"), "{}", chain(&error));
    assert!(!format!("{error:?} {registry:?}").contains("dXNlcjpwYXNz"));
    assert_eq!(server.seen().len(), 2);
}

#[tokio::test]
async fn a_password_that_the_token_server_refuses_is_a_setting() {
    let server = Server::start(|seen, _| match seen.line().as_str() {
        "GET /token" => refusal(401, "NOPE"),
        _ => bearer_challenge(seen),
    })
    .await;
    let error = get(&registry(&login(&server)), &repository(&server, "a/b"))
        .await
        .expect_err("it is refused");
    assert_eq!(error.blame(), Blame::Setting);
    assert!(
        chain(&error).contains("in the-file: NOPE"),
        "{}",
        chain(&error)
    );
    assert_eq!(server.seen().len(), 2);
}

#[tokio::test]
async fn credentials_that_a_server_repeats_are_in_no_error() {
    // The registry alone; the token server; the registry, of a token; the registry that knows the password of the token server.
    for place in ["basic", "token server", "bearer", "password"] {
        let server =
            Server::start(move |seen, _| {
                let repeat =
                    |status| {
                        let sent = seen.header("authorization").unwrap_or_default();
                        Reply::new(status).body(format!(
                    r#"{{"errors":[{{"code":"X","message":"you sent {sent} that is {}"}}]}}"#,
                    if place == "password" { "correct-horse" } else { "wrong" },
                ))
                    };
                match (seen.line().as_str(), seen.header("authorization"), place) {
                    ("GET /token", _, "token server") => repeat(401),
                    ("GET /token", ..) => token("the-token"),
                    (_, None, "basic") => basic_challenge(),
                    (_, None, _) => bearer_challenge(seen),
                    (_, Some(_), "bearer") => repeat(403),
                    (_, Some(_), _) => repeat(400),
                }
            })
            .await;
        let config = format!(
            r#"{{"auths":{{"{}":{{"username":"user","password":"correct-horse"}}}}}}"#,
            server.address
        );
        let error = get(&registry(&config), &repository(&server, "a/b"))
            .await
            .expect_err("it is refused");
        let said = format!("{} {error:?}", chain(&error));
        assert!(
            chain(&error).contains(": X (not shown: it repeats a credential)"),
            "{place}: {said}"
        );
        // `user:correct-horse`
        for secret in ["correct-horse", "dXNlcjpjb3JyZWN0LWhvcnNl", "the-token"] {
            assert!(!said.contains(secret), "{place}: {said}");
        }
    }
}

#[tokio::test]
async fn missing_credentials_are_a_setting_and_the_hint_tells_of_helpers() {
    let server = Server::start(|_, _| basic_challenge()).await;
    let repository = repository(&server, "a/b");
    let error = get(&registry(""), &repository)
        .await
        .expect_err("nobody is let in");
    assert_eq!(error.blame(), Blame::Setting);
    assert!(
        matches!(cause(&error), Cause::NoCredentials { .. }),
        "{error:?}"
    );
    assert!(
        error
            .hint()
            .is_some_and(|hint| hint.contains("\"auths\" entry for 127.0.0.1")),
        "{:?}",
        error.hint()
    );
    let helper = format!(r#"{{"credHelpers":{{"{}":"ecr-login"}}}}"#, server.address);
    let error = get(&registry(&helper), &repository)
        .await
        .expect_err("nobody is let in");
    assert!(
        error
            .hint()
            .is_some_and(|hint| hint.contains("helpers are not run")),
        "{:?}",
        error.hint()
    );
    assert_eq!(server.seen().len(), 2);
}

#[tokio::test]
async fn what_is_denied_is_a_setting_and_is_not_tried_again() {
    let server = Server::start(|seen, _| match seen.header("authorization") {
        Some(BASIC) => refusal(403, "DENIED"),
        _ => basic_challenge(),
    })
    .await;
    let options = Options {
        retry_for: Duration::from_secs(20),
        ..options(&login(&server))
    };
    let registry = Registry::new(options).expect("the options are fine");
    let error = registry
        .start_upload(&repository(&server, "a/b"))
        .await
        .expect_err("it is denied");
    assert_eq!((error.blame(), error.status()), (Blame::Setting, Some(403)));
    assert!(error.has_code("DENIED"));
    assert!(
        chain(&error).contains("is denied to key"),
        "{}",
        chain(&error)
    );
    assert_eq!(server.seen().len(), 2);
}

#[tokio::test]
async fn credentials_of_the_path_go_first_and_those_of_the_host_follow() {
    for status in [401, 403] {
        let server = Server::start(move |seen, _| match seen.header("authorization") {
            Some(BASIC) => manifest(),
            Some(_) if status == 403 => refusal(403, "DENIED"),
            _ => basic_challenge(),
        })
        .await;
        let host = &server.address;
        let config = format!(
            r#"{{"auths":{{"{host}":{{"username":"user","password":"pass"}},"{host}/a":{{"username":"team"}}}}}}"#
        );
        let registry = registry(&config);
        get(&registry, &repository(&server, "a/b"))
            .await
            .expect("the host's credentials are right");
        let users: Vec<_> = server
            .seen()
            .iter()
            .map(|seen| seen.header("authorization").map(str::to_owned))
            .collect();
        // `team:`.
        assert_eq!(
            users,
            [
                None,
                Some("Basic dGVhbTo=".to_owned()),
                Some(BASIC.to_owned())
            ]
        );
        assert_eq!(
            registry.credential_used(host),
            Some(format!("key {host:?} in the-file"))
        );
    }
}

#[tokio::test]
async fn no_password_goes_to_a_foreign_token_server_without_tls() {
    let server = Server::start(|_, _| {
        Reply::new(401).header(
            "www-authenticate",
            "Bearer realm=\"http://u:p@evil.example/token?x=y\"",
        )
    })
    .await;
    let error = get(&registry(&login(&server)), &repository(&server, "a/b"))
        .await
        .expect_err("it is refused");
    assert_eq!(error.blame(), Blame::Setting);
    assert!(
        chain(&error).contains("refusing to ask http://evil.example/token for a token"),
        "{}",
        chain(&error)
    );
}

#[tokio::test]
async fn an_answer_without_a_token_is_not_quoted() {
    for body in [
        r#"{"token":["secret"]}"#,
        "secret",
        "{}",
        r#"{"token":"se\ncret"}"#,
    ] {
        let server = Server::start(move |seen, _| match seen.line().as_str() {
            "GET /token" => Reply::new(200).body(body),
            _ => bearer_challenge(seen),
        })
        .await;
        let error = get(&registry(""), &repository(&server, "a/b"))
            .await
            .expect_err("there is no token");
        assert_eq!(error.blame(), Blame::Outside);
        assert!(
            chain(&error).contains("did not answer with a token"),
            "{}",
            chain(&error)
        );
        assert!(!chain(&error).contains("secret"), "{}", chain(&error));
    }
}

#[tokio::test]
async fn a_token_that_no_registry_would_take_is_refused() {
    for (length, limit) in [(20_000, 16 << 10), (100_000, 64 << 10)] {
        let server = Server::start(move |seen, _| {
            match (seen.line().as_str(), seen.header("authorization")) {
                ("GET /token", _) => token(&"t".repeat(length)),
                (_, Some(_)) => manifest(),
                _ => bearer_challenge(seen),
            }
        })
        .await;
        let got = get(&registry(&login(&server)), &repository(&server, "a/b")).await;
        let error = got.expect_err("the token is too long");
        let told = chain(&error);
        assert!(told.contains(&limit.to_string()), "{told}");
        let lines = server.lines();
        assert_eq!(lines.len(), 2, "{lines:?}");
    }
}

#[tokio::test]
async fn a_challenge_that_is_too_long_to_be_kept_counts_as_none() {
    let server = Server::start(|seen, _| {
        let host = seen.header("host").expect("HTTP/1.1 has it");
        let path = "x".repeat(5000);
        let challenge = format!("Bearer realm=\"http://{host}/{path}\",service=\"svc\"");
        refusal(401, "UNAUTHORIZED").header("www-authenticate", challenge)
    })
    .await;
    let got = get(&registry(&login(&server)), &repository(&server, "a/b")).await;
    let error = got.expect_err("nothing says where tokens are");
    assert!(
        matches!(cause(&error), Cause::Unauthorized { .. }),
        "{error:?}"
    );
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn tokens_are_kept_for_the_repositories_used_last() {
    let server =
        Server::start(
            |seen, _| match (seen.line().as_str(), seen.header("authorization")) {
                ("GET /token", _) => token("T"),
                (_, Some("Bearer T")) => manifest(),
                _ => bearer_challenge(seen),
            },
        )
        .await;
    let registry = registry(&login(&server));
    let tokens = || {
        let seen = server.seen();
        seen.iter()
            .filter(|seen| seen.line() == "GET /token")
            .count()
    };
    let names: Vec<String> = (0..20).map(|at| format!("a/r{at}")).collect();
    for name in &names {
        get(&registry, &repository(&server, name))
            .await
            .expect("it is there");
    }
    assert_eq!(tokens(), 20);
    get(&registry, &repository(&server, "a/r19"))
        .await
        .expect("it is there");
    assert_eq!(tokens(), 20, "what was used last is known");
    get(&registry, &repository(&server, "a/r0"))
        .await
        .expect("it is there");
    assert_eq!(tokens(), 21, "what was used long ago is not");
}
