"""Google's own client signs with each key of a server that stands for Cloud KMS, and prints a line for each.

Arguments: the address of the server, the resource of the keys' ring, then files of external accounts.
"""

import hashlib
import sys

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding
from google.api_core import exceptions
from google.api_core.client_options import ClientOptions
from google.auth import identity_pool
from google.cloud import kms_v1

SCOPES = ["https://www.googleapis.com/auth/cloudkms"]
MESSAGE = b"message"


def crc32c(data):
    value = 0xFFFFFFFF
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = (value >> 1) ^ (0x82F63B78 if value & 1 else 0)
    return value ^ 0xFFFFFFFF


def sign(client, parent, algorithm):
    versions = list(
        client.list_crypto_key_versions(request={"parent": parent, "filter": "state=ENABLED"})
    )
    newest = max(versions, key=lambda version: int(version.name.rsplit("/", 1)[1]))
    assert newest.algorithm.name == algorithm and newest.state.name == "ENABLED"
    public = client.get_public_key(request={"name": newest.name})
    assert public.name == newest.name and public.algorithm.name == algorithm
    assert public.pem_crc32c == crc32c(public.pem.encode())
    key = serialization.load_pem_public_key(public.pem.encode())
    if algorithm == "EC_SIGN_ED25519":
        request = {"data": MESSAGE, "data_crc32c": crc32c(MESSAGE)}
    else:
        name = "sha" + algorithm.rsplit("SHA", 1)[1]
        digest = hashlib.new(name, MESSAGE).digest()
        request = {"digest": {name: digest}, "digest_crc32c": crc32c(digest)}
    signed = client.asymmetric_sign(request={"name": newest.name, **request})
    assert signed.name == newest.name
    assert signed.signature_crc32c == crc32c(signed.signature)
    assert signed.verified_digest_crc32c or signed.verified_data_crc32c
    if algorithm == "EC_SIGN_ED25519":
        key.verify(signed.signature, MESSAGE)
        return len(versions)
    algorithms = {"sha256": hashes.SHA256(), "sha384": hashes.SHA384()}
    if algorithm.startswith("RSA"):
        key.verify(signed.signature, MESSAGE, padding.PKCS1v15(), algorithms[name])
    else:
        key.verify(signed.signature, MESSAGE, ec.ECDSA(algorithms[name]))
    return len(versions)


def main(address, ring, *files):
    for file in files:
        credentials = identity_pool.Credentials.from_file(file, scopes=SCOPES)
        client = kms_v1.KeyManagementServiceClient(
            transport="rest",
            credentials=credentials,
            client_options=ClientOptions(api_endpoint=f"http://{address}"),
        )
        for algorithm in (
            "EC_SIGN_P256_SHA256",
            "EC_SIGN_P384_SHA384",
            "EC_SIGN_ED25519",
            "RSA_SIGN_PKCS1_2048_SHA256",
        ):
            count = sign(client, f"{ring}/cryptoKeys/{algorithm}", algorithm)
            print(f"signed {algorithm} with the newest of {count} versions")
    parent = f"{ring}/cryptoKeys/EC_SIGN_P256_SHA256"
    made = client.create_crypto_key_version(request={"parent": parent, "crypto_key_version": {}})
    states = [made.state.name]
    states.append(client.get_crypto_key_version(request={"name": made.name}).state.name)
    print("made", *states)
    for request, error in (
        ({"name": made.name, "data": b"not a digest"}, exceptions.BadRequest),
        ({"name": made.name, "digest": {"sha256": b"x" * 32}, "digest_crc32c": 1}, exceptions.BadRequest),
        ({"name": f"{parent}/cryptoKeyVersions/99", "digest": {"sha256": b"x" * 32}}, exceptions.NotFound),
    ):
        try:
            client.asymmetric_sign(request=request)
        except error as refused:
            print("refused", type(refused).__name__)


main(*sys.argv[1:])
