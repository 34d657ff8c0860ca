// Lets Chains' formatters loose on a case and writes down what they say, random orders included.

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"

	"github.com/google/go-containerregistry/pkg/name"
	intoto "github.com/in-toto/attestation/go/v1"
	"github.com/tektoncd/chains/pkg/artifacts"
	"github.com/tektoncd/chains/pkg/chains/formats"
	_ "github.com/tektoncd/chains/pkg/chains/formats/all"
	"github.com/tektoncd/chains/pkg/chains/objects"
	"github.com/tektoncd/chains/pkg/config"
	"go.uber.org/zap"
	"google.golang.org/protobuf/encoding/protojson"
	"knative.dev/pkg/logging"
)

// Where Chains walks a hash map, each run of a formatter is one sample. Go's small maps start at one of eight places, so an
// order can have a chance of only one in eight: (7/8)^150 leaves two in a billion.
const (
	samples       = 150
	samplesIfTame = 3
)

// What was asked for, and the name of its file. slsa/v1 must equal in-toto.
var payloadFiles = []struct {
	format config.PayloadType
	stem   string
}{
	{formats.PayloadTypeInTotoIte6, "in-toto"},
	{formats.PayloadTypeSlsav2alpha3, "slsa-v2alpha3"},
	{formats.PayloadTypeSlsav2alpha4, "slsa-v2alpha4"},
}

type meta struct {
	Kind       string                `json:"kind"`
	GVK        string                `json:"gvk"`
	ShortKey   string                `json:"shortKey"`
	FullKey    string                `json:"fullKey"`
	Decision   string                `json:"decision"`
	ImageOrder string                `json:"imageOrder"`
	Formats    map[string]formatMeta `json:"formats"`
}

type formatMeta struct {
	File                 string   `json:"file,omitempty"`
	Error                string   `json:"error,omitempty"`
	SubjectOrder         string   `json:"subjectOrder,omitempty"`
	Alternatives         []string `json:"alternatives,omitempty"`
	ArtifactURIs         []string `json:"artifactURIs"`
	SlsaV1AliasIdentical bool     `json:"slsaV1AliasIdentical,omitempty"`
}

type imageMeta struct {
	Name          string `json:"name"`
	Repository    string `json:"repository"`
	Digest        string `json:"digest"`
	ShortKey      string `json:"shortKey"`
	Simplesigning string `json:"simplesigning"`
}

// Writes `expected/` of every case in a folder, as Chains would have it; with --as-newer less what newer versions changed.
func format(arguments []string) error {
	asNewer := len(arguments) == 2 && arguments[1] == "--as-newer"
	if len(arguments) != 1 && !asNewer {
		return errors.New("usage: format DIR [--as-newer]")
	}
	folders, err := cases(arguments[0])
	if err != nil {
		return err
	}
	ctx := logging.WithLogger(context.Background(), zap.NewNop().Sugar())
	work := make(chan string)
	var failures []error
	var guard sync.Mutex
	var group sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		group.Go(func() {
			for folder := range work {
				if err := formatCase(ctx, folder, asNewer); err != nil {
					guard.Lock()
					failures = append(failures, fmt.Errorf("%s: %w", filepath.Base(folder), err))
					guard.Unlock()
				}
			}
		})
	}
	for _, folder := range folders {
		work <- folder
	}
	close(work)
	group.Wait()
	return errors.Join(failures...)
}

func formatCase(ctx context.Context, folder string, asNewer bool) error {
	run, err := readCase(folder)
	if err != nil {
		return err
	}
	expected := filepath.Join(folder, "expected")
	if err := os.RemoveAll(expected); err != nil {
		return err
	}
	if err := os.MkdirAll(expected, 0o755); err != nil {
		return err
	}
	about := meta{GVK: run.object.GetGVK(), Decision: run.decision, Formats: map[string]formatMeta{}}
	about.Kind = about.GVK[strings.LastIndex(about.GVK, "/")+1:]
	about.ShortKey, about.FullKey = keys(run.object)
	var changed []config.PayloadType
	if asNewer {
		changed = run.changedSince(ctx)
	}
	for _, wanted := range payloadFiles {
		if slices.Contains(changed, wanted.format) {
			continue
		}
		info, err := run.writePayloads(ctx, wanted.format, expected, wanted.stem)
		if err != nil {
			return err
		}
		about.Formats[string(wanted.format)] = info
	}
	images, order, err := run.images(ctx)
	if err != nil {
		return err
	}
	about.ImageOrder = order
	if asNewer {
		images = withoutRepeats(images)
	}
	if err := writeJSON(filepath.Join(expected, "oci-images.json"), images); err != nil {
		return err
	}
	return writeJSON(filepath.Join(expected, "meta.json"), about)
}

