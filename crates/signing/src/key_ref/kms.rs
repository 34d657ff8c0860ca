//! References of keys that a service holds, as cosign writes them, taken apart.
//!
//! What is taken and what is refused follows the expressions in sigstore's `pkg/signature/kms`: whatever cosign takes is taken here.

use std::fmt;

/// A key that somebody else holds.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum KmsRef {
    /// `awskms://[ENDPOINT]/ID`
    Aws(AwsKey),
    /// `gcpkms://projects/P/locations/L/keyRings/R/cryptoKeys/K[/cryptoKeyVersions/V]`
    Gcp(GcpKey),
    /// `azurekms://HOST/KEY[/VERSION]`
    Azure(AzureKey),
    /// `hashivault://KEY`, `openbao://KEY`
    Vault(VaultKey),
    /// Any other scheme: a program knows it.
    Plugin(PluginKey),
}

/// A key in AWS KMS.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AwsKey {
    /// Host, and perhaps port, of the service; empty for that of the region.
    pub endpoint: String,
    /// The key id, its ARN, `alias/NAME`, or the ARN of an alias.
    pub id: String,
}

/// A key in Google Cloud KMS.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct GcpKey {
    /// The project.
    pub project: String,
    /// The location.
    pub location: String,
    /// The key ring.
    pub key_ring: String,
    /// The key.
    pub key: String,
    /// One version of it; without one the newest that is enabled.
    pub version: Option<String>,
}

/// A key in Azure Key Vault.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AzureKey {
    /// Host, and perhaps port, of the vault.
    pub host: String,
    /// The key.
    pub name: String,
    /// One version of it; without one the newest.
    pub version: Option<String>,
}

/// A key of the transit engine of Vault or OpenBao.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct VaultKey {
    /// How it was written.
    pub scheme: VaultScheme,
    /// The key.
    pub name: String,
}

/// The two names of one protocol: sigstore's client asks at the same address, with the same variables, for both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum VaultScheme {
    /// `hashivault://`
    Hashivault,
    /// `openbao://`, which cosign knows since 3.1.
    Openbao,
}

impl VaultScheme {
    /// With `://`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hashivault => "hashivault://",
            Self::Openbao => "openbao://",
        }
    }
}

/// A key that a program on the PATH knows, `sigstore-kms-SCHEME`.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct PluginKey {
    /// The scheme.
    pub scheme: String,
    /// The whole reference, with its scheme: what it means is for the program to say.
    pub reference: String,
}

impl PluginKey {
    /// What stands behind the scheme: all that the program is told.
    #[must_use]
    pub fn resource(&self) -> &str {
        let rest = self.reference.strip_prefix(&self.scheme);
        let rest = rest.and_then(|rest| rest.strip_prefix(':'));
        let rest = rest.unwrap_or(&self.reference);
        rest.strip_prefix("//").unwrap_or(rest)
    }

    /// What in the reference is nobody else's business: a PIN (RFC 7512, `pin-value`), and what stands before an `@`; each as it stands there, and
    /// without percent signs, as a program may repeat it. The longest come first, so that none is left of which another one is a part.
    #[must_use]
    pub fn secrets(&self) -> Vec<String> {
        let rest = self.resource();
        let pins = rest
            .match_indices("pin-value=")
            .map(|(at, name)| &rest[at + name.len()..]);
        let pins = pins.map(|value| value.split(['&', ';']).next().unwrap_or_default());
        let authority = rest.split('/').next().unwrap_or_default();
        let user = authority.rsplit_once('@').map(|(user, _)| user);
        let written = pins.chain(user).filter(|secret| !secret.is_empty());
        let mut secrets: Vec<String> = written
            .flat_map(|secret| {
                let plain = percent_decoded(secret).and_then(|bytes| String::from_utf8(bytes).ok());
                [Some(secret.to_owned()), plain]
            })
            .flatten()
            .collect();
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        secrets.dedup();
        secrets
    }
}

impl AwsKey {
    /// The region that an ARN names.
    #[must_use]
    pub fn region(&self) -> Option<&str> {
        self.id.strip_prefix("arn:")?.split(':').nth(2)
    }

