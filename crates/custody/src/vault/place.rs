//! Where Vault is and how it is known: address, namespace, certificate authorities, the path of an engine or a login.
//!
//! The variables are those of Vault's client, <https://developer.hashicorp.com/vault/docs/commands#configure-environment-variables>. Where one of them is
//! not set, that of OpenBao's client counts, which has the same names after `BAO_`: so sigstore's client has it for address and token.

use std::path::PathBuf;

use tekseal_remote::Rest;
use tekseal_remote::rest::{Authorities, Certificate, ServerName, Url};
use tekseal_signing::key_ref::VaultScheme;

use super::SERVICE;
use crate::{Context, Error};

/// Files and folders with authorities that Vault's client reads.
const AUTHORITIES: [&str; 2] = ["CACERT", "CAPATH"];

/// What Vault's client has for https and we have not. Without it no connection would come about, for a reason that nobody would find.
const UNSUPPORTED: [(&str, &str); 2] = [
    ("CLIENT_CERT", NO_CLIENT_CERTIFICATE),
    ("CLIENT_KEY", NO_CLIENT_CERTIFICATE),
];
/// The same, for any address.
const PROXIES: [(&str, &str); 2] = [
    ("PROXY_ADDR", "set HTTPS_PROXY or HTTP_PROXY instead"),
    ("HTTP_PROXY", "set HTTPS_PROXY or HTTP_PROXY instead"),
];
const NO_CLIENT_CERTIFICATE: &str = "client certificates are not supported";

/// The name and the value of a variable of Vault's client, else of OpenBao's.
pub(super) fn variable(context: &Context, name: &str) -> Option<(String, String)> {
    ["VAULT", "BAO"].into_iter().find_map(|client| {
        let name = format!("{client}_{name}");
        let value = context.variable(&name)?;
        Some((name, value))
    })
}

/// The address: that of the settings, else `VAULT_ADDR`, else `BAO_ADDR`. There is no default, as cosign has none.
pub(super) fn address(scheme: VaultScheme, context: &Context) -> Result<Url, Error> {
    let set = Some(("signers.kms.auth.address", &context.settings.vault.address));
    let set = set.filter(|(_, text)| !text.is_empty());
    let set = set.map(|(name, text)| (name.to_owned(), text.clone()));
    let Some((name, text)) = set.or_else(|| variable(context, "ADDR")) else {
        return Err(Error::Setting {
            name: scheme.as_str().to_owned(),
            reason:
                "nothing says where Vault is: set VAULT_ADDR, BAO_ADDR or signers.kms.auth.address"
                    .to_owned(),
        });
    };
    read_address(&text).map_err(|reason| Error::Setting {
        name,
        reason: reason.to_owned(),
    })
}

fn read_address(text: &str) -> Result<Url, &'static str> {
    let url = Url::parse(text).map_err(|_| "it is no absolute URL")?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err("it begins with neither http:// nor https://");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("it has a user name or a password");
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("it has a query or a fragment");
    }
    Ok(url)
}

/// The client, with the authorities that Vault's own client would take. Ours are taken beside those of the system, where Vault's takes them alone.
pub(super) fn rest(context: &Context, address: &Url) -> Result<Rest, Error> {
    refuse(context, &PROXIES)?;
    if address.scheme() == "http" {
        return Ok(context.rest.clone());
    }
    refuse(context, &UNSUPPORTED)?;
    let mut options = context.settings.options.clone();
    let before = options.ca.len();
    let paths = AUTHORITIES
        .iter()
        .filter_map(|name| variable(context, name));
    options
        .ca
        .extend(paths.map(|(_, path)| PathBuf::from(path)));
    let text = variable(context, "CACERT_BYTES");
    let has_text = text.is_some();
    if let Some((name, text)) = text {
        let read = Authorities::from_pem(text.as_bytes());
        options.authorities = read.map_err(|reason| Error::Setting {
            name,
            reason: reason.to_owned(),
        })?;
    }
    options.certificate = certificate(context)?;
    let is_usual = options.certificate == Certificate::OfUrl;
    match options.ca.len() == before && !has_text && is_usual {
        true => Ok(context.rest.clone()),
        false => Ok(Rest::new(options)),
    }
}