func samplesIf(random bool) int {
	if random {
		return samples
	}
	return samplesIfTame
}

func (run *caseRun) writePayloads(ctx context.Context, wanted config.PayloadType, folder, stem string) (formatMeta, error) {
	info := formatMeta{ArtifactURIs: []string{}}
	formatter, err := formats.GetPayloader(wanted, run.config)
	if err != nil {
		return info, err
	}
	orders, err := run.subjectOrders(ctx, formatter, &info)
	if err != nil {
		return info, err
	}
	raw, failure, err := run.payloads(ctx, formatter)
	if err != nil {
		return info, err
	}
	if failure == nil {
		failure = run.leavesOutChild(wanted)
	}
	if failure != nil {
		info.Error = failure.Error()
		info.ArtifactURIs = []string{}
		return info, nil
	}
	found := raw
	info.SubjectOrder = "fixed"
	if len(raw) > 1 || orders > 1 {
		info.SubjectOrder = "any"
		if found, err = sortedSubjects(raw); err != nil {
			return info, err
		}
	}
	for i, payload := range slices.Sorted(maps.Keys(found)) {
		file := stem + ".json"
		if i == 0 {
			info.File = file
		} else {
			file = fmt.Sprintf("%s.alt%d.json", stem, i)
			info.Alternatives = append(info.Alternatives, file)
		}
		if err := os.WriteFile(filepath.Join(folder, file), []byte(payload), 0o644); err != nil {
			return info, err
		}
	}
	if wanted == formats.PayloadTypeInTotoIte6 {
		if err := sameAsAlias(ctx, run, found); err != nil {
			return info, err
		}
		info.SlsaV1AliasIdentical = true
	}
	return info, nil
}

// The different payloads of one run, or why there is none.
func (run *caseRun) payloads(ctx context.Context, formatter formats.Payloader) (found map[string]bool, failure, err error) {
	found = map[string]bool{}
	failures := 0
	done, limit := 0, samplesIf(run.randomSource)
	for ; done < limit; done++ {
		payload, why := run.statement(ctx, formatter)
		if why != nil {
			failure = why
			failures++
			continue
		}
		if found[string(payload)] {
			continue
		}
		if found[string(payload)] = true; len(found) > 1 {
			// One that nobody has seen: look as often again.
			limit = done + samples
		}
	}
	if failures != 0 && failures != done {
		return nil, nil, fmt.Errorf("%s fails only at times: %w", formatter.Type(), failure)
	}
	return found, failure, nil
}

func sameAsAlias(ctx context.Context, run *caseRun, found map[string]bool) error {
	alias, err := formats.GetPayloader(formats.PayloadTypeSlsav1, run.config)
	if err != nil {
		return err
	}
	payload, err := run.statement(ctx, alias)
	if err != nil {
		return err
	}
	sorted, err := sortSubjects(payload)
	if err != nil {
		return err
	}
	if !found[string(payload)] && !found[string(sorted)] {
		return errors.New("slsa/v1 differs from in-toto")
	}
	return nil
}

// The bytes that Chains would sign, less the blank that protojson puts after every comma in some builds.
func (run *caseRun) statement(ctx context.Context, formatter formats.Payloader) (payload []byte, err error) {
	defer func() {
		if panicked := recover(); panicked != nil {
			err = fmt.Errorf("panic: %v", panicked)
		}
	}()
	made, err := formatter.CreatePayload(ctx, fresh(run.object))
	if err != nil {
		return nil, err
	}
	var text []byte
	switch message := made.(type) {
	case intoto.Statement:
		text, err = protojson.Marshal(&message)
	case *intoto.Statement:
		text, err = protojson.Marshal(message)
	default:
		return nil, fmt.Errorf("unexpected payload %T", made)
	}
	if err != nil {
		return nil, err
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, text); err != nil {
		return nil, err
	}
	return compact.Bytes(), nil
}

