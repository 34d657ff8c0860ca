//! Makes keys in AWS KMS, and replaces them.
//!
//! A key gets its name last: until its public half is known nothing points to it, and every message from its making on has its ARN, so that somebody
//! can name it by hand, or delete it.

use jiff::{SignedDuration, Timestamp, Unit};
use serde::Deserialize;
use serde_json::{Value, json};
use tekseal_signing::key_ref::AwsKey;
use tekseal_signing::{KeyAlgorithm, PublicKey};

use super::SERVICE;
use super::client::{Age, Client, Operation};
use super::key::{self, Held, Kind, is_key_arn, place};
use crate::{Context, Error};

/// The policy that a key has; there is no other.
const POLICY: &str = "default";

/// What DescribeKey and CreateKey tell of a key.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Described {
    key_metadata: Metadata,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Metadata {
    arn: String,
    #[serde(default)]
    key_spec: String,
    #[serde(default)]
    key_usage: String,
    #[serde(default)]
    multi_region: Option<bool>,
    /// In seconds since 1970.
    #[serde(default)]
    creation_date: Option<f64>,
}

impl Metadata {
    fn created(&self) -> Option<Timestamp> {
        let since = SignedDuration::try_from_secs_f64(self.creation_date?).ok()?;
        let at = Timestamp::from_duration(since).ok()?;
        // AWS tells thousandths, which no float has exactly.
        at.round(Unit::Millisecond).ok()
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct PolicyAnswer {
    policy: String,
}

pub(super) async fn create(
    key: &AwsKey,
    algorithm: KeyAlgorithm,
    context: &Context,
) -> Result<PublicKey, Error> {
    let Some(alias) = key.id.strip_prefix("alias/").map(|_| key.id.as_str()) else {
        return Err(Error::Setting {
            name: key.to_string(),
            reason: "AWS gives new keys their ids itself, in the account of the credentials: name the new key by an alias, awskms:///alias/NAME".to_owned(),
        });
    };
    let kind = Kind::of(algorithm).ok_or(Error::Algorithm {
        service: SERVICE,
        algorithm,
        makes: key::WANTED,
    })?;
    let client = Client::new(key, context).await?;
    let action = format!("say whether there is a key {key}");
    let body = json!({"KeyId": alias});
    let found: Option<Described> = client.find(Operation::DescribeKey, &body, &action).await?;
    if let Some(found) = found {
        let arn = shown(&found.key_metadata.arn);
        return Err(Error::Setting {
            name: key.to_string(),
            reason: format!("there is such a key already, {arn}; take another name, or rotate it"),
        });
    }
    let body = json!({
        "KeySpec": kind.spec,
        "KeyUsage": "SIGN_VERIFY",
        "Description": format!("Signs container images; made by tekseal as {alias}"),
    });
    let made = make(&body, key, kind, &client).await?;
    let action = format!("give the new key {} the name {alias}", made.arn);
    let body = json!({"AliasName": alias, "TargetKeyId": made.arn});
    client
        .order(Operation::CreateAlias, Age::JustMade, &body, &action)
        .await?;
    Ok(made.public)
}

pub(super) async fn rotate(key: &AwsKey, context: &Context) -> Result<PublicKey, Error> {
    // Only the name within an account can be moved.
    let resource = key.id.rsplit(':').next().unwrap_or_default();
    if !resource.starts_with("alias/") {
        return Err(Error::Unsupported {
            service: SERVICE.to_owned(),
            what: "rotate an asymmetric key in place: give it a name by `aws kms create-alias`, and sign and rotate with awskms:///alias/NAME",
        });
    }
    let client = Client::new(key, context).await?;
    let action = format!("describe the key {key}");
    let body = json!({"KeyId": resource});
    let found: Described = client
        .call(Operation::DescribeKey, Age::Known, &body, &action)
        .await?;
    let old = found.key_metadata;
    if !is_key_arn(&old.arn) {
        return Err(Error::Answer {
            service: SERVICE,
            action,
            found: "another key".to_owned(),
            wanted: "its ARN",
        });
    }
    if key.id.starts_with("arn:") && place(&key.id) != place(&old.arn) {
        return Err(Error::Setting {
            name: key.to_string(),
            reason: format!(
                "it is of another account than the credentials, which have {} by that name",
                old.arn
            ),
        });
    }
    if old.multi_region == Some(true) {
        return Err(Error::KeyKind {
            reference: key.to_string(),
            found: "a key of several regions".to_owned(),
            wanted: "its successor needs replicas and aliases in each of them: make it by hand",
        });
    }
    let kind = Kind::named(&old.key_spec, &old.key_usage, &key.to_string())?;
    // Another one could let more people sign.
    let action = format!("give the policy of the key {}", old.arn);
    let body = json!({"KeyId": old.arn, "PolicyName": POLICY});
    let policy: PolicyAnswer = client
        .call(Operation::GetKeyPolicy, Age::Known, &body, &action)
        .await?;
    let body = json!({
        "KeySpec": kind.spec,
        "KeyUsage": "SIGN_VERIFY",
        "Description": format!("Signs container images; made by tekseal to replace {}", old.arn),
        "Policy": policy.policy,
    });
    let made = make(&body, key, kind, &client).await?;
    let action = format!(
        "give the new key {} the name {resource}, which {} has",
        made.arn, old.arn
    );
    let body = json!({"AliasName": resource, "TargetKeyId": made.arn});
    client
        .order(Operation::UpdateAlias, Age::JustMade, &body, &action)
        .await?;
    Ok(made.public)
}

/// When a key was made.
pub(super) async fn created(
    key: &AwsKey,
    arn: &str,
    client: &Client,
) -> Result<Option<Timestamp>, Error> {
    let action = format!("describe the key {key}");
    let body = json!({"KeyId": arn});
    let found: Described = client
        .call(Operation::DescribeKey, Age::Known, &body, &action)
        .await?;
    match key::is_same(arn, &found.key_metadata.arn) {
        true => Ok(found.key_metadata.created()),
        false => Err(Error::Answer {
            service: SERVICE,
            action,
            found: "another key".to_owned(),
            wanted: "the one that it was asked for",
        }),
    }
}

/// Makes a key of this kind, and reads its public half.
async fn make(body: &Value, key: &AwsKey, kind: &Kind, client: &Client) -> Result<Held, Error> {
    let action = format!("make a key for {key}");
    let made: Described = client
        .call(Operation::CreateKey, Age::Known, body, &action)
        .await?;
    let arn = made.key_metadata.arn;
    if !is_key_arn(&arn) {
        return Err(Error::Answer {
            service: SERVICE,
            action,
            found: "another key".to_owned(),
            wanted: "the ARN of the new one",
        });
    }
    let held = Held::read_new(&arn, client).await?;
    match held.kind.algorithm == kind.algorithm {
        true => Ok(held),
        false => Err(Error::Answer {
            service: SERVICE,
            action,
            found: format!("the key {arn} of the kind {}", held.kind.spec),
            wanted: "one of the kind that it was asked for",
        }),
    }
}

fn shown(arn: &str) -> &str {
    match is_key_arn(arn) {
        true => arn,
        false => "whose ARN is none",
    }
}
