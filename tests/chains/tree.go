// JSON texts in many spellings.

package main

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// JSON as it is written, not as it is meant: keys keep their order, numbers and verbatim text their spelling. A value is nil,
// bool, string, verbatim, list or *object.
type object struct {
	keys   []string
	values map[string]any
}

type list = []any

type verbatim string

func newObject(pairs ...any) *object {
	o := &object{values: map[string]any{}}
	for i := 0; i < len(pairs); i += 2 {
		o.set(pairs[i].(string), pairs[i+1])
	}
	return o
}

func (o *object) set(key string, value any) {
	if _, known := o.values[key]; !known {
		o.keys = append(o.keys, key)
	}
	o.values[key] = value
}

func (o *object) delete(keys ...string) {
	for _, key := range keys {
		if _, known := o.values[key]; !known {
			continue
		}
		delete(o.values, key)
		for i, k := range o.keys {
			if k == key {
				o.keys = append(o.keys[:i], o.keys[i+1:]...)
				break
			}
		}
	}
}

// The list below a key; empty where there is none.
func (o *object) list(key string) list {
	l, _ := o.values[key].(list)
	return l
}

// The object below a key, made where there is none.
func (o *object) object(key string) *object {
	inner, ok := o.values[key].(*object)
	if !ok {
		inner = newObject()
		o.set(key, inner)
	}
	return inner
}

// How a JSON text is spelled: nothing that a decoder may see.
type spelling struct {
	indent   bool
	blanks   float64
	escapes  float64
	shuffled bool
	random   *rand.Rand
}

func (s *spelling) text(value any) string {
	var out strings.Builder
	s.write(&out, value, 0)
	return out.String()
}

func (s *spelling) chance(p float64) bool { return p > 0 && s.random.Float64() < p }

func (s *spelling) gap(out *strings.Builder, depth int) {
	switch {
	case s.indent:
		out.WriteString("\n" + strings.Repeat("  ", depth))
	case s.chance(s.blanks):
		out.WriteString([]string{" ", "\t", "\n ", "\r\n", "  "}[s.random.IntN(5)])
	}
}

func (s *spelling) write(out *strings.Builder, value any, depth int) {
	switch v := value.(type) {
	case nil:
		out.WriteString("null")
	case bool:
		fmt.Fprint(out, v)
	case verbatim:
		out.WriteString(string(v))
	case string:
		s.quote(out, v)
	case list:
		s.sequence(out, '[', ']', len(v), depth, func(i int) { s.write(out, v[i], depth+1) })
	case *object:
		keys := append([]string{}, v.keys...)
		if s.shuffled {
			s.random.Shuffle(len(keys), func(i, j int) { keys[i], keys[j] = keys[j], keys[i] })
		}
		s.sequence(out, '{', '}', len(keys), depth, func(i int) {
			s.quote(out, keys[i])
			out.WriteByte(':')
			if s.indent {
				out.WriteByte(' ')
			}
			s.write(out, v.values[keys[i]], depth+1)
		})
	default:
		panic(fmt.Sprintf("%T is no JSON", value))
	}
}

func (s *spelling) sequence(out *strings.Builder, open, end byte, length, depth int, element func(int)) {
	out.WriteByte(open)
	for i := range length {
		if i > 0 {
			out.WriteByte(',')
		}
		s.gap(out, depth+1)
		element(i)
	}
	if length > 0 {
		s.gap(out, depth)
	}
	out.WriteByte(end)
}

func (s *spelling) quote(out *strings.Builder, text string) {
	out.WriteByte('"')
	for _, r := range text {
		short := strings.IndexRune("\b\f\n\r\t", r)
		switch {
		case r == '"' || r == '\\':
			out.WriteRune('\\')
			out.WriteRune(r)
		case short >= 0 && !s.chance(s.escapes):
			out.WriteByte('\\')
			out.WriteByte("bfnrt"[short])
		case r == '/' && s.chance(s.escapes):
			out.WriteString(`\/`)
		case r < ' ' || (s.escapes > 0 && r >= utf8.RuneSelf && s.chance(0.5)) || s.chance(s.escapes/4):
			s.escape(out, r)
		default:
			out.WriteRune(r)
		}
	}
	out.WriteByte('"')
}

func (s *spelling) escape(out *strings.Builder, r rune) {
	units := []rune{r}
	if r > 0xffff {
		high, low := utf16.EncodeRune(r)
		units = []rune{high, low}
	}
	for _, unit := range units {
		if s.chance(0.5) {
			fmt.Fprintf(out, `\u%04X`, unit)
		} else {
			fmt.Fprintf(out, `\u%04x`, unit)
		}
	}
}
