//! Keys at URLs and in GitLab: read where they are, at that origin alone, within bounds; and keys of services that nobody knows.

use std::fs;

use serde_json::json;
use tekseal_harness::{Proxy, Run};

use super::{keys, server, signed, verify};
use crate::workshop::{PASSWORD, Workshop};

fn pem(path: &std::path::Path) -> Vec<u8> {
    fs::read(path).expect("it is there")
}

#[test]
fn a_public_key_at_a_url_verifies_wherever_a_key_is_taken() {
    let (shop, public) = signed();
    let web = server();
    web.on("GET", "/cosign.pub").answer(200, &[], &pem(&public));
    web.on("GET", "/moved")
        .answer(302, &[("Location", "/cosign.pub?v=2")], b"");
    let url = format!("http://{}/cosign.pub?token=hunter2", web.address());
    let said = verify(&shop, &["--key", &url]).ok();
    assert!(
        !said.stderr.contains("plain http"),
        "on this machine: {said:?}"
    );
    let moved = format!("http://{}/moved", web.address());
    verify(&shop, &["--key", &moved]).ok();
    Run::tool("tekseal-wait")
        .args(["--key", &url, "--image", &shop.image, "--timeout", "10s"])
        .ok();
    let check = ["check", "--only", "signature", "--key", &url, &shop.image];
    Run::tool("tekseal-policy").args(check).ok();
    let printed = keys(&["public", &url]).ok();
    assert_eq!(printed.stdout.as_bytes(), pem(&public));
    let rendered = Run::tool("tekseal-policy")
        .args(["render", "kyverno", "--key", &url])
        .args(["--images", "r.example/*", "--provenance", "none"])
        .ok();
    let key = String::from_utf8(pem(&public)).expect("PEM");
    let line = key.lines().nth(1).expect("a line of base64");
    assert!(rendered.stdout.contains(line), "{rendered:?}");
}

#[test]
fn what_a_server_answers_in_the_place_of_a_key_is_refused_by_name() {
    let (shop, public) = signed();
    let web = server();
    let other = server();
    other.on("GET", "/key").answer(200, &[], &pem(&public));
    let elsewhere = format!("http://{}/key", other.address());
    web.on("GET", "/away")
        .answer(302, &[("Location", &elsewhere)], b"");
    web.on("GET", "/round")
        .answer(302, &[("Location", "/round")], b"");
    web.on("GET", "/absent").answer(404, &[], b"hunter2");
    web.on("GET", "/locked").answer(401, &[], b"hunter2");
    web.on("GET", "/large")
        .answer(200, &[], &vec![b'x'; 65 * 1024]);
    web.on("GET", "/page").answer(200, &[], b"<html>hunter2");
    let (private, _) = shop.plain_key();
    web.on("GET", "/private").answer(200, &[], &pem(&private));
    for (path, code, wanted) in [
        ("/away", 2, "a service is asked at its own origin alone"),
        ("/round", 2, "a service is asked at its own origin alone"),
        ("/absent", 2, "the server answers with status 404"),
        ("/locked", 2, "the server answers with status 401"),
        ("/large", 3, "is larger than 65536 bytes"),
        ("/page", 2, "cannot read a public key"),
        ("/private", 2, "this is a private key"),
    ] {
        let url = format!("http://{}{path}?token=hunter2", web.address());
        let said = verify(&shop, &["--key", &url])
            .fails_with(code)
            .says(wanted);
        assert!(!said.stderr.contains("hunter2"), "{said:?}");
        assert!(said.stderr.contains(path), "{said:?}");
    }
    assert_eq!(other.count(), 0, "nobody else is asked");
    let run = shop.run();
    let url = format!("http://{}/private", web.address());
    shop.attest_command(&run, url.as_ref())
        .fails_with(2)
        .says("a private key is not read from a URL");
    verify(&shop, &["--offline", "--key", &url])
        .fails_with(2)
        .says("is not on this machine");
    verify(&shop, &["--key", "https://me:hunter2@h/key"])
        .fails_with(2)
        .says("not well formed");
}

