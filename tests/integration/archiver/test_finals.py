"""A finished file is stored once, exact, and named after what it is."""

import asyncio
import hashlib
import uuid
from pathlib import Path

import pytest

from libs.common import mp3
from libs.common.objects import ObjectExists
from services.archiver import storage
from services.archiver.handlers.tools import Tools
from services.archiver.sweeps import sweep_missing
from tests.integration.archiver.conftest import Sounds
from tests.integration.archiver.web import Web
from tests.integration.archiver.world import FILE_SECONDS, World, carry, whole
from tests.unit.archiver.sounds import decoded_samples

COMPLETE = "segment.complete"


@pytest.mark.parametrize("store_settings", ["folder_store", "s3_store"], indirect=True)
async def test_a_delivered_file_is_stored_and_completes_its_segment(
    tools: Tools, world: World, web: Web, sounds: Sounds, tmp_path: Path
) -> None:
    segment = await world.segment()
    url = web.give("/a.mp3", sounds.song)
    attempt_id = await world.delivered(segment, url)
    await carry(tools)

    stored = await whole(tools.objects, segment.key)
    digest = hashlib.sha256(stored).digest()
    info = await tools.objects.head(segment.key)
    assert info is not None
    assert (info.sha256, info.metadata["attempt-id"], info.content_type) == (digest, str(attempt_id), "audio/mpeg")
    (tmp_path / "stored.mp3").write_bytes(stored)
    assert decoded_samples(tmp_path / "stored.mp3") == FILE_SECONDS * 44100

    row = await world.segment_row(segment)
    assert (row["status"], row["storage_path"], row["duration_seconds"], row["callback_token"]) == (
        "complete",
        segment.key,
        FILE_SECONDS,
        None,
    )
    kept = row["metadata"]
    assert (kept["duration_ms"], kept["size_bytes"], kept["sha256"]) == (46_000, len(stored), digest.hex())
    assert (kept["suno_download_url"], kept["provider_sha256"]) == (url, hashlib.sha256(sounds.song).hexdigest())
    assert abs(kept["measures"]["lufs"] + 16.0) <= 0.5

    attempt = await world.attempt_row(attempt_id)
    assert (attempt["rank"], attempt["sha256"], attempt["alive"]) == (6, digest, False)
    assert attempt["finished_at"] is not None
    assert await world.jobs() == []
    ((topic, news),) = await world.news()
    assert (topic, news["storage_path"], news["duration_seconds"]) == (COMPLETE, segment.key, 46.0)
    assert (news["size_bytes"], news["sha256"], news["attempt_id"]) == (len(stored), digest.hex(), str(attempt_id))


async def test_a_wav_becomes_an_exact_mp3(tools: Tools, world: World, web: Web, sounds: Sounds) -> None:
    segment = await world.segment(last=True)
    await world.delivered(segment, web.give("/a", sounds.wav))
    await carry(tools)
    row = await world.segment_row(segment)
    assert (row["status"], row["metadata"]["duration_ms"]) == ("complete", 46_000)


async def test_a_job_that_comes_again_changes_nothing(tools: Tools, world: World, web: Web, sounds: Sounds) -> None:
    segment = await world.segment()
    attempt_id = await world.delivered(segment, web.give("/a.mp3", sounds.song))
    await carry(tools)
    before = await world.segment_row(segment)
    await world.job(segment, attempt_id, "final")
    await carry(tools)
    assert await world.segment_row(segment) == before
    assert await world.topics() == [COMPLETE]
    assert (await world.jobs(), web.asked) == ([], ["/a.mp3"])


async def test_the_second_take_stands_in_for_a_first_that_is_gone(
    tools: Tools, world: World, web: Web, sounds: Sounds
) -> None:
    segment = await world.segment()
    url = web.give("/b.mp3", sounds.other)
    await world.delivered(segment, web.origin + "/gone.mp3", url)
    await carry(tools)
    kept = (await world.segment_row(segment))["metadata"]
    assert (kept["suno_download_url"], [part["take"] for part in kept["parts"]]) == (url, [2])


async def test_short_takes_are_joined_and_the_recipe_is_kept(
    tools: Tools, world: World, web: Web, sounds: Sounds
) -> None:
    segment = await world.segment(file_seconds=100)
    await world.delivered(segment, web.give("/a.mp3", sounds.song), web.give("/b.mp3", sounds.other))
    await carry(tools)
    kept = (await world.segment_row(segment))["metadata"]
    assert [part["take"] for part in kept["parts"]] == [1, 2, 1]
    assert kept["duration_ms"] == 100_000


async def test_a_file_in_the_simple_dialect_is_kept_as_received(
    tools: Tools, world: World, web: Web, sounds: Sounds
) -> None:
    segment = await world.segment()
    await world.delivered(segment, web.give("/a.mp3", sounds.short), dialect="simple")
    await carry(tools)
    stored = await whole(tools.objects, segment.key)
    assert stored[mp3.skip_id3(stored) :] == sounds.short[mp3.skip_id3(sounds.short) :]  # with our label for theirs
    row = await world.segment_row(segment)
    assert (row["status"], row["duration_seconds"], row["metadata"]["archive_mode"]) == ("complete", 20, "record")


