// Reads a case as the controller would see it: the run, its children in order, the configuration, and what it would decide.

package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/tektoncd/chains/pkg/chains/objects"
	"github.com/tektoncd/chains/pkg/config"
	v1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1"
	kubejson "k8s.io/apimachinery/pkg/util/json"
)

// A run with its children, as the controller would hand it to a formatter.
type caseRun struct {
	object   objects.TektonObject
	config   config.Config
	decision string
	// Where Chains walks a hash map with several entries, so that one look is not enough: pairs of results for the order of
	// subjects and images, digests of a source for the payload as such.
	randomPairs, randomSource bool
}

func readCase(folder string) (*caseRun, error) {
	configured := map[string]string{}
	if err := readJSON(filepath.Join(folder, "config.json"), &configured); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	settings, err := config.NewConfigFromMap(configured)
	if err != nil {
		return nil, err
	}
	input := filepath.Join(folder, "input.json")
	var head struct {
		Kind string `json:"kind"`
	}
	if err := readJSON(input, &head); err != nil {
		return nil, err
	}
	run := &caseRun{config: *settings}
	switch head.Kind {
	case "TaskRun":
		task, err := readTaskRun(input)
		if err != nil {
			return nil, err
		}
		object := objects.NewTaskRunObjectV1(task)
		run.object, run.decision = object, decide(object)
		run.randomPairs, run.randomSource = randomTask(task), severalDigests(task.Status.Provenance)
	case "PipelineRun":
		pipeline, err := readPipelineRun(input)
		if err != nil {
			return nil, err
		}
		object := objects.NewPipelineRunObjectV1(pipeline)
		run.object, run.decision = object, decide(object)
		run.randomPairs = randomResults(results(pipeline.Status.Results))
		run.randomSource = severalDigests(pipeline.Status.Provenance)
		if err := run.addChildren(object, filepath.Join(folder, "children")); err != nil {
			return nil, err
		}
	default:
		return nil, fmt.Errorf("kind %q is neither TaskRun nor PipelineRun", head.Kind)
	}
	return run, nil
}

// The decision of the controller for a run on its own.
func decide(object objects.TektonObject) string {
	switch {
	case !object.IsDone():
		return "skip: still running"
	case reconciled(object):
		return "skip: already reconciled"
	default:
		return "sign"
	}
}

func reconciled(object objects.TektonObject) bool {
	mark := object.GetAnnotations()["chains.tekton.dev/signed"]
	return mark == "true" || mark == "failed"
}

// Children in the order of status.childReferences; all of the folder, where the run has no references at all.
func (run *caseRun) addChildren(pipeline *objects.PipelineRunObjectV1, folder string) error {
	files, err := filepath.Glob(filepath.Join(folder, "*.json"))
	if err != nil {
		return err
	}
	known := map[string]*v1.TaskRun{}
	var all []string
	for _, file := range files {
		child, err := readTaskRun(file)
		if err != nil {
			return err
		}
		known[child.Name] = child
		all = append(all, child.Name)
	}
	names := make([]string, 0, len(pipeline.Status.ChildReferences))
	for _, reference := range pipeline.Status.ChildReferences {
		names = append(names, reference.Name)
	}
	if len(names) == 0 {
		names = all
	}
	for _, child := range names {
		task, found := known[child]
		if run.decision == "sign" && len(pipeline.Status.ChildReferences) != 0 {
			switch {
			case !found:
				run.decision = "skip: child not found: " + child
			case task.Status.CompletionTime == nil:
				run.decision = "wait: child not complete: " + child
			case !reconciled(objects.NewTaskRunObjectV1(task)):
				run.decision = "wait: child not reconciled: " + child
			}
		}
		if found {
			pipeline.AppendTaskRun(task)
			run.randomPairs = run.randomPairs || randomTask(task)
		}
	}
	return nil
}

func randomTask(task *v1.TaskRun) bool {
	ofStep := func(step v1.StepState) bool { return randomResults(results(step.Results)) }
	return randomResults(results(task.Status.Results)) || slices.ContainsFunc(task.Status.Steps, ofStep)
}

// Several pairs of an URL and a digest come out in random order.
func randomResults(names []string) bool {
	markers := map[string]bool{}
	for _, result := range names {
		for _, suffix := range []string{"IMAGE_URL", "ARTIFACT_URI"} {
			if strings.HasSuffix(result, suffix) {
				markers[result] = true
			}
		}
	}
	return len(markers) > 1
}

func results[R v1.TaskRunResult | v1.PipelineRunResult](all []R) []string {
	names := make([]string, 0, len(all))
	for _, result := range all {
		switch r := any(result).(type) {
		case v1.TaskRunResult:
			names = append(names, r.Name)
		case v1.PipelineRunResult:
			names = append(names, r.Name)
		}
	}
	return names
}

// Of several digests of a source Chains names one, any.
func severalDigests(provenance *v1.Provenance) bool {
	return provenance != nil && provenance.RefSource != nil && len(provenance.RefSource.Digest) > 1
}

// A copy, as the controller makes one: formatters leave traces in a run, for merged materials share their digests with its
// refSource.
func fresh(object objects.TektonObject) objects.TektonObject {
	pipeline, ok := object.(*objects.PipelineRunObjectV1)
	if !ok {
		return objects.NewTaskRunObjectV1(object.GetObject().(*v1.TaskRun).DeepCopy())
	}
	copied := objects.NewPipelineRunObjectV1(pipeline.PipelineRun.DeepCopy())
	// A child that is referred to twice stays one object.
	children := map[*v1.TaskRun]*v1.TaskRun{}
	for _, child := range pipeline.GetTaskRuns() {
		if children[child] == nil {
			children[child] = child.DeepCopy()
		}
		copied.AppendTaskRun(children[child])
	}
	return copied
}

// The folders that hold a case, in the order of their names.
func cases(root string) ([]string, error) {
	inputs, err := filepath.Glob(filepath.Join(root, "*", "input.json"))
	if err != nil {
		return nil, err
	}
	if len(inputs) == 0 {
		return nil, fmt.Errorf("no case in %s", root)
	}
	for i, input := range inputs {
		inputs[i] = filepath.Dir(input)
	}
	return inputs, nil
}

// Decoded as Kubernetes clients do it: names of fields are case-sensitive.
func readJSON(path string, into any) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := kubejson.Unmarshal(text, into); err != nil {
		return fmt.Errorf("%s: %w", filepath.Base(path), err)
	}
	return nil
}
