//! RSA keys of 2048, 3072 and 4096 bits, which sign with PKCS#1 v1.5 padding over SHA-256.
//!
//! The arithmetic, and the checks that the numbers belong together, are those of `ring`. It makes no keys, and takes whole messages only.

use ring::rand::SystemRandom;
use ring::signature::{KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair};
use zeroize::Zeroizing;

use crate::der::{Malformed, Reader, encode, encode_positive, tag};
use crate::signer::Error;

/// A private key. Its numbers are wiped when dropped, but for the copies that `ring` computes with.
pub(crate) struct RsaKey {
    /// RSAPrivateKey (RFC 8017, A.1.2).
    der: Zeroizing<Vec<u8>>,
    pair: Box<RsaKeyPair>,
}

/// The sizes that `ring` signs with, which are those that cosign imports.
const SIZES: [usize; 3] = [2048, 3072, 4096];
/// The exponent of all usual keys, 65537.
const USUAL_EXPONENT: [u8; 3] = [1, 0, 1];
/// How many numbers an RSAPrivateKey of two primes has: modulus, both exponents, both primes, and three that are computed of those.
const NUMBERS: usize = 8;
/// By how many bits from the front two primes must differ at least, <https://nvlpubs.nist.gov/nistpubs/FIPS/NIST.FIPS.186-5.pdf> A.1.3.
const APART: usize = 100;

impl RsaKey {
    /// Reads an RSAPrivateKey. What is written later is that in DER again, whatever was left out of order here.
    pub(super) fn from_der(der: &[u8]) -> Result<Self, Error> {
        let numbers = split(der)?;
        let bits = bits(numbers.first().copied().unwrap_or_default());
        if !SIZES.contains(&bits) {
            return Err(Error::RsaSize(bits));
        }
        let integers: Vec<_> = numbers
            .iter()
            .map(|number| Zeroizing::new(encode_positive(number)))
            .collect();
        let mut content = Zeroizing::new(Vec::with_capacity(der.len() + 16));
        content.extend_from_slice(&encode(tag::INTEGER, &[0]));
        integers
            .iter()
            .for_each(|one| content.extend_from_slice(one));
        let der = Zeroizing::new(encode(tag::SEQUENCE, &content));
        let pair = RsaKeyPair::from_der(&der).map_err(|why| Error::Rsa(why.to_string()))?;
        let pair = Box::new(pair);
        let key = Self { der, pair };
        // What is only computed with and not compared with anything shows itself in a signature.
        match key.sign(b"") {
            Some(_) => Ok(key),
            None => Err(Error::Rsa("its numbers do not belong together".to_owned())),
        }
    }

    pub(super) fn to_der(&self) -> &[u8] {
        &self.der
    }

    /// RSAPublicKey (RFC 8017, A.1.1).
    pub(super) fn public(&self) -> &[u8] {
        self.pair.public_key().as_ref()
    }

    /// The signature, as long as the modulus: the same each time.
    pub(super) fn sign(&self, message: &[u8]) -> Option<Vec<u8>> {
        let mut signature = vec![0; self.pair.public().modulus_len()];
        // This padding takes no randomness.
        let random = SystemRandom::new();
        let done = self
            .pair
            .sign(&RSA_PKCS1_SHA256, &random, message, &mut signature);
        done.is_ok().then_some(signature)
    }

    /// Whether cosign would import it: of the usual exponent, and of none of the kinds that were found to be weak.
    pub(super) fn check_usual(&self) -> Result<(), Error> {
        let numbers = split(&self.der)?;
        let [n, e, _, p, q, ..] = numbers[..] else {
            return Err(Error::Malformed);
        };
        let why = if e != USUAL_EXPONENT {
            "its exponent is not 65537"
        } else if has_small_factor(n) {
            "its modulus has a small factor"
        } else if is_of_infineon(n) {
            "it was made by hardware whose keys can be factored (CVE-2017-15361)"
        } else if are_close(p, q) {
            "its primes are too close to one another"
        } else {
            return Ok(());
        };
        Err(Error::RsaWeak(why))
    }
}

