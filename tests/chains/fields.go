// Random JSON for any Go type, so that every field of Tekton's and Kubernetes' types comes up.

package main

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"unicode"
)

// Fills Go types with random JSON that decodes into them: every field of the tables can come up, in many spellings, besides
// fields that no table has, nulls, and lists and maps that are there but empty.
type filler struct {
	*dice
	density float64
	// How often a field that must be there is not.
	faults float64
	// How many values may still be made.
	budget int
	// Fields that must be there because they lead to a struct that this case is to fill.
	path map[reflect.Type]string
	full map[reflect.Type]bool
}

func (f *filler) object(t reflect.Type, depth int) *object {
	o := newObject()
	fields := mustFields(t)
	forced := f.path[t]
	delete(f.path, t)
	full := f.full[t]
	delete(f.full, t)
	density := f.density
	for range depth {
		density *= 0.8
	}
	for _, field := range fields {
		// Without its value a param cannot be written at all, which spoils the whole payload.
		needed := leaves[field.of] == "ParamValue" && !f.chance(f.faults)
		must := field.key == forced || full || needed
		if !must && (f.budget <= 0 || !f.chance(density)) {
			continue
		}
		if !must && f.chance(0.03) {
			o.set(field.key, f.nothing(field.of))
			continue
		}
		o.set(field.key, f.value(field.of, depth+1, must))
	}
	if f.chance(f.density * 0.1) {
		f.unknown(o, fields)
	}
	return o
}

func (f *filler) unknown(o *object, fields []field) {
	key := pick(f.dice, []string{"x-unknown", "unknownField", "$ref", "_", "serviceAccount", "bundle", "taskrun", "<&>"})
	if len(fields) > 0 && f.chance(0.6) {
		// Names are case-sensitive, unlike with Go's own decoder.
		known := pick(f.dice, fields).key
		key = pick(f.dice, []string{strings.ToUpper(known), string(unicode.ToUpper(rune(known[0]))) + known[1:], known + "s", strings.ToLower(known) + "_"})
	}
	if !slices.ContainsFunc(fields, func(known field) bool { return known.key == key }) {
		o.set(key, f.anything(0))
	}
}

var knownFields = map[reflect.Type][]field{}

func mustFields(t reflect.Type) []field {
	if known, ok := knownFields[t]; ok {
		return known
	}
	fields, err := fieldsOf(t)
	if err != nil {
		panic(err)
	}
	knownFields[t] = fields
	return fields
}

// Null where the decoder takes it.
func (f *filler) nothing(t reflect.Type) any {
	if leaves[t] == "Duration" {
		return f.duration()
	}
	return nil
}

func (f *filler) value(t reflect.Type, depth int, must bool) any {
	f.budget--
	switch leaves[t] {
	case "Quantity":
		return f.quantity()
	case "Duration":
		return f.duration()
	case "Time", "VolatileTime":
		if f.chance(0.05) {
			return nil
		}
		return f.time()
	case "IntOrString":
		if f.chance(0.5) {
			return f.number(32)
		}
		return f.word()
	case "ParamValue":
		return f.paramValue()
	case "RawExtension":
		return f.anything(0)
	case "FieldsV1":
		return newObject("f:metadata", newObject("f:labels", newObject(".", newObject(), "f:"+f.key(), newObject())), "f:x", f.anything(1))
	}
	switch t.Kind() {
	case reflect.String:
		return f.word()
	case reflect.Bool:
		return f.chance(0.5)
	case reflect.Int32:
		return f.number(32)
	case reflect.Int, reflect.Int64:
		return f.number(64)
	case reflect.Pointer:
		return f.value(t.Elem(), depth, must)
	case reflect.Slice:
		return f.list(t, depth, must)
	case reflect.Map:
		o := newObject()
		for range f.length(must) {
			o.set(f.key(), f.element(t.Elem(), depth))
		}
		return o
	case reflect.Struct:
		return f.object(t, depth)
	default:
		panic(fmt.Sprintf("%v has no random value", t))
	}
}

func (f *filler) list(t reflect.Type, depth int, must bool) list {
	elements := list{}
	for range f.length(must) {
		elements = append(elements, f.element(t.Elem(), depth))
	}
	return elements
}

func (f *filler) element(t reflect.Type, depth int) any {
	if f.chance(0.01) {
		return f.nothing(t)
	}
	return f.value(t, depth, false)
}

func (f *filler) length(must bool) int {
	length := pick(f.dice, []int{0, 1, 1, 1, 2, 2, 3})
	if must {
		return max(length, 1)
	}
	return length
}

// Makes the next object of a root lead to a struct, and that struct have all its fields.
func (f *filler) aim(root, target reflect.Type) {
	f.full[target] = true
	for _, step := range routes(root)[target] {
		f.path[step.from] = step.key
	}
}

type step struct {
	from reflect.Type
	key  string
}

var knownRoutes = map[reflect.Type]map[reflect.Type][]step{}

// The shortest way from a struct to each of those below it.
func routes(root reflect.Type) map[reflect.Type][]step {
	if known, ok := knownRoutes[root]; ok {
		return known
	}
	found := map[reflect.Type][]step{root: {}}
	queue := []reflect.Type{root}
	for len(queue) > 0 {
		t := queue[0]
		queue = queue[1:]
		for _, field := range mustFields(t) {
			_, inner, err := spell(field.of)
			if err != nil {
				panic(err)
			}
			if inner == nil || found[inner] != nil {
				continue
			}
			found[inner] = append(slices.Clone(found[t]), step{t, field.key})
			queue = append(queue, inner)
		}
	}
	knownRoutes[root] = found
	return found
}

// The structs below a root, in a fixed order.
func targets(root reflect.Type) []reflect.Type {
	return slices.SortedFunc(maps.Keys(routes(root)), func(a, b reflect.Type) int { return strings.Compare(typeName(a), typeName(b)) })
}

func typeName(t reflect.Type) string {
	name, err := structName(t)
	if err != nil {
		panic(err)
	}
	return name
}

// The fields that some case has, as `struct.field`.
type coverage map[string]bool

func (c coverage) add(t reflect.Type, value any) {
	if leaves[t] != "" || value == nil {
		return
	}
	switch t.Kind() {
	case reflect.Pointer:
		c.add(t.Elem(), value)
	case reflect.Slice:
		for _, element := range value.(list) {
			c.add(t.Elem(), element)
		}
	case reflect.Map:
		for _, element := range value.(*object).values {
			c.add(t.Elem(), element)
		}
	case reflect.Struct:
		for _, field := range mustFields(t) {
			if inner := value.(*object).values[field.key]; inner != nil {
				c[fieldName(t, field.key)] = true
				c.add(field.of, inner)
			}
		}
	}
}

func fieldName(t reflect.Type, key string) string { return typeName(t) + "." + key }
