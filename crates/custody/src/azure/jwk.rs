//! Public keys and signatures as Key Vault writes them: JSON Web Keys (RFC 7517, RFC 7518 section 6), and the two numbers of ECDSA side by side
//! (RFC 7518, section 3.4), turned into SubjectPublicKeyInfo (RFC 5280) and `ECDSA-Sig-Value` (RFC 3279).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use tekseal_signing::asn1;

/// A key, as much of it as is needed.
#[derive(Deserialize)]
pub(super) struct Jwk {
    #[serde(default)]
    pub(super) kid: String,
    #[serde(default)]
    pub(super) kty: String,
    /// What the key may do; everything, where nothing is said.
    pub(super) key_ops: Option<Vec<String>>,
    #[serde(default)]
    pub(super) crv: String,
    #[serde(default)]
    x: String,
    #[serde(default)]
    y: String,
    #[serde(default)]
    n: String,
    #[serde(default)]
    e: String,
}

/// Why a JSON Web Key is no key that signs here.
#[derive(Debug, PartialEq)]
pub(super) enum Unfit {
    /// It is of another kind.
    Kind,
    /// Its numbers are none.
    Malformed,
}

/// No number of a key has more bytes: RSA of 8192 bits.
const LONGEST: usize = 1024;

impl Jwk {
    /// The SubjectPublicKeyInfo, DER. That its numbers are a key is for its reader to see.
    pub(super) fn spki(&self) -> Result<Vec<u8>, Unfit> {
        match self.kty.as_str() {
            "EC" | "EC-HSM" => self.ec(),
            "RSA" | "RSA-HSM" => self.rsa(),
            _ => Err(Unfit::Kind),
        }
    }

    fn ec(&self) -> Result<Vec<u8>, Unfit> {
        let (curve, size) = match self.crv.as_str() {
            "P-256" => (asn1::P256, 32),
            "P-384" => (asn1::P384, 48),
            "P-521" => (asn1::P521, 66),
            _ => return Err(Unfit::Kind),
        };
        let mut point = vec![4];
        for text in [&self.x, &self.y] {
            let number = number(text)?;
            let missing = size_of(size, &number)?;
            point.extend(std::iter::repeat_n(0, missing));
            point.extend_from_slice(&number);
        }
        Ok(asn1::spki(&[asn1::EC_PUBLIC_KEY, curve].concat(), &point))
    }

    fn rsa(&self) -> Result<Vec<u8>, Unfit> {
        Ok(asn1::spki_of_rsa(&number(&self.n)?, &number(&self.e)?))
    }
}

/// How many zeros are missing in front. Key Vault writes all of them, as RFC 7518 wants; some others do not.
fn size_of(size: usize, number: &[u8]) -> Result<usize, Unfit> {
    size.checked_sub(number.len()).ok_or(Unfit::Malformed)
}

fn number(text: &str) -> Result<Vec<u8>, Unfit> {
    // Some write the padding that RFC 7515 has not.
    let text = text.trim_end_matches('=');
    if text.is_empty() || text.len() > LONGEST * 4 / 3 + 2 {
        return Err(Unfit::Malformed);
    }
    URL_SAFE_NO_PAD.decode(text).map_err(|_| Unfit::Malformed)
}

/// The two halves of an ECDSA signature, as DER; nothing where they have not `size` bytes each.
pub(super) fn ecdsa_der(raw: &[u8], size: usize) -> Option<Vec<u8>> {
    match raw.len() == 2 * size {
        true => asn1::signature_of_numbers(raw),
        false => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tekseal_signing::{KeyAlgorithm, PublicKey};

    use super::*;

    fn jwk(value: serde_json::Value) -> Jwk {
        serde_json::from_value(value).expect("it has the fields")
    }

    /// The keys of RFC 7517, appendix A.1.
    #[test]
    fn keys_of_rfc_7517_are_read() {
        let ec = json!({
            "kty": "EC", "crv": "P-256",
            "x": "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",
            "y": "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM",
        });
        let rsa = json!({
            "kty": "RSA-HSM",
            "n": "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw",
            "e": "AQAB",
        });
        for (value, algorithm) in [(ec, KeyAlgorithm::P256), (rsa, KeyAlgorithm::Rsa(2048))] {
            let spki = jwk(value).spki().expect("a good key");
            let key = PublicKey::from_spki(&spki).expect("a good key");
            assert_eq!(key.algorithm(), algorithm);
        }
    }

    #[test]
    fn what_is_no_such_key_is_refused() {
        let long = "A".repeat(100_000);
        let wide = URL_SAFE_NO_PAD.encode([1; 33]);
        for (value, unfit) in [
            (json!({}), Unfit::Kind),
            (json!({"kty": "oct-HSM"}), Unfit::Kind),
            (json!({"kty": "EC", "crv": "P-256K"}), Unfit::Kind),
            (json!({"kty": "EC", "crv": "P-256"}), Unfit::Malformed),
            (
                json!({"kty": "EC", "crv": "P-256", "x": "+/", "y": "AA"}),
                Unfit::Malformed,
            ),
            (
                json!({"kty": "EC", "crv": "P-256", "x": wide, "y": "AA"}),
                Unfit::Malformed,
            ),
            (
                json!({"kty": "RSA", "n": long, "e": "AQAB"}),
                Unfit::Malformed,
            ),
            (json!({"kty": "RSA", "n": "AQAB"}), Unfit::Malformed),
        ] {
            assert_eq!(jwk(value.clone()).spki(), Err(unfit), "{value}");
        }
    }

    #[test]
    fn the_halves_of_a_signature_become_numbers() {
        let mut raw = [0; 64];
        raw[31] = 1;
        raw[32] = 0x80;
        let der = ecdsa_der(&raw, 32).expect("32 bytes each");
        assert_eq!(der[..8], [0x30, 0x26, 0x02, 0x01, 0x01, 0x02, 0x21, 0x00]);
        assert_eq!(
            ecdsa_der(&[0; 64], 32).expect("32 bytes each"),
            [0x30, 6, 2, 1, 0, 2, 1, 0]
        );
        assert_eq!(
            ecdsa_der(&[1; 132], 66).expect("66 bytes each")[..3],
            [0x30, 0x81, 0x88]
        );
        for length in [0, 1, 63, 65, 128] {
            assert_eq!(ecdsa_der(&vec![1; length], 32), None);
        }
    }
}
