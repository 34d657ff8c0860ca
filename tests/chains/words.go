// Random texts, quantities, durations, times and numbers.

package main

import (
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"strings"
)

// Where all chance comes from. The same seed gives the same cases, so nothing here may walk a hash map.
type dice struct {
	*rand.Rand
	// How many of the free texts are odd ones.
	oddity float64
}

func (d *dice) chance(p float64) bool { return d.Float64() < p }

func pick[T any](d *dice, from []T) T { return from[d.IntN(len(from))] }

func (d *dice) between(low, high int) int { return low + d.IntN(high-low+1) }

func (d *dice) hex(bytes int) string {
	raw := make([]byte, bytes)
	for i := range raw {
		raw[i] = byte(d.Uint32())
	}
	return hex.EncodeToString(raw)
}

func (d *dice) uid() string {
	return fmt.Sprintf("%s-%s-4%s-a%s-%s", d.hex(4), d.hex(2), d.hex(2)[1:], d.hex(2)[1:], d.hex(6))
}

var plainWords = []string{
	"build", "clone", "test", "deploy", "source", "main", "default", "true", "false", "0", "1.5", "alpine:3.20", "golang", "/workspace/source", "/bin/sh", "-c",
	"echo hello", "registry.example.com/acme/app", "quay.io/acme/tools@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", "Always", "In",
	"http", "acme", "git", "cluster", "kubernetes.io/hostname", "a.b.c/d", "key", "value", "revision", "v1.2.3", "refs/heads/main", "8080", "RunAsAny", "Secret",
	"$(params.url)", "$(params.flags[*])", "$(context.taskRun.name)", "$(workspaces.source.path)", "$(results.digest.path)",
}

var oddWords = []string{
	"", " ", "  two  blanks ", "\ttab", "line\nbreak", "carriage\r\nreturn", "trailing\n", `"quoted"`, `back\slash`, `\u0041`, "'", "`", "<b>&amp;</b>", "a<b>c&d", "&&", "\u2028", "x\u2029y",
	"\u0000", "\u0001\u001f", "\u007f", "\u0080", "\b\f", "é", "e\u0301", "ß", "日本語", "ключ", "שלום", "😀", "👩‍💻", "\U0001f1e9\U0001f1ea", "\ufeff", "\ufffd", "\uffff", "\U0010ffff",
	"null", "{}", "[]", "NaN", "-0", "1e3", "01", "0x1F", "1_000", "+1", "%s%d", "$(", "$()", "${x}", "../..", "a,b", "a:b", "a@b", "sha256:", "::", "~", "#!", "--flag=<value>",
	"{\"json\":\"inside\"}", "[1,2]", "-----BEGIN X-----\nAAAA\n-----END X-----\n", "a\u00a0b", "\u200b", "\u0085", "I\u0307", "ﬁ",
}

// A text as a user might have written it.
func (d *dice) word() string {
	if !d.chance(d.oddity) {
		return pick(d, plainWords)
	}
	switch d.IntN(12) {
	case 0:
		return pick(d, plainWords) + pick(d, oddWords)
	case 1:
		return pick(d, oddWords) + pick(d, oddWords)
	case 2:
		return strings.Repeat(pick(d, []string{"x", "<", "é", "long text ", "\\", "😀"}), d.between(100, 1500))
	case 3:
		var text strings.Builder
		for range d.between(1, 12) {
			text.WriteRune(rune(d.IntN(0x300)))
		}
		return text.String()
	default:
		return pick(d, oddWords)
	}
}

func (d *dice) key() string {
	if d.chance(d.oddity / 2) {
		return d.word()
	}
	return pick(d, []string{"a", "b", "c", "app", "team", "tier", "zone", "A", "Z", "_", "app.kubernetes.io/name", "app.kubernetes.io/version", "example.com/x", "cpu", "memory", "ephemeral-storage", "nvidia.com/gpu", "1", "10", "2"})
}

func (d *dice) quantity() verbatim {
	quoted := func(text string) verbatim { return verbatim(`"` + text + `"`) }
	switch d.IntN(8) {
	case 0:
		return verbatim(pick(d, []string{"0", "1", "2", "10", "100", "0.5", "1.5", "0.1", "1e3", "1E3", "1e-3", "2.50", "1024", "9007199254740993", "123456789", "-1", "-0.25", "0.0001"}))
	case 1:
		return quoted(pick(d, []string{
			"0", "1", "500m", "1024Mi", "1Gi", "1.5Gi", "0.1Gi", "0.5", "1000m", "1e3", "1E3", "12e6", "1e-3", "100n", "1u", "1500u", "1000000k", "1k", "1M", "1P", "1E", "5Ei", "2048Ki", "1025Ki",
			"1.0", "00.50", "+1", "-1", "-1.5Gi", "0Mi", "-0", ".5", "5.", "0.000000001", "0.0000000001", "1.0000000001", "0.0005", "1.23456789012", "999999999999", "9223372036854775807",
			"9223372036854775808", "-9223372036854775808", "123456789012345678901234567890", "9E", "10E", "8Ei", "7.9Ei", "0.1n", "1e18", "1e19", "1e30", "1.2e2", "1000000000000n", "1048576Ki", "0.001Ki", "1.1Ki",
			"1e+3", "1E+3", "3.0e0", "0e5", "1000Mi", "1000Gi", "0.9999999999", "4.2e-9",
		}))
	case 2:
		return quoted(fmt.Sprintf("%d%s", d.IntN(100000), d.suffix()))
	case 3:
		return quoted(fmt.Sprintf("%d.%d%s", d.IntN(2000), d.IntN(10000), d.suffix()))
	case 4:
		return quoted(fmt.Sprintf("%s0.%0*d%s", pick(d, []string{"", "-", "+"}), d.between(1, 12), d.IntN(1000), d.suffix()))
	case 5:
		return quoted(fmt.Sprintf("%de%d", d.IntN(1000), d.between(-9, 18)))
	case 6:
		return quoted(fmt.Sprintf("%d%s", d.Int64N(1<<62), d.suffix()))
	default:
		return quoted(fmt.Sprintf("%d%s", d.between(1, 64)*pick(d, []int{1, 10, 100, 1000, 1024, 1048576}), d.suffix()))
	}
}

