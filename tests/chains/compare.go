// Judges the linked Chains by the corpus: the same inputs must have the same expectations, but for the known differences.

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"github.com/tektoncd/chains/pkg/chains/formats"
)

// Compares the expectations of a corpus with those made now, case by case, and prints what differs as `CASE PART`. It fails
// where a difference is not listed, or a listed one is gone; --as-newer takes no list, for then what differs was left out.
func compare(arguments []string) error {
	asNewer := len(arguments) == 3 && arguments[2] == "--as-newer"
	if !asNewer && (len(arguments) != 4 || arguments[2] != "--known") {
		return errors.New("usage: compare CORPUS MADE --known FILE | --as-newer")
	}
	folders, err := cases(arguments[0])
	if err != nil {
		return err
	}
	different := map[string]bool{}
	for _, folder := range folders {
		parts, err := differences(filepath.Join(folder, "expected"), filepath.Join(arguments[1], filepath.Base(folder), "expected"), asNewer)
		if err != nil {
			return err
		}
		for _, part := range parts {
			different[filepath.Base(folder)+" "+part] = true
		}
	}
	fmt.Printf("%d cases, %d differences\n", len(folders), len(different))
	for line := range sortedKeys(different) {
		fmt.Println("  " + line)
	}
	known := map[string]bool{}
	if !asNewer {
		if known, err = knownDifferences(arguments[3], folders); err != nil {
			return err
		}
	}
	var wrong []string
	for line := range sortedKeys(different) {
		if !known[line] {
			wrong = append(wrong, "unexpected: "+line)
		}
	}
	for line := range sortedKeys(known) {
		if !different[line] {
			wrong = append(wrong, "listed but equal: "+line)
		}
	}
	if len(wrong) != 0 {
		return errors.New("this Chains differs from the corpus, and otherwise than listed\n  " + strings.Join(wrong, "\n  "))
	}
	return nil
}

// The listed differences of those cases that this corpus has.
func knownDifferences(path string, folders []string) (map[string]bool, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	known := map[string]bool{}
	for line := range strings.Lines(string(text)) {
		line, _, _ = strings.Cut(line, "#")
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		if slices.ContainsFunc(folders, func(folder string) bool { return filepath.Base(folder) == words[0] }) {
			known[strings.Join(words, " ")] = true
		}
	}
	return known, nil
}

// The parts of one case's expectations that differ: `meta`, `oci-images`, or a format.
func differences(corpus, made string, asNewer bool) ([]string, error) {
	var theirs, ours meta
	var parts []string
	for folder, into := range map[string]*meta{corpus: &theirs, made: &ours} {
		if err := readJSON(filepath.Join(folder, "meta.json"), into); err != nil {
			return nil, err
		}
	}
	for _, payload := range payloadFiles {
		a := theirs.Formats[string(payload.format)]
		b, present := ours.Formats[string(payload.format)]
		if asNewer && !present {
			continue
		}
		equal, err := samePayloads(corpus, a, made, b)
		if err != nil {
			return nil, err
		}
		// That there is an error counts, not its text.
		a.Error, b.Error, a.Alternatives, b.Alternatives = "", "", nil, nil
		if !equal || !reflect.DeepEqual(a, b) {
			parts = append(parts, string(payload.format))
		}
	}
	var images [2]any
	for i, folder := range []string{corpus, made} {
		if err := readJSON(filepath.Join(folder, "oci-images.json"), &images[i]); err != nil {
			return nil, err
		}
	}
	_, sure := ours.Formats[string(formats.PayloadTypeInTotoIte6)]
	if (sure || !asNewer) && (!reflect.DeepEqual(images[0], images[1]) || theirs.ImageOrder != ours.ImageOrder) {
		parts = append(parts, "oci-images")
	}
	theirs.Formats, ours.Formats, theirs.ImageOrder, ours.ImageOrder = nil, nil, "", ""
	if !reflect.DeepEqual(theirs, ours) {
		parts = append(parts, "meta")
	}
	return parts, nil
}

func samePayloads(corpus string, a formatMeta, made string, b formatMeta) (bool, error) {
	if a.Error != "" || b.Error != "" {
		return (a.Error != "") == (b.Error != ""), nil
	}
	read := func(folder string, info formatMeta) (map[string]bool, error) {
		texts := map[string]bool{}
		for _, file := range append([]string{info.File}, info.Alternatives...) {
			text, err := os.ReadFile(filepath.Join(folder, file))
			if err != nil {
				return nil, err
			}
			if !json.Valid(text) {
				return nil, fmt.Errorf("%s is no JSON", file)
			}
			texts[string(text)] = true
		}
		return texts, nil
	}
	theirs, err := read(corpus, a)
	if err != nil {
		return false, err
	}
	ours, err := read(made, b)
	return maps.Equal(theirs, ours), err
}

func sortedKeys(set map[string]bool) iter.Seq[string] {
	return slices.Values(slices.Sorted(maps.Keys(set)))
}
