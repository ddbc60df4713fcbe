"""When lines are spoken: the rules of time hold for every preset, and nothing of the plan changes for them."""

from dataclasses import replace
from typing import get_args

import pytest

from services.create.domain import emotion, narration
from services.create.domain.narration import planned_lines, spoken_seconds
from services.create.domain.planner import PlanRequest, make_plan
from services.create.domain.presets import Locale, catalogue
from services.create.domain.stored_segment import stored_segment
from services.create.domain.texts import template_texts

LINE = "Breathe in for four, without forcing."  # six words: 2.8 s


@pytest.mark.parametrize("key", [each.key for each in catalogue().presets])
@pytest.mark.parametrize("locale", get_args(Locale))
def test_lines_keep_their_distance_from_each_other_and_from_both_ends(key: str, locale: Locale) -> None:
    plan = make_plan(PlanRequest(key, 7, emotion=emotion.parse("fear-0.8"), suds=8), key=b"key")
    texts = template_texts(plan, locale)
    for segment, words in zip(plan.segments, texts.segments, strict=True):
        said = narration.narration_of(plan, texts, segment.index)
        assert (said["locale"], said["effect"]) == (locale, "rain")
        assert [line["text"] for line in said["lines"]] == list(words.lines)  # templates always fit
        free = narration.FIRST_SECONDS
        for line in said["lines"]:
            assert line["at_seconds"] >= free - 0.11  # times are rounded
            free = line["at_seconds"] + line["seconds"] + narration.LEAST_GAP_SECONDS
        assert free - narration.LEAST_GAP_SECONDS <= segment.seconds - narration.LAST_SECONDS + 0.2


def test_lines_that_do_not_fit_are_dropped_from_the_end() -> None:
    lines = [f"{number} {LINE}" for number in range(7)]
    seconds = spoken_seconds(lines[0])
    fits_three = 8 + 3 * seconds + 2 * 6 + 10
    assert [text for text, _ in planned_lines(lines, fits_three + 0.1)] == lines[:3]
    assert [text for text, _ in planned_lines(lines, fits_three - 0.1)] == lines[:2]
    assert planned_lines(lines, 8 + seconds + 9.9) == []
    assert planned_lines([], 240) == []


def test_lines_of_one_exercise_are_never_half_a_minute_apart() -> None:
    (_, first), (_, second) = planned_lines([LINE, LINE], 340)
    assert (first, second) == (8.0, round(8 + spoken_seconds(LINE) + 30, 1))


def test_narration_is_no_part_of_the_plan_and_of_its_hash() -> None:
    plan = make_plan(PlanRequest("panique-anxiete", 6), key=b"key")
    texts = template_texts(plan, "fr")
    silent, narrated = (stored_segment(plan, 0, texts, narrated=wanted) for wanted in (False, True))
    assert narrated.plan == silent.plan | {"narration": narrated.plan["narration"]}
    assert (narrated.prompt, narrated.title) == (silent.prompt, silent.title)
    assert "narration" not in silent.plan
    assert not {"narration"} & set(plan.as_json())


def test_a_run_has_one_effect_by_its_seed() -> None:
    plan = make_plan(PlanRequest("panique-anxiete", 6), key=b"key")
    assert [narration.effect_of(replace(plan, seed=seed)) for seed in (6, 7, 8)] == ["sea", "rain", "sea"]
