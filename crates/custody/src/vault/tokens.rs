//! The token that Vault is shown: given, from a file, or by a login.
//!
//! What the settings say goes before the variables, as Tekton Chains has it: a login with a token of SPIRE, then a file, then a token, then a login. Then come those that sigstore's client looks
//! for: `VAULT_TOKEN`, `BAO_TOKEN`, `~/.vault-token`. A file is read with each request, which costs nothing beside it, so a token that was replaced is
//! taken at once. A login is <https://developer.hashicorp.com/vault/api-docs/auth/jwt#jwt-login> or
//! <https://developer.hashicorp.com/vault/api-docs/auth/kubernetes#login>, which have one form.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tekseal_remote::rest::{Method, Options};
use tokio::sync::Mutex;
use zeroize::Zeroizing;

use super::client::{Ask, Repeat, Vault};
use super::{SERVICE, place};
use crate::spiffe::Agent;
use crate::{Context, Error, secret_file};

const SERVICE_ACCOUNT_TOKEN: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";
const TOKEN_PATH: &str = "signers.kms.auth.token-path";
const LOGIN_TOKEN_PATH: &str = "signers.kms.auth.oidc.token-path";
const SPIRE_SOCKET: &str = "signers.kms.auth.spire.sock";
/// Where sigstore's client logs in unless it is told otherwise.
const SPIRE_LOGIN_PATH: &str = "jwt";
/// No token is longer.
const MOST_TOKEN: usize = 64 * 1024;
/// A login says which policies and what metadata the token has.
const MOST_LOGIN: u64 = 256 * 1024;
/// No token is held for longer, whatever its lease is.
const LONGEST_LEASE: Duration = Duration::from_secs(400 * 24 * 3600);
/// For so long nobody logs in anew because of refusals after a login that changed nothing about them.
const REST: Duration = Duration::from_secs(30);
/// So long before its end a token is not used any more; or a tenth of a lease that is short.
const BEFORE_END: Duration = Duration::from_secs(30);

/// A token, and which login gave it.
pub(super) struct Token {
    pub(super) text: Zeroizing<String>,
    login: Option<u64>,
}

/// Where tokens come from.
pub(super) enum Tokens {
    /// It is this one.
    Given {
        name: &'static str,
        token: Zeroizing<String>,
    },
    /// It is in this file.
    File {
        name: &'static str,
        path: PathBuf,
        ends: Ends,
    },
    /// It is given to whoever shows an identity token.
    Login(Box<Login>),
}

/// What around a token in a file is none of it.
#[derive(Clone, Copy)]
pub(super) enum Ends {
    /// One line end behind it, as Tekton Chains has it.
    OneNewline,
    /// All white space, as Vault's own client has it.
    Whitespace,
}

/// How to log in, and what came of it.
pub(super) struct Login {
    path: String,
    role: String,
    identity: Identity,
    session: Mutex<Session>,
}

/// Where the identity token of a login comes from.
enum Identity {
    /// It is in this file.
    File(PathBuf),
    /// The agent of SPIFFE gives one for this audience.
    Spiffe {
        agent: Agent,
        audience: String,
        options: Options,
    },
}

/// What the last login gave.
#[derive(Default)]
struct Session {
    /// How many there were.
    count: u64,
    token: Option<Zeroizing<String>>,
    /// When the token is to be used no more; nothing where it does not end.
    until: Option<Instant>,
    /// When a token that was given just before was refused as the one before it: then it is not the token that is wrong.
    refused: Option<Instant>,
}

#[derive(Serialize)]
struct Credentials<'a> {
    role: &'a str,
    jwt: &'a str,
}

#[derive(Deserialize)]
struct LoginAnswer {
    auth: Option<Auth>,
}

#[derive(Deserialize)]
struct Auth {
    #[serde(default)]
    client_token: String,
    #[serde(default)]
    lease_duration: u64,
}

