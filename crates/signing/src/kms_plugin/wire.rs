//! The structures of `common/interface.go` and `common/options.go`, member for member.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tekseal_core::gojson;

use super::MessageOptions;

/// JSON as Go writes it.
pub(super) fn text(value: &impl Serialize) -> String {
    String::from_utf8(gojson::to_vec(value)).expect("JSON is UTF-8")
}

/// `PluginArgs`.
#[derive(Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct WireCall {
    pub(super) init_options: InitOptions,
    pub(super) method_name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) default_algorithm: Option<Nothing>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) supported_algorithms: Option<Nothing>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) create_key: Option<CreateKey>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) public_key: Option<PublicKey>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) sign_message: Option<SignMessage>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) verify_signature: Option<VerifySignature>,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct InitOptions {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) ctx_deadline: Option<String>,
    pub(super) protocol_version: String,
    #[serde(rename = "keyResourceID")]
    pub(super) key_resource_id: String,
    #[serde(default)]
    pub(super) hash_func: u64,
    #[serde(default)]
    pub(super) rpc_options: Option<RpcOptions>,
}

#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RpcOptions {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) ctx_deadline: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) key_version: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) remote_verification: Option<bool>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct Nothing {}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CreateKey {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) ctx_deadline: Option<String>,
    pub(super) algorithm: String,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PublicKey {
    #[serde(default)]
    pub(super) public_key_options: Option<PublicKeyOptions>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PublicKeyOptions {
    #[serde(default)]
    pub(super) rpc_options: RpcOptions,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SignMessage {
    #[serde(default)]
    pub(super) sign_options: Option<SignOptions>,
}

/// `SignOptions` and `VerifyOptions`, which are alike.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SignOptions {
    #[serde(default)]
    pub(super) rpc_options: RpcOptions,
    #[serde(default)]
    pub(super) message_options: MessageOptions,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct VerifySignature {
    #[serde(with = "base64_text")]
    pub(super) signature: Vec<u8>,
    #[serde(default)]
    pub(super) verify_options: Option<SignOptions>,
}

/// `PluginResp`.
#[derive(Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct WireAnswer {
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) error_message: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) default_algorithm: Option<DefaultAlgorithmAnswer>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) supported_algorithms: Option<SupportedAlgorithmsAnswer>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) create_key: Option<PublicKeyAnswer>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) public_key: Option<PublicKeyAnswer>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) sign_message: Option<SignMessageAnswer>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) verify_signature: Option<Nothing>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct DefaultAlgorithmAnswer {
    pub(super) default_algorithm: String,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SupportedAlgorithmsAnswer {
    pub(super) supported_algorithms: Vec<String>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct PublicKeyAnswer {
    #[serde(rename = "publicKeyPEM", with = "base64_text")]
    pub(super) public_key_pem: Vec<u8>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct SignMessageAnswer {
    #[serde(with = "base64_text")]
    pub(super) signature: Vec<u8>,
}

/// Bytes as Go writes them. `null` is no bytes.
pub(super) mod base64_or_null {
    use super::*;

    pub(crate) fn serialize<S: Serializer>(
        bytes: &Option<Vec<u8>>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        match bytes {
            Some(bytes) => to.serialize_str(&STANDARD.encode(bytes)),
            None => to.serialize_none(),
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<Vec<u8>>, D::Error> {
        let text = Option::<String>::deserialize(from)?;
        // An empty digest is none: sigstore's programs look at its length.
        text.filter(|text| !text.is_empty())
            .map(|text| STANDARD.decode(text).map_err(serde::de::Error::custom))
            .transpose()
    }
}

/// Bytes as Go writes them, where some are wanted; `null` is the empty text.
mod base64_text {
    use super::*;

    pub(crate) fn serialize<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&STANDARD.encode(bytes))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        Ok(base64_or_null::deserialize(from)?.unwrap_or_default())
    }
}
