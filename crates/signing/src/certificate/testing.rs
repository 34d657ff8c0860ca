//! For tests: the real samples, and certificates of every kind, made here.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use tekseal_core::trusted_root::{Authority, Validity};

use super::x509::oid;
use crate::der::{encode, tag, time};
use crate::pem;
use crate::public_key::PublicKey;
use crate::signer::Signer;
use crate::trust::{Log, Trust};

/// 2026-01-01T00:00:00Z
pub(crate) const NEW_YEAR: i64 = 1_767_225_600;
pub(crate) const DAY: i64 = 86_400;

/// A file of `tests/fixtures/cosign-samples`.
pub(crate) fn sample(path: &str) -> Vec<u8> {
    let folder = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../tests/fixtures/cosign-samples/"
    );
    let path = format!("{folder}{path}");
    std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

pub(crate) fn json(path: &str) -> Value {
    serde_json::from_slice(&sample(path)).expect("a sample is JSON")
}

pub(crate) fn base64(value: &Value) -> Vec<u8> {
    STANDARD
        .decode(value.as_str().expect("a text"))
        .expect("base64")
}

/// What the trusted root of the samples says.
pub(crate) fn sample_trust() -> Trust {
    let root = json("keys/trusted_root.json");
    let authorities = |name: &str| {
        let list = root[name].as_array().expect("a list");
        list.iter().map(authority).collect()
    };
    let logs = root["ctlogs"].as_array().expect("a list");
    Trust {
        certificate_authorities: authorities("certificateAuthorities"),
        timestamp_authorities: authorities("timestampAuthorities"),
        certificate_logs: logs.iter().map(log).collect(),
        ..Trust::default()
    }
}

fn authority(value: &Value) -> Authority {
    let certificates = value["certChain"]["certificates"]
        .as_array()
        .expect("a list");
    Authority {
        uri: value["uri"].as_str().expect("a text").to_owned(),
        chain: certificates
            .iter()
            .map(|c| base64(&c["rawBytes"]))
            .collect(),
        valid: Validity {
            start: Some(NEW_YEAR),
            end: None,
        },
    }
}

fn log(value: &Value) -> Log {
    let key = base64(&value["publicKey"]["rawBytes"]);
    Log {
        host: String::new(),
        key: PublicKey::from_spki(&key).expect("a key"),
        key_id: base64(&value["logId"]["keyId"]),
        valid: Validity {
            start: Some(NEW_YEAR),
            end: None,
        },
    }
}

/// The DER in a PEM certificate.
pub(crate) fn der_of(pem: &[u8]) -> Vec<u8> {
    let block = pem::read(pem, |label| label == "CERTIFICATE").expect("PEM");
    block.content.to_vec()
}

pub(crate) fn new_key() -> Signer {
    Signer::generate(&mut crate::random::system).expect("a key")
}

/// An authority that signs whatever it is given.
pub(crate) struct Maker {
    pub(crate) key: Signer,
    pub(crate) name: &'static str,
}

/// A certificate before it is signed.
#[derive(Clone)]
pub(crate) struct Draft {
    pub(crate) subject: &'static str,
    pub(crate) spki: Vec<u8>,
    pub(crate) valid: (i64, i64),
    pub(crate) extensions: Vec<Vec<u8>>,
}

impl Maker {
    pub(crate) fn new(name: &'static str) -> Self {
        let key = new_key();
        Self { key, name }
    }

    /// Signs a certificate.
    pub(crate) fn issue(&self, draft: &Draft) -> Vec<u8> {
        let tbs = draft.to_be_signed(self.name);
        let signature = tekseal_harness::at_once(self.key.sign(&tbs)).expect("it signs");
        let bits = encode(tag::BIT_STRING, &[&[0], signature.as_slice()].concat());
        encode(tag::SEQUENCE, &[tbs, ecdsa_with_sha256(), bits].concat())
    }

    /// Its own certificate, signed by itself.
    pub(crate) fn root(&self) -> Vec<u8> {
        self.issue(&self.authority(self))
    }

    /// The certificate of another authority.
    pub(crate) fn authority(&self, other: &Self) -> Draft {
        Draft {
            subject: other.name,
            spki: other.key.public_key().spki_der().to_vec(),
            valid: (NEW_YEAR, NEW_YEAR + 3650 * DAY),
            extensions: vec![constraints(None), usage(0x06)],
        }
    }

    /// As a trusted root has it.
    pub(crate) fn trusted(&self, intermediates: &[Vec<u8>]) -> Authority {
        Authority {
            uri: format!("https://{}.example.com", self.name),
            chain: [intermediates, &[self.root()]].concat(),
            valid: Validity::default(),
        }
    }
}

impl Draft {
    /// A signing certificate as Fulcio makes them, for a new key, on the second day of the year.
    pub(crate) fn signer() -> Self {
        Self {
            subject: "",
            spki: new_key().public_key().spki_der().to_vec(),
            valid: (NEW_YEAR + DAY, NEW_YEAR + DAY + 600),
            extensions: vec![
                usage(0x80),
                purposes(false, &[oid::CODE_SIGNING]),
                names(&[(0x81, b"alice@example.com")]),
                claim(8, &encode(tag::UTF8_STRING, b"https://issuer.example.com")),
            ],
        }
    }

