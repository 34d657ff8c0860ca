//! Cloud KMS itself.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::{Google, Key, SCOPE, Version, kind_of, refusal};
use crate::clouds::form::pairs;
use crate::clouds::key::TestKey;
use crate::clouds::server::{bearer, json_answer};
use crate::http::{Answer, Request};

impl Google {
    pub(super) fn kms(&mut self, request: &Request, path: &str) -> Answer {
        if self.tokens.get(bearer(request)) != Some(&SCOPE) {
            return refusal(
                401,
                "UNAUTHENTICATED",
                "Request had invalid authentication credentials.",
            );
        }
        let query = pairs(request.query());
        let body = || serde_json::from_slice::<Value>(&request.body).expect("it is JSON");
        let (parent, last) = path.rsplit_once('/').unwrap_or_default();
        match (request.method.as_str(), last) {
            ("GET", "cryptoKeyVersions") => self.list(parent, &query),
            ("GET", "publicKey") => self.public_key(parent),
            ("GET", _) => self.look(path),
            ("POST", "keyRings") => self.make_ring(&format!("{path}/{}", query["keyRingId"])),
            ("POST", "cryptoKeys") => {
                self.make_key(parent, &format!("{path}/{}", query["cryptoKeyId"]), &body())
            }
            ("POST", "cryptoKeyVersions") => self.make_version(parent),
            ("POST", _) => match path.strip_suffix(":asymmetricSign") {
                Some(name) => self.sign(name, &body()),
                None => refusal(404, "NOT_FOUND", "no such method"),
            },
            _ => refusal(404, "NOT_FOUND", "no such method"),
        }
    }

    fn list(&mut self, resource: &str, query: &BTreeMap<String, String>) -> Answer {
        let Some(key) = self.keys.get(resource) else {
            return not_found(resource);
        };
        let wanted = query.get("filter").map(|filter| {
            let state = filter.strip_prefix("state=");
            state.expect("no other filter is known here").to_owned()
        });
        let found: Vec<_> = (1..=key.versions.len())
            .filter(|number| {
                let state = key.versions[number - 1].state;
                wanted.as_deref().is_none_or(|wanted| wanted == state)
            })
            .map(|number| key.describe(resource, number))
            .collect();
        let start: usize = query
            .get("pageToken")
            .map_or(0, |t| t.parse().expect("ours"));
        let end = found.len().min(start + self.page);
        let mut answer = json!({"totalSize": found.len()});
        if start < end {
            answer["cryptoKeyVersions"] = found[start..end].into();
        }
        if end < found.len() {
            answer["nextPageToken"] = end.to_string().into();
        }
        json_answer(200, &answer)
    }

    fn look(&mut self, name: &str) -> Answer {
        let Some((resource, number)) = self.version(name) else {
            return not_found(name);
        };
        let key = self.keys.get_mut(&resource).expect("just found");
        let version = &mut key.versions[number - 1];
        if version.state == "PENDING_GENERATION" {
            match version.looks {
                0 => version.state = "ENABLED",
                _ => version.looks -= 1,
            }
        }
        json_answer(200, &key.describe(&resource, number))
    }

    /// The key and the number of a version.
    fn version(&self, name: &str) -> Option<(String, usize)> {
        let (resource, number) = name.split_once("/cryptoKeyVersions/")?;
        let number: usize = number.parse().ok()?;
        let key = self.keys.get(resource)?;
        (1..=key.versions.len())
            .contains(&number)
            .then(|| (resource.to_owned(), number))
    }

    /// A version that is enabled and may sign.
    fn usable(&self, name: &str) -> Result<(&Key, &Version), Answer> {
        let (resource, number) = self.version(name).ok_or_else(|| not_found(name))?;
        let key = &self.keys[&resource];
        let version = &key.versions[number - 1];
        if key.purpose != "ASYMMETRIC_SIGN" {
            let text = format!(
                "The request cannot be fulfilled. Resource {resource} has purpose: {}",
                key.purpose
            );
            return Err(refusal(400, "INVALID_ARGUMENT", &text));
        }
        if version.state != "ENABLED" {
            let text = format!(
                "{name} is not enabled, current state is: {}.",
                version.state
            );
            return Err(refusal(400, "FAILED_PRECONDITION", &text));
        }
        Ok((key, version))
    }

    fn public_key(&self, name: &str) -> Answer {
        let (key, version) = match self.usable(name) {
            Ok(found) => found,
            Err(answer) => return answer,
        };
        let pem = version.key.public_pem();
        json_answer(
            200,
            &json!({
                "name": name,
                "algorithm": key.algorithm,
                "pem": pem,
                "pemCrc32c": crc32c(pem.as_bytes()).to_string(),
                "protectionLevel": "SOFTWARE",
                "publicKeyFormat": "PEM",
            }),
        )
    }

