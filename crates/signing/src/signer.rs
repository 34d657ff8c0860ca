//! Holds a private key and signs payloads with it.
//!
//! The private key is in this process, or held elsewhere ([`RemoteKey`]). In this process signatures are over SHA-256, but for Ed25519, and
//! deterministic (ECDSA as RFC 6979 says): the same key and payload give the same bytes, so that signing twice adds nothing new to a registry or a
//! log. Each one is verified before it is handed out; one of a whole message, but for P-521, by other code than the one that made it.

mod certified;

use tekseal_core::dsse::{self, IN_TOTO_PAYLOAD_TYPE};
use tekseal_core::{Blame, Digest, Envelope, Layout, Payload, PayloadKind, Signed};
use zeroize::Zeroizing;

use crate::cosign_key;
use crate::der::Malformed;
use crate::pem;
use crate::private_key::{KeyFile, PrivateKey};
use crate::public_key::{HashAlgorithm, KeyAlgorithm, PublicKey};
use crate::random::{self, Random};
use crate::remote_key::{Message, RemoteError, RemoteKey};
use crate::verifying_key::VerifyingKey;
use certified::Certified;

pub use certified::OtherKey;

/// A private key that can sign. It has no `Debug` and no `Clone`, and is wiped when dropped.
pub struct Signer {
    key: Held,
    verifying: VerifyingKey,
    fingerprint: String,
    certified: Option<Certified>,
}

/// Where the private half is.
enum Held {
    /// In this process.
    Here(Box<PrivateKey>),
    /// With somebody who signs for us.
    Elsewhere(Box<dyn RemoteKey>),
}

/// Why a private key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not PEM.
    #[error("cannot read a private key")]
    Pem(#[source] pem::Error),
    /// A public key where a private one belongs.
    #[error("this is a public key; give the private one, cosign.key")]
    PublicKey,
    /// A PKCS#8 file with a password of its own.
    #[error(
        "this is an ENCRYPTED PRIVATE KEY, which is not supported; \
         decrypt it with: openssl pkcs8 -in KEY -out PLAIN.pem"
    )]
    EncryptedPkcs8,
    /// Some other PEM block.
    #[error(
        "this is a {0:?}; wanted an ENCRYPTED SIGSTORE PRIVATE KEY, a PRIVATE KEY, an EC PRIVATE KEY or an RSA PRIVATE KEY"
    )]
    Label(String),
    /// The content of the block is no key, or a scalar that no key of the curve has.
    #[error("the private key is damaged")]
    Malformed,
    /// The file holds a public key that does not belong to the private one.
    #[error("the private key is damaged: the public key in it is another one's")]
    PublicHalf,
    /// A kind of key that is not supported.
    #[error(
        "signing with {0} keys is not supported; supported are ECDSA P-256, P-384 and P-521, RSA and Ed25519"
    )]
    Unsupported(&'static str),
    /// RSA of a size that is not signed with.
    #[error(
        "an RSA key of {0} bits is not supported for signing; supported are 2048, 3072 and 4096 bits"
    )]
    RsaSize(usize),
    /// Numbers that are no RSA key together.
    #[error("the RSA key cannot be used: {0}")]
    Rsa(String),
    /// RSA that somebody may factor.
    #[error("the RSA key is not imported: {0}")]
    RsaWeak(&'static str),
    /// A kind of key that is not made here.
    #[error("{0} keys are not made here, only imported")]
    NotMade(KeyAlgorithm),
    /// The encrypted file cannot be opened.
    #[error("cannot open the encrypted private key")]
    File(#[from] cosign_key::Error),
    /// No randomness for a new key.
    #[error("cannot make a private key")]
    Random(#[from] random::Error),
    /// The source of randomness gives the same unusable bytes again and again.
    #[error("cannot make a private key: the source of randomness is broken")]
    BrokenRandom,
}

/// A signature came out that its own public key does not accept: a fault of the machine. Nothing was handed out.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
#[error("the signature just made does not verify; the machine made an error")]
pub struct FaultySignature;

/// Why nothing was signed.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    /// The machine erred.
    #[error(transparent)]
    Faulty(#[from] FaultySignature),
    /// The key is held elsewhere, and no signature came from there.
    #[error("cannot sign with {reference}")]
    Remote {
        /// The reference of the key.
        reference: String,
        /// Why.
        source: RemoteError,
    },
    /// A signature came that is not one of the key over the message: the key was rotated meanwhile, or whoever holds it erred or lied.
    #[error(
        "the signature that came from {reference} is none of its public key {fingerprint} over what was to be signed; \
         if the key was rotated meanwhile, another try uses its new version"
    )]
    NotOfKey {
        /// The reference of the key.
        reference: String,
        /// The public key that it had when it was opened.
        fingerprint: String,
    },
    /// The key signs whole messages, or over another hash than SHA-256, and this message is too large for memory.
    #[error(
        "this message is too large for memory, and the {0} key cannot sign its SHA-256 alone; use an ECDSA P-256 key"
    )]
    WholeOnly(KeyAlgorithm),
    /// The key does not leave where it is.
    #[error("the private key stays at {0}: it cannot be written to a file")]
    Stays(String),
    /// No randomness.
    #[error(transparent)]
    Random(#[from] random::Error),
}

