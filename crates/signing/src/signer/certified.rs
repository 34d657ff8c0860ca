//! A key with a certificate of it, which goes along with what it signs: in the annotations of cosign's layers, and in the place of the key in bundles.
//!
//! Specification: <https://github.com/sigstore/cosign/blob/main/specs/SIGNATURE_SPEC.md> and
//! <https://github.com/sigstore/protobuf-specs/blob/main/protos/sigstore_bundle.proto>.

use tekseal_core::{Envelope, Signed};

use super::Signer;
use crate::certificate::Certificate;
use crate::pem;

/// The certificate of a key, as it goes along with signatures.
pub(super) struct Certified {
    certificate: Certificate,
    pem: String,
    /// Those above it, one after the other.
    chain: String,
}

/// A certificate of another key.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
#[error("the certificate is of another key than the one that signs")]
pub struct OtherKey;

impl Signer {
    /// The same key with a certificate of it, and those above that (DER): both go along with every signature. Whose word the certificate is, is not
    /// looked at: see [`Certificate::judge`].
    ///
    /// # Errors
    /// For a certificate of another key.
    pub fn certified(
        mut self,
        certificate: Certificate,
        chain: &[Vec<u8>],
    ) -> Result<Self, OtherKey> {
        if certificate.public_key() != self.public_key() {
            return Err(OtherKey);
        }
        let chain = chain.iter().map(|der| pem::write("CERTIFICATE", der));
        self.certified = Some(Certified {
            pem: certificate.pem(),
            chain: chain.collect(),
            certificate,
        });
        Ok(self)
    }

    /// The certificate of the key, if it has one.
    #[must_use]
    pub fn certificate(&self) -> Option<&Certificate> {
        self.certified.as_ref().map(|one| &one.certificate)
    }

    /// The certificates above it, PEM, one after the other; empty where there are none.
    #[must_use]
    pub fn chain_pem(&self) -> &str {
        self.certified.as_ref().map_or("", |one| &one.chain)
    }

    /// A layer by this key, with its certificate if it has one.
    pub(super) fn with_certificate(&self, layer: Signed) -> Signed {
        match &self.certified {
            Some(certified) => layer.with_certificate(&certified.pem, &certified.chain),
            None => layer,
        }
    }

    /// The bundle of an envelope by this key.
    pub(super) fn bundle(&self, envelope: &Envelope, predicate_type: &str) -> Signed {
        match &self.certified {
            Some(certified) => {
                let der = certified.certificate.der();
                Signed::bundle_of_certificate(envelope, der, predicate_type)
            }
            None => Signed::bundle_of_key(envelope, self.public_key().spki_der(), predicate_type),
        }
    }
}

#[cfg(test)]
mod tests {
    use tekseal_core::{Bundle, Digest, Evidence, Layout, Payload, Repository};
    use tekseal_harness::at_once;

    use super::*;
    use crate::certificate::testing::{Draft, Maker, NEW_YEAR, new_key};
    use crate::{Unwitnessed, same_signer};

    /// A new key with a certificate by `maker`, who is above it.
    fn certified(maker: &Maker) -> Signer {
        let key = new_key();
        let draft = Draft {
            spki: key.public_key().spki_der().to_vec(),
            ..Draft::signer()
        };
        let certificate = Certificate::from_der(&maker.issue(&draft)).expect("a certificate");
        let signer = key.certified(certificate, &[maker.root()]);
        signer.unwrap_or_else(|e| panic!("{e}"))
    }

    fn payloads() -> [Payload; 2] {
        let image = Repository::parse("r.example/app").expect("well formed");
        let image = image.at(Digest::of(b"image"));
        [
            Payload::simple_signing(&image),
            Payload::statement("slsa/v1", "urn:t", b"{}".to_vec(), vec![]),
        ]
    }

    #[test]
    fn a_certificate_goes_along_in_every_layout() {
        let maker = Maker::new("root");
        let signer = certified(&maker);
        let der = signer.certificate().expect("it has one").der();
        for payload in payloads() {
            let both = at_once(signer.sign_for(&payload, Layout::Both)).expect("sound");
            let [layer, bundle] = &both[..] else {
                panic!("two of them")
            };
            let found = Evidence::of_annotations(layer.annotations()).expect("just written");
            assert_eq!(found.certificate.as_deref(), Some(der));
            assert_eq!(found.chain, [maker.root()]);
            let read = Bundle::parse(bundle.layer()).expect("just written");
            assert_eq!(read.evidence.certificate.as_deref(), Some(der));
            assert_eq!(read.key_hint, None);
            for signed in &both {
                // What a log is told is the certificate, and it is good for ten minutes.
                let read = Unwitnessed::read(signed, signer.verifying()).expect("its own");
                let beginning = NEW_YEAR + crate::certificate::testing::DAY;
                assert!(read.verify_time(beginning).is_ok());
                assert!(read.verify_time(beginning - 1).is_err());
                assert!(read.verify_time(beginning + 601).is_err());
            }
            let one = at_once(signer.sign_payload(&payload)).expect("sound");
            assert_eq!(one, *layer);
        }
    }

    #[test]
    fn what_has_another_certificate_does_not_stand_for_it() {
        let maker = Maker::new("root");
        let (signer, other) = (certified(&maker), certified(&maker));
        for payload in payloads() {
            let sign = |signer: &Signer| at_once(signer.sign_payload(&payload)).expect("sound");
            let (ours, theirs) = (sign(&signer), sign(&other));
            let key = signer.verifying();
            assert!(same_signer(&ours, &ours, key));
            assert!(!same_signer(&theirs, &ours, key));
            // Whoever may write to the repository put another one beside our signature.
            let pem = other.certificate().expect("it has one").pem();
            let swapped = ours.clone().with_certificate(&pem, "");
            assert!(!same_signer(&swapped, &ours, key));
        }
    }

    #[test]
    fn a_certificate_of_another_key_is_refused() {
        let signer = certified(&Maker::new("root"));
        let certificate = signer.certificate().expect("it has one").clone();
        let refused = new_key().certified(certificate, &[]);
        assert_eq!(refused.err(), Some(OtherKey));
    }
}
