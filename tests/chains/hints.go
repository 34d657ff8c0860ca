// Type hints: results, digests and references that Chains reads something from, or nearly does.

package main

import (
	"strings"
)

// Results as tasks report them: those that Chains reads something from, those that are nearly so, and others.
type hints struct {
	*dice
	// Few, so that the same artifact comes up several times in one run.
	hexes []string
}

func newHints(d *dice) *hints {
	h := &hints{dice: d}
	for range 4 {
		h.hexes = append(h.hexes, d.hex(32))
	}
	return h
}

func (h *hints) sha256() string { return pick(h.dice, h.hexes) }

// A digest that ARTIFACT_ hints accept.
func (h *hints) goodDigest() string {
	switch h.IntN(8) {
	case 0:
		return "sha1:" + h.hex(20)
	case 1:
		return "sha512:" + h.hex(64)
	case 2:
		return "sha384:" + h.hex(48)
	case 3:
		return pick(h.dice, []string{"SHA256:", "Sha256:", " sha256 : ", "sha256: "}) + h.sha256()
	default:
		return "sha256:" + h.sha256()
	}
}

func (h *hints) badDigest() string {
	hex := h.sha256()
	return pick(h.dice, []string{
		"", hex, "sha256:", "sha256:" + hex[1:], "sha256:" + hex + "0", "sha256:" + strings.ToUpper(hex), "sha256::" + hex, "sha256:" + hex + ":x", "md5:" + hex[:32], "sha1:" + hex, "sha224:" + hex[:56], "sha1:" + hex[:39] + "g",
		":" + hex, "sha256-" + hex, "sha512:" + hex, "sha256:" + hex[:63] + "g", "sha256:" + hex[:32] + " " + hex[33:], "@sha256:" + hex, "sha256:" + hex + "\n.", "sha256:" + hex[:63] + "é", "blake3:" + hex, "sha256:" + hex + "\x00",
	})
}

var goodImages = []string{
	"registry.example.com/acme/app", "quay.io/acme/tools", "gcr.io/project/image", "localhost:5000/app", "busybox", "library/busybox", "docker.io/acme/app", "index.docker.io/library/busybox", "acme/app",
}

var oddImages = []string{
	"quay.io/acme/app:1.2", "quay.io:443/acme/app:v1", "busybox:latest", "docker.io/busybox", "docker.io/library/busybox:1", "Quay.io/acme/app", "quay.io/acme/App", "https://quay.io/acme/app", "http://quay.io/acme/app",
	"oci://quay.io/acme/app", "docker://quay.io/acme/app", "quay.io//acme", "acme/", "/acme/app", "a", "ab", "a/b", "localhost/app", "localhost", "1.2.3.4/app", "1.2.3.4:80/app", "[::1]:5000/app", "quay.io/acme/app:", "quay.io/acme/app:tag:tag",
	"quay.io/acme/app:with blank", "quay.io/acme/app:v1_2.3-4", "quay.io/acme/ä", "quay.io/acme/a_b-c.d", "quay.io/acme/-", ".", "..", "quay.io/", "quay.io", "quay.io:443", "index.docker.io/busybox", "registry-1.docker.io/acme/app",
	"user:password@quay.io/acme/app", "quay.io/acme/app?x=1", "quay.io/acme/app#x", "quay io/acme/app", "ghcr.io/acme/app@", "quay.io/acme/app@sha256:0000000000000000000000000000000000000000000000000000000000000000", "xn--bcher-kva.example/app", "a.b/c:d/e", "quay.io/acme/app:0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789",
	"pkg:npm/left-pad", "git+https://git.example.com/a.git", "quay.io/" + "long-path-of-an-image/long-path-of-an-image/long-path-of-an-image/long-path-of-an-image/long-path-of-an-image/long-path-of-an-image/long-path-of-an-image/long-path-of-an-image/long-path-of-an-image/long-path-of-an-image/long-path-of-an-image/x",
}

func (h *hints) image() string {
	if h.chance(0.6) {
		return pick(h.dice, goodImages)
	}
	return pick(h.dice, oddImages)
}

func (h *hints) padded(text string) string {
	if h.chance(0.8) {
		return text
	}
	return pick(h.dice, []string{" ", "\n", "\t", "\r\n", "\u00a0", "\u0085", ""}) + text + pick(h.dice, []string{" ", "\n", "\n\n", "\t \n", "\u2003", "."})
}

// The part of a name before the marker.
func (h *hints) prefix() string {
	return pick(h.dice, []string{"", "", "app-", "app_", "b.", "APP", "x", "my", "app-", "-", "IMAGE_", "é", "app "})
}

func result(name string, value any) *object { return newObject("name", name, "value", value) }

