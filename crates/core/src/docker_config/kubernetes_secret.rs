//! Reads registry credentials from Secrets of Kubernetes.
//!
//! Known are the two forms that Kubernetes itself and Chains take (`kubernetes.io/dockerconfigjson` and
//! `kubernetes.io/dockercfg`, <https://kubernetes.io/docs/concepts/configuration/secret/#docker-config-secrets>), and
//! Tekton's `kubernetes.io/basic-auth`, whose annotations `tekton.dev/docker-0`, `-1`, … name the registries
//! (<https://tekton.dev/docs/pipelines/auth/>). Secrets are fetched elsewhere: only their content comes in.

use std::collections::BTreeMap;

use zeroize::Zeroizing;

use super::{Credentials, Entry, Fault, Form, Origin, Scope, Secret, Source};

/// One Secret, as far as registries are concerned. It shows nothing of its content.
#[derive(Clone, Copy)]
pub struct KubernetesSecret<'a> {
    /// What messages call it: `namespace/name`.
    pub name: &'a str,
    /// `type`.
    pub kind: &'a str,
    /// `metadata.annotations`.
    pub annotations: &'a BTreeMap<String, String>,
    /// Looks up a value of `data`, decoded from base64.
    pub data: &'a dyn Fn(&str) -> Option<&'a [u8]>,
}

/// Why a Secret is not understood. Nothing of its content is in it, not even the registries it names.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SecretError {
    /// Its type promises content that is not there.
    #[error("secret {name} has no {key:?}")]
    Missing {
        /// Namespace and name.
        name: String,
        /// The key of `data`.
        key: &'static str,
    },
    /// No JSON, or JSON of another shape.
    #[error("{key:?} of secret {name} is malformed at line {line}, column {column}")]
    Json {
        /// Namespace and name.
        name: String,
        /// The key of `data`.
        key: &'static str,
        /// Line of the fault, from 1.
        line: usize,
        /// Column of the fault, from 1.
        column: usize,
    },
    /// An `auth` is not base64 of `username:password`.
    #[error("{key:?} of secret {name} has an \"auth\" that is not the base64 of username:password")]
    Auth {
        /// Namespace and name.
        name: String,
        /// The key of `data`.
        key: &'static str,
    },
    /// A user name or password that no header can hold.
    #[error("{key:?} of secret {name} is not UTF-8")]
    Text {
        /// Namespace and name.
        name: String,
        /// The key of `data`.
        key: &'static str,
    },
}

const DOCKER_CONFIG_JSON: (&str, &str) = ("kubernetes.io/dockerconfigjson", ".dockerconfigjson");
const DOCKER_CFG: (&str, &str) = ("kubernetes.io/dockercfg", ".dockercfg");
const BASIC_AUTH: &str = "kubernetes.io/basic-auth";

/// What Tekton's annotations begin with; what follows only tells several of them apart.
const REGISTRY_ANNOTATION: &str = "tekton.dev/docker-";

impl Credentials {
    /// Adds what `secret` holds for registries. One of another type, or of `basic-auth` that names no registry, holds
    /// nothing.
    ///
    /// Of several Secrets the longest path wins. Equally specific entries are tried in the order in which their Secrets
    /// were added, those of `basic-auth` after all others, because Chains does not know them.
    ///
    /// # Errors
    /// [`SecretError`] if it is malformed; nothing of it is added then.
    pub fn add_secret(&mut self, secret: &KubernetesSecret<'_>) -> Result<(), SecretError> {
        let source = match secret.kind {
            kind if kind == DOCKER_CONFIG_JSON.0 => {
                Some(secret.docker(Form::Any, DOCKER_CONFIG_JSON.1)?)
            }
            kind if kind == DOCKER_CFG.0 => Some(secret.docker(Form::Old, DOCKER_CFG.1)?),
            BASIC_AUTH => secret.basic()?,
            _ => None,
        };
        self.sources.extend(source);
        Ok(())
    }
}