// In how many orders the subjects come; a formatter names them in the same order as URIs, without the rest of the payload.
func (run *caseRun) subjectOrders(ctx context.Context, formatter formats.Payloader, info *formatMeta) (int, error) {
	orders := map[string]bool{}
	for range samplesIf(run.randomPairs) {
		uris, err := formatter.RetrieveAllArtifactURIs(ctx, run.object)
		if err != nil {
			return 0, err
		}
		orders[strings.Join(uris, "\n")] = true
		slices.Sort(uris)
		info.ArtifactURIs = append([]string{}, uris...)
	}
	return len(orders), nil
}

func sortedSubjects(payloads map[string]bool) (map[string]bool, error) {
	sorted := map[string]bool{}
	for payload := range payloads {
		text, err := sortSubjects([]byte(payload))
		if err != nil {
			return nil, err
		}
		sorted[string(text)] = true
	}
	return sorted, nil
}

// The same statement with its subjects in the order of their JSON texts; nothing else changes.
func sortSubjects(payload []byte) ([]byte, error) {
	var read struct {
		Subject []json.RawMessage `json:"subject"`
	}
	if err := json.Unmarshal(payload, &read); err != nil {
		return nil, err
	}
	if len(read.Subject) < 2 {
		return payload, nil
	}
	texts := make([]string, 0, len(read.Subject))
	for _, subject := range read.Subject {
		texts = append(texts, string(subject))
	}
	before := `"subject":[` + strings.Join(texts, ",") + `]`
	slices.Sort(texts)
	after := `"subject":[` + strings.Join(texts, ",") + `]`
	if !bytes.Contains(payload, []byte(before)) {
		return nil, errors.New("subjects not found in the text of the statement")
	}
	return bytes.Replace(payload, []byte(before), []byte(after), 1), nil
}

// The images whose signature Chains would make, each with the payload of it.
func (run *caseRun) images(ctx context.Context) ([]imageMeta, string, error) {
	images := []imageMeta{}
	if !run.object.SupportsOCIArtifact() {
		return images, "fixed", nil
	}
	formatter, err := formats.GetPayloader(formats.PayloadTypeSimpleSigning, run.config)
	if err != nil {
		return nil, "", err
	}
	artifact := &artifacts.OCIArtifact{}
	orders := map[string]bool{}
	for range samplesIf(run.randomPairs) {
		var names []string
		images = images[:0]
		for _, object := range artifact.ExtractObjects(ctx, run.object) {
			image, ok := object.(name.Digest)
			if !ok {
				return nil, "", fmt.Errorf("unexpected image %T", object)
			}
			payload, err := formatter.CreatePayload(ctx, image)
			if err != nil {
				return nil, "", err
			}
			text, err := json.Marshal(payload)
			if err != nil {
				return nil, "", err
			}
			names = append(names, image.Name())
			images = append(images, imageMeta{
				Name: image.Name(), Repository: image.Repository.Name(), Digest: image.DigestStr(),
				ShortKey: artifact.ShortKey(image), Simplesigning: string(text),
			})
		}
		orders[strings.Join(names, "\n")] = true
	}
	if len(orders) == 1 {
		return images, "fixed", nil
	}
	slices.SortFunc(images, func(a, b imageMeta) int { return strings.Compare(a.Name, b.Name) })
	return images, "any", nil
}

func keys(object objects.TektonObject) (short, full string) {
	if object.SupportsTaskRunArtifact() {
		artifact := &artifacts.TaskRunArtifact{}
		return artifact.ShortKey(object), artifact.FullKey(object)
	}
	artifact := &artifacts.PipelineRunArtifact{}
	return artifact.ShortKey(object), artifact.FullKey(object)
}

func writeJSON(path string, value any) error {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(value); err != nil {
		return err
	}
	return os.WriteFile(path, text.Bytes(), 0o644)
}
