"""Which parts, gain and fade a file gets, decided from measures alone."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.archiver.domain.failures import Code, GiveUp
from services.archiver.domain.form import (
    Measures,
    Wanted,
    continues_from,
    gain_db,
    may_stay_coded,
    plan_form,
    refuse_too_short,
)
from services.archiver.domain.joins import HEARD_SECONDS, JOIN_SECONDS, dip_db


def measures(
    seconds: float, *, lufs: float = -16.0, peak: float = -3.0, faded: int = 0, breath: float = 0.0
) -> Measures:
    """`breath`: by how many decibels the level comes and goes, every eleven seconds."""
    music = int(seconds) - faded
    levels = [-18.0 + breath * math.sin(2 * math.pi * second / 11) for second in range(music)] + [-60.0] * faded
    return Measures(round(seconds * 44100), 44100, 2, lufs, peak, 2.0, tuple(levels))


def wanted(seconds: float, *, last: bool = False) -> Wanted:
    return Wanted(round(seconds * 44100), -16.0, last)


def test_a_plan_without_a_length_asks_for_nothing() -> None:
    assert Wanted.from_plan({"title": "x"}) is None
    assert Wanted.from_plan({"file_seconds": 245, "loudness_lufs": -15.5, "last": True}) == Wanted(
        10_804_500, -15.5, True
    )


def test_an_exact_level_file_stays_as_it_is() -> None:
    assert may_stay_coded(measures(240), wanted(240))
    assert may_stay_coded(measures(300, lufs=-16.4), wanted(240))
    assert may_stay_coded(measures(240, faded=2), wanted(240, last=True))


@pytest.mark.parametrize(
    "found",
    [measures(240, lufs=-14.0), measures(240, peak=-0.5), measures(239), Measures(10**8, 48000, 2, -16, -3, 2, ())],
)
def test_a_file_of_other_level_peak_length_or_rate_is_coded_again(found: Measures) -> None:
    assert not may_stay_coded(found, wanted(240))


def test_a_last_segment_that_has_not_faded_is_coded_again() -> None:
    assert not may_stay_coded(measures(240), wanted(240, last=True))
    assert not may_stay_coded(measures(300, faded=2), wanted(240, last=True))


def test_the_gain_is_static_bounded_and_spares_silence() -> None:
    assert gain_db(measures(60, lufs=-14), wanted(60)) == pytest.approx(-1.73)
    assert gain_db(measures(60, lufs=-50), wanted(60)) == 20.0
    assert gain_db(measures(60, lufs=-70), wanted(60)) == 0.0


def test_a_longer_file_is_cut_without_a_fade() -> None:
    recipe = plan_form([measures(300)], wanted(240))
    assert (len(recipe.parts), recipe.parts[0].seconds, recipe.fade_from_seconds) == (1, 240.0, None)


def test_a_file_a_little_short_fades_inside_its_tail() -> None:
    recipe = plan_form([measures(238.5)], wanted(240))
    assert recipe.fade_from_seconds == 235.0
    assert recipe.fade_seconds == pytest.approx(3.5)


def test_the_last_segment_fades_over_twelve_seconds() -> None:
    recipe = plan_form([measures(300)], wanted(240, last=True))
    assert (recipe.fade_from_seconds, recipe.fade_seconds) == (228.0, 12.0)


def test_two_takes_that_reach_the_end_together_follow_each_other() -> None:
    takes = [measures(170, faded=10), measures(90)]
    assert continues_from(takes, wanted(245)) is None
    recipe = plan_form(takes, wanted(245))
    assert [(part.source, part.seconds) for part in recipe.parts] == [(0, 160.0), (1, 90.0)]
    assert recipe.joins == (157.5,)
    assert recipe.fade_from_seconds is None
    assert continues_from(takes, wanted(246)) == 155  # a second more than they have


def test_composer_plays_on_five_seconds_before_a_take_fades_out() -> None:
    takes = [measures(90, faded=10), measures(90)]
    assert continues_from(takes, wanted(305)) == 75
    recipe = plan_form(takes, wanted(305), measures(230))
    assert [(part.source, part.seconds) for part in recipe.parts] == [(0, 80.0), (2, 230.0)]
    assert recipe.fade_from_seconds is None


def test_what_composer_has_faded_out_is_not_faded_again() -> None:
    recipe = plan_form([measures(250)], wanted(300, last=True), measures(55, faded=5))
    assert (recipe.fade_from_seconds, recipe.fade_seconds) == (288.0, 0.0)
    unfaded = plan_form([measures(250)], wanted(300, last=True), measures(55))
    assert (unfaded.fade_from_seconds, unfaded.fade_seconds) == (288.0, 12.0)


def test_without_composer_short_takes_follow_each_other_until_it_is_long_enough() -> None:
    recipe = plan_form([measures(80, faded=10), measures(90)], wanted(240))
    assert [part.source for part in recipe.parts] == [0, 1, 0, 1]
    assert recipe.parts[0].seconds == 70.0  # up to where its own fade-out begins
    assert recipe.fade_from_seconds is None


@pytest.mark.parametrize("fade", [6, 12, 20, 30])
def test_a_join_lies_before_a_fade_out_is_heard_however_slow_it_is(fade: int) -> None:
    """In decibels of the amplitude that falls in a straight line; up to 0.5 dB in the middle of a join."""
    falling = [20 * math.log10(1 - (second + 0.5) / fade) for second in range(fade)]
    levels = [-18.0] * (120 - fade) + [-18.0 + level for level in falling]
    ends = Measures(120 * 44100, 44100, 2, -16, -3, 2, tuple(levels)).played_out_seconds
    taken_up = [10 ** ((level + 18) / 10) for level in levels[int(ends) - 5 : int(ends)]]
    assert 10 * math.log10((sum(taken_up) / 5 + 1) / 2) >= -0.55
    assert 120 - fade <= ends <= 120 - fade / 2


@pytest.mark.parametrize("seconds", range(150, 161))
def test_takes_whose_level_comes_and_goes_are_joined_where_they_do_not_dip(seconds: int) -> None:
    takes = [measures(seconds + 10, faded=10, breath=3.0), measures(150, breath=3.0)]
    recipe = plan_form(takes, wanted(240))
    end = int(recipe.parts[0].seconds)
    assert dip_db(takes[0].levels_db[end - HEARD_SECONDS : end], takes[1].levels_db[:HEARD_SECONDS]) <= 0.5
    assert seconds - 30 <= end <= seconds
    assert sum(part.seconds for part in recipe.parts) == 240 + JOIN_SECONDS


def test_a_limiter_works_only_where_the_peak_would_pass() -> None:
    assert not plan_form([measures(300, lufs=-14, peak=-1.0)], wanted(240)).parts[0].limited
    assert plan_form([measures(300, lufs=-20, peak=-3.0)], wanted(240)).parts[0].limited


def test_less_than_45_seconds_is_too_short_unless_no_more_is_planned() -> None:
    for planned in (46, 200):
        refuse_too_short(measures(45), wanted(planned))
        with pytest.raises(GiveUp) as raised:
            refuse_too_short(measures(43.9), wanted(planned))
        assert raised.value.code is Code.TOO_SHORT
    refuse_too_short(measures(20), wanted(20))


@given(
    takes=st.lists(
        st.builds(measures, st.floats(45, 200), faded=st.integers(0, 40), breath=st.sampled_from([0.0, 1.0, 6.0])),
        min_size=1,
        max_size=2,
    ),
    seconds=st.integers(50, 360),
    last=st.booleans(),
    continued=st.booleans(),
)
def test_the_parts_always_reach_the_length_and_can_be_joined(
    takes: list[Measures], seconds: int, *, last: bool, continued: bool
) -> None:
    asked = wanted(seconds, last=last)
    begins = continues_from(takes, asked)
    rest = measures(asked.seconds - begins) if begins is not None and continued else None
    recipe = plan_form(takes, asked, rest)
    reach = sum(part.seconds for part in recipe.parts) - JOIN_SECONDS * (len(recipe.parts) - 1)
    assert reach >= asked.seconds - 2.0 - 1e-6
    assert len(recipe.parts) == 1 or all(part.seconds >= JOIN_SECONDS for part in recipe.parts)
    if recipe.fade_from_seconds is not None and recipe.fade_seconds:
        assert recipe.fade_seconds >= 3.0 - 1e-6
        assert recipe.fade_from_seconds + recipe.fade_seconds <= asked.seconds + 1e-6
