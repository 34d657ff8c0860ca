//! Reads bundles.

use std::collections::BTreeSet;

use super::{Bundle, Content, Error, MEDIA_TYPE_V03, MOST_ENTRIES, MOST_TIMESTAMPS, is_media_type};
use crate::certificates::{LARGEST_CERTIFICATE, MOST_CERTIFICATES};
use crate::dsse::{Envelope, Signature};
use crate::evidence::{
    self, Evidence, LARGEST_SIGNATURE, LARGEST_TIMESTAMP, LogEntry, entry_names,
};
use crate::excerpt::Excerpt;
use crate::protojson::{self, Node, Object};
use crate::strict_json::{self, Step};

/// How many values a bundle may have: 32 entries with proofs of 64 hashes have some 3000.
const MOST_VALUES: usize = 8192;
/// The longest media type, type of a payload, hint or key id.
const LONGEST_NAME: usize = 1024;
/// The largest digest of any algorithm.
const LARGEST_DIGEST: usize = 64;

impl Bundle {
    /// Reads a bundle of the versions 0.1, 0.2 and 0.3. How large it may be is the caller's to say.
    ///
    /// # Errors
    /// For what is no such bundle, and for what another reader may understand differently. Nothing is verified.
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        let document = Node::read(bytes, known_names, MOST_VALUES)?;
        let bundle = document.top()?;
        let media_type = bundle.text("mediaType", LONGEST_NAME)?;
        let version = Version::of(bundle.need("mediaType", media_type)?)?;
        let name = "verificationMaterial";
        let material = bundle.need(name, bundle.object(name)?)?;
        let signer = Signer::read(&material, version)?;
        Ok(Self {
            content: read_content(&bundle)?,
            evidence: Evidence {
                certificate: signer.certificate,
                chain: signer.chain,
                entries: read_entries(&material, version)?,
                timestamps: read_timestamps(&material)?,
            },
            key_hint: signer.key_hint,
        })
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Version {
    V01,
    V02,
    V03,
}

impl Version {
    fn of(media_type: &str) -> Result<Self, Error> {
        Ok(match media_type {
            "application/vnd.dev.sigstore.bundle+json;version=0.1" => Self::V01,
            "application/vnd.dev.sigstore.bundle+json;version=0.2" => Self::V02,
            "application/vnd.dev.sigstore.bundle+json;version=0.3" | MEDIA_TYPE_V03 => Self::V03,
            other if is_media_type(other) => return Err(Error::Version(Excerpt::of(other))),
            other => return Err(Error::MediaType(Excerpt::of(other))),
        })
    }
}

/// Who signed, as the bundle says.
#[derive(Default)]
struct Signer {
    certificate: Option<Vec<u8>>,
    chain: Vec<Vec<u8>>,
    key_hint: Option<String>,
}

impl Signer {
    fn read(material: &Object<'_>, version: Version) -> Result<Self, Error> {
        let names = ["certificate", "x509CertificateChain", "publicKey"];
        let mut found = names.iter().filter(|name| material.member(name).is_some());
        if let (Some(first), Some(second)) = (found.next(), found.next()) {
            return Err(Error::TwoSigners(first, second));
        }
        if let Some(certificate) = material.object(names[0])? {
            return Ok(Self {
                certificate: Some(read_certificate(&certificate)?),
                ..Self::default()
            });
        }
        if let Some(chain) = material.object(names[1])? {
            if version == Version::V03 {
                return Err(Error::ChainInV03);
            }
            let chain = chain_of(&chain)?;
            let mut certificates = chain.into_iter();
            return Ok(Self {
                certificate: certificates.next(),
                chain: certificates.collect(),
                key_hint: None,
            });
        }
        let key = material.object(names[2])?.ok_or(Error::NoSigner)?;
        let hint = key.text("hint", LONGEST_NAME)?;
        Ok(Self {
            key_hint: hint.map(ToOwned::to_owned),
            ..Self::default()
        })
    }
}

fn read_certificate(certificate: &Object<'_>) -> Result<Vec<u8>, protojson::Error> {
    let bytes = certificate.bytes("rawBytes", LARGEST_CERTIFICATE)?;
    certificate.need("rawBytes", bytes)
}

/// The certificates of an `X509CertificateChain`, DER: at least one.
pub(crate) fn chain_of(chain: &Object<'_>) -> Result<Vec<Vec<u8>>, protojson::Error> {
    let certificates: Vec<_> = chain
        .list("certificates", MOST_CERTIFICATES)?
        .into_iter()
        .map(|certificate| read_certificate(&certificate.object()?))
        .collect::<Result<_, _>>()?;
    let some = (!certificates.is_empty()).then_some(certificates);
    chain.need("certificates", some)
}

fn read_entries(material: &Object<'_>, version: Version) -> Result<Vec<LogEntry>, Error> {
    let mut entries: Vec<LogEntry> = Vec::new();
    let mut places = BTreeSet::new();
    for entry in material.list("tlogEntries", MOST_ENTRIES)? {
        let object = entry.object()?;
        let entry = evidence::read_entry(&object)?;
        let place = || object.place().to_owned();
        match version {
            Version::V01 if entry.promise.is_none() => return Err(Error::NoPromise(place())),
            Version::V02 | Version::V03 if entry.inclusion.is_none() => {
                return Err(Error::NoProof(place()));
            }
            Version::V01 | Version::V02 | Version::V03 => {}
        }
        if !places.insert((entry.log_id.clone(), entry.log_index)) {
            return Err(Error::SameEntry(place()));
        }
        entries.push(entry);
    }
    Ok(entries)
}

fn read_timestamps(material: &Object<'_>) -> Result<Vec<Vec<u8>>, Error> {
    let Some(data) = material.object("timestampVerificationData")? else {
        return Ok(Vec::new());
    };
    let mut timestamps = Vec::new();
    for timestamp in data.list("rfc3161Timestamps", MOST_TIMESTAMPS)? {
        let timestamp = timestamp.object()?;
        let bytes = timestamp.bytes("signedTimestamp", LARGEST_TIMESTAMP)?;
        timestamps.push(timestamp.need("signedTimestamp", bytes)?);
    }
    Ok(timestamps)
}

fn read_content(bundle: &Object<'_>) -> Result<Content, Error> {
    let envelope = bundle.object("dsseEnvelope")?;
    match (envelope, bundle.object("messageSignature")?) {
        (Some(_), Some(_)) => Err(Error::TwoContents),
        (None, None) => Err(Error::NoContent),
        (Some(envelope), None) => read_envelope(&envelope).map(Content::Envelope),
        (None, Some(message)) => read_message(&message),
    }
}

/// Payload and signature stay base64; that they are is seen here.
fn read_envelope(envelope: &Object<'_>) -> Result<Envelope, Error> {
    let signatures = envelope.list("signatures", usize::MAX)?;
    let [signature] = <[_; 1]>::try_from(signatures).map_err(|s| Error::Signatures(s.len()))?;
    let signature = signature.object()?;
    let payload_type = envelope.text("payloadType", LONGEST_NAME)?;
    let keyid = signature.text("keyid", LONGEST_NAME)?;
    envelope.need("payload", envelope.bytes("payload", usize::MAX)?)?;
    signature.need("sig", signature.bytes("sig", LARGEST_SIGNATURE)?)?;
    let owned = |text: Option<&str>| text.unwrap_or_default().to_owned();
    Ok(Envelope {
        payload_type: envelope.need("payloadType", payload_type)?.to_owned(),
        payload: owned(envelope.text("payload", usize::MAX)?),
        signatures: vec![Signature {
            keyid: owned(keyid),
            sig: owned(signature.text("sig", usize::MAX)?),
        }],
    })
}

fn read_message(message: &Object<'_>) -> Result<Content, Error> {
    let digest = message.need("messageDigest", message.object("messageDigest")?)?;
    let algorithm = digest.text("algorithm", LONGEST_NAME)?;
    let algorithm = digest.need("algorithm", algorithm)?;
    if !matches!(algorithm, "SHA2_256" | "SHA2_384" | "SHA2_512") {
        return Err(Error::Algorithm(Excerpt::of(algorithm)));
    }
    let signature = message.bytes("signature", LARGEST_SIGNATURE)?;
    Ok(Content::Message {
        algorithm: algorithm.to_owned(),
        digest: digest.need("digest", digest.bytes("digest", LARGEST_DIGEST)?)?,
        signature: message.need("signature", signature)?,
    })
}

fn known_names(place: &[Step]) -> &'static [&'static str] {
    let mut names = Default::default();
    let Some(path) = strict_json::path(place, &mut names) else {
        return &[];
    };
    match path {
        [] => &[
            "mediaType",
            "verificationMaterial",
            "messageSignature",
            "dsseEnvelope",
        ],
        ["verificationMaterial", rest @ ..] => material_names(rest),
        ["dsseEnvelope"] => &["payload", "payloadType", "signatures"],
        ["dsseEnvelope", "signatures", "[]"] => &["sig", "keyid"],
        ["messageSignature"] => &["messageDigest", "signature"],
        ["messageSignature", "messageDigest"] => &["algorithm", "digest"],
        _ => &[],
    }
}

fn material_names(path: &[&str]) -> &'static [&'static str] {
    match path {
        [] => &[
            "publicKey",
            "x509CertificateChain",
            "certificate",
            "tlogEntries",
            "timestampVerificationData",
        ],
        ["publicKey"] => &["hint"],
        ["certificate"] | ["x509CertificateChain", "certificates", "[]"] => &["rawBytes"],
        ["x509CertificateChain"] => &["certificates"],
        ["tlogEntries", "[]", rest @ ..] => entry_names(rest),
        ["timestampVerificationData"] => &["rfc3161Timestamps"],
        ["timestampVerificationData", "rfc3161Timestamps", "[]"] => &["signedTimestamp"],
        _ => &[],
    }
}
