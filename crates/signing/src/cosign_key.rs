//! Opens and writes cosign's encrypted key files.
//!
//! The file is PEM around one JSON object, which names how the key is derived from the password (scrypt, RFC 7914) and
//! how the PKCS#8 key is encrypted with it (NaCl's secretbox, XSalsa20 and Poly1305). The form is that of
//! <https://github.com/secure-systems-lab/go-securesystemslib/tree/main/encrypted>, with the parameters cosign allows.
//! Everything is checked before any work is done: a hostile file cannot ask for gigabytes.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use crypto_secretbox::XSalsa20Poly1305;
use crypto_secretbox::aead::{Aead as _, KeyInit as _};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::pem;
use crate::random::{self, Random};
use crate::scrypt::{self, Cost};

/// The PEM label that cosign writes.
pub(crate) const LABEL: &str = "ENCRYPTED SIGSTORE PRIVATE KEY";
/// The PEM label of files from before 2023.
pub(crate) const OLD_LABEL: &str = "ENCRYPTED COSIGN PRIVATE KEY";

/// Why a key file cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The PEM content is not the JSON object it should be.
    #[error("the encrypted key is damaged: not the JSON that cosign writes")]
    Json(#[source] serde_json::Error),
    /// Another key derivation.
    #[error("the key file uses the key derivation {0:?}; supported is scrypt")]
    Kdf(String),
    /// scrypt parameters that cosign would not accept either.
    #[error(
        "the key file has scrypt parameters N={n} r={r} p={p}; supported are N=32768, 65536 or 131072 with r=8 p=1"
    )]
    Parameters {
        /// Cost of processor and memory.
        n: u64,
        /// Block size.
        r: u64,
        /// Parallelism.
        p: u64,
    },
    /// Another cipher.
    #[error("the key file uses the cipher {0:?}; supported is nacl/secretbox")]
    Cipher(String),
    /// A field is not base64.
    #[error("the field {0} of the key file is not base64")]
    Base64(&'static str, #[source] base64::DecodeError),
    /// A field has a length it cannot have.
    #[error("the field {field} of the key file has {found} bytes, wanted {wanted}")]
    Length {
        /// Which field.
        field: &'static str,
        /// How many bytes it has.
        found: usize,
        /// How many it must have.
        wanted: &'static str,
    },
    /// The authenticator does not match.
    #[error("wrong password, or the key file is damaged")]
    Password,
}

/// The JSON object. Field order is the order of the bytes.
#[derive(Serialize, Deserialize)]
struct Document {
    kdf: Kdf,
    cipher: Cipher,
    ciphertext: String,
}

#[derive(Serialize, Deserialize)]
struct Kdf {
    name: String,
    params: Params,
    salt: String,
}

#[derive(Serialize, Deserialize)]
struct Params {
    #[serde(rename = "N")]
    n: u64,
    r: u64,
    p: u64,
}

#[derive(Serialize, Deserialize)]
struct Cipher {
    name: String,
    nonce: String,
}

const SCRYPT: &str = "scrypt";
const SECRETBOX: &str = "nacl/secretbox";
const SALT: usize = 32;
const NONCE: usize = 24;

/// A key file that was read and not opened yet. Nothing in it is secret.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct EncryptedKey {
    cost: Cost,
    salt: Vec<u8>,
    nonce: [u8; NONCE],
    ciphertext: Vec<u8>,
}

impl EncryptedKey {
    /// Reads the content of the PEM block.
    pub(crate) fn parse(json: &[u8]) -> Result<Self, Error> {
        let document: Document = serde_json::from_slice(json).map_err(Error::Json)?;
        if document.kdf.name != SCRYPT {
            return Err(Error::Kdf(document.kdf.name));
        }
        let cost = cost(&document.kdf.params)?;
        if document.cipher.name != SECRETBOX {
            return Err(Error::Cipher(document.cipher.name));
        }
        let salt = decode("kdf.salt", &document.kdf.salt)?;
        if !(16..=64).contains(&salt.len()) {
            return Err(Error::Length {
                field: "kdf.salt",
                found: salt.len(),
                wanted: "16 to 64",
            });
        }
        let nonce = decode("cipher.nonce", &document.cipher.nonce)?;
        let nonce = nonce.try_into().map_err(|nonce: Vec<u8>| Error::Length {
            field: "cipher.nonce",
            found: nonce.len(),
            wanted: "24",
        })?;
        let ciphertext = decode("ciphertext", &document.ciphertext)?;
        if ciphertext.len() <= 16 {
            return Err(Error::Length {
                field: "ciphertext",
                found: ciphertext.len(),
                wanted: "more than 16",
            });
        }
        Ok(Self {
            cost,
            salt,
            nonce,
            ciphertext,
        })
    }

