//! The calls of KMS: <https://docs.aws.amazon.com/kms/latest/APIReference/API_Operations.html>.

use std::fs;
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use p256::ecdsa::signature::hazmat::PrehashSigner as _;
use p256::ecdsa::{DerSignature, SigningKey};
use p256::pkcs8::DecodePrivateKey as _;
use serde_json::{Value, json};

use super::{ACCOUNT, AWS_REGION, Outcome, Refused, State, refused};
use crate::run::Run;

/// A key.
pub(super) struct Key {
    spec: String,
    usage: String,
    /// `Enabled`, `Disabled`, `PendingDeletion`, ….
    pub(super) state: String,
    pub(super) policy: String,
    description: String,
    /// The private key, which openssl has made; nothing for those that are symmetric.
    file: Option<PathBuf>,
    /// SubjectPublicKeyInfo.
    public: Vec<u8>,
}

/// What keys of a kind can sign with: the algorithm, the length of its digest, and the name of that hash.
fn algorithms(spec: &str) -> &'static [(&'static str, usize, &'static str)] {
    match spec {
        "ECC_NIST_P256" | "ECC_SECG_P256K1" => &[("ECDSA_SHA_256", 32, "sha256")],
        "ECC_NIST_P384" => &[("ECDSA_SHA_384", 48, "sha384")],
        "ECC_NIST_P521" => &[("ECDSA_SHA_512", 64, "sha512")],
        "RSA_2048" | "RSA_3072" | "RSA_4096" => &[
            ("RSASSA_PKCS1_V1_5_SHA_256", 32, "sha256"),
            ("RSASSA_PKCS1_V1_5_SHA_384", 48, "sha384"),
            ("RSASSA_PKCS1_V1_5_SHA_512", 64, "sha512"),
        ],
        _ => &[],
    }
}

/// How openssl makes such a key; nothing for a symmetric one.
fn recipe(spec: &str) -> Option<[&'static str; 3]> {
    let curve = |option| Some(["EC", "-pkeyopt", option]);
    let bits = |option| Some(["RSA", "-pkeyopt", option]);
    match spec {
        "ECC_NIST_P256" => curve("ec_paramgen_curve:P-256"),
        "ECC_NIST_P384" => curve("ec_paramgen_curve:P-384"),
        "ECC_NIST_P521" => curve("ec_paramgen_curve:P-521"),
        "ECC_SECG_P256K1" => curve("ec_paramgen_curve:secp256k1"),
        "RSA_2048" => bits("rsa_keygen_bits:2048"),
        "RSA_3072" => bits("rsa_keygen_bits:3072"),
        "RSA_4096" => bits("rsa_keygen_bits:4096"),
        _ => None,
    }
}

impl Key {
    pub(super) fn public_pem(&self) -> String {
        let run = Run::new("openssl").args(["pkey", "-pubout", "-in"]);
        run.arg(self.file.as_ref().expect("it is asymmetric"))
            .ok()
            .stdout
    }
}

impl State {
    pub(super) fn make_key(&mut self, spec: &str, usage: &str) -> String {
        let number = self.keys.len();
        let id = format!("1234abcd-12ab-34cd-56ef-{number:012x}");
        let arn = format!("arn:aws:kms:{AWS_REGION}:{ACCOUNT}:key/{id}");
        let (mut file, mut public) = (None, Vec::new());
        if let Some(recipe) = recipe(spec) {
            let private = self.folder.path().join(format!("{id}.pem"));
            let make = Run::new("openssl").args(["genpkey", "-algorithm"]);
            make.args(recipe).arg("-out").arg(&private).ok();
            let der = self.folder.path().join(format!("{id}.der"));
            let publish = Run::new("openssl").args(["pkey", "-pubout", "-outform", "DER", "-in"]);
            publish.arg(&private).arg("-out").arg(&der).ok();
            public = fs::read(der).expect("openssl wrote it");
            file = Some(private);
        }
        let key = Key {
            spec: spec.to_owned(),
            usage: usage.to_owned(),
            state: "Enabled".to_owned(),
            policy: r#"{"Version":"2012-10-17"}"#.to_owned(),
            description: String::new(),
            file,
            public,
        };
        self.keys.insert(arn.clone(), key);
        arn
    }

