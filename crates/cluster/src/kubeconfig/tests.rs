use std::fs;

use tempfile::TempDir;

use super::*;

/// Any certificate will do.
const CERTIFICATE: &str = include_str!("../../../remote/tests/data/ca.pem");

fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (name, text) in files {
        fs::write(folder.path().join(name), text).expect("the folder is ours");
    }
    folder
}

fn way(texts: &[&str]) -> Result<Way, WayError> {
    let folder = folder(&[("token", "from a file\n"), ("ca.pem", CERTIFICATE)]);
    let mut files = Files::default();
    for (at, text) in texts.iter().enumerate() {
        let path = folder.path().join(format!("{at}.yaml"));
        fs::write(&path, text).expect("the folder is ours");
        files.add(&path)?;
    }
    files.way()
}

/// A kubeconfig with this for its cluster and its user.
fn config(cluster: &str, user: &str) -> String {
    format!(
        "current-context: c\ncontexts: [{{name: c, context: {{cluster: a, user: b, namespace: team}}}}]\nclusters:\n- name: a\n  cluster: {cluster}\nusers:\n- name: b\n  user: {user}\n"
    )
}

const SERVER: &str = "{server: 'https://kube.example:6443/prefix'}";

fn refused(texts: &[&str]) -> String {
    match way(texts) {
        Ok(_) => panic!("there is a way: {texts:?}"),
        Err(error) => error.to_string(),
    }
}

fn header(way: &Way) -> &str {
    match &way.credential {
        Credential::Fixed(value) => {
            assert!(value.is_sensitive());
            value.to_str().expect("it is a text")
        }
        Credential::None => "none",
        Credential::File(_) => "file",
        Credential::Program(_) => "program",
    }
}

#[test]
fn what_a_context_names_is_taken_and_the_first_file_wins() {
    let first = "current-context: c\nclusters: [{name: a, cluster: {server: 'https://first'}}]";
    let found = way(&[first, &config(SERVER, "{token: t}")]).expect("it is a way");
    assert_eq!(found.server.host(), Some("first"));
    assert_eq!(found.namespace, "team");
    assert_eq!(header(&found), "Bearer t");
    assert!(matches!(found.trust, Trust::System));
    let found = way(&[&config(SERVER, "{}")]).expect("it is a way");
    assert_eq!(found.server.to_string(), "https://kube.example:6443/prefix");
    assert_eq!(header(&found), "none");
    // Like client-go, nobody is missed who is not there.
    let stranger = config(SERVER, "{}").replace("user: b,", "user: nobody,");
    assert_eq!(header(&way(&[&stranger]).expect("it is a way")), "none");
}

#[test]
fn each_credential_is_known_by_its_name() {
    for (user, wanted) in [
        ("{token: t}", "Bearer t"),
        ("{token: t, tokenFile: token}", "file"),
        ("{username: a, password: 'b:c'}", "Basic YTpiOmM="),
        (
            "{auth-provider: {name: oidc, config: {id-token: t}}}",
            "Bearer t",
        ),
        (
            "{exec: {apiVersion: client.authentication.k8s.io/v1, command: aws}}",
            "program",
        ),
    ] {
        let found = way(&[&config(SERVER, user)]).expect("it is a way");
        assert_eq!(header(&found), wanted, "{user}");
    }
    let user = "{as: a, as-uid: '1', as-groups: [g, h], as-user-extra: {Some/Key: [v]}}";
    let found = way(&[&config(SERVER, user)]).expect("it is a way");
    let headers: Vec<_> = found
        .headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.to_str().expect("a text")))
        .collect();
    assert_eq!(
        headers,
        [
            ("impersonate-user", "a"),
            ("impersonate-uid", "1"),
            ("impersonate-group", "g"),
            ("impersonate-group", "h"),
            ("impersonate-extra-some%2fkey", "v"),
        ]
    );
}

