"""What `parcours demo` shows: the run's own events, taken in; the time to the first sound and to the end."""

import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from stack.demo import Progress, events


def segment(number: int, **changes: object) -> dict[str, Any]:
    plain: dict[str, Any] = {"id": f"s{number}", "index": number, "title": "", "seconds": 200, "status": "queued"}
    return plain | changes


@pytest.fixture
def progress() -> Progress:
    return Progress(time.monotonic() - 8.0, {"status": "creating", "segments": [segment(0), segment(1)]})


def statuses(progress: Progress) -> list[str]:
    return [each["status"] for each in progress.run["segments"]]


def test_the_first_sound_is_the_first_playable_segment(progress: Progress) -> None:
    progress.see("segment.started", {"segmentId": "s0"})
    assert (statuses(progress), progress.first_sound) == (["generating", "queued"], None)
    progress.see("segment.previewed", {"segmentId": "s0", "previewUrl": "/media/x"})
    heard = progress.first_sound
    assert heard == pytest.approx(8.0, abs=1.0)
    progress.see("segment.complete", {"segmentId": "s0"})
    assert progress.first_sound == heard


def test_what_is_left_is_reckoned_from_what_is_stored(progress: Progress) -> None:
    assert progress.eta() is None
    progress.see("segment.complete", {"segmentId": "s0"})
    assert progress.eta() == pytest.approx(8.0, abs=1.0)


def test_a_failure_that_is_tried_again_is_no_failure_of_the_segment(progress: Progress) -> None:
    progress.see("segment.started", {"segmentId": "s0"})
    progress.see("segment.failed", {"segmentId": "s0", "retryable": True})
    assert statuses(progress)[0] == "generating"
    progress.see("segment.failed", {"segmentId": "s0", "retryable": False})
    assert statuses(progress)[0] == "failed"


@pytest.mark.parametrize("status", ["ready", "failed"])
def test_the_end_of_the_run_stops_the_clock(progress: Progress, status: str) -> None:
    progress.see(f"run.{status}", {})
    assert progress.run["status"] == status
    assert progress.seconds == progress.seconds


def test_a_snapshot_replaces_all(progress: Progress) -> None:
    playable = segment(0, status="first", previewUrl="/media/x")
    progress.see("snapshot", {"status": "ready", "segments": [playable]})
    assert statuses(progress) == ["first"]
    assert progress.first_sound is not None
    assert progress.finished is not None


async def test_events_of_a_stream_are_read_and_signs_of_life_passed_over() -> None:
    async def lines() -> AsyncIterator[str]:
        for line in (": alive", "", "id: 7", "event: segment.first", 'data: {"a": "b:c"}', "", "event: lost", ""):
            yield line

    assert [event async for event in events(lines())] == [("7", "segment.first", {"a": "b:c"})]
