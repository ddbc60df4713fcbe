"""Whole archivers, as processes with real Kafka: news in, news out; killed anywhere, two at once: stored once."""

import asyncio
import hashlib
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from libs.common import fault_points
from libs.common.database import Channel, Database, open_database
from libs.common.events import SegmentDelivered, SegmentFirst, Take
from libs.common.fault_points import EXIT_STATUS
from libs.common.lifecycle import lock_run
from libs.common.objects import ObjectStore, open_objects
from libs.common.outbox import announce
from libs.common.settings import ObjectSettings
from tests.integration.archiver.conftest import Sounds
from tests.integration.archiver.web import Web
from tests.integration.archiver.world import Segment, World, whole
from tests.integration.composer.running import KEY, Composer
from tests.unit.composer.journeys import example_a

ROOT = Path(__file__).parents[3]
SHORT: dict[str, Any] = {"seconds": 15, "file_seconds": 20}  # what is shown does not depend on how long a file is


@pytest.fixture
async def news(database: str) -> AsyncIterator[Database]:
    async with open_database(database, "callback") as opened:
        yield opened


@pytest.fixture
async def store(store_settings: ObjectSettings) -> AsyncIterator[ObjectStore]:
    async with open_objects(store_settings) as opened:
        yield opened


def environment(
    database: str, bootstrap: str, prefix: str, web: Web, store: ObjectSettings, **more: str
) -> dict[str, str]:
    s3 = {
        "S3_ENDPOINT": store.s3_endpoint or "",
        "S3_ACCESS_KEY": store.s3_access_key.get_secret_value(),
        "S3_SECRET_KEY": store.s3_secret_key.get_secret_value(),
        "S3_BUCKET": store.s3_bucket,
    }
    return {
        "PATH": os.environ["PATH"],
        "DATABASE_URL": database,
        "KAFKA_BOOTSTRAP": bootstrap,
        "KAFKA_PREFIX": prefix,
        "OBJECT_STORE": store.object_store,
        "OBJECT_FOLDER": str(store.object_folder),
        "PROVIDER_FILE_PRIVATE_ORIGINS": web.origin,
        "GENERATOR_URL": web.origin,
        "PORT": "0",
        "TIME_SCALE": "0.05",
        "DRAIN_SECONDS": "10",
        "OPENBLAS_NUM_THREADS": "1",  # as every process of a stack; its threads spin
        **(s3 if store.object_store == "s3" else {}),
        **more,
    }


@asynccontextmanager
async def archiver(env: dict[str, str]) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "services.archiver", cwd=ROOT, env=env)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
            assert await asyncio.wait_for(process.wait(), 20) == 0


async def until_complete(world: World, *segments: Segment, seconds: float = 60) -> None:
    async with asyncio.timeout(seconds):
        while [(await world.segment_row(each))["status"] for each in segments] != ["complete"] * len(segments):
            await asyncio.sleep(0.1)


async def stored_once(world: World, store: ObjectStore, segment: Segment) -> None:
    """One object, one event, one attempt of rank 6, all of the same bytes; no job left."""
    digest = hashlib.sha256(await whole(store, segment.key)).hexdigest()
    assert (await world.segment_row(segment))["metadata"]["sha256"] == digest
    news = [payload for topic, payload in await world.news() if topic == "segment.complete"]
    mine = [payload for payload in news if payload["segment_id"] == str(segment.segment_id)]
    assert [payload["sha256"] for payload in mine] == [digest]
    ranks = await world.connection.fetch(
        "SELECT sha256 FROM segment_attempts WHERE segment_id = $1 AND rank = 6", segment.segment_id
    )
    assert [row["sha256"].hex() for row in ranks] == [digest]
    assert await world.jobs() == []


async def test_news_from_kafka_becomes_a_preview_and_a_stored_file(
    world: World,
    news: Database,
    database: str,
    kafka_bootstrap: str,
    topics: str,
    web: Web,
    sounds: Sounds,
    store: ObjectStore,
    store_settings: ObjectSettings,
) -> None:
    segment = await world.segment(**SHORT)
    song, preview = web.give("/a.mp3", sounds.short), web.give("/p", sounds.stream)
    facts = {"dialect": "suno", "preview_url": preview, "takes": [{"url": song, "duration": 20.0}]}
    attempt_id = await world.attempt(segment, rank=3, facts=facts)
    web.give_json(f"/internal/attempts/{attempt_id}/confirm", {"state": "success", "takes": facts["takes"]})
    run_id, segment_id = segment.run_id, segment.segment_id
    first = SegmentFirst(run_id=run_id, segment_id=segment_id, attempt_id=attempt_id)
    takes = [Take(url=song, duration=20.0)]
    delivered = SegmentDelivered(run_id=run_id, segment_id=segment_id, attempt_id=attempt_id, takes=takes)
    async with archiver(environment(database, kafka_bootstrap, topics, web, store_settings)):
        async with news.transaction(Channel.OUTBOX) as connection:
            await lock_run(connection, segment.run_id)
            await announce(connection, first)
        await _until_news(world, "segment.previewed")
        async with news.transaction(Channel.OUTBOX) as connection:
            await lock_run(connection, segment.run_id)
            await connection.execute("UPDATE segment_attempts SET rank = 5")
            await announce(connection, delivered)
        await until_complete(world, segment)
    await stored_once(world, store, segment)
    inbox = await world.connection.fetchval("SELECT count(*) FROM consumer_inbox")
    assert inbox == 2