    fn parse(rest: &str) -> Option<Self> {
        let (endpoint, id) = rest.split_once('/')?;
        let is_key = |id: &str| is_uuid(id) || id.strip_prefix("mrk-").is_some_and(is_hex_32);
        let is_alias = |id: &str| id.strip_prefix("alias/").is_some_and(is_alias);
        let is_good = match id.strip_prefix("arn:") {
            None => is_key(id) || is_alias(id),
            Some(arn) => {
                let mut parts = arn.splitn(5, ':');
                let mut next = || parts.next().unwrap_or_default();
                let is_partition = matches!(next(), "aws" | "aws-us-gov" | "aws-cn");
                let is_service = next() == "kms";
                let region = next();
                let is_region = !region.is_empty()
                    && region
                        .bytes()
                        .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
                let account = next();
                let is_account = account.len() == 12 && account.bytes().all(|b| b.is_ascii_digit());
                let resource = next();
                let is_resource =
                    is_alias(resource) || resource.strip_prefix("key/").is_some_and(is_key);
                is_partition && is_service && is_region && is_account && is_resource
            }
        };
        (is_good && is_host_or_empty(endpoint)).then(|| Self {
            endpoint: endpoint.to_owned(),
            id: id.to_owned(),
        })
    }
}

impl GcpKey {
    /// The resource name of the key, without a version.
    #[must_use]
    pub fn resource(&self) -> String {
        let Self {
            project,
            location,
            key_ring,
            key,
            ..
        } = self;
        format!("projects/{project}/locations/{location}/keyRings/{key_ring}/cryptoKeys/{key}")
    }

    fn parse(rest: &str) -> Option<Self> {
        let mut parts = rest.split('/');
        let mut named = |names: &[&str]| {
            let name = parts.next()?;
            let value = parts.next()?;
            (names.contains(&name) && is_segment(value)).then(|| value.to_owned())
        };
        let (project, location) = (named(&["projects"])?, named(&["locations"])?);
        let (key_ring, key) = (named(&["keyRings"])?, named(&["cryptoKeys"])?);
        let mut parts = rest.split('/').skip(8);
        let version = match (parts.next(), parts.next(), parts.next()) {
            (None, ..) => None,
            (Some("cryptoKeyVersions" | "versions"), Some(version), None)
                if is_segment(version) =>
            {
                Some(version.to_owned())
            }
            _ => return None,
        };
        Some(Self {
            project,
            location,
            key_ring,
            key,
            version,
        })
    }
}

impl AzureKey {
    fn parse(rest: &str) -> Option<Self> {
        let mut parts = rest.split('/');
        let (host, name) = (parts.next()?, parts.next()?);
        let version = parts.next().filter(|version| !version.is_empty());
        let is_version = |text: &str| {
            text.bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
        };
        let is_good = !host.is_empty()
            && is_host_or_empty(host)
            && is_segment(name)
            && version.is_none_or(is_version)
            && parts.next().is_none();
        is_good.then(|| Self {
            host: host.to_owned(),
            name: name.to_owned(),
            version: version.map(str::to_owned),
        })
    }
}

impl VaultKey {
    fn parse(scheme: VaultScheme, rest: &str) -> Option<Self> {
        let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let is_good = rest.starts_with(is_word)
            && rest.ends_with(is_word)
            && rest.chars().all(|c| is_word(c) || matches!(c, '-' | '.'));
        is_good.then(|| Self {
            scheme,
            name: rest.to_owned(),
        })
    }
}

impl KmsRef {
    /// The schemes of services that are asked without a program of somebody else.
    pub const SERVICES: [&str; 5] = ["awskms", "gcpkms", "azurekms", "hashivault", "openbao"];

