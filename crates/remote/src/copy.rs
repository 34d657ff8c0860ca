//! Copies blobs from one repository to another: mounted where one registry has both, else streamed through this program.
//!
//! Specification: <https://github.com/opencontainers/distribution-spec/blob/main/spec.md#mounting-a-blob-from-another-repository>. A
//! registry that does not mount says so by starting an upload. One that refuses may only not have been shown the right to read the other
//! repository, so that is no reason to give up. No more of a blob is in memory than one piece of it.

use std::sync::atomic::{AtomicBool, Ordering};

use reqwest::Method;
use tekseal_core::{Digest, Repository};

use crate::body::Content;
use crate::error::{Cause, Error};
use crate::exchange::{Call, Target, upload_location};
use crate::registry::{Registry, path};
use crate::upload::Upload;

/// Copies blobs from one repository to another.
#[derive(Debug)]
pub struct Copier<'a> {
    registry: &'a Registry,
    from: &'a Repository,
    to: &'a Repository,
    /// Whether mounting may still work: not after it did not once.
    mounts: AtomicBool,
}

/// What became of one blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Copied {
    /// The repository had it.
    AlreadyThere,
    /// The registry has it for both repositories now.
    Mounted,
    /// It was read and sent.
    Sent,
}

enum Mount {
    Done,
    /// The registry waits for the bytes instead.
    Upload(Upload),
    Refused,
}

impl Registry {
    /// Copies blobs from `from`, which may be in another registry, to `to`.
    #[must_use]
    pub fn copier<'a>(&'a self, from: &'a Repository, to: &'a Repository) -> Copier<'a> {
        Copier {
            registry: self,
            from,
            to,
            mounts: AtomicBool::new(from.registry() == to.registry()),
        }
    }
}

impl Copier<'_> {
    /// Makes sure that the repository has the blob, which has `size` bytes. Several calls may run side by side.
    ///
    /// # Errors
    /// What either registry refuses, and a blob that has another size or digest where it is read.
    pub async fn blob(&self, digest: &Digest, size: u64) -> Result<Copied, Error> {
        let mut upload = None;
        if self.mounts.load(Ordering::Relaxed) {
            match self.mount(digest).await? {
                Mount::Done => return Ok(Copied::Mounted),
                Mount::Upload(started) => upload = Some(started),
                Mount::Refused => {}
            }
            self.mounts.store(false, Ordering::Relaxed);
        }
        if self.registry.blob_exists(self.to, digest).await? {
            return Ok(Copied::AlreadyThere);
        }
        let upload = match upload {
            Some(started) => started,
            None => self.registry.start_upload(self.to).await?,
        };
        let content = Content::blob(self.from, digest, size);
        self.registry.send(self.to, upload, digest, content).await?;
        Ok(Copied::Sent)
    }

    async fn mount(&self, digest: &Digest) -> Result<Mount, Error> {
        let asked = async {
            let rest = format!("blobs/uploads/?mount={digest}&from={}", self.from.path());
            let call = Call::new(Method::POST, Target::Path(path(self.to, &rest)?));
            match self.registry.exchange.perform(self.to, &call).await {
                Ok(answer) if answer.status == 201 => Ok(Mount::Done),
                Ok(answer) => {
                    let location = upload_location(&answer.headers, &answer.url)?;
                    Ok(Mount::Upload(Upload { location }))
                }
                Err(cause) if refuses(&cause) => Ok(Mount::Refused),
                Err(cause) => Err(cause),
            }
        };
        asked.await.map_err(|cause| Error::StartUpload {
            repository: self.to.clone(),
            source: Box::new(cause),
        })
    }
}

/// Whether a registry was reached and does not want to, or was not shown enough.
fn refuses(cause: &Cause) -> bool {
    cause.status().is_some_and(|status| status < 500) && !cause.may_pass()
}