async def _until_news(world: World, topic: str) -> None:
    async with asyncio.timeout(60):
        while topic not in await world.topics():
            await asyncio.sleep(0.1)


@pytest.mark.parametrize("store_settings", ["s3_store"], indirect=True)
async def test_killed_at_every_point_a_file_is_stored_once(
    world: World,
    database: str,
    kafka_bootstrap: str,
    topics: str,
    web: Web,
    sounds: Sounds,
    store: ObjectStore,
    store_settings: ObjectSettings,
    tmp_path: Path,
) -> None:
    url = web.give("/a.mp3", sounds.short)
    env = environment(database, kafka_bootstrap, topics, web, store_settings)
    segments = []
    for point in ("after_lease", "after_download", "before_put", "after_put", "before_final_commit"):
        segments.append(segment := await world.segment(**SHORT))
        await world.delivered(segment, url)
        fault_points.arm(tmp_path, point)
        async with archiver(env | {"FAULT_POINTS_FOLDER": str(tmp_path)}) as doomed:
            assert await asyncio.wait_for(doomed.wait(), 60) == EXIT_STATUS, point
        assert (await world.segment_row(segment))["status"] == "generating", point
        assert (await store.head(segment.key) is not None) == (point in ("after_put", "before_final_commit")), point
        await world.connection.execute("UPDATE archive_jobs SET not_before = now() + interval '1 hour'")
    await world.connection.execute("UPDATE archive_jobs SET not_before = 'epoch'")  # the leases run out by themselves
    async with archiver(env):
        await until_complete(world, *segments)
    for segment in segments:
        await stored_once(world, store, segment)
    assert await world.topics() == ["segment.complete"] * 5


async def test_killed_after_composer_has_played_on_a_short_file_is_stored_once(
    composer: Composer,
    world: World,
    database: str,
    kafka_bootstrap: str,
    topics: str,
    web: Web,
    sounds: Sounds,
    store: ObjectStore,
    store_settings: ObjectSettings,
    tmp_path: Path,
) -> None:
    plays_on = {"COMPOSER_URL": composer.url, "COMPOSER_API_KEY": KEY}
    env = environment(database, kafka_bootstrap, topics, web, store_settings, **plays_on)
    segment = await world.segment(file_seconds=60, x_parcours=example_a(1, seconds=55, file_seconds=60))
    await world.delivered(segment, web.give("/a.mp3", sounds.song))
    fault_points.arm(tmp_path, "after_continuation")
    async with archiver(env | {"FAULT_POINTS_FOLDER": str(tmp_path)}) as doomed:
        assert await asyncio.wait_for(doomed.wait(), 120) == EXIT_STATUS
    assert (await world.segment_row(segment))["status"] == "generating"
    await world.due_now()  # the lease runs out by itself
    async with archiver(env):
        await until_complete(world, segment)
    await stored_once(world, store, segment)
    parts = (await world.segment_row(segment))["metadata"]["parts"]
    assert [part["source"] for part in parts] == ["provider", "composer"]


async def test_killed_between_music_and_mix_a_narrated_file_is_stored_once(
    world: World,
    database: str,
    kafka_bootstrap: str,
    topics: str,
    web: Web,
    sounds: Sounds,
    store: ObjectStore,
    store_settings: ObjectSettings,
    tmp_path: Path,
) -> None:
    line = {"at_seconds": 8.0, "seconds": 2.8, "text": "It leaves as if through a straw."}
    segment = await world.segment(narration={"locale": "en", "effect": "sea", "lines": [line]})
    await world.delivered(segment, web.give("/a.mp3", sounds.song))
    env = environment(database, kafka_bootstrap, topics, web, store_settings)
    fault_points.arm(tmp_path, "before_put")
    async with archiver(env | {"FAULT_POINTS_FOLDER": str(tmp_path)}) as doomed:
        assert await asyncio.wait_for(doomed.wait(), 60) == EXIT_STATUS
    music = f"runs/{segment.run_id}/{segment.segment_id}-music-1.mp3"
    before = await whole(store, music)
    assert await store.head(segment.key) is None
    async with archiver(env):
        await until_complete(world, segment)
    await stored_once(world, store, segment)
    kept = (await world.segment_row(segment))["metadata"]
    assert (kept["music_path"], kept["narration"]["state"]) == (music, "spoken")
    assert await whole(store, music) == before


@pytest.mark.parametrize("store_settings", ["s3_store"], indirect=True)
async def test_two_archivers_at_once_store_each_file_once(
    world: World,
    database: str,
    kafka_bootstrap: str,
    topics: str,
    web: Web,
    sounds: Sounds,
    store: ObjectStore,
    store_settings: ObjectSettings,
) -> None:
    first = await world.segment(**SHORT)
    segments = [first] + [await world.segment(index, run_id=first.run_id, **SHORT) for index in range(1, 6)]
    for segment in segments:
        await world.delivered(segment, web.give("/a.mp3", sounds.short))
        await world.delivered(segment, web.give("/b.mp3", sounds.short_other))
    env = environment(database, kafka_bootstrap, topics, web, store_settings)
    async with archiver(env), archiver(env):
        await until_complete(world, *segments)
        async with asyncio.timeout(60):
            while await world.jobs():
                await asyncio.sleep(0.1)
    for segment in segments:
        await stored_once(world, store, segment)
    alive = await world.connection.fetchval("SELECT count(*) FROM segment_attempts WHERE alive")
    assert alive == 0
