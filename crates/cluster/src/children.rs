//! The documents of a PipelineRun's children, within bounds that all who read children share.
//!
//! Tenants decide how many TaskRuns carry a label and how large they are. So a list is read item by item, what the PipelineRun does not name
//! is not kept, and whoever reads takes room first:
//!
//! ```text
//!   begin ─▶ wait for room for one object and a little ─▶ more as it is needed, if there is some now ─▶ done: what is kept holds its room
//!                                                             └─ none ─▶ give all back, wait for all that may be needed, begin anew
//! ```
//!
//! Nobody waits while holding room, so no two wait for each other; room is given in the order of asking.

use std::collections::HashSet;
use std::pin::pin;
use std::sync::Arc;

use futures_util::AsyncBufReadExt as _;
use http::Request;
use serde::Deserialize;
use tekseal_core::percent;
use tekseal_core::run::RunKind;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::answers::Streamed;
use crate::client::Cluster;
use crate::error::{Cause, Error, Operation};
use crate::items::{Items, ListError, Part};
use crate::lenient::{Lenient, members};
use crate::runs::{self, RunRef};

/// The most that the children of one PipelineRun may be together, in bytes as the API server prints them.
pub const MOST_CHILDREN_BYTES: usize = 16 * 1024 * 1024;
/// The most that one process holds of children at any time, with what is arriving.
const ROOM: usize = 24 * 1024 * 1024;
/// Room for what is arriving: no API server stores a larger object.
const ONE: usize = 2 * 1024 * 1024;
/// Room that everybody takes at once, so that most need no more.
const LITTLE: usize = 1024 * 1024;
/// Room is counted in so many bytes.
const UNIT: usize = 1024;

/// Whoever needs all that one may need finds it, and eight at once, as many as the controller works on in one namespace, begin without waiting.
const _: () = assert!(ONE + MOST_CHILDREN_BYTES <= ROOM && 8 * (ONE + LITTLE) <= ROOM);

/// How many children are listed with one request.
const PAGE: usize = 50;
/// The most TaskRuns that are looked at because of their label, and the most bytes of those that are not the PipelineRun's: further children
/// are read by name.
const MOST_LISTED: usize = 2000;
const MOST_FOREIGN: usize = 2 * MOST_CHILDREN_BYTES;
/// The most children that are read by name.
const MOST_UNLISTED: usize = 500;
/// The longest name that can be the value of a label.
const MOST_LABEL: usize = 63;
/// Label of child TaskRuns with the name of their PipelineRun.
const PIPELINE_RUN_LABEL: &str = "tekton.dev/pipelineRun";

/// Documents of children. Others can read more children once they are dropped.
#[derive(Debug, Default)]
pub struct Children {
    /// Name and document of each, in the order in which they were found.
    pub documents: Vec<(String, String)>,
    _room: Option<OwnedSemaphorePermit>,
}

/// Room for the children of all PipelineRuns that are read at the same time.
#[derive(Clone, Debug)]
pub(crate) struct Room(Arc<Semaphore>);

/// How the reading of children ends early.
enum End {
    Error(Error),
    /// Others have the room.
    NoRoom,
}

/// The children of one PipelineRun, while they are read.
struct Reading<'a> {
    namespace: &'a str,
    pipeline_run: &'a str,
    /// What is looked for; anything, if nothing is named.
    names: &'a [String],
    missing: HashSet<&'a str>,
    found: Vec<(String, String)>,
    /// Bytes of what is the PipelineRun's, kept or not, and of what is not.
    own: usize,
    foreign: usize,
    looked_at: usize,
    room: OwnedSemaphorePermit,
    shared: &'a Room,
}

impl Cluster {
    /// The documents of the TaskRuns of these names, or, if there are no names, of those whose label says that they belong to the
    /// PipelineRun. Labels can be changed by whoever may change runs: what belongs to a PipelineRun is for its own document to say.
    ///
    /// # Guarantees
    /// Never is more in memory than [`MOST_CHILDREN_BYTES`] and one object, nor of all that are read at once more than half again as much.
    ///
    /// # Assumptions
    /// Nobody who has children waits for children.
    ///
    /// # Errors
    /// If they cannot be listed or read, are too large together, or too many of them must be read by name.
    pub async fn children(
        &self,
        namespace: &str,
        pipeline_run: &str,
        names: &[String],
    ) -> Result<Children, Error> {
        let mut wanted = ONE + LITTLE;
        loop {
            let reading = Reading {
                namespace,
                pipeline_run,
                names,
                missing: names.iter().map(String::as_str).collect(),
                found: Vec::new(),
                own: 0,
                foreign: 0,
                looked_at: 0,
                room: self.room.wait_for(wanted).await,
                shared: &self.room,
            };
            match reading.read(self).await {
                Ok(children) => return Ok(children),
                Err(End::Error(error)) => return Err(error),
                Err(End::NoRoom) => wanted = ONE + MOST_CHILDREN_BYTES,
            }
        }
    }
}

