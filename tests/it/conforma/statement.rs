//! Statements as Conforma reads them: tasks and materials of both versions of provenance in one form, and changes to any place.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

/// The version of the provenance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    V02,
    V1,
}

impl Version {
    pub(super) fn of(statement: &Value) -> Self {
        match statement["predicateType"].as_str() {
            Some("https://slsa.dev/provenance/v0.2") => Self::V02,
            Some("https://slsa.dev/provenance/v1") => Self::V1,
            other => panic!("{other:?} is no provenance"),
        }
    }
}

/// The statement, with embedded TaskRuns as JSON in place of their base64.
pub(super) fn readable(bytes: &[u8]) -> Value {
    let mut statement: Value = serde_json::from_slice(bytes).expect("a payload is JSON");
    let dependencies = statement.pointer_mut("/predicate/buildDefinition/resolvedDependencies");
    let list = dependencies.and_then(Value::as_array_mut);
    for dependency in list.into_iter().flatten() {
        let Some(content) = dependency["content"].as_str() else {
            continue;
        };
        let content = STANDARD.decode(content).expect("content is base64");
        dependency["content"] = serde_json::from_slice(&content).expect("content is JSON");
    }
    statement
}

/// Whether it is of a PipelineRun, by what Conforma tells them apart.
pub(super) fn is_pipelinerun(statement: &Value, version: Version) -> bool {
    match version {
        Version::V02 => {
            let build_type = get(statement, "/predicate/buildType").as_str();
            build_type.is_some_and(|text| text.ends_with("/PipelineRun"))
        }
        Version::V1 => {
            let spec = "/predicate/buildDefinition/externalParameters/runSpec";
            let spec = get(statement, spec);
            spec["pipelineRef"].is_object() || spec["pipelineSpec"].is_object()
        }
    }
}

/// What the build read.
pub(super) fn materials(statement: &Value, version: Version) -> impl Iterator<Item = &Value> {
    let path = match version {
        Version::V02 => "/predicate/materials",
        Version::V1 => "/predicate/buildDefinition/resolvedDependencies",
    };
    get(statement, path).as_array().into_iter().flatten()
}

/// What is at a place, null where nothing is.
pub(super) fn get<'v>(value: &'v Value, path: &str) -> &'v Value {
    value.pointer(path).unwrap_or(&Value::Null)
}

/// The text at a place, which must not be empty.
pub(super) fn text<'v>(value: &'v Value, path: &str) -> Result<&'v str, String> {
    let found = get(value, path).as_str().filter(|text| !text.is_empty());
    found.ok_or_else(|| format!("{path} is no text, or empty"))
}

/// Puts something at a place, or takes it away; `*` stands for each element of a list. Gives how many places were changed: an element that lacks it
/// is left as it is.
pub(super) fn change(value: &mut Value, path: &str, put: Option<&Value>) -> usize {
    let Some(rest) = path.strip_prefix('/') else {
        return 0;
    };
    let (first, rest) = match rest.find('/') {
        Some(at) => rest.split_at(at),
        None => (rest, ""),
    };
    if first == "*" {
        let list = value.as_array_mut().into_iter().flatten();
        return list.map(|one| change(one, rest, put)).sum();
    }
    let key = first.replace("~1", "/");
    if !rest.is_empty() {
        let next = match value {
            Value::Array(list) => key.parse().ok().and_then(|at: usize| list.get_mut(at)),
            Value::Object(map) => map.get_mut(&key),
            _ => None,
        };
        return next.map_or(0, |next| change(next, rest, put));
    }
    let Value::Object(map) = value else {
        return 0;
    };
    match put {
        Some(put) => {
            map.insert(key, put.clone());
            1
        }
        None => usize::from(map.remove(&key).is_some()),
    }
}

/// A task of a PipelineRun that counts.
pub(super) struct Task<'v> {
    pub(super) name: Option<&'v str>,
    pub(super) succeeded: bool,
    pub(super) has_steps: bool,
    pub(super) has_step_images: bool,
    pub(super) has_parameters: bool,
    reference: &'v Value,
    results: &'v Value,
}

impl<'v> Task<'v> {
    /// Tasks count that are of the kind Task; of v1 those alone that are there as a whole and have results.
    pub(super) fn all(statement: &'v Value, version: Version) -> Vec<Self> {
        match version {
            Version::V02 => {
                let tasks = get(statement, "/predicate/buildConfig/tasks").as_array();
                let tasks = tasks.into_iter().flatten();
                tasks
                    .filter(|task| is_task(&task["ref"]))
                    .map(Self::of_config)
                    .collect()
            }
            Version::V1 => materials(statement, version)
                .filter(|one| one["name"] == "pipelineTask")
                .map(|one| &one["content"])
                .filter(|run| !get(run, "/status/results").is_null())
                .filter(|run| is_task(get(run, "/spec/taskRef")))
                .map(Self::of_run)
                .collect(),
        }
    }

