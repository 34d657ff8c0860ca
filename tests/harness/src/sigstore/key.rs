//! Keys of services, and what is read of PEM files.

use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::run::Run;

/// What kind of key a log has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    P256,
    Ed25519,
}

impl Kind {
    /// What a trusted root calls it.
    pub(super) fn details(self) -> &'static str {
        match self {
            Self::P256 => "PKIX_ECDSA_P256_SHA_256",
            Self::Ed25519 => "PKIX_ED25519",
        }
    }
}

/// A key pair in files: `NAME.pem` (PKCS#8, no password) and `NAME.pub`.
pub(super) struct KeyPair {
    pub(super) kind: Kind,
    pub(super) private: PathBuf,
    pub(super) public: PathBuf,
    /// The public key as SubjectPublicKeyInfo, DER.
    pub(super) der: Vec<u8>,
}

impl KeyPair {
    /// Makes one.
    pub(super) fn make(folder: &Path, name: &str, kind: Kind) -> Self {
        let private = folder.join(format!("{name}.pem"));
        let public = folder.join(format!("{name}.pub"));
        let algorithm: &[&str] = match kind {
            Kind::P256 => &["EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
            Kind::Ed25519 => &["ed25519"],
        };
        let make = Run::new("openssl").args(["genpkey", "-algorithm"]);
        make.args(algorithm).arg("-out").arg(&private).ok();
        let publish = Run::new("openssl").args(["pkey", "-pubout", "-in"]);
        publish.arg(&private).arg("-out").arg(&public).ok();
        let [der] = <[_; 1]>::try_from(blocks(&public)).expect("openssl writes one key");
        Self {
            kind,
            private,
            public,
            der,
        }
    }
}

/// The content of all blocks of a PEM file, in their order.
pub(super) fn blocks(file: &Path) -> Vec<Vec<u8>> {
    let text = fs::read_to_string(file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    let mut found = Vec::new();
    let mut block = None;
    for line in text.lines() {
        if line.starts_with("-----BEGIN ") {
            block = Some(String::new());
        } else if line.starts_with("-----END ") {
            let content = block.take().expect("a block begins before it ends");
            found.push(STANDARD.decode(content).expect("PEM is base64"));
        } else if let Some(content) = &mut block {
            content.push_str(line);
        }
    }
    found
}
