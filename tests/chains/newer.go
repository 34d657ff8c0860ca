// What the linked Chains cannot say for the newer one that tekseal equals.

package main

import (
	"context"
	"slices"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/tektoncd/chains/pkg/artifacts"
	"github.com/tektoncd/chains/pkg/chains/formats"
	"github.com/tektoncd/chains/pkg/chains/objects"
	"github.com/tektoncd/chains/pkg/config"
	v1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1"
)

// The formats in which Chains v0.29, which tekseal equals, says something else of this run than the older version that is
// linked in here; VERSION-DIFFERENCES.md has the rules. Goes once v0.29 can be linked.
func (run *caseRun) changedSince(ctx context.Context) []config.PayloadType {
	var tasks []*v1.TaskRun
	switch object := run.object.(type) {
	case *objects.TaskRunObjectV1:
		tasks = append(tasks, object.TaskRun)
	case *objects.PipelineRunObjectV1:
		tasks = object.GetTaskRuns()
	}
	image, renamed := imageOutputs(ctx, run.object.GetResults())
	remote := false
	for _, task := range tasks {
		object := objects.NewTaskRunObjectV1(task)
		ofTask, taskRenamed := imageOutputs(ctx, object.GetResults())
		_, stepRenamed := imageOutputs(ctx, object.GetStepResults())
		image, renamed = image || ofTask, renamed || taskRenamed || stepRenamed
		remote = remote || slices.ContainsFunc(task.Status.Steps, func(step v1.StepState) bool {
			return step.Provenance != nil && step.Provenance.RefSource != nil
		})
	}
	var changed []config.PayloadType
	if image {
		changed = append(changed, formats.PayloadTypeInTotoIte6, formats.PayloadTypeSlsav2alpha3)
	}
	if renamed || remote {
		changed = append(changed, formats.PayloadTypeSlsav2alpha4)
	}
	return changed
}

// Whether an *ARTIFACT_OUTPUTS build artifact is an image, and whether it has another name as such.
func imageOutputs(ctx context.Context, results []objects.Result) (image, renamed bool) {
	for _, output := range artifacts.ExtractBuildArtifactsFromResults(ctx, results) {
		reference, err := name.NewDigest(output.FullRef())
		if err != nil {
			continue
		}
		image = true
		renamed = renamed || reference.Name() != output.FullRef()
	}
	return image, renamed
}

// Of images with the same name only the first, as since v0.29.
func withoutRepeats(images []imageMeta) []imageMeta {
	seen := map[string]bool{}
	return slices.DeleteFunc(images, func(image imageMeta) bool {
		repeated := seen[image.Name]
		seen[image.Name] = true
		return repeated
	})
}
