// Writes calls and answers of sigstore's KMS plugin protocol, one a line.
package main

import (
	"crypto"
	"encoding/json"
	"fmt"
	"os"
	"time"

	"context"
	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/sigstore/sigstore/pkg/signature/kms/cliplugin/common"
	"github.com/sigstore/sigstore/pkg/signature/kms/cliplugin/encoding"
	"github.com/sigstore/sigstore/pkg/signature/options"
)

func write(path string, values []any) {
	file, err := os.Create(path)
	if err != nil {
		panic(err)
	}
	for _, value := range values {
		text, err := json.Marshal(value)
		if err != nil {
			panic(err)
		}
		fmt.Fprintln(file, string(text))
	}
}

func main() {
	digest := make([]byte, 32)
	for i := range digest {
		digest[i] = byte(i)
	}
	var calls []any
	for _, deadline := range []*time.Time{nil, {}} {
		ctx := context.Background()
		if deadline != nil {
			*deadline = time.Date(2025, 4, 1, 2, 47, 0, 500_000_000, time.UTC)
			ctx, _ = context.WithDeadline(ctx, *deadline)
		}
		rpc := options.WithContext(ctx)
		public := encoding.PackPublicKeyOptions([]signature.PublicKeyOption{rpc})
		sign := encoding.PackSignOptions([]signature.SignOption{rpc})
		prehashed := encoding.PackSignOptions([]signature.SignOption{rpc, options.WithDigest(digest), options.WithCryptoSignerOpts(crypto.SHA256)})
		verify := encoding.PackVerifyOptions([]signature.VerifyOption{rpc})
		for _, method := range []*common.MethodArgs{
			{MethodName: common.DefaultAlgorithmMethodName, DefaultAlgorithm: &common.DefaultAlgorithmArgs{}},
			{MethodName: common.SupportedAlgorithmsMethodName, SupportedAlgorithms: &common.SupportedAlgorithmsArgs{}},
			{MethodName: common.CreateKeyMethodName, CreateKey: &common.CreateKeyArgs{CtxDeadline: deadline, Algorithm: "ecdsa-p256"}},
			{MethodName: common.PublicKeyMethodName, PublicKey: &common.PublicKeyArgs{PublicKeyOptions: public}},
			{MethodName: common.SignMessageMethodName, SignMessage: &common.SignMessageArgs{SignOptions: sign}},
			{MethodName: common.SignMessageMethodName, SignMessage: &common.SignMessageArgs{SignOptions: prehashed}},
			{MethodName: common.VerifySignatureMethodName, VerifySignature: &common.VerifySignatureArgs{Signature: []byte("any <signature>"), VerifyOptions: verify}},
		} {
			calls = append(calls, &common.PluginArgs{
				InitOptions: &common.InitOptions{
					CtxDeadline: deadline, ProtocolVersion: common.ProtocolVersion, KeyResourceID: "token=a&b;object=<c>",
					HashFunc: crypto.SHA256, RPCOptions: encoding.PackRPCOptions([]signature.RPCOption{rpc}),
				},
				MethodArgs: method,
			})
		}
	}
	write("calls.jsonl", calls)
	write("answers.jsonl", []any{
		common.PluginResp{DefaultAlgorithm: &common.DefaultAlgorithmResp{DefaultAlgorithm: "rsa-2048"}},
		common.PluginResp{SupportedAlgorithms: &common.SupportedAlgorithmsResp{SupportedAlgorithms: []string{"rsa-2048", "a<b"}}},
		common.PluginResp{CreateKey: &common.CreateKeyResp{PublicKeyPEM: []byte("mypem")}},
		common.PluginResp{PublicKey: &common.PublicKeyResp{PublicKeyPEM: []byte("mypem")}},
		common.PluginResp{SignMessage: &common.SignMessageResp{Signature: []byte("any-signature")}},
		common.PluginResp{VerifySignature: &common.VerifySignatureResp{}},
		common.PluginResp{ErrorMessage: "no <key> of this name"},
	})
}
