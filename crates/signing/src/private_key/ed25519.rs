//! Ed25519 keys (RFC 8032), which sign whole messages with a hash of their own.

use ring::signature::{Ed25519KeyPair, KeyPair as _};
use zeroize::Zeroizing;

use crate::der::{Malformed, Reader, encode, tag};
use crate::random::{self, Random};

const SEED: usize = 32;

/// A private key. The seed is wiped when dropped; what `ring` makes of it for a signature lives on the stack as long as that takes.
pub(crate) struct Ed25519Key {
    seed: Zeroizing<[u8; SEED]>,
    public: [u8; 32],
}

impl Ed25519Key {
    fn from_seed(seed: Zeroizing<[u8; SEED]>) -> Self {
        let mut public = [0; 32];
        public.copy_from_slice(pair(&seed).public_key().as_ref());
        Self { seed, public }
    }

    /// Reads CurvePrivateKey (RFC 8410, 7): an OCTET STRING of the seed.
    pub(super) fn from_der(der: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(der);
        let content = reader.value(tag::OCTET_STRING)?;
        reader.end()?;
        let seed = content.try_into().map_err(|_| Malformed)?;
        Ok(Self::from_seed(Zeroizing::new(seed)))
    }

    pub(super) fn to_der(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(encode(tag::OCTET_STRING, &*self.seed))
    }

    /// A new key.
    pub(super) fn generate(random: Random<'_>) -> Result<Self, random::Error> {
        let mut seed = Zeroizing::new([0; SEED]);
        random(&mut *seed)?;
        Ok(Self::from_seed(seed))
    }

    /// The public half.
    pub(super) fn public(&self) -> &[u8; 32] {
        &self.public
    }

    /// The signature: 64 bytes, pure Ed25519.
    pub(super) fn sign(&self, message: &[u8]) -> Vec<u8> {
        pair(&self.seed).sign(message).as_ref().to_vec()
    }
}

fn pair(seed: &[u8; SEED]) -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(seed).expect("every 32 bytes are a seed")
}