async def test_the_first_of_two_deliveries_is_the_segment_and_the_other_is_surplus(
    tools: Tools, world: World, web: Web, sounds: Sounds
) -> None:
    segment = await world.segment()
    first = await world.delivered(segment, web.give("/a.mp3", sounds.song))
    second = await world.delivered(segment, web.give("/b.mp3", sounds.other))
    await carry(tools)
    assert await world.topics() == [COMPLETE]
    rows = [await world.attempt_row(first), await world.attempt_row(second)]
    assert [(row["rank"], row["alive"]) for row in rows] == [(6, False), (5, False)]
    assert rows[1]["facts"]["takes"] != []
    assert (web.asked, await world.jobs()) == (["/a.mp3"], [])


@pytest.mark.parametrize("store_settings", ["s3_store"], indirect=True)
async def test_of_many_at_once_exactly_one_stores_the_segment(
    tools: Tools, world: World, web: Web, sounds: Sounds
) -> None:
    segment = await world.segment()
    for number in range(3):
        await world.delivered(segment, web.give(f"/{number}.mp3", sounds.short), dialect="simple")
    await asyncio.gather(*(carry(tools) for _ in range(3)))
    digest = hashlib.sha256(await whole(tools.objects, segment.key)).hexdigest()
    assert (await world.segment_row(segment))["metadata"]["sha256"] == digest
    info = await tools.objects.head(segment.key)
    ranks = await world.connection.fetch("SELECT id, rank, alive FROM segment_attempts ORDER BY rank DESC")
    assert [(row["rank"], row["alive"]) for row in ranks] == [(6, False), (5, False), (5, False)]
    assert info is not None
    assert info.metadata["attempt-id"] == str(ranks[0]["id"])
    assert await world.topics() == [COMPLETE]


async def test_an_object_whose_worker_died_completes_the_segment_with_its_own_measures(
    tools: Tools, world: World, web: Web, sounds: Sounds
) -> None:
    segment = await world.segment()
    dead = await world.attempt(segment, rank=5, facts={"dialect": "other"})
    digest = hashlib.sha256(sounds.other).digest()
    measures = {"duration_ms": 50_000, "size_bytes": len(sounds.other), "original_url": "https://x.example/o.mp3"}
    await storage.note_candidate(world.connection, dead, digest, measures)
    await _put(tools, segment.key, sounds.other, dead)
    other = await world.delivered(segment, web.give("/a.mp3", sounds.song))
    await carry(tools)

    assert await whole(tools.objects, segment.key) == sounds.other
    row = await world.segment_row(segment)
    assert (row["status"], row["duration_seconds"], row["metadata"]["sha256"]) == ("complete", 50, digest.hex())
    assert [(await world.attempt_row(each))["rank"] for each in (dead, other)] == [6, 5]
    ((_, news),) = await world.news()
    assert news["attempt_id"] == str(dead)


async def test_an_object_nobody_announced_is_neither_overwritten_nor_adopted(
    tools: Tools, world: World, web: Web, sounds: Sounds
) -> None:
    segment = await world.segment()
    await _put(tools, segment.key, sounds.other, uuid.uuid4())
    await world.delivered(segment, web.give("/a.mp3", sounds.song))
    await carry(tools)
    assert await whole(tools.objects, segment.key) == sounds.other
    assert (await world.segment_row(segment))["status"] == "generating"
    assert [job["postponed"] for job in await world.jobs()] == [True]


async def _put(tools: Tools, key: str, content: bytes, attempt_id: uuid.UUID) -> None:
    digest = hashlib.sha256(content).digest()
    metadata = {"attempt-id": str(attempt_id)}
    await tools.objects.put(key, content, content_type="audio/mpeg", sha256=digest, metadata=metadata, if_absent=True)
    with pytest.raises(ObjectExists):
        await tools.objects.put(
            key, content, content_type="audio/mpeg", sha256=digest, metadata=metadata, if_absent=True
        )


async def test_a_late_success_repairs_a_failed_segment(tools: Tools, world: World, web: Web, sounds: Sounds) -> None:
    segment = await world.segment()
    await world.connection.execute("UPDATE parcours_segments SET status = 'failed'")
    await world.delivered(segment, web.give("/a.mp3", sounds.song))
    await carry(tools)
    assert (await world.segment_row(segment))["status"] == "complete"


async def test_the_sweep_finds_delivered_attempts_without_a_job(tools: Tools, world: World, web: Web) -> None:
    facts = {"dialect": "other", "takes": [{"url": web.origin + "/a.mp3"}]}
    forgotten, fresh, done, given_up = [await world.segment() for _ in range(4)]
    wanted = await world.attempt(forgotten, rank=5, facts=facts)
    await world.attempt(done, rank=5, facts=facts)
    await world.attempt(given_up, rank=5, facts=facts)
    await world.connection.execute("UPDATE segment_attempts SET delivered_at = now() - interval '61 s'")
    await world.attempt(fresh, rank=5, facts=facts)
    await world.connection.execute(
        "UPDATE parcours_segments SET status = 'complete', storage_path = 'x', callback_token = NULL WHERE id = $1",
        done.segment_id,
    )
    await world.connection.execute(
        "UPDATE segment_attempts SET gave_up_rank = 5 WHERE segment_id = $1", given_up.segment_id
    )
    await sweep_missing(tools.database, 1.0)
    await sweep_missing(tools.database, 1.0)
    assert [(job["attempt_id"], job["kind"]) for job in await world.jobs()] == [(wanted, "final")]
