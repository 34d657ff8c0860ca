//! Timestamps made here, in which any part can be something else and the rest is right.

use sha2::{Digest as _, Sha256};

use crate::certificate::testing::*;
use crate::certificate::x509::{X509, oid};
use crate::der::{encode, tag};

pub(super) const MESSAGE: &[u8] = b"a message";

pub(super) const SHA256: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01];
pub(super) const TST_INFO: &[u8] = &[
    0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x10, 0x01, 0x04,
];
const PKCS9: [u8; 8] = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09];

/// SEQUENCE { OID }
pub(super) fn algorithm(oid: &[u8]) -> Vec<u8> {
    encode(tag::SEQUENCE, &encode(tag::OID, oid))
}

/// An attribute of PKCS#9 with one value.
pub(super) fn attribute(number: &[u8], value: &[u8]) -> Vec<u8> {
    let oid = encode(tag::OID, &[&PKCS9[..], number].concat());
    encode(tag::SEQUENCE, &[oid, encode(tag::SET, value)].concat())
}

pub(super) const CONTENT_TYPE: &[u8] = &[3];
pub(super) const MESSAGE_DIGEST: &[u8] = &[4];
pub(super) const SIGNING_CERTIFICATE_V2: &[u8] = &[0x10, 2, 0x2f];

/// An authority, its certificate, and the parts of a timestamp.
pub(super) struct Made {
    pub(super) root: Maker,
    pub(super) stamper: Maker,
    pub(super) certificate: Vec<u8>,
    pub(super) info_version: u8,
    pub(super) imprint: Vec<u8>,
    pub(super) time: &'static str,
    /// Behind the time in TSTInfo.
    pub(super) tail: Vec<u8>,
    pub(super) content_type: Vec<u8>,
    pub(super) signed_content_type: Vec<u8>,
    /// Of the content; `None`: the right one.
    pub(super) message_digest: Option<Vec<u8>>,
    pub(super) attributes_left_out: Vec<&'static [u8]>,
    pub(super) attributes_added: Vec<Vec<u8>>,
    /// Value of signingCertificateV2; `None`: the right one.
    pub(super) signing_certificate: Option<Vec<u8>>,
    pub(super) digest_algorithm: Vec<u8>,
    pub(super) signature_algorithm: Vec<u8>,
    /// `None`: issuer and serial number.
    pub(super) signer_id: Option<Vec<u8>>,
    pub(super) certificates: Vec<Vec<u8>>,
    pub(super) signers: usize,
    pub(super) versions: (u8, u8),
}

/// What the certificate of an authority is made from.
pub(super) fn stamper_draft(root: &Maker, stamper: &Maker) -> Draft {
    root.authority(stamper)
        .without(oid::BASIC_CONSTRAINTS)
        .with(usage(0x80))
        .with(purposes(true, &[oid::TIME_STAMPING]))
}

impl Made {
    pub(super) fn new() -> Self {
        Self::with_certificate(|draft| draft)
    }

    pub(super) fn with_certificate(change: impl FnOnce(Draft) -> Draft) -> Self {
        let (root, stamper) = (Maker::new("tsa-root"), Maker::new("tsa"));
        let certificate = root.issue(&change(stamper_draft(&root, &stamper)));
        let digest = encode(tag::OCTET_STRING, &Sha256::digest(MESSAGE));
        Self {
            root,
            stamper,
            certificates: vec![certificate.clone()],
            certificate,
            info_version: 1,
            imprint: [algorithm(SHA256), digest].concat(),
            time: "20260201000000Z",
            tail: Vec::new(),
            content_type: TST_INFO.to_vec(),
            signed_content_type: TST_INFO.to_vec(),
            message_digest: None,
            attributes_left_out: Vec::new(),
            attributes_added: Vec::new(),
            signing_certificate: None,
            digest_algorithm: algorithm(SHA256),
            signature_algorithm: ecdsa_with_sha256(),
            signer_id: None,
            signers: 1,
            versions: (3, 1),
        }
    }

    /// TSTInfo
    fn info(&self) -> Vec<u8> {
        let content = [
            vec![2, 1, self.info_version],
            encode(tag::OID, &[0x2a, 3, 4]),
            encode(tag::SEQUENCE, &self.imprint),
            vec![2, 1, 9],
            encode(tag::GENERALIZED_TIME, self.time.as_bytes()),
            self.tail.clone(),
        ];
        encode(tag::SEQUENCE, &content.concat())
    }

    fn attributes(&self, info: &[u8]) -> Vec<u8> {
        let digest = || Sha256::digest(info).to_vec();
        let digest = self.message_digest.clone().unwrap_or_else(digest);
        let id = || {
            let hash = encode(tag::OCTET_STRING, &Sha256::digest(&self.certificate));
            ess(&[hash])
        };
        let id = self.signing_certificate.clone().unwrap_or_else(id);
        let all = [
            (CONTENT_TYPE, encode(tag::OID, &self.signed_content_type)),
            (MESSAGE_DIGEST, encode(tag::OCTET_STRING, &digest)),
            (SIGNING_CERTIFICATE_V2, id),
        ];
        let kept: Vec<u8> = all
            .iter()
            .filter(|(number, _)| !self.attributes_left_out.contains(number))
            .flat_map(|(number, value)| attribute(number, value))
            .collect();
        [kept, self.attributes_added.concat()].concat()
    }

    /// SignerInfo
    fn signer(&self, info: &[u8]) -> Vec<u8> {
        let attributes = self.attributes(info);
        let message = encode(tag::SET, &attributes);
        let signature =
            tekseal_harness::at_once(self.stamper.key.sign(&message)).expect("it signs");
        let id = || {
            let certificate = X509::parse(&self.certificate).expect("a certificate");
            let serial = encode(tag::INTEGER, certificate.serial);
            encode(tag::SEQUENCE, &[certificate.issuer, &serial].concat())
        };
        let content = [
            vec![2, 1, self.versions.1],
            self.signer_id.clone().unwrap_or_else(id),
            self.digest_algorithm.clone(),
            encode(tag::CONTEXT_0, &attributes),
            self.signature_algorithm.clone(),
            encode(tag::OCTET_STRING, &signature),
        ];
        encode(tag::SEQUENCE, &content.concat())
    }

    /// TimeStampResp
    pub(super) fn response(&self) -> Vec<u8> {
        const SIGNED_DATA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x02];
        let info = self.info();
        let content = encode(tag::CONTEXT_0, &encode(tag::OCTET_STRING, &info));
        let content = [encode(tag::OID, &self.content_type), content].concat();
        let signers = vec![self.signer(&info); self.signers].concat();
        let data = [
            vec![2, 1, self.versions.0],
            encode(tag::SET, &self.digest_algorithm),
            encode(tag::SEQUENCE, &content),
            if self.certificates.is_empty() {
                Vec::new()
            } else {
                encode(tag::CONTEXT_0, &self.certificates.concat())
            },
            encode(tag::SET, &signers),
        ];
        let data = encode(tag::CONTEXT_0, &encode(tag::SEQUENCE, &data.concat()));
        let token = [encode(tag::OID, SIGNED_DATA), data].concat();
        let response = [vec![0x30, 3, 2, 1, 0], encode(tag::SEQUENCE, &token)];
        encode(tag::SEQUENCE, &response.concat())
    }
}

/// SigningCertificateV2 with one ESSCertIDv2 of these parts.
pub(super) fn ess(parts: &[Vec<u8>]) -> Vec<u8> {
    let id = encode(tag::SEQUENCE, &parts.concat());
    encode(tag::SEQUENCE, &encode(tag::SEQUENCE, &id))
}
