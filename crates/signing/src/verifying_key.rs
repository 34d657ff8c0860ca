//! A public key, and the hash that its signatures are over: both are needed to verify, and neither tells the other.
//!
//! A key in this process signs over SHA-256, whatever its curve. A key that is held elsewhere may do otherwise: key management services sign over
//! SHA-384 alone with P-384, and over SHA-512 with P-521. Whoever verifies what was just signed must use that hash.

use crate::public_key::{HashAlgorithm, PublicKey, VerifyError};

/// What the signatures of one signer are verified with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifyingKey {
    key: PublicKey,
    hash: HashAlgorithm,
}

impl VerifyingKey {
    /// This key, with signatures over this hash. Ed25519 has a hash of its own, and takes no notice of it.
    #[must_use]
    pub fn new(key: PublicKey, hash: HashAlgorithm) -> Self {
        Self { key, hash }
    }

    /// This key with signatures over SHA-256: what cosign takes for granted where nothing else is said.
    #[must_use]
    pub fn over_sha256(key: PublicKey) -> Self {
        Self::new(key, HashAlgorithm::Sha256)
    }

    /// The key.
    #[must_use]
    pub fn key(&self) -> &PublicKey {
        &self.key
    }

    /// The hash.
    #[must_use]
    pub fn hash(&self) -> HashAlgorithm {
        self.hash
    }

    /// Verifies `signature` over `message`, as [`PublicKey::verify`] does.
    ///
    /// # Errors
    /// As there.
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), VerifyError> {
        self.key.verify(self.hash, message, signature)
    }
}

#[cfg(test)]
mod tests {
    use p384::ecdsa::SigningKey;
    use p384::ecdsa::signature::hazmat::PrehashSigner as _;
    use tekseal_core::marks::{Outcome, Record};
    use tekseal_core::{Digest, Layout, Payload, Repository, Signed};
    use tekseal_harness::at_once;

    use super::*;
    use crate::der::{encode, encode_positive, tag};
    use crate::public_key::KeyAlgorithm;
    use crate::remote_key::{Message, RemoteKey, Signing};
    use crate::signer::{SignError, Signer};
    use crate::witness::{EnvelopeEntry, Format, Unloggable};
    use crate::{Unwitnessed, random, same_signer, verify_record};

    const V1: Format = Format::V1(EnvelopeEntry::Dsse);

    /// A P-384 key as a service holds it that signs over SHA-384 alone.
    struct Elsewhere(SigningKey);

    impl RemoteKey for Elsewhere {
        fn reference(&self) -> &str {
            "awskms:///alias/test"
        }

        fn hash(&self) -> HashAlgorithm {
            HashAlgorithm::Sha384
        }

        fn sign<'a>(&'a self, message: Message<'a>) -> Signing<'a> {
            let digest = message.digest(HashAlgorithm::Sha384).expect("all of it");
            let signature: p384::ecdsa::Signature = self.0.sign_prehash(&digest).expect("sound");
            let (r, s) = signature.split_bytes();
            let both = [encode_positive(&r), encode_positive(&s)].concat();
            Box::pin(std::future::ready(Ok(encode(tag::SEQUENCE, &both))))
        }
    }

    fn elsewhere() -> Signer {
        let key = SigningKey::from_slice(&[7; 48]).expect("a key");
        let point = key.verifying_key().to_sec1_point(false);
        let public = PublicKey::of(crate::der::Algorithm::P384, point.as_bytes());
        let public = public.expect("a key");
        Signer::remote(Box::new(Elsewhere(key)), public)
    }

    fn payloads() -> [Payload; 2] {
        let image = Repository::parse("r.example/app").expect("well formed");
        let image = image.at(Digest::of(b"image"));
        let uri = "https://slsa.dev/provenance/v1";
        [
            Payload::simple_signing(&image),
            Payload::statement("slsa/v1", uri, b"{}".to_vec(), vec![]),
        ]
    }

    fn signed(signer: &Signer) -> Vec<Signed> {
        let each = payloads()
            .map(|payload| at_once(signer.sign_for(&payload, Layout::Both)).expect("sound"));
        each.into_iter().flatten().collect()
    }