    pub(super) fn call(&mut self, operation: &str, body: &Value) -> Outcome {
        let known: &[&str] = match operation {
            "GetPublicKey" | "DescribeKey" => &["KeyId"],
            "Sign" => &["KeyId", "Message", "MessageType", "SigningAlgorithm"],
            "GetKeyPolicy" => &["KeyId", "PolicyName"],
            "CreateKey" => &["KeySpec", "KeyUsage", "Description", "Policy"],
            "CreateAlias" | "UpdateAlias" => &["AliasName", "TargetKeyId"],
            _ => {
                self.complain(format!("there is no operation {operation}"));
                return refused("UnknownOperationException", "");
            }
        };
        let members: Vec<&String> = body.as_object().map_or(Vec::new(), |m| m.keys().collect());
        let strange = members.iter().find(|name| !known.contains(&name.as_str()));
        if members.is_empty() || strange.is_some() {
            self.complain(format!("{operation} of {body}"));
            return refused("ValidationException", "members that it does not have");
        }
        match operation {
            "GetPublicKey" => self.get_public_key(body),
            "Sign" => self.sign(body),
            "DescribeKey" => self.describe(body),
            "GetKeyPolicy" => self.get_policy(body),
            "CreateKey" => self.create_key(body),
            _ => self.name_key(operation, body),
        }
    }

    /// The ARN and the key of what `KeyId` names: an id, an alias, or the ARN of either.
    fn key(&self, body: &Value) -> Result<(String, &Key), Refused> {
        let name = text(body, "KeyId")?;
        let prefix = format!("arn:aws:kms:{AWS_REGION}:{ACCOUNT}:");
        let resource = match name.starts_with("arn:") {
            true => name.strip_prefix(&prefix).unwrap_or_default(),
            false => name,
        };
        let arn = match resource.starts_with("alias/") {
            true => self.aliases.get(resource).cloned(),
            false if name.starts_with("arn:") => Some(name.to_owned()),
            false => Some(format!("{prefix}key/{name}")),
        };
        let found = arn.and_then(|arn| Some((arn.clone(), self.keys.get(&arn)?)));
        match found {
            Some(found) => Ok(found),
            None if resource.starts_with("alias/") => refused(
                "NotFoundException",
                format!("Alias {prefix}{resource} is not found."),
            ),
            None => refused("NotFoundException", format!("Key '{name}' does not exist")),
        }
    }

    fn usable(&self, body: &Value) -> Result<(String, &Key), Refused> {
        let (arn, key) = self.key(body)?;
        match key.state.as_str() {
            "Enabled" => Ok((arn, key)),
            "Disabled" => refused("DisabledException", format!("{arn} is disabled.")),
            state => refused("KMSInvalidStateException", format!("{arn} is {state}.")),
        }
    }

    fn get_public_key(&self, body: &Value) -> Outcome {
        let (arn, key) = self.usable(body)?;
        if key.file.is_none() {
            return refused("UnsupportedOperationException", "the key is symmetric");
        }
        let names: Vec<&str> = algorithms(&key.spec)
            .iter()
            .map(|(name, ..)| *name)
            .collect();
        let mut answer = json!({
            "KeyId": arn,
            "PublicKey": STANDARD.encode(&key.public),
            "CustomerMasterKeySpec": key.spec,
            "KeySpec": key.spec,
            "KeyUsage": key.usage,
        });
        // Each list is there for keys of its usage alone.
        match key.usage.as_str() {
            "SIGN_VERIFY" => answer["SigningAlgorithms"] = json!(names),
            "KEY_AGREEMENT" => answer["KeyAgreementAlgorithms"] = json!(["ECDH"]),
            _ => answer["EncryptionAlgorithms"] = json!(["RSAES_OAEP_SHA_256"]),
        }
        Ok(answer)
    }

    fn sign(&mut self, body: &Value) -> Outcome {
        let (arn, key) = self.usable(body)?;
        let algorithm = text(body, "SigningAlgorithm")?;
        if key.usage != "SIGN_VERIFY" {
            return refused(
                "InvalidKeyUsageException",
                format!("{arn} key usage is {}", key.usage),
            );
        }
        let known = algorithms(&key.spec)
            .iter()
            .find(|(name, ..)| *name == algorithm);
        let Some((_, length, hash)) = known else {
            return refused(
                "InvalidKeyUsageException",
                format!(
                    "Algorithm {algorithm} is incompatible with key spec {}.",
                    key.spec
                ),
            );
        };
        // AWS would hash what is RAW. A digest that is not said to be one would be hashed again.
        if text(body, "MessageType")? != "DIGEST" {
            self.complain("the message is no DIGEST");
            return refused("ValidationException", "only digests are signed here");
        }
        let Ok(digest) = STANDARD.decode(text(body, "Message")?) else {
            return refused("SerializationException", "Message is no base64");
        };
        if digest.len() != *length {
            let message = format!("Digest is invalid length for algorithm {algorithm}.");
            self.complain(message.clone());
            return refused("ValidationException", message);
        }
        let file = key.file.clone().expect("it has an algorithm");
        let signature = match key.spec.as_str() {
            "ECC_NIST_P256" => p256_signature(&file, &digest),
            _ => self.openssl_signature(&file, &digest, hash),
        };
        Ok(json!({
            "KeyId": arn,
            "Signature": STANDARD.encode(signature),
            "SigningAlgorithm": algorithm,
        }))
    }

