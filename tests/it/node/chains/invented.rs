//! Invented runs: TaskRuns and PipelineRuns whose parts are drawn by a seeded generator, so that the same ones come each time.
//!
//! Only what an API server with Tekton's types takes: `tests/chains` invents what it would not, for the formatters alone.

use serde_json::{Value, json};

/// Draws: an xorshift generator.
pub(super) struct Dice(u64);

/// A repository and a digest.
pub(super) type Image = (String, String);

const START: &str = "2026-03-01T10:00:00Z";
const END: &str = "2026-03-01T10:01:07Z";

const WORDS: &[&str] = &[
    "main",
    "v1.2.3",
    "",
    "<b>&amp;</b>",
    "a && b > c",
    "two\nlines\n",
    "tab\there",
    "\"quoted\" \\ back",
    "日本語",
    "ключ",
    "👩‍💻 😀",
    "e\u{301}",
    "\u{2028}x\u{2029}",
    "\u{7f}\u{80}",
    "\u{1}\u{1f}",
    "\u{feff}\u{fffd}",
    "1e3",
    "null",
    "[\"a\", \"b\"]",
    "{\"a\": 1, \"b\": [1, 2]}",
    "$(params.url)",
    "comma, comma,comma",
];

const REPOSITORIES: &[&str] = &[
    "quay.io/acme/app",
    "docker.io/library/tool",
    "library/short",
    "registry.example.com:5000/a/b/c",
    "ghcr.io/acme/under_score/dash-ed",
];

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// Less than `end`.
    pub(super) fn below(&mut self, end: usize) -> usize {
        let drawn = self.next() % u64::try_from(end).expect("it is small");
        usize::try_from(drawn).expect("it is less")
    }

    /// Once in so many.
    pub(super) fn once_in(&mut self, many: usize) -> bool {
        self.below(many) == 0
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.below(from.len())]
    }

    fn word(&mut self) -> String {
        let word = self.pick(WORDS);
        match self.once_in(12) {
            true => word.repeat(40),
            false => word.to_owned(),
        }
    }

    fn hex(&mut self, length: usize) -> String {
        let text: String = (0..length.div_ceil(16))
            .map(|_| format!("{:016x}", self.next()))
            .collect();
        text[..length].to_owned()
    }

    fn sha256(&mut self) -> String {
        format!("sha256:{}", self.hex(64))
    }

    /// A value of a parameter of each kind.
    fn value(&mut self) -> Value {
        match self.below(6) {
            0 => (0..self.below(3)).map(|_| json!(self.word())).collect(),
            1 => {
                let members = (0..self.below(3)).map(|at| (format!("k{at}"), json!(self.word())));
                Value::Object(members.collect())
            }
            _ => json!(self.word()),
        }
    }

    fn params(&mut self, most: usize) -> Value {
        let count = self.below(most + 1);
        let mut params: Vec<_> = (0..count)
            .map(|at| json!({"name": format!("p{at}"), "value": self.value()}))
            .collect();
        if self.once_in(4) {
            params.push(json!({"name": "CHAINS-GIT_URL", "value": self.git_url()}));
            params.push(json!({"name": "CHAINS-GIT_COMMIT", "value": self.hex(40)}));
        }
        params.into()
    }

    fn git_url(&mut self) -> &'static str {
        self.pick(&[
            "https://git.example.com/acme/app",
            "https://git.example.com/acme/app.git",
            "git+https://git.example.com/acme/app.git",
            "git@git.example.com:acme/app.git",
            "",
        ])
    }

    /// A definition of its own, or a reference to one.
    fn reference(&mut self, kind: &str) -> Value {
        match self.below(4) {
            0 => json!({"name": "build", "kind": kind}),
            1 => json!({"resolver": "cluster", "kind": kind, "params": [
                {"name": "kind", "value": kind.to_lowercase()}, {"name": "name", "value": "build"}, {"name": "namespace", "value": "shared"}]}),
            2 => {
                json!({"resolver": "bundles", "kind": kind, "params": [{"name": "bundle", "value": format!("quay.io/acme/bundle@{}", self.sha256())}]})
            }
            _ => json!({"resolver": "git", "kind": kind, "params": [
                {"name": "url", "value": "https://git.example.com/acme/catalog.git"}, {"name": "revision", "value": "main"},
                {"name": "pathInRepo", "value": "build/build.yaml"}]}),
        }
    }

    /// Where the definition came from.
    fn provenance(&mut self) -> Value {
        let mut made = json!({"featureFlags": {"enableAPIFields": "beta", "resultExtractionMethod": "termination-message", "maxResultSize": 4096}});
        if !self.once_in(3) {
            made["refSource"] = json!({
                "uri": self.pick(&["git+https://git.example.com/acme/catalog.git", "quay.io/acme/bundle", "https://hub.example.com/a?b=<c>&d"]),
                "digest": {(self.pick(&["sha1", "sha256"])): self.hex(40)},
                "entryPoint": self.pick(&["build/build.yaml", "task", "é/<&>.yaml"]),
            });
        }
        made
    }

    fn metadata(&mut self, namespace: &str, name: &str) -> Value {
        let mut made =
            json!({"name": name, "namespace": namespace, "labels": {}, "annotations": {}});
        if self.once_in(2) {
            made["labels"]["app.kubernetes.io/version"] =
                json!(self.pick(&["", "0.1", "v2_a.b-C"]));
            made["annotations"]["example.com/note"] = json!(self.word());
            made["annotations"]["pipeline.tekton.dev/release"] = json!("v1.15.0");
        }
        if self.once_in(3) {
            made["annotations"]["kubectl.kubernetes.io/last-applied-configuration"] =
                json!(json!({"spec": {"params": [self.word()]}}).to_string());
            made["annotations"]["chains.tekton.dev/transparency-upload"] = json!("false");
        }
        if self.once_in(4) {
            made["labels"]["chains.tekton.dev/reproducible"] =
                json!(self.pick(&["true", "false", "True", ""]));
        }
        made
    }

    /// Results: hints that name these images, or invented ones where there are none, and other results.
    fn results(&mut self, images: &[Image]) -> Vec<Value> {
        let named = match images {
            [] => (0..self.below(4))
                .map(|_| (self.pick(REPOSITORIES).to_owned(), self.sha256()))
                .collect(),
            images => images.to_vec(),
        };
        let mut results = Vec::new();
        for (at, image) in named.iter().enumerate() {
            results.extend(self.hint(at, image));
        }
        if images.is_empty() && self.once_in(5) {
            let (one, other) = (self.sha256(), self.sha256());
            let separator = self.pick(&[",", "\n", ", \n"]);
            results.push(text(
                "IMAGES",
                format!("quay.io/acme/a@{one}{separator}quay.io/acme/b:1@{other}"),
            ));
        }
        if self.once_in(4) {
            results.push(json!({"name": "i-ARTIFACT_INPUTS", "type": "object",
                "value": {"uri": self.git_url(), "digest": format!("sha1:{}", self.hex(40))}}));
        }
        if self.once_in(4) {
            results.push(text("CHAINS-GIT_URL", self.git_url().to_owned()));
            results.push(text("CHAINS-GIT_COMMIT", self.hex(40)));
        }
        for at in 0..self.below(3) {
            let value = self.value();
            let kind = match &value {
                Value::Array(_) => "array",
                Value::Object(_) => "object",
                _ => "string",
            };
            results.push(json!({"name": format!("other{at}"), "type": kind, "value": value}));
        }
        results
    }

    /// One of the ways to name an image.
    fn hint(&mut self, at: usize, (repository, digest): &Image) -> Vec<Value> {
        match self.below(6) {
            0 | 1 => {
                let prefix = self.pick(&["", "app-", "APP_"]);
                let tag = self.pick(&["", ":1", ":latest"]);
                vec![
                    text(
                        &format!("{prefix}{at}IMAGE_URL"),
                        format!("{repository}{tag}\n"),
                    ),
                    text(&format!("{prefix}{at}IMAGE_DIGEST"), format!("{digest}\n")),
                ]
            }
            2 => vec![text(
                &format!("IMAGES{}", if at == 0 { "" } else { "_MORE" }),
                format!("{repository}@{digest}"),
            )],
            3 => vec![
                text(&format!("x{at}-ARTIFACT_URI"), repository.clone()),
                text(&format!("x{at}-ARTIFACT_DIGEST"), digest.clone()),
            ],
            _ => {
                let mut value = json!({"uri": repository, "digest": digest});
                if !self.once_in(3) {
                    value["isBuildArtifact"] = json!(self.pick(&["true", "false", "True"]));
                }
                vec![
                    json!({"name": format!("o{at}-ARTIFACT_OUTPUTS"), "type": "object", "value": value}),
                ]
            }
        }
    }

    fn step_state(&mut self, name: &str) -> Value {
        let image = self.pick(REPOSITORIES);
        let prefix = self.pick(&["", "", "docker-pullable://"]);
        let mut state = json!({
            "name": name, "container": format!("step-{name}"), "imageID": format!("{prefix}{image}@{}", self.sha256()),
            "terminated": {"exitCode": 0, "reason": "Completed", "startedAt": START, "finishedAt": END, "containerID": format!("containerd://{}", self.hex(64))},
        });
        if self.once_in(5) {
            state["results"] = self.results(&[]).into();
        }
        if self.once_in(12) {
            state["provenance"] = self.provenance();
        }
        if self.once_in(8) {
            state["outputs"] = json!([{"name": "image", "buildOutput": true, "values": [{"digest": {"sha256": self.hex(64)}, "uri": "pkg:oci/app"}]}]);
        }
        state
    }

    fn step(&mut self, name: &str) -> Value {
        let mut step = json!({"name": name, "image": "alpine:3.20"});
        match self.below(4) {
            0 => {
                step["script"] = json!(format!(
                    "#!/bin/sh\nset -e\necho \"<$(params.p0)>\" && true # {}\n",
                    self.word()
                ))
            }
            1 => step["command"] = json!(["/bin/sh", "-c", self.word()]),
            2 => {
                step["command"] = json!([]);
                step["args"] = json!([self.word(), "--flag=<value>"]);
            }
            _ => {}
        }
        if self.once_in(2) {
            step["computeResources"] = json!({"requests": {"cpu": self.pick(&["0.5", "500m", "1", "1e-3"]), "memory": self.pick(&["1024Mi", "1.5Gi", "0.1Gi", "1000000k"])}});
            step["env"] = json!([{"name": "A", "value": self.word()}, {"name": "B", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]);
        }
        if self.once_in(4) {
            step["timeout"] = json!(self.pick(&["60m", "1h30m", "90s", "1.5h"]));
            step["onError"] = json!("continue");
        }
        step
    }

    /// How it ended: failed and cancelled runs are attested like others.
    fn conditions(&mut self) -> Value {
        let (status, reason) = [
            ("True", "Succeeded"),
            ("True", "Succeeded"),
            ("True", "Completed"),
            ("False", "Failed"),
            ("False", "Cancelled"),
            ("False", "TaskRunTimeout"),
        ][self.below(6)];
        json!([{"type": "Succeeded", "status": status, "reason": reason, "message": self.word(), "lastTransitionTime": END}])
    }

    fn task_spec(&mut self, steps: &[String]) -> Value {
        let mut spec =
            json!({"steps": steps.iter().map(|name| self.step(name)).collect::<Vec<_>>()});
        if self.once_in(2) {
            spec["params"] = json!([
                {"name": "p0", "type": "string", "default": self.word()},
                {"name": "list", "type": "array", "default": ["a", self.word()]},
                {"name": "map", "type": "object", "properties": {"k": {"type": "string"}}, "default": {"k": self.word()}},
            ]);
            spec["results"] = json!([{"name": "IMAGE_URL", "description": self.word()}, {"name": "o", "type": "object", "properties": {"uri": {"type": "string"}}}]);
        }
        if self.once_in(3) {
            spec["sidecars"] = json!([{"name": "cache", "image": "redis", "readinessProbe": {"tcpSocket": {"port": 6379}, "periodSeconds": 5}}]);
            spec["volumes"] = json!([{"name": "v", "emptyDir": {"sizeLimit": "1Gi"}}, {"name": "c", "configMap": {"name": "c", "defaultMode": 420}}]);
            spec["stepTemplate"] = json!({"env": [{"name": "T", "value": self.word()}]});
        }
        spec
    }

    /// A TaskRun of any shape. It names these images, if there are any, and no others.
    pub(super) fn task_run(&mut self, namespace: &str, name: &str, images: &[Image]) -> Value {
        let steps: Vec<String> = (0..self.below(4)).map(|at| format!("step{at}")).collect();
        let mut spec = json!({"serviceAccountName": "default", "params": self.params(4)});
        match self.below(3) {
            0 if !steps.is_empty() => spec["taskSpec"] = self.task_spec(&steps),
            _ => spec["taskRef"] = self.reference("Task"),
        }
        if self.once_in(3) {
            spec["timeout"] = json!(self.pick(&["1h0m0s", "60m", "3600s"]));
            spec["workspaces"] = json!([{"name": "w", "emptyDir": {}}, {"name": "s", "secret": {"secretName": "sec"}, "subPath": "p"}]);
            spec["podTemplate"] = json!({"nodeSelector": {"kubernetes.io/arch": "amd64"}, "tolerations": [{"key": "k", "operator": "Exists", "tolerationSeconds": 9}]});
        }
        let results = self.results(images);
        let states: Vec<_> = steps.iter().map(|name| self.step_state(name)).collect();
        let mut status = json!({
            "podName": format!("{name}-pod"), "conditions": self.conditions(), "startTime": START, "completionTime": END,
            "steps": states, "results": results,
        });
        if !self.once_in(10) {
            status["taskSpec"] = match spec.get("taskSpec") {
                Some(own) => own.clone(),
                None => self.task_spec(&steps),
            };
        }
        if self.once_in(2) {
            status["provenance"] = self.provenance();
        }
        if self.once_in(5) {
            status["sidecars"] = json!([{"name": "cache", "container": "sidecar-cache", "imageID": format!("docker.io/library/redis@{}", self.sha256())}]);
        }
        if self.once_in(6) {
            spec["retries"] = json!(2);
            status["retriesStatus"] = json!([{"conditions": [{"type": "Succeeded", "status": "False", "reason": "Failed"}], "podName": "old",
                "results": [{"name": "IMAGE_URL", "type": "string", "value": "quay.io/acme/old"}]}]);
        }
        json!({"apiVersion": "tekton.dev/v1", "kind": "TaskRun", "metadata": self.metadata(namespace, name), "spec": spec, "status": status})
    }

    /// A PipelineRun with so many children, which come first. Each names one of these images, if there are any, and the PipelineRun the last.
    pub(super) fn pipeline_run(
        &mut self,
        namespace: &str,
        name: &str,
        children: usize,
        images: &[Image],
    ) -> Vec<Value> {
        let mut made = Vec::new();
        let (mut references, mut tasks) = (Vec::new(), Vec::new());
        for at in 0..children {
            // Two runs of one task, as a matrix has.
            let is_matrix = at > 0 && self.once_in(4);
            let task = format!("task{}", if is_matrix { at - 1 } else { at });
            let child_name = format!("{name}-{at}");
            let mut child = self.task_run(
                namespace,
                &child_name,
                images.get(at..=at).unwrap_or_default(),
            );
            child["metadata"]["labels"]["tekton.dev/pipelineRun"] = json!(name);
            child["metadata"]["labels"]["tekton.dev/pipelineTask"] = json!(task);
            made.push(child);
            let mut reference = json!({"apiVersion": "tekton.dev/v1", "kind": "TaskRun", "name": child_name, "pipelineTaskName": task});
            if self.once_in(3) {
                reference["whenExpressions"] =
                    json!([{"input": self.word(), "operator": "in", "values": ["a", "b"]}]);
            }
            references.push(reference);
            if !is_matrix {
                tasks.push(self.pipeline_task(at));
            }
        }
        if self.once_in(3) {
            references.reverse();
        }
        let finally = match tasks.len() > 1 && self.once_in(3) {
            true => tasks.split_off(tasks.len() - 1),
            false => Vec::new(),
        };
        let mut spec = json!({"params": self.params(3), "pipelineRef": self.reference("Pipeline"), "taskRunTemplate": {"serviceAccountName": "default"}});
        if self.once_in(2) {
            spec["timeouts"] = json!({"pipeline": "1h0m0s", "tasks": "45m"});
            spec["workspaces"] = json!([{"name": "w", "volumeClaimTemplate": {"spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1024Mi"}}}}}]);
        }
        let mut results = self.results(images.get(children..).unwrap_or_default());
        for result in &mut results {
            // A PipelineRun's results have no type.
            if let Some(members) = result.as_object_mut() {
                members.remove("type");
            }
        }
        let mut status = json!({
            "conditions": self.conditions(), "startTime": START, "completionTime": END, "childReferences": references, "results": results,
            "pipelineSpec": {"tasks": tasks, "finally": finally, "params": [{"name": "p0", "type": "string", "default": self.word()}]},
        });
        if self.once_in(2) {
            status["provenance"] = self.provenance();
            status["skippedTasks"] =
                json!([{"name": "deploy", "reason": "When Expressions evaluated to false"}]);
        }
        made.push(json!({"apiVersion": "tekton.dev/v1", "kind": "PipelineRun", "metadata": self.metadata(namespace, name), "spec": spec, "status": status}));
        made
    }

    fn pipeline_task(&mut self, at: usize) -> Value {
        let mut task = json!({"name": format!("task{at}")});
        match self.once_in(4) {
            true => task["taskSpec"] = self.task_spec(&["embedded".to_owned()]),
            false => task["taskRef"] = self.reference("Task"),
        }
        if at > 0 && !self.once_in(3) {
            let before = self.below(at);
            let mention = format!(
                "$(tasks.task{before}.results.{})",
                self.pick(&["digest", "list[0]", "map.key"])
            );
            match self.below(4) {
                0 => task["runAfter"] = json!([format!("task{before}")]),
                1 => {
                    task["when"] =
                        json!([{"input": mention, "operator": "in", "values": [self.word()]}])
                }
                2 => {
                    task["matrix"] =
                        json!({"params": [{"name": "os", "value": ["linux", mention]}]})
                }
                _ => task["params"] = json!([{"name": "from", "value": mention}]),
            }
        }
        task
    }
}

fn text(name: &str, value: String) -> Value {
    json!({"name": name, "type": "string", "value": value})
}