impl Reading<'_> {
    async fn read(mut self, cluster: &Cluster) -> Result<Children, End> {
        // A name that no label can hold is on none.
        if self.pipeline_run.len() <= MOST_LABEL {
            self.list(cluster).await?;
        }
        self.check_size()?;
        let unlisted: Vec<RunRef> = self
            .names
            .iter()
            .filter(|name| self.missing.remove(name.as_str()))
            // What cannot be a name is the name of nothing.
            .filter_map(|name| RunRef::new(RunKind::TaskRun, self.namespace, name).ok())
            .collect();
        if unlisted.len() > MOST_UNLISTED {
            return Err(End::Error(Error::UnlistedChildren {
                run: self.run(),
                found: unlisted.len(),
                most: MOST_UNLISTED,
            }));
        }
        for child in unlisted {
            match cluster.run(&child).await {
                Ok(document) => self
                    .keep(child.name, document)
                    .map_err(|NoRoom| End::NoRoom)?,
                Err(error) if error.is_not_found() => {}
                Err(error) => return Err(End::Error(error)),
            }
            self.check_size()?;
        }
        // What arrived has arrived: others may use that room.
        let kept = units(self.own).min(self.room.num_permits());
        Ok(Children {
            documents: self.found,
            _room: self.room.split(kept),
        })
    }

    /// Looks through the TaskRuns that carry the label.
    async fn list(&mut self, cluster: &Cluster) -> Result<(), End> {
        let what = format!("TaskRuns of {}", self.run());
        let mut token = String::new();
        loop {
            let page = self.page(cluster, &token);
            let page = cluster.call(Operation::List, &what, page).await;
            let found = page.map_err(End::Error)?;
            token = found.map_err(|stop| match stop {
                Stop::NoRoom => End::NoRoom,
                Stop::List(error) => End::Error(Error::of(
                    Operation::List,
                    &what,
                    Cause::Answer(error.to_string()),
                )),
            })?;
            if token.is_empty() || self.is_enough() {
                return Ok(());
            }
        }
    }

    /// Reads one page, item by item; gives what leads to the next one.
    async fn page(&mut self, cluster: &Cluster, token: &str) -> kube::Result<Result<String, Stop>> {
        let mut body = pin!(cluster.client.request_stream(self.request(token)).await?);
        let mut list = Items::default();
        let mut rest = Vec::new();
        loop {
            let bytes = body.fill_buf().await;
            let bytes = bytes.map_err(|error| kube::Error::Service(error.into()))?;
            if bytes.is_empty() {
                break;
            }
            let taken = list.take(bytes, |part| {
                match part {
                    Part::Rest(bytes) => rest.extend_from_slice(bytes),
                    Part::Item(bytes) => {
                        rest.extend_from_slice(b"0");
                        self.look_at(bytes)?;
                    }
                }
                Ok(())
            });
            if let Err(stop) = taken {
                return Ok(Err(stop));
            }
            if self.foreign > MOST_FOREIGN {
                return Ok(Ok(String::new()));
            }
            let length = bytes.len();
            body.consume_unpin(length);
        }
        let rest = serde_json::from_slice::<Rest>(&rest);
        Ok(rest
            .map(|rest| rest.metadata.token)
            .map_err(|error| Stop::List(error.into())))
    }

    /// Keeps an item of the list that is looked for.
    fn look_at(&mut self, item: &[u8]) -> Result<(), Stop> {
        let named: Lenient<Named> = serde_json::from_slice(item).map_err(ListError::Json)?;
        let name = named.0.metadata.name.unwrap_or_default();
        self.looked_at += 1;
        if !self.names.is_empty() && !self.missing.remove(name.as_str()) {
            self.foreign += item.len();
            return Ok(());
        }
        self.keep(name, String::from_utf8_lossy(item).into_owned())
            .map_err(|NoRoom| Stop::NoRoom)
    }

    /// Keeps a child. Of those that are too large together only their size is kept, which is told.
    fn keep(&mut self, name: String, document: String) -> Result<(), NoRoom> {
        self.own += document.len();
        if self.own > MOST_CHILDREN_BYTES {
            self.found.clear();
            return Ok(());
        }
        let lack = units(ONE + self.own).saturating_sub(self.room.num_permits());
        if lack > 0 {
            self.room.merge(self.shared.more(lack).ok_or(NoRoom)?);
        }
        self.found.push((name, document));
        Ok(())
    }

    fn check_size(&self) -> Result<(), End> {
        if self.own <= MOST_CHILDREN_BYTES {
            return Ok(());
        }
        Err(End::Error(Error::LargeChildren {
            run: self.run(),
            bytes: self.own,
        }))
    }

    /// Whether no more is looked for among those that carry the label.
    fn is_enough(&self) -> bool {
        let is_found = !self.names.is_empty() && self.missing.is_empty();
        is_found || self.looked_at >= MOST_LISTED || self.foreign > MOST_FOREIGN
    }

    fn request(&self, token: &str) -> Request<Vec<u8>> {
        let folder = RunRef::folder(RunKind::TaskRun, self.namespace);
        let selector = percent::encoded(&format!("{PIPELINE_RUN_LABEL}={}", self.pipeline_run));
        let mut path = format!("{folder}?limit={PAGE}&labelSelector={selector}");
        if !token.is_empty() {
            path.push_str("&continue=");
            path.push_str(&percent::encoded(token));
        }
        let mut request = runs::get(&path);
        request.extensions_mut().insert(Streamed);
        request
    }

    fn run(&self) -> String {
        format!("PipelineRun {}/{}", self.namespace, self.pipeline_run)
    }
}

