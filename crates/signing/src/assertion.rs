//! Signs what a program says of itself to an issuer of tokens, with the RSA key of a service account.
//!
//! RS256 of RFC 7518, section 3.3: RSASSA-PKCS1-v1_5 over SHA-256. It is here since this is the crate in which private keys are; what is said, and to
//! whom, is known elsewhere. No artifact is signed with such a key.

use ring::rand::SystemRandom;
use ring::rsa::KeyPair;
use ring::signature::RSA_PKCS1_SHA256;

use crate::pem;

/// An RSA key that says who a program is. It has no `Debug` and no `Clone`.
pub struct AssertionKey(KeyPair);

/// Why a key cannot say who a program is. No text holds anything of the key.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not PEM.
    #[error("cannot read the private key")]
    Pem(#[source] pem::Error),
    /// Some other PEM block.
    #[error("this is a {0:?}; wanted a PRIVATE KEY")]
    Label(String),
    /// No RSA key, or one of a size that is not supported.
    #[error("this is no RSA private key of 2048 to 4096 bits in PKCS#8")]
    Key,
    /// The system gave no random bytes, or the key is damaged.
    #[error("cannot sign with the private key: it is damaged, or the system gave no random bytes")]
    Sign,
}

const LABEL: &str = "PRIVATE KEY";

impl AssertionKey {
    /// Reads a PEM `PRIVATE KEY` (PKCS#8).
    ///
    /// # Errors
    /// If it is none, or none of RSA.
    pub fn from_pem(text: &[u8]) -> Result<Self, Error> {
        let block = pem::read(text, |label| label == LABEL).map_err(Error::Pem)?;
        if block.label != LABEL {
            return Err(Error::Label(block.label));
        }
        let key = KeyPair::from_pkcs8(&block.content).map_err(|_| Error::Key)?;
        Ok(Self(key))
    }

    /// The signature of a message, as long as the modulus.
    ///
    /// # Errors
    /// If the system gives no random bytes.
    pub fn rs256(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        let mut signature = vec![0; self.0.public().modulus_len()];
        self.0
            .sign(
                &RSA_PKCS1_SHA256,
                &SystemRandom::new(),
                message,
                &mut signature,
            )
            .map_err(|_| Error::Sign)?;
        Ok(signature)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{HashAlgorithm, PublicKey};

    #[test]
    fn a_message_is_signed_so_that_the_public_half_verifies_it() {
        let public = PublicKey::from_pem(include_bytes!("testdata/rsa.pub"));
        let public = public.expect("it is one");
        let key = AssertionKey::from_pem(include_bytes!("testdata/rsa.plain.pem"));
        let key = key.unwrap_or_else(|e| panic!("{e}"));
        let signature = key.rs256(b"who").expect("a sound key");
        let verify = |message| public.verify(HashAlgorithm::Sha256, message, &signature);
        assert!(verify(b"who").is_ok());
        assert!(verify(b"somebody else").is_err());
    }

    #[test]
    fn what_is_no_such_key_is_named() {
        let error = |text: &[u8]| AssertionKey::from_pem(text).err().expect("no such key");
        assert!(matches!(error(b"no key"), Error::Pem(_)));
        let p256 = include_bytes!("testdata/p256.pkcs8.pem");
        assert!(matches!(error(p256), Error::Key));
        let public = include_bytes!("testdata/a.pub");
        assert!(matches!(error(public), Error::Label(_)));
    }
}
