//! The children of a PipelineRun: which of the documents that were given are its own, and which lack.

use std::collections::HashMap;

use super::{Absence, AbsentChild, ChildDocument, Error, Run, RunKind};
use crate::header;
use crate::typed::{self, Dialect, RootKind};

/// The children of a PipelineRun.
#[derive(Default)]
pub(super) struct Family<'a> {
    /// Those that are there, each once.
    pub(super) children: Vec<Run<'a>>,
    /// Positions of them in the order of the PipelineRun, which may name one more than once.
    pub(super) order: Vec<usize>,
    /// Those that are not.
    pub(super) absent: Vec<AbsentChild>,
}

impl<'a> Run<'a> {
    /// The document of a child. An informer's objects carry neither kind nor version. `None` for another kind.
    fn child(document: &'a [u8]) -> Result<Option<Self>, Error> {
        let header = header::read(document).map_err(Error::Json)?;
        if header.kind.as_deref().is_none_or(str::is_empty) {
            let object = typed::decode(document, RootKind::TaskRun, Dialect::V1)?;
            return Ok(Some(Self {
                kind: RunKind::TaskRun,
                object,
                size: document.len() as u64,
            }));
        }
        if header.kind.as_deref() != Some("TaskRun") {
            return Ok(None);
        }
        Self::of_header(document, &header).map(Some)
    }

    /// The children that the run names, and those that are absent.
    pub(super) fn with_children(
        &self,
        documents: &[ChildDocument<'a>],
    ) -> Result<Family<'a>, Error> {
        let mut given = Vec::with_capacity(documents.len());
        for document in documents {
            let child = Self::child(document.bytes).map_err(|source| Error::Child {
                document: document.name.to_owned(),
                source: Box::new(source),
            })?;
            given.extend(child.filter(|child| self.may_own(child)));
        }
        let references: Vec<_> = self.status_objects("childReferences").collect();
        let mut absent = Vec::new();
        if references.is_empty() {
            // As below, of two documents with one name the last counts.
            let last: HashMap<String, usize> = (0..)
                .zip(&given)
                .map(|(at, child)| (child.name().to_owned(), at))
                .collect();
            let mut positions = 0..;
            given.retain(|child| {
                let is_last = positions.next() == last.get(child.name()).copied();
                is_last || child.name().is_empty()
            });
            given.retain(|child| child.is_over(&mut absent));
            return Ok(Family {
                order: (0..given.len()).collect(),
                children: given,
                absent,
            });
        }
        let mut waiting: HashMap<String, Self> = given
            .into_iter()
            .map(|child| (child.name().to_owned(), child))
            .collect();
        let mut children: Vec<Self> = Vec::with_capacity(waiting.len());
        let mut taken: HashMap<&str, usize> = HashMap::new();
        let mut order = Vec::with_capacity(waiting.len());
        for reference in references {
            let name = reference.text("name");
            // A child that is named twice is taken twice, as Chains does.
            if let Some(&at) = taken.get(name) {
                order.push(at);
                continue;
            }
            match waiting.remove(name) {
                Some(child) if child.is_over(&mut absent) => {
                    taken.insert(name, children.len());
                    order.push(children.len());
                    children.push(child);
                }
                Some(_) => {}
                None => absent.push(AbsentChild {
                    name: name.to_owned(),
                    kind: reference.text("kind").to_owned(),
                    reason: match reference.text("kind") {
                        "TaskRun" | "" => Absence::NotFound,
                        _ => Absence::NotATaskRun,
                    },
                }),
            }
        }
        Ok(Family {
            children,
            order,
            absent,
        })
    }

    /// Whether the child is in the run's own namespace, where Tekton makes it: one of the same name elsewhere is another's.
    fn may_own(&self, child: &Self) -> bool {
        let (own, other) = (self.namespace(), child.namespace());
        own == other || own.is_empty() || other.is_empty()
    }

    /// Whether a child has ended; if not it is noted as absent.
    fn is_over(&self, absent: &mut Vec<AbsentChild>) -> bool {
        let is_over = self.completed().is_some();
        if !is_over {
            absent.push(AbsentChild {
                name: self.name().to_owned(),
                kind: self.kind.to_string(),
                reason: Absence::NotCompleted,
            });
        }
        is_over
    }
}