/// GitLab with the project `team/app` and its variables.
fn gitlab(shop: &Workshop) -> Proxy {
    let (private, public) = shop.key_pair("gitlab");
    let web = server();
    let variable = |name: &str, value: &[u8]| {
        let value = String::from_utf8(value.to_vec()).expect("a text");
        let body = json!({"key": name, "value": value, "variable_type": "env_var"}).to_string();
        web.on("GET", &format!("/projects/team%2Fapp/variables/{name}"))
            .answer(200, &[], body.as_bytes());
    };
    variable("COSIGN_PRIVATE_KEY", &pem(&private));
    variable("COSIGN_PUBLIC_KEY", &pem(&public));
    variable("COSIGN_PASSWORD", PASSWORD.as_bytes());
    web.on("GET", "/variables/").answer(404, &[], b"{}");
    web.on("GET", "/api/v4/projects/team%2Fapp")
        .answer(200, &[], b"{\"id\": 7}");
    web.on("GET", "/api/v4/projects/locked")
        .answer(403, &[], b"{}");
    web.on("GET", "/api/v4/groups/team")
        .answer(200, &[], b"{\"id\": 8}");
    web.on("GET", "/api/v4/").answer(404, &[], b"{}");
    web
}

#[test]
fn a_pair_in_variables_of_gitlab_signs_and_verifies() {
    let shop = Workshop::new();
    let web = gitlab(&shop);
    let host = format!("http://{}", web.address());
    let run = shop.run();
    let at = |run: Run| {
        run.env("GITLAB_TOKEN", "glpat-hunter2")
            .env("GITLAB_HOST", &host)
            .env("COSIGN_PASSWORD", "not that one")
    };
    let key = "gitlab://team/app";
    at(shop.attest_command(&run, key.as_ref())).ok();
    at(verify(&shop, &["--key", key])).ok();
    let seen = web.seen();
    assert!(
        seen.iter()
            .all(|one| one.header("private-token") == Some("glpat-hunter2")),
        "{seen:?}"
    );
    for (reference, wanted) in [
        ("gitlab://team", "GitLab has no variable COSIGN_PUBLIC_KEY"),
        ("gitlab://nobody", "neither a project nor a group"),
        ("gitlab://locked", "status 403"),
        ("gitlab://..", "is no project"),
    ] {
        let said = at(verify(&shop, &["--key", reference]))
            .fails_with(2)
            .says(wanted);
        assert!(!said.stderr.contains("hunter2"), "{said:?}");
    }
    verify(&shop, &["--key", key])
        .env("GITLAB_HOST", &host)
        .fails_with(2)
        .says("GITLAB_TOKEN is not set");
    at(verify(&shop, &["--key", key]))
        .env("GITLAB_HOST", "https://u:hunter2@h")
        .fails_with(2)
        .says("GITLAB_HOST has a user");
}

#[test]
fn gitlab_that_answers_with_something_else_or_somewhere_else_gets_no_key_used() {
    let (shop, _) = signed();
    for (status, headers, body, code, wanted) in [
        (
            200,
            &[][..],
            &b"hunter2"[..],
            3,
            "did not answer with the variable",
        ),
        (
            200,
            &[],
            b"{\"value\": 5}",
            3,
            "did not answer with the variable",
        ),
        (
            200,
            &[],
            b"{\"value\": \"hunter2\"}",
            2,
            "cannot read a public key",
        ),
        (
            302,
            &[("Location", "http://127.0.0.1:9/x")],
            b"",
            2,
            "at its own origin alone",
        ),
        (
            302,
            &[("Location", "/x")],
            b"",
            2,
            "at its own origin alone",
        ),
    ] {
        let web = server();
        web.on("GET", "/variables/").answer(status, headers, body);
        web.on("GET", "/projects/").answer(200, &[], b"{}");
        let said = verify(&shop, &["--key", "gitlab://a"])
            .env("GITLAB_TOKEN", "t")
            .env("GITLAB_HOST", format!("http://{}", web.address()))
            .fails_with(code)
            .says(wanted);
        assert!(!said.stderr.contains("hunter2"), "{said:?}");
    }
}

#[test]
fn keys_of_services_are_made_by_keygen_and_nothing_else_is_taken_for_one() {
    let shop = Workshop::new();
    let keygen = |arguments: &[&str]| {
        Run::tool("tekseal-keygen")
            .folder(shop.path(""))
            .env("COSIGN_PASSWORD", PASSWORD)
            .args(arguments)
    };
    for bad in [
        "k8s://a/b",
        "cosign.key",
        "https://h/k",
        "gitlab://g",
        "env://K",
    ] {
        keygen(&["--kms", bad])
            .fails_with(2)
            .says("--kms names no service that holds keys");
    }
    keygen(&["--kms", "hashivault://"])
        .fails_with(2)
        .says("not well formed");
    shop.file("cosign.pub", "somebody's");
    keygen(&["--kms", "hashivault://k"])
        .fails_with(2)
        .says("cosign.pub exists and is not overwritten");
    keygen(&["--rotate"])
        .fails_with(2)
        .says("--rotate needs a Secret, or --kms");
    assert!(!shop.path("cosign.key").exists());
}
