//! Authorities, client certificates and registries that are named insecure.

use std::path::PathBuf;

use super::*;

fn with_ca(ca: &[PathBuf], cert_dirs: &[PathBuf]) -> Registry {
    let options = Options {
        ca: ca.to_vec(),
        cert_dirs: cert_dirs.to_vec(),
        ..options("")
    };
    Registry::new(options).expect("the options are fine")
}

/// A folder with these files of the test data under these names.
fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("there is room for a folder");
    for (name, file) in files {
        std::fs::copy(data(file), folder.path().join(name)).expect("there is room for a file");
    }
    folder
}

#[tokio::test]
async fn a_private_authority_is_trusted_when_it_is_given() {
    let server = Server::start_tls(Clients::Anybody, |_, _| manifest()).await;
    let repository = repository(&server, "a/b");
    let (ca_folder, cert_dir) = (
        folder(&[("x.pem", "ca.pem")]),
        folder(&[("x.crt", "ca.pem")]),
    );
    for registry in [
        with_ca(&[data("ca.pem")], &[]),
        with_ca(&[ca_folder.path().to_owned()], &[]),
        with_ca(&[], &[cert_dir.path().to_owned()]),
    ] {
        assert_eq!(
            get(&registry, &repository).await.expect("it is trusted"),
            MANIFEST
        );
    }
}

#[tokio::test]
async fn an_unknown_authority_is_a_setting_with_a_hint_and_no_reason_for_plain_http() {
    let server = Server::start_tls(Clients::Anybody, |_, _| manifest()).await;
    // Another authority: a self-made certificate that signed nothing.
    let registry = with_ca(&[data("client.cert")], &[]);
    let error = get(&registry, &repository(&server, "a/b"))
        .await
        .expect_err("it is not trusted");
    assert_eq!(error.blame(), Blame::Setting);
    assert!(
        matches!(cause(&error), Cause::Certificate { .. }),
        "{error:?}"
    );
    assert!(
        error.hint().is_some_and(|hint| hint.contains("CA file")),
        "{:?}",
        error.hint()
    );
    assert!(server.seen().is_empty());
}

#[tokio::test]
async fn a_client_certificate_is_shown() {
    let server = Server::start_tls(Clients::WithCertificate, |_, _| manifest()).await;
    let repository = repository(&server, "a/b");
    let pair = folder(&[
        ("ca.crt", "ca.pem"),
        ("client.cert", "client.cert"),
        ("client.key", "client.key"),
    ]);
    let found = get(&with_ca(&[], &[pair.path().to_owned()]), &repository).await;
    assert_eq!(found.expect("the server knows us"), MANIFEST);
    let error = get(&with_ca(&[data("ca.pem")], &[]), &repository)
        .await
        .expect_err("the server wants a certificate");
    assert!(server.seen().len() == 1, "{}", chain(&error));
}

#[tokio::test]
async fn files_that_are_no_authority_are_a_setting() {
    let server = Server::start_tls(Clients::Anybody, |_, _| manifest()).await;
    let repository = repository(&server, "a/b");
    let lonely = folder(&[("ca.crt", "ca.pem"), ("client.cert", "client.cert")]);
    for registry in [
        with_ca(&[data("README.md")], &[]),
        with_ca(&[data("absent.pem")], &[]),
        with_ca(&[], &[lonely.path().to_owned()]),
    ] {
        let error = get(&registry, &repository)
            .await
            .expect_err("the file is no authority");
        assert_eq!(error.blame(), Blame::Setting);
        assert!(matches!(cause(&error), Cause::Trust { .. }), "{error:?}");
    }
}

#[tokio::test]
async fn loopback_with_an_authority_may_still_be_plain_http() {
    let server = Server::start(|_, _| manifest()).await;
    let found = get(
        &with_ca(&[data("ca.pem")], &[]),
        &repository(&server, "a/b"),
    )
    .await;
    assert_eq!(found.expect("it is plain"), MANIFEST);
}

#[tokio::test]
async fn an_insecure_registry_needs_no_trust_and_no_tls() {
    let tls = Server::start_tls(Clients::Anybody, |_, _| manifest()).await;
    let plain = Server::start(|_, _| manifest()).await;
    for server in [tls, plain] {
        let insecure_registries = vec![server.address.clone()];
        let options = Options {
            insecure_registries,
            ..options("")
        };
        let registry = Registry::new(options).expect("the options are fine");
        let repository = repository(&server, "a/b");
        assert_eq!(
            get(&registry, &repository)
                .await
                .expect("it is named insecure"),
            MANIFEST
        );
        let before = server.connections();
        get(&registry, &repository)
            .await
            .expect("it is named insecure");
        assert_eq!(server.connections(), before, "what works is remembered");
    }
}
