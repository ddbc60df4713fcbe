"""The three readings of "20 per 10 s", each against its rule by brute force over everything that was admitted."""

import math
from collections import Counter
from fractions import Fraction
from itertools import accumulate
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stack.simulators.suno.quota import FixedWindow, SlidingWindow, TokenBucket, Window, make_window
from stack.simulators.suno.settings import Settings

CALLS, SECONDS = 20, 10
# Moments are multiples of 1/64 s, so that floats are exact; bursts and pauses are both likely.
gaps = st.lists(st.one_of(st.just(0), st.integers(0, 8), st.integers(0, 64), st.integers(500, 900)), max_size=90)
moments = gaps.map(lambda steps: [total / 64 for total in accumulate(steps)])


def admitted(window: Window, at: list[float]) -> list[bool]:
    return [window.admit(now) for now in at]


@settings(max_examples=60)
@given(moments)
def test_the_sliding_window_admits_a_call_exactly_when_no_interval_would_hold_more_than_twenty(at: list[float]) -> None:
    taken: list[float] = []
    for now, in_ in zip(at, admitted(SlidingWindow(CALLS, SECONDS), at), strict=True):
        recent = [one for one in taken if Fraction(now) - Fraction(one) < SECONDS]
        assert in_ == (len(recent) < CALLS)
        taken += [now] if in_ else []
    for begin in taken:
        assert sum(begin <= one < begin + SECONDS for one in taken) <= CALLS


@settings(max_examples=60)
@given(moments, st.integers(0, 639))
def test_the_fixed_window_admits_twenty_in_each_and_forgets_the_one_before(at: list[float], phase: int) -> None:
    taken: Counter[int] = Counter()
    for now, in_ in zip(at, admitted(FixedWindow(CALLS, SECONDS, phase / 64), at), strict=True):
        number = math.floor((Fraction(now) - Fraction(phase, 64)) / SECONDS)
        assert in_ == (taken[number] < CALLS)
        taken[number] += in_


@settings(max_examples=60)
@given(moments)
def test_the_bucket_admits_a_call_exactly_when_every_stretch_keeps_twenty_and_two_a_second(at: list[float]) -> None:
    taken: list[Fraction] = []
    for now, in_ in zip(at, admitted(TokenBucket(CALLS, SECONDS), at), strict=True):
        moment = Fraction(now)
        stretches = [(len(taken) - index + 1, moment - begin) for index, begin in enumerate(taken)] or [
            (1, Fraction(0))
        ]
        assert in_ == all(count <= CALLS + 2 * length for count, length in stretches)
        taken += [moment] if in_ else []


@pytest.mark.parametrize("kind", ["sliding", "fixed", "bucket"])
@settings(max_examples=40)
@given(seed=st.integers(0, 2**32), at=moments)
def test_a_use_of_each_slot_one_window_apart_is_never_refused(kind: str, seed: int, at: list[float]) -> None:
    window = make_window(Settings(window=kind), Random(seed))  # type: ignore[arg-type]
    slots = [-math.inf] * CALLS
    for now in at:
        slot = min(range(CALLS), key=slots.__getitem__)
        if now - slots[slot] < SECONDS:
            continue
        slots[slot] = now
        assert window.admit(now)


def test_a_full_burst_tells_the_three_apart() -> None:
    at = [9.5] * 21 + [10.5] * 21 + [19.5] * 2
    assert sum(admitted(SlidingWindow(CALLS, SECONDS), at)) == 22
    assert sum(admitted(FixedWindow(CALLS, SECONDS, 0.0), at)) == 40
    assert sum(admitted(TokenBucket(CALLS, SECONDS), at)) == 24


def test_the_phase_of_a_fixed_window_comes_from_the_seed() -> None:
    def pattern(seed: int) -> list[bool]:
        at = [number / 4 for number in range(400)]
        return admitted(make_window(Settings(window="fixed"), Random(seed)), at)

    assert pattern(1) == pattern(1)
    assert len({tuple(pattern(seed)) for seed in range(5)}) > 1


def test_what_is_left_can_be_looked_at_without_taking_it() -> None:
    for window in (SlidingWindow(CALLS, SECONDS), FixedWindow(CALLS, SECONDS, 3.0), TokenBucket(CALLS, SECONDS)):
        assert [window.left(1.0), window.left(1.0)] == [20, 20]
        assert window.admit(1.0)
        assert window.left(1.0) == 19