impl SignError {
    /// Who must act.
    #[must_use]
    pub fn blame(&self) -> Blame {
        match self {
            Self::Faulty(_) => Blame::Artifact,
            Self::Remote { source, .. } => source.blame(),
            Self::NotOfKey { .. } | Self::Random(_) => Blame::Outside,
            Self::WholeOnly(_) | Self::Stays(_) => Blame::Setting,
        }
    }
}

impl From<Malformed> for Error {
    fn from(Malformed: Malformed) -> Self {
        Self::Malformed
    }
}

impl Signer {
    /// Reads a private key of any algorithm: a `cosign.key`, or an unencrypted `PRIVATE KEY`, `EC PRIVATE KEY` or `RSA PRIVATE KEY`.
    ///
    /// `password` is called only if the key is encrypted. Its error type must be able to hold an [`Error`] of this
    /// module, as `anyhow::Error` and the caller's own type with a `From` can; with [`Error`] itself it cannot fail
    /// otherwise.
    pub fn from_pem<E: From<Error>>(
        pem: &[u8],
        password: impl FnOnce() -> Result<Zeroizing<Vec<u8>>, E>,
    ) -> Result<Self, E> {
        let file = match KeyFile::from_pem(pem)? {
            KeyFile::Plain(key) => return Ok(Self::new(key)),
            KeyFile::Encrypted(file) => file,
        };
        let password = password()?;
        let pkcs8 = file.open(&password).map_err(Error::File)?;
        Ok(Self::new(PrivateKey::from_pkcs8(&pkcs8)?))
    }

    /// Makes a new P-256 key.
    pub fn generate(random: Random<'_>) -> Result<Self, Error> {
        Self::generate_of(KeyAlgorithm::P256, random)
    }

    /// Makes a new key of this kind. RSA keys are not made here.
    pub fn generate_of(algorithm: KeyAlgorithm, random: Random<'_>) -> Result<Self, Error> {
        PrivateKey::generate(algorithm, random).map(Self::new)
    }

