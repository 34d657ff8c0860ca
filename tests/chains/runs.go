// Random TaskRuns, and what they have in common with PipelineRuns.

package main

import (
	"fmt"
	"reflect"

	"github.com/tektoncd/pipeline/pkg/apis/config"
	v1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"knative.dev/pkg/apis"
)

// Makes whole runs: the shape by hand, so that they are plausible, everything else by the filler.
type author struct {
	filler
	hints *hints
	// Faults that spoil a payload are kept out of most cases.
	broken bool
	note   []string
}

func (a *author) say(format string, arguments ...any) {
	a.note = append(a.note, fmt.Sprintf(format, arguments...))
}

// With a small chance something unusual, said in the note.
func (a *author) oddly(p float64, what string) bool {
	if !a.chance(p) {
		return false
	}
	a.say("%s", what)
	return true
}

var names = []string{"build", "clone", "test", "push", "scan", "sign", "deploy", "lint"}

func (a *author) identity(kind, name string) *object {
	o := newObject()
	if a.chance(0.85) || kind == "PipelineRun" || name == "run" {
		o.set("apiVersion", "tekton.dev/v1")
		o.set("kind", kind)
	}
	meta := a.object(reflect.TypeFor[metav1.ObjectMeta](), 1)
	meta.set("name", name)
	meta.set("namespace", "builds")
	meta.set("uid", a.uid())
	meta.delete("labels", "annotations")
	if a.chance(0.5) {
		labels := meta.object("labels")
		for range a.IntN(4) {
			labels.set(a.key(), a.word())
		}
		if a.chance(0.2) {
			labels.set("chains.tekton.dev/reproducible", pick(a.dice, []any{"true", "True", "false", "", nil}))
		}
	}
	if a.chance(0.5) {
		annotations := meta.object("annotations")
		for range a.IntN(4) {
			annotations.set(a.key(), a.word())
		}
		for _, key := range []string{
			"kubectl.kubernetes.io/last-applied-configuration", "chains.tekton.dev/transparency-upload", "chains.tekton.dev/", "chains.tekton.dev.example.com/x", "chains.tekton.dev/retries", "pipeline.tekton.dev/release", "chains.tekton.dev",
		} {
			if a.chance(0.15) {
				annotations.set(key, a.word())
			}
		}
	}
	o.set("metadata", meta)
	return o
}

// Element i of a list that the filler made, or a new one.
func (a *author) base(o *object, key string, i int, t reflect.Type) *object {
	if made := o.list(key); i < len(made) {
		if element, ok := made[i].(*object); ok {
			return element
		}
	}
	return a.object(t, 3)
}

func (a *author) conditions(status *object, done bool) {
	state := pick(a.dice, []string{"True", "True", "True", "False"})
	if !done {
		state = "Unknown"
	}
	condition := a.base(status, "conditions", 0, reflect.TypeFor[apis.Condition]())
	condition.set("type", "Succeeded")
	condition.set("status", state)
	conditions := list{condition}
	if a.oddly(0.05, "another condition first") {
		other := a.object(reflect.TypeFor[apis.Condition](), 3)
		other.set("type", pick(a.dice, []string{"Ready", "succeeded", ""}))
		other.set("status", pick(a.dice, []string{"True", "False", "Unknown", "", "true"}))
		conditions = list{other, condition}
	}
	if !done && a.chance(0.3) {
		conditions = nil
	}
	status.set("conditions", conditions)
	if conditions == nil {
		status.delete("conditions")
	}
}

func (a *author) times(status *object, complete bool) {
	status.delete("startTime", "completionTime")
	if !a.oddly(0.02, "no startTime") {
		status.set("startTime", a.time())
	}
	if complete {
		status.set("completionTime", a.time())
	} else if a.chance(0.3) {
		status.set("completionTime", nil)
	}
}

func (a *author) provenance(p float64) any {
	if !a.chance(p) {
		return nil
	}
	o := newObject()
	if a.chance(0.8) {
		o.set("refSource", a.hints.refSource())
	}
	if a.chance(0.3) {
		o.set("featureFlags", a.object(reflect.TypeFor[config.FeatureFlags](), 0))
	}
	return o
}

func (a *author) params(own list) list {
	for range a.IntN(4) {
		own = append(own, newObject("name", a.word(), "value", a.paramValue()))
	}
	for _, name := range []string{"CHAINS-GIT_URL", "CHAINS-GIT_COMMIT"} {
		if a.chance(0.12) {
			value := pick(a.dice, []any{a.hints.gitURL(), a.hints.commit(), a.hex(20), a.paramValue()})
			own = append(own, newObject("name", name, "value", value))
		}
	}
	return own
}

func (a *author) paramSpecs(own list) list {
	for range a.IntN(4) {
		param := a.object(reflect.TypeFor[v1.ParamSpec](), 3)
		param.set("name", a.word())
		if a.chance(0.5) {
			param.set("default", a.paramValue())
		}
		own = append(own, param)
	}
	for _, name := range []string{"CHAINS-GIT_URL", "CHAINS-GIT_COMMIT"} {
		if a.chance(0.12) {
			param := newObject("name", name, "type", "string")
			if a.chance(0.7) {
				param.set("default", pick(a.dice, []any{a.hints.gitURL(), a.hints.commit(), a.paramValue()}))
			}
			own = append(own, param)
		}
	}
	return own
}

