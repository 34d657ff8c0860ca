"""Microsoft's own client signs with each key of a server that stands for a vault, and prints a line for each.

Arguments: the host of the vault, the file of its authority, and the client id of the managed identity, if it has one. Who asks is in the environment.
"""

import hashlib
import sys

from azure.core.exceptions import ResourceNotFoundError
from azure.identity import ManagedIdentityCredential
from azure.keyvault.keys import KeyClient
from azure.keyvault.keys.crypto import CryptographyClient, SignatureAlgorithm

DIGEST = {"p256": "256", "p384": "384", "p521": "512", "rsa": "256", "hsm": "256"}


def main(host, authority, *identity):
    tls = {"connection_verify": authority}
    client_id = {"client_id": identity[0]} if identity else {}
    credential = ManagedIdentityCredential(**client_id, **tls)
    # The name of this machine is none of a vault.
    options = {"api_version": "7.4", "verify_challenge_resource": False, **tls}
    client = KeyClient(f"https://{host}", credential, **options)
    for name, bits in DIGEST.items():
        key = client.get_key(name)
        crypto = CryptographyClient(key, credential, **options)
        algorithm = SignatureAlgorithm(f"RS{bits}" if name == "rsa" else f"ES{bits}")
        digest = hashlib.new(f"sha{bits}", b"message").digest()
        signed = crypto.sign(algorithm, digest)
        # With the public half, here.
        assert crypto.verify(algorithm, digest, signed.signature).is_valid
        assert signed.key_id == key.id
        print(f"signed {name} {key.key_type.value} {algorithm.value}")
    before = client.get_key("p256")
    after = client.rotate_key("p256")
    assert before.properties.version != after.properties.version
    assert client.get_key("p256").id == after.id
    assert client.get_key("p256", before.properties.version).id == before.id
    print("rotated p256")
    made = client.create_ec_key("made" + "".join(identity), curve="P-384", key_operations=["sign", "verify"])
    print(f"made {made.key.crv.value}")
    try:
        client.get_key("missing")
    except ResourceNotFoundError as refused:
        print("refused", refused.error.code)


main(*sys.argv[1:])
