//! Uploads of the blobs that a manifest names: started before it is known what has to be uploaded, side by side, and begun again where a
//! registry denies having what it took.

use std::collections::HashMap;

use tekseal_core::{Digest, Repository};
use tokio::time::Instant;

use crate::Registry;
use crate::body::Content;
use crate::registry::{self, Upload};

use super::concurrent::concurrently;
use super::error::Error;
use super::register::{Register, timed};

/// How many blobs are uploaded side by side.
pub(super) const WIDTH: usize = 32;
/// How often blobs are uploaded again that a registry denies having. After that it is somebody else's that is gone.
const MOST_LOST: u32 = 6;

/// Uploads that were started, and blobs that are there.
pub(super) struct Blobs<'a> {
    registry: &'a Registry,
    repository: &'a Repository,
    started: Vec<Result<Upload, registry::Error>>,
    done: Vec<Digest>,
    lost: u32,
}

impl<'a> Blobs<'a> {
    pub(super) fn new(registry: &'a Registry, repository: &'a Repository) -> Self {
        Self {
            registry,
            repository,
            started: Vec::new(),
            done: Vec::new(),
            lost: 0,
        }
    }

    /// Starts so many uploads, each with the time that it took: beside whatever is asked meanwhile.
    pub(super) fn start(
        &self,
        count: usize,
    ) -> impl Future<Output = Vec<(Result<Upload, registry::Error>, std::time::Duration)>> + use<'a>
    {
        let (registry, repository) = (self.registry, self.repository);
        concurrently(
            WIDTH,
            (0..count).map(move |_| timed(registry.start_upload(repository))),
        )
    }

    /// Keeps what was started.
    pub(super) fn keep(
        &mut self,
        started: Vec<(Result<Upload, registry::Error>, std::time::Duration)>,
        register: &mut Register<'_>,
    ) {
        for (started, trip) in started {
            register.saw(trip);
            self.started.push(started);
        }
    }

    /// Takes note of a blob that was seen to be there.
    pub(super) fn is_there(&mut self, digest: Digest) {
        self.done.push(digest);
    }

    /// Whether a blob that was there before can be relied upon: not any more when the registry has denied having one.
    pub(super) fn are_believed(&self) -> bool {
        self.lost == 0
    }

    /// Uploads those of `blobs` that are not known to be there.
    pub(super) async fn upload(
        &mut self,
        mut blobs: HashMap<Digest, Content>,
        register: &mut Register<'_>,
    ) -> Result<(), Error> {
        let began = Instant::now();
        blobs.retain(|digest, _| !self.done.contains(digest));
        let (registry, repository) = (self.registry, self.repository);
        let is_streamed = blobs.values().any(Content::is_streamed);
        let transfers = blobs.iter().map(|(digest, content)| {
            let started = self.started.pop();
            async move {
                let upload = match started {
                    Some(started) => started?,
                    None => registry.start_upload(repository).await?,
                };
                let (finished, trip) =
                    timed(registry.send(repository, upload, digest, content.clone())).await;
                finished.map(|()| trip)
            }
        });
        let transfers: Vec<_> = transfers.collect();
        for transfer in concurrently(WIDTH, transfers).await {
            register.saw(transfer?);
        }
        self.done.extend(blobs.into_keys());
        if is_streamed {
            // Nobody is in the way of an upload that takes minutes.
            register.extend(began.elapsed());
        }
        Ok(())
    }

    /// Whether a manifest was refused because the registry denies having a blob: then all are uploaded again.
    ///
    /// docker-registry mixes up equal blobs that are uploaded side by side, as several signers of one image do: it accepts the
    /// uploads and then denies having the blob, for a moment or until it is uploaded again.
    pub(super) fn are_lost(&mut self, error: &registry::Error) -> bool {
        let is_lost = (error.has_code("MANIFEST_BLOB_UNKNOWN") || error.has_code("BLOB_UNKNOWN"))
            && self.lost < MOST_LOST;
        if is_lost {
            self.done.clear();
            self.lost += 1;
        }
        is_lost
    }
}
