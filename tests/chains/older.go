// Runs as documents of the older API version, tekton.dev/v1beta1, which Tekton's own conversion makes and reads.

package main

import (
	"context"
	"errors"
	"path/filepath"

	v1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1"
	"github.com/tektoncd/pipeline/pkg/apis/pipeline/v1beta1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	newVersion = "tekton.dev/v1"
	oldVersion = "tekton.dev/v1beta1"
)

// Writes the documents of all cases in a folder again, in the older version.
func older(arguments []string) error {
	if len(arguments) != 1 {
		return errors.New("usage: older DIR")
	}
	folders, err := cases(arguments[0])
	if err != nil {
		return err
	}
	for _, folder := range folders {
		children, err := filepath.Glob(filepath.Join(folder, "children", "*.json"))
		if err != nil {
			return err
		}
		for _, path := range append(children, filepath.Join(folder, "input.json")) {
			if err := makeOlder(path); err != nil {
				return err
			}
		}
	}
	return nil
}

func makeOlder(path string) error {
	ctx := context.Background()
	head := metav1.TypeMeta{}
	if err := readJSON(path, &head); err != nil {
		return err
	}
	if head.Kind == "PipelineRun" {
		run := &v1.PipelineRun{}
		if err := readJSON(path, run); err != nil {
			return err
		}
		old := &v1beta1.PipelineRun{TypeMeta: metav1.TypeMeta{APIVersion: oldVersion, Kind: "PipelineRun"}}
		if err := old.ConvertFrom(ctx, run); err != nil {
			return err
		}
		return writeJSON(path, old)
	}
	run := &v1.TaskRun{}
	if err := readJSON(path, run); err != nil {
		return err
	}
	old := &v1beta1.TaskRun{TypeMeta: metav1.TypeMeta{APIVersion: oldVersion, Kind: "TaskRun"}}
	if err := old.ConvertFrom(ctx, run); err != nil {
		return err
	}
	return writeJSON(path, old)
}

// Reads a TaskRun of either version; one of the older as the API server would convert it.
func readTaskRun(path string) (*v1.TaskRun, error) {
	head := metav1.TypeMeta{}
	if err := readJSON(path, &head); err != nil {
		return nil, err
	}
	run := &v1.TaskRun{}
	if head.APIVersion != oldVersion {
		return run, readJSON(path, run)
	}
	old := &v1beta1.TaskRun{}
	if err := readJSON(path, old); err != nil {
		return nil, err
	}
	run.TypeMeta = metav1.TypeMeta{APIVersion: newVersion, Kind: "TaskRun"}
	return run, old.ConvertTo(context.Background(), run)
}

// Reads a PipelineRun of either version.
func readPipelineRun(path string) (*v1.PipelineRun, error) {
	head := metav1.TypeMeta{}
	if err := readJSON(path, &head); err != nil {
		return nil, err
	}
	run := &v1.PipelineRun{}
	if head.APIVersion != oldVersion {
		return run, readJSON(path, run)
	}
	old := &v1beta1.PipelineRun{}
	if err := readJSON(path, old); err != nil {
		return nil, err
	}
	run.TypeMeta = metav1.TypeMeta{APIVersion: newVersion, Kind: "PipelineRun"}
	return run, old.ConvertTo(context.Background(), run)
}
