//! Where keys are, which of them verify when, and the program that lists them.

mod elsewhere;
mod list;
mod services;
mod sets;

use std::path::PathBuf;

use tekseal_harness::{Proxy, Run, fixtures};

use crate::workshop::{PASSWORD, Workshop};

/// One of the keys and trusted roots of the recordings.
fn recorded(name: &str) -> String {
    let file = fixtures().join("cosign-samples/keys").join(name);
    file.display().to_string()
}

/// A server that has nothing but what rules answer.
fn server() -> Proxy {
    // The port of discarded packets: nobody listens there.
    Proxy::start("127.0.0.1:9")
}

/// A signed image, with the public key of who signed.
fn signed() -> (Workshop, PathBuf) {
    let shop = Workshop::new();
    let (key, public) = shop.plain_key();
    shop.attest(&key);
    (shop, public)
}

fn verify(shop: &Workshop, flags: &[&str]) -> Run {
    Run::tool("tekseal-verify")
        .env("TEKSEAL_RETRY_FOR", "1")
        .args(flags)
        .arg(&shop.image)
}

fn keys(arguments: &[&str]) -> Run {
    Run::tool("tekseal-keys")
        .env("COSIGN_PASSWORD", PASSWORD)
        .env("TEKSEAL_RETRY_FOR", "1")
        .args(arguments)
}