    #[test]
    fn what_a_key_elsewhere_signs_over_its_hash_is_verified_over_that_hash() {
        let signer = elsewhere();
        let ours = signer.verifying();
        assert_eq!(ours.hash(), HashAlgorithm::Sha384);
        let wrong = VerifyingKey::over_sha256(ours.key().clone());
        let all = signed(&signer);
        assert_eq!(all.len(), 4);
        for one in &all {
            assert!(same_signer(one, one, ours) && !same_signer(one, one, &wrong));
            assert!(Unwitnessed::read(one, &wrong).is_err());
            let asked = Unwitnessed::read(one, ours).unwrap_or_else(|e| panic!("ours: {e}"));
            let of_v2 = asked.proposal(Format::V2).expect("a log takes it");
            let of_v2 = String::from_utf8(of_v2).expect("JSON");
            assert!(of_v2.contains("PKIX_ECDSA_P384_SHA_384"), "{of_v2}");
        }
        let image = Unwitnessed::read(&all[0], ours).unwrap_or_else(|e| panic!("ours: {e}"));
        let of_v1: serde_json::Value =
            serde_json::from_slice(&image.proposal(V1).expect("a log takes it")).expect("JSON");
        let hash = &of_v1["spec"]["data"]["hash"];
        assert_eq!(hash["algorithm"], "sha384");
        assert_eq!(
            hash["value"],
            tekseal_core::digest::hex(&HashAlgorithm::Sha384.digest(all[0].layer()))
        );
    }

    #[test]
    fn a_record_is_believed_over_whichever_hash_its_key_signs() {
        let (signer, uid) = (elsewhere(), "uid-1");
        let (at, by) = ("2026-01-02T03:04:05Z".to_owned(), "tekseal 1".to_owned());
        let record = Record::new(uid, Outcome::Failed, &[Digest::of(b"payload")], at, by);
        let annotation = at_once(signer.sign_record(&record)).expect("it signs");
        let keys = [signer.public_key().clone()];
        let believed = verify_record(&annotation, uid, &keys).expect("it is ours");
        assert_eq!(believed, record);
    }

    #[test]
    fn a_message_of_which_only_the_sha256_is_known_is_for_keys_that_sign_that() {
        let digest = Digest::of(b"a message");
        let refused = at_once(elsewhere().sign_digest(&digest));
        assert!(matches!(
            refused,
            Err(SignError::WholeOnly(KeyAlgorithm::P384))
        ));
        for (algorithm, signs) in [
            (KeyAlgorithm::P384, true),
            (KeyAlgorithm::P521, true),
            (KeyAlgorithm::Ed25519, false),
        ] {
            let signer = Signer::generate_of(algorithm, &mut random::system);
            let signer = signer.unwrap_or_else(|e| panic!("{algorithm}: {e}"));
            match at_once(signer.sign_digest(&digest)) {
                Ok(signature) => {
                    assert!(signs, "{algorithm}");
                    let whole = at_once(signer.sign(b"a message")).expect("sound");
                    assert_eq!(signature, whole);
                }
                Err(SignError::WholeOnly(named)) => assert!(!signs && named == algorithm),
                Err(other) => panic!("{algorithm}: {other}"),
            }
        }
    }

    #[test]
    fn logs_that_are_sent_digests_take_nothing_of_ed25519_and_of_the_larger_curves_over_sha256() {
        for algorithm in [
            KeyAlgorithm::P384,
            KeyAlgorithm::P521,
            KeyAlgorithm::Ed25519,
        ] {
            let signer = Signer::generate_of(algorithm, &mut random::system);
            let signer = signer.unwrap_or_else(|e| panic!("randomness: {e}"));
            let all = signed(&signer);
            let asked = |at: usize, format| {
                let one = Unwitnessed::read(&all[at], signer.verifying());
                one.unwrap_or_else(|e| panic!("ours: {e}")).proposal(format)
            };
            let refused = || Err(Unloggable::Digest(algorithm));
            assert_eq!(asked(0, V1), refused(), "an image signature in a tag");
            for at in [1, 2, 3] {
                assert!(asked(at, V1).is_ok(), "envelopes are sent whole");
                assert_eq!(asked(at, Format::V2), refused());
            }
        }
    }
}
