//! Statements that are too large for memory: signed, put into an envelope and stored piece by piece, with the bytes of all others.
//!
//! ```text
//!   open() ─▶ PAE ─▶ digest ─▶ signature ─┐
//!   open() ─▶ base64 ─────────────────────┴▶ envelope, or bundle: digest, size ─▶ SignedFile ─ store_file ─▶ Stored
//! ```
//!
//! The payload is read once to be signed and once for each form in which it is stored, and never written down beside those. Where the bytes lie is
//! the caller's matter.

use std::io::{self, Read, Write};

use tekseal_core::cosign::Tag;
use tekseal_core::digest::Hasher;
use tekseal_core::dsse::{self, IN_TOTO_PAYLOAD_TYPE, Signature};
use tekseal_core::{Digest, DigestRef, bundle};
use tekseal_remote::Registry;
use tekseal_remote::store::{self, SignedFile};
use tekseal_signing::Signer;
use tekseal_signing::signer::SignError;

use crate::{Place, StoreFailure, Stored};

/// Opens a payload at its beginning.
pub type Open<'a> = dyn Fn() -> Box<dyn Read + 'a> + 'a;

/// Why a Statement was not signed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The payload could not be read, or its envelope not be written.
    #[error("the envelope cannot be made")]
    Io(#[from] io::Error),
    /// A certificate is good only beside the entry of a log or a timestamp, and those are not had of what is too large for memory.
    #[error("what is too large for memory cannot be signed with a certificate, only with a key")]
    Certified,
    /// The key did not sign.
    #[error(transparent)]
    Sign(#[from] SignError),
}

/// A Statement of so many bytes, with the key's signature over it.
pub struct LargeStatement<'a> {
    length: u64,
    open: &'a Open<'a>,
    signer: &'a Signer,
    signature: Vec<u8>,
}

impl<'a> LargeStatement<'a> {
    /// Signs the Statement of so many bytes that `open` gives.
    ///
    /// # Errors
    /// As [`Error`] says.
    pub async fn sign(signer: &'a Signer, length: u64, open: &'a Open<'a>) -> Result<Self, Error> {
        if signer.certificate().is_some() {
            return Err(Error::Certified);
        }
        let digest = dsse::pae_digest(IN_TOTO_PAYLOAD_TYPE, length, &mut *open())?;
        Ok(Self {
            length,
            open,
            signature: signer.sign_digest(&digest).await?,
            signer,
        })
    }

    /// Writes the envelope around it, and tells its digest and size.
    ///
    /// # Errors
    /// What was written then is of no use.
    pub fn write_envelope(&self, out: &mut dyn Write) -> Result<(Digest, u64), Error> {
        let mut out = Counted::new(out);
        let signature = Signature::new(self.signer.fingerprint(), &self.signature);
        let (kind, mut payload) = (IN_TOTO_PAYLOAD_TYPE, (self.open)());
        dsse::write_envelope(&mut out, kind, self.length, &mut *payload, signature)?;
        out.finish()
    }

    /// Writes the bundle of it, and tells its digest and size.
    ///
    /// # Errors
    /// What was written then is of no use.
    pub fn write_bundle(&self, out: &mut dyn Write) -> Result<(Digest, u64), Error> {
        let mut out = Counted::new(out);
        let spki = self.signer.public_key().spki_der();
        let (kind, mut payload) = (IN_TOTO_PAYLOAD_TYPE, (self.open)());
        let signature = &self.signature;
        bundle::write_of_key(&mut out, spki, kind, self.length, &mut *payload, signature)?;
        out.finish()
    }
}

/// [`store`](crate::store) of one attestation that is in a file.
///
/// # Errors
/// When it could not be stored and confirmed.
pub async fn store_file(
    registry: &Registry,
    image: &DigestRef,
    signed: SignedFile,
) -> Result<Stored, Box<StoreFailure>> {
    let (tag, places) = match signed.is_bundle() {
        true => {
            let referred = store::refer_file(registry, image, signed).await;
            let places = referred.map(|referred| Place::referring(image, referred));
            (Tag::Referrers, places)
        }
        false => {
            let stored = store::append_file(registry, image, signed).await;
            let places = stored.map(|stored| Place::under_tag(image, stored));
            (Tag::Attestations, places)
        }
    };
    let failed = |error| {
        Box::new(StoreFailure {
            stored: Vec::new(),
            place: format!("{image} {}", tag.of(&image.digest)),
            error,
        })
    };
    let place = places.map_err(failed)?.pop();
    Ok(Stored {
        item: 0,
        place: place.expect("one item has one place"),
    })
}

/// Takes note of what passes.
struct Counted<'a> {
    out: &'a mut dyn Write,
    hasher: Hasher,
    size: u64,
}

impl<'a> Counted<'a> {
    fn new(out: &'a mut dyn Write) -> Self {
        Self {
            out,
            hasher: Hasher::default(),
            size: 0,
        }
    }

    /// Digest and size of what has passed.
    fn finish(self) -> Result<(Digest, u64), Error> {
        self.out.flush()?;
        Ok((self.hasher.finish(), self.size))
    }
}

impl Write for Counted<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.hasher.update(&bytes[..written]);
        self.size += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use tekseal_core::{Layout, Payload};
    use tekseal_harness::at_once;
    use tekseal_signing::random;

    use super::*;

    #[test]
    fn envelope_and_bundle_are_those_of_a_statement_in_memory() {
        let signer = Signer::generate(&mut random::system).unwrap_or_else(|e| panic!("{e}"));
        let bytes = format!(r#"{{"predicate":"{}"}}"#, "x".repeat(100_000)).into_bytes();
        let payload = Payload::statement("t", "urn:t", bytes.clone(), Vec::new());
        let held = at_once(signer.sign_for(&payload, Layout::Both)).expect("sound");
        let open = || -> Box<dyn Read + '_> { Box::new(&bytes[..]) };
        let signed =
            at_once(LargeStatement::sign(&signer, bytes.len() as u64, &open)).expect("in memory");
        let (mut envelope, mut bundle) = (Vec::new(), Vec::new());
        let told = [
            signed.write_envelope(&mut envelope).expect("in memory"),
            signed.write_bundle(&mut bundle).expect("in memory"),
        ];
        for ((out, held), told) in [envelope, bundle].iter().zip(&held).zip(told) {
            assert!(out == held.layer());
            assert_eq!(told, (held.layer_digest(), out.len() as u64));
        }
    }

    #[test]
    fn a_payload_of_another_length_gets_no_envelope() {
        let signer = Signer::generate(&mut random::system).unwrap_or_else(|e| panic!("{e}"));
        let open = || -> Box<dyn Read> { Box::new(&b"{}"[..]) };
        let refused = at_once(LargeStatement::sign(&signer, 3, &open));
        assert!(matches!(refused, Err(Error::Io(_))));
    }
}
