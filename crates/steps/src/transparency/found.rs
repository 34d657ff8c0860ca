//! Asks a log for an entry, and checks that what comes back is about what was asked.

use std::collections::BTreeMap;

use anyhow::anyhow;
use tekseal_core::digest::hex;
use tekseal_core::evidence::{InclusionProof, LogEntry};
use tekseal_remote::log::{EntryUuid, LogVersion, Rekor};
use tekseal_signing::log::{self, Summary, tiles};

use crate::Failure;

/// Which entry is asked for.
#[derive(Debug)]
pub(super) enum Asked {
    Index(u64),
    Uuid(EntryUuid),
}

/// An entry as a log gave it. Nothing of it is verified, but it is about what was asked, and what it is named by is the hash of its body.
#[derive(Debug)]
pub(super) struct Found {
    /// The URL of the log.
    pub(super) log: String,
    /// As the log has it, or of a log of the second version the hash of the leaf.
    pub(super) uuid: EntryUuid,
    /// Without the id of the log where that is of the second version: its files do not tell it.
    pub(super) entry: LogEntry,
    pub(super) summary: Summary,
}

impl Found {
    /// Asks the log.
    ///
    /// Exit 1 where there is no such entry, or another one comes; 3 where no entry comes.
    pub(super) async fn ask(rekor: &Rekor, asked: &Asked) -> Result<Self, Failure> {
        let found = match (asked, rekor.version()) {
            (Asked::Index(index), LogVersion::V2) => Self::in_tiles(rekor, *index).await?,
            (Asked::Index(index), LogVersion::V1) => {
                Self::read(rekor, &rekor.entry_at(*index).await?)?
            }
            (Asked::Uuid(uuid), _) => Self::read(rekor, &rekor.entry(uuid).await?)?,
        };
        found.is_about(asked)?;
        Ok(found)
    }

    /// An answer of Rekor v1.
    fn read(rekor: &Rekor, answer: &[u8]) -> Result<Self, Failure> {
        let url = rekor.url();
        let no_entry = |e: anyhow::Error| {
            Failure::outside(e).context(format!("the log {url} did not answer with an entry"))
        };
        let (uuid, entry) = LogEntry::of_rekor_v1(answer).map_err(|e| no_entry(e.into()))?;
        let uuid: EntryUuid = uuid.parse().map_err(|e| no_entry(anyhow::Error::from(e)))?;
        let summary = Summary::of(&entry.body).map_err(|e| no_entry(e.into()))?;
        Ok(Self {
            log: url.clone(),
            uuid,
            entry,
            summary,
        })
    }

    /// Out of the files of Rekor v2, with the proof that their hashes give.
    async fn in_tiles(rekor: &Rekor, index: u64) -> Result<Self, Failure> {
        let url = rekor.url();
        let wrong = |e: anyhow::Error| {
            Failure::outside(e).context(format!("the files of the log {url} are damaged"))
        };
        let files = rekor.tiles().await?;
        let head = log::tree_head(files.checkpoint()).map_err(|e| wrong(e.into()))?;
        let outside =
            |e: tiles::Error| Failure::no(e).context(format!("the log {url} has no such entry"));
        let (bundle, width, position) = tiles::place(index, head.size).map_err(outside)?;
        let bundle = files.entries(bundle, width).await?;
        let body = tiles::entry(&bundle, position).map_err(|e| wrong(e.into()))?;
        let mut contents = BTreeMap::new();
        for tile in tiles::needed(index, head.size).map_err(outside)? {
            let content = files.tile(tile.level, tile.index, tile.width).await?;
            contents.insert(tile, content);
        }
        let hashes = tiles::path(index, head.size, &contents).map_err(|e| wrong(e.into()))?;
        let summary = Summary::of(&body).map_err(|e| wrong(e.into()))?;
        let uuid = hex(&log::leaf_hash(&body)).parse();
        Ok(Self {
            log: url.clone(),
            uuid: uuid.map_err(|e| wrong(anyhow::Error::from(e)))?,
            entry: LogEntry {
                body,
                log_id: Vec::new(),
                log_index: index,
                integrated_time: None,
                kind_version: None,
                promise: None,
                inclusion: Some(InclusionProof {
                    log_index: index,
                    tree_size: head.size,
                    root_hash: head.root.to_vec(),
                    hashes,
                    checkpoint: files.checkpoint().to_owned(),
                }),
            },
            summary,
        })
    }

    fn is_about(&self, asked: &Asked) -> Result<(), Failure> {
        let log = &self.log;
        let leaf = hex(&log::leaf_hash(&self.entry.body));
        if leaf != self.uuid.leaf() {
            return Err(Failure::no(anyhow!(
                "the log {log} gave an entry as {}, whose body has the leaf hash {leaf}",
                self.uuid
            )));
        }
        let found = self.entry.log_index;
        match asked {
            Asked::Index(index) if *index != found => Err(Failure::no(anyhow!(
                "the log {log} was asked for the entry with the index {index} and gave the one with the index {found}"
            ))),
            Asked::Uuid(uuid) if !uuid.is_same(&self.uuid) => Err(Failure::no(anyhow!(
                "the log {log} was asked for the entry {uuid} and gave the entry {}",
                self.uuid
            ))),
            Asked::Index(_) | Asked::Uuid(_) => Ok(()),
        }
    }
}
