//! Statements that are too large for memory: signed, put into an envelope and stored piece by piece, with the bytes of all others.
//!
//! ```text
//!   open() ─▶ PAE ─▶ digest ─▶ signature ─┐
//!   open() ─▶ base64 ─────────────────────┴▶ envelope: digest, size ─▶ SignedFile ─ store_file ─▶ Stored
//! ```
//!
//! The payload is read twice, and never written down beside its envelope. Where the bytes lie is the caller's matter.

use std::io::{self, Read, Write};

use tekseal_core::cosign::Tag;
use tekseal_core::digest::Hasher;
use tekseal_core::dsse::{self, IN_TOTO_PAYLOAD_TYPE, Signature};
use tekseal_core::{Digest, DigestRef};
use tekseal_remote::Registry;
use tekseal_remote::store::{self, SignedFile};
use tekseal_signing::Signer;
use tekseal_signing::signer::FaultySignature;

use crate::{Place, StoreFailure, Stored};

/// Opens a payload at its beginning.
pub type Open<'a> = dyn Fn() -> Box<dyn Read + 'a> + 'a;

/// Why a Statement was not signed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The payload could not be read, or its envelope not be written.
    #[error("the envelope cannot be made")]
    Io(#[from] io::Error),
    /// The machine erred.
    #[error(transparent)]
    Faulty(#[from] FaultySignature),
}

/// Writes the envelope around the Statement of so many bytes that `open` gives, and tells its digest and size.
///
/// # Errors
/// As [`Error`] says; what was written then is of no use.
pub fn sign_statement(
    signer: &Signer,
    length: u64,
    open: &Open<'_>,
    out: &mut dyn Write,
) -> Result<(Digest, u64), Error> {
    let mut payload = open();
    let digest = dsse::pae_digest(IN_TOTO_PAYLOAD_TYPE, length, &mut *payload)?;
    let signature = signer.sign_digest(&digest)?;
    let signature = Signature::new(signer.fingerprint(), &signature);
    let mut out = Counted {
        out,
        hasher: Hasher::default(),
        size: 0,
    };
    let (kind, mut payload) = (IN_TOTO_PAYLOAD_TYPE, open());
    dsse::write_envelope(&mut out, kind, length, &mut *payload, signature)?;
    out.flush()?;
    Ok((out.hasher.finish(), out.size))
}

/// [`store`](crate::store) of one attestation that is in a file.
///
/// # Errors
/// When the tag could not be written and confirmed.
pub async fn store_file(
    registry: &Registry,
    image: &DigestRef,
    signed: SignedFile,
) -> Result<Stored, Box<StoreFailure>> {
    match store::append_file(registry, image, signed).await {
        Ok(confirmed) => Ok(Stored {
            item: 0,
            place: Place::Tag {
                image: image.clone(),
                added: confirmed.outcomes == [store::Outcome::Added],
                tag: confirmed.tag,
                digest: confirmed.manifest_digest,
            },
        }),
        Err(error) => Err(Box::new(StoreFailure {
            stored: Vec::new(),
            place: format!("{image} {}", Tag::Attestations.of(&image.digest)),
            error,
        })),
    }
}

/// Takes note of what passes.
struct Counted<'a> {
    out: &'a mut dyn Write,
    hasher: Hasher,
    size: u64,
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
    use tekseal_core::Payload;
    use tekseal_signing::random;

    use super::*;

    #[test]
    fn the_envelope_is_that_of_a_statement_in_memory() {
        let signer = Signer::generate(&mut random::system).unwrap_or_else(|e| panic!("{e}"));
        let bytes = format!(r#"{{"predicate":"{}"}}"#, "x".repeat(100_000)).into_bytes();
        let payload = Payload::statement("t", "urn:t", bytes.clone(), Vec::new());
        let held = signer.sign_payload(&payload).expect("sound");
        let mut out = Vec::new();
        let open = || -> Box<dyn Read + '_> { Box::new(&bytes[..]) };
        let (digest, size) =
            sign_statement(&signer, bytes.len() as u64, &open, &mut out).expect("in memory");
        assert!(out == held.layer());
        assert_eq!((digest, size), (held.layer_digest(), out.len() as u64));
    }

    #[test]
    fn a_payload_of_another_length_gets_no_envelope() {
        let signer = Signer::generate(&mut random::system).unwrap_or_else(|e| panic!("{e}"));
        let open = || -> Box<dyn Read> { Box::new(&b"{}"[..]) };
        let refused = sign_statement(&signer, 3, &open, &mut Vec::new());
        assert!(matches!(refused, Err(Error::Io(_))));
    }
}
