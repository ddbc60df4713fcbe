"""Owns the contract of object stores, shown on each of them (operations.md §1.3)."""

import asyncio
import hashlib
import os
import random
import uuid
from collections.abc import Awaitable, Callable
from itertools import pairwise
from pathlib import Path

import pytest

from libs.common.objects import (
    ChecksumMismatch,
    ObjectExists,
    ObjectMissing,
    ObjectStore,
    RangeNotSatisfiable,
    StoreUnavailable,
    open_objects,
)
from libs.common.objects.s3 import S3Objects
from libs.common.settings import ObjectSettings

Put = Callable[..., Awaitable[None]]
CONTENT = random.Random(7).randbytes(200_003)
LARGE = 17 * 1024 * 1024 + 11  # just above the single put


@pytest.fixture
def key() -> str:
    return f"runs/{uuid.uuid4()}/{uuid.uuid4()}.mp3"


async def _read(store: ObjectStore, key: str, start: int = 0, stop: int | None = None) -> bytes:
    return b"".join([piece async for piece in store.read(key, start, stop)])


async def test_what_was_put_is_read_with_its_description(store: ObjectStore, put: Put, key: str) -> None:
    await put(key, CONTENT, metadata={"attempt-id": "17", "kind": "final"})
    info = await store.head(key)
    assert info is not None
    assert (info.size, info.content_type) == (len(CONTENT), "audio/mpeg")
    assert info.sha256 == hashlib.sha256(CONTENT).digest()
    assert info.metadata == {"attempt-id": "17", "kind": "final"}
    assert info.etag.startswith('"')
    assert info.etag.endswith('"')
    assert await _read(store, key) == CONTENT


