use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use tempfile::TempDir;

use super::*;

const V1: &str = VERSIONS[0];

/// A program that is this script of a shell.
fn plugin(folder: &TempDir, script: &str) -> Plugin {
    let command = folder.path().join("plugin");
    fs::write(&command, format!("#!/bin/sh\n{script}\n")).expect("the folder is ours");
    fs::set_permissions(&command, fs::Permissions::from_mode(0o755)).expect("the file is ours");
    Plugin {
        command,
        args: vec!["hunter2".to_owned()],
        env: vec![("SAID".to_owned(), "told".to_owned())],
        api_version: V1.to_owned(),
        interaction: Interaction::Never,
        cluster: Some(json!({"server": "https://a"})),
        install_hint: Some("install it".to_owned()),
    }
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

#[tokio::test]
async fn a_program_gets_what_the_protocol_says_and_its_token_is_used() {
    let folder = folder();
    let asked = folder.path().join("asked");
    let script = format!(
        r#"printf '%s %s %s' "$KUBERNETES_EXEC_INFO" "$1" "$SAID" >{}
printf '{{"apiVersion":"{V1}","kind":"ExecCredential","status":{{"token":" t ","expirationTimestamp":"2040-01-01T00:00:00Z"}}}}'"#,
        asked.display()
    );
    let answer = plugin(&folder, &script).ask().await.expect("it answers");
    let token = answer.token.expect("it has a token");
    assert_eq!(token.to_str().expect("a text"), "Bearer t");
    assert!(token.is_sensitive() && answer.identity.is_none());
    let until = answer.expires.expect("it ends");
    assert_eq!(until.to_string(), "2040-01-01T00:00:00Z");
    let asked = fs::read_to_string(asked).expect("it was asked");
    let info = asked
        .strip_suffix(" hunter2 told")
        .expect("arguments and variables");
    let info: Value = serde_json::from_str(info).expect("it is JSON");
    assert_eq!(
        info,
        json!({"apiVersion": V1, "kind": "ExecCredential", "spec": {"interactive": false, "cluster": {"server": "https://a"}}})
    );
}

#[tokio::test]
async fn what_says_no_credentials_is_told_and_no_answer_is_shown() {
    for (script, said) in [
        ("echo hunter2; exit 3", "ended with exit status: 3"),
        ("echo hunter2", "is no ExecCredential"),
        ("echo '{\"status\":{}}'", "is no ExecCredential"),
        (
            "echo '{\"status\":{\"token\":\"\"}}'",
            "is no ExecCredential",
        ),
        (
            "echo '{\"status\":{\"token\":\"hunter2\",\"expirationTimestamp\":\"hunter2\"}}'",
            "is no ExecCredential",
        ),
        (
            "echo '{\"status\":{\"clientCertificateData\":\"hunter2\",\"clientKeyData\":\"hunter2\"}}'",
            "cannot be used",
        ),
        ("yes hunter2", "is no ExecCredential"),
    ] {
        let folder = folder();
        let error = plugin(&folder, script)
            .ask()
            .await
            .err()
            .expect("it is refused");
        let error = error.to_string();
        assert!(error.contains(said), "{script}: {error}");
        assert!(!error.contains("hunter2"), "{error}");
    }
    let folder = folder();
    let mut absent = plugin(&folder, "");
    absent.command = folder.path().join("absent");
    let error = absent.ask().await.err().expect("it is refused").to_string();
    assert!(
        error.contains("cannot start") && error.ends_with("; install it"),
        "{error}"
    );
    absent.api_version = "client.authentication.k8s.io/v1alpha1".to_owned();
    let error = absent.ask().await.err().expect("it is refused").to_string();
    assert!(error.contains("version of the protocol"), "{error}");
}
