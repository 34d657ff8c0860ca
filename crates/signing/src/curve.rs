//! ECDSA on the curves P-256, P-384 and P-521: keys of a scalar, deterministic signatures (RFC 6979), and whether a signature is one over a digest.
//!
//! With every curve SHA-256 is signed over: what `cosign verify --key` takes without a flag. Whole messages are verified by `ring` where it can.

use ecdsa::elliptic_curve::array::typenum::Unsigned as _;
use ecdsa::elliptic_curve::sec1::{FromSec1Point, ModulusSize, ToSec1Point};
use ecdsa::elliptic_curve::{self, CurveArithmetic};
use ecdsa::hazmat::sign_prehashed_rfc6979;
use ecdsa::signature::hazmat::PrehashVerifier as _;
use ecdsa::{EcdsaCurve, Signature, SigningKey, VerifyingKey};
use p256::NistP256;
use p384::NistP384;
use p521::NistP521;
use sha2::Sha256;
use zeroize::{Zeroize as _, Zeroizing};

use crate::der::{Algorithm, Malformed, Reader, encode, encode_positive, tag};
use crate::random::{self, Random};

/// One of the curves.
pub(crate) trait Curve:
    EcdsaCurve
    + elliptic_curve::Curve<FieldBytesSize: ModulusSize>
    + CurveArithmetic<AffinePoint: FromSec1Point<Self> + ToSec1Point<Self>>
{
    /// How keys on it are named.
    const ALGORITHM: Algorithm;
    /// How many bits of a scalar's first byte are of no use.
    const SPARE_BITS: u32;
    /// How many bytes a scalar and a coordinate have.
    const WIDTH: usize = <Self as elliptic_curve::Curve>::FieldBytesSize::USIZE;
}

impl Curve for NistP256 {
    const ALGORITHM: Algorithm = Algorithm::P256;
    const SPARE_BITS: u32 = 0;
}

impl Curve for NistP384 {
    const ALGORITHM: Algorithm = Algorithm::P384;
    const SPARE_BITS: u32 = 0;
}

impl Curve for NistP521 {
    const ALGORITHM: Algorithm = Algorithm::P521;
    const SPARE_BITS: u32 = 7;
}

/// A private key on one of them. It is wiped when dropped.
pub(crate) struct EcKey<C: Curve>(SigningKey<C>);

impl<C: Curve> EcKey<C> {
    /// The key with this big-endian scalar, whose leading zeros some write and some leave out; nothing where no key of the curve has it.
    pub(crate) fn from_scalar(scalar: &[u8]) -> Option<Self> {
        let first = scalar.iter().position(|byte| *byte != 0)?;
        let significant = scalar.get(first..)?;
        let start = C::WIDTH.checked_sub(significant.len())?;
        let mut padded = Zeroizing::new(vec![0; C::WIDTH]);
        padded.get_mut(start..)?.copy_from_slice(significant);
        SigningKey::from_slice(&padded).ok().map(Self)
    }

    /// A new key; nothing where the source of randomness gives unusable bytes again and again.
    pub(crate) fn generate(random: Random<'_>) -> Result<Option<Self>, random::Error> {
        let mut scalar = Zeroizing::new(vec![0; C::WIDTH]);
        // Fewer than one in 2^32 scalars are refused; a second refusal in a row is no accident.
        for _ in 0..2 {
            random(&mut scalar)?;
            if let Some(first) = scalar.first_mut() {
                *first &= u8::MAX >> C::SPARE_BITS;
            }
            if let Some(key) = Self::from_scalar(&scalar) {
                return Ok(Some(key));
            }
        }
        Ok(None)
    }

    /// The public key as an uncompressed point.
    pub(crate) fn point(&self) -> Vec<u8> {
        let point = self.0.verifying_key().to_sec1_point(false);
        point.as_bytes().to_vec()
    }

    /// ECPrivateKey (RFC 5915) without the curve, which PKCS#8 names around it: as Go's `crypto/x509` writes it.
    pub(crate) fn to_sec1(&self) -> Zeroizing<Vec<u8>> {
        let mut bytes = self.0.to_bytes();
        let scalar = Zeroizing::new(encode(tag::OCTET_STRING, &bytes));
        bytes.zeroize();
        let bits = encode(tag::BIT_STRING, &[&[0][..], &self.point()[..]].concat());
        let version = encode(tag::INTEGER, &[1]);
        let point = encode(tag::CONTEXT_1, &bits);
        let content = Zeroizing::new([&version[..], &scalar, &point].concat());
        Zeroizing::new(encode(tag::SEQUENCE, &content))
    }

    /// The signature over a message with this SHA-256, in DER (RFC 3279, 2.2.3).
    pub(crate) fn sign_digest(&self, digest: &[u8; 32]) -> Vec<u8> {
        let (signature, _) =
            sign_prehashed_rfc6979::<C, Sha256>(self.0.as_nonzero_scalar(), digest, &[]);
        let (r, s) = signature.split_bytes();
        let numbers = [encode_positive(&r), encode_positive(&s)].concat();
        encode(tag::SEQUENCE, &numbers)
    }
}

/// Whether this is a DER signature of the key with this uncompressed point over a message with this digest, of whichever hash.
pub(crate) fn is_signature<C: Curve>(point: &[u8], digest: &[u8], signature: &[u8]) -> bool {
    let (Ok(key), Ok(signature)) = (
        VerifyingKey::<C>::from_sec1_bytes(point),
        read_signature::<C>(signature),
    ) else {
        return false;
    };
    key.verify_prehash(digest, &signature).is_ok()
}

/// Ecdsa-Sig-Value ::= SEQUENCE { r INTEGER, s INTEGER }
fn read_signature<C: Curve>(der: &[u8]) -> Result<Signature<C>, Malformed> {
    let mut outer = Reader::new(der);
    let mut inner = outer.open(tag::SEQUENCE)?;
    outer.end()?;
    let mut both = vec![0; 2 * C::WIDTH];
    for half in both.chunks_exact_mut(C::WIDTH) {
        let number = inner.positive()?;
        let start = C::WIDTH.checked_sub(number.len()).ok_or(Malformed)?;
        half.get_mut(start..)
            .ok_or(Malformed)?
            .copy_from_slice(number);
    }
    inner.end()?;
    Signature::from_slice(&both).map_err(|_| Malformed)
}
