"""Owns the claims about audio files: only by a signed address, any range of them, the same from every store."""

import asyncio
import hashlib
import itertools
import random
import time
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from libs.common.objects import open_objects
from libs.common.settings import SigningSettings
from libs.common.signing import MediaSigner
from tests.components import S3
from tests.integration.gateway import world

SIGNER = MediaSigner.from_settings(SigningSettings(media_signing_keys=SecretStr(world.SIGNING)))
MEDIA = "/media/parcours-tracks"
CONTENT = random.Random(3).randbytes(300_001)  # some pieces of 64 KiB and one odd byte
HASH = hashlib.sha256(CONTENT).digest()
ETAG = f'"{HASH.hex()}"'


@dataclass
class Shelf:
    """A gateway over a store that holds one file."""

    edge: httpx.AsyncClient
    url: str
    key: str


def signed(key: str, seconds: int = 600) -> str:
    return f"{MEDIA}/{key}?token={SIGNER.sign(key, int(time.time()) + seconds)}"


@pytest.fixture(params=["folder", "s3"])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, Any]:
    """The settings of a store."""
    if request.param == "folder":
        return {"object_folder": tmp_path / "objects"}
    s3: S3 = request.getfixturevalue("s3")
    keys = {"s3_access_key": s3.access_key, "s3_secret_key": s3.secret_key}
    return {
        "object_store": "s3",
        "s3_endpoint": s3.endpoint,
        "s3_region": s3.region,
        "s3_bucket": s3.bucket,
    } | keys


@pytest.fixture
async def shelf(
    shared_database: str, behind: world.Peer, tmp_path: Path, where: dict[str, Any]
) -> AsyncIterator[Shelf]:
    configured = world.settings(shared_database, behind, tmp_path, **where)
    key = f"runs/{uuid.uuid4()}/{uuid.uuid4()}.mp3"
    async with open_objects(configured) as store:
        await store.put(key, CONTENT, content_type="audio/mpeg", sha256=HASH, metadata={}, if_absent=True)
    async with world.gateway(configured) as edge:
        yield Shelf(edge, signed(key), key)


async def test_random_ranges_joined_are_the_file(shelf: Shelf) -> None:
    seed = random.randrange(2**32)
    dice = random.Random(seed)
    cuts = sorted({0, len(CONTENT), *(dice.randrange(1, len(CONTENT)) for _ in range(40))})
    spans = list(itertools.pairwise(cuts))
    dice.shuffle(spans)
    got: dict[int, bytes] = {}
    for start, stop in spans:
        answer = await shelf.edge.get(shelf.url, headers={"range": f"bytes={start}-{stop - 1}"})
        assert answer.status_code == 206
        assert answer.headers["content-range"] == f"bytes {start}-{stop - 1}/{len(CONTENT)}"
        assert answer.headers["content-length"] == str(stop - start)
        got[start] = answer.content
    assert world.sha256(got[start] for start in sorted(got)) == HASH.hex(), f"seed {seed}"


RANGES: tuple[tuple[str | None, int, str | None, bytes | None], ...] = (
    (None, 200, None, CONTENT),
    ("bytes=0-", 206, "bytes 0-300000/300001", CONTENT),
    ("bytes=0-0", 206, "bytes 0-0/300001", CONTENT[:1]),
    ("bytes=300000-", 206, "bytes 300000-300000/300001", CONTENT[-1:]),
    ("bytes=299999-999999", 206, "bytes 299999-300000/300001", CONTENT[-2:]),
    ("bytes=-2", 206, "bytes 299999-300000/300001", CONTENT[-2:]),
    ("bytes=-999999", 206, "bytes 0-300000/300001", CONTENT),
    ("BYTES = 1 - 2", 206, "bytes 1-2/300001", CONTENT[1:3]),
    ("bytes=300001-", 416, "bytes */300001", None),
    ("bytes=-0", 416, "bytes */300001", None),
    ("bytes=5-4", 200, None, CONTENT),
    ("bytes=0-1,4-5", 200, None, CONTENT),
    ("items=0-1", 200, None, CONTENT),
    ("bytes=" + "9" * 400 + "-", 200, None, CONTENT),
    ("bytes=-", 200, None, CONTENT),
)


async def test_each_range_has_its_answer(shelf: Shelf) -> None:
    for range_, status, content_range, body in RANGES:
        answer = await shelf.edge.get(shelf.url, headers={} if range_ is None else {"range": range_})
        assert (answer.status_code, answer.headers.get("content-range")) == (status, content_range), range_
        assert answer.headers["accept-ranges"] == "bytes"
        if body is None:
            assert answer.json()["code"] == "range_not_satisfiable"
            continue
        assert answer.content == body
        assert answer.headers["etag"] == ETAG
        assert answer.headers["cache-control"] == "private, max-age=3600, immutable"
        assert answer.headers["content-type"] == "audio/mpeg"
        assert "content-encoding" not in answer.headers


