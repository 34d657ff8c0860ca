//! Keys in the CI/CD variables of a GitLab project or group, where `cosign generate-key-pair gitlab://…` puts them.
//!
//! Specification: <https://docs.gitlab.com/api/project_level_variables/> and <https://docs.gitlab.com/api/group_level_variables/>; names and variables
//! as in cosign's `pkg/cosign/git/gitlab`. As there, a reference is a project if there is one of that name, else a group.

use std::path::PathBuf;

use anyhow::anyhow;
use serde::Deserialize;
use tekseal_core::percent;
use tekseal_remote::Rest;
use tekseal_remote::rest::header::HeaderName;
use tekseal_remote::rest::{Answer, Method, Request, Url};
use tekseal_signing::Zeroizing;

use crate::Failure;
use crate::key_url::{client, failed, parse, refused, warn_of_plain_http};

/// Variable with the encrypted private key, PEM.
pub(crate) const PRIVATE_KEY: &str = "COSIGN_PRIVATE_KEY";
/// Variable with its password.
pub(crate) const PASSWORD: &str = "COSIGN_PASSWORD";
/// Variable with the public key, PEM.
pub(crate) const PUBLIC_KEY: &str = "COSIGN_PUBLIC_KEY";

/// Variable of the environment with the token that opens GitLab.
const TOKEN: &str = "GITLAB_TOKEN";
/// Variable of the environment with the address of a GitLab that is not gitlab.com.
const HOST: &str = "GITLAB_HOST";
const DEFAULT_HOST: &str = "https://gitlab.com";

/// What GitLab says of a project has tens of kilobytes, a variable at most ten.
const MOST_ANSWER: u64 = 1 << 20;

/// A project or a group, and the token that opens it.
pub(crate) struct Gitlab {
    rest: Rest,
    token: Zeroizing<String>,
    /// The address of its part of the API: `…/api/v4/projects/ID`.
    place: Url,
}

/// One CI/CD variable.
#[derive(Deserialize)]
struct Variable {
    value: String,
}

impl Gitlab {
    /// Finds the project or group of a reference, with the token and the address of the environment.
    ///
    /// # Errors
    /// Exit 2 without a token, or where there is neither; 3 where GitLab does not answer.
    pub(crate) async fn open(reference: &str, ca: &[PathBuf]) -> Result<Self, Failure> {
        // Escaped or not, such a segment leads upwards.
        if matches!(reference, "." | "..") {
            return Err(Failure::misuse(anyhow!(
                "{reference:?} is no project and no group of GitLab"
            )));
        }
        let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        let token = variable(TOKEN).ok_or_else(|| {
            Failure::misuse(anyhow!("no token for GitLab: {TOKEN} is not set"))
                .hint("a token with the scope read_api, of a member with the role Maintainer, reads CI/CD variables")
        })?;
        let api = api(&variable(HOST).unwrap_or_else(|| DEFAULT_HOST.to_owned()))?;
        warn_of_plain_http(&api, "the token of GitLab");
        let gitlab = Self {
            rest: client(ca),
            token: Zeroizing::new(token),
            place: api.clone(),
        };
        for kind in ["projects", "groups"] {
            let place = below(&api, &format!("{kind}/{}", percent::encoded(reference)));
            let answer = gitlab.ask(place.clone()).await?;
            if answer.is_success() {
                return Ok(Self { place, ..gitlab });
            }
            if answer.status != 404 {
                return Err(told(&answer));
            }
        }
        Err(Failure::misuse(anyhow!(
            "GitLab at {} has neither a project nor a group {reference:?}, or does not show it",
            api.host_str().unwrap_or_default()
        ))
        .hint(format!(
            "{HOST} says which GitLab is asked, and {TOKEN} as whom"
        )))
    }