    /// Takes apart what stands behind the scheme. `Err` has the form that was wanted.
    pub(super) fn parse(scheme: &str, rest: &str) -> Result<Self, &'static str> {
        match scheme {
            "awskms" => AwsKey::parse(rest).map(Self::Aws).ok_or(
                "awskms://[ENDPOINT]/ID, where ID is a key id, alias/NAME, or the ARN of either",
            ),
            "gcpkms" => GcpKey::parse(rest).map(Self::Gcp).ok_or(
                "gcpkms://projects/P/locations/L/keyRings/R/cryptoKeys/K[/cryptoKeyVersions/V]",
            ),
            "azurekms" => AzureKey::parse(rest)
                .map(Self::Azure)
                .ok_or("azurekms://VAULT_HOST/KEY[/VERSION]"),
            "hashivault" => VaultKey::parse(VaultScheme::Hashivault, rest)
                .map(Self::Vault)
                .ok_or("hashivault://KEY, a name of letters, digits, _, - and ."),
            "openbao" => VaultKey::parse(VaultScheme::Openbao, rest)
                .map(Self::Vault)
                .ok_or("openbao://KEY, a name of letters, digits, _, - and ."),
            _ => Ok(Self::Plugin(PluginKey {
                scheme: scheme.to_owned(),
                reference: format!("{scheme}://{rest}"),
            })),
        }
    }
}

impl fmt::Display for KmsRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Aws(key) => key.fmt(f),
            Self::Gcp(key) => key.fmt(f),
            Self::Azure(key) => key.fmt(f),
            Self::Vault(key) => key.fmt(f),
            Self::Plugin(key) => key.fmt(f),
        }
    }
}

impl fmt::Display for AwsKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "awskms://{}/{}", self.endpoint, self.id)
    }
}

impl fmt::Display for GcpKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "gcpkms://{}", self.resource())?;
        match &self.version {
            Some(version) => write!(f, "/cryptoKeyVersions/{version}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for AzureKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "azurekms://{}/{}", self.host, self.name)?;
        match &self.version {
            Some(version) => write!(f, "/{version}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for VaultKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.scheme.as_str(), self.name)
    }
}

impl fmt::Display for PluginKey {
    /// Without secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self
            .secrets()
            .into_iter()
            .fold(self.reference.clone(), |text, secret| {
                text.replace(&secret, "(not shown)")
            });
        f.write_str(&text)
    }
}

impl fmt::Debug for PluginKey {
    /// Without secrets, as people see it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PluginKey({self})")
    }
}

/// The bytes of a text in which some are written with percent signs (RFC 3986, section 2.1); nothing where a percent sign has no two digits.
#[must_use]
pub fn percent_decoded(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        rest = after;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let [high, low, after @ ..] = after else {
            return None;
        };
        let digit = |byte: u8| char::from(byte).to_digit(16);
        let byte = digit(*high)? * 16 + digit(*low)?;
        bytes.push(u8::try_from(byte).ok()?);
        rest = after;
    }
    Some(bytes)
}

/// `8-4-4-4-12` hexadecimal digits.
fn is_uuid(text: &str) -> bool {
    let mut parts = text.split('-');
    [8, 4, 4, 4, 12]
        .into_iter()
        .all(|length| parts.next().is_some_and(|part| is_hex(part, length)))
        && parts.next().is_none()
}

fn is_hex_32(text: &str) -> bool {
    is_hex(text, 32)
}

fn is_hex(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|b| b.is_ascii_hexdigit())
}

/// The characters of an alias of AWS.
fn is_alias(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"/_-".contains(&b))
}

/// What can stand between two slashes of a path as it is.
fn is_segment(text: &str) -> bool {
    !matches!(text, "" | "." | "..")
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-_.:~".contains(&b))
}

