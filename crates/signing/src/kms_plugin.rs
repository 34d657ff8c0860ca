//! The messages of cosign's protocol for programs that hold keys (KMS plugins), in both directions.
//!
//! `sigstore-kms-SCHEME v1 CALL` is started anew for each call. It reads the message that is to be signed or verified from stdin, and writes one
//! [`Answer`] to stdout. Specification: sigstore's `pkg/signature/kms/cliplugin`, above all `common/interface.go`; what is written here is byte for
//! byte what that writes. Who starts programs and who is one is elsewhere: this module only reads and writes texts.

mod wire;

use serde::{Deserialize, Serialize};

use crate::HashAlgorithm;
use wire::{
    CreateKey, DefaultAlgorithmAnswer, InitOptions, Nothing, PublicKey, PublicKeyAnswer,
    PublicKeyOptions, RpcOptions, SignMessage, SignMessageAnswer, SignOptions,
    SupportedAlgorithmsAnswer, VerifySignature, WireAnswer, WireCall, text,
};

/// The version of the protocol, the first argument.
pub const VERSION: &str = "v1";

/// What a program's name begins with; the scheme of its references follows.
pub const PROGRAM_PREFIX: &str = "sigstore-kms-";

/// One call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// When nobody waits any more: RFC 3339.
    pub deadline: Option<String>,
    /// What stands behind `SCHEME://` in the key reference.
    pub key: String,
    /// The hash that signatures are made over, where the method names no other: a number of Go's `crypto.Hash`.
    pub hash: u64,
    /// A version of the key; none for the current one.
    pub key_version: Option<String>,
    /// What is to be done.
    pub method: Method,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Method {
    /// Tell the algorithm of new keys, where nobody asks for one.
    DefaultAlgorithm,
    /// Tell the algorithms that new keys can have.
    SupportedAlgorithms,
    /// Make a key, and give its public half.
    CreateKey {
        /// One of those that are supported.
        algorithm: String,
    },
    /// Give the public half of the key.
    PublicKey,
    /// Sign the message of stdin.
    SignMessage(MessageOptions),
    /// Tell whether the signature is one of the key over the message of stdin.
    VerifySignature {
        /// The signature.
        signature: Vec<u8>,
        /// Of the message.
        options: MessageOptions,
    },
}

/// What is known of a message besides its bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MessageOptions {
    /// Its digest. There may be no bytes then.
    #[serde(default, with = "wire::base64_or_null")]
    pub digest: Option<Vec<u8>>,
    /// The hash of this call.
    #[serde(rename = "hashFunc", default, skip_serializing_if = "Option::is_none")]
    pub hash: Option<u64>,
}

/// What a program says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It did not do it. The text is anybody's.
    Refused(String),
    /// The algorithm of new keys.
    DefaultAlgorithm(String),
    /// The algorithms that new keys can have.
    SupportedAlgorithms(Vec<String>),
    /// The public half of a new key, PEM.
    CreatedKey(Vec<u8>),
    /// The public half, PEM.
    PublicKey(Vec<u8>),
    /// A signature: DER for ECDSA, PKCS#1 v1.5 for RSA, 64 bytes for Ed25519.
    Signature(Vec<u8>),
    /// The signature is one of the key.
    Verified,
}

/// Why a text is no message of the protocol.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not the JSON that it should be. The text of the source may hold a part of it.
    #[error("not the JSON of the plugin protocol")]
    Json(#[source] serde_json::Error),
    /// A method that this version does not have.
    #[error("unsupported method: {0}")]
    Method(String),
    /// What belongs to the method is not there.
    #[error("no {0}")]
    Missing(&'static str),
}

/// The number that Go has for a hash.
#[must_use]
pub fn hash_number(hash: HashAlgorithm) -> u64 {
    match hash {
        HashAlgorithm::Sha256 => 5,
        HashAlgorithm::Sha384 => 6,
        HashAlgorithm::Sha512 => 7,
    }
}

/// The hash of a number of Go's, of those that keys here sign over.
#[must_use]
pub fn hash_of_number(number: u64) -> Option<HashAlgorithm> {
    [
        HashAlgorithm::Sha256,
        HashAlgorithm::Sha384,
        HashAlgorithm::Sha512,
    ]
    .into_iter()
    .find(|hash| hash_number(*hash) == number)
}

impl Method {
    /// Its name in the protocol.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::DefaultAlgorithm => "defaultAlgorithm",
            Self::SupportedAlgorithms => "supportedAlgorithms",
            Self::CreateKey { .. } => "createKey",
            Self::PublicKey => "publicKey",
            Self::SignMessage(_) => "signMessage",
            Self::VerifySignature { .. } => "verifySignature",
        }
    }
}

