//! Talks to one transparency log: adds entries, and reads them. What a log answers is handed on as it came; `tekseal-signing` verifies it.
//!
//! Specifications: Rekor v1 <https://github.com/sigstore/rekor/blob/main/openapi.yaml>, Rekor v2
//! <https://github.com/sigstore/rekor-tiles/blob/main/CLIENTS.md>.
//!
//! ```text
//!  add ── 201 ─▶ the answer with the entry        v1: {"<UUID>": LogEntry}, v2: TransparencyLogEntry
//!   └──── 409 ─▶ v1: GET of the entry that Location names · v2: AlreadyLogged, nothing can be asked for
//! ```

mod search;
mod tiles;
mod uuid;

use reqwest::Url;
use serde::Deserialize;
use tekseal_core::config::LogApi;

pub use self::search::Query;
pub use self::tiles::Tiles;
pub use self::uuid::{EntryUuid, NotUuid};
pub use crate::service::{Error, Failed, Options};

use crate::error::{Cause, shown};
use crate::exchange::location;
use crate::service::{Answer, Ask, Kind, Service};

/// The most bytes of an answer with an entry: a body may hold a certificate and a hash, not what was signed.
const LARGEST_ADDED: u64 = 1 << 20;
/// The same for what is read, where Rekor v1 gives along the attestation that it keeps.
const LARGEST_READ: u64 = 4 << 20;
const LARGEST_KEY: u64 = 64 << 10;

const JSON: &str = "application/json";
const PEM: &str = "application/x-pem-file";

/// The version of a log's API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogVersion {
    /// Rekor v1: promises, a search, entries by UUID.
    V1,
    /// Rekor v2 (rekor-tiles): proofs alone, and static files to read.
    V2,
}

impl From<LogApi> for LogVersion {
    fn from(api: LogApi) -> Self {
        match api {
            LogApi::V1 => Self::V1,
            LogApi::V2 => Self::V2,
        }
    }
}

/// One log. Clones share connections.
#[derive(Clone, Debug)]
pub struct Rekor {
    service: Service,
    version: LogVersion,
}

/// What a log answered to a new entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Added {
    /// The exact body: of Rekor v1 `{"<UUID>": LogEntry}`, of Rekor v2 a `TransparencyLogEntry`. Nothing of it is verified.
    pub answer: Vec<u8>,
    /// Whether the log had the entry before.
    pub existed: bool,
}

impl Rekor {
    /// The log below `url`, such as `https://rekor.sigstore.dev`. Nothing is sent yet.
    ///
    /// # Errors
    /// [`Error::Url`] where that is no URL of a service.
    pub fn new(url: &str, version: LogVersion, options: &Options) -> Result<Self, Error> {
        Ok(Self {
            service: Service::new(Kind::Log, url, options)?,
            version,
        })
    }

    /// The version of its API.
    #[must_use]
    pub fn version(&self) -> LogVersion {
        self.version
    }

    /// Its URL, for people.
    #[must_use]
    pub fn url(&self) -> String {
        self.service.shown()
    }

    /// Adds an entry. `proposed` is the JSON that the log's API wants; it is sent as it is.
    ///
    /// Guarantees: after an answer the log says that it has the entry, once, also where the request had to be sent again.
    ///
    /// # Errors
    /// [`Error::Add`] where the log refuses, does not answer, or answers too much. [`Error::Existing`] where a log of the first version
    /// says that it has the entry and does not give it, [`Error::AlreadyLogged`] where one of the second version has it.
    pub async fn add(&self, proposed: &[u8]) -> Result<Added, Error> {
        let path = match self.version {
            LogVersion::V1 => ENTRIES,
            LogVersion::V2 => "api/v2/log/entries",
        };
        let url = self.service.url(path);
        // A log v2 gives up a whole batch (499) when somebody else in it hangs up.
        let ask = Ask::post(url, JSON, proposed, JSON, LARGEST_ADDED)
            .answers(&[409])
            .passing(&[499]);
        let failed = |source| Error::Add {
            url: self.url(),
            source: Box::new(source),
        };
        let answer = self.service.ask(&ask).await.map_err(failed)?;
        match (answer.status, self.version) {
            (409, LogVersion::V1) => {
                let uuid = existing(&answer, ask.url()).map_err(failed)?;
                self.existing(&uuid).await
            }
            (409, LogVersion::V2) => Err(Error::AlreadyLogged {
                url: self.url(),
                index: existing_index(&answer.body),
            }),
            _ => Ok(Added {
                answer: answer.body,
                existed: false,
            }),
        }
    }