    /// Whether cosign would import the key: of no kind that is known to be weak. A key that is held elsewhere is
    /// judged by whoever holds it.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check_usual(&self) -> Result<(), Error> {
        match &self.key {
            Held::Here(key) => key.check_usual(),
            Held::Elsewhere(_) => Ok(()),
        }
    }

    /// A key that is held elsewhere, whose public half is `public`: each of its signatures is verified with that.
    #[must_use]
    pub fn remote(key: Box<dyn RemoteKey>, public: PublicKey) -> Self {
        let verifying = VerifyingKey::new(public, key.hash());
        Self::of(Held::Elsewhere(key), verifying)
    }

    fn new(key: PrivateKey) -> Self {
        let verifying = VerifyingKey::over_sha256(key.public_key());
        Self::of(Held::Here(Box::new(key)), verifying)
    }

    fn of(key: Held, verifying: VerifyingKey) -> Self {
        let fingerprint = verifying.key().fingerprint();
        Self {
            key,
            verifying,
            fingerprint,
            certified: None,
        }
    }

    /// The reference of a key that is held elsewhere.
    #[must_use]
    pub fn reference(&self) -> Option<&str> {
        match &self.key {
            Held::Here(_) => None,
            Held::Elsewhere(key) => Some(key.reference()),
        }
    }

    /// The hash that its signatures are made over; Ed25519 has its own.
    #[must_use]
    pub fn hash(&self) -> HashAlgorithm {
        self.verifying.hash()
    }

    /// The public half.
    #[must_use]
    pub fn public_key(&self) -> &PublicKey {
        self.verifying.key()
    }

    /// What its signatures are verified with.
    #[must_use]
    pub fn verifying(&self) -> &VerifyingKey {
        &self.verifying
    }

    /// The text of a `cosign.key` with this key, encrypted with `password`, which may be empty.
    ///
    /// Salt and nonce come from `random` and must never be the same twice for one password.
    pub fn to_encrypted_pem(
        &self,
        password: &[u8],
        random: Random<'_>,
    ) -> Result<String, SignError> {
        match &self.key {
            Held::Here(key) => Ok(cosign_key::encrypt(&key.to_pkcs8(), password, random)?),
            Held::Elsewhere(key) => Err(SignError::Stays(key.reference().to_owned())),
        }
    }

    /// Signs a payload in the shape in which it is stored.
    ///
    /// A simple-signing document is signed as it is. A Statement goes into an envelope with one signature over its
    /// pre-authentication encoding, whose `keyid` is the fingerprint of the key, as Tekton Chains does it, with a certificate too.
    pub async fn sign_payload(&self, payload: &Payload) -> Result<Signed, SignError> {
        match payload.kind() {
            PayloadKind::SimpleSigning => {
                let signature = self.sign(payload.bytes()).await?;
                let layer = Signed::image_signature(payload.bytes().to_vec(), &signature);
                Ok(self.with_certificate(layer))
            }
            PayloadKind::Statement { predicate_type, .. } => {
                let envelope = self.envelope(payload.bytes()).await?;
                Ok(self.with_certificate(Signed::attestation(&envelope, predicate_type)))
            }
        }
    }

    /// Signs a payload for a layout: first in the shape of [`sign_payload`](Self::sign_payload), where there are tags, then as a bundle, where there
    /// are bundles.
    ///
    /// Both of a Statement have the same signature, made once. The bundle of an image signature is over another document, the Statement that
    /// cosign 3 signs, and as every bundle over its pre-authentication encoding. (Tekton Chains puts the simple-signing document into the
    /// bundle and signs that document itself, which no verifier accepts.) What says a name has no form as a bundle: in a layout of bundles alone
    /// nothing is signed of it.
    pub async fn sign_for(
        &self,
        payload: &Payload,
        layout: Layout,
    ) -> Result<Vec<Signed>, SignError> {
        if !layout.has_bundles() {
            return Ok(vec![self.sign_payload(payload).await?]);
        }
        let Some(statement) = payload.as_statement() else {
            return match layout.has_tags() {
                true => Ok(vec![self.sign_payload(payload).await?]),
                false => Ok(Vec::new()),
            };
        };
        let envelope = self.envelope(&statement).await?;
        let mut signed = Vec::with_capacity(2);
        if layout.has_tags() {
            signed.push(match payload.kind() {
                PayloadKind::SimpleSigning => self.sign_payload(payload).await?,
                PayloadKind::Statement { predicate_type, .. } => {
                    self.with_certificate(Signed::attestation(&envelope, predicate_type))
                }
            });
        }
        let predicate_type = payload.predicate_type();
        signed.push(self.bundle(&envelope, predicate_type));
        Ok(signed)
    }

    /// The envelope around a Statement.
    async fn envelope(&self, statement: &[u8]) -> Result<Envelope, SignError> {
        // Its copy of a Statement of megabytes is let go before the envelope makes another.
        let signature = {
            let pae = dsse::pae(IN_TOTO_PAYLOAD_TYPE, statement);
            self.sign(&pae).await?
        };
        Ok(Envelope::new(
            IN_TOTO_PAYLOAD_TYPE,
            statement,
            &self.fingerprint,
            &signature,
        ))
    }

    /// The signature of `message`, in the form and over the hash of the key: for ECDSA DER, for RSA PKCS#1 v1.5, for Ed25519 64 bytes. Verified before
    /// it is handed out.
    ///
    /// A key in this process signs at once; for one that is held elsewhere this waits.
    ///
    /// # Errors
    /// As [`SignError`] says. Nothing is signed then.
    pub async fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        match &self.key {
            Held::Here(key) => {
                let signature = key.sign(message).ok_or(FaultySignature)?;
                self.verifying
                    .verify(message, &signature)
                    .map_err(|_| FaultySignature)?;
                Ok(signature)
            }
            Held::Elsewhere(key) => {
                let signature = ask(&**key, Message::Whole(message)).await?;
                self.verifying
                    .verify(message, &signature)
                    .map_err(|_| self.not_of_key(&**key))?;
                Ok(signature)
            }
        }
    }

    /// The signature over a message with this SHA-256, for messages that are too large for memory: the same as [`sign`](Self::sign) gives.
    ///
    /// It is verified like every other, but by the crate that made it: the other one takes whole messages only.
    ///
    /// # Errors
    /// As [`SignError`] says: [`SignError::WholeOnly`] for RSA and Ed25519, and for keys that sign over another hash.
    pub async fn sign_digest(&self, message: &Digest) -> Result<Vec<u8>, SignError> {
        let digest = message.to_bytes();
        let public = self.public_key();
        let whole_only = || SignError::WholeOnly(public.algorithm());
        let is_ecdsa = match public.algorithm() {
            KeyAlgorithm::P256 | KeyAlgorithm::P384 | KeyAlgorithm::P521 => true,
            KeyAlgorithm::Rsa(_) | KeyAlgorithm::Ed25519 => false,
        };
        if !is_ecdsa || self.hash() != HashAlgorithm::Sha256 {
            return Err(whole_only());
        }
        match &self.key {
            Held::Here(key) => {
                let signature = key.sign_digest(&digest).ok_or_else(whole_only)?;
                public
                    .verify_digest(HashAlgorithm::Sha256, &digest, &signature)
                    .map_err(|_| FaultySignature)?;
                Ok(signature)
            }
            Held::Elsewhere(key) => {
                let signature = ask(&**key, Message::Sha256(message)).await?;
                public
                    .verify_digest(HashAlgorithm::Sha256, &digest, &signature)
                    .map_err(|_| self.not_of_key(&**key))?;
                Ok(signature)
            }
        }
    }

    fn not_of_key(&self, key: &dyn RemoteKey) -> SignError {
        SignError::NotOfKey {
            reference: key.reference().to_owned(),
            fingerprint: self.fingerprint.clone(),
        }
    }

    /// How envelopes name this key: see [`PublicKey::fingerprint`].
    #[must_use]
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }
}