impl Tokens {
    /// Which of them the settings and the variables mean. Nothing is read yet.
    pub(super) fn find(context: &Context) -> Result<Self, Error> {
        let set = &context.settings.vault;
        // In Chains the token that such a login gives takes the place of every other.
        if !set.spire_socket.is_empty() {
            return Login::with_spire(context).map(|login| Self::Login(Box::new(login)));
        }
        if !set.token_path.as_os_str().is_empty() {
            return Ok(Self::File {
                name: TOKEN_PATH,
                path: set.token_path.clone(),
                ends: Ends::OneNewline,
            });
        }
        if !set.token.is_empty() {
            return Ok(Self::Given {
                name: "signers.kms.auth.token",
                token: set.token.clone(),
            });
        }
        if !set.login_path.is_empty() && !set.login_role.is_empty() {
            return Ok(Self::Login(Box::new(Login {
                path: place::mount("signers.kms.auth.oidc.path", &set.login_path)?,
                role: set.login_role.clone(),
                identity: Identity::File(match set.login_token_path.as_os_str().is_empty() {
                    true => PathBuf::from(SERVICE_ACCOUNT_TOKEN),
                    false => set.login_token_path.clone(),
                }),
                session: Mutex::default(),
            })));
        }
        for name in ["VAULT_TOKEN", "BAO_TOKEN"] {
            if let Some(token) = context.variable(name) {
                let token = Zeroizing::new(token);
                return Ok(Self::Given { name, token });
            }
        }
        let home = (context.variables)("HOME").filter(|home| !home.is_empty());
        let path = home.map(|home| Path::new(&home).join(".vault-token"));
        if let Some(path) = path.filter(|path| path.is_file()) {
            return Ok(Self::File {
                name: "~/.vault-token",
                path,
                ends: Ends::Whitespace,
            });
        }
        let half = match set.login_path.is_empty() && set.login_role.is_empty() {
            true => "",
            false => ", of which only one is set",
        };
        Err(Error::NoCredentials {
            service: SERVICE,
            tried: format!(
                "there is no {TOKEN_PATH} or signers.kms.auth.token, no login (signers.kms.auth.oidc.path and signers.kms.auth.oidc.role{half}), \
                 no VAULT_TOKEN or BAO_TOKEN, and no file ~/.vault-token"
            ),
        })
    }

    /// What a user calls the place from which they come.
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Given { name, .. } | Self::File { name, .. } => name,
            Self::Login(_) => "the token that the login gave",
        }
    }

    /// The token to show now.
    pub(super) async fn current(&self, vault: &Vault) -> Result<Token, Error> {
        match self {
            Self::Given { token, .. } => Ok(Token {
                text: token.clone(),
                login: None,
            }),
            Self::File { name, path, ends } => Ok(Token {
                text: read(name, "the token of Vault", path, *ends)?,
                login: None,
            }),
            Self::Login(login) => {
                let mut session = login.session.lock().await;
                if let Some(token) = session.valid() {
                    return Ok(token);
                }
                login.enter(&mut session, vault).await
            }
        }
    }

    /// Another one, where `refused` was given by a login and others can be had.
    pub(super) async fn instead_of(
        &self,
        refused: &Token,
        vault: &Vault,
    ) -> Result<Option<Token>, Error> {
        let (Self::Login(login), Some(number)) = (self, refused.login) else {
            return Ok(None);
        };
        let mut session = login.session.lock().await;
        let is_in_vain = |since: Instant| since.elapsed() < REST;
        if session.refused.is_some_and(is_in_vain) {
            return Ok(None);
        }
        // Another request may have been refused before, and logged in already.
        if session.count != number
            && let Some(token) = session.valid()
        {
            return Ok(Some(token));
        }
        login.enter(&mut session, vault).await.map(Some)
    }

    /// Takes note that the token that took the place of one that was refused is refused too.
    pub(super) async fn note_refused(&self) {
        if let Self::Login(login) = self {
            login.session.lock().await.refused = Some(Instant::now());
        }
    }
}

impl Session {
    fn valid(&self) -> Option<Token> {
        let is_over = self.until.is_some_and(|until| Instant::now() >= until);
        let text = self.token.clone().filter(|_| !is_over)?;
        Some(Token {
            text,
            login: Some(self.count),
        })
    }
}

impl Identity {
    async fn fetch(&self) -> Result<Zeroizing<String>, Error> {
        match self {
            Self::File(path) => read(
                LOGIN_TOKEN_PATH,
                "the identity token to log in to Vault with",
                path,
                Ends::Whitespace,
            ),
            Self::Spiffe {
                agent,
                audience,
                options,
            } => {
                let svid = agent.svid(audience, options).await;
                Ok(svid.map_err(|source| Error::Spiffe { source })?.text)
            }
        }
    }
}

