//! The token flow of registries: a challenge, a token server that checks the login and the scope, tokens that expire.
//!
//! Specification: <https://distribution.github.io/distribution/spec/auth/token/> and, for identity tokens, `…/auth/oauth/`.

use std::collections::BTreeMap;
use std::sync::Mutex;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::lock;
use crate::http::{Answer, Request, find};

pub(super) const PATH: &str = "/token";
const SERVICE: &str = "registry.test";

/// Whom the token server knows.
#[derive(Clone, Debug)]
pub struct Bearer {
    user: String,
    password: String,
    identity_token: Option<String>,
    anonymous_pull: bool,
}

impl Bearer {
    /// One user, who may do everything; nobody else may do anything.
    #[must_use]
    pub fn new(user: &str, password: &str) -> Self {
        Self {
            user: user.to_owned(),
            password: password.to_owned(),
            identity_token: None,
            anonymous_pull: false,
        }
    }

    /// Also gives tokens for this identity (refresh) token, by POST.
    #[must_use]
    pub fn with_identity_token(mut self, token: &str) -> Self {
        self.identity_token = Some(token.to_owned());
        self
    }

    /// Lets everybody pull.
    #[must_use]
    pub fn with_anonymous_pull(mut self) -> Self {
        self.anonymous_pull = true;
        self
    }
}

pub(super) struct TokenServer {
    bearer: Bearer,
    realm: String,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    given: usize,
    asked: Vec<String>,
    /// What each token is good for: `(repository, action)`.
    tokens: BTreeMap<String, Vec<(String, String)>>,
}

impl TokenServer {
    pub(super) fn new(bearer: Bearer, address: &str) -> Self {
        Self {
            bearer,
            realm: format!("http://{address}{PATH}"),
            state: Mutex::default(),
        }
    }

    pub(super) fn expire(&self) {
        lock(&self.state).tokens.clear();
    }

    pub(super) fn asked(&self) -> Vec<String> {
        lock(&self.state).asked.clone()
    }

    /// The challenge, when the request has no token that is good for it.
    pub(super) fn refuse(&self, request: &Request) -> Option<Answer> {
        let rest = request.path().strip_prefix("/v2/")?;
        let repository = ["/manifests/", "/blobs/", "/tags/", "/referrers/"]
            .iter()
            .find_map(|part| rest.rfind(part))
            .map(|end| &rest[..end]);
        let needed: &[&str] = if matches!(request.method.as_str(), "GET" | "HEAD") {
            &["pull"]
        } else {
            &["pull", "push"]
        };
        let token =
            find(&request.headers, "authorization").and_then(|value| value.strip_prefix("Bearer "));
        let granted = token.and_then(|token| lock(&self.state).tokens.get(token).cloned());
        let good = granted.as_ref().is_some_and(|granted| {
            repository.is_none_or(|name| {
                needed
                    .iter()
                    .all(|action| granted.iter().any(|(r, a)| r == name && a == action))
            })
        });
        if good {
            return None;
        }
        let mut challenge = format!(r#"Bearer realm="{}",service="{SERVICE}""#, self.realm);
        if let Some(name) = repository {
            challenge += &format!(r#",scope="repository:{name}:{}""#, needed.join(","));
        }
        if granted.is_some() {
            challenge += r#",error="insufficient_scope""#;
        } else if token.is_some() {
            challenge += r#",error="invalid_token""#;
        }
        let body =
            json!({"errors": [{"code": "UNAUTHORIZED", "message": "authentication required"}]})
                .to_string();
        Some(Answer::new(
            401,
            &[
                ("WWW-Authenticate", &challenge),
                ("Content-Type", "application/json"),
            ],
            body.as_bytes(),
        ))
    }

    /// The answer of the token endpoint.
    pub(super) fn grant(&self, request: &Request) -> Answer {
        let form = match request.method.as_str() {
            "GET" => request
                .target
                .split_once('?')
                .map_or(String::new(), |(_, query)| query.to_owned()),
            "POST" => String::from_utf8_lossy(&request.body).into_owned(),
            _ => return Answer::new(405, &[], b""),
        };
        let fields: Vec<(String, String)> = form
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .map(|(n, v)| (decode(n), decode(v)))
            .collect();
        let field = |name: &str| find(&fields, name);
        let scopes: Vec<String> = fields
            .iter()
            .filter(|(name, _)| name == "scope")
            .flat_map(|(_, value)| value.split(' ').map(str::to_owned))
            .collect();
        lock(&self.state).asked.extend(scopes.iter().cloned());
        if field("service") != Some(SERVICE) {
            return Answer::new(400, &[], b"unknown service");
        }
        let known = match request.method.as_str() {
            "POST" => {
                field("grant_type") == Some("refresh_token")
                    && field("refresh_token").is_some()
                    && field("refresh_token") == self.bearer.identity_token.as_deref()
            }
            _ => match find(&request.headers, "authorization") {
                Some(login) => {
                    login
                        == format!(
                            "Basic {}",
                            STANDARD
                                .encode(format!("{}:{}", self.bearer.user, self.bearer.password))
                        )
                }
                None if self.bearer.anonymous_pull => return self.give(&scopes, &["pull"]),
                None => false,
            },
        };
        if !known {
            return Answer::new(
                401,
                &[("Content-Type", "application/json")],
                br#"{"errors":[{"code":"UNAUTHORIZED","message":"wrong login"}]}"#,
            );
        }
        self.give(&scopes, &["pull", "push", "delete"])
    }

    /// A token for these scopes, as far as the caller may do these actions.
    fn give(&self, scopes: &[String], allowed: &[&str]) -> Answer {
        let mut state = lock(&self.state);
        state.given += 1;
        let token = format!("token-{}", state.given);
        let granted = scopes
            .iter()
            .flat_map(|scope| actions(scope))
            .filter(|(_, action)| allowed.contains(&action.as_str()))
            .collect();
        state.tokens.insert(token.clone(), granted);
        let body = json!({"token": token, "access_token": token, "expires_in": 300}).to_string();
        Answer::new(
            200,
            &[("Content-Type", "application/json")],
            body.as_bytes(),
        )
    }
}

/// `repository:NAME:ACTION,ACTION` as pairs. A name may contain colons (a port).
fn actions(scope: &str) -> Vec<(String, String)> {
    let Some((name, actions)) = scope
        .strip_prefix("repository:")
        .and_then(|rest| rest.rsplit_once(':'))
    else {
        return Vec::new();
    };
    actions
        .split(',')
        .map(|action| (name.to_owned(), action.to_owned()))
        .collect()
}

fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let (mut out, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        let hex = text
            .get(at + 1..at + 3)
            .filter(|_| bytes[at] == b'%')
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        out.push(hex.unwrap_or(if bytes[at] == b'+' { b' ' } else { bytes[at] }));
        at += if hex.is_some() { 3 } else { 1 };
    }
    String::from_utf8_lossy(&out).into_owned()
}
