//! The children of a PipelineRun: which of the documents that were given are its own, and which lack.

use std::collections::{HashMap, HashSet};

use serde::Deserialize;

use super::{Absence, AbsentChild, ChildDocument, Error, Run, RunKind};
use crate::gojson::{Escape, Writer};
use crate::header;
use crate::typed::{self, Dialect, Encoding, RootKind};

/// Names of the TaskRuns that the document of a PipelineRun names as its children, each once, in its order: what is to be looked for before
/// the run is read. What is not as Tekton writes it names nobody here; [`super::CompletedRun::from_json`] refuses it.
#[must_use]
pub fn child_task_runs(document: &[u8]) -> Vec<String> {
    #[derive(Deserialize)]
    struct PipelineRun {
        #[serde(default)]
        status: Option<Status>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Status {
        #[serde(default)]
        child_references: Option<Vec<Reference>>,
    }
    #[derive(Deserialize)]
    struct Reference {
        #[serde(default)]
        kind: String,
        #[serde(default)]
        name: String,
    }
    let run: Option<PipelineRun> = serde_json::from_slice(document).ok();
    let references = run
        .and_then(|run| run.status)
        .and_then(|status| status.child_references)
        .unwrap_or_default();
    let mut known = HashSet::new();
    references
        .into_iter()
        .filter(|child| matches!(child.kind.as_str(), "" | "TaskRun"))
        .map(|child| child.name)
        .filter(|name| known.insert(name.clone()))
        .collect()
}

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
        let mut given: Vec<Self> = Vec::with_capacity(documents.len());
        let mut known: HashMap<String, usize> = HashMap::new();
        for document in documents {
            let child = Self::child(document.bytes).map_err(|source| Error::Child {
                document: document.name.to_owned(),
                source: Box::new(source),
            })?;
            let Some(child) = child.filter(|child| self.may_own(child)) else {
                continue;
            };
            if !child.name().is_empty() {
                match known.insert(child.name().to_owned(), given.len()) {
                    None => {}
                    Some(before) if given[before].says_the_same(&child) => {
                        known.insert(child.name().to_owned(), before);
                        continue;
                    }
                    Some(_) => return Err(Error::ChildTwice(child.full_name())),
                }
            }
            given.push(child);
        }
        let references: Vec<_> = self.status_objects("childReferences").collect();
        let mut absent = Vec::new();
        if references.is_empty() {
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

    /// Whether the child may be the run's own: in its namespace, where Tekton makes it, and not owned by another PipelineRun. One of the
    /// same name elsewhere, or of an earlier run of this name, is another's.
    fn may_own(&self, child: &Self) -> bool {
        let is_one = |own: &str, other: &str| own == other || own.is_empty() || other.is_empty();
        let mut owners = child.pipeline_run_owners().peekable();
        is_one(self.namespace(), child.namespace())
            && (owners.peek().is_none() || owners.any(|uid| is_one(self.uid(), uid)))
    }

    /// Whether two documents are one TaskRun, however they are written.
    fn says_the_same(&self, other: &Self) -> bool {
        let written = |run: &Self| {
            let mut writer = Writer::new(Escape::Go);
            run.object.write(&mut writer, Encoding::Go);
            writer.finish()
        };
        written(self).is_ok_and(|mine| written(other).is_ok_and(|theirs| mine == theirs))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_children_that_a_pipelinerun_names_are_found_whatever_else_it_says() {
        let named = |document: &str| child_task_runs(document.as_bytes());
        assert_eq!(
            named(r#"{"status":{"childReferences":[{"kind":"TaskRun","name":"a"},{"name":"b"}]}}"#),
            ["a", "b"]
        );
        assert_eq!(
            named(
                r#"{"status":{"childReferences":[{"name":"a"},{"kind":"CustomRun","name":"c"},{"name":"a"}]}}"#
            ),
            ["a"]
        );
        for document in [
            "",
            "[]",
            "{}",
            r#"{"status":null}"#,
            r#"{"status":{"childReferences":7}}"#,
        ] {
            assert_eq!(named(document), Vec::<String>::new(), "{document}");
        }
    }
}