    fn of_config(task: &'v Value) -> Self {
        let labels = get(task, "/invocation/environment/labels");
        Self {
            name: label(labels).or_else(|| name_of_reference(&task["ref"])),
            succeeded: task["status"] == "Succeeded",
            has_steps: is_list(&task["steps"]),
            has_step_images: has_each(&task["steps"], "/environment/image"),
            has_parameters: get(task, "/invocation/parameters").is_object(),
            reference: &task["ref"],
            results: &task["results"],
        }
    }

    fn of_run(run: &'v Value) -> Self {
        let conditions = get(run, "/status/conditions").as_array();
        let mut conditions = conditions.into_iter().flatten();
        Self {
            name: label(get(run, "/metadata/labels")),
            succeeded: conditions.any(|one| one["type"] == "Succeeded" && one["status"] == "True"),
            has_steps: is_list(&run["steps"]),
            has_step_images: has_each(get(run, "/status/steps"), "/imageID"),
            has_parameters: get(run, "/spec/params").is_array(),
            reference: get(run, "/spec/taskRef"),
            results: get(run, "/status/results"),
        }
    }

    /// The result of this name.
    pub(super) fn result(&self, name: &str) -> Option<&'v Value> {
        let mut results = self.results.as_array()?.iter();
        results
            .find(|result| result["name"] == name)
            .map(|result| &result["value"])
    }

    /// Whether its results name an image.
    pub(super) fn is_build(&self) -> bool {
        !self.images().is_empty()
    }

    /// Repository and digest of the images that its results name.
    pub(super) fn images(&self) -> Vec<(String, String)> {
        let mut images = Vec::new();
        let mut add = |name: &str, digest: &str| {
            let name = match name.rsplit_once(':') {
                Some((repository, tag)) if !tag.contains('/') => repository,
                _ => name,
            };
            images.push((name.trim().to_owned(), digest.trim().to_owned()));
        };
        for result in self.results.as_array().into_iter().flatten() {
            let (name, value) = (
                result["name"].as_str().unwrap_or_default(),
                &result["value"],
            );
            for (of_name, of_digest) in [
                ("IMAGE_URL", "IMAGE_DIGEST"),
                ("ARTIFACT_URI", "ARTIFACT_DIGEST"),
            ] {
                let digest = name.strip_suffix(of_name);
                let digest = digest.and_then(|prefix| self.result(&format!("{prefix}{of_digest}")));
                if let (Some(url), Some(digest)) = (value.as_str(), digest.and_then(Value::as_str))
                {
                    add(url.trim(), digest);
                }
            }
            if name == "IMAGES" {
                let list = value.as_str().unwrap_or_default().split([',', '\n']);
                list.filter_map(|one| one.trim().split_once('@'))
                    .for_each(|(name, digest)| add(name, digest));
            }
            if name.ends_with("ARTIFACT_OUTPUTS")
                && let (Some(uri), Some(digest)) = (value["uri"].as_str(), value["digest"].as_str())
            {
                add(uri, digest);
            }
        }
        images
    }

    /// Whether it is of a bundle by digest, or of a commit.
    pub(super) fn is_pinned(&self) -> bool {
        let param = |wanted: &str| {
            let params = self.reference["params"].as_array()?;
            let found = params.iter().find(|param| param["name"] == wanted)?;
            found["value"].as_str()
        };
        let bundle = self.reference["bundle"]
            .as_str()
            .or_else(|| param("bundle"));
        let is_commit =
            |text: &str| text.len() == 40 && text.bytes().all(|b| b.is_ascii_hexdigit());
        bundle.is_some_and(|bundle| bundle.contains("@sha256:"))
            || param("revision").is_some_and(is_commit)
    }
}

fn is_task(reference: &Value) -> bool {
    let kind = reference["kind"].as_str().unwrap_or("task");
    kind.eq_ignore_ascii_case("task")
}

fn label(labels: &Value) -> Option<&str> {
    labels["tekton.dev/task"].as_str()
}

fn name_of_reference(reference: &Value) -> Option<&str> {
    let params = reference["params"].as_array().into_iter().flatten();
    let mut names = params.filter(|param| param["name"] == "name");
    let by_param = names.next().and_then(|param| param["value"].as_str());
    by_param.or_else(|| reference["name"].as_str())
}

fn is_list(value: &Value) -> bool {
    value.as_array().is_some_and(|list| !list.is_empty())
}

fn has_each(list: &Value, path: &str) -> bool {
    let mut list = list.as_array().into_iter().flatten();
    list.all(|one| text(one, path).is_ok())
}
