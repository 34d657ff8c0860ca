// The command that writes random cases, and counts which fields they have.

package main

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	v1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1"
)

// Writes random runs as cases without expectations. Case i of a seed does not depend on how many are made.
func generate(arguments []string) error {
	flags := flag.NewFlagSet("generate", flag.ContinueOnError)
	seed := flags.Uint64("seed", 1, "where chance starts")
	count := flags.Int("count", 100, "how many cases")
	out := flags.String("out", "", "folder for the cases")
	if err := flags.Parse(arguments); err != nil {
		return err
	}
	if *out == "" || *count < 1 || flags.NArg() != 0 {
		return errors.New("usage: generate --seed N --count N --out DIR")
	}
	seen := coverage{}
	for index := range *count {
		made := newCase(*seed, index)
		made.count(seen)
		if err := made.write(filepath.Join(*out, made.name)); err != nil {
			return err
		}
	}
	var missing []string
	total := 0
	for _, t := range allStructs() {
		for _, field := range mustFields(t) {
			total++
			if !seen[fieldName(t, field.key)] {
				missing = append(missing, fieldName(t, field.key))
			}
		}
	}
	fmt.Fprintf(os.Stderr, "%d cases, %d of %d fields filled%s\n", *count, total-len(missing), total, shortly(missing))
	return nil
}

func shortly(missing []string) string {
	if len(missing) == 0 {
		return ""
	}
	if len(missing) > 20 {
		return fmt.Sprintf(", not %s and %d more", strings.Join(missing[:20], " "), len(missing)-20)
	}
	return ", not " + strings.Join(missing, " ")
}

func allStructs() []reflect.Type {
	var all []reflect.Type
	for _, root := range roots {
		for _, t := range targets(root) {
			if !slices.Contains(all, t) {
				all = append(all, t)
			}
		}
	}
	return all
}

type newRun struct {
	name     string
	input    *object
	children []*object
	config   *object
	note     []string
	spelling spelling
}

func newCase(seed uint64, index int) *newRun {
	random := rand.New(rand.NewPCG(seed, uint64(index)))
	d := &dice{Rand: random, oddity: pick(&dice{Rand: random}, []float64{0, 0.05, 0.15, 0.5})}
	a := &author{
		filler: filler{
			dice: d, density: pick(d, []float64{0.01, 0.03, 0.08, 0.15, 0.3}), budget: pick(d, []int{40, 150, 400, 1200}),
			path: map[reflect.Type]string{}, full: map[reflect.Type]bool{},
		},
		hints:  newHints(d),
		broken: d.chance(0.1),
	}
	if a.broken {
		a.faults = 0.02
	}
	made := &newRun{config: newObject()}
	if d.chance(0.45) {
		whole, spec := targets(reflect.TypeFor[v1.TaskRun]()), targets(reflect.TypeFor[v1.PipelineRunSpec]())
		child := whole[index%len(whole)]
		a.aim(reflect.TypeFor[v1.PipelineRunSpec](), spec[index%len(spec)])
		a.say("a PipelineRun with a full %s, and a full %s in a child", typeName(spec[index%len(spec)]), typeName(child))
		made.input, made.children = a.pipelineRun(child)
		made.name = "pr"
		if d.chance(0.45) {
			made.config.set("artifacts.pipelinerun.enable-deep-inspection", pick(d, []string{"true", "true", "1", "T", "false", "yes"}))
		}
	} else {
		spec := targets(reflect.TypeFor[v1.TaskRunSpec]())
		a.aim(reflect.TypeFor[v1.TaskRunSpec](), spec[index%len(spec)])
		a.say("a TaskRun with a full %s", typeName(spec[index%len(spec)]))
		made.input = a.taskRun("run", !a.broken || !a.oddly(0.15, "still running"))
		made.name = "tr"
		if a.chance(0.03) {
			made.input.object("metadata").object("annotations").set("chains.tekton.dev/signed", pick(d, []string{"true", "failed", "maybe"}))
		}
	}
	made.name = fmt.Sprintf("%04d-%s", index, made.name)
	if d.chance(0.4) {
		made.config.set("builddefinition.buildtype", pick(d, []string{"https://tekton.dev/chains/v2/slsa-tekton", "https://tekton.dev/chains/v2/slsa-tekton", "https://tekton.dev/chains/v2/slsa"}))
	}
	if d.chance(0.15) {
		made.config.set("builder.id", pick(d, []string{"https://example.com/builder", "", "a<b>&c", "é\n", d.word()}))
	}
	if d.chance(0.1) {
		made.config.set(pick(d, []string{"artifacts.taskrun.format", "artifacts.pipelinerun.format"}), pick(d, []string{"slsa/v1", "slsa/v2alpha4", "in-toto"}))
		made.config.set("unknown.key", d.word())
	}
	made.note = a.note
	made.spelling = spelling{
		indent: d.chance(0.25), blanks: pick(d, []float64{0, 0, 0, 0.2}), escapes: pick(d, []float64{0, 0, 0, 0.1}), shuffled: d.chance(0.3), random: random,
	}
	return made
}

func (made *newRun) count(seen coverage) {
	task, pipeline := reflect.TypeFor[v1.TaskRun](), reflect.TypeFor[v1.PipelineRun]()
	for _, child := range made.children {
		seen.add(task, child)
	}
	if made.input.values["kind"] == "TaskRun" {
		seen.add(task, made.input)
		return
	}
	seen.add(pipeline, made.input)
}

func (made *newRun) write(folder string) error {
	if err := os.RemoveAll(folder); err != nil {
		return err
	}
	files := map[string]string{"note.txt": strings.Join(made.note, "; ") + "\n"}
	order := []string{"input.json"}
	texts := map[string]any{"input.json": made.input, "config.json": made.config}
	for i, child := range made.children {
		name := filepath.Join("children", fmt.Sprintf("%02d-%s.json", i, child.object("metadata").values["name"]))
		texts[name] = child
		order = append(order, name)
	}
	for _, name := range append(order, "config.json") {
		files[name] = made.spelling.text(texts[name])
	}
	if made.children != nil {
		if err := os.MkdirAll(filepath.Join(folder, "children"), 0o755); err != nil {
			return err
		}
	} else if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}
