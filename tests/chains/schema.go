// The JSON field tables of TaskRun and PipelineRun, by reflection over the Go types. Our own encoder is generated from them.

package main

import (
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"runtime/debug"
	"strings"

	"github.com/tektoncd/pipeline/pkg/apis/config"
	"github.com/tektoncd/pipeline/pkg/apis/pipeline/pod"
	v1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
	"knative.dev/pkg/apis"
)

const header = "# The JSON fields of TaskRun and PipelineRun, from the Go types of Tekton Pipelines %s. Made by tests/chains/run; do not edit.\n"

var roots = []reflect.Type{reflect.TypeFor[v1.TaskRun](), reflect.TypeFor[v1.PipelineRun]()}

// What encodes itself, and the name of its encoding. A type with its own encoding that is not here is an error.
var leaves = map[reflect.Type]string{
	reflect.TypeFor[resource.Quantity]():    "Quantity",
	reflect.TypeFor[metav1.Duration]():      "Duration",
	reflect.TypeFor[metav1.Time]():          "Time",
	reflect.TypeFor[apis.VolatileTime]():    "VolatileTime",
	reflect.TypeFor[intstr.IntOrString]():   "IntOrString",
	reflect.TypeFor[v1.ParamValue]():        "ParamValue",
	reflect.TypeFor[runtime.RawExtension](): "RawExtension",
	reflect.TypeFor[metav1.FieldsV1]():      "FieldsV1",
}

var packages = map[string]string{
	reflect.TypeFor[v1.TaskRun]().PkgPath():          "tekton",
	reflect.TypeFor[pod.Template]().PkgPath():        "pod",
	reflect.TypeFor[config.FeatureFlags]().PkgPath(): "config",
	reflect.TypeFor[corev1.Pod]().PkgPath():          "core",
	reflect.TypeFor[metav1.ObjectMeta]().PkgPath():   "meta",
	reflect.TypeFor[apis.Condition]().PkgPath():      "apis",
}

var custom = []reflect.Type{
	reflect.TypeFor[json.Marshaler](), reflect.TypeFor[json.Unmarshaler](),
	reflect.TypeFor[encoding.TextMarshaler](), reflect.TypeFor[encoding.TextUnmarshaler](),
}

func schema(arguments []string) error {
	if len(arguments) != 0 {
		return errors.New("schema takes no arguments")
	}
	text, err := tables()
	if err != nil {
		return err
	}
	fmt.Print(text)
	return nil
}

func tables() (string, error) {
	var out strings.Builder
	fmt.Fprintf(&out, header, pipelinesVersion())
	seen := map[reflect.Type]bool{}
	queue := append([]reflect.Type{}, roots...)
	for _, r := range roots {
		seen[r] = true
	}
	names := map[string]reflect.Type{}
	for len(queue) > 0 {
		t := queue[0]
		queue = queue[1:]
		name, err := structName(t)
		if err != nil {
			return "", err
		}
		if other, taken := names[name]; taken {
			return "", fmt.Errorf("%s is both %v and %v", name, other, t)
		}
		names[name] = t
		fields, err := fieldsOf(t)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(&out, "\nstruct %s\n", name)
		for _, f := range fields {
			spelled, inner, err := spell(f.of)
			if err != nil {
				return "", fmt.Errorf("%s.%s: %w", name, f.key, err)
			}
			fmt.Fprintf(&out, "  %s %s %s\n", f.key, spelled, f.emitted)
			if inner != nil && !seen[inner] {
				seen[inner] = true
				queue = append(queue, inner)
			}
		}
	}
	return out.String(), nil
}

func pipelinesVersion() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, module := range info.Deps {
			if module.Path == "github.com/tektoncd/pipeline" {
				return module.Version
			}
		}
	}
	return "(unknown)"
}

type field struct {
	key, emitted string
	of           reflect.Type
	depth        int
}

// The fields that encoding/json sees, embedded structs flattened, in the order in which it writes them.
func fieldsOf(t reflect.Type) ([]field, error) {
	var all []field
	if err := collect(t, 0, &all); err != nil {
		return nil, err
	}
	var visible []field
	for _, f := range all {
		rivals := 0
		hidden := false
		for _, g := range all {
			if g.key != f.key {
				continue
			}
			hidden = hidden || g.depth < f.depth
			if g.depth == f.depth {
				rivals++
			}
		}
		if hidden {
			continue
		}
		if rivals > 1 {
			return nil, fmt.Errorf("%v: two fields called %q", t, f.key)
		}
		visible = append(visible, f)
	}
	return visible, nil
}

func collect(t reflect.Type, depth int, into *[]field) error {
	for i := range t.NumField() {
		f := t.Field(i)
		tag, tagged := f.Tag.Lookup("json")
		parts := strings.Split(tag, ",")
		if tag == "-" || (!f.IsExported() && !f.Anonymous) {
			continue
		}
		if f.Anonymous && parts[0] == "" {
			if f.Type.Kind() != reflect.Struct {
				return fmt.Errorf("%v embeds %v, which is no struct", t, f.Type)
			}
			if err := collect(f.Type, depth+1, into); err != nil {
				return err
			}
			continue
		}
		key := parts[0]
		if !tagged || key == "" {
			key = f.Name
		}
		emitted := "always"
		for _, option := range parts[1:] {
			switch option {
			case "omitempty":
				// Without effect for structs.
				if f.Type.Kind() != reflect.Struct && emitted == "always" {
					emitted = "omit"
				}
			case "omitzero":
				emitted = "omitzero"
			default:
				return fmt.Errorf("%v.%s: unknown option %q", t, f.Name, option)
			}
		}
		*into = append(*into, field{key, emitted, f.Type, depth})
	}
	return nil
}

// The type as written in the table, and the struct it leads to, if any.
func spell(t reflect.Type) (string, reflect.Type, error) {
	if leaf, ok := leaves[t]; ok {
		return leaf, nil, nil
	}
	for _, c := range custom {
		if t.Kind() != reflect.Pointer && reflect.PointerTo(t).Implements(c) {
			return "", nil, fmt.Errorf("%v has its own encoding (%v), unknown here", t, c)
		}
	}
	prefixed := func(prefix string) (string, reflect.Type, error) {
		text, inner, err := spell(t.Elem())
		return prefix + text, inner, err
	}
	switch t.Kind() {
	case reflect.String, reflect.Bool, reflect.Int, reflect.Int32, reflect.Int64:
		return t.Kind().String(), nil, nil
	case reflect.Pointer:
		return prefixed("*")
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 {
			return "", nil, errors.New("bytes")
		}
		return prefixed("[]")
	case reflect.Map:
		if t.Key().Kind() != reflect.String {
			return "", nil, fmt.Errorf("map with keys of %v", t.Key())
		}
		return prefixed("map[string]")
	case reflect.Struct:
		name, err := structName(t)
		return name, t, err
	default:
		return "", nil, fmt.Errorf("%v has no place in the table", t)
	}
}

func structName(t reflect.Type) (string, error) {
	alias, ok := packages[t.PkgPath()]
	if !ok {
		return "", fmt.Errorf("%v: package %s has no short name", t, t.PkgPath())
	}
	return alias + "." + t.Name(), nil
}
