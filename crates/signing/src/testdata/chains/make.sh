#!/bin/sh
# Makes the certificates and timestamps of this folder again, with OpenSSL 3. The keys are thrown away.
set -eu
cd "$(dirname "$0")"
keys=$(mktemp -d)
trap 'rm -rf "$keys"' EXIT

ca() { # name, subject, extensions, issuer, days: an authority below another one
  openssl req -new -key "$keys/$1.key" -subj "$2" -out "$keys/$1.csr"
  printf '%s\n' "$3" >"$keys/$1.ext"
  openssl x509 -req -in "$keys/$1.csr" -CA "$4.pem" -CAkey "$keys/$4.key" -CAcreateserial -CAserial "$keys/serial" \
    -days "$5" -sha256 -extfile "$keys/$1.ext" -out "$1.pem" 2>"$keys/log"
}
root() { # name, subject, extensions
  printf '[req]\ndistinguished_name=dn\n[dn]\n[ext]\n%s\n' "$3" >"$keys/$1.cnf"
  openssl req -x509 -new -key "$keys/$1.key" -subj "$2" -days 36500 -sha384 -config "$keys/$1.cnf" -extensions ext -out "$1.pem"
}
ec() { openssl ecparam -name "$2" -genkey -noout -out "$keys/$1.key"; }
rsa() { openssl genrsa -out "$keys/$1.key" 2048 2>"$keys/log"; }

CA='basicConstraints=critical,CA:TRUE
keyUsage=critical,keyCertSign,cRLSign
subjectKeyIdentifier=hash'

# A code signing authority with one between, and a certificate with names of all kinds.
ec code-root secp384r1
root code-root /O=example/CN=code-root "$CA"
ec code-intermediate prime256v1
ca code-intermediate /O=example/CN=code-intermediate "$CA
extendedKeyUsage=codeSigning" code-root 36500
ec names prime256v1
ca names / 'keyUsage=critical,digitalSignature
extendedKeyUsage=codeSigning
subjectAltName=critical,email:alice@example.com,URI:https://example.com/workflow,DNS:build.example.com,IP:127.0.0.1,IP:::1,otherName:1.3.6.1.4.1.57264.1.7;UTF8:alice,otherName:1.2.3.4;UTF8:other,dirName:directory,RID:1.2.3
1.3.6.1.4.1.57264.1.8=ASN1:UTF8String:https://issuer.example.com
1.3.6.1.4.1.57264.1.12=ASN1:UTF8String:https://example.com/source
[directory]
CN=not a signer' code-intermediate 36500

# A timestamp authority with RSA keys and one between that says nothing of its purpose.
rsa tsa-root
root tsa-root /O=example/CN=tsa-root "$CA"
rsa tsa-intermediate
ca tsa-intermediate /O=example/CN=tsa-intermediate "$CA" tsa-root 36500
rsa tsa
ca tsa /O=example/CN=tsa 'keyUsage=critical,digitalSignature
extendedKeyUsage=critical,timeStamping' tsa-intermediate 36500

printf 'a message' >"$keys/message"
stamp() { # file, hash of ESSCertID, arguments of the query
  cat >"$keys/ts.cnf" <<END
[tsa]
serial=$keys/ts-serial
crypto_device=builtin
signer_cert=tsa.pem
certs=tsa-intermediate.pem
signer_key=$keys/tsa.key
signer_digest=sha256
default_policy=1.2.3.4
digests=sha256,sha384,sha512
accuracy=secs:1
clock_precision_digits=3
ordering=yes
tsa_name=yes
ess_cert_id_chain=no
ess_cert_id_alg=$2
END
  file=$1
  shift 2
  openssl ts -query -data "$keys/message" "$@" -out "$keys/query" 2>"$keys/log"
  openssl ts -reply -queryfile "$keys/query" -config "$keys/ts.cnf" -section tsa -out "$file" 2>"$keys/log"
}
echo 01 >"$keys/ts-serial"
stamp v1.tsr sha1 -sha256 -cert
stamp v2.tsr sha256 -sha512 -cert
stamp v2-without-certificates.tsr sha384 -sha384
stamp refused.tsr sha256 -sha1 -cert
rm -f ./*.srl
