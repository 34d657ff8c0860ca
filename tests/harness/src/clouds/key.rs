//! Keys of services, made by openssl, that sign digests.

use std::fs;
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use p256::ecdsa::SigningKey;
use p256::ecdsa::signature::hazmat::PrehashSigner as _;
use p256::pkcs8::DecodePrivateKey as _;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::run::Run;

/// Kinds of keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyKind {
    /// ECDSA on the curve P-256.
    P256,
    /// ECDSA on the curve P-384.
    P384,
    /// ECDSA on the curve P-521.
    P521,
    /// RSA with so many bits.
    Rsa(u32),
    /// Ed25519.
    Ed25519,
}

/// A key pair of a service.
pub struct TestKey {
    kind: KeyKind,
    folder: TempDir,
    /// Where a process for each signature would take too long.
    quick: Option<SigningKey>,
}

impl KeyKind {
    /// Bytes of a coordinate, and of each half of a signature.
    fn half(self) -> Option<usize> {
        match self {
            Self::P256 => Some(32),
            Self::P384 => Some(48),
            Self::P521 => Some(66),
            Self::Rsa(_) | Self::Ed25519 => None,
        }
    }
}

impl TestKey {
    /// Makes one.
    #[must_use]
    pub fn make(kind: KeyKind) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("key.pem");
        let bits;
        let algorithm: &[&str] = match kind {
            KeyKind::P256 => &["EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
            KeyKind::P384 => &["EC", "-pkeyopt", "ec_paramgen_curve:P-384"],
            KeyKind::P521 => &["EC", "-pkeyopt", "ec_paramgen_curve:P-521"],
            KeyKind::Rsa(size) => {
                bits = format!("rsa_keygen_bits:{size}");
                &["RSA", "-pkeyopt", &bits]
            }
            KeyKind::Ed25519 => &["ed25519"],
        };
        let make = Run::new("openssl").args(["genpkey", "-algorithm"]);
        make.args(algorithm).arg("-out").arg(&path).ok();
        let quick = (kind == KeyKind::P256).then(|| {
            let pem = fs::read_to_string(&path).expect("openssl wrote it");
            SigningKey::from_pkcs8_pem(&pem).expect("openssl writes keys")
        });
        Self {
            kind,
            folder,
            quick,
        }
    }

    /// What kind it is.
    #[must_use]
    pub fn kind(&self) -> KeyKind {
        self.kind
    }

    /// The private half, PKCS#8 in PEM.
    #[must_use]
    pub fn private(&self) -> PathBuf {
        self.folder.path().join("key.pem")
    }

    /// The public half, in PEM.
    #[must_use]
    pub fn public_pem(&self) -> String {
        let publish = Run::new("openssl").args(["pkey", "-pubout", "-in"]);
        publish.arg(self.private()).ok().stdout
    }

    /// The public half as RFC 7518 has it.
    pub(super) fn jwk(&self) -> Value {
        if let KeyKind::Rsa(_) = self.kind {
            let said = Run::new("openssl").args(["rsa", "-noout", "-modulus", "-in"]);
            let said = said.arg(self.private()).ok().stdout;
            let hex = said.trim().strip_prefix("Modulus=").expect("it says so");
            let modulus: Vec<u8> = (0..hex.len() / 2)
                .map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).expect("hex digits"))
                .collect();
            return json!({"kty": "RSA", "n": URL_SAFE_NO_PAD.encode(modulus), "e": "AQAB"});
        }
        let half = self.kind.half().expect("the vault has no other keys");
        let text: String = self
            .public_pem()
            .lines()
            .filter(|line| !line.starts_with('-'))
            .collect();
        let spki = STANDARD.decode(text).expect("PEM is base64");
        let (x, y) = spki[spki.len() - 2 * half..].split_at(half);
        let curve = match self.kind {
            KeyKind::P256 => "P-256",
            KeyKind::P384 => "P-384",
            _ => "P-521",
        };
        json!({"kty": "EC", "crv": curve, "x": URL_SAFE_NO_PAD.encode(x), "y": URL_SAFE_NO_PAD.encode(y)})
    }

    /// Signs a digest by `hash` (`sha256`), DER or PKCS#1 v1.5; with Ed25519 the message itself.
    pub(super) fn sign(&self, hash: &str, digest: &[u8]) -> Vec<u8> {
        if let Some(key) = &self.quick
            && hash == "sha256"
        {
            let signature: p256::ecdsa::DerSignature =
                key.sign_prehash(digest).expect("a digest has 32 bytes");
            return signature.as_bytes().to_vec();
        }
        let [message, signature] = ["message", "signature"].map(|name| {
            let file = tempfile::Builder::new()
                .prefix(name)
                .tempfile_in(&self.folder);
            file.expect("the folder is ours")
        });
        fs::write(message.path(), digest).expect("the file is ours");
        let run = Run::new("openssl").args(["pkeyutl", "-sign", "-inkey"]);
        let run = run.arg(self.private()).arg("-in").arg(message.path());
        let run = match self.kind {
            KeyKind::Ed25519 => run.arg("-rawin"),
            _ => run.arg("-pkeyopt").arg(format!("digest:{hash}")),
        };
        run.arg("-out").arg(signature.path()).ok();
        fs::read(signature.path()).expect("openssl wrote it")
    }

    /// The same as RFC 7518 has it: the two numbers of ECDSA side by side.
    pub(super) fn sign_raw(&self, hash: &str, digest: &[u8]) -> Vec<u8> {
        let signature = self.sign(hash, digest);
        let Some(half) = self.kind.half() else {
            return signature;
        };
        // SEQUENCE, whose length takes a second byte from 128 on.
        let mut rest = match signature[1] {
            0x81 => &signature[3..],
            _ => &signature[2..],
        };
        let mut raw = Vec::new();
        for _ in 0..2 {
            let length = usize::from(rest[1]);
            let number = &rest[2..2 + length];
            let number = number.strip_prefix(&[0]).unwrap_or(number);
            raw.extend(vec![0; half - number.len()]);
            raw.extend_from_slice(number);
            rest = &rest[2 + length..];
        }
        raw
    }
}
