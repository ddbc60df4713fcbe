"""Who vouches for a webhook: the known answers of `providers.md` §0.3, and what is no proof."""

import base64

import orjson
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from services.callback.domain.signatures import Headers, Keys, fal_key, is_signed, replicate_secret, signers
from stack.simulators import fal, replicate

AT = 1_760_000_000
FAL_JWK = orjson.dumps({"kty": "OKP", "crv": "Ed25519", "x": "A6EHv_POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg"}).decode()
FAL_BODY = b'{"request_id":"r1","status":"OK"}'
FAL_SIGNATURE = (
    "b9e6f776054508461803067dfbe5ebf4df4d23fd2c49de1da358004a0cf5ed54"
    "1427628c7e638537ec27764aefae2c87a808885a0a235447fb3b4aed6846b80a"
)
FAL: Headers = {
    b"x-fal-webhook-request-id": b"r1",
    b"x-fal-webhook-user-id": b"u1",
    b"x-fal-webhook-timestamp": b"1760000000",
    b"x-fal-webhook-signature": FAL_SIGNATURE.encode(),
}
REPLICATE_SECRET = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3"
REPLICATE_BODY = b'{"id":"p1","status":"succeeded"}'
REPLICATE: Headers = {
    b"webhook-id": b"msg_1",
    b"webhook-timestamp": b"1760000000",
    b"webhook-signature": b"v1,FCYBxIVUahnsys0kNi4X+Ou+wVI8MZNbJC5GN10Abac=",
}
KIE_TASK = "0123456789abcdef0123456789abcdef"
KIE: Headers = {
    b"x-webhook-timestamp": b"1760000000",
    b"x-webhook-signature": b"L2zBwdY3/gbiCdZnAu/vPlTRsRz0eayRHgtYYNRWBKM=",
}


def some(key: object) -> tuple[object, ...]:
    assert key is not None
    return (key,)


KEYS = Keys(fal=some(fal_key(FAL_JWK)), replicate=some(replicate_secret(REPLICATE_SECRET)), kie=b"kie-test-key")  # type: ignore[arg-type]


def found(headers: Headers, raw: bytes = b"", task: str | None = None, keys: Keys = KEYS, now: float = AT) -> set[str]:
    return set(signers(headers, raw, task, keys, now=now, tolerance=300))


def test_the_known_answers_are_found() -> None:
    assert found(FAL, FAL_BODY) == {"fal"}
    assert found(REPLICATE, REPLICATE_BODY) == {"replicate"}
    assert found(KIE, task=KIE_TASK) == {"suno"}


@pytest.mark.parametrize("seconds", [-300, 300])
def test_a_signature_holds_for_five_minutes_in_both_directions(seconds: int) -> None:
    assert found(FAL, FAL_BODY, now=AT + seconds) == {"fal"}
    assert found(REPLICATE, REPLICATE_BODY, now=AT + seconds) == {"replicate"}
    assert found(KIE, task=KIE_TASK, now=AT + seconds) == {"suno"}


@pytest.mark.parametrize("seconds", [-301, 301])
def test_a_stale_signature_proves_nothing(seconds: int) -> None:
    now = AT + seconds
    assert found(FAL, FAL_BODY, now=now) | found(REPLICATE, REPLICATE_BODY, now=now) == set()
    assert found(KIE, task=KIE_TASK, now=now) == set()


def test_the_stand_ins_sign_as_is_checked() -> None:
    key = Ed25519PrivateKey.generate()
    keys = Keys(fal=some(fal_key(orjson.dumps(fal.jwk(key)).decode())), replicate=KEYS.replicate)  # type: ignore[arg-type]
    assert found(_raw(fal.sign(key, "r1", "u1", AT, FAL_BODY)), FAL_BODY, keys=keys) == {"fal"}
    signed = _raw(replicate.sign(REPLICATE_SECRET, "msg_1", AT, REPLICATE_BODY))
    assert signed == REPLICATE
    assert found(signed, REPLICATE_BODY, keys=keys) == {"replicate"}


def _raw(headers: dict[str, str]) -> Headers:
    return {name.encode(): value.encode() for name, value in headers.items()}


@pytest.mark.parametrize("raw", [FAL_BODY + b" ", b""])
def test_fal_signs_every_byte_of_the_body(raw: bytes) -> None:
    assert found(FAL, raw) == set()