impl Room {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Semaphore::new(units(ROOM))))
    }

    async fn wait_for(&self, bytes: usize) -> OwnedSemaphorePermit {
        let room = Arc::clone(&self.0).acquire_many_owned(permits(units(bytes)));
        room.await.expect("the semaphore is never closed")
    }

    /// More room, if there is some.
    fn more(&self, units: usize) -> Option<OwnedSemaphorePermit> {
        let room = Arc::clone(&self.0).try_acquire_many_owned(permits(units));
        room.ok()
    }
}

const fn units(bytes: usize) -> usize {
    bytes.div_ceil(UNIT)
}

fn permits(units: usize) -> u32 {
    u32::try_from(units).expect("all room together is a small number")
}

/// There is no room now.
struct NoRoom;

/// Why a page is not read on.
enum Stop {
    NoRoom,
    List(ListError),
}

impl From<ListError> for Stop {
    fn from(error: ListError) -> Self {
        Self::List(error)
    }
}

/// A list without its items.
#[derive(Deserialize)]
struct Rest {
    #[serde(default)]
    metadata: RestMeta,
}

#[derive(Default, Deserialize)]
struct RestMeta {
    #[serde(default, rename = "continue")]
    token: String,
}

/// An object, as far as its name.
#[derive(Default)]
struct Named {
    metadata: Name,
}

#[derive(Default)]
struct Name {
    name: Option<String>,
}

members!(Named {
    "metadata" => metadata,
});

members!(Name {
    "name" => name,
});

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn room_that_is_not_there_now_is_not_waited_for_while_holding_some() {
        let room = Room::new();
        let first = room.wait_for(ONE + MOST_CHILDREN_BYTES).await;
        let mut second = room.wait_for(ONE + LITTLE).await;
        let lack = units(ROOM) - first.num_permits() - second.num_permits();
        assert!(room.more(lack + 1).is_none());
        second.merge(room.more(lack).expect("so much is there"));
        let third = tokio::spawn({
            let room = room.clone();
            async move { room.wait_for(ONE + MOST_CHILDREN_BYTES).await }
        });
        tokio::task::yield_now().await;
        assert!(!third.is_finished());
        drop((first, second));
        let third = third.await.expect("it does not panic");
        assert_eq!(third.num_permits(), units(ONE + MOST_CHILDREN_BYTES));
    }
}
