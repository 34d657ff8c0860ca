//! The search index of Rekor v1: which entries have this hash, key or address.
//!
//! Specification: `POST /api/v1/index/retrieve` of <https://github.com/sigstore/rekor/blob/main/openapi.yaml>. An index is optional, and no
//! proof of anything: it may name entries of other things, and leave some out.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::{EntryUuid, Error, Failed, JSON, Rekor};
use crate::service::Ask;

/// The most bytes of all answers together: fifty thousand names.
const LARGEST: u64 = 4 << 20;

/// What to look for: entries that have one of these.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query {
    /// A hash with its algorithm, `sha256:…`: of what was signed, of an envelope or its payload, of a subject.
    pub hash: Option<String>,
    /// An e-mail address, or another name that a certificate has.
    pub email: Option<String>,
    /// A public key, PEM.
    pub public_key: Option<String>,
}

impl Query {
    /// The body of the request.
    fn to_json(&self) -> Value {
        let mut query = json!({"operator": "or"});
        if let Some(hash) = &self.hash {
            query["hash"] = json!(hash);
        }
        if let Some(email) = &self.email {
            query["email"] = json!(email);
        }
        if let Some(pem) = &self.public_key {
            query["publicKey"] = json!({"format": "x509", "content": STANDARD.encode(pem)});
        }
        query
    }
}

impl Rekor {
    /// The names of entries that the index has for any of the queries, in its order, each once; none where it knows of none.
    ///
    /// # Errors
    /// [`Error::Unanswerable`] for a log of the second version, [`Error::NotThere`] where there is no index, [`Error::Read`] where the log
    /// does not answer with names of entries, or with more than 4 MiB of them in all.
    pub async fn search(&self, queries: &[Query]) -> Result<Vec<EntryUuid>, Error> {
        self.needs_v1("search")?;
        let mut left = LARGEST;
        let mut each = Vec::new();
        let mut seen = BTreeSet::new();
        for query in queries {
            let body = self.ask_index(query, left).await?;
            left = left.saturating_sub(body.len() as u64);
            let found = read(&body).ok_or_else(|| {
                let failed = Failed::Answer {
                    url: self.url(),
                    wanted: "a list of UUIDs".to_owned(),
                };
                self.unreadable("its search index".to_owned(), failed)
            })?;
            each.extend(found.into_iter().filter(|uuid| seen.insert(uuid.clone())));
        }
        Ok(each)
    }

    /// What the index answers, of at most `limit` bytes.
    async fn ask_index(&self, query: &Query, limit: u64) -> Result<Vec<u8>, Error> {
        let url = self.service.url("api/v1/index/retrieve");
        let body = query.to_json().to_string();
        let ask = Ask::post(url, JSON, body.as_bytes(), JSON, limit);
        let answer = match self.read(ask, || "its search index".to_owned()).await {
            Err(error) if error.status() == Some(404) => {
                return Err(Error::NotThere {
                    what: "search index of Rekor v1",
                    url: self.url(),
                });
            }
            answer => answer?,
        };
        Ok(answer.body)
    }
}

fn read(body: &[u8]) -> Option<Vec<EntryUuid>> {
    let texts: Vec<String> = serde_json::from_slice(body).ok()?;
    texts.iter().map(|text| text.parse().ok()).collect()
}