/// RSAPrivateKey ::= SEQUENCE { 0, n, e, d, p, q, d mod p-1, d mod q-1, 1/q mod p }
fn split(der: &[u8]) -> Result<Vec<&[u8]>, Error> {
    let mut outer = Reader::new(der);
    let mut inner = outer.open(tag::SEQUENCE)?;
    outer.end()?;
    match inner.value(tag::INTEGER)? {
        [0] => {}
        [1] => return Err(Error::Rsa("it has more than two primes".to_owned())),
        _ => return Err(Error::Malformed),
    }
    let numbers = (0..NUMBERS).map(|_| inner.positive());
    let numbers = numbers.collect::<Result<_, Malformed>>()?;
    inner.end()?;
    Ok(numbers)
}

/// The size of a number without leading zeros.
fn bits(number: &[u8]) -> usize {
    let unused = number.first().map_or(0, |byte| byte.leading_zeros());
    number.len() * 8 - unused as usize
}

/// A big-endian number modulo a small one.
fn modulo(number: &[u8], by: u32) -> u32 {
    number
        .iter()
        .fold(0, |rest, byte| ((rest << 8) | u32::from(*byte)) % by)
}

/// Whether it can be divided by a prime up to 751, as `goodkey` asks.
fn has_small_factor(number: &[u8]) -> bool {
    const LAST: u32 = 751;
    std::iter::once(2)
        .chain((3..=LAST).step_by(2))
        .any(|by| modulo(number, by) == 0)
}

/// Whether it looks like a modulus of the library of Infineon: a power of the same number modulo each of these primes, which one in 2^27 others is.
/// The primes and the orders of their subgroups are those of <https://github.com/titanous/rocacheck>.
fn is_of_infineon(modulus: &[u8]) -> bool {
    const ORDERS: [(u32, u32); 17] = [
        (11, 2),
        (13, 6),
        (17, 8),
        (19, 9),
        (37, 3),
        (53, 26),
        (61, 20),
        (71, 35),
        (73, 24),
        (79, 13),
        (97, 6),
        (103, 51),
        (107, 53),
        (109, 54),
        (127, 42),
        (151, 50),
        (157, 78),
    ];
    ORDERS.into_iter().all(|(prime, order)| {
        let rest = modulo(modulus, prime);
        (0..order).fold(1, |power, _| power * rest % prime) == 1
    })
}

/// Whether two primes of one length begin with the same bits, so that their product is quickly factored.
fn are_close(p: &[u8], q: &[u8]) -> bool {
    let (larger, smaller) = if p >= q { (p, q) } else { (q, p) };
    if larger.len() != smaller.len() {
        return false;
    }
    let mut difference = Zeroizing::new(vec![0; larger.len()]);
    let mut borrow = false;
    for (at, (a, b)) in larger.iter().zip(smaller).enumerate().rev() {
        let (rest, one) = a.overflowing_sub(*b);
        let (rest, two) = rest.overflowing_sub(u8::from(borrow));
        borrow = one || two;
        if let Some(place) = difference.get_mut(at) {
            *place = rest;
        }
    }
    let first = difference.iter().position(|byte| *byte != 0);
    let found = first.map_or(0, |first| bits(difference.get(first..).unwrap_or_default()));
    found + APART <= bits(larger)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_factors_are_found_and_primes_have_none() {
        assert_eq!(modulo(&[1, 0, 0, 1], 65_536), 1);
        // 757 is a prime, and the first that is not tried.
        assert!(!has_small_factor(&[0x02, 0xf5]));
        assert!(has_small_factor(&[0x02, 0xef]));
        assert!(has_small_factor(&[0xff, 0, 0, 0xfe]));
    }

    #[test]
    fn a_modulus_of_powers_is_one_of_infineon() {
        // 65537^k is in each of the subgroups.
        assert!(is_of_infineon(&[1, 0, 1]));
        assert!(is_of_infineon(&[1]));
        assert!(!is_of_infineon(&[2]));
    }

    #[test]
    fn primes_are_close_if_they_begin_with_the_same_bits() {
        let mut one = [0x80; 128];
        let mut other = one;
        assert!(are_close(&one, &other));
        other[12] ^= 0x08;
        assert!(are_close(&one, &other), "from the 101st bit on");
        other[12] ^= 0x10;
        assert!(!are_close(&one, &other), "from the 100th bit on");
        assert!(!are_close(&other, &one));
        one[0] = 0xff;
        assert!(!are_close(&one, &other));
        assert!(!are_close(&one, &other[1..]));
    }
}
