// Random PipelineRuns with their children.

package main

import (
	"fmt"
	"reflect"
	"strings"

	v1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1"
	corev1 "k8s.io/api/core/v1"
)

// A pipeline's run and its children.
func (a *author) pipelineRun(target reflect.Type) (*object, []*object) {
	run := a.identity("PipelineRun", "run")
	spec := a.object(reflect.TypeFor[v1.PipelineRunSpec](), 0)
	spec.set("params", a.params(spec.list("params")))
	a.reference(spec, "pipelineRef")
	run.set("spec", spec)
	status := a.object(reflect.TypeFor[v1.PipelineRunStatus](), 1)
	done := !a.broken || !a.oddly(0.06, "still running")
	a.conditions(status, done)
	a.times(status, done || a.chance(0.5))
	status.delete("provenance", "childReferences", "results")
	if provenance := a.provenance(0.5); provenance != nil {
		status.set("provenance", provenance)
	}
	a.put(status, "results", a.hints.results(a.between(0, 4)))
	pipeline, tasks := a.pipelineSpec(status)
	status.delete("pipelineSpec")
	if !a.oddly(0.04, "no pipelineSpec in the status") {
		status.set("pipelineSpec", pipeline)
	}
	if target != nil {
		a.aim(reflect.TypeFor[v1.TaskRun](), target)
		delete(a.path, reflect.TypeFor[v1.TaskRun]())
	}
	children := a.children(tasks)
	a.refer(status, children, done)
	run.set("status", status)
	return run, children
}

// What the pipeline was, with the names of its tasks.
func (a *author) pipelineSpec(status *object) (*object, []string) {
	pipeline := newObject()
	if made, ok := status.values["pipelineSpec"].(*object); ok {
		pipeline = made
	}
	tasks := []string{}
	for i := range a.between(1, 4) {
		tasks = append(tasks, fmt.Sprintf("%s-%d", pick(a.dice, names), i))
	}
	final := a.IntN(3)
	for i := range final {
		tasks = append(tasks, fmt.Sprintf("final-%d", i))
	}
	own, finally := list{}, list{}
	for i, name := range tasks {
		if i < len(tasks)-final {
			own = append(own, a.pipelineTask(a.base(pipeline, "tasks", i, reflect.TypeFor[v1.PipelineTask]()), name, tasks))
		} else {
			finally = append(finally, a.pipelineTask(a.object(reflect.TypeFor[v1.PipelineTask](), 3), name, tasks))
		}
	}
	a.put(pipeline, "tasks", own)
	a.put(pipeline, "finally", finally)
	pipeline.set("params", a.paramSpecs(pipeline.list("params")))
	return pipeline, tasks
}

func (a *author) children(tasks []string) []*object {
	children := []*object{}
	incomplete := a.broken && a.oddly(0.15, "a child that is not complete")
	for _, task := range tasks {
		for range pick(a.dice, []int{0, 1, 1, 1, 1, 2}) {
			name := fmt.Sprintf("run-%s-%d", task, len(children))
			child := a.taskRun(name, true)
			meta := child.object("metadata")
			if !a.oddly(0.03, "a child without labels") {
				label := task
				if a.oddly(0.03, "a child of a task that is not there") {
					label = "other"
				}
				meta.object("labels").set("tekton.dev/pipelineTask", label)
				meta.object("labels").set("tekton.dev/pipelineRun", "run")
			} else {
				meta.delete("labels")
			}
			meta.object("annotations").set("chains.tekton.dev/signed", pick(a.dice, []string{"true", "true", "true", "failed"}))
			if a.chance(0.1) {
				meta.object("annotations").set("chains.tekton.dev/payload-taskrun-"+a.uid(), a.hex(30))
			}
			children = append(children, child)
		}
	}
	if incomplete && len(children) > 0 {
		status := pick(a.dice, children).object("status")
		status.delete("completionTime")
		if a.chance(0.7) {
			status.set("conditions", list{newObject("type", "Succeeded", "status", "Unknown")})
		}
	}
	return children
}

