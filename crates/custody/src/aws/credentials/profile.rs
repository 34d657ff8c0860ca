//! The shared files of the AWS tools, `~/.aws/credentials` and `~/.aws/config`: keys that stand there as they are, and the region.
//!
//! Specification: <https://docs.aws.amazon.com/sdkref/latest/guide/file-format.html>. Profiles that say how to get keys elsewhere (roles, single sign-on,
//! programs) are not read; a profile that has nothing else is refused, so that nobody signs as somebody else.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::{Credentials, read_file};
use crate::{Context, Error};

/// How a profile may say where its keys come from, which is not read.
const ELSEWHERE: [&str; 9] = [
    "role_arn",
    "source_profile",
    "credential_source",
    "credential_process",
    "sso_session",
    "sso_start_url",
    "sso_account_id",
    "web_identity_token_file",
    "login_session",
];

/// What both files say of one profile.
pub(in crate::aws) struct Profile {
    name: String,
    keys: Keys,
    region: Option<String>,
    ca_bundle: Option<String>,
    /// The first of [`ELSEWHERE`] that it has.
    elsewhere: Option<&'static str>,
}

#[derive(Default)]
struct Keys {
    id: Option<String>,
    secret: Option<Zeroizing<String>>,
    token: Option<Zeroizing<String>>,
}

/// What one file says of it.
#[derive(Default)]
struct Section {
    is_there: bool,
    keys: Keys,
    region: Option<String>,
    ca_bundle: Option<String>,
    elsewhere: Option<&'static str>,
}

impl Profile {
    /// Reads the profile of this process. Files that are not there are empty.
    pub(in crate::aws) fn read(context: &Context) -> Result<Self, Error> {
        let chosen = ["AWS_PROFILE", "AWS_DEFAULT_PROFILE"]
            .into_iter()
            .find_map(|variable| Some((variable, context.variable(variable)?)));
        let (variable, name) = match chosen {
            Some((variable, name)) => (Some(variable), name),
            None => (None, "default".to_owned()),
        };
        let read = |what, variable: &str, default: &str| {
            if let Some(path) = context.variable(variable) {
                return read_file(what, Path::new(&path));
            }
            let Some(home) = context.variable("HOME").map(PathBuf::from) else {
                return Ok(None);
            };
            match read_file(what, &home.join(default)) {
                // The home of somebody else, as containers have it that run as another user than their image says.
                Err(Error::File { source, .. }) if is_shut(source.kind()) => Ok(None),
                other => other,
            }
        };
        let config = read("the configuration of AWS", "AWS_CONFIG_FILE", ".aws/config")?;
        let shared = read(
            "the credentials of AWS",
            "AWS_SHARED_CREDENTIALS_FILE",
            ".aws/credentials",
        )?;
        let in_config = match name.as_str() {
            "default" => vec!["default".to_owned(), "profile default".to_owned()],
            name => vec![format!("profile {name}")],
        };
        let config = Section::read(config.as_ref().map_or("", |text| text), &in_config);
        let names = [name.clone()];
        let shared = Section::read(shared.as_ref().map_or("", |text| text), &names);
        if let Some(variable) = variable
            && !config.is_there
            && !shared.is_there
        {
            return Err(Error::Setting {
                name: variable.to_owned(),
                reason: format!("there is no profile {name:?}"),
            });
        }
        let has_keys = shared.keys.id.is_some() || shared.keys.secret.is_some();
        Ok(Self {
            name,
            keys: match has_keys {
                true => shared.keys,
                false => config.keys,
            },
            region: config.region.or(shared.region),
            ca_bundle: config.ca_bundle.or(shared.ca_bundle),
            elsewhere: config.elsewhere.or(shared.elsewhere),
        })
    }

    /// Its name.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Its region.
    pub(in crate::aws) fn region(&self) -> Option<&str> {
        self.region.as_deref()
    }

    /// Its file with certificate authorities.
    pub(in crate::aws) fn ca_bundle(&self) -> Option<&str> {
        self.ca_bundle.as_deref()
    }