// The results of one task, pipeline or step, in the order in which it reported them.
func (h *hints) results(kinds int) list {
	var found []*object
	for range kinds {
		found = append(found, h.some()...)
	}
	if h.chance(0.5) {
		h.Shuffle(len(found), func(i, j int) { found[i], found[j] = found[j], found[i] })
	}
	all := list{}
	for _, r := range found {
		if h.chance(0.5) {
			r.set("type", pick(h.dice, []string{"string", "string", "array", "object", ""}))
		}
		if h.chance(0.02) {
			r.set("x-unknown", h.anything(0))
		}
		all = append(all, r)
	}
	return all
}

func (h *hints) some() []*object {
	p := h.prefix()
	switch h.IntN(16) {
	case 0, 1:
		return []*object{result(p+"IMAGE_URL", pick(h.dice, goodImages)), result(p+"IMAGE_DIGEST", h.padded("sha256:"+h.sha256()))}
	case 2, 3:
		digest := "sha256:" + h.sha256()
		if h.chance(0.3) {
			digest = h.badDigest()
		}
		return []*object{result(p+"IMAGE_URL", h.padded(h.image())), result(p+"IMAGE_DIGEST", h.padded(digest))}
	case 4:
		return []*object{result(p+"IMAGE_URL", pick(h.dice, goodImages)), result(p+"IMAGE_DIGEST", "sha256:"+h.sha256()),
			result(p+"IMAGE_URL", pick(h.dice, goodImages))}
	case 5:
		return h.wrongKind(p)
	case 6:
		return []*object{result("IMAGES", h.images())}
	case 7:
		return []*object{result(p+"ARTIFACT_URI", h.padded(h.uri())), result(p+"ARTIFACT_DIGEST", h.padded(h.goodDigest()))}
	case 8:
		return []*object{result(p+"ARTIFACT_URI", h.uri()), result(p+"ARTIFACT_DIGEST", h.badDigest())}
	case 9, 10:
		return []*object{result(p+"ARTIFACT_INPUTS", h.artifact())}
	case 11, 12:
		return []*object{result(p+"ARTIFACT_OUTPUTS", h.output())}
	case 13:
		return h.git()
	case 14:
		name := pick(h.dice, []string{
			"IMAGE_URLS", "image_url", "IMAGE_DIGEST_", "IMAGES2", "xIMAGES", "images", "IMAGE", "ARTIFACT_OUTPUTS-1", "ARTIFACT_OUTPUT", "Artifact_Inputs", " CHAINS-GIT_URL", "chains-git_commit", "CHAINS-GIT_COMMIT ", "ARTIFACT_URL", "IMAGE_URI",
			"IMAGE_URL ", "", "ARTIFACT-INPUTS", "IMAGEURL", "CHAINS_GIT_URL",
		})
		return []*object{result(name, pick(h.dice, []any{"quay.io/acme/app@sha256:" + h.sha256(), "sha256:" + h.sha256(), h.artifact()}))}
	default:
		return []*object{result(h.word(), h.paramValue())}
	}
}

// Halves of pairs, and values of a kind that a marker does not go with.
func (h *hints) wrongKind(p string) []*object {
	name := p + pick(h.dice, []string{"IMAGE_URL", "IMAGE_DIGEST", "ARTIFACT_URI", "ARTIFACT_DIGEST", "ARTIFACT_INPUTS", "ARTIFACT_OUTPUTS"})
	if name == p || h.chance(0.2) {
		name = pick(h.dice, []string{"IMAGES", "CHAINS-GIT_URL", "CHAINS-GIT_COMMIT"})
	}
	return []*object{result(name, pick(h.dice, []any{
		"quay.io/acme/app", "sha256:" + h.sha256(), list{"quay.io/acme/app"}, list{"quay.io/acme/app@sha256:" + h.sha256()}, newObject("uri", "quay.io/acme/app"), verbatim("7"), true, nil, "", " ", list{}, newObject(), h.anything(0),
		`{"uri":"quay.io/acme/app","digest":"sha256:` + h.sha256() + `"}`,
	}))}
}

func (h *hints) images() any {
	var text strings.Builder
	for range h.between(1, 4) {
		switch h.IntN(6) {
		case 0:
			text.WriteString(h.image() + "@" + h.badDigest())
		case 1:
			text.WriteString(pick(h.dice, []string{"", " ", "quay.io/acme/app", "quay.io/acme/app:1.2", "@", "a@b@c"}))
		default:
			text.WriteString(h.padded(h.image() + "@sha256:" + h.sha256()))
		}
		text.WriteString(pick(h.dice, []string{",", "\n", ", ", ",\n", " ", ";", "\r\n"}))
	}
	return text.String()
}

