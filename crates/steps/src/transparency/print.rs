//! Entries of logs for people and for programs.

use std::fmt::Write as _;
use std::io::Write as _;

use anyhow::anyhow;
use jiff::Timestamp;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tekseal_core::digest::hex;
use tekseal_signing::log::{EntrySigner, Hashed, HashedWhat, Logged};

use super::found::Found;
use crate::log::quoted;
use crate::output::Output;
use crate::{Failure, pretty};

/// Prints data.
pub(super) fn to_stdout(text: &str) -> Result<(), Failure> {
    std::io::stdout()
        .lock()
        .write_all(text.as_bytes())
        .map_err(|e| Failure::outside(e).context("writing to stdout"))
}

/// An entry as a log gave it.
pub(super) fn found(found: &Found, output: Output) -> Result<String, Failure> {
    match output {
        Output::Text => {
            let mut text = lines(found);
            let body = body(found)?;
            text.push_str("body: ");
            text.push_str(&pretty::indented(body.get()));
            text.push_str(
                "not verified: this is what the log says; tekseal-log verify checks it\n",
            );
            Ok(text)
        }
        Output::Json => {
            let mut all = as_json(found);
            all["body"] = serde_json::to_value(body(found)?)
                .map_err(|e| Failure::outside(e).context("reading the body of the entry"))?;
            all["verified"] = json!(false);
            Ok(format!("{all}\n"))
        }
    }
}

/// An entry for which a trusted log vouches.
pub(super) fn verified(found: &Found, logged: &Logged, output: Output) -> Result<String, Failure> {
    let checked = match logged.has_promise {
        true => "leaf hash, inclusion proof, checkpoint, signed entry timestamp",
        false => "leaf hash, inclusion proof, checkpoint",
    };
    match output {
        Output::Text => Ok(format!(
            "{}verified: {checked}, by the key of {}\n",
            lines(found),
            quoted(&logged.host)
        )),
        Output::Json => {
            let mut all = as_json(found);
            all["verified"] = json!(true);
            all["host"] = json!(logged.host);
            all["hasSignedEntryTimestamp"] = json!(logged.has_promise);
            Ok(format!("{all}\n"))
        }
    }
}

/// A hash with what it is of.
pub(super) fn hash(hashed: &Hashed) -> String {
    let what = what(hashed.what);
    quoted_plain(&format!("{} {}:{}", what, hashed.algorithm, hashed.value))
}

fn what(what: HashedWhat) -> &'static str {
    match what {
        HashedWhat::Message => "message",
        HashedWhat::Payload => "payload",
        HashedWhat::Envelope => "envelope",
    }
}

/// Text of a log between text of ours: blanks may stay, what is not seen may not.
fn quoted_plain(text: &str) -> String {
    let seen = |c: &char| !tekseal_core::is_invisible(*c);
    text.chars().filter(seen).collect()
}

fn lines(found: &Found) -> String {
    let (entry, summary) = (&found.entry, &found.summary);
    let mut text = String::new();
    let mut line = |name: &str, value: &str| {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{name}: {}", quoted_plain(value));
    };
    line("log", &found.log);
    line("uuid", found.uuid.as_str());
    line("index", &entry.log_index.to_string());
    if let Some(proof) = &entry.inclusion {
        let place = format!("entry {} of {}", proof.log_index, proof.tree_size);
        line("tree", &place);
    }
    if let Some(time) = entry.integrated_time {
        line("time", &time_of(time));
    }
    line("kind", &format!("{} {}", summary.kind, summary.version));
    for hashed in &summary.hashes {
        line("hash", &hash(hashed));
    }
    for signer in &summary.signers {
        match signer {
            EntrySigner::Key(key) => {
                line("signer", &format!("key {}", key.spki_digest()));
            }
            EntrySigner::Certificate(certificate) => {
                let names = certificate.identities().join(", ");
                line("signer", &format!("certificate of {names}"));
                if let Some(issuer) = certificate.oidc_issuer() {
                    line("issuer", issuer);
                }
            }
            EntrySigner::Unread => line("signer", "of an unsupported kind"),
        }
    }
    text
}

fn as_json(found: &Found) -> Value {
    let (entry, summary) = (&found.entry, &found.summary);
    let signer = |signer: &EntrySigner| match signer {
        EntrySigner::Key(key) => json!({"key": key.spki_digest().to_string()}),
        EntrySigner::Certificate(certificate) => json!({
            "identities": certificate.identities(),
            "issuer": certificate.oidc_issuer(),
            "key": certificate.public_key().spki_digest().to_string(),
        }),
        EntrySigner::Unread => json!({}),
    };
    let hash = |hashed: &Hashed| json!({"of": what(hashed.what), "algorithm": hashed.algorithm, "value": hashed.value});
    json!({
        "log": found.log,
        "uuid": found.uuid.as_str(),
        "logIndex": entry.log_index,
        "treeIndex": entry.inclusion.as_ref().map(|proof| proof.log_index),
        "treeSize": entry.inclusion.as_ref().map(|proof| proof.tree_size),
        "logID": (!entry.log_id.is_empty()).then(|| hex(&entry.log_id)),
        "integratedTime": entry.integrated_time,
        "kind": summary.kind,
        "version": summary.version,
        "hashes": summary.hashes.iter().map(hash).collect::<Vec<_>>(),
        "signers": summary.signers.iter().map(signer).collect::<Vec<_>>(),
    })
}

/// The body as the log has it, one JSON document.
fn body(found: &Found) -> Result<Box<RawValue>, Failure> {
    let text = std::str::from_utf8(&found.entry.body).map_err(anyhow::Error::from);
    let body = text.and_then(|text| Ok(RawValue::from_string(text.to_owned())?));
    body.map_err(|e| Failure::outside(anyhow!(e)).context("the body of the entry is not JSON"))
}

/// A time as people read it; the number where it is none that a calendar has.
fn time_of(seconds: i64) -> String {
    match Timestamp::from_second(seconds) {
        Ok(time) => time.to_string(),
        Err(_) => format!("{seconds} seconds since 1970"),
    }
}
