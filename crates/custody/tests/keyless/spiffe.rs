//! Tokens of a SPIFFE agent, and what an agent may say instead.

use std::io;
use std::time::Instant;

use tekseal_core::Blame;
use tekseal_custody::keyless::Error;
use tekseal_custody::token::{self, Provider};
use tekseal_custody::{VaultSettings, spiffe};
use tekseal_harness::Proxy;
use tekseal_signing::key_ref::{KeyRef, KmsRef};

use super::agent::{Agent, Answer, Say};
use super::*;

const ID: &str = "spiffe://example.test/signer";

fn claims() -> Value {
    // The certifier certifies ServiceAccounts alone.
    let mut claims = service_account_claims("team", "builder");
    claims["sub"] = ID.into();
    claims
}

/// With one claim changed, or none where it is null.
fn token_with(name: &str, value: Value) -> String {
    let mut claims = claims();
    match value.is_null() {
        true => drop(
            claims
                .as_object_mut()
                .and_then(|claims| claims.remove(name)),
        ),
        false => claims[name] = value,
    }
    unsigned_token(&claims)
}

fn settings(tries: u32, vault: VaultSettings) -> Settings {
    Settings {
        options: Options {
            timeout: Duration::from_secs(2),
            tries,
            ..Options::default()
        },
        vault,
        ..Settings::default()
    }
}

/// The name in the certificate that is had with the token of the agent at this address.
async fn named(address: &str, tries: u32) -> Result<String, Error> {
    let certifier = Certifier::honest();
    let address = OsString::from(address);
    let variables = move |name: &str| (name == spiffe::SOCKET_VARIABLE).then(|| address.clone());
    let settings = settings(tries, VaultSettings::default());
    let context = Context::with_variables(settings, Arc::new(variables));
    let fulcio = Fulcio::new(&certifier.url(), &context, None).expect("a good URL");
    let keyless = Keyless::new(Source::Provider(Provider::Spiffe), fulcio, context, now);
    let signer = keyless.signer().await?;
    let certificate = signer.certificate().expect("it has one");
    Ok(certificate.identities()[0].clone())
}

/// Who must act, and the whole text of the failure, in which there is no token.
fn story(error: &Error) -> (Blame, String) {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    assert!(!text.contains("eyJ"), "{text}");
    (error.blame(), text)
}

async fn refused(agent: Agent) -> (Blame, String) {
    let error = named(&agent.address(), 1).await;
    story(&error.expect_err("it was to be refused"))
}

#[tokio::test]
async fn an_agent_is_asked_as_the_workload_api_has_it() {
    let token = unsigned_token(&claims());
    let other = (
        "spiffe://example.test/other",
        &*token_with("sub", json!("spiffe://example.test/other")),
    );
    let agent = Agent::answering(Answer::of(&[(ID, &token), other]));
    let path = agent.socket().display().to_string();
    // A volume is a folder with the socket in it, whatever its name is.
    let folder = agent.folder().display().to_string();
    for address in [agent.address(), path, folder] {
        assert_eq!(named(&address, 1).await.expect("good"), NAME);
    }
    let other = std::os::unix::net::UnixListener::bind(agent.folder().join("other.sock"));
    drop(other.expect("the folder is ours"));
    let error = named(&agent.folder().display().to_string(), 1).await;
    let (blame, said) = story(&error.expect_err("it may be either"));
    assert_eq!(blame, Blame::Setting);
    assert!(
        said.ends_with(" has 2 sockets, and must have one"),
        "{said}"
    );
    let seen = agent.seen();
    assert_eq!(seen.len(), 3);
    let (path, headers, body) = &seen[0];
    assert_eq!(path, "/SpiffeWorkloadAPI/FetchJWTSVID");
    assert_eq!(headers["workload.spiffe.io"], "true");
    assert_eq!(headers["content-type"], "application/grpc");
    assert_eq!(headers["te"], "trailers");
    assert_eq!(body, b"\0\0\0\0\x0a\x0a\x08sigstore");
}

#[tokio::test]
async fn an_entry_that_is_about_to_come_is_waited_for() {
    let good = Answer::of(&[(ID, &unsigned_token(&claims()))]);
    let agent = Agent::start(move |number| match number {
        0 => Say::Answer(Answer::refusal(7, "no identity issued")),
        _ => Say::Answer(good.clone()),
    });
    let began = Instant::now();
    assert_eq!(named(&agent.address(), 2).await.expect("good"), NAME);
    assert!(began.elapsed() >= Duration::from_secs(4));
}

