//! What a log of the second version has already, and does not hand out again: read and proven out of its static files.
//!
//! ```text
//!   index ─▶ checkpoint ─▶ bundle of entries ─▶ body ┐
//!                      └─▶ tiles of hashes ───▶ path ┴▶ LogEntry, to be judged as any answer
//! ```

use std::collections::BTreeMap;

use tekseal_core::evidence::{InclusionProof, LogEntry};
use tekseal_remote::{Rekor, log as remote};
use tekseal_signing::Trust;
use tekseal_signing::log::{self, CheckpointError, tiles};

/// Why an entry cannot be read out of the files of its log.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file.
    #[error("its static files cannot be read")]
    Remote(#[from] remote::Error),
    /// The checkpoint.
    #[error("its checkpoint is not believed")]
    Checkpoint(#[from] CheckpointError),
    /// The checkpoint is by somebody else.
    #[error("its checkpoint is signed by no log of the trusted root")]
    Foreign,
    /// The files are not those of the tree.
    #[error("its static files are not those of the tree that its checkpoint has")]
    Tiles(#[from] tiles::Error),
}

/// The entry at this position. Nothing of it is verified but who signed the checkpoint.
pub(super) async fn read(rekor: &Rekor, index: u64, trust: &Trust) -> Result<LogEntry, Error> {
    let files = rekor.tiles().await?;
    let head = log::tree_head(files.checkpoint())?;
    let log_id = log::signer_of_checkpoint(trust, files.checkpoint())?.ok_or(Error::Foreign)?;
    let (bundle, width, position) = tiles::place(index, head.size)?;
    let body = tiles::entry(&files.entries(bundle, width).await?, position)?;
    let mut content = BTreeMap::new();
    for tile in tiles::needed(index, head.size)? {
        let hashes = files.tile(tile.level, tile.index, tile.width).await?;
        content.insert(tile, hashes);
    }
    Ok(LogEntry {
        body,
        log_id,
        log_index: index,
        integrated_time: None,
        kind_version: Some(("hashedrekord".to_owned(), "0.0.2".to_owned())),
        promise: None,
        inclusion: Some(InclusionProof {
            log_index: index,
            tree_size: head.size,
            root_hash: head.root.to_vec(),
            hashes: tiles::path(index, head.size, &content)?,
            checkpoint: files.checkpoint().to_owned(),
        }),
    })
}