    /// Its keys, if it has some.
    pub(super) fn credentials(&self) -> Result<Option<Credentials>, Error> {
        let refused = |reason: String| Error::Setting {
            name: format!("the profile {}", self.name),
            reason,
        };
        // Its keys, if it has some, are those with which the role is asked for.
        let is_role = self.elsewhere == Some("role_arn");
        match (&self.keys.id, &self.keys.secret, self.elsewhere) {
            (None, None, None) => Ok(None),
            (Some(id), Some(secret), _) if !is_role => {
                let token = self.keys.token.as_ref().map(|token| token.as_str());
                let credentials = Credentials::new(id, secret, token, None);
                credentials.map(Some).map_err(|why| refused(why.to_owned()))
            }
            (_, _, Some(key)) => Err(refused(format!(
                "it has {key}, and only keys that stand in a profile as they are are read: set AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN, \
                 as `aws configure export-credentials` prints them"
            ))),
            (_, _, None) => Err(refused(
                "it has only one of aws_access_key_id and aws_secret_access_key".to_owned(),
            )),
        }
    }
}

fn is_shut(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::PermissionDenied | ErrorKind::NotADirectory)
}

impl Section {
    /// What `text` has under one of these names. What is set twice counts as it is set last.
    fn read(text: &str, names: &[String]) -> Self {
        let mut section = Self::default();
        let mut is_inside = false;
        for line in text.lines() {
            // What is indented belongs to the setting before it, none of which is read.
            if line.starts_with([' ', '\t', '#', ';']) {
                continue;
            }
            if let Some(rest) = line.strip_prefix('[') {
                let name = rest.split(']').next().unwrap_or_default();
                let name: Vec<&str> = name.split_whitespace().collect();
                let name = name.join(" ");
                is_inside = names.contains(&name);
                section.is_there |= is_inside;
                continue;
            }
            let Some((key, value)) = line.split_once('=').filter(|_| is_inside) else {
                continue;
            };
            section.set(
                &key.trim().to_ascii_lowercase(),
                value.split_whitespace().next().unwrap_or_default(),
            );
        }
        section
    }

    fn set(&mut self, key: &str, value: &str) {
        let text = || (!value.is_empty()).then(|| value.to_owned());
        match key {
            "aws_access_key_id" => self.keys.id = text(),
            "aws_secret_access_key" => self.keys.secret = text().map(Zeroizing::new),
            "aws_session_token" => self.keys.token = text().map(Zeroizing::new),
            "region" => self.region = text(),
            "ca_bundle" => self.ca_bundle = text(),
            _ => {
                let known = ELSEWHERE.into_iter().find(|known| *known == key);
                // A role goes before everything else that a profile has.
                if self.elsewhere != Some("role_arn") {
                    self.elsewhere = known.or(self.elsewhere);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_ends_where_the_next_one_begins() {
        let text = "aws_access_key_id = A\n[ profile  a ]\n# x\naws_access_key_id=B # ours\nREGION = eu-west-1\ns3 =\n  region = no\n[profile b]\nregion = other\n";
        let section = Section::read(text, &["profile a".to_owned()]);
        assert!(section.is_there);
        assert_eq!(section.keys.id.as_deref(), Some("B"));
        assert_eq!(section.region.as_deref(), Some("eu-west-1"));
        assert!(section.keys.secret.is_none() && section.elsewhere.is_none());
        assert!(!Section::read(text, &["a".to_owned()]).is_there);
        let odd = Section::read("[\n[]\n=\n[a\n]x=y\nregion", &["a".to_owned()]);
        assert!(odd.is_there && odd.region.is_none());
    }

    #[test]
    fn a_role_goes_before_keys_and_keys_before_the_rest() {
        let profile = |text: &str| {
            let section = Section::read(&format!("[default]\n{text}"), &["default".to_owned()]);
            Profile {
                name: "default".to_owned(),
                keys: section.keys,
                region: section.region,
                ca_bundle: None,
                elsewhere: section.elsewhere,
            }
        };
        let keys = "aws_access_key_id = A\naws_secret_access_key = hunter2\n";
        let said = |text: &str| match profile(text).credentials() {
            Ok(Some(credentials)) => credentials.access_key_id().to_owned(),
            Ok(None) => "none".to_owned(),
            Err(error) => error.to_string(),
        };
        assert_eq!(said(""), "none");
        assert_eq!(said(keys), "A");
        assert_eq!(said(&format!("{keys}credential_process = x")), "A");
        let role = said(&format!(
            "credential_process = x\nrole_arn = arn\nsso_session = y\n{keys}"
        ));
        assert!(role.contains("it has role_arn"), "{role}");
        assert!(!role.contains("hunter2"), "{role}");
        assert!(said("sso_session = y").contains("it has sso_session"));
        assert!(said("aws_access_key_id = A").contains("only one of"));
    }
}