func (h *hints) uri() string {
	if h.chance(0.3) {
		return h.image()
	}
	return pick(h.dice, []string{
		"pkg:npm/left-pad@1.3.0", "pkg:maven/com.example/lib@1.0", "https://files.example.com/a.tar.gz", "git+https://git.example.com/acme/app.git", "file:///tmp/x", "urn:x", "quay.io/acme/app", "é", "a<b>&c", "",
		"https://files.example.com/a.tar.gz",
	})
}

// An object that names an artifact, or nearly does.
func (h *hints) artifact() *object {
	o := newObject("uri", h.uri(), "digest", h.goodDigest())
	switch h.IntN(8) {
	case 0:
		o.set("digest", h.badDigest())
	case 1:
		o.delete(pick(h.dice, []string{"uri", "digest"}))
	case 2:
		o.set(pick(h.dice, []string{"URI", "Digest", "name", "isbuildartifact", ""}), h.word())
	case 3:
		// No longer a map of texts, and so no object at all.
		o.set("size", pick(h.dice, []any{verbatim("12"), list{}, false, newObject()}))
	case 4:
		o.set(pick(h.dice, []string{"uri", "digest", "extra"}), nil)
	}
	return o
}

func (h *hints) output() *object {
	o := h.artifact()
	switch h.IntN(5) {
	case 0:
		o.set("isBuildArtifact", "true")
		if h.chance(0.85) {
			// What is no image reference either.
			o.set("digest", pick(h.dice, []string{"sha512:" + h.hex(64), "sha1:" + h.hex(20), h.badDigest()}))
		}
	case 1:
		o.set("isBuildArtifact", pick(h.dice, []any{"True", "false", "", " true", "1", true, nil, "TRUE"}))
	}
	return o
}

func (h *hints) gitURL() string {
	return pick(h.dice, []string{
		"https://git.example.com/acme/app", "https://git.example.com/acme/app.git", "git+https://git.example.com/acme/app", "git@git.example.com:acme/app.git", "ssh://git@git.example.com/a", "", " ", "https://git.example.com/acme/app.git/", "https://git.example.com/acme/app.git\n", "é",
		"git+", ".git", "https://git.example.com/acme/app",
	})
}

func (h *hints) commit() string {
	return pick(h.dice, []string{h.hex(20), h.hex(20), "main", "", " ", h.hex(20) + "\n", h.hex(32), strings.ToUpper(h.hex(20)), "<script>"})
}

func (h *hints) git() []*object {
	both := []*object{result("CHAINS-GIT_URL", h.gitURL()), result("CHAINS-GIT_COMMIT", h.commit())}
	if h.chance(0.2) {
		return both[h.IntN(2):][:1]
	}
	if h.chance(0.1) {
		both = append(both, result(pick(h.dice, []string{"CHAINS-GIT_URL", "CHAINS-GIT_COMMIT"}), h.paramValue()))
	}
	return both
}

// Where a definition came from.
func (h *hints) refSource() *object {
	o := newObject()
	if h.chance(0.9) {
		o.set("uri", pick(h.dice, []string{"git+https://git.example.com/acme/catalog.git", "git+https://git.example.com/acme/app.git", "quay.io/acme/bundle", "https://hub.example.com/task", "", "é<&>", "oci://registry.example.com/acme/app"}))
	}
	if h.chance(0.9) {
		digest := newObject()
		for range pick(h.dice, []int{0, 1, 1, 1, 1, 1, 2, 3}) {
			digest.set(pick(h.dice, []string{"sha1", "sha256", "sha512", "x", ""}), pick(h.dice, []string{h.hexes[0][:40], h.hexes[1], h.sha256(), h.word()}))
		}
		o.set("digest", digest)
	}
	if h.chance(0.7) {
		o.set("entryPoint", pick(h.dice, []string{"task/build/build.yaml", "task", "", "a/../b", h.word()}))
	}
	return o
}

// What a container was started from, by its digest; seldom not known.
func (h *hints) imageID(broken bool) any {
	if broken && h.chance(0.2) {
		return pick(h.dice, []any{"", nil, "quay.io/acme/tools", "quay.io/acme/tools@sha256", "a@b@c:d", "a@b:c:d", "quay.io/acme/tools:latest", "@", "@:", ":@", "docker-pullable://x"})
	}
	image := pick(h.dice, []string{"quay.io/acme/tools", "docker.io/library/golang", "registry.example.com/acme/app", "gcr.io/p/i:1.2", "localhost:5000/x", "docker-pullable://quay.io/acme/tools", "docker-pullable://docker-pullable://x", "oci://a", "é", "a<b", ""})
	if h.chance(0.05) {
		return image + "@" + pick(h.dice, []string{"sha512:" + h.hex(64), "md5:x", ":", "sha256:", "SHA256:" + h.sha256(), " sha256 : x"})
	}
	return image + "@sha256:" + h.sha256()
}
