"""Claims about the stand-ins' signatures: the known answers of providers.md §0.3."""

import hashlib

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from stack.simulators import fal, replicate

SEED = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
BODY = b'{"request_id":"r1","status":"OK"}'


def test_the_public_key_of_the_known_seed() -> None:
    assert fal.jwk(SEED) == {"kty": "OKP", "crv": "Ed25519", "x": "A6EHv_POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg"}


def test_fals_known_answer() -> None:
    assert hashlib.sha256(BODY).hexdigest() == "14e62706497d1fdd02ed952d3e701883357241940e9a25c79f9d74d85379bbac"
    assert fal.sign(SEED, "r1", "u1", 1760000000, BODY) == {
        "x-fal-webhook-request-id": "r1",
        "x-fal-webhook-user-id": "u1",
        "x-fal-webhook-timestamp": "1760000000",
        "x-fal-webhook-signature": "b9e6f776054508461803067dfbe5ebf4df4d23fd2c49de1da358004a0cf5ed54"
        "1427628c7e638537ec27764aefae2c87a808885a0a235447fb3b4aed6846b80a",
    }


def test_fals_signature_covers_the_body() -> None:
    digest = hashlib.sha256(BODY + b" ").hexdigest()
    signature = bytes.fromhex(fal.sign(SEED, "r1", "u1", 1760000000, BODY)["x-fal-webhook-signature"])
    with pytest.raises(InvalidSignature):
        SEED.public_key().verify(signature, f"r1\nu1\n1760000000\n{digest}".encode())


def test_replicates_known_answer() -> None:
    headers = replicate.sign(
        "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3", "msg_1", 1760000000, b'{"id":"p1","status":"succeeded"}'
    )
    assert headers == {
        "webhook-id": "msg_1",
        "webhook-timestamp": "1760000000",
        "webhook-signature": "v1,FCYBxIVUahnsys0kNi4X+Ou+wVI8MZNbJC5GN10Abac=",
    }
