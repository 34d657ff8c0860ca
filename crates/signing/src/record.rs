//! Signs and verifies the Record on a run: what was done with it.

use tekseal_core::marks::{Record, RecordError};

use crate::public_key::{HashAlgorithm, PublicKey};
use crate::signer::{SignError, Signer};

/// Why a Record is not believed.
#[derive(Debug, thiserror::Error)]
pub enum Unbelieved {
    /// It is none.
    #[error(transparent)]
    Malformed(#[from] RecordError),
    /// None of our keys signed it.
    #[error("the record is signed by none of the keys of this controller")]
    Key,
    /// It is of another run: perhaps copied.
    #[error("the record is of the run with uid {found:?}, this one has {wanted:?}")]
    OtherRun {
        /// The uid in the record.
        found: String,
        /// The uid of the run.
        wanted: String,
    },
}

impl Signer {
    /// The annotation for a Record.
    ///
    /// # Errors
    /// As [`SignError`] says.
    pub async fn sign_record(&self, record: &Record) -> Result<String, SignError> {
        let signature = self.sign(&record.message()).await?;
        Ok(record.annotation(&self.public_key().fingerprint(), &signature))
    }
}

/// The Record in an annotation of the run with `uid`, if one of `keys` signed it.
///
/// It does not say over which hash, and neither does what is remembered of the keys of a controller: any that goes with the key will do, for all are
/// as good.
///
/// # Errors
/// If it is malformed, of another run, or signed by none of the keys.
pub fn verify_record<'k>(
    annotation: &str,
    uid: &str,
    keys: impl IntoIterator<Item = &'k PublicKey>,
) -> Result<Record, Unbelieved> {
    let unverified = Record::parse(annotation)?;
    let is_signed = keys.into_iter().any(|key| {
        let (message, signature) = (&unverified.message, &unverified.signature);
        let mut hashes = HashAlgorithm::ALL.into_iter();
        hashes.any(|hash| key.verify(hash, message, signature).is_ok())
    });
    if !is_signed {
        return Err(Unbelieved::Key);
    }
    if unverified.record.uid != uid {
        return Err(Unbelieved::OtherRun {
            found: unverified.record.uid.chars().take(100).collect(),
            wanted: uid.to_owned(),
        });
    }
    Ok(unverified.record)
}

#[cfg(test)]
mod tests {
    use tekseal_core::Digest;
    use tekseal_core::marks::Outcome;

    use super::*;

    fn signer(pem: &[u8]) -> Signer {
        Signer::from_pem(pem, || Ok::<_, crate::signer::Error>(Vec::new().into()))
            .expect("the key opens")
    }

    #[test]
    fn only_a_record_of_this_run_by_one_of_our_keys_is_believed() {
        let ours = signer(include_bytes!("testdata/p256.pkcs8.pem"));
        let theirs = Signer::generate(&mut crate::random::system).expect("a key");
        let record = Record::new(
            "uid-1",
            Outcome::Failed,
            &[Digest::of(b"payload")],
            "2026-01-02T03:04:05Z".to_owned(),
            "tekseal 1".to_owned(),
        );
        let annotation = tekseal_harness::at_once(ours.sign_record(&record)).expect("it signs");
        let keys = [theirs.public_key().clone(), ours.public_key().clone()];
        assert_eq!(
            verify_record(&annotation, "uid-1", &keys).expect("it is ours"),
            record
        );
        assert!(matches!(
            verify_record(&annotation, "uid-2", &keys),
            Err(Unbelieved::OtherRun { .. })
        ));
        assert!(matches!(
            verify_record(&annotation, "uid-1", &keys[..1]),
            Err(Unbelieved::Key)
        ));
        let changed = Record {
            outcome: Outcome::Signed,
            ..record.clone()
        };
        let unverified = Record::parse(&annotation).expect("it is well formed");
        let forged = changed.annotation(&unverified.keyid, &unverified.signature);
        assert!(matches!(
            verify_record(&forged, "uid-1", &keys),
            Err(Unbelieved::Key)
        ));
    }
}