impl Login {
    /// With what Chains' `signers.kms.auth.spire.*` say. Path and role are those of `signers.kms.auth.oidc.*`; Vault has a role where none is named.
    fn with_spire(context: &Context) -> Result<Self, Error> {
        let set = &context.settings.vault;
        if set.spire_audience.is_empty() {
            return Err(Error::Setting {
                name: "signers.kms.auth.spire.audience".to_owned(),
                reason: "it is empty, and an agent of SPIFFE gives no token for nobody".to_owned(),
            });
        }
        let path = match set.login_path.is_empty() {
            true => SPIRE_LOGIN_PATH,
            false => &set.login_path,
        };
        let agent = Agent::at(SPIRE_SOCKET, &set.spire_socket);
        Ok(Self {
            path: place::mount("signers.kms.auth.oidc.path", path)?,
            role: set.login_role.clone(),
            identity: Identity::Spiffe {
                agent: agent.map_err(|source| Error::Spiffe { source })?,
                audience: set.spire_audience.clone(),
                options: context.settings.options.clone(),
            },
            session: Mutex::default(),
        })
    }

    async fn enter(&self, session: &mut Session, vault: &Vault) -> Result<Token, Error> {
        session.token = None;
        let identity = self.identity.fetch().await?;
        let body = serde_json::to_vec(&Credentials {
            role: &self.role,
            jwt: &identity,
        });
        let path = format!("auth/{}/login", self.path);
        let ask = Ask {
            action: format!("log in at {path} as {:?}", self.role),
            method: Method::POST,
            path: &path,
            body: Some(body.expect("texts have a form in JSON")),
            limit: MOST_LOGIN,
            repeat: Repeat::Harmless,
            capability: "",
        };
        let began = Instant::now();
        let answer = vault.send(&ask, None, Some(&identity)).await?;
        let login: LoginAnswer = ask.read(&answer, "a token")?;
        let auth = login.auth.filter(|auth| !auth.client_token.is_empty());
        let Some(auth) = auth else {
            // So it answers where it wants a second factor.
            return Err(ask.wrong("no token".to_owned(), "one"));
        };
        session.count += 1;
        session.until = end_of(began, auth.lease_duration);
        let token = Zeroizing::new(auth.client_token);
        session.token = Some(token.clone());
        Ok(Token {
            text: token,
            login: Some(session.count),
        })
    }
}

/// When a token that was asked for at `began` is to be used no more.
fn end_of(began: Instant, lease: u64) -> Option<Instant> {
    if lease == 0 {
        return None;
    }
    let lease = Duration::from_secs(lease).min(LONGEST_LEASE);
    began.checked_add(lease - (lease / 10).min(BEFORE_END))
}

/// The token in a file.
fn read(
    name: &'static str,
    what: &'static str,
    path: &Path,
    ends: Ends,
) -> Result<Zeroizing<String>, Error> {
    let wrong = |reason: &str| Error::Setting {
        name: name.to_owned(),
        reason: format!("{} {reason}", path.display()),
    };
    let bytes = secret_file::read(path, MOST_TOKEN).map_err(|source| Error::File {
        what,
        path: path.to_owned(),
        source,
    })?;
    if bytes.len() > MOST_TOKEN {
        return Err(wrong("is too large for a token"));
    }
    let text = std::str::from_utf8(&bytes).map_err(|_| wrong("holds no text"))?;
    let text = match ends {
        Ends::OneNewline => text.strip_suffix('\n').unwrap_or(text),
        Ends::Whitespace => text.trim(),
    };
    match text.is_empty() {
        true => Err(wrong("is empty")),
        false => Ok(Zeroizing::new(text.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_ends_early_and_any_number_of_seconds_is_one() {
        let now = Instant::now();
        assert_eq!(end_of(now, 0), None);
        let left = |lease| {
            let end = end_of(now, lease).expect("it ends");
            end.duration_since(now)
        };
        assert_eq!(left(10), Duration::from_secs(9));
        assert_eq!(left(3600), Duration::from_secs(3570));
        assert!(left(u64::MAX) < LONGEST_LEASE);
    }
}
