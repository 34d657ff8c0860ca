//! One call of the plugin protocol: two arguments and a message in, one answer out.

use std::io::{self, Read as _, Write as _};
use std::process::ExitCode;

use tekseal_signing::kms_plugin::{self, Answer, Call, MessageOptions, Method};
use tekseal_signing::{HashAlgorithm, KeyAlgorithm, PublicKey};

use crate::asn1::Curve;
use crate::error::Error;
use crate::token::{Access, Input, Kind, Token};
use crate::uri::{Pin, Uri};

/// The largest message that is read: far more than a statement has.
const MOST_MESSAGE: u64 = 256 * 1024 * 1024;

const USAGE: &str = "sigstore-kms-pkcs11 is no command for people: tekseal's programs and cosign start it to sign with keys in PKCS#11 tokens.\n\
    Put it into a folder of PATH, and give a key such as\n\
    \n\
    \x20   pkcs11:token=TOKEN;object=KEY?module-path=/usr/lib/softhsm/libsofthsm2.so&pin-source=file:/run/secrets/pin\n\
    \n\
    cosign keeps the scheme pkcs11 for itself: for cosign, link the program as sigstore-kms-hsm, and write hsm://token=TOKEN;object=KEY";

/// The algorithms of new keys, by the names that sigstore has for those of Vault. The first is the default.
const ALGORITHMS: [(&str, Kind); 7] = [
    ("ecdsa-p256", Kind::Curve(Curve::P256)),
    ("ecdsa-p384", Kind::Curve(Curve::P384)),
    ("ecdsa-p521", Kind::Curve(Curve::P521)),
    ("ed25519", Kind::Curve(Curve::Ed25519)),
    ("rsa-2048", Kind::Rsa(2048)),
    ("rsa-3072", Kind::Rsa(3072)),
    ("rsa-4096", Kind::Rsa(4096)),
];

/// Reads the arguments of the process, and ends it: 0 done, 1 the signature is none of the key, 2 something must be changed, 3 the token failed.
pub(crate) fn main() -> ExitCode {
    let args: Vec<String> = std::env::args_os()
        .skip(1)
        .map(|arg| arg.to_string_lossy().into_owned())
        .collect();
    let [version, call, ..] = args.as_slice() else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    let (answer, code) = match answer(version, call, &mut io::stdin().lock(), &variable) {
        Ok(answer) => (answer, 0),
        Err(error) => (Answer::Refused(story(&error)), code(&error)),
    };
    let mut stdout = io::stdout().lock();
    match stdout
        .write_all(answer.to_json().as_bytes())
        .and_then(|()| stdout.flush())
    {
        Ok(()) => ExitCode::from(code),
        // Nobody listens any more.
        Err(_) => ExitCode::from(3),
    }
}

fn code(error: &Error) -> u8 {
    match error {
        Error::Invalid => 1,
        Error::Token { .. } | Error::Message(_) | Error::Signature => 3,
        _ => 2,
    }
}

/// A variable that is set to a text, and not to nothing.
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// The error and its causes.
fn story(error: &Error) -> String {
    let mut text = error.to_string();
    let mut next = std::error::Error::source(error);
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}

