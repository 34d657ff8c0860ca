//! Files as docker, podman and people write them.

use super::*;

fn credentials(files: &[(&str, &str)]) -> Credentials {
    let mut credentials = Credentials::default();
    for (name, text) in files {
        credentials
            .add(name, text.as_bytes())
            .expect("the file is well formed");
    }
    credentials
}

fn repository(name: &str) -> Repository {
    Repository::parse(name).expect("the name is well formed")
}

fn users(credentials: &Credentials, name: &str) -> Vec<String> {
    credentials
        .for_repository(&repository(name))
        .iter()
        .map(|found| {
            found
                .secret()
                .basic()
                .expect("a user and a password")
                .0
                .to_owned()
        })
        .collect()
}

#[test]
fn the_longest_path_goes_first() {
    let all = credentials(&[(
        "f",
        r#"{"auths":{"registry.example":{"username":"host"},"registry.example/org/team":{"username":"team"},
           "registry.example/org":{"username":"org"},"registry.example/organic":{"username":"other"}}}"#,
    )]);
    assert_eq!(
        users(&all, "registry.example/org/team/app"),
        ["team", "org", "host"]
    );
    assert_eq!(
        users(&all, "registry.example/org/team"),
        ["team", "org", "host"]
    );
    assert_eq!(users(&all, "registry.example/org/teams"), ["org", "host"]);
    assert_eq!(users(&all, "registry.example/else"), ["host"]);
    assert!(users(&all, "registry.example:5000/org").is_empty());
}

