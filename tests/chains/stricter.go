// Where tekseal refuses what Chains passes over.

package main

import (
	"encoding/json"
	"fmt"

	"github.com/tektoncd/chains/pkg/chains/formats"
	"github.com/tektoncd/chains/pkg/chains/objects"
	"github.com/tektoncd/chains/pkg/config"
)

const tektonBuildType = "https://tekton.dev/chains/v2/slsa-tekton"

// With build type slsa-tekton every child is embedded whole. One that Go cannot write (a parameter without a value) Chains leaves
// out, with its images and without a word in the statement; tekseal makes no such statement.
func (run *caseRun) leavesOutChild(format config.PayloadType) error {
	pipeline, ok := run.object.(*objects.PipelineRunObjectV1)
	if !ok || format == formats.PayloadTypeInTotoIte6 || run.config.BuildDefinition.BuildType != tektonBuildType {
		return nil
	}
	for _, child := range pipeline.GetExecutedTasks() {
		if _, err := json.Marshal(child); err != nil {
			return fmt.Errorf("child %s would be left out: %w", child.GetName(), err)
		}
	}
	return nil
}
