//! What a request sends: bytes that are in memory, or a stream that is made anew for each attempt.
//!
//! A stream is checked while it passes: its size is announced before its first byte, and its last bytes are held back until the digest
//! is known to be right, so that a registry never gets another content to the end.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use reqwest::{Body, Method};
use tekseal_core::digest::Hasher;
use tekseal_core::{Digest, Repository};
use tokio::task::{JoinHandle, spawn_blocking};

use crate::error::{Cause, shown};
use crate::exchange::{Call, Exchange, Target};
use crate::registry::path;

/// What is sent.
#[derive(Clone, Debug)]
pub(crate) enum Content {
    /// Bytes in memory.
    Held(Bytes),
    /// A blob that another repository has.
    Blob(Arc<RemoteBlob>),
    /// The bytes of a file.
    File(FileBlob),
}

/// A blob in a file, for what is too large to be held in memory. The file must not change any more; several readers do not disturb each
/// other.
#[derive(Clone, Debug)]
pub struct FileBlob {
    file: Arc<File>,
    digest: Digest,
    size: u64,
}

/// A blob where it is read from.
#[derive(Debug)]
pub(crate) struct RemoteBlob {
    from: Repository,
    digest: Digest,
    size: u64,
    /// Why it could not be read to the end: what the request that sends it says of that is not the reason.
    trouble: Mutex<Option<Cause>>,
}

impl Content {
    /// A blob of `from`.
    pub(crate) fn blob(from: &Repository, digest: &Digest, size: u64) -> Self {
        Self::Blob(Arc::new(RemoteBlob {
            from: from.clone(),
            digest: digest.clone(),
            size,
            trouble: Mutex::default(),
        }))
    }

    /// How many bytes it has.
    pub(crate) fn size(&self) -> u64 {
        match self {
            Self::Held(bytes) => bytes.len() as u64,
            Self::Blob(blob) => blob.size,
            Self::File(blob) => blob.size,
        }
    }

    /// Whether sending it takes its time.
    pub(crate) fn is_streamed(&self) -> bool {
        match self {
            Self::Held(_) => false,
            Self::Blob(_) | Self::File(_) => true,
        }
    }

    /// Why it could not be read when it was sent last, if that is why the request failed.
    pub(crate) fn trouble(&self) -> Option<Cause> {
        match self {
            Self::Held(_) | Self::File(_) => None,
            Self::Blob(blob) => blob.trouble().take().map(|source| Cause::Content {
                source: Box::new(source),
            }),
        }
    }
}

impl FileBlob {
    /// The first `size` bytes of `file`, which have this digest. That they do is not checked here, but by the registry that gets them.
    #[must_use]
    pub fn new(file: File, digest: Digest, size: u64) -> Self {
        Self {
            file: Arc::new(file),
            digest,
            size,
        }
    }

    /// Digest of its bytes.
    #[must_use]
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// How many bytes it has.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }
}

impl RemoteBlob {
    fn trouble(&self) -> std::sync::MutexGuard<'_, Option<Cause>> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn call(&self) -> Result<Call, Cause> {
        let path = path(&self.from, &format!("blobs/{}", self.digest))?;
        let mut call = Call::new(Method::GET, Target::Path(path));
        call.streams = Some(self.size);
        Ok(call)
    }
}

impl Exchange {
    /// The body for one attempt to send `content`.
    pub(crate) async fn body(&self, content: &Content) -> Result<Body, Cause> {
        match content {
            Content::Held(bytes) => Ok(Body::from(bytes.clone())),
            Content::File(blob) => Ok(Body::wrap(Pieces {
                blob: blob.clone(),
                at: 0,
                reading: None,
            })),
            // What is sent may have to be asked for, and what asks sends nothing.
            Content::Blob(blob) => {
                Box::pin(self.read_through(blob))
                    .await
                    .map_err(|source| Cause::Content {
                        source: Box::new(source),
                    })
            }
        }
    }

    async fn read_through(&self, blob: &Arc<RemoteBlob>) -> Result<Body, Cause> {
        let call = blob.call()?;
        let arrived = self.arrive(&blob.from, &call).await?;
        if !arrived.response.status().is_success() {
            return Err(self.refusal(&blob.from, arrived).await);
        }
        let url = shown(&arrived.url);
        if let Some(found) = arrived.response.content_length()
            && found != blob.size
        {
            let wanted = blob.size;
            return Err(Cause::Size { url, wanted, found });
        }
        Ok(Body::wrap(Checked {
            inner: Body::from(arrived.response),
            left: blob.size,
            hasher: Hasher::default(),
            url,
            blob: Arc::clone(blob),
        }))
    }
}

/// A blob on its way from one registry to another.
struct Checked {
    inner: Body,
    left: u64,
    hasher: Hasher,
    url: String,
    blob: Arc<RemoteBlob>,
}

impl Checked {
    /// What may be sent on of a piece that arrived.
    fn check(&mut self, piece: &Bytes) -> Result<(), Cause> {
        let Some(left) = self.left.checked_sub(piece.len() as u64) else {
            return Err(self.wrong_size(self.blob.size - self.left + piece.len() as u64));
        };
        self.left = left;
        self.hasher.update(piece);
        if left > 0 {
            return Ok(());
        }
        let found = std::mem::take(&mut self.hasher).finish();
        if found == self.blob.digest {
            return Ok(());
        }
        Err(Cause::Digest {
            url: self.url.clone(),
            wanted: self.blob.digest.clone(),
            found,
        })
    }

    fn wrong_size(&self, found: u64) -> Cause {
        Cause::Size {
            url: self.url.clone(),
            wanted: self.blob.size,
            found,
        }
    }
}

impl http_body::Body for Checked {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let trouble = loop {
            break match ready!(Pin::new(&mut self.inner).poll_frame(context)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(piece) => match self.check(&piece) {
                        Ok(()) => return Poll::Ready(Some(Ok(Frame::data(piece)))),
                        Err(cause) => cause,
                    },
                    // Trailers, which mean nothing here.
                    Err(_) => continue,
                },
                Some(Err(source)) => Cause::Transport {
                    url: self.url.clone(),
                    source: source.without_url(),
                },
                None if self.left == 0 => return Poll::Ready(None),
                None => self.wrong_size(self.blob.size - self.left),
            };
        };
        let told = io::Error::other(trouble.to_string());
        *self.blob.trouble() = Some(trouble);
        Poll::Ready(Some(Err(told)))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

/// How much of a file is read at once.
const PIECE: usize = 256 << 10;

/// A file on its way to a registry.
struct Pieces {
    blob: FileBlob,
    /// How much of it was read.
    at: u64,
    reading: Option<JoinHandle<io::Result<Bytes>>>,
}

impl Pieces {
    fn left(&self) -> u64 {
        self.blob.size - self.at
    }
}

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let left = self.left();
        if left == 0 {
            return Poll::Ready(None);
        }
        let (file, at) = (Arc::clone(&self.blob.file), self.at);
        let reading = self.reading.get_or_insert_with(|| {
            let length = usize::try_from(left).map_or(PIECE, |left| left.min(PIECE));
            spawn_blocking(move || {
                let mut piece = vec![0; length];
                file.read_exact_at(&mut piece, at)?;
                Ok(Bytes::from(piece))
            })
        });
        let read = ready!(Pin::new(reading).poll(context));
        self.reading = None;
        let piece = read.map_err(io::Error::other).flatten();
        if let Ok(piece) = &piece {
            self.at += piece.len() as u64;
        }
        Poll::Ready(Some(piece.map(Frame::data)))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left())
    }
}