    /// Decrypts the PKCS#8 key. Takes as long as the derivation of the key from the password does.
    pub(crate) fn open(&self, password: &[u8]) -> Result<Zeroizing<Vec<u8>>, Error> {
        self.open_with(&scrypt::derive(password, &self.salt, self.cost))
    }

    fn open_with(&self, key: &[u8; 32]) -> Result<Zeroizing<Vec<u8>>, Error> {
        XSalsa20Poly1305::new(key.into())
            .decrypt(&self.nonce.into(), &*self.ciphertext)
            .map(Zeroizing::new)
            .map_err(|_| Error::Password)
    }
}

/// Encrypts a PKCS#8 key as `cosign generate-key-pair` does: the text of a `cosign.key`.
pub(crate) fn encrypt(
    pkcs8: &[u8],
    password: &[u8],
    random: Random<'_>,
) -> Result<String, random::Error> {
    let mut salt = [0; SALT];
    let mut nonce = [0; NONCE];
    random(&mut salt)?;
    random(&mut nonce)?;
    let cost = scrypt::COSIGN;
    let key = scrypt::derive(password, &salt, cost);
    let ciphertext = XSalsa20Poly1305::new((&*key).into())
        .encrypt(&nonce.into(), pkcs8)
        .expect("a key is far below the cipher's limit of 256 GiB");
    let document = Document {
        kdf: Kdf {
            name: SCRYPT.to_owned(),
            params: Params {
                n: cost.n().into(),
                r: cost.r() as u64,
                p: cost.p() as u64,
            },
            salt: STANDARD.encode(salt),
        },
        cipher: Cipher {
            name: SECRETBOX.to_owned(),
            nonce: STANDARD.encode(nonce),
        },
        ciphertext: STANDARD.encode(ciphertext),
    };
    let json = serde_json::to_vec(&document).expect("strings and numbers only");
    Ok(pem::write(LABEL, &json))
}

/// The cost parameters, if they are among those that cosign accepts.
fn cost(params: &Params) -> Result<Cost, Error> {
    let Params { n, r, p } = *params;
    match (n, r, p) {
        (32_768 | 65_536 | 131_072, 8, 1) => Cost::new(n as u32, 8, 1),
        _ => None,
    }
    .ok_or(Error::Parameters { n, r, p })
}

