"""A file that came too short is completed, by a real composer and without one while it is away; always exactly long."""

import hashlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from libs.common.trust import authorities
from services.archiver.clients.composer import Composer
from services.archiver.clients.files import Fetched, Files
from services.archiver.domain.addresses import AllowList
from services.archiver.domain.failures import Code, GiveUp, MayPass
from services.archiver.handlers.continuing import ASKED
from services.archiver.handlers.tools import Tools
from tests.integration.archiver.conftest import Sounds
from tests.integration.archiver.web import Web
from tests.integration.archiver.world import Segment, World, carry, whole
from tests.integration.composer import running
from tests.unit.archiver.sounds import decoded_samples
from tests.unit.composer.journeys import example_a

PLANNED = 60  # s; the files have 50
REST = [
    {"source": "provider", "take": 1, "from_seconds": 0.0, "to_seconds": 50.0},
    {"source": "composer", "take": 1, "from_seconds": 45.0, "to_seconds": 60.0},
]


def exact(index: int = 1) -> dict[str, Any]:
    return example_a(index, seconds=PLANNED - 5 * (index < 5), file_seconds=PLANNED)


@pytest.fixture
async def played_on(composer: running.Composer) -> AsyncIterator[Composer]:
    async with httpx.AsyncClient(trust_env=False, verify=authorities()) as client:
        yield Composer(client, Files(AllowList.of((), (composer.url,))), composer.url, running.KEY)


async def short_segment(world: World, web: Web, song: bytes, *others: bytes, **plan: Any) -> Segment:
    numbers: dict[str, Any] = {"seconds": PLANNED - 5, "file_seconds": PLANNED, "x_parcours": exact()}
    segment = await world.segment(**numbers | plan)
    urls = [web.give(f"/{number}.mp3", each) for number, each in enumerate((song, *others))]
    await world.delivered(segment, *urls)
    return segment


async def kept_of(tools: Tools, world: World, segment: Segment, folder: Path) -> Mapping[str, Any]:
    """The metadata of a complete segment, whose object is exactly as long as planned."""
    row = await world.segment_row(segment)
    assert row["status"] == "complete"
    (folder / "stored.mp3").write_bytes(await whole(tools.objects, segment.key))
    assert decoded_samples(folder / "stored.mp3") == PLANNED * 44100
    metadata: Mapping[str, Any] = row["metadata"]
    return metadata


async def test_composer_plays_the_rest_while_the_preview_still_plays(
    tools: Tools, world: World, web: Web, sounds: Sounds, played_on: Composer, tmp_path: Path
) -> None:
    seen: list[str] = []

    async def watched(numbers: Mapping[str, Any], from_seconds: int, into: Path) -> Fetched:
        fetched = await played_on.play_on(numbers, from_seconds, into)
        seen.append((await world.segment_row(segment))["status"])
        return fetched

    segment = await short_segment(world, web, sounds.song)
    await world.connection.execute("UPDATE parcours_segments SET status = 'first'")
    await carry(replace(tools, play_on=watched))
    kept = await kept_of(tools, world, segment, tmp_path)
    assert seen == ["first"]
    assert kept["parts"] == REST
    assert kept["ai"] == {"music": "true", "system": "suno; composer"}
    rows = {row["finding"]: row for row in kept["gate"] if row["stage"] == "mastered"}
    assert rows["join_dip_db"]["passed"]
    assert rows["join_click_excess"]["passed"]
    assert abs(kept["measures"]["lufs"] + 16.0) <= 0.5


async def test_the_last_segment_ends_in_composers_own_fade(
    tools: Tools, world: World, web: Web, sounds: Sounds, played_on: Composer, tmp_path: Path
) -> None:
    segment = await short_segment(world, web, sounds.song, last=True, x_parcours=exact(5), seconds=PLANNED)
    await carry(replace(tools, play_on=played_on.play_on))
    assert (await kept_of(tools, world, segment, tmp_path))["parts"] == REST


