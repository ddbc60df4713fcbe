"""A final is compared with the preview that its segment shows; what is known stands in metadata and event."""

import asyncio
import hashlib
from pathlib import Path
from typing import Any

import pytest

from libs.common import mp3
from services.archiver.handlers.growing import GrowingCopies
from services.archiver.handlers.tools import Tools
from tests.integration.archiver.conftest import Sounds
from tests.integration.archiver.web import Web
from tests.integration.archiver.world import Segment, World, carry, whole
from tests.unit.archiver.sounds import decoded_samples

COMPLETE, PREVIEWED = "segment.complete", "segment.previewed"


async def show(tools: Tools, world: World, web: Web, segment: Segment, preview: bytes) -> None:
    """Let the attempt that delivered have its preview shown."""
    url = web.give("/p", preview)
    attempt_id = await world.connection.fetchval(
        "UPDATE segment_attempts SET facts = facts || $1 RETURNING id", {"preview_url": url}
    )
    await world.job(segment, attempt_id, "preview")
    await carry(tools, "preview")


async def told(world: World, segment: Segment) -> tuple[dict[str, Any], dict[str, Any]]:
    """The segment's metadata, and the event that completed it."""
    (event,) = [payload for topic, payload in await world.news() if topic == COMPLETE]
    return (await world.segment_row(segment))["metadata"], event


async def test_a_final_is_stored_with_its_preview_s_place_and_all_that_a_player_needs(
    tools: Tools, world: World, web: Web, sounds: Sounds, tmp_path: Path
) -> None:
    segment = await world.segment()
    await world.delivered(segment, web.give("/a.mp3", sounds.song))
    await show(tools, world, web, segment, sounds.stream)
    await carry(tools)

    kept, event = await told(world, segment)
    assert event["preview_offset_ms"] == kept["preview_offset_ms"] == pytest.approx(25.06, abs=0.1)
    assert event["same_take"] is kept["same_take"] is True
    assert event["preview_gain_db"] == kept["preview_gain_db"] == pytest.approx(3.5, abs=1.0)  # the song was raised
    assert event["quiet_points_ms"] == kept["quiet_points_ms"]
    assert len(kept["quiet_points_ms"]) == 3
    assert event["peaks"] == kept["peaks"]
    assert len(kept["peaks"]) == 600
    part = {"source": "provider", "take": 1, "from_seconds": 0.0, "to_seconds": 46.0}
    assert event["parts"] == kept["parts"] == [part]
    (window,) = kept["preview_compared"]["windows"]
    assert (window["seconds"], window["peak"] > 0.97) == (12.0, True)
    assert not [value for value in event.values() if "http" in str(value)]

    stored = await whole(tools.objects, segment.key)
    assert event["sha256"] == kept["sha256"] == hashlib.sha256(stored).hexdigest()
    begin = mp3.skip_id3(stored)
    assert (b"AI_GENERATED\0true" in stored[:begin], b"Info" in stored[begin : begin + 200]) == (True, True)
    assert kept["ai"] == {"music": "true", "system": "suno"}
    assert kept["recipe_hash"].encode() in stored[:begin]
    (tmp_path / "stored.mp3").write_bytes(stored)
    assert decoded_samples(tmp_path / "stored.mp3") == 46 * 44100


async def test_a_preview_of_another_take_is_told_apart_and_one_that_is_gone_says_nothing(
    tools: Tools, world: World, web: Web, sounds: Sounds
) -> None:
    for case in ("another take", "gone"):
        segment = await world.segment()
        await world.connection.execute("DELETE FROM segment_attempts; DELETE FROM outbox; DELETE FROM archive_jobs")
        await world.delivered(segment, web.give("/a.mp3", sounds.short), dialect="simple")
        await show(tools, world, web, segment, sounds.other)
        if case == "gone":
            await tools.objects.delete(f"previews/{segment.segment_id}-1.mp3")
        await carry(tools)
        kept, event = await told(world, segment)
        assert (event["preview_offset_ms"], event["same_take"]) == (None, False)
        assert (event["preview_gain_db"] is None) == (case == "gone")
        assert kept["preview_path"] is not None  # nothing was refused


async def test_a_preview_that_still_grows_is_compared_as_far_as_it_is(
    tools: Tools, world: World, web: Web, sounds: Sounds
) -> None:
    segment = await world.segment()
    attempt_id = await world.delivered(segment, web.give("/a.mp3", sounds.short), dialect="simple")
    preview = sounds.stream
    go_on, copies = asyncio.Semaphore(15), GrowingCopies()
    pieces = [preview[start : start + 16_000] for start in range(0, len(preview), 16_000)]
    url = web.grow("/p", pieces, go_on)
    await world.connection.execute("UPDATE segment_attempts SET facts = facts || $1", {"preview_url": url})
    await world.job(segment, attempt_id, "preview")
    copying = asyncio.create_task(carry(tools, "preview", copies=copies))
    key = f"previews/{segment.segment_id}-1.mp3"
    async with asyncio.timeout(20):
        while (held := copies.find(key)) is None or held.size < 15 * 16_000 or await world.topics() == []:
            await asyncio.sleep(0.02)
    await carry(tools, copies=copies)
    kept, _ = await told(world, segment)
    assert kept["preview_offset_ms"] == pytest.approx(25.06, abs=0.1)
    for _ in pieces:
        go_on.release()
    await copying
    assert await whole(tools.objects, key) == preview  # whoever listens may read on


async def test_composers_own_quiet_points_come_first(tools: Tools, world: World, web: Web, sounds: Sounds) -> None:
    segment = await world.segment()
    await world.delivered(segment, web.give("/a.mp3", sounds.short), dialect="simple")
    content = [{"model": "pad3", "engine": "pad3", "engine_version": "7", "quiet_points_ms": [4000, 11500, 21000]}]
    await world.connection.execute(
        "UPDATE segment_attempts SET provider = 'composer', facts = facts || $1", {"content": content}
    )
    await carry(tools)
    kept, event = await told(world, segment)
    assert event["quiet_points_ms"] == kept["quiet_points_ms"] == [4000, 11500]  # the last lies behind the end
    assert kept["ai"] == {"music": "procedural", "system": "composer pad3 7"}
