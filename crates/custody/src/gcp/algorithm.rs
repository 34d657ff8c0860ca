//! What Cloud KMS calls the ways to sign that are known here
//! (<https://cloud.google.com/kms/docs/reference/rest/v1/CryptoKeyVersionAlgorithm>).

use tekseal_signing::{HashAlgorithm, KeyAlgorithm};

/// A way to sign.
#[derive(Debug, PartialEq)]
pub(super) struct Algorithm {
    pub(super) name: &'static str,
    pub(super) key: KeyAlgorithm,
    /// What is signed; for Ed25519 the whole message.
    pub(super) hash: HashAlgorithm,
}

/// The first one of a kind of key is the one that keys are made with.
static KNOWN: [Algorithm; 7] = {
    use HashAlgorithm::{Sha256, Sha384, Sha512};
    use KeyAlgorithm::{Ed25519, P256, P384, Rsa};
    [
        known("EC_SIGN_P256_SHA256", P256, Sha256),
        known("EC_SIGN_P384_SHA384", P384, Sha384),
        known("EC_SIGN_ED25519", Ed25519, Sha256),
        known("RSA_SIGN_PKCS1_2048_SHA256", Rsa(2048), Sha256),
        known("RSA_SIGN_PKCS1_3072_SHA256", Rsa(3072), Sha256),
        known("RSA_SIGN_PKCS1_4096_SHA256", Rsa(4096), Sha256),
        known("RSA_SIGN_PKCS1_4096_SHA512", Rsa(4096), Sha512),
    ]
};

/// For people.
pub(super) const WANTED: &str = "signing here needs an asymmetric signing key of EC_SIGN_P256_SHA256, EC_SIGN_P384_SHA384, EC_SIGN_ED25519 or \
    RSA_SIGN_PKCS1_*";
/// For people.
pub(super) const MAKES: &str = "P-256, P-384, Ed25519, and RSA of 2048, 3072 and 4096 bits";

const fn known(name: &'static str, key: KeyAlgorithm, hash: HashAlgorithm) -> Algorithm {
    Algorithm { name, key, hash }
}

impl Algorithm {
    /// The one of this name.
    pub(super) fn named(name: &str) -> Option<&'static Self> {
        KNOWN.iter().find(|known| known.name == name)
    }

    /// The one that keys of this kind are made with.
    pub(super) fn making(key: KeyAlgorithm) -> Option<&'static Self> {
        KNOWN.iter().find(|known| known.key == key)
    }
}
