"""Owns the claim that bytes in the bucket are private: only an untouched, unexpired address opens one object (§1.3)."""

import asyncio
import hashlib
import uuid
from collections.abc import AsyncIterator
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import httpx
import pytest

from libs.common.objects import ObjectStore, open_objects
from libs.common.settings import ObjectSettings
from tests import components

CONTENT = bytes(range(256)) * 40


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(trust_env=False) as client:
        yield client


@pytest.fixture
async def bucket(s3_settings: ObjectSettings) -> AsyncIterator[ObjectStore]:
    async with open_objects(s3_settings) as opened:
        yield opened


@pytest.fixture
async def key(bucket: ObjectStore) -> str:
    name = f"runs/{uuid.uuid4()}/{uuid.uuid4()}.mp3"
    digest = hashlib.sha256(CONTENT).digest()
    await bucket.put(name, CONTENT, content_type="audio/mpeg", sha256=digest, metadata={}, if_absent=True)
    return name


@pytest.fixture
async def address(bucket: ObjectStore, key: str) -> str:
    signed = await bucket.presign(key, 3600, "audio/mpeg")
    assert signed is not None
    return signed


def _changed(address: str, **parameters: str) -> str:
    parts = urlsplit(address)
    query = dict(parse_qsl(parts.query)) | parameters
    return urlunsplit(parts._replace(query=urlencode(query)))


async def test_a_folder_has_no_address_of_its_own(store: ObjectStore) -> None:
    signed = await store.presign("runs/a.mp3", 60, "audio/mpeg")
    assert (signed is None) == (type(store).__name__ == "FolderObjects")


async def test_a_signed_address_opens_its_object(http: httpx.AsyncClient, address: str) -> None:
    answer = await http.get(address)
    assert (answer.status_code, answer.content) == (200, CONTENT)
    assert answer.headers["content-type"] == "audio/mpeg"


@pytest.mark.parametrize(
    ("asked", "status", "expected"),
    [
        ("bytes=10-19", 206, CONTENT[10:20]),
        ("bytes=-7", 206, CONTENT[-7:]),
        ("bytes=10000-", 206, CONTENT[10_000:]),
        (f"bytes={len(CONTENT)}-", 416, None),
    ],
)
async def test_ranges_work_through_a_signed_address(
    http: httpx.AsyncClient, address: str, asked: str, status: int, expected: bytes | None
) -> None:
    answer = await http.get(address, headers={"range": asked})
    assert answer.status_code == status
    assert expected is None or answer.content == expected


async def test_a_tampered_address_opens_nothing(http: httpx.AsyncClient, address: str, key: str) -> None:
    signature = dict(parse_qsl(urlsplit(address).query))["X-Amz-Signature"]
    other = ("0" if signature[0] != "0" else "1") + signature[1:]
    tampered = [
        _changed(address, **{"X-Amz-Signature": other}),
        _changed(address, **{"X-Amz-Expires": "86400"}),
        _changed(address, **{"response-content-type": "text/html"}),
        address.replace(key, f"runs/{uuid.uuid4()}/{uuid.uuid4()}.mp3"),
    ]
    assert [(await http.get(url)).status_code for url in tampered] == [403] * len(tampered)


@pytest.mark.parametrize("verb", ["HEAD", "PUT", "DELETE"])
async def test_a_signed_address_serves_no_other_verb(http: httpx.AsyncClient, address: str, verb: str) -> None:
    assert (await http.request(verb, address)).status_code == 403


async def test_an_expired_address_opens_nothing(http: httpx.AsyncClient, bucket: ObjectStore, key: str) -> None:
    signed = await bucket.presign(key, 1, "audio/mpeg")
    assert signed is not None
    async with asyncio.timeout(10):
        while (await http.get(signed)).status_code != 403:
            await asyncio.sleep(0.2)


async def test_nobody_is_served_without_a_signature(http: httpx.AsyncClient, s3: components.S3, key: str) -> None:
    bucket = f"{s3.endpoint}/{s3.bucket}"
    answers = [
        await http.get(f"{bucket}/{key}"),
        await http.put(f"{bucket}/runs/mine.mp3", content=b"x"),
        await http.delete(f"{bucket}/{key}"),
        await http.get(bucket),
        await http.get(s3.endpoint),
    ]
    assert [answer.status_code for answer in answers] == [403] * len(answers)
