// Holds tekseal against Tekton Chains itself: Chains' own formatters are linked in here and say what they make of a run.
//
//	schema     generate, older     format              golden-check (Python)
//	   |           |                  |                     |
//	tekton.txt  CASE/input         CASE/expected    tekseal-provenance = expected?
//
// The layout of a case is that of the folder tests/fixtures/golden; tests/chains/run puts the parts together.
package main

import (
	"fmt"
	"os"
)

var commands = map[string]func([]string) error{
	"compare":  compare,
	"format":   format,
	"generate": generate,
	"older":    older,
	"schema":   schema,
}

const usage = `usage: tekseal-chains schema
       tekseal-chains generate --seed N --count N --out DIR
       tekseal-chains older DIR
       tekseal-chains format DIR [--as-newer]
       tekseal-chains compare CORPUS MADE --known FILE | --as-newer`

func main() {
	if len(os.Args) < 2 || commands[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, usage)
		os.Exit(2)
	}
	if err := commands[os.Args[1]](os.Args[2:]); err != nil {
		fmt.Fprintln(os.Stderr, "tekseal-chains: error:", err)
		os.Exit(1)
	}
}
