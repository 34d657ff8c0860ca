//! Keys in KMS plugins: programs `sigstore-kms-SCHEME`, one start a call, as cosign starts them.
//!
//! The messages are those of `tekseal_signing::kms_plugin`. A program is as hostile as any service: its time and what it writes are bounded, what it left
//! behind is killed, and a signature of its is verified by the signer like every other. Unlike cosign, whose client waits for ever, nothing that it does
//! holds up the caller for longer than the time that was set.

mod search;
mod start;

use std::sync::Mutex;
use std::time::Duration;

use jiff::Timestamp;
use tekseal_core::{Blame, is_invisible};
use tekseal_signing::key_ref::{KmsRef, PluginKey};
use tekseal_signing::kms_plugin::{self, Answer, Call, MessageOptions, Method, PROGRAM_PREFIX};
use tekseal_signing::remote_key::{Message, Signing};
use tekseal_signing::{HashAlgorithm, KeyAlgorithm, PublicKey, RemoteError, RemoteKey, Signer};

use crate::{Context, Error};
use start::{Ended, Failure};

/// How long a program may take for one call, unless it is set: a person may have to touch a token.
const TIMEOUT: Duration = Duration::from_secs(30);
/// How a program ends that would have done it, and was let down by what it asked.
const EXIT_OUTSIDE: i32 = 3;
/// The most that is shown of what a program says.
const MOST_SHOWN: usize = 512;
/// The hash of every signature. cosign asks its programs for no other, and verifies with no other unless it is told to.
const HASH: HashAlgorithm = HashAlgorithm::Sha256;

/// The key to sign with.
pub(crate) async fn open(key: &PluginKey, context: &Context) -> Result<Signer, Error> {
    let plugin = Plugin::find(key, context)?;
    let public = plugin.public_key().await?;
    Ok(Signer::remote(Box::new(plugin), public))
}

/// Its public half.
pub(crate) async fn public_key(key: &PluginKey, context: &Context) -> Result<PublicKey, Error> {
    Plugin::find(key, context)?.public_key().await
}

/// Makes a key of this algorithm, by the name that the program has for it.
pub(crate) async fn create(
    key: &PluginKey,
    algorithm: KeyAlgorithm,
    context: &Context,
) -> Result<PublicKey, Error> {
    let plugin = Plugin::find(key, context)?;
    let supported = match plugin.call(Method::SupportedAlgorithms, &[]).await? {
        Answer::SupportedAlgorithms(names) => names,
        _ => return Err(plugin.wrong_answer()),
    };
    let Some(name) = supported.iter().find(|name| is_name_of(name, algorithm)) else {
        let makes = plugin.shown(&supported.join(", "));
        return Err(plugin.failed(
            Blame::Setting,
            format!("makes no {algorithm} keys; it makes {makes:?}"),
        ));
    };
    let method = Method::CreateKey {
        algorithm: name.clone(),
    };
    let public = match plugin.call(method, &[]).await? {
        Answer::CreatedKey(pem) => plugin.read(&pem)?,
        _ => return Err(plugin.wrong_answer()),
    };
    if public.algorithm() != algorithm {
        return Err(plugin.failed(
            Blame::Setting,
            format!(
                "was asked for a new {algorithm} key, and {} is {}; perhaps there was one before",
                plugin.reference,
                public.algorithm()
            ),
        ));
    }
    Ok(public)
}

/// The protocol has no such method.
pub(crate) async fn rotate(key: &PluginKey, _context: &Context) -> Result<PublicKey, Error> {
    Err(Error::Unsupported {
        service: format!("the plugin {PROGRAM_PREFIX}{}", key.scheme),
        what: "rotate a key: the plugin protocol has no such call; make a key of another name, and sign with that",
    })
}

/// A program, and a key that it holds.
struct Plugin {
    name: String,
    path: std::path::PathBuf,
    key: PluginKey,
    /// The reference without secrets.
    reference: String,
    timeout: Duration,
    notice: Option<fn(&str, &str)>,
    /// What it wrote to stderr last time, which is not told again.
    said: Mutex<String>,
}

impl Plugin {
    fn find(key: &PluginKey, context: &Context) -> Result<Self, Error> {
        let name = format!("{PROGRAM_PREFIX}{}", key.scheme);
        let path = (context.variables)("PATH");
        let path = search::program(&name, path.as_deref()).map_err(|missing| Error::Plugin {
            what: format!(
                "{missing}; keys of the form {}:// are asked of a program of this name, in a folder that the variable PATH names; \
                 no program is needed for {}",
                key.scheme,
                KmsRef::SERVICES.join(", "),
            ),
            program: name.clone(),
            blame: Blame::Setting,
        })?;
        Ok(Self {
            name,
            path,
            reference: key.to_string(),
            key: key.clone(),
            timeout: context.settings.plugin_timeout.unwrap_or(TIMEOUT),
            notice: context.settings.plugin_notice,
            said: Mutex::default(),
        })
    }

