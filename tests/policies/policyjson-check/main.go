// policyjson-check says whether a policy.json lets an image run, as podman, skopeo and CRI-O decide it: it is the same library, without them.
//
//	policyjson-check POLICY.JSON REGISTRIES.D IMAGE
//
// Prints `accepted`, or why not. Exit 0 accepted, 1 refused, 2 the policy or the arguments are wrong, or the image cannot be read.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/containers/image/v5/docker"
	"github.com/containers/image/v5/image"
	"github.com/containers/image/v5/signature"
	"github.com/containers/image/v5/types"
)

func main() {
	if len(os.Args) != 4 {
		fmt.Fprintln(os.Stderr, "usage: policyjson-check POLICY.JSON REGISTRIES.D IMAGE")
		os.Exit(2)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	allowed, err := check(ctx, os.Args[1], os.Args[2], os.Args[3])
	if allowed {
		fmt.Println("accepted")
		return
	}
	fmt.Println(err)
	var broken brokenError
	if errors.As(err, &broken) {
		os.Exit(2)
	}
	os.Exit(1)
}

// brokenError is no verdict: nothing was judged.
type brokenError struct{ error }

func (e brokenError) Unwrap() error { return e.error }

func check(ctx context.Context, policyPath, registries, name string) (bool, error) {
	policy, err := signature.NewPolicyFromFile(policyPath)
	if err != nil {
		return false, brokenError{fmt.Errorf("%s: %w", policyPath, err)}
	}
	policyContext, err := signature.NewPolicyContext(policy)
	if err != nil {
		return false, brokenError{err}
	}
	reference, err := docker.ParseReference("//" + name)
	if err != nil {
		return false, brokenError{err}
	}
	// Nothing of this machine's own configuration counts. Registries of tests speak plain http.
	source, err := reference.NewImageSource(ctx, &types.SystemContext{
		RegistriesDirPath:           registries,
		SystemRegistriesConfPath:    "/dev/null",
		SystemRegistriesConfDirPath: "/dev/null",
		DockerInsecureSkipTLSVerify: types.OptionalBoolTrue,
	})
	if err != nil {
		return false, brokenError{err}
	}
	defer source.Close()
	return policyContext.IsRunningImageAllowed(ctx, image.UnparsedInstance(source, nil))
}