// The references to the children; what the controller would then refuse is among them only in broken cases.
func (a *author) refer(status *object, children []*object, done bool) {
	references := list{}
	for _, child := range children {
		name := child.object("metadata").values["name"]
		reference := a.base(status, "childReferences", len(references), reflect.TypeFor[v1.ChildStatusReference]())
		reference.set("name", name)
		reference.set("kind", "TaskRun")
		reference.set("pipelineTaskName", strings.TrimPrefix(name.(string), "run-"))
		references = append(references, reference)
	}
	if a.chance(0.4) {
		a.Shuffle(len(references), func(i, j int) { references[i], references[j] = references[j], references[i] })
	}
	if len(references) > 1 && a.oddly(0.04, "a child with no reference") {
		references = references[1:]
	}
	if len(references) > 0 && a.oddly(0.02, "a child referred to twice") {
		references = append(references, references[0])
	}
	if a.broken && a.oddly(0.1, "a child that is not there") {
		references = append(references, newObject("apiVersion", "tekton.dev/v1", "kind", "TaskRun", "name", "run-gone", "pipelineTaskName", "gone"))
	}
	if a.broken && a.oddly(0.1, "a custom run among the children") {
		references = append(references, newObject("apiVersion", "tekton.dev/v1beta1", "kind", "CustomRun", "name", "run-custom", "pipelineTaskName", "approve"))
	}
	if !a.broken && done && len(children) > 0 && a.oddly(0.03, "a child that is not signed yet") {
		pick(a.dice, children).object("metadata").object("annotations").delete("chains.tekton.dev/signed")
	}
	if a.oddly(0.02, "no references to children") {
		references = nil
	}
	a.put(status, "childReferences", references)
}

// A task of a pipeline, with references to results of others in all places where Chains looks for them.
func (a *author) pipelineTask(task *object, name string, tasks []string) *object {
	task.set("name", name)
	task.delete("runAfter")
	if a.chance(0.3) {
		after := list{}
		for range a.IntN(3) {
			after = append(after, pick(a.dice, tasks))
		}
		task.set("runAfter", after)
	}
	if a.chance(0.7) {
		a.reference(task, "taskRef")
	}
	if a.chance(0.4) {
		task.set("params", append(a.params(task.list("params")), a.referring(tasks)...))
	}
	if a.chance(0.2) {
		matrix := newObject("params", a.referring(tasks))
		if a.chance(0.5) {
			matrix.set("include", list{newObject("name", "one", "params", a.referring(tasks)), newObject("params", a.params(list{}))})
		}
		task.set("matrix", matrix)
	}
	if a.chance(0.3) {
		when := newObject("input", a.mention(tasks), "operator", pick(a.dice, []string{"in", "notin"}), "values", list{a.mention(tasks), a.word()})
		if a.chance(0.4) {
			when = newObject("cel", "'"+a.mention(tasks)+"' == 'x'")
		}
		task.set("when", list{when})
	}
	if a.chance(0.2) {
		embedded := task.object("taskSpec")
		step := a.object(reflect.TypeFor[v1.Step](), 4)
		step.set("name", "embedded")
		step.set(pick(a.dice, []string{"script", "workingDir", "image"}), a.mention(tasks))
		step.set("env", list{newObject("name", "X", "value", a.mention(tasks))})
		step.set(pick(a.dice, []string{"args", "command"}), list{a.mention(tasks), a.word()})
		embedded.set("steps", list{step})
		if a.chance(0.3) {
			sidecar := a.object(reflect.TypeFor[v1.Sidecar](), 4)
			sidecar.set("script", a.mention(tasks))
			embedded.set("sidecars", list{sidecar})
		}
		if a.chance(0.3) {
			embedded.set("volumes", list{a.object(reflect.TypeFor[corev1.Volume](), 4)})
		}
	}
	return task
}

func (a *author) referring(tasks []string) list {
	params := list{}
	for range a.between(1, 2) {
		// Not several in one map: Chains walks those in random order.
		value := pick(a.dice, []any{a.mention(tasks), list{a.mention(tasks), a.word(), a.mention(tasks)}, newObject("k", a.mention(tasks))})
		params = append(params, newObject("name", a.word(), "value", value))
	}
	return params
}

// A text that speaks of a task's result, or nearly does.
func (a *author) mention(tasks []string) string {
	task := pick(a.dice, tasks)
	if a.chance(0.1) {
		task = pick(a.dice, []string{"gone", "a.b", "A_1", "", "é", "x y"})
	}
	text := fmt.Sprintf(pick(a.dice, []string{
		"$(tasks.%s.results.digest)", "$(tasks.%s.results.digest)", "$(tasks.%s.results.list[0])", "$(tasks.%s.results.list[*])", "$(tasks.%s.results.map.key)", "$(finally.%s.results.digest)", "pre-$(tasks.%s.results.a)-post",
		"$(tasks.%s.results['a.b'])", `$(tasks.%s.results["a"])`, "$(tasks.%s.status)", "$(tasks.%s.results)", "$(tasks.%s.outputs.x)", "$(tasks.%s.result.x)", "$(Tasks.%s.results.x)", "$$(tasks.%s.results.x)", "$(tasks.%s.results.x", "$( tasks.%s.results.x )",
		"$(tasks.%s.results.a.b.c)", "$(tasks.%s.results.list[x])", "$(tasks.%s.results.list[0][1])", "$(tasks.%s.results.)", "$(tasks.%s.results.é)", "$(params.%s.results.x)", "$(pipeline.tasks.%s.results.x)",
	}), task)
	if a.chance(0.2) {
		text += " $(tasks." + pick(a.dice, tasks) + ".results.other)"
	}
	return text
}