    async fn public_key(&self) -> Result<PublicKey, Error> {
        match self.call(Method::PublicKey, &[]).await? {
            Answer::PublicKey(pem) => self.read(&pem),
            _ => Err(self.wrong_answer()),
        }
    }

    /// A public key that it gave, which must be one that signs here.
    fn read(&self, pem: &[u8]) -> Result<PublicKey, Error> {
        PublicKey::from_pem(pem).map_err(|source| Error::PublicKey {
            service: "the plugin",
            reference: self.reference.clone(),
            source,
        })
    }

    /// One call, with `message` for its stdin.
    async fn call(&self, method: Method, message: &[u8]) -> Result<Answer, Error> {
        let doing = doing(&method);
        // A clock that cannot be added to has bounds of its own; the time is kept here anyway.
        let deadline = Timestamp::now()
            .checked_add(self.timeout)
            .ok()
            .map(|at| at.to_string());
        let call = Call {
            deadline,
            key: self.key.resource().to_owned(),
            hash: kms_plugin::hash_number(HASH),
            key_version: None,
            method,
        };
        let json = call.to_json();
        let args = [kms_plugin::VERSION, &json];
        let ended = start::program(&self.path, args, message, self.timeout).await;
        let ended = ended.map_err(|failure| self.broken(doing, failure))?;
        let stderr = self.shown(&String::from_utf8_lossy(&ended.stderr));
        match Answer::parse(&ended.stdout, &call.method) {
            Ok(Answer::Refused(why)) => {
                let why = self.shown(&why);
                // The protocol leaves it open. Ours ends so where the token failed, and not who asked.
                let blame = match ended.status.code() {
                    Some(EXIT_OUTSIDE) => Blame::Outside,
                    _ => Blame::Setting,
                };
                Err(self.failed(blame, format!("did not {doing}: {why:?}")))
            }
            Ok(answer) => {
                self.tell(stderr);
                Ok(answer)
            }
            Err(error) => Err(self.no_answer(doing, &ended, &stderr, &error)),
        }
    }

    /// Hands on what it wrote to stderr, once.
    fn tell(&self, text: String) {
        let Some(notice) = self.notice else { return };
        let mut said = match self.said.lock() {
            Ok(said) => said,
            Err(poisoned) => poisoned.into_inner(),
        };
        if !text.is_empty() && *said != text {
            notice(&self.name, &text);
            *said = text;
        }
    }

    fn no_answer(
        &self,
        doing: &str,
        ended: &Ended,
        stderr: &str,
        error: &kms_plugin::Error,
    ) -> Error {
        use std::os::unix::process::ExitStatusExt as _;

        let how = match (ended.status.signal(), ended.status.code()) {
            (Some(signal), _) => format!("was ended by signal {signal}"),
            (None, Some(0)) => "ended well".to_owned(),
            (None, code) => format!("ended with exit status {}", code.unwrap_or_default()),
        };
        let what = match (ended.stdout.is_empty(), error) {
            (true, _) => "no answer".to_owned(),
            (false, kms_plugin::Error::Missing(_)) => "an answer to something else".to_owned(),
            // The cause says the place; what stands there may be anything.
            (false, _) => "an answer that is not the JSON of the plugin protocol".to_owned(),
        };
        let blame = match ended.status.signal() {
            // Whoever ended it may let it live next time.
            Some(_) => Blame::Outside,
            None => Blame::Setting,
        };
        self.failed(
            blame,
            format!(
                "was asked to {doing}, and {how} with {what}{}",
                wrote(stderr)
            ),
        )
    }

    fn broken(&self, doing: &str, failure: Failure) -> Error {
        let (blame, what) = match failure {
            Failure::Start(error) => (
                Blame::Setting,
                format!("cannot be started ({}): {error}", self.path.display()),
            ),
            Failure::Wait(error) => (
                Blame::Outside,
                format!("was started, and cannot be waited for: {error}"),
            ),
            Failure::Late { stderr } => {
                let stderr = self.shown(&String::from_utf8_lossy(&stderr));
                let time = self.timeout.as_secs_f32();
                (
                    Blame::Outside,
                    format!(
                        "was asked to {doing}, and was killed after {time} s without an answer{}",
                        wrote(&stderr)
                    ),
                )
            }
            Failure::Flood { pipe, most } => (
                Blame::Setting,
                format!(
                    "was asked to {doing}, and was killed when it had written {most} bytes to {pipe}"
                ),
            ),
            Failure::HeldOpen => (
                Blame::Setting,
                format!(
                    "was asked to {doing}, and left a process behind that holds its output open; its answer is not taken"
                ),
            ),
        };
        self.failed(blame, what)
    }

    fn wrong_answer(&self) -> Error {
        self.failed(Blame::Setting, "answered something else".to_owned())
    }

    fn failed(&self, blame: Blame, what: String) -> Error {
        Error::Plugin {
            program: self.name.clone(),
            what,
            blame,
        }
    }

