//! Who made a signature, and when: a key or a certificate, the entries of transparency logs, the times of timestamp authorities.
//!
//! ```text
//!  signature ─▶ key, or certificate ─▶ chain ─▶ SCT ─▶ identity      who
//!          └──▶ log entries, timestamps ─▶ times ─▶ was the certificate valid then?      when
//! ```
//!
//! What comes from a log or an authority that nobody trusts here is passed over; what claims to come from one that is trusted must hold, or the
//! signature is rejected: whoever changed it changed evidence.

use tekseal_core::{Evidence, evidence};

use super::Verifier;
use crate::certificate::Certificate;
use crate::identity::IdentityRule;
use crate::key_set::KeySet;
use crate::log::{self, Claim, Enveloped, Logged};
use crate::public_key::PublicKey;
use crate::rejection::Rejection;
use crate::timestamp::{self, Timestamp};
use crate::trust::Trust;

/// The most bytes that are hashed to find the key of a signature: what one key takes with all signatures of the largest layer, and a little.
const MOST_BYTES_TRIED: u64 = 16 << 30;

/// Whose signatures are accepted.
pub(super) enum Who {
    /// Those of one of these keys, while it was in use.
    Keys(KeySet),
    /// Those with a certificate for which this holds.
    Identity(IdentityRule),
}

/// What must come with a signature.
#[derive(Clone, Copy, Debug, Default)]
pub struct Needs {
    /// An entry of a trusted transparency log.
    pub log: bool,
    /// A time of a trusted authority.
    pub timestamp: bool,
    /// With a certificate: the promise of a trusted log of certificates.
    pub certificate_log: bool,
    /// The time now, seconds since 1970: what a certificate, and a key of a set, is judged by where nothing else says when it signed.
    pub now: i64,
}

/// Who signed, and when, as far as it was verified.
#[derive(Clone, Debug)]
pub struct Voucher {
    /// The key under which the signature is valid.
    pub key: PublicKey,
    /// Whom the certificate names, where there was no key to verify with.
    pub identity: Option<Identity>,
    /// The entries of trusted logs.
    pub logged: Vec<Logged>,
    /// The times of trusted authorities.
    pub timestamps: Vec<Timestamp>,
}

impl Voucher {
    /// When logs and authorities say that they had the signature, seconds since 1970.
    fn times(&self) -> impl Iterator<Item = i64> {
        let logged = self.logged.iter();
        let logged = logged.filter_map(|entry| entry.integrated_time);
        logged.chain(self.timestamps.iter().map(|stamp| stamp.time))
    }

    /// When the signature was made at the latest, as far as that is proven; seconds since 1970.
    #[must_use]
    pub fn earliest(&self) -> Option<i64> {
        self.times().min()
    }
}

/// Whom a certificate names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The name that was asked for.
    pub name: String,
    /// Who vouched for that name (the issuer of the OIDC token).
    pub issuer: String,
}

/// What was signed, and what came with it.
pub(super) struct Spoken<'a> {
    /// The bytes that were signed.
    pub(super) message: &'a [u8],
    pub(super) signatures: &'a [Vec<u8>],
    pub(super) enveloped: Option<Enveloped<'a>>,
    /// What a timestamp is of, where it is not of the signature.
    pub(super) stamped: Option<&'a [u8]>,
    /// Read only where something is trusted to judge it by.
    pub(super) evidence: &'a dyn Fn() -> Result<Evidence, evidence::Error>,
}

impl Verifier {
    /// Verifies the signature, and all that must come with it.
    pub(super) fn vouch(&self, spoken: &Spoken<'_>) -> Result<Voucher, Rejection> {
        match &self.who {
            Who::Keys(keys) => self.vouch_by_key(keys, spoken),
            Who::Identity(rule) => self.vouch_by_certificate(rule, spoken),
        }
    }

    fn vouch_by_key(&self, keys: &KeySet, spoken: &Spoken<'_>) -> Result<Voucher, Rejection> {
        let mut distinct: Vec<&PublicKey> = Vec::new();
        for entry in keys.keys() {
            if !distinct.contains(&&entry.key) {
                distinct.push(&entry.key);
            }
        }
        // Each try hashes the whole message.
        let tries = distinct.len() * spoken.signatures.len();
        if tries.saturating_mul(spoken.message.len()) as u64 > MOST_BYTES_TRIED {
            return Err(Rejection::TooMuchToTry {
                keys: distinct.len(),
                signatures: spoken.signatures.len(),
                bytes: spoken.message.len(),
            });
        }
        let mut out_of_use = None;
        for &key in &distinct {
            let Some(signature) = self.valid_signature(key, spoken) else {
                continue;
            };
            let voucher = self.vouch_by_signature(key, signature, spoken)?;
            match keys.check(key, voucher.earliest(), self.needs.now) {
                Ok(()) => return Ok(voucher),
                // Another key may have signed too, as when keys are changed.
                Err(rejection) => out_of_use = out_of_use.or(Some(rejection)),
            }
        }
        Err(out_of_use.unwrap_or_else(|| Rejection::NoKeyMatches {
            signatures: spoken.signatures.len(),
            tried: distinct.into_iter().map(PublicKey::fingerprint).collect(),
        }))
    }