    /// The value of a variable.
    ///
    /// # Errors
    /// Exit 2 where there is none of this name, 3 where GitLab does not answer.
    pub(crate) async fn variable(&self, name: &str) -> Result<Zeroizing<Vec<u8>>, Failure> {
        let answer = self
            .ask(below(&self.place, &format!("variables/{name}")))
            .await?;
        if answer.status == 404 {
            return Err(Failure::misuse(anyhow!("GitLab has no variable {name} there"))
                .hint("`cosign generate-key-pair gitlab://PROJECT` makes COSIGN_PRIVATE_KEY, COSIGN_PASSWORD and COSIGN_PUBLIC_KEY"));
        }
        if !answer.is_success() {
            return Err(told(&answer));
        }
        // Errors of serde would show the value.
        let variable: Variable = serde_json::from_slice(&answer.body).map_err(|_| {
            Failure::outside(anyhow!("GitLab did not answer with the variable {name}"))
        })?;
        Ok(Zeroizing::new(variable.value.into_bytes()))
    }

    async fn ask(&self, url: Url) -> Result<Answer, Failure> {
        let request = Request::new(Method::GET, url, MOST_ANSWER)
            .secret_header(
                HeaderName::from_static("private-token"),
                self.token.as_bytes(),
            )
            .map_err(|_| {
                Failure::misuse(anyhow!("{TOKEN} cannot be a token: it has a line break"))
            })?;
        self.rest.send(&request).await.map_err(failed)
    }
}

fn told(answer: &Answer) -> Failure {
    let failure = refused(answer).context("asking GitLab");
    match answer.status {
        401 | 403 => failure.hint(format!(
            "{TOKEN} must be a token with the scope read_api, of a member with the role Maintainer"
        )),
        _ => failure,
    }
}

/// The address of the API of a GitLab: as cosign's client, `/api/v4` is added where it is not there. A name alone means https.
fn api(host: &str) -> Result<Url, Failure> {
    let text = match host.contains("://") {
        true => host.to_owned(),
        false => format!("https://{host}"),
    };
    // Not shown: it may have a password.
    if text.contains(['@', '?', '#']) {
        return Err(Failure::misuse(anyhow!(
            "{HOST} has a user, a query or a fragment, and wants the address alone"
        )));
    }
    let url = parse(&text).map_err(|failure| failure.context(HOST))?;
    match url.path().trim_end_matches('/').ends_with("/api/v4") {
        true => Ok(url),
        false => Ok(below(&url, "api/v4")),
    }
}

/// A URL below another one. The path is escaped already.
fn below(url: &Url, path: &str) -> Url {
    let mut url = url.clone();
    let prefix = url.path().trim_end_matches('/').to_owned();
    url.set_path(&format!("{prefix}/{path}"));
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_api_is_found_as_cosign_finds_it() {
        for (host, wanted) in [
            ("https://gitlab.com", "https://gitlab.com/api/v4"),
            ("https://gitlab.com/api/v4/", "https://gitlab.com/api/v4/"),
            ("gitlab.example:8443", "https://gitlab.example:8443/api/v4"),
            ("http://h/gitlab/", "http://h/gitlab/api/v4"),
        ] {
            assert_eq!(api(host).expect("an address").as_str(), wanted);
        }
        for bad in ["https://u:hunter2@h", "ftp://h", "https://h?hunter2"] {
            let failure = api(bad).expect_err(bad);
            assert!(!failure.message().contains("hunter2"), "{failure:?}");
        }
    }

    #[test]
    fn a_reference_is_one_segment_whatever_is_in_it() {
        let api = api("https://h").expect("an address");
        for (reference, wanted) in [
            ("group/project", "group%2Fproject"),
            ("42", "42"),
            ("a.b", "a.b"),
            ("../x", "..%2Fx"),
            ("a?b#c", "a%3Fb%23c"),
            ("ä", "%C3%A4"),
        ] {
            let url = below(&api, &format!("projects/{}", percent::encoded(reference)));
            let wanted = format!("https://h/api/v4/projects/{wanted}");
            assert_eq!(url.as_str(), wanted);
        }
    }
}
