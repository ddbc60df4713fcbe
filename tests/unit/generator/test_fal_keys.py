"""Claims about the public keys of fal's webhooks: which are kept, and how they are asked for."""

import json

import pytest

from services.generator.clients.dialect import Access, Reply
from services.generator.clients.fal import Fal
from services.generator.domain.clockwork import Clockwork
from services.generator.domain.providers import load_provider

FAL = Fal()
ACCESS = Access(
    provider=load_provider("fal", Clockwork(), 1.0),
    base_url="https://queue.fal.run",
    key="id:secret",
    model="fal-ai/elevenlabs/music",
    callback_base="https://parcours.fr/callback",
    keys_url="https://rest.fal.ai/.well-known/jwks.json",
)
X = "A6EHv_POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg"


def test_ed25519_keys_are_kept_by_their_id_or_themselves() -> None:
    ours = [{"kty": "OKP", "crv": "Ed25519", "x": X}, {"kty": "OKP", "crv": "Ed25519", "x": X, "kid": "k2", "d": "no"}]
    keys = FAL.read_keys(Reply(200, {}, {"keys": [*ours, {"kty": "RSA", "n": "1"}, "x"]}))
    assert keys is not None
    assert set(keys) == {X, "k2"}
    assert json.loads(keys["k2"]) == {"kty": "OKP", "crv": "Ed25519", "x": X, "kid": "k2"}


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, {"keys": []}),
        (200, None),
        (500, {"keys": [{"kty": "OKP", "crv": "Ed25519", "x": X}]}),
        (200, {"keys": [{"kty": "OKP", "crv": "Ed25519", "x": "short"}]}),
    ],
)
def test_an_answer_without_a_usable_key_is_none(status: int, body: object) -> None:
    assert FAL.read_keys(Reply(status, {}, body)) is None


def test_the_jwks_is_asked_without_our_key() -> None:
    call = FAL.keys(ACCESS)
    assert call is not None
    assert (call.url, dict(call.headers)) == ("https://rest.fal.ai/.well-known/jwks.json", {})
