//! How this process gets into Vault: where it is, and which token it is shown.

use std::fs;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use tekseal_core::Blame;

use super::*;

/// The identity token of all logins.
const IDENTITY: &str = "header.identity.signature";
const LOGIN: &str = "/v1/auth/jwt/login";

fn with_login(server: &Server, identity: &Path) -> Context {
    let vault = VaultSettings {
        address: server.url.clone(),
        login_path: "jwt".to_owned(),
        login_role: "signer".to_owned(),
        login_token_path: identity.to_owned(),
        ..VaultSettings::default()
    };
    // A login is meant by whoever sets it, whatever variables there are.
    context_of(&[("VAULT_TOKEN", "another")], vault)
}

fn identity_file(folder: &Path) -> std::path::PathBuf {
    let path = folder.join("token");
    fs::write(&path, format!("{IDENTITY}\n")).expect("the folder is ours");
    path
}

fn logged_in(token: &str, lease: u64) -> Reply {
    let auth = json!({"client_token": token, "lease_duration": lease, "renewable": true});
    Reply::json(200, &json!({"auth": auth}))
}

/// A Vault that takes the tokens `t1`, `t2`, … of its logins, each for so many uses.
fn entered_by_login(uses: usize, lease: u64) -> Server {
    let (logins, used) = (AtomicUsize::new(0), AtomicUsize::new(0));
    Server::start(move |seen| {
        if seen.path == LOGIN {
            assert_eq!(seen.json(), json!({"role": "signer", "jwt": IDENTITY}));
            assert_eq!(seen.header("x-vault-token"), None);
            used.store(0, SeqCst);
            return logged_in(&format!("t{}", logins.fetch_add(1, SeqCst) + 1), lease);
        }
        let current = format!("t{}", logins.load(SeqCst));
        if seen.header("x-vault-token") != Some(&current) || used.fetch_add(1, SeqCst) >= uses {
            return refusal(403, "permission denied");
        }
        match seen.method.as_str() {
            "GET" => Reply::json(200, &described(&[&signer(1)])),
            _ => Reply::json(200, &signed(seen, 1, &signer(1))),
        }
    })
}

#[test]
fn one_login_serves_until_vault_no_longer_takes_its_token() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let folder = folder.path();
    let server = entered_by_login(5, 3600);
    let held = open(&with_login(&server, &identity_file(folder))).expect("it may enter");
    for i in 0..9_u8 {
        wait(held.sign(&[i])).expect("it signs");
    }
    // One read and nine signatures, five to a login.
    assert_eq!(server.count("POST", LOGIN), 2);
    assert_eq!(server.count("POST", "/v1/transit/sign/"), 10);
}

#[test]
fn a_login_is_tried_once_more_and_not_for_ever() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let folder = folder.path();
    let server = entered_by_login(0, 3600);
    let error = opening(&with_login(&server, &identity_file(folder)));
    assert_eq!(
        story(&error),
        "Vault refused to read hashivault://k: status 403: permission denied; \
         the token must be valid, and a policy of it must allow read on transit/keys/k"
    );
    assert_eq!(server.count("POST", LOGIN), 2);
}

#[test]
fn a_role_that_may_not_sign_logs_in_once_more_and_not_for_each_signature() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = Server::start(
        move |seen| match (seen.path.as_str(), seen.method.as_str()) {
            (LOGIN, _) => logged_in("t", 3600),
            (_, "GET") => Reply::json(200, &described(&[&signer(1)])),
            _ => refusal(403, "permission denied"),
        },
    );
    let context = with_login(&server, &identity_file(folder.path()));
    let held = open(&context).expect("it may read");
    for i in 0..5_u8 {
        let error = wait(held.sign(&[i])).expect_err("it may not sign");
        assert!(
            story(&error).contains("must allow update on"),
            "{}",
            story(&error)
        );
    }
    assert_eq!(server.count("POST", LOGIN), 2);
    assert_eq!(server.count("POST", "/v1/transit/sign/"), 6);
}

#[test]
fn a_token_is_not_used_beyond_its_lease() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let folder = folder.path();
    let server = entered_by_login(100, 1);
    let held = open(&with_login(&server, &identity_file(folder))).expect("it may enter");
    wait(async {
        tokio::time::sleep(Duration::from_millis(1000)).await;
        held.sign(b"message").await.expect("it signs");
    });
    assert_eq!(server.count("POST", LOGIN), 2);
    // No request was refused: the second login was in time.
    assert_eq!(server.count("POST", "/v1/transit/sign/"), 1);
}

