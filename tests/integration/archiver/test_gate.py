"""A file that does not sound as it must is not stored: the other take is, or the attempt fails with the row's code."""

import hashlib
from dataclasses import replace

import pytest

from libs.common import metrics
from services.archiver.domain.gate import BlockList, Mode, Policy
from services.archiver.handlers.tools import Tools
from tests.integration.archiver.conftest import Sounds
from tests.integration.archiver.web import Web
from tests.integration.archiver.world import World, carry
from tests.unit.archiver.corpus import SPOILED, write_mp3

COMPLETE, FAILED, PREVIEWED = "segment.complete", "segment.failed", "segment.previewed"


@pytest.fixture(scope="session")
def bad(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """50 s with a hole of two seconds."""
    path = tmp_path_factory.mktemp("bad") / "hole.mp3"
    return write_mp3(path, SPOILED["a hole of two seconds"][1]()).read_bytes()


@pytest.fixture(scope="session")
def clipped(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("bad") / "clipped.mp3"
    return write_mp3(path, SPOILED["clipped"][1]()).read_bytes()


def counted(name: str, **labels: str) -> float:
    page = metrics.render("")[0].decode()
    lines = [line for line in page.splitlines() if line.startswith(f"{name}{{")]
    return sum(float(line.split()[-1]) for line in lines if all(f'{k}="{v}"' in line for k, v in labels.items()))


async def test_a_bad_first_take_is_replaced_by_a_good_second_and_both_are_told(
    tools: Tools, world: World, web: Web, sounds: Sounds, bad: bytes
) -> None:
    before = counted("gate_refusals_total", provider="suno", code="gate_silence")
    wasted = counted("gate_wasted_audio_seconds_total", provider="suno")
    segment = await world.segment()
    url = web.give("/good.mp3", sounds.song)
    attempt_id = await world.delivered(segment, web.give("/bad.mp3", bad), url, preview="https://x.example/p")
    shown = {"preview_path": f"previews/{segment.segment_id}-1.mp3"}  # of the first take
    await world.connection.execute("UPDATE parcours_segments SET metadata = $1", shown)
    await carry(tools)

    assert await world.topics() == [COMPLETE, PREVIEWED]
    kept = (await world.segment_row(segment))["metadata"]
    assert (kept["preview_path"], kept["same_take"], await world.jobs()) == (None, False, [])
    assert (kept["suno_download_url"], [part["take"] for part in kept["parts"]]) == (url, [2])
    assert (kept["gate_verdict"], kept["archive_mode"]) == ("passed", "enforce")
    (refused,) = kept["gate_refused"]
    assert (refused["take"], refused["code"]) == (1, "gate_silence")
    assert {row["check"] for row in refused["gate"]} >= {"silence"}
    rows = {(row["stage"], row["finding"]): row for row in kept["gate"]}
    assert rows["raw", "drop_db"]["limit"] == 15.0
    assert rows["mastered", "loudness_error_lu"]["passed"]
    assert [point["from_seconds"] for point in kept["curve"]] == [0.0, 15.0, 30.0]
    assert (await world.attempt_row(attempt_id))["measures"]["gate"] == kept["gate"]
    assert counted("gate_refusals_total", provider="suno", code="gate_silence") == before + 1
    assert counted("gate_wasted_audio_seconds_total", provider="suno") == pytest.approx(wasted + 50, abs=0.1)


async def test_two_bad_takes_fail_the_attempt_store_nothing_and_take_the_preview_back(
    tools: Tools, world: World, web: Web, bad: bytes, clipped: bytes
) -> None:
    before = counted("gate_refusals_total", provider="suno")
    segment = await world.segment()
    urls = (web.give("/bad.mp3", bad), web.give("/clipped.mp3", clipped))
    attempt_id = await world.delivered(segment, *urls, preview="https://x.example/p")
    shown = {"preview_path": f"previews/{segment.segment_id}-1.mp3"}
    await world.connection.execute("UPDATE parcours_segments SET metadata = $1", shown)
    await carry(tools)

    attempt = await world.attempt_row(attempt_id)
    assert (attempt["gave_up_rank"], attempt["error_code"], attempt["alive"]) == (5, "gate_silence", False)
    assert [take["code"] for take in attempt["measures"]["gate_refused"]] == ["gate_silence", "gate_clipping"]
    (failed, news), (previewed, withdrawn) = await world.news()
    assert (failed, news["error_code"], news["retryable"]) == (FAILED, "gate_silence", True)
    assert (previewed, withdrawn["preview_path"]) == (PREVIEWED, None)
    row = await world.segment_row(segment)
    assert (row["status"], row["storage_path"], row["metadata"]["preview_path"]) == ("generating", None, None)
    assert await tools.objects.head(segment.key) is None
    assert await world.jobs() == []
    assert counted("gate_refusals_total", provider="suno") == before + 2


async def test_in_the_simple_dialect_and_by_the_operators_word_a_bad_file_is_stored_and_marked(
    tools: Tools, world: World, web: Web, bad: bytes
) -> None:
    url = web.give("/bad.mp3", bad)
    simple, planned = await world.segment(), await world.segment()
    await world.delivered(simple, url, dialect="simple")
    await carry(tools)
    await world.delivered(planned, url)
    await carry(replace(tools, gate=Policy(Mode.RECORD)))
    for segment in (simple, planned):
        row = await world.segment_row(segment)
        assert (row["status"], row["metadata"]["gate_verdict"]) == ("complete", "recorded")
        failed = {each["check"] for each in row["metadata"]["gate"] if not each["passed"]}
        assert "silence" in failed


async def test_a_listed_file_is_never_stored(tools: Tools, world: World, web: Web, sounds: Sounds) -> None:
    segment = await world.segment()
    attempt_id = await world.delivered(segment, web.give("/a.mp3", sounds.song), dialect="simple")
    listed = BlockList.of([hashlib.sha256(sounds.song).hexdigest()])
    await carry(replace(tools, gate=Policy(blocked=listed)))
    assert (await world.attempt_row(attempt_id))["error_code"] == "gate_known_bad"
    assert await tools.objects.head(segment.key) is None
