//! The services by themselves: judged by openssl, and by the rules of their logs.

use std::fs;
use std::net::TcpStream;

use super::*;
use crate::http::{Request, request};
use crate::run::Run;

#[test]
fn two_timestamp_authorities_beside_each_other_sign_what_openssl_verifies() {
    let (Some(one), Some(two)) = (TimestampAuthority::start(), TimestampAuthority::start()) else {
        return;
    };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let openssl = || Run::new("openssl").folder(folder.path()).arg("ts");
    fs::write(folder.path().join("data"), "stamped").expect("the folder is ours");
    openssl()
        .args("-query -data data -sha256 -cert -out query".split(' '))
        .ok();
    let query = fs::read(folder.path().join("query")).expect("just made");
    for (authority, other) in [(&one, &two), (&two, &one)] {
        let ask =
            Request::new("POST", "/api/v1/timestamp").body("application/timestamp-query", &query);
        let answer = request(authority.address(), &ask).expect("it answers");
        assert_eq!(answer.status, 200, "{}", answer.text());
        fs::write(folder.path().join("reply"), answer.body).expect("the folder is ours");
        let verify = |root| {
            openssl()
                .args("-verify -queryfile query -in reply -CAfile".split(' '))
                .arg(root)
                .run()
        };
        verify(authority.root()).ok();
        assert_ne!(verify(other.root()).code(), Some(0), "another's root");
    }
}

#[test]
fn a_log_signs_checkpoints_under_its_origin_and_ends_with_its_value() {
    let Some(log) = RekorV2::start() else { return };
    let checkpoint = log.storage().join("checkpoint");
    let checkpoint = fs::read_to_string(checkpoint).expect("an empty log has a checkpoint");
    let mut lines = checkpoint.lines();
    assert_eq!(lines.next(), Some(RekorV2::ORIGIN), "{checkpoint}");
    assert_eq!(lines.next(), Some("0"), "{checkpoint}");
    assert_eq!(log.entries(), 0);
    let name = format!("— {} ", RekorV2::ORIGIN);
    let signature = checkpoint.lines().find_map(|line| line.strip_prefix(&name));
    let signature = signature.unwrap_or_else(|| panic!("nobody signed {checkpoint}"));
    use base64::Engine as _;
    let signature = base64::engine::general_purpose::STANDARD
        .decode(signature)
        .expect("a signature is base64");
    assert_eq!(signature[..4], log.log_id()[..4], "the key's identity");

    let (address, storage) = (log.address().to_owned(), log.storage());
    drop(log);
    assert!(TcpStream::connect(address).is_err() && !storage.exists());
}

#[test]
fn what_is_not_chosen_is_neither_used_nor_trusted() {
    let (root, config) = (
        Services::none().trusted_root(),
        Services::none().signing_config(),
    );
    for list in [
        &root["tlogs"],
        &root["certificateAuthorities"],
        &root["ctlogs"],
        &root["timestampAuthorities"],
        &config["caUrls"],
        &config["rekorTlogUrls"],
        &config["tsaUrls"],
    ] {
        assert_eq!(list.as_array().map(Vec::len), Some(0), "{root} {config}");
    }
}