async fn ask(key: &dyn RemoteKey, message: Message<'_>) -> Result<Vec<u8>, SignError> {
    key.sign(message).await.map_err(|source| SignError::Remote {
        reference: key.reference().to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use tekseal_core::bundle::{Bundle, Content};
    use tekseal_core::digest::hex;
    use tekseal_core::{DigestRef, Repository, TaggedImage};

    use tekseal_harness::at_once;

    use super::*;
    use crate::{HashAlgorithm, UnverifiedBundle, Verifier};

    const A: &[u8] = include_bytes!("testdata/a.key");
    const PLAIN: &[u8] = include_bytes!("testdata/p256.pkcs8.pem");

    /// The private key of RFC 6979 appendix A.2.5.
    fn rfc6979() -> Signer {
        let scalar = "c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721";
        Signer::generate(&mut |bytes| {
            for (i, byte) in bytes.iter_mut().enumerate() {
                *byte = u8::from_str_radix(&scalar[2 * i..2 * i + 2], 16).expect("hexadecimal");
            }
            Ok(())
        })
        .unwrap_or_else(|e| panic!("a good scalar: {e}"))
    }

    #[test]
    fn a_message_and_its_digest_have_the_same_signature() {
        for message in [&b"sample"[..], b"", &[7; 100_000]] {
            let signer = rfc6979();
            assert_eq!(
                at_once(signer.sign_digest(&Digest::of(message))).expect("sound"),
                at_once(signer.sign(message)).expect("sound")
            );
        }
    }

    fn password(text: &str) -> impl FnOnce() -> Result<Zeroizing<Vec<u8>>, Error> {
        move || Ok(Zeroizing::new(text.as_bytes().to_vec()))
    }

    #[test]
    fn signatures_are_those_of_rfc_6979() {
        assert_eq!(
            hex(&at_once(rfc6979().sign(b"sample")).expect("sound")),
            "3046022100efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716\
             022100f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8"
        );
        assert_eq!(
            hex(&at_once(rfc6979().sign(b"test")).expect("sound")),
            "3045022100f1abb023518351cd71d881567b1ea663ed3efcf6c5132b354f28d3b0b7d38367\
             0220019f4113742a2b14bd25926b49c649155f267e60d3814b4c0cc84250e46f0083"
        );
    }

    #[test]
    fn an_encrypted_key_opens_with_its_password_and_has_the_public_key_beside_it() {
        let signer = Signer::from_pem(A, password("test"))
            .unwrap_or_else(|e| panic!("the right password: {e}"));
        assert_eq!(
            signer.public_key().to_pem().as_bytes(),
            include_bytes!("testdata/a.pub")
        );
        let error = Signer::from_pem(A, password("tset"))
            .err()
            .expect("a wrong password");
        assert!(matches!(error, Error::File(cosign_key::Error::Password)));
    }

    #[test]
    fn only_an_encrypted_key_asks_for_a_password() {
        let never = || -> Result<_, Error> { panic!("a plain key needs no password") };
        assert!(Signer::from_pem(PLAIN, never).is_ok());
        assert!(Signer::from_pem(b"no key", never).is_err());
        let refused: Result<_, Error> = Signer::from_pem(A, || Err(Error::BrokenRandom));
        assert!(
            matches!(refused.err(), Some(Error::BrokenRandom)),
            "the caller's error comes back as it is"
        );
    }

    #[test]
    fn a_new_key_survives_its_encrypted_file() {
        let signer =
            Signer::generate(&mut random::system).unwrap_or_else(|e| panic!("randomness: {e}"));
        let file = signer
            .to_encrypted_pem("pässwörd".as_bytes(), &mut random::system)
            .expect("randomness");
        let opened = Signer::from_pem(file.as_bytes(), password("pässwörd"))
            .unwrap_or_else(|e| panic!("just written: {e}"));
        assert_eq!(opened.public_key(), signer.public_key());
        let other =
            Signer::generate(&mut random::system).unwrap_or_else(|e| panic!("randomness: {e}"));
        assert_ne!(other.public_key(), signer.public_key());
    }

    #[test]
    fn a_source_that_gives_unusable_bytes_for_ever_makes_no_key() {
        let zeroes = Signer::generate(&mut |_| Ok(())).err();
        assert!(matches!(zeroes, Some(Error::BrokenRandom)));
        let dry =
            Signer::generate(&mut |_| Err(random::Error(getrandom::Error::UNSUPPORTED))).err();
        assert!(matches!(dry, Some(Error::Random(_))));
    }

    #[test]
    fn a_statement_goes_into_an_envelope_that_names_the_key() {
        let payload = Payload::statement(
            "slsa/v1",
            "https://slsa.dev/provenance/v1",
            b"{}".to_vec(),
            vec![],
        );
        let signed = at_once(rfc6979().sign_payload(&payload)).expect("sound");
        let envelope = Envelope::parse(signed.layer()).expect("just written");
        assert_eq!(envelope.payload_type, IN_TOTO_PAYLOAD_TYPE);
        assert_eq!(envelope.unverified_payload().expect("just written"), b"{}");
        assert_eq!(envelope.signatures.len(), 1);
        assert_eq!(
            envelope.signatures[0].keyid,
            rfc6979().public_key().fingerprint()
        );
        assert_eq!(
            signed.annotations()["predicateType"],
            "https://slsa.dev/provenance/v1"
        );
        assert_eq!(
            at_once(rfc6979().sign_payload(&payload)).expect("sound"),
            signed,
            "the same bytes each time"
        );
    }

    #[test]
    fn the_bundle_of_a_statement_has_the_signature_of_its_envelope() {
        let predicate_type = "https://slsa.dev/provenance/v1";
        let payload = Payload::statement("slsa/v1", predicate_type, b"{}".to_vec(), vec![]);
        let signer = rfc6979();
        let both = at_once(signer.sign_for(&payload, Layout::Both)).expect("sound");
        let [layer, bundle] = &both[..] else {
            panic!("two of them")
        };
        assert_eq!(
            *layer,
            at_once(signer.sign_payload(&payload)).expect("sound")
        );
        let envelope = Envelope::parse(layer.layer()).expect("just written");
        let read = Bundle::parse(bundle.layer()).expect("just written");
        let Content::Envelope(inside) = read.content else {
            panic!("an envelope")
        };
        assert_eq!(inside.payload, envelope.payload);
        assert_eq!(inside.signatures[0].sig, envelope.signatures[0].sig);
        assert_eq!(inside.signatures[0].keyid, "");
        assert_eq!(
            bundle.annotations()["dev.sigstore.bundle.predicateType"],
            predicate_type
        );
        assert!(bundle.is_bundle() && !layer.is_bundle());
        for (layout, wanted) in [(Layout::Tags, layer), (Layout::Bundle, bundle)] {
            let one = at_once(signer.sign_for(&payload, layout)).expect("sound");
            assert_eq!(one, std::slice::from_ref(wanted), "the same each time");
        }
    }

    #[test]
    fn both_forms_of_an_image_signature_verify() {
        let digest = Digest::of(b"image");
        let image = Repository::parse("r.example/app")
            .expect("well formed")
            .at(digest.clone());
        let signer = rfc6979();
        let payload = Payload::simple_signing(&image);
        let both = at_once(signer.sign_for(&payload, Layout::Both)).expect("sound");
        let key = signer.public_key().clone();
        let verifier = Verifier::new(vec![key], HashAlgorithm::Sha256).expect("a key");
        let none = Default::default();
        let layer = verifier.image_signature(&both[0], &digest, &none);
        assert!(layer.is_ok());
        let bundle = || UnverifiedBundle::read(&both[1]).expect("just written");
        assert!(bundle().says_signature());
        let verified = verifier.signature_bundle(bundle(), &digest, &none);
        let verified = verified.expect("signed by this key");
        let statement = payload.as_statement().expect("it says no name");
        assert_eq!(verified.payload(), &*statement);
        let other = Digest::of(b"another image");
        assert!(verifier.signature_bundle(bundle(), &other, &none).is_err());
    }

    #[test]
    fn a_name_is_signed_for_tags_alone() {
        let digest = Digest::of(b"image");
        let image = Repository::parse("r.example/app").expect("well formed");
        let tagged = TaggedImage::new(image.at(digest.clone()), "1.0").expect("a tag");
        let payload = Payload::simple_signing_as(&tagged);
        let signer = rfc6979();
        let signed = at_once(signer.sign_payload(&payload)).expect("sound");
        for layout in [Layout::Tags, Layout::Both] {
            let forms = at_once(signer.sign_for(&payload, layout)).expect("sound");
            assert_eq!(forms, std::slice::from_ref(&signed));
        }
        let none = at_once(signer.sign_for(&payload, Layout::Bundle)).expect("sound");
        assert!(none.is_empty());
        let key = signer.public_key().clone();
        let plain = at_once(signer.sign_payload(&Payload::simple_signing(tagged.image())));
        assert!(!crate::same_signer(
            &plain.expect("sound"),
            &signed,
            signer.verifying()
        ));
        let verifier = Verifier::new(vec![key], HashAlgorithm::Sha256).expect("a key");
        let verified = verifier.image_signature(&signed, &digest, &Default::default());
        let verified = verified.expect("signed by this key");
        let name = &verified.value().critical.identity.docker_reference;
        assert_eq!(name, "r.example/app:1.0");
    }

    #[test]
    fn an_image_signature_leaves_the_payload_as_it_is() {
        let image = Repository::parse("r.example/app")
            .expect("well formed")
            .at(Digest::of(b"image"));
        let payload = Payload::simple_signing(&DigestRef { ..image });
        let signed = at_once(rfc6979().sign_payload(&payload)).expect("sound");
        assert_eq!(signed.layer(), payload.bytes());
        assert_eq!(signed.annotations().len(), 1);
    }
}
