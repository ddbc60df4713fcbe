"""When a segment is due (`performance-and-reliability.md` §3)."""

import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from services.runner.domain.due import Listening, Pace, deadline_at, due_at
from services.runner.domain.steps import Segment

CREATED = datetime(2026, 11, 21, 12, tzinfo=UTC)
SEGMENTS = tuple(Segment(uuid.uuid4(), index, "queued", requested=False, seconds=240.0) for index in range(5))
LISTENING = Listening(begun_at=CREATED, from_index=0, first_sound_at=None, runs_before=0, run_seconds=1200.0)
PACE = Pace(timedelta(seconds=150))


def after(listening: Listening, index: int, pace: Pace = PACE) -> float:
    return (due_at(listening, index, SEGMENTS, pace) - CREATED).total_seconds()


def test_the_first_segment_is_due_at_once() -> None:
    assert after(LISTENING, 0) == 0


def test_the_next_are_due_when_their_making_must_begin() -> None:
    assert after(LISTENING, 1) == 40 + 240 - 150
    assert after(LISTENING, 3) == 40 + 3 * 240 - 150


def test_the_first_sound_replaces_the_guess_once_it_is_known() -> None:
    heard = replace(LISTENING, first_sound_at=CREATED + timedelta(seconds=7))
    assert after(heard, 2) == 7 + 2 * 240 - 150


def test_a_users_further_runs_follow_the_first() -> None:
    third = replace(LISTENING, runs_before=2)
    assert after(third, 0) == 2 * 1200
    assert after(third, 1) == 2 * 1200 + 40 + 240 - 150


def test_after_a_resume_the_listener_waits_for_what_was_missing() -> None:
    resumed = replace(LISTENING, begun_at=CREATED + timedelta(hours=5), from_index=2)
    assert after(resumed, 2) == 5 * 3600
    assert after(resumed, 4) == 5 * 3600 + 40 + 2 * 240 - 150


def test_a_short_clock_shortens_all_of_it() -> None:
    fast = Pace(timedelta(seconds=150), 0.05)
    assert after(replace(LISTENING, runs_before=1), 2, fast) == 0.05 * (1200 + 40 + 2 * 240 - 150)
    assert deadline_at(CREATED, CREATED, fast) == CREATED + timedelta(seconds=90)


def test_the_deadline_follows_the_later_of_request_and_due_time() -> None:
    later = CREATED + timedelta(minutes=10)
    half_an_hour = timedelta(minutes=30)
    assert deadline_at(CREATED, later, PACE) == later + half_an_hour
    assert deadline_at(later, CREATED, PACE) == later + half_an_hour