#[test]
fn a_login_that_fails_says_where_and_as_whom() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let folder = folder.path();
    let identity = identity_file(folder);
    let login = |reply: fn() -> Reply| {
        let server = Server::start(move |_| reply());
        let error = opening(&with_login(&server, &identity));
        (error.blame(), story(&error))
    };
    let (blame, said) = login(|| refusal(400, "role \"signer\" could not be found"));
    assert_eq!(
        said,
        r#"Vault refused to log in at auth/jwt/login as "signer": status 400: role "signer" could not be found"#
    );
    assert_eq!(blame, Blame::Setting);
    // It repeats what it was sent.
    let (_, said) = login(|| refusal(400, &format!("cannot read {IDENTITY}")));
    assert!(!said.contains("cannot read"), "{said}");
    let (blame, _) = login(|| refusal(503, "Vault is sealed"));
    assert_eq!(blame, Blame::Outside);
    for reply in [
        || Reply::text(200, "{}"),
        || Reply::text(200, r#"{"auth":null}"#),
        || Reply::text(200, r#"{"auth":{"client_token":"","mfa_requirement":{}}}"#),
        || Reply::text(200, r#"{"auth":{"client_token":7}}"#),
        || Reply::text(200, r#"{"auth":{"client_token":"t","lease_duration":-1}}"#),
        || Reply::text(200, vec![b' '; 10 << 20]),
        || logged_in("two\nlines", 60),
    ] as [fn() -> Reply; 7]
    {
        let (_, said) = login(reply);
        assert!(!said.contains("two"), "{said}");
    }
}

#[test]
fn an_identity_token_that_is_not_there_or_empty_is_named() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let folder = folder.path();
    let server = Server::start(|_| panic!("nothing is asked"));
    let missing = folder.join("missing");
    let said = story(&opening(&with_login(&server, &missing)));
    assert!(
        said.starts_with("cannot read the identity token to log in to Vault with "),
        "{said}"
    );
    let identity = identity_file(folder);
    for (content, wanted) in [
        ("\n".to_owned(), "is empty"),
        ("x".repeat(70_000), "is too large for a token"),
    ] {
        fs::write(&identity, content).expect("the folder is ours");
        let said = story(&opening(&with_login(&server, &identity)));
        assert!(
            said.starts_with("signers.kms.auth.oidc.token-path cannot be used: "),
            "{said}"
        );
        assert!(said.ends_with(wanted), "{said}");
    }
    // A folder, and a pipe that nobody writes to.
    let said = story(&opening(&with_login(&server, folder)));
    assert!(said.ends_with("it is no file"), "{said}");
}

#[test]
fn a_token_that_goes_to_another_machine_by_plain_http_is_told_once() {
    static TOLD: Mutex<Vec<(String, String)>> = Mutex::new(Vec::new());
    let server = vault(|_| refusal(400, "not now"));
    let context = |url: &str| {
        let url = url.to_owned();
        let settings = Settings {
            options: options(),
            plain_notice: Some(|what, host| {
                let mut told = TOLD.lock().expect("nobody panics with it");
                told.push((what.to_owned(), host.to_owned()));
            }),
            ..Settings::default()
        };
        let variables = move |name: &str| match name {
            "VAULT_ADDR" => Some(url.clone().into()),
            "VAULT_TOKEN" => Some(TOKEN.into()),
            _ => None,
        };
        Context::with_variables(settings, Arc::new(variables))
    };
    assert!(open(&context(&server.url)).is_ok());
    assert!(TOLD.lock().expect("nobody panics with it").is_empty());
    // This machine too, but not by the names that say so.
    let elsewhere = context(&server.url.replace("127.0.0.1", "0.0.0.0"));
    for _ in 0..2 {
        assert!(open(&elsewhere).is_ok());
    }
    let told = TOLD.lock().expect("nobody panics with it");
    let wanted = ("the token of Vault".to_owned(), "0.0.0.0".to_owned());
    assert_eq!(*told, [wanted]);
}

#[test]
fn a_token_in_a_file_is_taken_as_it_is_now_without_one_line_end() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let folder = folder.path();
    let path = folder.join("token");
    let server = vault(|seen| Reply::json(200, &signed(seen, 1, &signer(1))));
    let vault = VaultSettings {
        address: server.url.clone(),
        token_path: path.clone(),
        token: "set, and of no use beside a path".to_owned().into(),
        ..VaultSettings::default()
    };
    let context = context_of(&[], vault);
    fs::write(&path, "first\n").expect("the folder is ours");
    let held = open(&context).expect("it may enter");
    fs::write(&path, "second").expect("the folder is ours");
    wait(held.sign(b"message")).expect("it signs");
    let seen = server.seen();
    let tokens: Vec<_> = seen.iter().map(|s| s.header("x-vault-token")).collect();
    assert_eq!(tokens, [Some("first"), Some("second")]);
    fs::write(&path, "third\n\n").expect("the folder is ours");
    let said = story(&wait(held.sign(b"message")).expect_err("a line end is left"));
    assert!(
        said.contains("signers.kms.auth.token-path cannot be used: it is no token"),
        "{said}"
    );
}

#[test]
fn tokens_are_looked_for_in_the_order_of_sigstores_client() {
    let home = tempfile::tempdir().expect("a temporary folder");
    let home = home.path();
    fs::write(home.join(".vault-token"), " of the home \n").expect("the folder is ours");
    let home_text = home.display().to_string();
    let server = vault(|_| panic!("nothing is signed"));
    let all = [
        ("VAULT_TOKEN", "of Vault"),
        ("BAO_TOKEN", "of OpenBao"),
        ("HOME", home_text.as_str()),
        ("VAULT_ADDR", server.url.as_str()),
        ("BAO_ADDR", "http://127.0.0.1:1"),
    ];
    for (from, token) in [(0, "of Vault"), (1, "of OpenBao"), (2, "of the home")] {
        open(&context_of(&all[from..], VaultSettings::default())).expect("it may enter");
        let seen = server.seen();
        let last = seen.last().expect("it was asked");
        assert_eq!(last.header("x-vault-token"), Some(token));
    }
    let set = VaultSettings {
        token: "of the settings".to_owned().into(),
        ..VaultSettings::default()
    };
    open(&context_of(&all, set)).expect("it may enter");
    let seen = server.seen();
    let last = seen.last().expect("it was asked");
    assert_eq!(last.header("x-vault-token"), Some("of the settings"));

    let error = opening(&context_of(&all[3..], VaultSettings::default()));
    assert!(matches!(error, Error::NoCredentials { .. }), "{error:?}");
    let half = VaultSettings {
        login_role: "signer".to_owned(),
        ..VaultSettings::default()
    };
    let said = story(&opening(&context_of(&all[3..], half)));
    assert!(
        said.contains("signers.kms.auth.oidc.role, of which only one is set"),
        "{said}"
    );
}

#[test]
fn a_place_is_found_as_sigstores_client_finds_it() {
    let server = vault(|_| panic!("nothing is signed"));
    let variables = [("BAO_ADDR", server.url.as_str()), ("VAULT_TOKEN", TOKEN)];
    open(&context_of(&variables, VaultSettings::default())).expect("it is there");
    let said = story(&opening(&context_of(
        &variables[1..],
        VaultSettings::default(),
    )));
    assert!(
        said.contains("set VAULT_ADDR, BAO_ADDR or signers.kms.auth.address"),
        "{said}"
    );
    let bad = [("VAULT_ADDR", "https://user:hvs.secret-token@vault.example")];
    let said = story(&opening(&context_of(&bad, VaultSettings::default())));
    assert_eq!(
        said,
        "VAULT_ADDR cannot be used: it has a user name or a password"
    );

    let server = Server::start(|seen| {
        assert_eq!(seen.path, "/below/v1/team/transit/keys/k");
        assert_eq!(seen.header("x-vault-namespace"), Some("ns1/"));
        Reply::json(200, &described(&[&signer(1)]))
    });
    let below = format!("{}/below/", server.url);
    open(&context(
        &server,
        &[
            ("VAULT_ADDR", &below),
            ("BAO_NAMESPACE", "of OpenBao"),
            ("VAULT_NAMESPACE", "ns1/"),
            ("TRANSIT_SECRET_ENGINE_PATH", "/team/transit"),
        ],
    ))
    .expect("it is there");
}

#[test]
fn what_vaults_client_would_do_and_we_do_not_is_refused_by_name() {
    let refused = |address: &str, name: &str, value: &str| {
        let variables = [
            ("VAULT_ADDR", address),
            ("VAULT_TOKEN", TOKEN),
            (name, value),
        ];
        let error = opening(&context_of(&variables, VaultSettings::default()));
        assert_eq!(error.blame(), Blame::Setting);
        story(&error)
    };
    let https = "https://127.0.0.1:1";
    for value in ["1", "true", "T", "perhaps"] {
        let said = refused(https, "VAULT_SKIP_VERIFY", value);
        assert!(
            said.starts_with("VAULT_SKIP_VERIFY cannot be used: "),
            "{said}"
        );
    }
    for name in [
        "VAULT_CACERT_BYTES",
        "VAULT_CLIENT_CERT",
        "VAULT_CLIENT_KEY",
        "VAULT_PROXY_ADDR",
        "VAULT_HTTP_PROXY",
        "BAO_CACERT_BYTES",
        "BAO_SKIP_VERIFY",
        "BAO_CLIENT_CERT",
        "BAO_PROXY_ADDR",
    ] {
        let said = refused(https, name, "x");
        assert!(
            said.starts_with(&format!("{name} cannot be used: ")),
            "{said}"
        );
    }
    let said = refused(https, "BAO_TLS_SERVER_NAME", "no name");
    assert!(
        said.starts_with("BAO_TLS_SERVER_NAME cannot be used: "),
        "{said}"
    );
    let said = refused("http://127.0.0.1:1", "VAULT_PROXY_ADDR", "x");
    assert!(
        said.starts_with("VAULT_PROXY_ADDR cannot be used: "),
        "{said}"
    );
}