impl Call {
    /// The second argument of the program, as sigstore's client writes it.
    #[must_use]
    pub fn to_json(&self) -> String {
        let options = RpcOptions {
            ctx_deadline: self.deadline.clone(),
            key_version: Some(self.key_version.clone().unwrap_or_default()),
            remote_verification: Some(false),
        };
        let mut wire = WireCall {
            init_options: InitOptions {
                ctx_deadline: self.deadline.clone(),
                protocol_version: VERSION.to_owned(),
                key_resource_id: self.key.clone(),
                hash_func: self.hash,
                rpc_options: Some(options.clone()),
            },
            method_name: self.method.name().to_owned(),
            ..WireCall::default()
        };
        match &self.method {
            Method::DefaultAlgorithm => wire.default_algorithm = Some(Nothing {}),
            Method::SupportedAlgorithms => wire.supported_algorithms = Some(Nothing {}),
            Method::CreateKey { algorithm } => {
                wire.create_key = Some(CreateKey {
                    ctx_deadline: self.deadline.clone(),
                    algorithm: algorithm.clone(),
                });
            }
            Method::PublicKey => {
                let public_key_options = Some(PublicKeyOptions {
                    rpc_options: options,
                });
                wire.public_key = Some(PublicKey { public_key_options });
            }
            Method::SignMessage(message) => {
                let sign_options = Some(SignOptions {
                    rpc_options: options,
                    message_options: message.clone(),
                });
                wire.sign_message = Some(SignMessage { sign_options });
            }
            Method::VerifySignature {
                signature,
                options: message,
            } => {
                wire.verify_signature = Some(VerifySignature {
                    signature: signature.clone(),
                    verify_options: Some(SignOptions {
                        rpc_options: options,
                        message_options: message.clone(),
                    }),
                });
            }
        }
        text(&wire)
    }

    /// Reads the second argument, as sigstore's programs do: what is not known is passed over.
    ///
    /// # Errors
    /// As [`Error`] says.
    pub fn parse(json: &str) -> Result<Self, Error> {
        let wire: WireCall = serde_json::from_str(json).map_err(Error::Json)?;
        let init = wire.init_options;
        let mut options = init.rpc_options;
        let method = match wire.method_name.as_str() {
            "defaultAlgorithm" => Method::DefaultAlgorithm,
            "supportedAlgorithms" => Method::SupportedAlgorithms,
            "createKey" => Method::CreateKey {
                algorithm: wire
                    .create_key
                    .ok_or(Error::Missing("createKey"))?
                    .algorithm,
            },
            "publicKey" => {
                let own = wire.public_key.and_then(|args| args.public_key_options);
                options = own.map(|own| own.rpc_options).or(options);
                Method::PublicKey
            }
            "signMessage" => {
                let own = wire.sign_message.and_then(|args| args.sign_options);
                let own = own.ok_or(Error::Missing("signOptions"))?;
                options = Some(own.rpc_options);
                Method::SignMessage(own.message_options)
            }
            "verifySignature" => {
                let args = wire.verify_signature;
                let args = args.ok_or(Error::Missing("verifySignature"))?;
                let own = args.verify_options.ok_or(Error::Missing("verifyOptions"))?;
                options = Some(own.rpc_options);
                Method::VerifySignature {
                    signature: args.signature,
                    options: own.message_options,
                }
            }
            other => return Err(Error::Method(other.chars().take(64).collect())),
        };
        let version = options.and_then(|options| options.key_version);
        Ok(Self {
            deadline: init.ctx_deadline,
            key: init.key_resource_id,
            hash: init.hash_func,
            key_version: version.filter(|version| !version.is_empty()),
            method,
        })
    }
}

impl Answer {
    /// What a program writes to stdout.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut wire = WireAnswer::default();
        match self.clone() {
            Self::Refused(message) => wire.error_message = message,
            Self::DefaultAlgorithm(default_algorithm) => {
                wire.default_algorithm = Some(DefaultAlgorithmAnswer { default_algorithm });
            }
            Self::SupportedAlgorithms(supported_algorithms) => {
                wire.supported_algorithms = Some(SupportedAlgorithmsAnswer {
                    supported_algorithms,
                });
            }
            Self::CreatedKey(public_key_pem) => {
                wire.create_key = Some(PublicKeyAnswer { public_key_pem });
            }
            Self::PublicKey(public_key_pem) => {
                wire.public_key = Some(PublicKeyAnswer { public_key_pem });
            }
            Self::Signature(signature) => {
                wire.sign_message = Some(SignMessageAnswer { signature });
            }
            Self::Verified => wire.verify_signature = Some(Nothing {}),
        }
        text(&wire)
    }

    /// Reads what a program wrote to stdout when it was asked to do `method`.
    ///
    /// # Errors
    /// As [`Error`] says; also if it is the answer to another method.
    pub fn parse(stdout: &[u8], method: &Method) -> Result<Self, Error> {
        let wire: WireAnswer = serde_json::from_slice(stdout).map_err(Error::Json)?;
        if !wire.error_message.is_empty() {
            return Ok(Self::Refused(wire.error_message));
        }
        let answer = match method {
            Method::DefaultAlgorithm => wire
                .default_algorithm
                .map(|answer| Self::DefaultAlgorithm(answer.default_algorithm)),
            Method::SupportedAlgorithms => wire
                .supported_algorithms
                .map(|answer| Self::SupportedAlgorithms(answer.supported_algorithms)),
            Method::CreateKey { .. } => wire
                .create_key
                .map(|answer| Self::CreatedKey(answer.public_key_pem)),
            Method::PublicKey => wire
                .public_key
                .map(|answer| Self::PublicKey(answer.public_key_pem)),
            Method::SignMessage(_) => wire
                .sign_message
                .map(|answer| Self::Signature(answer.signature)),
            Method::VerifySignature { .. } => wire.verify_signature.map(|_| Self::Verified),
        };
        answer.ok_or(Error::Missing(method.name()))
    }
}

#[cfg(test)]
mod tests;