func (d *dice) suffix() string {
	return pick(d, []string{"", "", "n", "u", "m", "k", "M", "G", "T", "P", "E", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"})
}

func (d *dice) duration() string {
	switch d.IntN(4) {
	case 0:
		return pick(d, []string{
			"0", "0s", "-0s", "1h", "60m", "90m", "3600s", "1h0m0s", "1h30m", "1.5h", "0.5s", ".5s", "1.s", "100ms", "1500ms", "1us", "1µs", "1μs", "999ns", "1ns", "-1m", "+5m", "1m1m", "1s1h",
			"2562047h47m16.854775807s", "-2562047h47m16.854775808s", "0.1ns", "1.000000001s", "1h0.001s", "0h0m0s", "24h", "168h", "0.000001s", "1.10s",
		})
	case 1:
		return fmt.Sprintf("%dh%dm%ds", d.IntN(100), d.IntN(100), d.IntN(100))
	case 2:
		return fmt.Sprintf("%d.%d%s", d.IntN(1000), d.IntN(1000), pick(d, []string{"h", "m", "s", "ms", "us", "µs", "ns"}))
	default:
		return fmt.Sprintf("%d%s", d.IntN(100000), pick(d, []string{"h", "m", "s", "ms", "us", "ns"}))
	}
}

// A time of day in the one spelling that the API server uses, or in another that Go reads as well.
func (d *dice) time() string {
	seconds := d.IntN(86400)
	clock := fmt.Sprintf("%02d:%02d:%02d", seconds/3600, seconds/60%60, seconds%60)
	day := fmt.Sprintf("%04d-%02d-%02d", d.between(2021, 2027), d.between(1, 12), d.between(1, 28))
	if d.chance(0.9) {
		return day + "T" + clock + "Z"
	}
	fraction := pick(d, []string{"", "", ".5", ".123", ".123456", ".120", ".000000001", ".999999999"})
	zone := pick(d, []string{"Z", "+00:00", "-00:00", "+02:00", "-11:30", "+13:45"})
	if d.chance(0.1) {
		day = pick(d, []string{"0001-01-02", "1969-12-31", "2000-02-29", "9999-12-30"})
	}
	return day + "T" + clock + fraction + zone
}

func (d *dice) number(bits int) verbatim {
	small := []string{"0", "1", "-1", "2", "7", "42", "100", "1000", "8080", "65535", "-2147483648", "2147483647"}
	if bits == 32 || d.chance(0.7) {
		return verbatim(pick(d, small))
	}
	return verbatim(pick(d, []string{"4294967296", "9007199254740991", "9007199254740992", "9007199254740993", "-9007199254740993", "9223372036854775807", "-9223372036854775808", "1234567890123456789"}))
}

// Any JSON at all.
func (d *dice) anything(depth int) any {
	switch d.IntN(8 - min(depth, 3)) {
	case 0:
		return d.word()
	case 1:
		return verbatim(pick(d, []string{
			"0", "-0", "0.0", "1", "-1", "1.0", "1.50", "1e3", "1E+2", "1e-7", "0.000001", "0.0000001", "123456789012345678901234567890", "0.1", "3.141592653589793", "9007199254740993", "1e20", "1e21", "1.5e-10",
			"5e-324", "1.7976931348623157e308", "100000000000000000000", "0.30000000000000004", "2.5e+0", "-1.0E-2", "12345678.9",
		}))
	case 2:
		return d.chance(0.5)
	case 3:
		return nil
	case 4:
		return d.word()
	case 5, 6:
		elements := list{}
		for range d.IntN(4) {
			elements = append(elements, d.anything(depth+1))
		}
		return elements
	default:
		o := newObject()
		for range d.IntN(4) {
			o.set(d.key(), d.anything(depth+1))
		}
		return o
	}
}

// The value of a param or result: texts, lists and maps of texts, and what is none of these and so becomes a text.
func (d *dice) paramValue() any {
	switch d.IntN(12) {
	case 0, 1, 2, 3:
		return d.word()
	case 4, 5:
		elements := list{}
		for range d.IntN(4) {
			elements = append(elements, d.word())
		}
		return elements
	case 6, 7:
		o := newObject()
		for range d.IntN(4) {
			o.set(d.key(), d.word())
		}
		return o
	case 8:
		return list{d.word(), d.anything(1)}
	case 9:
		return newObject(d.key(), d.word(), d.key(), d.anything(1))
	default:
		return d.anything(0)
	}
}