    /// The key with which the log signs, PEM. Whoever believes a log on its own word believes nobody: this is for showing.
    ///
    /// # Errors
    /// [`Error::Unanswerable`] for a log of the second version, [`Error::Read`] where the log does not answer with it.
    pub async fn public_key(&self) -> Result<Vec<u8>, Error> {
        self.needs_v1("call for its key")?;
        let url = self.service.url("api/v1/log/publicKey");
        let answer = self.read(Ask::get(url, PEM, LARGEST_KEY), || "its key".to_owned());
        Ok(answer.await?.body)
    }

    /// The entry with this name: the exact body `{"<UUID>": LogEntry}`, of which nothing is verified, not even that it is that entry.
    ///
    /// # Errors
    /// [`Error::Unanswerable`] for a log of the second version, [`Error::Read`] where the log has no such entry or does not answer with it.
    pub async fn entry(&self, uuid: &EntryUuid) -> Result<Vec<u8>, Error> {
        self.needs_v1("entries by UUID")?;
        let ask = Ask::get(self.entry_url(uuid), JSON, LARGEST_READ);
        let answer = self.read(ask, || format!("the entry {uuid}"));
        Ok(answer.await?.body)
    }

    /// The entry with this index, which counts over all trees of the log, as [`entry`](Self::entry).
    ///
    /// # Errors
    /// As [`entry`](Self::entry). Logs of the second version have [`tiles`](Self::tiles).
    pub async fn entry_at(&self, index: u64) -> Result<Vec<u8>, Error> {
        self.needs_v1("entries with their proofs")?;
        let mut url = self.service.url(ENTRIES);
        url.set_query(Some(&format!("logIndex={index}")));
        let ask = Ask::get(url, JSON, LARGEST_READ);
        let answer = self.read(ask, || format!("the entry with the index {index}"));
        Ok(answer.await?.body)
    }

    /// The entry that the log says it has. It may have been taken in a moment ago by somebody else, and not be in the tree yet.
    async fn existing(&self, uuid: &EntryUuid) -> Result<Added, Error> {
        let url = self.entry_url(uuid);
        let ask = Ask::get(url, JSON, LARGEST_READ).passing(&[404]);
        let answer = self.service.ask(&ask).await;
        let answer = answer.map_err(|source| Error::Existing {
            url: self.url(),
            uuid: uuid.to_string(),
            source: Box::new(source),
        })?;
        Ok(Added {
            answer: answer.body,
            existed: true,
        })
    }

    fn entry_url(&self, uuid: &EntryUuid) -> Url {
        self.service.url(&format!("{ENTRIES}/{uuid}"))
    }

    fn needs_v1(&self, what: &'static str) -> Result<(), Error> {
        match self.version {
            LogVersion::V1 => Ok(()),
            LogVersion::V2 => Err(Error::Unanswerable {
                what,
                url: self.url(),
                version: 2,
            }),
        }
    }

    async fn read(&self, ask: Ask, what: impl FnOnce() -> String) -> Result<Answer, Error> {
        self.service
            .ask(&ask)
            .await
            .map_err(|source| self.unreadable(what(), source))
    }

    fn unreadable(&self, what: String, source: impl Into<Failed>) -> Error {
        Error::Read {
            what,
            url: self.url(),
            source: Box::new(source.into()),
        }
    }
}

const ENTRIES: &str = "api/v1/log/entries";

/// The entry that an answer to `url` names by its Location. Of the place only the UUID is used.
fn existing(answer: &Answer, url: &Url) -> Result<EntryUuid, Failed> {
    let target = location(&answer.headers, url)?;
    if target.origin() != url.origin() {
        return Err(Failed::Elsewhere {
            url: shown(url),
            target: shown(&target),
        });
    }
    let uuid = target
        .path()
        .rsplit_once('/')
        .filter(|(place, _)| place.ends_with(ENTRIES))
        .and_then(|(_, uuid)| uuid.parse().ok());
    uuid.ok_or_else(|| Cause::Location { url: shown(url) }.into())
}

/// The index in «an equivalent entry already exists in the transparency log with index 7».
fn existing_index(body: &[u8]) -> Option<u64> {
    #[derive(Deserialize)]
    struct Refusal {
        message: String,
    }
    let refusal: Refusal = serde_json::from_slice(body).ok()?;
    let (_, index) = refusal.message.rsplit_once(" with index ")?;
    index.parse().ok()
}
