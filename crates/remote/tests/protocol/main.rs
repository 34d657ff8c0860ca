//! What the clients of registries, logs and timestamp authorities ask and how they take the answers, against a scripted server on
//! loopback.

mod authentication;
mod copying;
mod guard;
mod log;
mod patience;
mod reading;
mod scripted;
mod timestamp;
mod tls;
mod writing;

use std::time::Duration;

use tekseal_core::docker_config::Credentials;
use tekseal_core::{Digest, Repository};
use tekseal_remote::registry::{Access, Blame, Cause, Error, Options, Reference, Registry};

use crate::scripted::{Clients, Reply, Seen, Server, data};

const MANIFEST: &[u8] = br#"{"schemaVersion":2}"#;
const MANIFEST_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";
/// `user:pass`.
const BASIC: &str = "Basic dXNlcjpwYXNz";

fn repository(server: &Server, path: &str) -> Repository {
    Repository::parse(&format!("{}/{path}", server.address)).expect("the name is well formed")
}

/// No patience, so that failures are quick; tests of patience bring their own.
fn options(config: &str) -> Options {
    let mut credentials = Credentials::default();
    credentials
        .add("the-file", config.as_bytes())
        .expect("the file is well formed");
    Options {
        credentials,
        access: Access::PullPush,
        retry_for: Duration::ZERO,
        ..Options::default()
    }
}

fn registry(config: &str) -> Registry {
    Registry::new(options(config)).expect("the options are fine")
}

fn patient(budget: Duration) -> Registry {
    Registry::new(Options {
        retry_for: budget,
        ..options("")
    })
    .expect("the options are fine")
}

/// `user:pass` for the host, or for a path of it.
fn login(server: &Server) -> String {
    format!(
        r#"{{"auths":{{"{}":{{"username":"user","password":"pass"}}}}}}"#,
        server.address
    )
}

fn manifest() -> Reply {
    Reply::new(200)
        .header("content-type", MANIFEST_TYPE)
        .body(MANIFEST)
}

fn refusal(status: u16, code: &str) -> Reply {
    Reply::new(status).body(format!(
        r#"{{"errors":[{{"code":"{code}","message":"the message"}}]}}"#
    ))
}

fn basic_challenge() -> Reply {
    refusal(401, "UNAUTHORIZED").header("www-authenticate", "Basic realm=\"r\"")
}

/// The token server is the registry itself, under `/token`.
fn bearer_challenge(seen: &Seen) -> Reply {
    let host = seen.header("host").expect("HTTP/1.1 has it");
    let challenge = format!(
        "Bearer realm=\"http://{host}/token\",service=\"svc\",scope=\"repository:a/b:pull\""
    );
    refusal(401, "UNAUTHORIZED").header("www-authenticate", challenge)
}

fn token(text: &str) -> Reply {
    Reply::new(200).body(format!(r#"{{"token":"{text}","expires_in":300}}"#))
}

fn cause(error: &Error) -> &Cause {
    error.cause().expect("an operation failed")
}

/// The error with all its sources, as it is printed.
fn chain(error: &Error) -> String {
    let mut text = error.to_string();
    let mut next = std::error::Error::source(error);
    while let Some(source) = next {
        text = format!("{text}: {source}");
        next = source.source();
    }
    text
}

async fn get(registry: &Registry, repository: &Repository) -> Result<Vec<u8>, Error> {
    let found = registry
        .get_manifest(repository, Reference::Tag("t"))
        .await?;
    Ok(found.expect("the script has it").bytes)
}