#[tokio::test]
async fn what_an_agent_refuses_is_said_and_who_must_act() {
    let agent = Agent::answering(Answer::refusal(7, "no identity issued"));
    let error = named(&agent.address(), 1).await.expect_err("refused");
    let (blame, said) = story(&error);
    assert_eq!(blame, Blame::Setting);
    assert!(
        said.ends_with(" has no identity for this process: PermissionDenied: no identity issued"),
        "{said}"
    );
    let hint = error.hint().expect("what to do");
    assert!(hint.contains("registration entry"), "{hint}");
    for (code, message, who, wanted) in [
        (
            14,
            "server%20is%20away%0a",
            Blame::Outside,
            "refused a token: Unavailable: server is away",
        ),
        (12, "", Blame::Setting, "refused a token: Unimplemented"),
        (
            3,
            "x",
            Blame::Setting,
            "refused a token: InvalidArgument: x",
        ),
        (99, "", Blame::Outside, "a code that gRPC does not have"),
    ] {
        // In the first list of headers, and in one behind a message.
        let first = Answer::refusal(code, message);
        let mut last = Answer::message(b"");
        last.trailers = Some(first.headers[1..].to_vec());
        for answer in [first, last] {
            let (blame, said) = refused(Agent::answering(answer)).await;
            assert_eq!(blame, who, "{said}");
            assert!(said.contains(wanted), "{said}");
        }
    }
}

