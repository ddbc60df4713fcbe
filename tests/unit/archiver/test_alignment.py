"""The rule of §6.1: one performance where every window is found, at one place; how certain it is stands beside it."""

import pytest

from services.archiver.domain.alignment import (
    Alignment,
    Match,
    Window,
    first_part_seconds,
    only_of_what_is_shown,
    plan_windows,
    quiet_points,
)


def match(lag: float, peak: float = 0.99) -> Match:
    return Match(Window(0.25, 12.0), lag, peak)


@pytest.mark.parametrize(
    ("seconds", "begins", "length"),
    [
        (60.0, [0.25, 24.0, 47.75], 12.0),
        (36.5, [0.25, 12.25, 24.25], 12.0),
        (30.0, [0.25, 17.75], 12.0),
        (20.0, [0.25], 12.0),
        (8.5, [0.25], 8.0),
        (5.4, [], 0.0),
        (-3.0, [], 0.0),
    ],
)
def test_a_short_preview_is_looked_for_in_fewer_places(seconds: float, begins: list[float], length: float) -> None:
    assert list(plan_windows(seconds)) == [Window(begin, length) for begin in begins]


@pytest.mark.parametrize(
    ("matches", "same", "offset"),
    [
        ((match(1105), match(1106), match(1107)), True, 25.079),
        ((match(0),), True, 0.0),
        ((match(1105), match(1105), match(1108)), False, None),
        ((match(0), match(0, 0.89)), False, None),
        ((), False, None),
    ],
)
def test_the_same_take_is_alike_everywhere_at_one_lag(
    matches: tuple[Match, ...], *, same: bool, offset: float | None
) -> None:
    found = Alignment("previews/a", matches, -0.123)
    assert (found.same_take, found.offset_ms) == (same, offset)
    record = found.record()
    assert (record["preview_offset_ms"], record["same_take"], record["preview_gain_db"]) == (offset, same, -0.12)
    assert len(record["preview_compared"]["windows"]) == len(matches)


def test_of_a_preview_that_is_gone_nothing_is_known() -> None:
    record = Alignment().record()
    assert (record["preview_offset_ms"], record["same_take"], record["preview_gain_db"]) == (None, False, None)


def test_what_was_measured_of_one_preview_is_not_said_of_another() -> None:
    kept = Alignment("previews/a", (match(1105),), 1.0).record() | {"duration_ms": 9}
    assert only_of_what_is_shown(kept, "previews/a") == kept
    for shown in ("previews/b", None):
        assert only_of_what_is_shown(kept, shown) == Alignment().record() | {"duration_ms": 9}
    assert only_of_what_is_shown({"duration_ms": 9}, "previews/a")["same_take"] is False


def test_quiet_moments_fill_the_gaps_between_composers_own_points() -> None:
    measured = [8_000, 17_500, 26_000, 41_000]
    assert quiet_points([], measured, 46_000) == measured
    assert quiet_points([18_000, 50_000], measured, 46_000) == [8_000, 18_000, 41_000]


def test_a_joined_file_is_compared_up_to_its_first_join() -> None:
    parts = [{"from_seconds": 0.0, "to_seconds": 90.0}, {"from_seconds": 85.0, "to_seconds": 305.0}]
    assert (first_part_seconds(parts, 5.0), first_part_seconds(parts[:1], 5.0)) == (85.0, 90.0)