    fn sign(&self, name: &str, body: &Value) -> Answer {
        let (key, version) = match self.usable(name) {
            Ok(found) => found,
            Err(answer) => return answer,
        };
        let invalid = |what: &str| refusal(400, "INVALID_ARGUMENT", what);
        let is_whole = key.algorithm == "EC_SIGN_ED25519";
        let hash = match key.algorithm.rsplit_once("_SHA") {
            Some((_, bits)) => format!("sha{bits}"),
            None => "sha256".to_owned(),
        };
        let (input, sum) = match is_whole {
            true => (&body["data"], &body["dataCrc32c"]),
            false => (&body["digest"][&hash], &body["digestCrc32c"]),
        };
        let fields = body.as_object().map_or(0, |fields| fields.len());
        let Some(input) = input.as_str().filter(|_| fields == 2) else {
            return invalid("The digest must be of the algorithm of the version.");
        };
        let Ok(input) = STANDARD.decode(input) else {
            return invalid("no base64");
        };
        if !is_whole && input.len() * 8 != hash[3..].parse::<usize>().expect("a number") {
            return invalid("The digest has another length.");
        }
        if is_whole && input.len() > 65536 {
            return invalid("The data is too long.");
        }
        if sum.as_str() != Some(crc32c(&input).to_string().as_str()) {
            return invalid(
                "The checksum in field digest_crc32c did not match the data in field digest.",
            );
        }
        let signature = version.key.sign(&hash, &input);
        let mut answer = json!({
            "name": name,
            "signature": STANDARD.encode(&signature),
            "signatureCrc32c": crc32c(&signature).to_string(),
            "protectionLevel": "SOFTWARE",
        });
        let verified = match is_whole {
            true => "verifiedDataCrc32c",
            false => "verifiedDigestCrc32c",
        };
        answer[verified] = true.into();
        json_answer(200, &answer)
    }

    fn make_ring(&mut self, resource: &str) -> Answer {
        match self.rings.insert(resource.to_owned()) {
            true => json_answer(200, &json!({"name": resource})),
            false => refusal(409, "ALREADY_EXISTS", "KeyRing already exists."),
        }
    }

    fn make_key(&mut self, ring: &str, resource: &str, body: &Value) -> Answer {
        if !self.rings.contains(ring) {
            return not_found(ring);
        }
        if self.keys.contains_key(resource) {
            return refusal(409, "ALREADY_EXISTS", "CryptoKey already exists.");
        }
        let algorithm = body["versionTemplate"]["algorithm"].as_str();
        let (Some(algorithm), true) = (algorithm, body["purpose"] == "ASYMMETRIC_SIGN") else {
            return refusal(400, "INVALID_ARGUMENT", "no purpose, or no algorithm");
        };
        let key = Key {
            purpose: "ASYMMETRIC_SIGN",
            algorithm: algorithm.to_owned(),
            versions: Vec::new(),
        };
        self.keys.insert(resource.to_owned(), key);
        self.make_version(resource);
        json_answer(
            200,
            &json!({"name": resource, "purpose": "ASYMMETRIC_SIGN"}),
        )
    }

    fn make_version(&mut self, resource: &str) -> Answer {
        let looks = self.looks;
        let Some(key) = self.keys.get_mut(resource) else {
            return not_found(resource);
        };
        key.versions.push(Version {
            state: "PENDING_GENERATION",
            key: TestKey::make(kind_of(&key.algorithm)),
            looks,
        });
        json_answer(200, &key.describe(resource, key.versions.len()))
    }
}

impl Key {
    fn describe(&self, resource: &str, number: usize) -> Value {
        json!({
            "name": format!("{resource}/cryptoKeyVersions/{number}"),
            "state": self.versions[number - 1].state,
            "algorithm": self.algorithm,
            "protectionLevel": "SOFTWARE",
            "createTime": format!("2026-01-0{}T00:00:00.123456789Z", number.min(9)),
        })
    }
}

fn not_found(name: &str) -> Answer {
    refusal(404, "NOT_FOUND", &format!("{name} not found."))
}

/// RFC 3720, bit by bit.
fn crc32c(bytes: &[u8]) -> u32 {
    let mut sum = u32::MAX;
    for byte in bytes {
        sum ^= u32::from(*byte);
        for _ in 0..8 {
            sum = match sum & 1 {
                1 => (sum >> 1) ^ 0x82f6_3b78,
                _ => sum >> 1,
            };
        }
    }
    sum ^ u32::MAX
}