#[tokio::test]
async fn what_is_no_answer_of_the_workload_api_is_named() {
    let good = || Answer::of(&[(ID, &unsigned_token(&claims()))]);
    let with = |change: &dyn Fn(&mut Answer)| {
        let mut answer = good();
        change(&mut answer);
        Say::Answer(answer)
    };
    let cases = [
        (with(&|a| a.status = 404), "status 404 of HTTP"),
        (
            with(&|a| a.headers[0].1 = "text/html".to_owned()),
            "something that is not gRPC",
        ),
        (with(&|a| a.headers.clear()), "something that is not gRPC"),
        (
            with(&|a| a.trailers = None),
            "an answer without grpc-status",
        ),
        (
            with(&|a| a.trailers = Some(vec![("grpc-status", "-1".to_owned())])),
            "a grpc-status that is none",
        ),
        (with(&|a| a.body[0] = 1), "a compressed message"),
        (
            with(&|a| a.body.extend(good().body)),
            "of another length than it says, or several",
        ),
        (with(&|a| a.body.truncate(3)), "an answer without a message"),
        (
            with(&|a| a.body = vec![0; 300 * 1024]),
            "more than 262144 bytes",
        ),
        (
            with(&|a| a.headers.push(("x-large", "x".repeat(64 * 1024)))),
            " answered with ",
        ),
        (Say::Answer(Answer::message(b"")), "no identity"),
        (
            Say::Answer(Answer::message(b"\xff\xff")),
            "a message that is no protobuf",
        ),
        (
            Say::Answer(Answer::message(&[0x0a, 0].repeat(1001))),
            "more than 1,000 identities",
        ),
        (
            Say::Bytes(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n".to_vec()),
            "not HTTP/2",
        ),
        (Say::Bytes(vec![0xff; 1 << 16]), "not HTTP/2"),
        (Say::Gone, "early end of the connection"),
    ];
    for (say, wanted) in cases {
        let (blame, said) = refused(Agent::start(move |_| say.clone())).await;
        assert_eq!(blame, Blame::Outside, "{said}");
        assert!(
            said.contains(" answered with ") && said.contains(wanted),
            "{wanted}: {said}"
        );
    }
}

#[tokio::test]
async fn an_agent_that_never_answers_is_not_waited_for_without_an_end() {
    // Not even its settings, and settings without an answer: a preface, and a ping after the other would be the same.
    for say in [Say::Nothing, Say::Bytes(b"\0\0\0\x04\0\0\0\0\0".to_vec())] {
        let began = Instant::now();
        let (blame, said) = refused(Agent::start(move |_| say.clone())).await;
        assert_eq!(blame, Blame::Outside);
        assert!(said.ends_with(" did not answer within 2 s"), "{said}");
        assert!(began.elapsed() < Duration::from_secs(6));
    }
}

#[tokio::test]
async fn a_token_that_cannot_be_good_is_not_shown_to_anybody() {
    let other = "spiffe://example.test/other";
    let none = |alg: &str| {
        let token = unsigned_token(&claims());
        let (_, rest) = token.split_once('.').expect("three parts");
        let head = base64_of(&json!({"alg": alg}));
        format!("{head}.{rest}")
    };
    let far = now() + 3600;
    for (id, token, wanted) in [
        (
            ID,
            token_with("aud", json!(["vault"])),
            "for the audience [vault], and must be for sigstore",
        ),
        (ID, token_with("aud", Value::Null), "for the audience []"),
        (
            ID,
            token_with("exp", json!(now() - 1)),
            "the identity token ended at",
        ),
        (
            ID,
            token_with("nbf", json!(far)),
            "the identity token is valid from",
        ),
        (ID, token_with("exp", Value::Null), "malformed"),
        (ID, none("none"), "signed by nobody"),
        (ID, none("HS256"), "the algorithm HS256"),
        (ID, "no token".to_owned(), "three parts"),
        (ID, String::new(), "it is empty"),
        (ID, "x".repeat(17 * 1024), "more than 16 KiB"),
        (
            other,
            unsigned_token(&claims()),
            "gave a token of \"spiffe://example.test/signer\" for the identity",
        ),
        (
            "me",
            token_with("sub", json!("me")),
            "must be one SPIFFE ID",
        ),
    ] {
        let agent = Agent::answering(Answer::of(&[(id, &token)]));
        let (blame, said) = refused(agent).await;
        assert_eq!(blame, Blame::Outside, "{said}");
        assert!(said.contains(wanted), "{wanted}: {said}");
    }
    // SPIFFE does not want an issuer, and Fulcio does.
    let token = token_with("iss", Value::Null);
    let (blame, said) = refused(Agent::answering(Answer::of(&[(ID, &token)]))).await;
    assert_eq!(blame, Blame::Setting);
    assert!(said.contains("jwt_issuer"), "{said}");
}

fn base64_of(value: &Value) -> String {
    let token = unsigned_token(value);
    token.split('.').nth(1).expect("three parts").to_owned()
}

#[tokio::test]
async fn a_socket_that_is_not_there_is_for_the_user_and_one_that_is_left_is_not() {
    let error = named("unix:///nowhere/agent.sock", 1)
        .await
        .expect_err("absent");
    let (blame, said) = story(&error);
    assert_eq!(blame, Blame::Setting);
    assert!(
        said.starts_with("cannot connect to the SPIFFE agent at /nowhere/agent.sock: "),
        "{said}"
    );
    assert!(
        error
            .hint()
            .is_some_and(|hint| hint.contains("csi.spiffe.io"))
    );
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("agent.sock");
    drop(std::os::unix::net::UnixListener::bind(&path).expect("the folder is ours"));
    let error = named(&path.display().to_string(), 1).await;
    assert_eq!(story(&error.expect_err("nobody listens")).0, Blame::Outside);
    let long = format!("unix:///{}", "x".repeat(200));
    let error = named(&long, 1)
        .await
        .expect_err("no socket has such a name");
    assert_eq!(story(&error).0, Blame::Setting);
    let error = named("tcp://127.0.0.1:1", 1)
        .await
        .expect_err("not a socket");
    let (blame, said) = story(&error);
    assert_eq!(blame, Blame::Setting);
    assert!(said.contains("tcp is not supported"), "{said}");
    let denied = spiffe::Error::Connect {
        path,
        source: io::ErrorKind::PermissionDenied.into(),
    };
    assert_eq!(token::Error::from(denied).blame(), Blame::Setting);
}

/// What opening a key of the Vault at this address says; it never opens.
async fn opening(vault: VaultSettings) -> tekseal_custody::Error {
    let context = Context::with_variables(settings(1, vault), Arc::new(|_| None));
    let Ok(KeyRef::Kms(key @ KmsRef::Vault(_))) = KeyRef::parse("hashivault://k") else {
        panic!("it is a key of Vault");
    };
    let opened = tekseal_custody::open(&key, &context).await;
    opened.err().expect("it was not to be opened")
}

#[tokio::test]
async fn vault_is_shown_the_token_for_its_audience() {
    let token = token_with("aud", json!(["vault"]));
    let agent = Agent::answering(Answer::of(&[(ID, &token)]));
    let vault = Proxy::start("127.0.0.1:1");
    vault.on("POST", "/v1/auth/jwt/login").answer(
        400,
        &[],
        json!({"errors": [format!("no such {token}")]})
            .to_string()
            .as_bytes(),
    );
    let settings = |audience: &str| VaultSettings {
        address: format!("http://{}", vault.address()),
        // The login goes before them.
        token: "hvs.other".to_owned().into(),
        token_path: "/nowhere/token".into(),
        spire_socket: agent.address(),
        spire_audience: audience.to_owned(),
        ..VaultSettings::default()
    };
    let error = opening(settings("vault")).await;
    assert_eq!(error.blame(), Blame::Setting);
    let said = error.to_string();
    assert!(
        said.starts_with("Vault refused to log in at auth/jwt/login as \"\": status 400"),
        "{said}"
    );
    assert!(!said.contains("eyJ"), "{said}");
    let (_, _, body) = &agent.seen()[0];
    assert_eq!(body, b"\0\0\0\0\x07\x0a\x05vault");
    let seen = vault.seen();
    assert_eq!(seen.len(), 1);

    // Nobody is shown a token that is for somebody else.
    let error = opening(settings("others")).await;
    assert_eq!(error.blame(), Blame::Outside);
    assert!(
        matches!(error, tekseal_custody::Error::Spiffe { .. }),
        "{error}"
    );
    let error = opening(settings("")).await.to_string();
    assert!(error.contains("signers.kms.auth.spire.audience"), "{error}");
    let elsewhere = VaultSettings {
        spire_socket: "tcp://127.0.0.1:1".to_owned(),
        ..settings("vault")
    };
    let error = opening(elsewhere).await;
    let source = std::error::Error::source(&error).expect("why").to_string();
    assert!(
        source.starts_with("signers.kms.auth.spire.sock cannot be used: "),
        "{source}"
    );
    assert_eq!(vault.seen().len(), 1);
}
