//! Programs that say the credentials: the `exec` of kubeconfigs, as `aws eks get-token` and the like are called.
//!
//! The protocol is client-go's: `KUBERNETES_EXEC_INFO` in, an `ExecCredential` on stdout
//! (<https://kubernetes.io/docs/reference/config-api/client-authentication.v1/>). Whoever writes a kubeconfig says what is started, so the
//! program is trusted as the file is; but it is not waited for without end, and what it answers is bounded. What it asks a person goes to
//! the terminal, and no answer is shown in an error: it is a secret.

use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use http::HeaderValue;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::io::AsyncReadExt as _;
use tokio::process::Command;
use tokio::time::timeout;
use zeroize::Zeroizing;

use crate::way::{self, Identity, WayError};
use crate::yaml::{self, Node};

/// How long a person may take to log in.
const LONGEST: Duration = Duration::from_secs(300);
/// The largest answer: a token, or certificates and a key.
const MOST_BYTES: usize = 256 * 1024;

/// The versions of the protocol. What we say in them is the same.
const VERSIONS: [&str; 2] = [
    "client.authentication.k8s.io/v1",
    "client.authentication.k8s.io/v1beta1",
];

/// A program as a kubeconfig names it.
pub(crate) struct Plugin {
    /// A path, or a name to look for in `PATH`.
    pub(crate) command: PathBuf,
    pub(crate) args: Vec<String>,
    pub(crate) env: Vec<(String, String)>,
    pub(crate) api_version: String,
    pub(crate) interaction: Interaction,
    /// What it is told of the cluster, if it wants to know.
    pub(crate) cluster: Option<Value>,
    /// What people should do where it is not there.
    pub(crate) install_hint: Option<String>,
}

/// Whether a program may ask a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Interaction {
    Always,
    IfAvailable,
    Never,
}

/// What a program said.
pub(crate) struct Answer {
    /// The header with its token.
    pub(crate) token: Option<HeaderValue>,
    pub(crate) identity: Option<Identity>,
    /// When to ask again; nothing for a token that stays good.
    pub(crate) expires: Option<Timestamp>,
}

/// Why a program said no credentials.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ExecError {
    #[error(
        "the kubeconfig wants {0:?} to say the credentials, in a version of the protocol that is not known"
    )]
    Version(PathBuf),
    #[error("{0:?} must ask a person for the credentials, and there is no terminal")]
    NoTerminal(PathBuf),
    #[error("cannot start {0:?}, which is to say the credentials{hint}", hint = .1.as_ref().map(|hint| format!("; {hint}")).unwrap_or_default())]
    Start(PathBuf, Option<String>, #[source] std::io::Error),
    #[error("{0:?}, which is to say the credentials, cannot be waited for")]
    Wait(PathBuf, #[source] std::io::Error),
    #[error("{0:?} said no credentials within {1} seconds")]
    Late(PathBuf, u64),
    #[error("{0:?}, which is to say the credentials, ended with {1}")]
    Failed(PathBuf, std::process::ExitStatus),
    #[error("what {0:?} said is no ExecCredential with a token, or with a certificate and a key")]
    Answer(PathBuf),
    #[error("what {0:?} said cannot be used")]
    Unusable(PathBuf, #[source] WayError),
}

impl Plugin {
    /// Starts the program and waits for what it says.
    pub(crate) async fn ask(&self) -> Result<Answer, ExecError> {
        if !VERSIONS.contains(&self.api_version.as_str()) {
            return Err(ExecError::Version(self.command.clone()));
        }
        let is_interactive = match self.interaction {
            Interaction::Never => false,
            Interaction::IfAvailable => std::io::stdin().is_terminal(),
            Interaction::Always if std::io::stdin().is_terminal() => true,
            Interaction::Always => return Err(ExecError::NoTerminal(self.command.clone())),
        };
        let mut spec = json!({"interactive": is_interactive});
        if let Some(cluster) = &self.cluster {
            spec["cluster"] = cluster.clone();
        }
        let info = json!({"apiVersion": self.api_version, "kind": "ExecCredential", "spec": spec});
        let stdin = match is_interactive {
            true => Stdio::inherit(),
            false => Stdio::null(),
        };
        let mut child = Command::new(&self.command)
            .args(&self.args)
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .env("KUBERNETES_EXEC_INFO", info.to_string())
            .stdin(stdin)
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| {
                ExecError::Start(self.command.clone(), self.install_hint.clone(), error)
            })?;
        let stdout = child.stdout.take();
        let answering = async {
            let mut text = Zeroizing::new(Vec::new());
            if let Some(stdout) = stdout {
                let mut bounded = stdout.take(MOST_BYTES as u64 + 1);
                bounded.read_to_end(&mut text).await?;
            }
            // Whoever writes more may wait for a reader that has gone.
            let status = match text.len() > MOST_BYTES {
                true => None,
                false => Some(child.wait().await?),
            };
            Ok((text, status))
        };
        let (text, status) = match timeout(LONGEST, answering).await {
            Ok(ended) => ended.map_err(|error| ExecError::Wait(self.command.clone(), error))?,
            Err(_) => return Err(ExecError::Late(self.command.clone(), LONGEST.as_secs())),
        };
        match status {
            Some(status) if status.success() => self.read(&text),
            Some(status) => Err(ExecError::Failed(self.command.clone(), status)),
            None => Err(ExecError::Answer(self.command.clone())),
        }
    }

    fn read(&self, bytes: &[u8]) -> Result<Answer, ExecError> {
        let no_answer = || ExecError::Answer(self.command.clone());
        let text = std::str::from_utf8(bytes).map_err(|_| no_answer())?;
        let document = yaml::read(text).map_err(|_| no_answer())?.swap_remove(0);
        let status = document.get("status").ok_or_else(no_answer)?;
        let get = |key| {
            let text = status.get(key).and_then(Node::text);
            text.filter(|text| !text.is_empty())
        };
        let unusable = |error| ExecError::Unusable(self.command.clone(), error);
        let identity = match (get("clientCertificateData"), get("clientKeyData")) {
            (Some(chain), Some(key)) => {
                let identity = way::identity(chain.as_bytes(), key.as_bytes());
                Some(identity.map_err(unusable)?)
            }
            _ => None,
        };
        let token = get("token").map(way::bearer).transpose();
        let token = token.map_err(unusable)?;
        if token.is_none() && identity.is_none() {
            return Err(no_answer());
        }
        let expires = match get("expirationTimestamp") {
            Some(text) => Some(text.parse().map_err(|_| no_answer())?),
            None => None,
        };
        Ok(Answer {
            token,
            identity,
            expires,
        })
    }
}

#[cfg(test)]
mod tests;
