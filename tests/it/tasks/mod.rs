//! The folders `tasks` and `pipelines`: their shape, what the programs make of their parameters, and the pages that are made of them.
//!
//! YAML is read by kubectl, which every cluster's user has: nothing else here does.

mod flags;
mod pages;
mod pinned;
mod pipelines;
mod readme;
mod shape;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use serde_json::Value;
use tekseal_harness::{Run, kubectl};

/// One object of a file.
pub(crate) struct Definition {
    /// The file, relative to the project.
    pub(crate) file: String,
    pub(crate) object: Value,
}

/// One step of a Task, or the one of a StepAction, with what its template gives it.
pub(crate) struct Step<'a> {
    pub(crate) name: &'a str,
    pub(crate) image: &'a str,
    command: Vec<&'a str>,
    /// Of a program that has some.
    subcommand: Option<&'a str>,
    /// What follows.
    args: Vec<&'a str>,
    /// Variables and their values; those that Kubernetes fills in are empty.
    env: Vec<(&'a str, &'a str)>,
    security: &'a Value,
    resources: &'a Value,
    /// Names of the volumes that it mounts.
    mounts: Vec<&'a str>,
}

/// Everything in the two folders.
pub(crate) struct Catalogue {
    pub(crate) tasks: Vec<Definition>,
    pub(crate) actions: Vec<Definition>,
    pub(crate) pipelines: Vec<Definition>,
}

/// The project's folder.
pub(crate) fn project() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Reads everything, once; `None`, with the reason printed, where there is no kubectl.
pub(crate) fn catalogue() -> Option<&'static Catalogue> {
    static READ: OnceLock<Option<Catalogue>> = OnceLock::new();
    let read = READ.get_or_init(|| {
        let kubectl = kubectl()?;
        let not_tasks = ["kustomization.yaml", "where-images-are.yaml", "rbac.yaml"];
        Some(Catalogue {
            tasks: read(&kubectl, &files("tasks", &not_tasks)),
            actions: read(&kubectl, &files("tasks/stepactions", &[])),
            pipelines: read(&kubectl, &files("pipelines", &["kustomization.yaml"])),
        })
    });
    read.as_ref()
}

/// The objects in YAML text.
pub(crate) fn objects(kubectl: &Path, yaml: &str) -> Vec<Value> {
    parse(Run::new(kubectl).stdin(yaml), &["-".to_owned()])
}

/// What kustomize makes of a folder.
pub(crate) fn rendered(kubectl: &Path, folder: &Path) -> String {
    let made = Run::new(kubectl).arg("kustomize").arg(folder).run();
    made.ok().stdout
}

/// The YAML files in a folder, relative to the project, but for these names.
fn files(folder: &str, without: &[&str]) -> Vec<String> {
    let listed = fs::read_dir(project().join(folder)).expect("the folder is there");
    let mut names: Vec<String> = listed
        .map(|entry| entry.expect("an entry").file_name())
        .filter_map(|name| name.into_string().ok())
        .filter(|name| name.ends_with(".yaml") && !without.contains(&name.as_str()))
        .map(|name| format!("{folder}/{name}"))
        .collect();
    names.sort();
    names
}

fn read(kubectl: &Path, files: &[String]) -> Vec<Definition> {
    let objects = parse(Run::new(kubectl).folder(project()), files);
    assert_eq!(
        objects.len(),
        files.len(),
        "one object in each of {files:?}"
    );
    let pairs = files.iter().zip(objects);
    pairs
        .map(|(file, object)| Definition {
            file: file.clone(),
            object,
        })
        .collect()
}

/// A patch that changes nothing, of no server: it reads YAML and writes JSON, of types that kubectl does not know too.
fn parse(kubectl: Run, files: &[String]) -> Vec<Value> {
    let names = files.iter().flat_map(|file| ["--filename", file]);
    let read = kubectl
        .args(["patch", "--local", "--type", "merge", "--patch", "{}"])
        .args(["--output", "json"])
        .args(names)
        .run()
        .ok();
    serde_json::Deserializer::from_str(&read.stdout)
        .into_iter()
        .collect::<Result<_, _>>()
        .expect("kubectl writes JSON")
}

impl Catalogue {
    /// Tasks and StepActions.
    pub(crate) fn with_steps(&self) -> impl Iterator<Item = &Definition> {
        self.tasks.iter().chain(&self.actions)
    }

    /// The Task of this name.
    pub(crate) fn task(&self, name: &str) -> &Definition {
        let found = self.tasks.iter().find(|task| task.name() == name);
        found.unwrap_or_else(|| panic!("there is no Task {name}"))
    }
}

impl Definition {
    pub(crate) fn name(&self) -> &str {
        text(&self.object["metadata"]["name"])
    }

    fn spec(&self) -> &Value {
        &self.object["spec"]
    }

    /// The elements of a list of the specification.
    pub(crate) fn list(&self, name: &str) -> &[Value] {
        list(&self.spec()[name])
    }

    /// Names of the elements of such a list.
    pub(crate) fn names(&self, list: &str) -> Vec<&str> {
        self.list(list)
            .iter()
            .map(|one| text(&one["name"]))
            .collect()
    }

    pub(crate) fn is_action(&self) -> bool {
        self.object["kind"] == "StepAction"
    }

    pub(crate) fn steps(&self) -> Vec<Step<'_>> {
        let spec = self.spec();
        if self.is_action() {
            return vec![Step::of(spec, &Value::Null, self.name())];
        }
        let template = &spec["stepTemplate"];
        let steps = self.list("steps").iter();
        steps
            .map(|step| Step::of(step, template, text(&step["name"])))
            .collect()
    }

    /// All texts in which a parameter may stand: everything but what is declared.
    fn usage(&self) -> String {
        let mut spec = self.spec().clone();
        for declared in ["params", "results", "workspaces", "description"] {
            spec[declared] = Value::Null;
        }
        spec.to_string()
    }
}

impl<'a> Step<'a> {
    fn of(step: &'a Value, template: &'a Value, name: &'a str) -> Self {
        let own_or_template = |name: &str| match &step[name] {
            Value::Null => &template[name],
            own => own,
        };
        let both = |name: &str| {
            let all = list(&template[name]).iter().chain(list(&step[name]));
            all.collect::<Vec<_>>()
        };
        let is_word = |arg: &&str| arg.bytes().all(|c| c.is_ascii_lowercase());
        let args = texts(&step["args"]);
        let subcommand = args.first().copied().filter(is_word);
        Self {
            name,
            image: text(&step["image"]),
            command: texts(&step["command"]),
            args: args[usize::from(subcommand.is_some())..].to_vec(),
            subcommand,
            env: both("env")
                .iter()
                .map(|one| {
                    (
                        text(&one["name"]),
                        one["value"].as_str().unwrap_or_default(),
                    )
                })
                .collect(),
            security: own_or_template("securityContext"),
            resources: own_or_template("computeResources"),
            mounts: both("volumeMounts")
                .iter()
                .map(|one| text(&one["name"]))
                .collect(),
        }
    }

    /// The program that it runs.
    pub(crate) fn program(&self) -> &str {
        let path = self.command.first().expect("it has a command");
        path.rsplit('/').next().expect("there is a last part")
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

#[track_caller]
fn text(value: &Value) -> &str {
    value
        .as_str()
        .unwrap_or_else(|| panic!("a text was wanted: {value}"))
}

fn texts(value: &Value) -> Vec<&str> {
    list(value).iter().map(text).collect()
}
