"""Whose turn it is and what a run adds up to, as a pure decision."""

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.runner.domain.steps import Segment, Step, next_step

STATUSES = ("queued", "generating", "first", "complete", "failed")


def segments(*states: str) -> tuple[Segment, ...]:
    """One segment a word; `queued` alone was not asked for yet, `asked` is queued and was."""
    return tuple(
        Segment(uuid.uuid4(), index, "queued" if state == "asked" else state, state != "queued", 240.0)
        for index, state in enumerate(states)
    )


def asked(strategy: str, *states: str, status: str = "creating") -> list[int]:
    return [each.index for each in next_step(status, strategy, segments(*states)).requests]


@pytest.mark.parametrize("strategy", ["ahead", "sequential"])
def test_a_new_run_asks_for_its_first_segment(strategy: str) -> None:
    assert asked(strategy, "queued", "queued", "queued") == [0]


def test_all_at_once_asks_for_everything() -> None:
    assert asked("all", "queued", "queued", "queued") == [0, 1, 2]
    assert asked("all", "generating", "queued", "complete") == [1]


@pytest.mark.parametrize("state", ["asked", "generating"])
def test_nobody_asks_ahead_of_a_segment_that_cannot_be_heard(state: str) -> None:
    assert asked("ahead", state, "queued") == []


@pytest.mark.parametrize("state", ["first", "complete"])
def test_ahead_asks_for_the_next_when_one_plays_or_is_stored(state: str) -> None:
    assert asked("ahead", state, "queued", "queued") == [1]


def test_sequential_waits_until_one_is_stored() -> None:
    assert asked("sequential", "first", "queued") == []
    assert asked("sequential", "complete", "queued", "queued") == [1]


def test_what_was_asked_for_is_not_asked_for_again() -> None:
    assert asked("ahead", "first", "asked", "queued") == []


def test_a_run_is_ready_when_everything_is_complete() -> None:
    for status in ("creating", "failed"):
        assert next_step(status, "ahead", segments("complete", "complete")) == Step(to="ready")
    assert next_step("ready", "ahead", segments("complete")) == Step()


def test_one_failed_segment_fails_the_run_and_asks_for_nothing() -> None:
    assert next_step("creating", "all", segments("complete", "failed", "queued")) == Step(to="failed")
    assert next_step("failed", "all", segments("complete", "failed", "queued")) == Step()


def test_a_run_without_a_failed_segment_is_made_again() -> None:
    step = next_step("failed", "ahead", segments("complete", "first", "queued"))
    assert (step.to, [each.index for each in step.requests]) == ("creating", [2])


def test_a_run_without_segments_does_not_stay_creating() -> None:
    assert next_step("creating", "ahead", ()) == Step(to="failed")


@given(
    status=st.sampled_from(["creating", "failed", "ready"]),
    strategy=st.sampled_from(["ahead", "sequential", "all"]),
    states=st.lists(st.sampled_from([*STATUSES, "asked"]), max_size=7),
)
def test_a_step_taken_calls_for_no_other(status: str, strategy: str, states: list[str]) -> None:
    before = segments(*states)
    step = next_step(status, strategy, before)
    requested = {each.index for each in step.requests}
    assert all(before[index].status == "queued" and not before[index].requested for index in requested)
    after = tuple(
        Segment(each.id, each.index, each.status, each.requested or each.index in requested, each.seconds)
        for each in before
    )
    assert next_step(step.to or status, strategy, after) == Step()