    fn openssl_signature(&self, file: &PathBuf, digest: &[u8], hash: &str) -> Vec<u8> {
        let (input, output) = (
            self.folder.path().join("digest"),
            self.folder.path().join("signature"),
        );
        fs::write(&input, digest).expect("the folder is ours");
        let sign = Run::new("openssl").args(["pkeyutl", "-sign", "-pkeyopt"]);
        sign.arg(format!("digest:{hash}"))
            .arg("-inkey")
            .arg(file)
            .arg("-in")
            .arg(&input)
            .arg("-out")
            .arg(&output)
            .ok();
        fs::read(output).expect("openssl wrote it")
    }

    fn describe(&self, body: &Value) -> Outcome {
        let (arn, key) = self.key(body)?;
        Ok(json!({"KeyMetadata": metadata(&arn, key)}))
    }

    fn get_policy(&self, body: &Value) -> Outcome {
        if text(body, "KeyId")?.contains("alias/") {
            return refused("InvalidArnException", "the policy is one of a key");
        }
        let (_, key) = self.key(body)?;
        if text(body, "PolicyName")? != "default" {
            return refused("NotFoundException", "No such policy exists");
        }
        Ok(json!({"Policy": key.policy, "PolicyName": "default"}))
    }

    fn create_key(&mut self, body: &Value) -> Outcome {
        let spec = text(body, "KeySpec")?;
        let usage = text(body, "KeyUsage")?;
        if recipe(spec).is_none() {
            return refused("ValidationException", format!("KeySpec {spec}"));
        }
        let arn = self.make_key(spec, usage);
        let key = self.keys.get_mut(&arn).expect("just made");
        if let Some(policy) = body.get("Policy").and_then(Value::as_str) {
            key.policy = policy.to_owned();
        }
        key.description = text(body, "Description")?.to_owned();
        Ok(json!({"KeyMetadata": metadata(&arn, &self.keys[&arn])}))
    }

    fn name_key(&mut self, operation: &str, body: &Value) -> Outcome {
        let alias = text(body, "AliasName")?.to_owned();
        let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"/_-".contains(&b);
        if !alias.starts_with("alias/") || !alias.bytes().all(is_plain) {
            self.complain(format!("the alias {alias:?}"));
            return refused("ValidationException", "AliasName");
        }
        if alias.starts_with("alias/aws/") {
            return refused("NotAuthorized", "that is reserved");
        }
        let (arn, new) = self.key(&json!({"KeyId": body["TargetKeyId"]}))?;
        match (operation, self.aliases.get(&alias)) {
            ("CreateAlias", Some(_)) => {
                return refused(
                    "AlreadyExistsException",
                    format!("An alias with the name {alias} already exists"),
                );
            }
            ("UpdateAlias", None) => {
                return refused("NotFoundException", format!("Alias {alias} is not found."));
            }
            ("UpdateAlias", Some(old)) => {
                let old = &self.keys[old];
                // Both must be of one type and for one use.
                if old.usage != new.usage || old.file.is_some() != new.file.is_some() {
                    return refused("ValidationException", "the keys are of other types");
                }
            }
            _ => {}
        }
        self.aliases.insert(alias, arn);
        Ok(Value::Null)
    }
}

fn p256_signature(file: &PathBuf, digest: &[u8]) -> Vec<u8> {
    let pem = fs::read_to_string(file).expect("openssl wrote it");
    let key = SigningKey::from_pkcs8_pem(&pem).expect("openssl made it");
    let signature: DerSignature = key.sign_prehash(digest).expect("it is a digest");
    signature.as_bytes().to_vec()
}

fn metadata(arn: &str, key: &Key) -> Value {
    let id = arn.rsplit('/').next();
    let mut metadata = json!({
        "AWSAccountId": ACCOUNT,
        "KeyId": id,
        "Arn": arn,
        "CreationDate": 1_700_000_000.123,
        "Enabled": key.state == "Enabled",
        "Description": key.description,
        "KeyUsage": key.usage,
        "KeyState": key.state,
        "Origin": "AWS_KMS",
        "KeyManager": "CUSTOMER",
        "CustomerMasterKeySpec": key.spec,
        "KeySpec": key.spec,
        "MultiRegion": false,
    });
    // There for keys of this usage alone.
    if key.usage == "SIGN_VERIFY" {
        let names = algorithms(&key.spec).iter().map(|(name, ..)| *name);
        metadata["SigningAlgorithms"] = names.collect();
    }
    metadata
}

fn text<'a>(body: &'a Value, name: &str) -> Result<&'a str, Refused> {
    match body.get(name).and_then(Value::as_str) {
        Some(text) if !text.is_empty() => Ok(text),
        _ => refused("ValidationException", format!("{name} is missing")),
    }
}