    /// A text of the program for people: one line, its end if it is long, without the secrets that the reference has.
    fn shown(&self, text: &str) -> String {
        let hidden = self.key.secrets().into_iter();
        let hidden = hidden.fold(text.to_owned(), |text, secret| {
            text.replace(&secret, "(not shown)")
        });
        let words: Vec<&str> = hidden
            .split(|c: char| is_invisible(c) || c.is_whitespace())
            .filter(|word| !word.is_empty())
            .collect();
        let line = words.join(" ");
        let start = line.len().saturating_sub(MOST_SHOWN);
        let start = (start..line.len()).find(|at| line.is_char_boundary(*at));
        match start {
            Some(start) if start > 0 => format!("…{}", &line[start..]),
            _ => line,
        }
    }
}

impl RemoteKey for Plugin {
    fn reference(&self) -> &str {
        &self.reference
    }

    fn hash(&self) -> HashAlgorithm {
        HASH
    }

    fn sign<'a>(&'a self, message: Message<'a>) -> Signing<'a> {
        let (stdin, options) = match message {
            Message::Whole(bytes) => (bytes, MessageOptions::default()),
            Message::Sha256(digest) => (
                &[][..],
                MessageOptions {
                    digest: Some(digest.to_bytes().to_vec()),
                    hash: Some(kms_plugin::hash_number(HashAlgorithm::Sha256)),
                },
            ),
        };
        Box::pin(async move {
            match self.call(Method::SignMessage(options), stdin).await {
                Ok(Answer::Signature(signature)) => Ok(signature),
                Ok(_) => Err(RemoteError::from(self.wrong_answer())),
                Err(error) => Err(error.into()),
            }
        })
    }
}

/// What a call is for, for people.
fn doing(method: &Method) -> &'static str {
    match method {
        Method::DefaultAlgorithm | Method::SupportedAlgorithms => "tell its algorithms",
        Method::CreateKey { .. } => "make a key",
        Method::PublicKey => "give the public key",
        Method::SignMessage(_) => "sign",
        Method::VerifySignature { .. } => "verify",
    }
}

fn wrote(stderr: &str) -> String {
    match stderr.is_empty() {
        true => String::new(),
        false => format!("; it wrote {stderr:?}"),
    }
}

/// Whether a program means this algorithm: the protocol has no names for them, and sigstore's own services have several.
fn is_name_of(name: &str, algorithm: KeyAlgorithm) -> bool {
    let name: String = name
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .map(|c| c.to_ascii_lowercase())
        .collect();
    let is_curve = |bits: u16, hash: u16| {
        name == format!("ecdsap{bits}")
            || name == format!("ecdsap{bits}sha{hash}")
            || name == format!("eccnistp{bits}")
            || name == format!("ecdsasha2{hash}nistp{bits}")
            || name == format!("p{bits}")
    };
    match algorithm {
        KeyAlgorithm::P256 => is_curve(256, 256),
        KeyAlgorithm::P384 => is_curve(384, 384),
        KeyAlgorithm::P521 => is_curve(521, 512),
        KeyAlgorithm::Rsa(bits) => {
            name == format!("rsa{bits}")
                || name == format!("rsapkcs1v15{bits}sha256")
                || name == format!("rsasignpkcs1{bits}sha256")
        }
        KeyAlgorithm::Ed25519 => name == "ed25519",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn algorithms_are_known_by_the_names_that_sigstore_has_for_them() {
        for (name, algorithm) in [
            ("ecdsa-p256", KeyAlgorithm::P256),
            ("ECC_NIST_P256", KeyAlgorithm::P256),
            ("ecdsa-p256-sha256", KeyAlgorithm::P256),
            ("ecdsa-sha2-256-nistp256", KeyAlgorithm::P256),
            ("ecdsa-p384-sha384", KeyAlgorithm::P384),
            ("ecdsa-sha2-512-nistp521", KeyAlgorithm::P521),
            ("rsa-2048", KeyAlgorithm::Rsa(2048)),
            ("RSA_3072", KeyAlgorithm::Rsa(3072)),
            ("rsa-pkcs1v15-4096-sha256", KeyAlgorithm::Rsa(4096)),
            ("rsa-sign-pkcs1-2048-sha256", KeyAlgorithm::Rsa(2048)),
            ("ed25519", KeyAlgorithm::Ed25519),
        ] {
            assert!(is_name_of(name, algorithm), "{name}");
        }
        for (name, algorithm) in [
            ("ecdsa-p384", KeyAlgorithm::P256),
            ("rsa-pss-2048-sha256", KeyAlgorithm::Rsa(2048)),
            ("rsa-2048", KeyAlgorithm::Rsa(4096)),
            ("ed25519ph", KeyAlgorithm::Ed25519),
        ] {
            assert!(!is_name_of(name, algorithm), "{name}");
        }
    }
}
