// Holds tekseal against the Go code of Tekton: what its types look like as JSON.
package main

import (
	"fmt"
	"os"
)

var commands = map[string]func([]string) error{
	"schema": schema,
}

const usage = `usage: tekseal-chains schema`

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
