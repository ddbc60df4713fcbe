"""S1 at the webhook's door: whatever is sent, the answer is a documented one and nothing is written."""

import gzip
import random
from typing import Any

import asyncpg
import httpx
import orjson
import pytest

from tests.integration.callback import rows
from tests.integration.callback.rows import Attempt
from tests.integration.callback.webhooks import EXAMPLES, body

SECRET = {"x-internal-secret": "a-service-secret"}
SAID = b'{"code": 200, "msg": "", "data": {"callbackType": "first", "task_id": "t", "data": %s}}'
MALFORMED = {
    "empty": b"",
    "a byte": b"\xff",
    "no JSON": b"code=200&data=x",
    "cut": body("suno/complete")[:700],
    "two documents": body("suno/first") * 2,
    "NaN": SAID % b'[{"stream_audio_url": "https://a/b", "duration": NaN}]',
    "Infinity": SAID % b'[{"stream_audio_url": "https://a/b", "duration": -Infinity}]',
    "a lone surrogate": SAID % rb'[{"stream_audio_url": "https://a/\ud800"}]',
    "deep lists": b"[" * 30_000 + b"]" * 30_000,
    "deep objects": b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
    "deep within": SAID % (b"[" * 5_000 + b"]" * 5_000),
    "utf-16": body("suno/first").decode().encode("utf-16"),
    "byte order mark": b"\xef\xbb\xbf" + body("suno/first"),
    "a list": b"[]",
    "a number": b"7",
    "a huge number": b"1" * 60_000,
    "null": b"null",
    "a text": b'"first"',
    "an unknown stage": SAID.replace(b"first", b"last") % b"[]",
    "songs as an object": SAID % b"{}",
    "an address of a list": SAID % b'[{"stream_audio_url": ["https://a/b"]}]',
    "a broken address": SAID % b'[{"stream_audio_url": "http://[::1"}]',
    "a user in an address": SAID % b'[{"stream_audio_url": "https://u:p@a/b"}]',
    "NUL in an address": SAID % rb'[{"stream_audio_url": "https://a/\u0000"}]',
    "a simple address that is broken": b'{"stage": "first", "streamUrl": "https://a:99999999/b"}',
    "a code beyond all": b'{"code": 123456789012345678901234567890, "data": null}',
}
ACCEPTED = {  # odd, and yet no lie: understood, the odd part left out
    "duplicate keys": SAID % b'[], "data": [{"stream_audio_url": "https://a/b"}]',
    "a duration of 1e308": SAID % b'[{"stream_audio_url": "https://a/b", "duration": 1e308}]',
    "NUL in a text": b'{"code": 501, "msg": "a\\u0000b", "data": null}',
    "a thousand songs": SAID % orjson.dumps([{"stream_audio_url": "https://a/b"}] * 1000),
    "a task id of nonsense": SAID.replace(b'"t"', b'{"$ne": null}') % b'[{"stream_audio_url": "https://a/b"}]',
}


async def post(client: httpx.AsyncClient, attempt: Attempt, raw: bytes, **headers: str) -> httpx.Response:
    return await client.post("/callback", params=attempt.query, content=raw, headers=headers)


@pytest.mark.parametrize("door", ["webhook", "finding"])
async def test_a_body_that_is_no_webhook_is_400_and_writes_nothing(
    client: httpx.AsyncClient, connection: asyncpg.Connection, attempt: Attempt, door: str
) -> None:
    before = await rows.everything(connection)
    path = "/callback" if door == "webhook" else f"/internal/attempts/{attempt.attempt_id}/news"
    for name, raw in MALFORMED.items():
        answer = await client.post(path, params=attempt.query, content=raw, headers=SECRET)
        assert (answer.status_code, answer.json()["code"]) == (400, "malformed"), name
        assert len(answer.content) < 300, "nothing of the body is given back"
    assert await rows.everything(connection) == before


@pytest.mark.parametrize("name", sorted(ACCEPTED))
async def test_what_is_only_odd_is_heard(client: httpx.AsyncClient, attempt: Attempt, name: str) -> None:
    assert (await post(client, attempt, ACCEPTED[name])).status_code == 200


async def test_a_large_or_packed_body_is_refused_before_it_is_read(
    client: httpx.AsyncClient, connection: asyncpg.Connection, attempt: Attempt
) -> None:
    before = await rows.everything(connection)
    large = b'{"code": 200, "data": "' + b"a" * 10_000_000 + b'"}'
    assert (await post(client, attempt, large)).status_code == 413
    bomb = gzip.compress(bytes(10_000_000))
    for encoding in ("gzip", "deflate", "br", "gzip, gzip"):
        answer = await post(client, attempt, bomb, **{"content-encoding": encoding})
        assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_encoding")
    assert (await post(client, attempt, bomb)).status_code == 400
    assert await rows.everything(connection) == before


async def test_a_body_in_pieces_without_a_length_is_bounded_too(client: httpx.AsyncClient, attempt: Attempt) -> None:
    async def endless() -> Any:
        for _ in range(100):
            yield b" " * 10_000

    answer = await client.post("/callback", params=attempt.query, content=endless())
    assert answer.status_code == 413


async def test_bodies_mangled_at_random_never_end_in_an_error_of_ours(
    client: httpx.AsyncClient, attempt: Attempt
) -> None:
    """Recorded bodies with bytes changed, cut, doubled, and values exchanged, from a fixed seed."""
    mangle = random.Random(4)
    recorded = [path.read_bytes() for path in sorted(EXAMPLES.glob("*/*.json"))]
    codes = set()
    for _ in range(400):
        raw = bytearray(mangle.choice(recorded))
        for _ in range(mangle.randint(1, 4)):
            at = mangle.randrange(len(raw))
            piece = mangle.choice(
                [b"", b"null", b"[]", b"{}", b'"', b"-1", b"\\u0000", b"\x00", bytes([mangle.randrange(256)])]
            )
            raw[at : at + mangle.choice([0, 1, 1, 5, 40])] = piece
        codes.add((await post(client, attempt, bytes(raw))).status_code)
    assert codes <= {200, 400, 401}


async def test_headers_of_signatures_may_hold_anything(client: httpx.AsyncClient, attempt: Attempt) -> None:
    names = (
        "x-fal-webhook-signature",
        "x-fal-webhook-timestamp",
        "webhook-signature",
        "webhook-timestamp",
        "webhook-id",
    )
    for value in (b"", b"\xff\xfe", b"v1,", b"0" * 128, b"9" * 4000, b"v1,\xe9 " * 100, "\u00e9".encode()):
        headers = [(name.encode(), value) for name in names]
        answer = await client.post("/callback", params=attempt.query, content=body("suno/text_empty"), headers=headers)
        assert answer.status_code == 200  # nobody's signature is asked for here
