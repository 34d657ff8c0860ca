//! Uploads of blobs: started by POST, and finished by one PUT with all of the bytes.
//!
//! An upload may be started before it is known what will be sent, and one that was lost is started again.

use bytes::Bytes;
use reqwest::{Method, Url};
use tekseal_core::{Digest, Repository};
use tokio::time::Instant;

use crate::body::Content;
use crate::error::{Cause, Error, shown};
use crate::exchange::{Call, Target, upload_location};
use crate::registry::{Registry, path};
use crate::retry::Patience;

/// How often the time that a long upload took does not count as time for trying again.
const MOST_LONG_RETRIES: u32 = 3;

/// An upload that was started and waits for its bytes.
#[derive(Debug)]
pub struct Upload {
    pub(crate) location: Url,
}

impl Registry {
    /// Starts the upload of a blob, which may be decided later.
    pub async fn start_upload(&self, repository: &Repository) -> Result<Upload, Error> {
        let mut patience = self.exchange.patience();
        self.open(repository, &mut patience)
            .await
            .map_err(|cause| Error::StartUpload {
                repository: repository.clone(),
                source: Box::new(cause),
            })
    }

    /// Sends the bytes of a started upload. If that was lost, another one is started.
    pub async fn finish_upload(
        &self,
        repository: &Repository,
        upload: Upload,
        digest: &Digest,
        bytes: impl Into<Bytes>,
    ) -> Result<(), Error> {
        self.send(repository, upload, digest, Content::Held(bytes.into()))
            .await
    }

    /// The same for bytes that need not be in memory.
    pub(crate) async fn send(
        &self,
        repository: &Repository,
        upload: Upload,
        digest: &Digest,
        content: Content,
    ) -> Result<(), Error> {
        self.fill(repository, upload, digest, content)
            .await
            .map_err(|cause| Error::PutBlob {
                repository: repository.clone(),
                digest: digest.clone(),
                source: Box::new(cause),
            })
    }

    pub(crate) async fn open(
        &self,
        repository: &Repository,
        patience: &mut Patience,
    ) -> Result<Upload, Cause> {
        let call = Call::new(
            Method::POST,
            Target::Path(path(repository, "blobs/uploads/")?),
        );
        let answer = self.exchange.persist(repository, &call, patience).await?;
        Ok(Upload {
            location: upload_location(&answer.headers, &answer.url)?,
        })
    }

    /// Sends `content`, whose digest this is, as the bytes of an upload.
    async fn fill(
        &self,
        repository: &Repository,
        upload: Upload,
        digest: &Digest,
        content: Content,
    ) -> Result<(), Cause> {
        let mut patience = self.exchange.patience();
        let mut upload = upload;
        let mut long_retries = MOST_LONG_RETRIES;
        loop {
            let began = Instant::now();
            let mut url = upload.location;
            url.query_pairs_mut().append_pair("digest", digest.as_str());
            let mut call = Call::new(Method::PUT, Target::Url(url));
            call.content = Some(("application/octet-stream".to_owned(), content.clone()));
            match self.exchange.attempt(repository, &call).await {
                Ok(answer) if answer.status != 202 => return Ok(()),
                Ok(answer) => {
                    // More bytes are expected, but there are none: this is another protocol.
                    return Err(Cause::Location {
                        url: shown(&answer.url),
                    });
                }
                Err(cause) => {
                    if content.is_streamed() && long_retries > 0 {
                        // Sending for minutes is no waiting.
                        patience.extend(began.elapsed());
                        long_retries -= 1;
                    }
                    match content.trouble() {
                        // Whatever became of the request: without its content it could not succeed.
                        Some(trouble) => patience.wait(trouble).await?,
                        None if is_lost(&cause) => patience.wait_for(cause).await?,
                        None => patience.wait(cause).await?,
                    }
                }
            }
            upload = self.open(repository, &mut patience).await?;
        }
    }
}

/// Whether a PUT failed for what happened to its upload, not to its content: the session is gone, or several clients
/// sent the same blob at the same time and one moved the other's bytes away.
fn is_lost(cause: &Cause) -> bool {
    let session = matches!(
        cause,
        Cause::Absent { .. } | Cause::Status { status: 416, .. }
    );
    let codes = [
        "DIGEST_INVALID",
        "BLOB_UPLOAD_INVALID",
        "BLOB_UPLOAD_UNKNOWN",
    ];
    session
        || cause
            .detail()
            .is_some_and(|detail| codes.iter().any(|code| detail.has_code(code)))
}