impl KubernetesSecret<'_> {
    /// Whether Secrets of this type can hold anything for registries.
    #[must_use]
    pub fn may_hold(kind: &str) -> bool {
        [DOCKER_CONFIG_JSON.0, DOCKER_CFG.0, BASIC_AUTH].contains(&kind)
    }

    fn docker(&self, form: Form, key: &'static str) -> Result<Source, SecretError> {
        let bytes = self.value(key)?;
        Source::parse(&self.label(), Origin::DockerSecret, form, bytes).map_err(|fault| {
            let name = self.name.to_owned();
            match fault {
                Fault::Json { line, column } => SecretError::Json {
                    name,
                    key,
                    line,
                    column,
                },
                Fault::Auth { key: _ } => SecretError::Auth { name, key },
            }
        })
    }

    /// User and password for each registry that an annotation names; `None` if none does, as when they are for git.
    fn basic(&self) -> Result<Option<Source>, SecretError> {
        let registries: Vec<_> = self
            .annotations
            .iter()
            .filter(|(name, registry)| {
                name.starts_with(REGISTRY_ANNOTATION) && !registry.trim().is_empty()
            })
            .map(|(_, registry)| registry.trim())
            .collect();
        if registries.is_empty() {
            return Ok(None);
        }
        let (username, password) = (self.text("username")?, self.text("password")?);
        let mut source = Source::empty(&self.label(), Origin::BasicSecret);
        source.entries = registries
            .into_iter()
            .map(|registry| Entry {
                scope: Scope::new(registry.to_owned()),
                secret: Secret {
                    username: username.to_owned(),
                    password: Zeroizing::new(password.to_owned()),
                    ..Secret::default()
                },
            })
            .collect();
        Ok(Some(source))
    }

    /// A value that is there and not blank.
    fn value(&self, key: &'static str) -> Result<&[u8], SecretError> {
        (self.data)(key)
            .filter(|value| !value.trim_ascii().is_empty())
            .ok_or_else(|| SecretError::Missing {
                name: self.name.to_owned(),
                key,
            })
    }

    fn text(&self, key: &'static str) -> Result<&str, SecretError> {
        std::str::from_utf8(self.value(key)?).map_err(|_| SecretError::Text {
            name: self.name.to_owned(),
            key,
        })
    }

    fn label(&self) -> String {
        format!("secret {}", self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::Repository;

    type Texts<'a> = &'a [(&'a str, &'a str)];

    fn add(
        credentials: &mut Credentials,
        name: &str,
        kind: &str,
        annotations: Texts<'_>,
        data: Texts<'_>,
    ) -> Result<(), SecretError> {
        let annotations = annotations
            .iter()
            .map(|&(key, value)| (key.to_owned(), value.to_owned()))
            .collect();
        let value = |key: &str| {
            let found = data.iter().find(|(known, _)| *known == key);
            found.map(|(_, value)| value.as_bytes())
        };
        credentials.add_secret(&KubernetesSecret {
            name,
            kind: &format!("kubernetes.io/{kind}"),
            annotations: &annotations,
            data: &value,
        })
    }

    /// `docker`, `old` or `basic`, with the user for each registry.
    fn of(secrets: &[(&str, Texts<'_>)]) -> Credentials {
        let mut credentials = Credentials::default();
        for (number, (kind, users)) in secrets.iter().enumerate() {
            let name = format!("ns/{number}");
            let entries: Vec<_> = users
                .iter()
                .map(|(registry, user)| format!(r#""{registry}":{{"username":"{user}"}}"#))
                .collect();
            let entries = format!("{{{}}}", entries.join(","));
            let added = match *kind {
                "docker" => {
                    let json = format!(r#"{{"auths":{entries}}}"#);
                    let data = [(".dockerconfigjson", json.as_str())];
                    add(&mut credentials, &name, "dockerconfigjson", &[], &data)
                }
                "old" => {
                    let data = [(".dockercfg", entries.as_str())];
                    add(&mut credentials, &name, "dockercfg", &[], &data)
                }
                _ => {
                    let (registry, user) = users[0];
                    let annotations = [("tekton.dev/docker-0", registry)];
                    let data = [("username", user), ("password", "p")];
                    add(&mut credentials, &name, "basic-auth", &annotations, &data)
                }
            };
            added.expect("the secret is well formed");
        }
        credentials
    }

    fn users<'a>(credentials: &'a Credentials, repository: &str) -> Vec<&'a str> {
        let repository = Repository::parse(repository).expect("the name is well formed");
        let found = credentials.for_repository(&repository);
        let users = found.iter().map(|found| &found.entry.secret.username);
        users.map(String::as_str).collect()
    }

    #[test]
    fn equally_specific_entries_are_tried_in_the_order_of_their_secrets() {
        let all = of(&[
            ("docker", &[("r.example", "b")]),
            ("old", &[("https://r.example/v1/", "a")]),
            ("docker", &[("r.example", "c"), ("q.example", "q")]),
        ]);
        assert_eq!(users(&all, "r.example/org/app"), ["b", "a", "c"]);
        assert_eq!(users(&all, "q.example/app"), ["q"]);
        let all = of(&[
            ("docker", &[("docker.io", "first")]),
            (
                "docker",
                &[
                    ("docker.io", "third"),
                    ("https://index.docker.io/v1/", "second"),
                ],
            ),
        ]);
        assert_eq!(users(&all, "busybox"), ["first", "second", "third"]);
    }

    #[test]
    fn a_longer_path_wins_over_the_order_of_the_secrets() {
        let all = of(&[
            ("docker", &[("r.example", "host")]),
            ("docker", &[("r.example/org", "org")]),
            ("basic", &[("https://r.example/org/app", "app")]),
        ]);
        assert_eq!(users(&all, "r.example/org/app"), ["app", "org", "host"]);
        assert_eq!(users(&all, "r.example/organic"), ["host"]);
    }

    #[test]
    fn basic_auth_comes_after_what_chains_knows() {
        let all = of(&[
            ("basic", &[("https://r.example", "basic")]),
            ("docker", &[("r.example", "docker")]),
        ]);
        assert_eq!(users(&all, "r.example/app"), ["docker", "basic"]);
    }

    #[test]
    fn basic_auth_serves_every_registry_that_an_annotation_names() {
        let mut all = Credentials::default();
        let annotations = [
            ("tekton.dev/docker-0", "https://index.docker.io/v1/"),
            ("tekton.dev/docker-mirror", " r.example:5000/org "),
            ("tekton.dev/docker-2", ""),
            ("tekton.dev/git-0", "https://git.example"),
        ];
        let login = [("username", "user"), ("password", "pa:ss\n")];
        add(&mut all, "ns/n", "basic-auth", &annotations, &login).expect("it is well formed");
        assert_eq!(users(&all, "busybox"), ["user"]);
        assert_eq!(users(&all, "r.example:5000/org/app"), ["user"]);
        assert!(users(&all, "git.example/app").is_empty());
        let repository = Repository::parse("busybox").expect("the name is well formed");
        let found = all.for_repository(&repository);
        assert_eq!(found[0].secret().basic(), Some(("user", "pa:ss\n")));
        assert_eq!(
            found[0].to_string(),
            "key \"https://index.docker.io/v1/\" in secret ns/n"
        );
    }

    #[test]
    fn secrets_that_are_not_for_registries_add_nothing() {
        let mut all = Credentials::default();
        for (kind, annotations) in [
            ("basic-auth", [("tekton.dev/git-0", "https://r.example")]),
            (
                "service-account-token",
                [("tekton.dev/docker-0", "r.example")],
            ),
        ] {
            add(&mut all, "ns/n", kind, &annotations, &[]).expect("there is nothing to read");
        }
        assert!(all.sources.is_empty());
    }

    #[test]
    fn a_file_before_secrets_goes_alone() {
        let mut all = Credentials::default();
        all.add("f", br#"{"auths":{"r.example":{"username":"file"}}}"#)
            .expect("the file is well formed");
        let data = [(
            ".dockerconfigjson",
            r#"{"auths":{"r.example/org":{"username":"secret"}}}"#,
        )];
        add(&mut all, "ns/n", "dockerconfigjson", &[], &data).expect("it is well formed");
        assert_eq!(users(&all, "r.example/org/app"), ["file"]);
    }

    #[test]
    fn malformed_secrets_are_refused_whole_without_telling_their_content() {
        let registry: Texts<'_> = &[("tekton.dev/docker-0", "hunter2.example")];
        let cases: &[(&str, Texts<'_>, &str)] = &[
            (
                "dockerconfigjson",
                &[],
                r#"secret ns/n has no ".dockerconfigjson""#,
            ),
            (
                "dockerconfigjson",
                &[(".dockerconfigjson", " ")],
                r#"secret ns/n has no ".dockerconfigjson""#,
            ),
            (
                "dockerconfigjson",
                &[(".dockercfg", "{}")],
                r#"secret ns/n has no ".dockerconfigjson""#,
            ),
            (
                "dockerconfigjson",
                &[(".dockerconfigjson", "hunter2")],
                r#"".dockerconfigjson" of secret ns/n is malformed at line 1, column 1"#,
            ),
            (
                "dockerconfigjson",
                &[(
                    ".dockerconfigjson",
                    r#"{"auths":{"a.example":{"username":"u"},"hunter2":{"auth":"aHVudGVyMg=="}}}"#,
                )],
                r#"".dockerconfigjson" of secret ns/n has an "auth" that is not the base64 of username:password"#,
            ),
            (
                "dockercfg",
                &[(".dockercfg", r#"{"r.example":"hunter2"}"#)],
                r#"".dockercfg" of secret ns/n is malformed at line 1, column 22"#,
            ),
            (
                "basic-auth",
                &[("username", "hunter2")],
                r#"secret ns/n has no "password""#,
            ),
        ];
        for (kind, data, expected) in cases {
            let mut all = Credentials::default();
            let error = add(&mut all, "ns/n", kind, registry, data).expect_err(expected);
            assert_eq!(error.to_string(), *expected);
            let shown = format!("{error:?} {all:?}");
            assert!(
                !shown.contains("hunter2") && !shown.contains("aHVu"),
                "{shown}"
            );
            assert!(all.sources.is_empty(), "{expected}");
        }
    }

    #[test]
    fn a_password_that_is_no_text_is_refused() {
        let annotations = BTreeMap::from([("tekton.dev/docker-0".to_owned(), "r".to_owned())]);
        let error = Credentials::default().add_secret(&KubernetesSecret {
            name: "ns/n",
            kind: BASIC_AUTH,
            annotations: &annotations,
            data: &|key| Some(if key == "password" { b"\xff" } else { b"u" }),
        });
        let error = error.expect_err("it is no text");
        assert_eq!(
            error.to_string(),
            r#""password" of secret ns/n is not UTF-8"#
        );
    }

    #[test]
    fn nothing_secret_is_in_the_debug_text() {
        let all = of(&[
            ("docker", &[("r.example", "hunter2")]),
            ("basic", &[("q.example", "hunter2")]),
        ]);
        assert_eq!(
            format!("{all:?}"),
            r#"{"secret ns/0": ["r.example"], "secret ns/1": ["q.example"]}"#
        );
    }
}
