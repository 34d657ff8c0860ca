//! Reads trusted roots.

use super::{Authority, Error, LogKey, MOST_OF_A_KIND, TrustedRoot, Validity};
use crate::bundle::chain_of;
use crate::excerpt::Excerpt;
use crate::protojson::{self, Node, Object};
use crate::strict_json::{self, Step};

/// How many values a trusted root may have: full lists with chains of 16 have some 7000.
const MOST_VALUES: usize = 16_384;
/// The longest URL or name.
const LONGEST_NAME: usize = 2048;
/// The largest public key, DER; RSA-4096 has 550 bytes.
const LARGEST_KEY: usize = 16 * 1024;
/// The longest id of a log.
const LARGEST_LOG_ID: usize = 64;

impl TrustedRoot {
    /// Reads a `trusted_root.json`, of version 0.1 or 0.2.
    ///
    /// # Errors
    /// For what is none, and for what another reader may understand differently. A log must have a key, an id and a beginning, an authority a
    /// certificate.
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        let document = Node::read(bytes, known_names, MOST_VALUES)?;
        let root = document.top()?;
        let media_type = root.text("mediaType", LONGEST_NAME)?;
        let media_type = root.need("mediaType", media_type)?;
        if !MEDIA_TYPES.contains(&media_type) {
            return Err(Error::MediaType(Excerpt::of(media_type)));
        }
        Ok(Self {
            logs: read_list(&root, "tlogs", read_log)?,
            certificate_authorities: read_list(&root, "certificateAuthorities", read_authority)?,
            certificate_logs: read_list(&root, "ctlogs", read_log)?,
            timestamp_authorities: read_list(&root, "timestampAuthorities", read_authority)?,
        })
    }
}

const MEDIA_TYPES: [&str; 4] = [
    "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
    "application/vnd.dev.sigstore.trustedroot+json;version=0.2",
    "application/vnd.dev.sigstore.trustedroot.v0.1+json",
    "application/vnd.dev.sigstore.trustedroot.v0.2+json",
];

fn read_list<T>(
    root: &Object<'_>,
    name: &str,
    read: fn(&Object<'_>) -> Result<T, Error>,
) -> Result<Vec<T>, Error> {
    let items = root.list(name, MOST_OF_A_KIND)?.into_iter();
    items.map(|item| read(&item.object()?)).collect()
}

fn read_log(log: &Object<'_>) -> Result<LogKey, Error> {
    let algorithm = log.text("hashAlgorithm", LONGEST_NAME)?;
    let algorithm = log.need("hashAlgorithm", algorithm)?;
    if algorithm != "SHA2_256" {
        return Err(Error::HashAlgorithm {
            place: log.place_of("hashAlgorithm"),
            found: Excerpt::of(algorithm),
        });
    }
    let key = log.need("publicKey", log.object("publicKey")?)?;
    let id = log.need("logId", log.object("logId")?)?;
    let valid = key.need("validFor", key.object("validFor")?)?;
    // An authority is in use as long as its certificates are; a key alone says nothing of that.
    valid.need("start", valid.time("start")?)?;
    Ok(LogKey {
        base_url: name_of(log, "baseUrl")?,
        public_key: key.need("rawBytes", key.bytes("rawBytes", LARGEST_KEY)?)?,
        key_id: id.need("keyId", id.bytes("keyId", LARGEST_LOG_ID)?)?,
        valid: validity(&valid)?,
    })
}

fn read_authority(authority: &Object<'_>) -> Result<Authority, Error> {
    let chain = authority.need("certChain", authority.object("certChain")?)?;
    let valid = authority.object("validFor")?.as_ref().map(validity);
    Ok(Authority {
        uri: name_of(authority, "uri")?,
        chain: chain_of(&chain)?,
        valid: valid.transpose()?.unwrap_or_default(),
    })
}

fn name_of(object: &Object<'_>, name: &str) -> Result<String, Error> {
    let text = object.text(name, LONGEST_NAME)?;
    Ok(text.unwrap_or_default().to_owned())
}

fn validity(range: &Object<'_>) -> Result<Validity, Error> {
    read_validity(range)?.ok_or_else(|| Error::Backwards(range.place().to_owned()))
}

/// Only whole seconds that are in the range; nothing if it ends before it starts.
pub(crate) fn read_validity(range: &Object<'_>) -> Result<Option<Validity>, protojson::Error> {
    let valid = Validity {
        start: range.time("start")?.map(|time| time.second_after()),
        end: range.time("end")?.map(|time| time.second_before()),
    };
    if let (Some(start), Some(end)) = (valid.start, valid.end)
        && end < start
    {
        return Ok(None);
    }
    Ok(Some(valid))
}

fn known_names(place: &[Step]) -> &'static [&'static str] {
    let mut names = Default::default();
    let Some(path) = strict_json::path(place, &mut names) else {
        return &[];
    };
    match path {
        [] => &[
            "mediaType",
            "tlogs",
            "certificateAuthorities",
            "ctlogs",
            "timestampAuthorities",
        ],
        ["tlogs" | "ctlogs", "[]", rest @ ..] => log_names(rest),
        [
            "certificateAuthorities" | "timestampAuthorities",
            "[]",
            rest @ ..,
        ] => authority_names(rest),
        _ => &[],
    }
}

fn log_names(path: &[&str]) -> &'static [&'static str] {
    match path {
        [] => &[
            "baseUrl",
            "hashAlgorithm",
            "publicKey",
            "logId",
            "checkpointKeyId",
            "operator",
        ],
        ["publicKey"] => &["rawBytes", "keyDetails", "validFor"],
        ["publicKey", "validFor"] => &["start", "end"],
        ["logId" | "checkpointKeyId"] => &["keyId"],
        _ => &[],
    }
}

fn authority_names(path: &[&str]) -> &'static [&'static str] {
    match path {
        [] => &["subject", "uri", "certChain", "validFor", "operator"],
        ["subject"] => &["organization", "commonName"],
        ["certChain"] => &["certificates"],
        ["certChain", "certificates", "[]"] => &["rawBytes"],
        ["validFor"] => &["start", "end"],
        _ => &[],
    }
}