async def test_head_if_range_and_if_none_match(shelf: Shelf) -> None:
    head = await shelf.edge.head(shelf.url)
    assert (head.status_code, head.headers["content-length"], head.headers["etag"]) == (200, str(len(CONTENT)), ETAG)
    one = {"range": "bytes=0-9"}
    assert (await shelf.edge.get(shelf.url, headers=one | {"if-range": ETAG})).status_code == 206
    for other in ('"another"', f"W/{ETAG}", "Sat, 21 Nov 2026 00:00:00 GMT"):
        assert (await shelf.edge.get(shelf.url, headers=one | {"if-range": other})).status_code == 200
    for known in (ETAG, f'"x", W/{ETAG}', "*"):
        assert (await shelf.edge.get(shelf.url, headers={"if-none-match": known})).status_code == 304
    assert (await shelf.edge.get(shelf.url, headers={"if-none-match": '"another"'})).status_code == 200


async def test_only_a_token_for_this_very_file_opens_it(shelf: Shelf) -> None:
    plain = f"{MEDIA}/{shelf.key}"
    other = SIGNER.sign(f"runs/{uuid.uuid4()}/{uuid.uuid4()}.mp3", int(time.time()) + 60)
    good = shelf.url.partition("token=")[2]
    cases = [
        (plain, 401, "unauthenticated"),
        (f"{plain}?token=", 401, "unauthenticated"),
        (f"{plain}?token=x", 403, "token_invalid"),
        (f"{plain}?token={other}", 403, "token_invalid"),
        (f"{plain}?token={good[:-1]}", 403, "token_invalid"),
        (f"{plain}?token={good.replace('k1', 'k9')}", 403, "token_invalid"),
        (signed(shelf.key, seconds=-1), 403, "token_expired"),
        (signed(f"runs/{uuid.uuid4()}/{uuid.uuid4()}.mp3"), 404, "not_found"),
    ]
    for url, status, code in cases:
        answer = await shelf.edge.get(url)
        assert (answer.status_code, answer.json()["code"]) == (status, code), url


@pytest.mark.parametrize(
    "key",
    [
        *("x", "runs/a/b.mp3", f"runs/{uuid.UUID(int=1)}.mp3", "../etc/passwd", ".about/x", ".incoming/x"),
        *(f"runs/{uuid.UUID(int=1)}/{uuid.UUID(int=2)}.mp3/..", f"previews/{uuid.UUID(int=1)}.mp3"),
        f"runs/{uuid.UUID(int=1)}/%2e%2e/{uuid.UUID(int=1)}.mp3",
    ],
)
async def test_a_key_of_no_form_of_ours_is_400_even_when_signed(edge: httpx.AsyncClient, key: str) -> None:
    answer = await edge.get(signed(key))
    assert (answer.status_code, answer.json()["code"]) in {(400, "malformed_id"), (404, "not_found")}
    assert b"root" not in answer.content


async def test_a_growing_preview_is_served_without_knowing_its_end(edge: httpx.AsyncClient, behind: world.Peer) -> None:
    key = f"previews/{uuid.uuid4()}-1.mp3"
    assert (await edge.get(signed(key))).status_code == 404
    behind.growing[:] = [CONTENT[:1000], CONTENT[1000:1500]]
    assert (await edge.get(signed(key.replace("-1.mp3", "-2.mp3")))).status_code == 404  # the other attempt's grows
    part = await edge.get(signed(key), headers={"range": "bytes=0-1"})
    assert (part.status_code, part.headers["content-range"], part.content) == (206, "bytes 0-1/*", CONTENT[:2])
    part = await edge.get(signed(key), headers={"range": "bytes=2-"})
    assert (part.status_code, part.headers["content-range"]) == (206, "bytes 2-1499/*")
    assert (part.content, part.headers["cache-control"]) == (CONTENT[2:1500], "no-store")
    behind.growing.append(CONTENT[1500:1600])
    part = await edge.get(signed(key), headers={"range": "bytes=1500-"})
    assert (part.headers["content-range"], part.content) == ("bytes 1500-1599/*", CONTENT[1500:1600])
    assert (await edge.head(signed(key))).status_code == 200
    asyncio.get_running_loop().call_later(0.1, behind.finished.set)
    whole = await edge.get(signed(key), headers={"range": "bytes=0-"})
    assert (whole.status_code, whole.content) == (200, CONTENT[:1600])
    behind.finished.set()
    beyond = await edge.get(signed(key), headers={"range": "bytes=1600-"})
    assert (beyond.status_code, beyond.json()["code"]) == (416, "range_not_satisfiable")


async def test_reading_files_uses_up_no_limit_but_guessing_does(
    shared_database: str, behind: world.Peer, tmp_path: Path
) -> None:
    configured = world.settings(shared_database, behind, tmp_path / "objects", address_requests_per_minute=3)
    key = f"runs/{uuid.uuid4()}/{uuid.uuid4()}.mp3"
    async with open_objects(configured) as store:
        await store.put(key, CONTENT, content_type="audio/mpeg", sha256=HASH, metadata={}, if_absent=True)
    async with world.gateway(configured) as edge:
        for _ in range(10):
            assert (await edge.get(signed(key), headers={"range": "bytes=0-9"})).status_code == 206
        statuses = [(await edge.get(f"{MEDIA}/{key}?token=guess")).status_code for _ in range(4)]
        assert statuses == [403, 403, 403, 429]
        assert (await edge.get(signed(key))).status_code == 200