    /// With another extension; one of the same kind is taken out.
    pub(crate) fn with(mut self, extension: Vec<u8>) -> Self {
        let kind = oid_of(&extension).to_vec();
        self.extensions.retain(|other| oid_of(other) != kind);
        self.extensions.push(extension);
        self
    }

    pub(crate) fn without(mut self, kind: &[u8]) -> Self {
        self.extensions.retain(|other| oid_of(other) != kind);
        self
    }

    /// The TBSCertificate.
    pub(crate) fn to_be_signed(&self, issuer: &str) -> Vec<u8> {
        let validity = [self.valid.0, self.valid.1].map(utc).concat();
        let content = [
            encode(tag::CONTEXT_0, &[2, 1, 2]),
            vec![2, 1, 7],
            ecdsa_with_sha256(),
            name(issuer),
            encode(tag::SEQUENCE, &validity),
            name(self.subject),
            self.spki.clone(),
            extension_list(&self.extensions),
        ];
        encode(tag::SEQUENCE, &content.concat())
    }
}

fn extension_list(extensions: &[Vec<u8>]) -> Vec<u8> {
    if extensions.is_empty() {
        return Vec::new();
    }
    let list = encode(tag::SEQUENCE, &extensions.concat());
    encode(tag::CONTEXT_3, &list)
}

/// The object identifier of an extension of fewer than 128 bytes, or of fewer than 64 KiB.
fn oid_of(extension: &[u8]) -> &[u8] {
    let mut reader = crate::der::Reader::new(extension);
    let mut inner = reader.open(tag::SEQUENCE).expect("an extension");
    inner.value(tag::OID).expect("an object identifier")
}

pub(crate) fn extension(oid: &[u8], is_critical: bool, value: &[u8]) -> Vec<u8> {
    let critical: &[u8] = if is_critical { &[1, 1, 0xff] } else { &[] };
    let parts = [
        &encode(tag::OID, oid),
        critical,
        &encode(tag::OCTET_STRING, value),
    ];
    encode(tag::SEQUENCE, &parts.concat())
}

/// basicConstraints of an authority.
pub(crate) fn constraints(most_between: Option<u8>) -> Vec<u8> {
    let length = most_between.map(|most| vec![2, 1, most]);
    let content = [vec![1, 1, 0xff], length.unwrap_or_default()].concat();
    extension(
        oid::BASIC_CONSTRAINTS,
        true,
        &encode(tag::SEQUENCE, &content),
    )
}

/// keyUsage with these bits in its first byte.
pub(crate) fn usage(bits: u8) -> Vec<u8> {
    let unused = u8::try_from(bits.trailing_zeros()).expect("at most 8");
    extension(
        oid::KEY_USAGE,
        true,
        &encode(tag::BIT_STRING, &[unused, bits]),
    )
}

pub(crate) fn purposes(is_critical: bool, purposes: &[&[u8]]) -> Vec<u8> {
    let list: Vec<u8> = purposes
        .iter()
        .flat_map(|oid| encode(tag::OID, oid))
        .collect();
    extension(
        oid::EXTENDED_KEY_USAGE,
        is_critical,
        &encode(tag::SEQUENCE, &list),
    )
}

/// subjectAltName of names with these tags.
pub(crate) fn names(names: &[(u8, &[u8])]) -> Vec<u8> {
    let list: Vec<u8> = names
        .iter()
        .flat_map(|(tag, name)| encode(*tag, name))
        .collect();
    extension(oid::SUBJECT_ALT_NAME, true, &encode(tag::SEQUENCE, &list))
}

/// An extension of Fulcio.
pub(crate) fn claim(number: u8, value: &[u8]) -> Vec<u8> {
    let oid = [0x2b, 0x06, 0x01, 0x04, 0x01, 0x83, 0xbf, 0x30, 0x01, number];
    extension(&oid, false, value)
}

/// A Name with a common name, or an empty one.
pub(crate) fn name(common: &str) -> Vec<u8> {
    if common.is_empty() {
        return encode(tag::SEQUENCE, &[]);
    }
    let value = [
        encode(tag::OID, &[0x55, 4, 3]),
        encode(tag::UTF8_STRING, common.as_bytes()),
    ];
    let attribute = encode(tag::SEQUENCE, &value.concat());
    encode(tag::SEQUENCE, &encode(tag::SET, &attribute))
}

pub(crate) fn ecdsa_with_sha256() -> Vec<u8> {
    let oid = [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];
    encode(tag::SEQUENCE, &encode(tag::OID, &oid))
}

fn utc(seconds: i64) -> Vec<u8> {
    let digits: String = time::text(seconds)
        .chars()
        .filter(|c| c.is_ascii_digit() || *c == 'Z')
        .skip(2)
        .collect();
    encode(tag::UTC_TIME, digits.as_bytes())
}

/// The bytes with one bit at `at` the other way round.
pub(crate) fn flipped(bytes: &[u8], at: usize) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[at] ^= 1;
    bytes
}

/// Where `part` stands in `whole`, which it does once.
pub(crate) fn position(whole: &[u8], part: &[u8]) -> usize {
    let mut found = whole
        .windows(part.len())
        .enumerate()
        .filter(|(_, window)| *window == part);
    let (at, _) = found.next().expect("it is there");
    assert!(found.next().is_none(), "it is there twice");
    at
}
