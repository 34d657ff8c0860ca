//! Credentials of a container: EKS Pod Identity and ECS tasks have an agent that gives them by HTTP.
//!
//! Specification: <https://docs.aws.amazon.com/sdkref/latest/guide/feature-container-credentials.html>. The token that goes along is a secret, and so is
//! the answer: without https only the addresses of AWS's agents and this machine itself are asked.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;

use tekseal_remote::rest::{Method, Request, Url};
use zeroize::Zeroizing;

use super::{Credentials, Given, MOST_OF_ANSWER, read_token};
use crate::aws::named;
use crate::{Context, Error};

const SERVICE: &str = "the container credentials service";
const RELATIVE: &str = "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI";
const FULL: &str = "AWS_CONTAINER_CREDENTIALS_FULL_URI";
const TOKEN_FILE: &str = "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE";
const TOKEN: &str = "AWS_CONTAINER_AUTHORIZATION_TOKEN";

const ECS: Ipv4Addr = Ipv4Addr::new(169, 254, 170, 2);
const EKS: Ipv4Addr = Ipv4Addr::new(169, 254, 170, 23);
const EKS_IPV6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23);

/// The credentials of the container, where it has some.
pub(super) async fn find(context: &Context) -> Result<Option<Credentials>, Error> {
    let Some(url) = url(context)? else {
        return Ok(None);
    };
    let action = format!("give credentials at {}", url.host_str().unwrap_or_default());
    let mut request =
        Request::new(Method::GET, url, MOST_OF_ANSWER).header(named("accept"), "application/json");
    if let Some((name, token)) = token(context)? {
        request = request
            .secret_header(named("authorization"), token.as_bytes())
            .map_err(|_| Error::Setting {
                name: name.to_owned(),
                reason: "it is no token".to_owned(),
            })?;
    }
    let answer = context.rest.send(&request).await;
    let answer = answer.map_err(|failed| Error::Request {
        action: format!("ask {SERVICE} to {action}"),
        source: Box::new(failed),
    })?;
    if answer.is_success() {
        return Given::read(&answer.body, SERVICE, &action).map(Some);
    }
    Err(Error::Refused {
        service: SERVICE,
        action,
        status: answer.status,
        detail: match answer.status {
            401 | 403 => ": it does not take the token, or the ServiceAccount has no role: check its Pod Identity association".to_owned(),
            _ => String::new(),
        },
        may_pass: answer.status >= 500 || answer.status == 429,
        retry_after: None,
    })
}

fn url(context: &Context) -> Result<Option<Url>, Error> {
    let refused = |name: &str, reason: &str| Error::Setting {
        name: name.to_owned(),
        reason: reason.to_owned(),
    };
    if let Some(path) = context.variable(RELATIVE) {
        // With anything else in front it would be another host.
        if !path.starts_with('/') {
            return Err(refused(RELATIVE, "it does not begin with a slash"));
        }
        let url = Url::parse(&format!("http://{ECS}{path}"));
        return url
            .map(Some)
            .map_err(|_| refused(RELATIVE, "it is no path"));
    }
    let Some(text) = context.variable(FULL) else {
        return Ok(None);
    };
    let url = Url::parse(&text).map_err(|_| refused(FULL, "it is no absolute URL"))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(refused(FULL, "it has a user name or a password"));
    }
    match is_allowed(&url) {
        true => Ok(Some(url)),
        false => Err(refused(
            FULL,
            "it is neither https nor http at this machine itself, 169.254.170.2, 169.254.170.23 or [fd00:ec2::23]",
        )),
    }
}

fn is_allowed(url: &Url) -> bool {
    let Some(host) = url.host_str() else {
        return false;
    };
    if url.scheme() != "http" {
        return url.scheme() == "https";
    }
    if host == "localhost" {
        return true;
    }
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    match bare.parse::<IpAddr>() {
        Ok(IpAddr::V4(address)) => address.is_loopback() || [ECS, EKS].contains(&address),
        Ok(IpAddr::V6(address)) => address.is_loopback() || address == EKS_IPV6,
        Err(_) => false,
    }
}

/// What goes along as `Authorization`, and where it comes from. The file is replaced by the cluster, and read each time.
fn token(context: &Context) -> Result<Option<(&'static str, Zeroizing<String>)>, Error> {
    if let Some(path) = context.variable(TOKEN_FILE).map(PathBuf::from) {
        let token = read_token(TOKEN_FILE, &path)?;
        return Ok(Some((TOKEN_FILE, token)));
    }
    let token = context.variable(TOKEN).map(Zeroizing::new);
    Ok(token.map(|token| (TOKEN, token)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_goes_to_agents_of_aws_and_to_this_machine_alone() {
        let is_allowed = |text: &str| is_allowed(&Url::parse(text).expect("a URL"));
        for good in [
            "http://169.254.170.2/v2/x",
            "http://169.254.170.23/v1/credentials",
            "http://[fd00:ec2::23]/v1/credentials",
            "http://127.0.0.1:8080/",
            "http://127.1.2.3/",
            "http://[::1]:1/",
            "http://localhost:1/",
            "https://anywhere.example/",
        ] {
            assert!(is_allowed(good), "{good}");
        }
        for bad in [
            "http://anywhere.example/",
            "http://169.254.169.254/",
            "http://169.254.170.3/",
            "http://[fd00:ec2::24]/",
            "http://localhost.example/",
            "http://127.0.0.1.example/",
            "http://10.0.0.1/",
            "ftp://127.0.0.1/",
        ] {
            assert!(!is_allowed(bad), "{bad}");
        }
    }
}
