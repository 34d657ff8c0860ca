//go:build tools

// Package tools names what is built from this module, so that go.mod holds all it needs.
package tools

import _ "github.com/tektoncd/chains/cmd/controller"