#[test]
fn whom_to_believe_is_data_or_a_file_beside_the_kubeconfig() {
    let data = encoded(CERTIFICATE.as_bytes());
    for cluster in [
        format!("{{server: 'https://a', certificate-authority-data: {data}}}"),
        "{server: 'https://a', certificate-authority: ca.pem}".to_owned(),
        format!(
            "{{server: 'https://a', certificate-authority: absent, certificate-authority-data: {data}}}"
        ),
    ] {
        let found = way(&[&config(&cluster, "{}")]).expect("it is a way");
        assert!(matches!(found.trust, Trust::Authorities(all) if all.len() == 1));
    }
    let everybody = "{server: 'https://a', insecure-skip-tls-verify: true, tls-server-name: b}";
    let found = way(&[&config(everybody, "{}")]).expect("it is a way");
    assert!(matches!(found.trust, Trust::DangerAnybody));
    assert_eq!(found.server_name.as_deref(), Some("b"));
}

#[test]
fn what_a_program_is_told_is_what_the_kubeconfig_says() {
    let cluster = "{server: 'https://a', extensions: [{name: client.authentication.k8s.io/exec, extension: {b: 1, c: [d]}}]}";
    let user = "{exec: {apiVersion: v, command: ./bin/p, args: [e, 'f g'], env: [{name: H, value: i}], provideClusterInfo: true, interactiveMode: Never, installHint: j}}";
    let found = way(&[&config(cluster, user)]).expect("it is a way");
    let Credential::Program(plugin) = found.credential else {
        panic!("it is a program");
    };
    assert!(plugin.command.is_absolute() && plugin.command.ends_with("bin/p"));
    assert_eq!(plugin.args, ["e", "f g"]);
    assert_eq!(plugin.env, [("H".to_owned(), "i".to_owned())]);
    assert_eq!(plugin.interaction, Interaction::Never);
    assert_eq!(
        plugin.cluster,
        Some(json!({"server": "https://a", "config": {"b": 1, "c": ["d"]}}))
    );
}

#[test]
fn what_leads_nowhere_is_named_and_no_secret_is_told() {
    for (text, said) in [
        (String::new(), "no current-context"),
        ("{}".to_owned(), "no current-context"),
        ("current-context: c".to_owned(), "no context \"c\""),
        (
            config(SERVER, "{}").replace("cluster: a", "cluster: x"),
            "no cluster \"x\"",
        ),
        (config("{}", "{}"), "has no server"),
        (config("{server: 'ftp://a'}", "{}"), "a URL with https"),
        (config("{server: a}", "{}"), "a URL with https"),
        (
            config("{server: 'https://a', proxy-url: 'socks5://b'}", "{}"),
            "only proxies of http and https",
        ),
        (
            config(
                "{server: 'https://a', certificate-authority-data: hunter2}",
                "{}",
            ),
            "certificate-authority-data",
        ),
        (
            config("{server: 'https://a', insecure-skip-tls-verify: yes}", "{}"),
            "it must be true or false",
        ),
        (
            config(SERVER, "{token: \"hunter2\\n hunter2\"}"),
            "in a header",
        ),
        (config(SERVER, "{tokenFile: absent}"), "cannot read"),
        (
            config(
                SERVER,
                "{client-certificate-data: aHVudGVyMg==, client-key-data: aHVudGVyMg==}",
            ),
            "no certificate in PEM",
        ),
        (
            config(SERVER, "{client-key-data: aHVudGVyMg==}"),
            "beside the key",
        ),
        (
            config(SERVER, "{auth-provider: {name: gcp}}"),
            "1.26 dropped it",
        ),
        (config(SERVER, "{exec: {command: a}}"), "no apiVersion"),
        (config(SERVER, "{exec: {apiVersion: v1}}"), "no command"),
        (
            config(SERVER, "{token: *hunter2}"),
            "no YAML of a kubeconfig",
        ),
    ] {
        let refused = refused(&[&text]);
        assert!(refused.contains(said), "{text}: {refused}");
        assert!(!refused.contains("hunter2"), "{refused}");
    }
}
