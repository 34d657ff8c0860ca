//! The static files of Rekor v2: the checkpoint, tiles of hashes, bundles of entries.
//!
//! Specification: <https://github.com/C2SP/C2SP/blob/main/tlog-tiles.md>. The files are below `api/v2/` of the log's URL, as Rekor's own API
//! has them, or below the URL itself, where a static server has them. Which tiles are needed, and what they prove, is for
//! `tekseal-signing` to say.

use reqwest::Url;

use super::{Error, Failed, LogVersion, Rekor};
use crate::service::{Ask, Service};

/// As much as is read of a checkpoint later.
const LARGEST_CHECKPOINT: u64 = 64 << 10;
/// So many hashes or entries are in a whole tile or bundle.
const WHOLE: u16 = 256;
const HASH: u64 = 32;
/// Entries are preceded by their size in two bytes.
const LARGEST_BUNDLE: u64 = WHOLE as u64 * (2 + u16::MAX as u64);

const BYTES: &str = "application/octet-stream";
const TEXT: &str = "text/plain";

/// The static files of one log, and the checkpoint with which reading begins.
#[derive(Clone, Debug)]
pub struct Tiles {
    log: Rekor,
    /// Ends with a slash, or is empty.
    prefix: &'static str,
    checkpoint: String,
}

impl Rekor {
    /// Finds the static files of a log of the second version, and reads its checkpoint. Nothing of it is verified.
    ///
    /// # Errors
    /// [`Error::Unanswerable`] for a log of the first version, [`Error::NotThere`] where there is no checkpoint, [`Error::Read`] where it
    /// cannot be read.
    pub async fn tiles(&self) -> Result<Tiles, Error> {
        if self.version == LogVersion::V1 {
            return Err(Error::Unanswerable {
                what: "static files",
                url: self.url(),
                version: 1,
            });
        }
        for prefix in ["api/v2/", ""] {
            let url = self.service.url(&format!("{prefix}checkpoint"));
            // Rekor's own server has the call and says that others must answer it.
            let ask = Ask::get(url.clone(), TEXT, LARGEST_CHECKPOINT).answers(&[404, 501]);
            let answer = self.read(ask, || "its checkpoint".to_owned()).await?;
            if matches!(answer.status, 404 | 501) {
                continue;
            }
            let checkpoint = String::from_utf8(answer.body).map_err(|_| {
                let failed = Failed::Answer {
                    url: crate::error::shown(&url),
                    wanted: "a checkpoint".to_owned(),
                };
                self.unreadable("its checkpoint".to_owned(), failed)
            })?;
            return Ok(Tiles {
                log: self.clone(),
                prefix,
                checkpoint,
            });
        }
        Err(Error::NotThere {
            what: "checkpoint of Rekor v2",
            url: self.url(),
        })
    }
}

impl Tiles {
    /// The checkpoint as it was read.
    #[must_use]
    pub fn checkpoint(&self) -> &str {
        &self.checkpoint
    }

    /// The first `width` hashes, 1 to 256, of a tile, 32 bytes each.
    ///
    /// # Errors
    /// [`Error::Read`] where the log has no such tile, or another one.
    pub async fn tile(&self, level: u8, index: u64, width: u16) -> Result<Vec<u8>, Error> {
        let folder = format!("tile/{level}");
        let limit = HASH * u64::from(WHOLE);
        let mut hashes = self.file(&folder, index, width, limit).await?;
        let wanted = usize::from(width) * 32;
        if hashes.len() < wanted {
            let failed = Failed::Answer {
                url: self.log.url(),
                wanted: format!("a tile of {width} hashes"),
            };
            return Err(self
                .log
                .unreadable(format!("the tile {folder}/{index}"), failed));
        }
        hashes.truncate(wanted);
        Ok(hashes)
    }

    /// A bundle with the first `width` entries, 1 to 256, or more, each behind its size in two bytes.
    ///
    /// # Errors
    /// [`Error::Read`] where the log has no such bundle.
    pub async fn entries(&self, index: u64, width: u16) -> Result<Vec<u8>, Error> {
        self.file("tile/entries", index, width, LARGEST_BUNDLE)
            .await
    }

    /// A file with `width` items, or the whole one: what is not whole may be taken away once it is.
    async fn file(
        &self,
        folder: &str,
        index: u64,
        width: u16,
        limit: u64,
    ) -> Result<Vec<u8>, Error> {
        let whole = format!("{}{folder}/{}", self.prefix, digits(index));
        let what = || format!("the file {folder}/{index}");
        let url = |path: &str| -> Url { Service::url(&self.log.service, path) };
        if width < WHOLE {
            let ask = Ask::get(url(&format!("{whole}.p/{width}")), BYTES, limit).answers(&[404]);
            let answer = self.log.read(ask, what).await?;
            if answer.status != 404 {
                return Ok(answer.body);
            }
        }
        let answer = self.log.read(Ask::get(url(&whole), BYTES, limit), what);
        Ok(answer.await?.body)
    }
}

/// A number in groups of three digits, with an `x` before all but the last: 1234067 is `x001/x234/067`.
fn digits(index: u64) -> String {
    let mut text = format!("{:03}", index % 1000);
    let mut rest = index / 1000;
    while rest > 0 {
        text = format!("x{:03}/{text}", rest % 1000);
        rest /= 1000;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_in_groups() {
        for (index, text) in [
            (0, "000"),
            (7, "007"),
            (999, "999"),
            (1000, "x001/000"),
            (1_234_067, "x001/x234/067"),
            (u64::MAX, "x018/x446/x744/x073/x709/x551/615"),
        ] {
            assert_eq!(digits(index), text);
        }
    }
}