/// For whom its certificate must be.
fn certificate(context: &Context) -> Result<Certificate, Error> {
    if is_unverified(context)? {
        return Ok(Certificate::DangerAnybody);
    }
    let Some((name, text)) = variable(context, "TLS_SERVER_NAME") else {
        return Ok(Certificate::OfUrl);
    };
    match ServerName::try_from(text) {
        Ok(server) => Ok(Certificate::Of(server)),
        Err(_) => Err(Error::Setting {
            name,
            reason: "it is neither the name of a host nor an address".to_owned(),
        }),
    }
}

fn refuse(context: &Context, variables: &[(&str, &str)]) -> Result<(), Error> {
    let set = variables
        .iter()
        .find_map(|(name, instead)| Some((variable(context, name)?.0, instead)));
    match set {
        None => Ok(()),
        Some((name, instead)) => Err(Error::Setting {
            name,
            reason: format!("it is not supported; {instead}"),
        }),
    }
}

/// Whether whoever answers is taken for Vault. Somebody who has Vault's own variable set may have it for another program: what signs must know whom it
/// talks to, unless it is told so itself.
fn is_unverified(context: &Context) -> Result<bool, Error> {
    if let Some(told) = insecure(context) {
        return told.ok_or_else(|| Error::Setting {
            name: INSECURE.to_owned(),
            reason: "wanted true or false".to_owned(),
        });
    }
    match variable(context, "SKIP_VERIFY") {
        Some((name, text)) if is_yes(&text) != Some(false) => Err(Error::Setting {
            name,
            reason: format!(
                "{SERVICE} is not trusted without its certificate; give its authority in VAULT_CACERT, or else set {INSECURE}=true, with which \
                 whoever answers gets the token"
            ),
        }),
        _ => Ok(false),
    }
}

/// What our own variable says; `Some(None)` where that is neither yes nor no.
pub(super) fn insecure(context: &Context) -> Option<Option<bool>> {
    Some(is_yes(&context.variable(INSECURE)?))
}

/// What Go's `strconv.ParseBool` takes for yes and no.
fn is_yes(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "True" | "TRUE" => Some(true),
        "0" | "f" | "F" | "false" | "False" | "FALSE" => Some(false),
        _ => None,
    }
}

/// Ours, for [`is_unverified`].
const INSECURE: &str = "TEKSEAL_INSECURE_VAULT_SKIP_VERIFY";

/// The path of a mount, such as `transit` or `team/transit`, as it can stand in a URL; slashes around it are not minded.
pub(super) fn mount(name: &str, text: &str) -> Result<String, Error> {
    let path = text.trim_matches('/');
    let is_segment = |segment: &str| {
        !matches!(segment, "" | "." | "..")
            && segment
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"-_.~".contains(&b))
    };
    match path.len() <= MOST_PATH && path.split('/').all(is_segment) {
        true => Ok(path.to_owned()),
        false => Err(Error::Setting {
            name: name.to_owned(),
            reason: "it is no path of a mount, wanted names of letters, digits, -, _, . and ~ with / between them"
                .to_owned(),
        }),
    }
}

const MOST_PATH: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_http_and_nothing_but_a_place() {
        for good in ["http://127.0.0.1:8200", "https://vault.example/team/"] {
            assert!(read_address(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "vault.example:8200",
            "unix:///run/vault.sock",
            "https://user:secret@vault.example",
            "https://vault.example?a=b",
            "https://vault.example#a",
        ] {
            assert!(read_address(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_mount_cannot_leave_its_place() {
        for (text, path) in [("transit", "transit"), ("/team/transit/", "team/transit")] {
            assert_eq!(mount("M", text).ok().as_deref(), Some(path));
        }
        for bad in ["", "/", "a//b", "..", "a/../b", "a?b", "a%2fb", "a b", "ä"] {
            assert!(mount("M", bad).is_err(), "{bad}");
        }
    }
}
