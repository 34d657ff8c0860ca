//! Places that must not be connected to, and that nobody comes there.

use tekseal_remote::guard::{Guard, Reason};

use super::*;

/// A registry client that may go to `allowed` and not to `api_server`, with `user:pass` for everybody.
fn guarded(allowed: &[&str], api_server: &[&str], logins: &[&Server]) -> Registry {
    let logins: Vec<_> = logins
        .iter()
        .map(|server| format!(r#""{}":{{"auth":"dXNlcjpwYXNz"}}"#, server.address))
        .collect();
    let guard = Guard::new(allowed, api_server).expect("the entries are well formed");
    Registry::new(Options {
        guard: Some(guard),
        ..options(&format!(r#"{{"auths":{{{}}}}}"#, logins.join(",")))
    })
    .expect("the options are fine")
}

fn port(server: &Server) -> &str {
    server.address.rsplit(':').next().expect("it has a port")
}

/// Why the guard refused, also behind a token server's failure.
fn reason(error: &Error) -> Option<Reason> {
    let mut cause = cause(error);
    if let Cause::Token { source, .. } = cause {
        cause = source;
    }
    match cause {
        Cause::Guarded { source, .. } => Some(source.reason),
        _ => None,
    }
}

async fn never() -> Server {
    Server::start(|_, _| panic!("nobody may come here")).await
}

#[tokio::test]
async fn loopback_is_not_connected_to_however_it_is_written() {
    let server = never().await;
    for host in [
        "127.0.0.1",
        "127.1",
        "0177.0.0.1",
        "2130706433",
        "0x7f000001",
        "[::ffff:127.0.0.1]",
        "localhost",
        "registry.localhost",
    ] {
        let name = format!("{host}:{}/a/b", port(&server));
        let repository = Repository::parse(&name).expect("the name is well formed");
        let error = get(&guarded(&[], &[], &[]), &repository)
            .await
            .expect_err(&name);
        assert_eq!(reason(&error), Some(Reason::Loopback), "{}", chain(&error));
        assert_eq!(error.blame(), Blame::Setting);
        assert_eq!(
            error.hint().as_deref(),
            Some(
                "list the registry in tekseal.registries, which then forbids all that are not listed"
            )
        );
    }
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn a_listed_registry_is_reached_on_loopback_below_its_path_alone() {
    let server = Server::start(|_, _| manifest()).await;
    let registry = guarded(&[&format!("{}/org", server.address)], &[], &[]);
    let found = get(&registry, &repository(&server, "org/app")).await;
    assert_eq!(found.expect("it is listed"), MANIFEST);
    let before = server.seen().len();
    let error = get(&registry, &repository(&server, "organic/app"))
        .await
        .expect_err("it is not listed");
    assert_eq!(
        chain(&error),
        format!(
            "cannot read manifest t in repository {0}/organic/app: refusing to connect to {0}/organic/app: \
             it is not listed in tekseal.registries",
            server.address
        )
    );
    assert_eq!(
        (error.blame(), server.seen().len()),
        (Blame::Setting, before)
    );
}

#[tokio::test]
async fn what_is_not_listed_is_shown_to_no_token_server_either() {
    let server = Server::start(|seen, _| match seen.header("authorization") {
        _ if seen.line() == "GET /token" => token("t"),
        Some(_) => manifest(),
        None => bearer_challenge(seen),
    })
    .await;
    let listed = format!("{}/org", server.address);
    let registry = guarded(&[&listed], &[], &[&server]);
    get(&registry, &repository(&server, "org/app"))
        .await
        .expect("it is listed");
    let before = server.seen().len();
    get(&registry, &repository(&server, "other/app"))
        .await
        .expect_err("it is not listed");
    assert_eq!(server.seen().len(), before);
}

#[tokio::test]
async fn being_listed_does_not_open_the_api_server() {
    let server = never().await;
    let registry = guarded(&[&server.address], &[&server.address], &[]);
    let error = get(&registry, &repository(&server, "a/b"))
        .await
        .expect_err("it is the API server");
    assert_eq!(reason(&error), Some(Reason::ApiServer));
    assert_eq!(error.blame(), Blame::Setting);
    assert_eq!(server.connections(), 0);
    // Also under a name, which is judged when it is resolved.
    let named = format!("localhost:{}", port(&server));
    let registry = guarded(&[&named], &[&server.address], &[]);
    let repository = Repository::parse(&format!("{named}/a/b")).expect("the name is well formed");
    let error = get(&registry, &repository)
        .await
        .expect_err("it is the API server");
    assert_eq!(reason(&error), Some(Reason::ApiServer), "{}", chain(&error));
    assert!(
        chain(&error).ends_with("which is the API server of the cluster"),
        "{}",
        chain(&error)
    );
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn a_redirect_to_a_forbidden_place_is_not_followed() {
    let inside = never().await;
    for (target, expected) in [
        (
            format!("http://{}/secret", inside.address),
            Reason::Loopback,
        ),
        (
            format!("http://localhost:{}/secret", port(&inside)),
            Reason::Loopback,
        ),
        ("http://169.254.169.254/latest".to_owned(), Reason::Metadata),
        (
            "http://metadata.google.internal/".to_owned(),
            Reason::Metadata,
        ),
        ("http://0:1/".to_owned(), Reason::Unspecified),
        ("http://10.96.0.1:443/api".to_owned(), Reason::ApiServer),
    ] {
        let location = target.clone();
        let server =
            Server::start(move |_, _| Reply::new(307).header("location", location.clone())).await;
        let registry = guarded(&[&server.address], &["10.96.0.1:443"], &[]);
        let digest = Digest::of(b"blob");
        let error = registry
            .get_blob(&repository(&server, "a/b"), &digest, 100)
            .await
            .expect_err(&target);
        assert_eq!(
            reason(&error),
            Some(expected),
            "{target}: {}",
            chain(&error)
        );
        assert_eq!(error.blame(), Blame::Setting);
    }
    assert_eq!(inside.connections(), 0);
}

#[tokio::test]
async fn a_blob_is_not_sent_to_a_forbidden_place() {
    let inside = never().await;
    let target = format!("http://{}/up", inside.address);
    let server =
        Server::start(move |_, _| Reply::new(202).header("location", target.clone())).await;
    let registry = guarded(&[&server.address], &[], &[]);
    let repository = repository(&server, "a/b");
    let upload = registry
        .start_upload(&repository)
        .await
        .expect("that is only a promise");
    let error = registry
        .finish_upload(&repository, upload, &Digest::of(b"blob"), "blob")
        .await
        .expect_err("it leads inside");
    assert_eq!(reason(&error), Some(Reason::Loopback), "{}", chain(&error));
    assert_eq!(inside.connections(), 0);
}

#[tokio::test]
async fn no_password_goes_to_a_token_server_in_a_forbidden_place() {
    let inside = never().await;
    let realm = format!("http://{}/token", inside.address);
    let server = Server::start(move |_, _| {
        let challenge = format!("Bearer realm=\"{realm}\",service=\"s\"");
        refusal(401, "UNAUTHORIZED").header("www-authenticate", challenge)
    })
    .await;
    let repository = repository(&server, "a/b");
    let registry = guarded(&[&server.address], &[], &[&server]);
    let error = get(&registry, &repository)
        .await
        .expect_err("it leads inside");
    assert_eq!(reason(&error), Some(Reason::Loopback), "{}", chain(&error));
    assert_eq!(
        error.hint().as_deref(),
        Some("list the registry in tekseal.registries, which then forbids all that are not listed")
    );
    assert_eq!(inside.connections(), 0);
}

#[tokio::test]
async fn listed_servers_may_send_to_one_another() {
    let storage = Server::start(|_, _| Reply::new(200).body("blob")).await;
    let target = format!("http://{}/x", storage.address);
    let server =
        Server::start(move |_, _| Reply::new(307).header("location", target.clone())).await;
    let registry = guarded(&[&server.address, &storage.address], &[], &[]);
    let found = registry
        .get_blob(&repository(&server, "a/b"), &Digest::of(b"blob"), 100)
        .await;
    assert_eq!(found.expect("both are listed"), b"blob");
}