    /// Verifies what came with a signature that is one of this key.
    fn vouch_by_signature(
        &self,
        key: &PublicKey,
        signature: &[u8],
        spoken: &Spoken<'_>,
    ) -> Result<Voucher, Rejection> {
        let mut voucher = Voucher {
            key: key.clone(),
            identity: None,
            logged: Vec::new(),
            timestamps: Vec::new(),
        };
        let Some(trust) = &self.trust else {
            return Ok(voucher);
        };
        let evidence = (spoken.evidence)().map_err(Rejection::Evidence)?;
        // Whoever signs with a key and has a certificate of it has the certificate logged.
        let of_key = |der: &&Vec<u8>| {
            Certificate::from_der(der).is_ok_and(|certificate| certificate.public_key() == key)
        };
        let signer = match evidence.certificate.as_ref().filter(of_key) {
            Some(der) => log::Signer::Certificate(der),
            None => log::Signer::Key(key),
        };
        self.witness(trust, spoken, signature, signer, &evidence, &mut voucher)?;
        Ok(voucher)
    }

    fn vouch_by_certificate(
        &self,
        rule: &IdentityRule,
        spoken: &Spoken<'_>,
    ) -> Result<Voucher, Rejection> {
        let trust = self.trust.as_ref().ok_or(Rejection::NoCertificate)?;
        let evidence = (spoken.evidence)().map_err(Rejection::Evidence)?;
        let der = evidence
            .certificate
            .as_ref()
            .ok_or(Rejection::NoCertificate)?;
        let certificate = Certificate::from_der(der).map_err(Rejection::Certificate)?;
        let key = certificate.public_key();
        let signature =
            self.valid_signature(key, spoken)
                .ok_or_else(|| Rejection::NoKeyMatches {
                    signatures: spoken.signatures.len(),
                    tried: vec![format!("{} of the certificate", key.fingerprint())],
                })?;
        let chain = certificate
            .verify_chain(&evidence.chain, trust)
            .map_err(Rejection::Certificate)?;
        if self.needs.certificate_log {
            certificate
                .verify_sct(chain.issuer(), trust)
                .map_err(Rejection::Certificate)?;
        }
        let name = rule.check(&certificate).map_err(Rejection::Identity)?;
        let mut voucher = Voucher {
            key: key.clone(),
            identity: Some(Identity {
                name,
                issuer: certificate.oidc_issuer().unwrap_or_default().to_owned(),
            }),
            logged: Vec::new(),
            timestamps: Vec::new(),
        };
        let signer = log::Signer::Certificate(der);
        self.witness(trust, spoken, signature, signer, &evidence, &mut voucher)?;
        let mut times: Vec<_> = voucher.times().collect();
        if times.is_empty() {
            times.push(self.needs.now);
        }
        for time in times {
            certificate
                .verify_time(time)
                .and_then(|()| chain.verify_time(time))
                .map_err(Rejection::Certificate)?;
        }
        Ok(voucher)
    }

    /// Which of the signatures is one of this key.
    fn valid_signature<'a>(&self, key: &PublicKey, spoken: &Spoken<'a>) -> Option<&'a [u8]> {
        let is_valid = |signature: &&Vec<u8>| self.hashes.verify(key, spoken.message, signature);
        spoken.signatures.iter().find(is_valid).map(Vec::as_slice)
    }

    /// Verifies what logs and timestamp authorities say of the signature.
    fn witness(
        &self,
        trust: &Trust,
        spoken: &Spoken<'_>,
        signature: &[u8],
        signer: log::Signer<'_>,
        evidence: &Evidence,
        voucher: &mut Voucher,
    ) -> Result<(), Rejection> {
        let claim = Claim {
            signature,
            message: spoken.message,
            signer,
            envelope: spoken.enveloped,
        };
        for entry in &evidence.entries {
            voucher
                .logged
                .extend(log::verify(trust, entry, &claim).map_err(Rejection::Log)?);
        }
        if self.needs.log && voucher.logged.is_empty() {
            return Err(Rejection::NotLogged {
                foreign: evidence.entries.len(),
            });
        }
        let stamped = spoken.stamped.unwrap_or(signature);
        for response in &evidence.timestamps {
            voucher
                .timestamps
                .extend(timestamp::verify(trust, response, stamped).map_err(Rejection::Timestamp)?);
        }
        if self.needs.timestamp && voucher.timestamps.is_empty() {
            return Err(Rejection::NotStamped {
                foreign: evidence.timestamps.len(),
            });
        }
        // A proof has no time of its own: whoever got hold of the key of a log that was retired since could make one today.
        for entry in &voucher.logged {
            for stamp in &voucher.timestamps {
                if !entry.log_was_in_use_at(stamp.time) {
                    return Err(Rejection::RetiredLog {
                        host: entry.host.clone(),
                        time: stamp.time,
                    });
                }
            }
        }
        Ok(())
    }
}