fn answer(
    version: &str,
    call: &str,
    stdin: &mut dyn io::Read,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<Answer, Error> {
    if version != kms_plugin::VERSION {
        return Err(Error::Version(version.chars().take(32).collect()));
    }
    let Call {
        key,
        hash,
        key_version,
        method,
        ..
    } = Call::parse(call)?;
    let uri = || located(&key, key_version.as_deref());
    match method {
        Method::DefaultAlgorithm => Ok(Answer::DefaultAlgorithm(ALGORITHMS[0].0.to_owned())),
        Method::SupportedAlgorithms => {
            let names = ALGORITHMS.iter().map(|(name, _)| (*name).to_owned());
            Ok(Answer::SupportedAlgorithms(names.collect()))
        }
        Method::PublicKey => {
            let public = public_key(&uri()?, variable)?;
            Ok(Answer::PublicKey(public.to_pem().into_bytes()))
        }
        Method::CreateKey { algorithm } => {
            let kind = ALGORITHMS.iter().find(|(name, _)| *name == algorithm);
            let (_, kind) = kind.ok_or(Error::Algorithm(algorithm))?;
            let uri = uri()?;
            let token = Token::open(&uri, Access::Make, variable)?;
            let public = token.create(*kind);
            token.close();
            Ok(Answer::CreatedKey(public?.to_pem().into_bytes()))
        }
        Method::SignMessage(options) => {
            let message = Message::read(hash, options, stdin)?;
            let (hash, digest) = message.digested()?;
            let uri = uri()?;
            let token = Token::open(&uri, Access::Sign, variable)?;
            let signature = token.sign(&Input {
                hash,
                digest: &digest,
                message: message.whole(),
            });
            token.close();
            Ok(Answer::Signature(signature?))
        }
        Method::VerifySignature { signature, options } => {
            let message = Message::read(hash, options, stdin)?;
            verify(&public_key(&uri()?, variable)?, &message, &signature)
        }
    }
}

/// Where the key is. People are warned of a PIN that everybody can read.
fn located(key: &str, version: Option<&str>) -> Result<Uri, Error> {
    if let Some(version) = version {
        return Err(Error::KeyVersion(version.chars().take(64).collect()));
    }
    let uri = Uri::parse(key)?;
    if matches!(uri.pin, Pin::Here(_)) {
        eprintln!(
            "warning: the PIN stands in the key reference, where everybody on this machine can read it; use pin-source=file:/PATH or COSIGN_PKCS11_PIN"
        );
    }
    Ok(uri)
}

fn public_key(uri: &Uri, variable: &dyn Fn(&str) -> Option<String>) -> Result<PublicKey, Error> {
    let mut token = Token::open(uri, Access::Read, variable)?;
    let public = token.public_key();
    token.close();
    public
}

/// Whether the signature is one of the key over the message. No token is needed for that.
///
/// cosign 3 has a digest signed that belongs to the curve, and says SHA-256 when it verifies: either hash will do where the call names none.
fn verify(key: &PublicKey, message: &Message, signature: &[u8]) -> Result<Answer, Error> {
    let whole = message.whole().ok_or(Error::Unverifiable)?;
    let own = match key.algorithm() {
        KeyAlgorithm::P256 | KeyAlgorithm::Rsa(_) => HashAlgorithm::Sha256,
        KeyAlgorithm::P384 => HashAlgorithm::Sha384,
        KeyAlgorithm::P521 | KeyAlgorithm::Ed25519 => HashAlgorithm::Sha512,
    };
    let told = match key.algorithm() {
        KeyAlgorithm::Ed25519 => own,
        _ => message.digested()?.0,
    };
    let own = (!message.is_hash_named).then_some(own);
    let is_good = [Some(told), own]
        .into_iter()
        .flatten()
        .any(|hash| key.verify(hash, whole, signature).is_ok());
    match is_good {
        true => Ok(Answer::Verified),
        false => Err(Error::Invalid),
    }
}

/// What is to be signed or verified, as the caller told it.
struct Message {
    bytes: Vec<u8>,
    digest: Option<Vec<u8>>,
    hash: u64,
    /// Whether this call names the hash, and not only the caller's default.
    is_hash_named: bool,
}

impl Message {
    fn read(hash: u64, options: MessageOptions, stdin: &mut dyn io::Read) -> Result<Self, Error> {
        let mut bytes = Vec::new();
        let read = stdin.take(MOST_MESSAGE + 1).read_to_end(&mut bytes);
        read.map_err(Error::Message)?;
        if bytes.len() as u64 > MOST_MESSAGE {
            return Err(Error::TooLarge(MOST_MESSAGE));
        }
        Ok(Self {
            bytes,
            digest: options.digest,
            hash: options.hash.unwrap_or(hash),
            is_hash_named: options.hash.is_some(),
        })
    }

    /// All of it, unless only its digest is known: then stdin is empty.
    fn whole(&self) -> Option<&[u8]> {
        match (&self.digest, self.bytes.is_empty()) {
            (Some(_), true) => None,
            _ => Some(&self.bytes),
        }
    }

    /// The digest, and which one it is.
    fn digested(&self) -> Result<(HashAlgorithm, Vec<u8>), Error> {
        let hash = kms_plugin::hash_of_number(self.hash);
        let Some(digest) = &self.digest else {
            let hash = hash.ok_or(Error::Hash(self.hash))?;
            return Ok((hash, hash.digest(&self.bytes)));
        };
        let of_length = match digest.len() {
            32 => Some(HashAlgorithm::Sha256),
            48 => Some(HashAlgorithm::Sha384),
            64 => Some(HashAlgorithm::Sha512),
            _ => None,
        };
        match (of_length, hash) {
            (Some(found), Some(hash)) if found == hash => Ok((hash, digest.clone())),
            // cosign 3 gives the digest that belongs to the curve, and still says SHA-256 at the start.
            (Some(found), _) if !self.is_hash_named => Ok((found, digest.clone())),
            (_, Some(hash)) => Err(Error::Digest {
                found: digest.len(),
                hash: hash.to_string(),
            }),
            (_, None) => Err(Error::Hash(self.hash)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(key: &str, method: Method) -> String {
        let call = Call {
            deadline: None,
            key: key.to_owned(),
            hash: 5,
            key_version: None,
            method,
        };
        call.to_json()
    }

    fn asked(version: &str, call: &str) -> Result<Answer, Error> {
        answer(version, call, &mut io::empty(), &|_| None)
    }

    #[test]
    fn algorithms_are_told_without_a_token() {
        let default = asked("v1", &call("", Method::DefaultAlgorithm)).expect("it needs nothing");
        assert_eq!(default, Answer::DefaultAlgorithm("ecdsa-p256".to_owned()));
        let all = asked("v1", &call("", Method::SupportedAlgorithms)).expect("it needs nothing");
        assert!(matches!(all, Answer::SupportedAlgorithms(names) if names.len() == 7));
    }

    #[test]
    fn a_signature_over_the_hash_of_the_curve_is_one_where_no_hash_is_named() {
        // Of the message "hello" by a key that openssl made, with -sha384.
        let pem = include_bytes!("testdata/p384.pub");
        let key = PublicKey::from_pem(pem).expect("it is one");
        let signature = include_bytes!("testdata/p384.sha384.sig");
        let verified = |named: Option<u64>, message: &[u8]| {
            let options = MessageOptions {
                digest: None,
                hash: named,
            };
            let message = Message::read(5, options, &mut &message[..]).expect("it is small");
            verify(&key, &message, signature).is_ok()
        };
        assert!(verified(None, b"hello"));
        assert!(verified(Some(6), b"hello"));
        assert!(!verified(Some(5), b"hello"));
        assert!(!verified(None, b"hello!"));
    }

    #[test]
    fn what_cannot_be_done_is_said() {
        let key = "token=t;object=k";
        let versioned =
            call(key, Method::PublicKey).replace(r#""keyVersion":"""#, r#""keyVersion":"3""#);
        for (version, call, why) in [
            ("v2", call(key, Method::PublicKey), r#"version "v2""#),
            (
                "v1",
                "nonsense".to_owned(),
                "not the JSON of the plugin protocol: expected",
            ),
            ("v1", call("object=k", Method::PublicKey), "names no token"),
            (
                "v1",
                call(key, Method::PublicKey),
                "COSIGN_PKCS11_MODULE_PATH",
            ),
            ("v1", versioned, r#"version "3""#),
            (
                "v1",
                call(
                    key,
                    Method::CreateKey {
                        algorithm: "dsa".to_owned(),
                    },
                ),
                "cannot make dsa keys",
            ),
        ] {
            let error = asked(version, &call).expect_err("there is no token");
            let story = story(&error);
            assert!(story.contains(why), "{story}");
        }
    }

    #[test]
    fn the_digest_decides_which_hash_it_is_unless_the_call_names_one() {
        let message = |digest: Option<usize>, named: Option<u64>, stdin: &[u8]| {
            let options = MessageOptions {
                digest: digest.map(|length| vec![7; length]),
                hash: named,
            };
            Message::read(5, options, &mut &stdin[..]).expect("it is small")
        };
        for (message, wanted, is_whole) in [
            (message(None, None, b"m"), Some(HashAlgorithm::Sha256), true),
            (message(None, None, b""), Some(HashAlgorithm::Sha256), true),
            (
                message(None, Some(7), b"m"),
                Some(HashAlgorithm::Sha512),
                true,
            ),
            (message(None, Some(9), b"m"), None, true),
            (
                message(Some(32), None, b""),
                Some(HashAlgorithm::Sha256),
                false,
            ),
            (
                message(Some(48), None, b"m"),
                Some(HashAlgorithm::Sha384),
                true,
            ),
            (message(Some(48), Some(5), b""), None, false),
            (message(Some(20), None, b""), None, false),
        ] {
            let hash = message.digested().ok().map(|(hash, _)| hash);
            assert_eq!((hash, message.whole().is_some()), (wanted, is_whole));
        }
    }
}
