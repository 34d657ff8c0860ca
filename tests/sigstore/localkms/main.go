// A KMS plugin over sigstore's own half of the protocol, as its example of this name is: keys are files, localkms:///PATH.
package main

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
	"os"

	"github.com/sigstore/sigstore/pkg/cryptoutils"
	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/sigstore/sigstore/pkg/signature/kms/cliplugin/common"
	"github.com/sigstore/sigstore/pkg/signature/kms/cliplugin/handler"
)

const algorithm = "rsa-2048"

// localKMS signs as sigstore signs with a key of a file, once there is one.
type localKMS struct {
	signature.SignerVerifier
	path string
}

func (k localKMS) DefaultAlgorithm() string      { return algorithm }
func (k localKMS) SupportedAlgorithms() []string { return []string{algorithm} }

func (k localKMS) CreateKey(_ context.Context, wanted string) (crypto.PublicKey, error) {
	if wanted != algorithm {
		return nil, fmt.Errorf("algorithm %s not supported", wanted)
	}
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, err
	}
	pem, err := cryptoutils.MarshalPrivateKeyToPEM(key)
	if err != nil {
		return nil, err
	}
	return key.Public(), os.WriteFile(k.path, pem, 0o400)
}

func (k localKMS) CryptoSigner(context.Context, func(error)) (crypto.Signer, crypto.SignerOpts, error) {
	return nil, nil, errors.New("not part of the protocol")
}

func run() error {
	args, err := handler.GetPluginArgs(os.Args)
	if err != nil {
		return err
	}
	if os.Args[1] != common.ProtocolVersion {
		return fmt.Errorf("expected protocol version: %s, got %s", common.ProtocolVersion, os.Args[1])
	}
	kms := localKMS{path: args.InitOptions.KeyResourceID}
	if pem, err := os.ReadFile(kms.path); err == nil {
		key, err := cryptoutils.UnmarshalPEMToPrivateKey(pem, nil)
		if err != nil {
			return err
		}
		if kms.SignerVerifier, err = signature.LoadSignerVerifier(key, args.InitOptions.HashFunc); err != nil {
			return err
		}
	} else if args.MethodName == common.PublicKeyMethodName || args.MethodName == common.SignMessageMethodName {
		return err
	}
	_, err = handler.Dispatch(os.Stdout, os.Stdin, args, kms)
	return err
}

func main() {
	fmt.Fprintln(os.Stderr, "called with", len(os.Args)-1, "arguments")
	if err := run(); err != nil {
		if err := handler.WriteErrorResponse(os.Stdout, err); err != nil {
			panic(err)
		}
		os.Exit(1)
	}
}