fn decode(field: &'static str, text: &str) -> Result<Vec<u8>, Error> {
    STANDARD
        .decode(text)
        .map_err(|source| Error::Base64(field, source))
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &[u8] = include_bytes!("testdata/a.key");
    const SOME_KEY: [u8; 32] = [9; 32];

    fn json() -> String {
        let block = pem::read(A, |_| true).expect("a key file");
        String::from_utf8(block.content.to_vec()).expect("JSON is text")
    }

    fn error(json: &str) -> Error {
        EncryptedKey::parse(json.as_bytes()).expect_err("refused before any work")
    }

    fn counting() -> impl FnMut(&mut [u8]) -> Result<(), random::Error> {
        let mut next = 0;
        move |bytes| {
            bytes.fill_with(|| {
                next += 1;
                next
            });
            Ok(())
        }
    }

    #[test]
    fn a_key_file_of_cosign_opens_with_its_password_only() {
        let key = EncryptedKey::parse(json().as_bytes()).expect("written by cosign");
        assert_eq!(key.open(b"test").expect("the right password").len(), 138);
        assert!(matches!(key.open(b"Test"), Err(Error::Password)));
    }

    #[test]
    fn a_written_file_has_the_shape_of_cosigns_and_opens_again() {
        let text = encrypt(b"the key", b"", &mut counting()).expect("counting never fails");
        assert!(
            text.starts_with("-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----\n")
                && text.ends_with("-----\n")
        );
        assert!(text.lines().all(|line| line.len() <= 64));
        let block = pem::read(text.as_bytes(), |label| label == LABEL).expect("just written");
        let written = String::from_utf8(block.content.to_vec()).expect("JSON is text");
        let blanked = |json: &str| {
            let mut value: Vec<&str> = json.split('"').collect();
            for index in [value.len() - 2, value.len() - 6, value.len() - 16] {
                value[index] = "";
            }
            value.join("\"")
        };
        assert_eq!(
            blanked(&written),
            r#"{"kdf":{"name":"scrypt","params":{"N":65536,"r":8,"p":1},"salt":""},"cipher":{"name":"nacl/secretbox","nonce":""},"ciphertext":""}"#
        );
        assert_eq!(blanked(&written), blanked(&json()));
        let key = EncryptedKey::parse(&block.content).expect("just written");
        assert_eq!(&**key.open(b"").expect("the empty password"), b"the key");
        assert_eq!(
            encrypt(b"the key", b"", &mut counting()).expect("counting never fails"),
            text
        );
    }

    #[test]
    fn costs_that_cosign_accepts_are_accepted_and_no_others() {
        for n in ["32768", "65536", "131072"] {
            assert!(
                EncryptedKey::parse(json().replace("65536", n).as_bytes()).is_ok(),
                "N={n}"
            );
        }
        for (from, to) in [
            ("65536", "16384"),
            ("65536", "65537"),
            ("65536", "1073741824"),
            ("65536", "4295032832"),
            ("65536", "18446744073709551615"),
            ("65536", "0"),
            ("\"r\":8", "\"r\":8000000"),
            ("\"p\":1", "\"p\":0"),
        ] {
            assert!(
                matches!(error(&json().replace(from, to)), Error::Parameters { .. }),
                "{to}"
            );
        }
        assert!(matches!(
            error(&json().replace("65536", "-1")),
            Error::Json(_)
        ));
        assert!(matches!(
            error(&json().replace("65536", "1e99")),
            Error::Json(_)
        ));
    }

    #[test]
    fn unknown_names_wrong_lengths_and_bad_base64_have_their_own_errors() {
        assert!(
            matches!(error(&json().replace("\"scrypt", "\"argon2")), Error::Kdf(name) if name == "argon2")
        );
        assert!(
            matches!(error(&json().replace("nacl/secretbox", "aes")), Error::Cipher(name) if name == "aes")
        );
        let field = |name: &str, value: &str| {
            let json = json();
            let start = json.find(&format!("\"{name}\":\"")).expect("a field") + name.len() + 4;
            let end = start + json[start..].find('"').expect("its end");
            format!("{}{value}{}", &json[..start], &json[end..])
        };
        assert!(matches!(
            error(&field("salt", "")),
            Error::Length {
                field: "kdf.salt",
                found: 0,
                ..
            }
        ));
        assert!(matches!(
            error(&field("nonce", "AAAA")),
            Error::Length {
                field: "cipher.nonce",
                found: 3,
                ..
            }
        ));
        assert!(matches!(
            error(&field("ciphertext", "AAAA")),
            Error::Length {
                field: "ciphertext",
                ..
            }
        ));
        assert!(matches!(
            error(&field("salt", "*")),
            Error::Base64("kdf.salt", _)
        ));
        assert!(matches!(error("{}"), Error::Json(_)));
        assert!(matches!(error(""), Error::Json(_)));
    }

    #[test]
    fn no_changed_bit_of_a_key_file_passes_unnoticed() {
        let original = EncryptedKey::parse(json().as_bytes()).expect("written by cosign");
        for bit in 0..A.len() * 8 {
            let mut bytes = A.to_vec();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let labels = |label: &str| [LABEL, OLD_LABEL].contains(&label);
            let Ok(block) = pem::read(&bytes, labels) else {
                continue;
            };
            let Ok(changed) = EncryptedKey::parse(&block.content) else {
                continue;
            };
            let blank = A[bit / 8].is_ascii_whitespace();
            assert!(
                changed != original || blank || !labels(&block.label),
                "bit {bit}"
            );
        }
    }

    #[test]
    fn no_changed_bit_of_what_is_encrypted_decrypts() {
        let nonce = [3; NONCE];
        let ciphertext = XSalsa20Poly1305::new(&SOME_KEY.into())
            .encrypt(&nonce.into(), &b"key"[..])
            .expect("a short text");
        let with = |nonce, ciphertext| EncryptedKey {
            cost: scrypt::COSIGN,
            salt: vec![],
            nonce,
            ciphertext,
        };
        assert_eq!(
            &**with(nonce, ciphertext.clone())
                .open_with(&SOME_KEY)
                .expect("unchanged"),
            b"key"
        );
        for bit in 0..ciphertext.len() * 8 {
            let mut changed = ciphertext.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(matches!(
                with(nonce, changed).open_with(&SOME_KEY),
                Err(Error::Password)
            ));
        }
        for bit in 0..NONCE * 8 {
            let mut changed = nonce;
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(matches!(
                with(changed, ciphertext.clone()).open_with(&SOME_KEY),
                Err(Error::Password)
            ));
        }
        for length in 0..ciphertext.len() {
            assert!(
                with(nonce, ciphertext[..length].to_vec())
                    .open_with(&SOME_KEY)
                    .is_err()
            );
        }
    }

    #[test]
    fn no_part_of_a_key_file_is_taken_for_a_whole_one() {
        for length in 0..A.len() - 1 {
            let block = pem::read(&A[..length], |_| true);
            assert!(
                block.is_err() || EncryptedKey::parse(&block.expect("checked").content).is_err(),
                "{length} bytes"
            );
        }
    }

    #[test]
    fn a_source_without_randomness_writes_nothing() {
        let mut dry = |_: &mut [u8]| Err(random::Error(getrandom::Error::UNSUPPORTED));
        assert!(encrypt(b"key", b"", &mut dry).is_err());
    }
}