async def test_a_file_is_put_as_its_bytes_are(store: ObjectStore, put: Put, key: str, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(CONTENT)
    await put(key, source)
    assert await _read(store, key) == CONTENT


async def test_a_large_file_is_put_in_parts_and_comes_back_whole(
    store: ObjectStore, put: Put, key: str, tmp_path: Path
) -> None:
    content = random.Random(11).randbytes(LARGE)
    source = tmp_path / "source"
    source.write_bytes(content)
    await put(key, source, metadata={"attempt-id": "17"})
    info = await store.head(key)
    assert info is not None
    assert (info.size, info.sha256) == (LARGE, hashlib.sha256(content).digest())
    assert info.metadata == {"attempt-id": "17"}
    assert await _read(store, key) == content
    with pytest.raises(ObjectExists):
        await put(key, source)


async def test_an_empty_object_is_an_object(store: ObjectStore, put: Put, key: str) -> None:
    await put(key, b"")
    info = await store.head(key)
    assert info is not None
    assert info.size == 0
    assert await _read(store, key) == b""


@pytest.mark.parametrize(
    ("start", "stop"), [(0, 1), (0, 65_536), (1, 65_538), (65_536, 65_537), (199_999, None), (5, 5), (100, 10**9)]
)
async def test_a_range_is_exactly_its_bytes(
    store: ObjectStore, put: Put, key: str, start: int, stop: int | None
) -> None:
    await put(key, CONTENT)
    assert await _read(store, key, start, stop) == CONTENT[start:stop]


async def test_random_ranges_joined_are_the_object(store: ObjectStore, put: Put, key: str) -> None:
    await put(key, CONTENT)
    cuts = sorted({0, len(CONTENT), *random.Random(3).sample(range(len(CONTENT)), 12)})
    joined = b"".join([await _read(store, key, start, stop) for start, stop in pairwise(cuts)])
    assert hashlib.sha256(joined).digest() == hashlib.sha256(CONTENT).digest()


@pytest.mark.parametrize("start", [len(CONTENT), len(CONTENT) + 1, 10**12, -1])
async def test_a_range_that_begins_outside_is_refused(store: ObjectStore, put: Put, key: str, start: int) -> None:
    await put(key, CONTENT)
    with pytest.raises(RangeNotSatisfiable):
        await _read(store, key, start, None)


async def test_pieces_are_small(store: ObjectStore, put: Put, key: str) -> None:
    await put(key, CONTENT)
    assert max([len(piece) async for piece in store.read(key)]) <= 65_536


async def test_a_reader_may_leave_early(store: ObjectStore, put: Put, key: str) -> None:
    await put(key, CONTENT)
    reading = store.read(key)
    assert CONTENT.startswith(await anext(reading))
    await reading.aclose()  # type: ignore[attr-defined]  # the stores' readers are generators
    assert await _read(store, key) == CONTENT


async def test_what_does_not_exist_is_missing(store: ObjectStore, key: str) -> None:
    assert await store.head(key) is None
    with pytest.raises(ObjectMissing):
        await _read(store, key)


async def test_a_taken_key_is_refused_and_its_object_untouched(store: ObjectStore, put: Put, key: str) -> None:
    await put(key, CONTENT, metadata={"attempt-id": "1"})
    before = await store.head(key)
    with pytest.raises(ObjectExists):
        await put(key, b"other", metadata={"attempt-id": "2"})
    assert await store.head(key) == before
    assert await _read(store, key) == CONTENT


async def test_without_if_absent_the_last_put_stays_with_its_own_description(
    store: ObjectStore, put: Put, key: str
) -> None:
    await put(key, CONTENT, metadata={"attempt-id": "1"}, if_absent=False)
    await put(key, b"other", metadata={"attempt-id": "2"}, if_absent=False)
    info = await store.head(key)
    assert info is not None
    assert info.metadata == {"attempt-id": "2"}
    assert await _read(store, key) == b"other"


async def test_exactly_one_of_many_concurrent_puts_wins(store: ObjectStore, put: Put, key: str) -> None:
    contents = [bytes([number]) * 50_000 for number in range(12)]
    attempts = [put(key, content, metadata={"attempt-id": str(n)}) for n, content in enumerate(contents)]
    results = await asyncio.gather(*attempts, return_exceptions=True)
    winners = [number for number, result in enumerate(results) if result is None]
    assert winners
    assert all(isinstance(result, ObjectExists) for result in results if result is not None), results
    info = await store.head(key)
    assert info is not None
    kept = int(info.metadata["attempt-id"])
    assert kept in winners
    assert await _read(store, key) == contents[kept]  # never one attempt's bytes under another's description
    if isinstance(store, S3Objects) and len(winners) > 1:
        pytest.xfail(
            "versitygw 1.7.0 looks before it writes: in a third of 12-way races several conditional puts succeed"
        )
    assert len(winners) == 1, results


@pytest.mark.parametrize("content", [CONTENT, b"x" * LARGE], ids=["single", "parts"])
async def test_bytes_with_another_hash_are_not_stored(store: ObjectStore, put: Put, key: str, content: bytes) -> None:
    with pytest.raises(ChecksumMismatch):
        await put(key, content, sha256=hashlib.sha256(b"else").digest())
    assert await store.head(key) is None
    await put(key, content)  # and nothing of the failed put is in the way


async def test_a_deleted_object_is_gone_and_deleting_again_is_fine(store: ObjectStore, put: Put, key: str) -> None:
    await put(key, CONTENT)
    await store.delete(key)
    await store.delete(key)
    assert await store.head(key) is None
    await put(key, b"again", metadata={"attempt-id": "2"})
    info = await store.head(key)
    assert info is not None
    assert info.metadata == {"attempt-id": "2"}


@pytest.mark.parametrize(
    "bad",
    [
        "../../etc/x.mp3", "runs/../../x.mp3", "runs/..mp3", "/runs/a.mp3", "runs//a.mp3", "runs/a.mp3/", "runs",
        "runs/a", "", "runs/a.mp3\n", "runs/%2e%2e/a.mp3", "runs/a.mp3?x=1", "runs\\a.mp3", ".about/a.mp3",
        "runs/.a.mp3", "Runs/a.mp3", "runs/a.b/c.mp3", "runs/a.mp3\x00", "runs/é.mp3", "runs/" + "a" * 65 + ".mp3",
        "runs/a/b/c/d.mp3",
    ],
)  # fmt: skip
async def test_a_key_not_made_from_ids_is_refused_by_every_method(store: ObjectStore, put: Put, bad: str) -> None:
    attempts: list[Callable[[], Awaitable[object]]] = [
        lambda: put(bad, b"x"),
        lambda: store.head(bad),
        lambda: _read(store, bad),
        lambda: store.delete(bad),
        lambda: store.presign(bad, 60, "audio/mpeg"),
    ]
    for attempt in attempts:
        with pytest.raises(ValueError, match="object key"):
            await attempt()


@pytest.mark.parametrize(
    "metadata",
    [{"a b": "x"}, {"a_b": "x"}, {"a": "é"}, {"a": "x\r\nb: c"}, {"a": ""}, {"sha256": "x"}, {"a": "x" * 257}],
)
async def test_metadata_a_store_would_change_is_refused(
    store: ObjectStore, put: Put, key: str, metadata: dict[str, str]
) -> None:
    with pytest.raises(ValueError, match="object metadata"):
        await put(key, b"x", metadata=metadata)
    assert await store.head(key) is None


async def test_objects_survive_another_process_opening_the_store(
    store: ObjectStore, store_settings: ObjectSettings, put: Put, key: str
) -> None:
    await put(key, CONTENT, metadata={"attempt-id": "1"})
    async with open_objects(store_settings) as other:
        assert await other.head(key) == await store.head(key)
        assert await _read(other, key) == CONTENT


async def test_a_healthy_store_passes_its_check(store: ObjectStore) -> None:
    await store.check()


async def test_a_folder_that_vanished_is_unavailable(tmp_path: Path, key: str) -> None:
    folder = tmp_path / "objects"
    async with open_objects(ObjectSettings(object_store="folder", object_folder=folder)) as store:
        folder.rename(tmp_path / "elsewhere")
        with pytest.raises(StoreUnavailable):
            await store.check()
        with pytest.raises(StoreUnavailable):
            await store.put(key, b"", content_type="a/b", sha256=hashlib.sha256().digest(), metadata={}, if_absent=True)


async def test_a_server_that_is_away_is_unavailable(s3_settings: ObjectSettings, key: str) -> None:
    away = s3_settings.model_copy(update={"s3_endpoint": "http://127.0.0.1:9"})  # discard: nobody listens
    async with open_objects(away) as store:
        for attempt in (store.check, lambda: store.head(key), lambda: _read(store, key)):
            with pytest.raises(StoreUnavailable):
                await attempt()


async def test_wrong_credentials_and_a_missing_bucket_are_unavailable(s3_settings: ObjectSettings) -> None:
    for change in ({"s3_secret_key": s3_settings.s3_access_key}, {"s3_bucket": "no-such-bucket"}):
        async with open_objects(s3_settings.model_copy(update=change)) as store:
            with pytest.raises(StoreUnavailable):
                await store.check()


async def test_files_of_the_folder_are_the_owners_alone(tmp_path: Path, key: str) -> None:
    folder = tmp_path / "objects"
    async with open_objects(ObjectSettings(object_store="folder", object_folder=folder)) as store:
        digest = hashlib.sha256(b"x").digest()
        await store.put(key, b"x", content_type="audio/mpeg", sha256=digest, metadata={}, if_absent=True)
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert {path.stat().st_mode & 0o777 for path in files} == {0o600}
    assert folder.stat().st_mode & 0o777 == 0o700


async def test_a_folder_restored_from_a_backup_keeps_its_descriptions(tmp_path: Path, key: str) -> None:
    folder = tmp_path / "objects"
    async with open_objects(ObjectSettings(object_store="folder", object_folder=folder)) as store:
        digest = hashlib.sha256(CONTENT).digest()
        about = {"attempt-id": "17"}
        await store.put(key, CONTENT, content_type="audio/mpeg", sha256=digest, metadata=about, if_absent=True)
        copy = folder / "copy"
        copy.write_bytes(CONTENT)  # another inode under the same name, as after a restore
        os.replace(copy, folder / key)  # noqa: PTH105 - the plain call is what a restore does
        info = await store.head(key)
    assert info is not None
    assert (info.sha256, info.metadata) == (digest, about)