func (a *author) reference(o *object, key string) {
	if a.chance(0.2) {
		return
	}
	reference := o.object(key)
	reference.delete("resolver")
	if a.chance(0.5) {
		reference.set("name", pick(a.dice, names))
	}
	if a.chance(0.5) {
		reference.set("resolver", pick(a.dice, []string{"git", "bundles", "hub", "cluster", "Cluster", "", " ", "http", "CLUSTER"}))
	}
	if a.chance(0.3) {
		reference.set("params", a.params(list{}))
	}
}

func (a *author) taskRun(name string, done bool) *object {
	run := a.identity("TaskRun", name)
	spec := a.object(reflect.TypeFor[v1.TaskRunSpec](), 0)
	spec.set("params", a.params(spec.list("params")))
	if len(spec.list("params")) == 0 && a.chance(0.7) {
		spec.delete("params")
	}
	a.reference(spec, "taskRef")
	run.set("spec", spec)
	run.set("status", a.taskStatus(done))
	if a.chance(0.02) {
		run.set("x-unknown", a.anything(0))
	}
	return run
}

func (a *author) taskStatus(done bool) *object {
	status := a.object(reflect.TypeFor[v1.TaskRunStatus](), 1)
	a.conditions(status, done)
	a.times(status, done)
	if provenance := a.provenance(0.4); provenance != nil {
		status.set("provenance", provenance)
	} else {
		status.delete("provenance")
	}
	steps := pick(a.dice, []int{0, 1, 1, 1, 2, 2, 3, 4})
	states, specs := list{}, list{}
	template := newObject()
	if task, ok := status.values["taskSpec"].(*object); ok {
		template = task
	}
	for i := range steps {
		name := pick(a.dice, names)
		if i > 0 && !a.chance(0.1) {
			name = fmt.Sprintf("%s-%d", name, i)
		}
		state := a.base(status, "steps", i, reflect.TypeFor[v1.StepState]())
		specified := a.base(template, "steps", i, reflect.TypeFor[v1.Step]())
		specified.set("name", name)
		if a.chance(0.1) {
			name = fmt.Sprintf("unnamed-%d", i)
			if a.chance(0.8) {
				specified.set("name", "")
			}
		}
		state.set("name", name)
		state.set("container", "step-"+name)
		a.state(state)
		a.command(specified)
		states, specs = append(states, state), append(specs, specified)
	}
	if a.oddly(0.06, "steps in another order") {
		a.Shuffle(len(specs), func(i, j int) { specs[i], specs[j] = specs[j], specs[i] })
	}
	if len(specs) > 0 && a.oddly(0.05, "a step less in the spec") {
		specs = specs[1:]
	}
	a.put(status, "steps", states)
	sidecars := list{}
	for i := range pick(a.dice, []int{0, 0, 0, 1, 2}) {
		sidecar := a.base(status, "sidecars", i, reflect.TypeFor[v1.SidecarState]())
		sidecar.set("name", a.word())
		sidecar.set("imageID", a.hints.imageID(a.broken))
		sidecars = append(sidecars, sidecar)
	}
	a.put(status, "sidecars", sidecars)
	a.put(status, "results", a.hints.results(a.between(0, 5)))
	status.delete("taskSpec")
	if !a.oddly(0.04, "no taskSpec in the status") {
		a.put(template, "steps", specs)
		template.set("params", a.paramSpecs(template.list("params")))
		status.set("taskSpec", template)
	}
	return status
}

// Sets a list; an empty one in one of the ways to have none.
func (a *author) put(o *object, key string, elements list) {
	o.set(key, elements)
	if len(elements) > 0 {
		return
	}
	switch a.IntN(3) {
	case 0:
		o.set(key, nil)
	case 1:
		o.delete(key)
	}
}

func (a *author) state(state *object) {
	state.set("imageID", a.hints.imageID(a.broken))
	if a.broken && a.chance(0.1) {
		state.delete("imageID")
	}
	state.delete("results", "provenance")
	if a.chance(0.3) {
		state.set("results", a.hints.results(a.between(0, 3)))
	}
	if a.chance(0.015) {
		state.set("provenance", a.provenance(1))
	} else if a.chance(0.05) {
		state.set("provenance", newObject("featureFlags", a.object(reflect.TypeFor[config.FeatureFlags](), 0)))
	}
}

func (a *author) command(step *object) {
	step.delete("script", "command", "args")
	if a.chance(0.4) {
		step.set("script", pick(a.dice, []string{"", "#!/bin/sh\nset -e\necho \"<$(params.x)>\" && true\n", a.word()}))
	}
	for _, key := range []string{"command", "args"} {
		if !a.chance(0.5) {
			continue
		}
		words := list{}
		for range a.IntN(4) {
			words = append(words, a.word())
		}
		step.set(key, words)
		if len(words) == 0 && a.chance(0.3) {
			step.set(key, nil)
		}
	}
}
