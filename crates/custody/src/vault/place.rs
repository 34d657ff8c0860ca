//! Where Vault is and how it is known: address, namespace, certificate authorities, the path of an engine or a login.

use std::path::PathBuf;

use tekseal_remote::Rest;
use tekseal_remote::rest::Url;

use super::SERVICE;
use crate::{Context, Error};

/// Files and folders with authorities that Vault's client reads.
const AUTHORITIES: [&str; 2] = ["VAULT_CACERT", "VAULT_CAPATH"];

/// What Vault's client has for https and we have not. Without it no connection would come about, for a reason that nobody would find.
const UNSUPPORTED: [(&str, &str); 4] = [
    (
        "VAULT_CACERT_BYTES",
        "write the certificate into a file and name that in VAULT_CACERT",
    ),
    ("VAULT_CLIENT_CERT", NO_CLIENT_CERTIFICATE),
    ("VAULT_CLIENT_KEY", NO_CLIENT_CERTIFICATE),
    (
        "VAULT_TLS_SERVER_NAME",
        "the certificate of Vault must be for the name in its address",
    ),
];
/// The same, for any address.
const PROXIES: [(&str, &str); 2] = [
    ("VAULT_PROXY_ADDR", "set HTTPS_PROXY or HTTP_PROXY instead"),
    ("VAULT_HTTP_PROXY", "set HTTPS_PROXY or HTTP_PROXY instead"),
];
const NO_CLIENT_CERTIFICATE: &str = "client certificates are not supported";

/// The address: that of the settings, else `VAULT_ADDR`, else `BAO_ADDR`. There is no default, as cosign has none.
pub(super) fn address(context: &Context) -> Result<Url, Error> {
    let set = Some(("signers.kms.auth.address", &context.settings.vault.address));
    let set = set.filter(|(_, text)| !text.is_empty());
    let set = set.map(|(name, text)| (name, text.clone()));
    let named = |name| context.variable(name).map(|text| (name, text));
    let found = set
        .or_else(|| named("VAULT_ADDR"))
        .or_else(|| named("BAO_ADDR"));
    let Some((name, text)) = found else {
        return Err(Error::Setting {
            name: "hashivault://".to_owned(),
            reason:
                "nothing says where Vault is: set VAULT_ADDR, BAO_ADDR or signers.kms.auth.address"
                    .to_owned(),
        });
    };
    read_address(&text).map_err(|reason| Error::Setting {
        name: name.to_owned(),
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
    refuse_skipping(context)?;
    let paths = AUTHORITIES.iter().filter_map(|name| {
        let path = (context.variables)(name)?;
        (!path.is_empty()).then(|| PathBuf::from(path))
    });
    let mut options = context.settings.options.clone();
    let before = options.ca.len();
    options.ca.extend(paths);
    match options.ca.len() == before {
        true => Ok(context.rest.clone()),
        false => Ok(Rest::new(options)),
    }
}

fn refuse(context: &Context, variables: &[(&str, &str)]) -> Result<(), Error> {
    let set = variables
        .iter()
        .find(|(name, _)| context.variable(name).is_some());
    match set {
        None => Ok(()),
        Some((name, instead)) => Err(Error::Setting {
            name: (*name).to_owned(),
            reason: format!("it is not supported; {instead}"),
        }),
    }
}

/// Whoever has it set believes that nothing is verified; what signs must know whom it talks to.
fn refuse_skipping(context: &Context) -> Result<(), Error> {
    let Some(text) = context.variable("VAULT_SKIP_VERIFY") else {
        return Ok(());
    };
    // What Go's strconv.ParseBool takes for no.
    if matches!(text.as_str(), "0" | "f" | "F" | "false" | "False" | "FALSE") {
        return Ok(());
    }
    Err(Error::Setting {
        name: "VAULT_SKIP_VERIFY".to_owned(),
        reason: format!(
            "{SERVICE} is never trusted without its certificate; give its authority in VAULT_CACERT"
        ),
    })
}

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