#[test]
fn every_spelling_of_docker_hub_is_known_and_the_login_of_docker_goes_first() {
    for key in [
        "https://index.docker.io/v1/",
        "index.docker.io",
        "docker.io",
        "https://index.docker.io/v2/",
    ] {
        let all = credentials(&[(
            "f",
            &format!(r#"{{"auths":{{"{key}":{{"username":"u","password":"p"}}}}}}"#),
        )]);
        assert_eq!(users(&all, "busybox"), ["u"], "{key}");
    }
    let all = credentials(&[(
        "f",
        r#"{"auths":{"docker.io":{"username":"short"},"https://index.docker.io/v1/":{"username":"login"}}}"#,
    )]);
    assert_eq!(users(&all, "docker.io/a/b"), ["login", "short"]);
}

#[test]
fn keys_with_scheme_and_api_version_are_hosts() {
    for key in [
        "https://R.example",
        "http://r.example/",
        "r.example/v2/",
        "https://r.example/v1/",
    ] {
        let all = credentials(&[(
            "f",
            &format!(r#"{{"auths":{{"{key}":{{"username":"u"}}}}}}"#),
        )]);
        assert_eq!(users(&all, "r.example/org/app"), ["u"], "{key}");
    }
}

#[test]
fn auth_is_decoded_with_and_without_padding_and_goes_before_username() {
    for auth in ["dXNlcjpwYTpzcw==", "dXNlcjpwYTpzcw", " dXNlcjpwYTpzcwA= "] {
        let text = format!(
            r#"{{"auths":{{"r.example":{{"auth":"{auth}","username":"no","password":"no"}}}}}}"#
        );
        let all = credentials(&[("f", &text)]);
        let found = all.for_repository(&repository("r.example/app"));
        assert_eq!(found[0].secret().basic(), Some(("user", "pa:ss")), "{auth}");
    }
}

#[test]
fn tokens_are_read() {
    let all = credentials(&[(
        "f",
        r#"{"auths":{"a.example":{"identitytoken":"id","auth":""},"b.example":{"registrytoken":"reg"}}}"#,
    )]);
    let found = all.for_repository(&repository("a.example/app"));
    assert_eq!(found[0].secret().identity_token(), Some("id"));
    assert_eq!(found[0].secret().basic(), None);
    let found = all.for_repository(&repository("b.example/app"));
    assert_eq!(found[0].secret().registry_token(), Some("reg"));
}

#[test]
fn the_old_format_is_read_and_a_file_without_credentials_is_no_error() {
    let old = r#"{"https://r.example/v1/":{"auth":"dTpw","email":"e"},"x":true}"#;
    assert_eq!(users(&credentials(&[("f", old)]), "r.example/app"), ["u"]);
    for text in [
        "",
        " \n",
        "{}",
        r#"{"auths":{}}"#,
        r#"{"auths":{"r.example":{}}}"#,
        r#"{"HttpHeaders":{"a":"b"}}"#,
    ] {
        assert!(
            users(&credentials(&[("f", text)]), "r.example/app").is_empty(),
            "{text}"
        );
    }
}

#[test]
fn the_earlier_file_wins_and_later_ones_add_registries() {
    let all = credentials(&[
        ("first", r#"{"auths":{"r.example":{"username":"first"}}}"#),
        (
            "second",
            r#"{"auths":{"r.example/org":{"username":"second"},"q.example":{"username":"q"}}}"#,
        ),
    ]);
    assert_eq!(users(&all, "r.example/org/app"), ["first"]);
    assert_eq!(users(&all, "q.example/org/app"), ["q"]);
    let found = all.for_repository(&repository("q.example/a/b"));
    assert_eq!(found[0].to_string(), "key \"q.example\" in second");
}

#[test]
fn malformed_files_are_refused_without_telling_their_content() {
    for text in [
        r#"{"auths":{"r.example":"hunter2"}}"#,
        r#"{"auths":{"r.example":{"password":["hunter2"]}}}"#,
        r#"{"auths":{"r.example":{"auth":"hunter2!"}}}"#,
        r#"{"auths":{"r.example":{"auth":"aHVudGVyMg=="}}}"#,
        "hunter2",
        r#"["hunter2"]"#,
    ] {
        let error = Credentials::default()
            .add("some/file", text.as_bytes())
            .expect_err(text);
        let shown = format!("{error} {error:?}");
        assert!(shown.contains("some/file"), "{shown}");
        assert!(
            !shown.contains("hunter2") && !shown.contains("aHVu"),
            "{shown}"
        );
    }
    let error = Credentials::default()
        .add("f", b"{\n \"auths\": 7}")
        .expect_err("a number is no map");
    assert_eq!(
        error,
        Error::Json {
            file: "f".to_owned(),
            line: 2,
            column: 11
        }
    );
}

#[test]
fn helpers_that_would_be_needed_are_noted() {
    let all = credentials(&[
        ("one", r#"{"credHelpers":{"r.example":"ecr-login"}}"#),
        (
            "two",
            r#"{"credsStore":"desktop","auths":{"r.example":{}}}"#,
        ),
    ]);
    assert!(users(&all, "r.example/app").is_empty());
    let notes = all.notes(&repository("r.example/app"));
    assert_eq!(notes.len(), 2);
    assert!(
        notes[0].starts_with("one names a credential helper"),
        "{notes:?}"
    );
    assert!(notes[1].starts_with("two keeps its passwords"), "{notes:?}");
    assert_eq!(all.notes(&repository("q.example/app")).len(), 1);
}

#[test]
fn nothing_secret_is_in_the_debug_text() {
    let all = credentials(&[(
        "f",
        r#"{"auths":{"https://u:hunter2@q.example":{"username":"u"},"r.example":{"username":"u","password":"hunter2"}}}"#,
    )]);
    assert_eq!(format!("{all:?}"), r#"{"f": ["q.example", "r.example"]}"#);
}

#[test]
fn candidates_follow_the_documented_order() {
    let env = |name: &str| {
        let value = match name {
            "REGISTRY_AUTH_FILE" => "/auth.json",
            "DOCKER_CONFIG" => "/docker",
            "HOME" => "/home/u",
            "XDG_RUNTIME_DIR" => "",
            _ => return None,
        };
        Some(value.to_owned())
    };
    let expected = [
        "/auth.json",
        "/docker/config.json",
        "/docker/.dockerconfigjson",
        "/home/u/.docker/config.json",
        "/tekton/creds/.docker/config.json",
    ];
    assert_eq!(candidates(&env), expected.map(PathBuf::from));
    let env = |name: &str| (name == "HOME").then(|| "/tekton/creds".to_owned());
    assert_eq!(
        candidates(&env),
        [PathBuf::from("/tekton/creds/.docker/config.json")]
    );
}