async def test_the_same_rest_asked_for_again_is_the_same_file(played_on: Composer, tmp_path: Path) -> None:
    first = await played_on.play_on(exact(), 45, tmp_path / "a")
    assert await played_on.play_on(exact(), 45, tmp_path / "b") == first
    assert decoded_samples(tmp_path / "a") == (PLANNED - 45) * 44100
    with pytest.raises(GiveUp) as refused:
        await played_on.play_on({**exact(), "tonic": "H"}, 45, tmp_path / "c")
    assert refused.value.code is Code.PROVIDER_FAILED


async def test_two_takes_that_reach_the_end_need_no_composer(
    tools: Tools, world: World, web: Web, sounds: Sounds, tmp_path: Path
) -> None:
    segment = await short_segment(world, web, sounds.song, sounds.other)
    preview, key = tmp_path / "preview.mp3", f"previews/{segment.segment_id}-1.mp3"
    preview.write_bytes(sounds.stream)
    digest = hashlib.sha256(sounds.stream).digest()
    await tools.objects.put(key, preview, content_type="audio/mpeg", sha256=digest, metadata={}, if_absent=True)
    await world.connection.execute("UPDATE parcours_segments SET metadata = $1", {"preview_path": key})
    await carry(tools)
    kept = await kept_of(tools, world, segment, tmp_path)
    assert (kept["same_take"], kept["preview_offset_ms"]) == (True, pytest.approx(25.06, abs=0.1))  # of the first part
    assert kept["parts"] == [
        {"source": "provider", "take": 1, "from_seconds": 0.0, "to_seconds": 50.0},
        {"source": "provider", "take": 2, "from_seconds": 0.0, "to_seconds": 15.0},
    ]
    assert not any("generate" in path for path in web.asked)


async def test_while_composer_is_away_the_job_waits_and_then_the_takes_go_on_alone(
    tools: Tools, world: World, web: Web, sounds: Sounds, tmp_path: Path
) -> None:
    segment = await short_segment(world, web, sounds.song)
    for _ in range(ASKED - 1):
        await carry(tools)
        assert (await world.segment_row(segment))["status"] == "generating"
        assert [job["postponed"] for job in await world.jobs()] == [True]
        await world.due_now()
    await carry(tools)
    parts = (await kept_of(tools, world, segment, tmp_path))["parts"]
    assert [(part["source"], part["take"]) for part in parts] == [("provider", 1), ("provider", 1)]
    assert web.asked.count("/api/v1/generate") == ASKED
    assert await world.jobs() == []


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ({"code": 430, "data": None}, "composer is busy"),
        ({"code": 200, "data": {"taskId": "t"}}, "composer failed"),
        ({"code": "x"}, "composer: ValueError"),
    ],
)
async def test_a_composer_that_is_busy_or_was_started_anew_is_asked_again(
    tools: Tools, web: Web, tmp_path: Path, answer: dict[str, Any], reason: str
) -> None:
    web.give_json("/api/v1/generate", answer)
    record = {"status": "GENERATE_AUDIO_FAILED", "response": {"sunoData": []}}
    web.give_json("/api/v1/generate/record-info?taskId=t", {"code": 200, "data": record})
    with pytest.raises(MayPass) as again:
        await tools.play_on(exact(), 45, tmp_path / "a")
    assert again.value.reason == reason


async def test_a_file_from_elsewhere_is_not_fetched_for_composers(tools: Tools, web: Web, tmp_path: Path) -> None:
    web.give_json("/api/v1/generate", {"code": 200, "data": {"taskId": "t"}})
    record = {"status": "SUCCESS", "response": {"sunoData": [{"audioUrl": "http://169.254.169.254/latest"}]}}
    web.give_json("/api/v1/generate/record-info?taskId=t", {"code": 200, "data": record})
    with pytest.raises(GiveUp) as refused:
        await tools.play_on(exact(), 45, tmp_path / "a")
    assert refused.value.code is Code.URL_REFUSED