def test_replicate_signs_every_byte_of_the_body() -> None:
    assert found(REPLICATE, REPLICATE_BODY + b"\n") == set()


@pytest.mark.parametrize("name", sorted(FAL))
@pytest.mark.parametrize("value", [None, b"", b"1", b"\xff", b"1760000000\n", b"0" * 128, b"z" * 128, b"-1", b"1e9"])
def test_fal_signs_each_header(name: bytes, value: bytes | None) -> None:
    kept = {key: content for key, content in FAL.items() if key != name}
    assert found(kept if value is None else {**kept, name: value}, FAL_BODY) == set()


@pytest.mark.parametrize("name", sorted(REPLICATE))
@pytest.mark.parametrize(
    "value", [None, b"", b"1", b"\xff", b"v1,", b"v1,====", b"v2,FCYBxIVUahnsys0kNi4X+Ou+wVI8MZNbJC5GN10Abac="]
)
def test_replicate_signs_each_header(name: bytes, value: bytes | None) -> None:
    kept = {key: content for key, content in REPLICATE.items() if key != name}
    assert found(kept if value is None else {**kept, name: value}, REPLICATE_BODY) == set()


@pytest.mark.parametrize("name", sorted(KIE))
@pytest.mark.parametrize("value", [None, b"", b"1", b"\xff", b"===="])
def test_kie_signs_the_time_and_the_task(name: bytes, value: bytes | None) -> None:
    kept = {key: content for key, content in KIE.items() if key != name}
    assert found(kept if value is None else {**kept, name: value}, task=KIE_TASK) == set()
    assert found(KIE, task="f" * 32) == set()
    assert found(KIE, task=None) == set()


def test_any_of_several_keys_may_have_signed() -> None:
    other = Ed25519PrivateKey.generate().public_key()
    keys = Keys(fal=(other, *KEYS.fal), replicate=(b"other", *KEYS.replicate))
    assert found(FAL, FAL_BODY, keys=keys) == {"fal"}
    assert found(REPLICATE, REPLICATE_BODY, keys=keys) == {"replicate"}
    assert found(FAL, FAL_BODY, keys=Keys(fal=(other,))) == set()
    assert found(REPLICATE, REPLICATE_BODY, keys=Keys(replicate=(b"other",))) == set()


def test_the_second_of_two_signatures_may_be_the_right_one() -> None:
    wrong = b"v1," + base64.b64encode(bytes(32))
    both = b" ".join((b"v1a,x", wrong, REPLICATE[b"webhook-signature"]))
    assert found({**REPLICATE, b"webhook-signature": both}, REPLICATE_BODY) == {"replicate"}


def test_without_keys_nothing_is_proven() -> None:
    headers = {**FAL, **REPLICATE, **KIE}
    assert found(headers, FAL_BODY, KIE_TASK, keys=Keys()) == set()


@pytest.mark.parametrize(("headers", "signed"), [(FAL, True), (REPLICATE, True), (KIE, True), ({}, False)])
def test_it_is_seen_whether_anybody_claims_to_have_signed(headers: Headers, *, signed: bool) -> None:
    assert is_signed(headers) == signed


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "7",
        "[]",
        "{}",
        '{"kty":"OKP","crv":"Ed25519"}',
        '{"kty":"OKP","crv":"Ed25519","x":"AA"}',
        '{"kty":"RSA","crv":"Ed25519","x":"A6EHv_POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg"}',
        '{"kty":"OKP","crv":"Ed25519","x":7}',
    ],
)
def test_what_is_no_key_is_none(text: str) -> None:
    assert fal_key(text) is None


@pytest.mark.parametrize("text", ["", "whsec_", "whsec_?", "whsec_A"])
def test_what_is_no_secret_is_none(text: str) -> None:
    assert replicate_secret(text) is None


@pytest.mark.parametrize(
    ("provider", "keys", "demanded"),
    [
        ("fal", Keys(), True),
        ("replicate", Keys(), True),
        ("suno", Keys(), False),
        ("suno", Keys(kie=b"k"), True),
        ("composer", Keys(kie=b"k"), False),
    ],
)
def test_a_signature_is_demanded_of_those_who_sign(provider: str, keys: Keys, *, demanded: bool) -> None:
    assert keys.demanded_of(provider) == demanded