/// A host with an optional port; nothing that would make another URL of it.
fn is_host_or_empty(text: &str) -> bool {
    text.bytes()
        .all(|b| b.is_ascii_alphanumeric() || b"-.:[]".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::super::KeyRef;
    use super::*;

    fn parse(text: &str) -> Option<KmsRef> {
        match KeyRef::parse(text) {
            Ok(KeyRef::Kms(key)) => Some(key),
            _ => None,
        }
    }

    #[test]
    fn what_cosign_takes_is_taken_and_written_as_it_was() {
        for text in [
            "awskms:///1234abcd-12ab-34cd-56ef-1234567890ab",
            "awskms:///mrk-1234abcd12ab34cd56ef1234567890ab",
            "awskms://localhost:4566/alias/a/b_c-d",
            "awskms:///arn:aws:kms:us-east-2:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab",
            "awskms:///arn:aws-us-gov:kms:us-gov-west-1:111122223333:alias/ExampleAlias",
            "gcpkms://projects/p/locations/global/keyRings/r/cryptoKeys/k",
            "gcpkms://projects/p/locations/global/keyRings/r/cryptoKeys/k/cryptoKeyVersions/3",
            "azurekms://my.vault.azure.net/key",
            "azurekms://my.vault.azure.net/key/0123abcd",
            "hashivault://a",
            "hashivault://my-key.v_2",
            "openbao://my-key.v_2",
            "my-plugin://whatever/it?means",
        ] {
            let key = parse(text).unwrap_or_else(|| panic!("{text} is one"));
            assert_eq!(key.to_string(), text);
        }
        let short = "gcpkms://projects/p/locations/l/keyRings/r/cryptoKeys/k/versions/3";
        let Some(KmsRef::Gcp(key)) = parse(short) else {
            panic!("the short form is one too")
        };
        assert_eq!(key.version.as_deref(), Some("3"));
    }

    #[test]
    fn what_would_be_another_request_is_refused() {
        for text in [
            "awskms://",
            "awskms:///",
            "awskms:///not-a-uuid",
            "awskms:///alias/",
            "awskms:///arn:aws:s3:us-east-2:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab",
            "awskms:///arn:aws:kms:us-east-2:1111:key/1234abcd-12ab-34cd-56ef-1234567890ab",
            "awskms://user@host/alias/a",
            "gcpkms://projects/p",
            "gcpkms://projects/p/locations/l/keyRings/r/cryptoKeys/..",
            "gcpkms://projects/p/locations/l/keyRings/r/cryptoKeys/k/other/3",
            "gcpkms://projects/p/locations/l/keyRings/r/cryptoKeys/k/versions/3/x",
            "azurekms://vault",
            "azurekms:///key",
            "azurekms://vault/key/UPPER",
            "azurekms://vault/key/1/2",
            "azurekms://user@vault/key",
            "azurekms://vault/a?b",
            "hashivault://",
            "hashivault://a/b",
            "hashivault://-a",
            "hashivault://a.",
            "openbao://",
            "openbao://a/b",
        ] {
            assert!(
                matches!(
                    KeyRef::parse(text),
                    Err(super::super::Error::Service { .. })
                ),
                "{text}"
            );
        }
    }

    #[test]
    fn a_plugin_is_told_what_stands_behind_the_scheme_and_people_no_secrets() {
        for (text, resource, said) in [
            (
                "pkcs11:token=t;object=k",
                "token=t;object=k",
                "pkcs11:token=t;object=k",
            ),
            (
                "pkcs11://token=t;object=k",
                "token=t;object=k",
                "pkcs11://token=t;object=k",
            ),
            (
                "pkcs11:token=t;id=%01?pin-value=1234&module-path=/m.so",
                "token=t;id=%01?pin-value=1234&module-path=/m.so",
                "pkcs11:token=t;id=%01?pin-value=(not shown)&module-path=/m.so",
            ),
            (
                "hsm://user:word@host/key",
                "user:word@host/key",
                "hsm://(not shown)@host/key",
            ),
            ("hsm:///a:b", "/a:b", "hsm:///a:b"),
            (
                "pkcs11:token=41;object=k?pin-value=%341",
                "token=41;object=k?pin-value=%341",
                "pkcs11:token=(not shown);object=k?pin-value=(not shown)",
            ),
        ] {
            let Some(KmsRef::Plugin(key)) = parse(text) else {
                panic!("{text} is one");
            };
            assert_eq!(key.resource(), resource);
            assert_eq!(key.to_string(), said);
            assert_eq!(format!("{key:?}"), format!("PluginKey({said})"));
        }
        assert_eq!(parse("pkcs11:"), None);
    }

    #[test]
    fn an_arn_says_in_which_region_the_key_is() {
        let region = |text| match parse(text) {
            Some(KmsRef::Aws(key)) => key.region().map(str::to_owned),
            _ => panic!("it is one"),
        };
        let arn = "awskms:///arn:aws:kms:eu-west-1:111122223333:alias/a";
        assert_eq!(region(arn).as_deref(), Some("eu-west-1"));
        assert_eq!(region("awskms:///alias/a"), None);
    }
}
