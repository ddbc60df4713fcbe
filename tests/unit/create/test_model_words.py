"""What a language model may add, and that a hostile one changes nothing else."""

from typing import Any

import pytest

from services.create.domain import emotion
from services.create.domain.model_words import Applied, apply_model_words
from services.create.domain.plan import Plan
from services.create.domain.planner import PlanRequest, make_plan
from services.create.domain.presets import Locale
from services.create.domain.texts import MOST_WORDS, RunTexts, template_texts

COLOUR = "Glassy bells, far away, slowly turning"


def plan_of() -> Plan:
    return make_plan(PlanRequest("panique-anxiete", 3, emotion.parse("fear-0.8"), 8), key=b"k")


PLAN = plan_of()


def own(locale: Locale = "en") -> RunTexts:
    return template_texts(PLAN, locale)


def answer(**changes: Any) -> dict[str, Any]:
    segment = {
        "title": "A slow shore",
        "colour": COLOUR,
        "lines": ["Listen to the far water.", "It is enough to be here."],
    }
    return {
        "brief": "We begin near you. Then the music widens.",
        "title": "An evening by the water",
        "segments": [dict(segment) for _ in PLAN.segments],
        **changes,
    }


def apply(given: object, locale: Locale = "en") -> Applied:
    return apply_model_words(PLAN, own(locale), given)


def test_a_good_answer_is_taken_whole() -> None:
    applied = apply(answer())
    assert applied.text_source == "model"
    assert applied.dropped == 0
    assert applied.texts.brief == "We begin near you. Then the music widens."
    assert applied.texts.title == "An evening by the water"
    assert applied.texts.segments[5].title == "A slow shore"
    assert applied.texts.segments[5].colour == COLOUR
    assert applied.texts.segments[5].lines == ("Listen to the far water.", "It is enough to be here.")
    assert {"brief", "title", "segments.0.title", "segments.0.colour", "segments.0.lines"} <= set(applied.changed)


@pytest.mark.parametrize("given", [None, [], "text", 7, {}, {"segments": None}, {"nonsense": {"a": 1}}])
def test_no_answer_or_nonsense_leaves_the_templates(given: object) -> None:
    applied = apply(given)
    assert applied.texts == own()
    assert applied.text_source == "template"
    assert applied.changed == ()


def test_unknown_fields_are_dropped_and_counted() -> None:
    given = answer(durationSeconds=900, plan={"tempo": 200}, notices=[])
    given["segments"][0] |= {"seconds": 600, "bpm": 180, "technique": "imaginal_1"}
    applied = apply(given)
    assert applied.dropped == 6
    assert applied.text_source == "model"


def test_a_hostile_answer_changes_neither_the_plan_nor_its_hash() -> None:
    before = PLAN.as_json()
    given = answer(seconds=1, negativeTags="", crisisContacts=[], provider="x", seed=0)
    given["segments"] = [{"lines": ["Take 20 mg of this medication."], "colour": "loud drums and singing voices"}] * 6
    applied = apply(given)
    assert PLAN.as_json() == before
    assert PLAN.plan_hash == plan_of().plan_hash
    assert [segment.lines for segment in applied.texts.segments] == [segment.lines for segment in own().segments]
    assert {segment.colour for segment in applied.texts.segments} == {None}
    assert applied.text_source == "mixed"
    assert applied.dropped == 5 + 6 * 2


@pytest.mark.parametrize("count", [0, 5, 7])
def test_another_number_of_segments_drops_them_all(count: int) -> None:
    given = answer()
    given["segments"] = (given["segments"] * 2)[:count]
    applied = apply(given)
    assert applied.texts.segments == own().segments
    assert applied.texts.brief == given["brief"]
    assert (applied.text_source, applied.dropped) == ("mixed", 1)


@pytest.mark.parametrize(
    "brief",
    [
        "Only one sentence.",
        "One. Two. Three. Four. Five.",
        "A. " + "b" * 600 + ".",
        "This heals you. Really.",
        "A proven method. It works.",
        "It lowers stress by 40 %. Trust it.",
        "Call 0 800 123 456. They listen.",
        "See https://example.org. It is good.",
        "You may want to die. Listen.",
        "",
        "   ",
        42,
        ["We begin. We end."],
        "A line.\nAnother line.",
    ],
)
def test_a_brief_that_may_not_be_said_stays_the_templates(brief: object) -> None:
    applied = apply(answer(brief=brief))
    assert applied.texts.brief == own().brief
    assert (applied.text_source, applied.dropped) == ("mixed", 1)


@pytest.mark.parametrize("title", ["x" * 61, "Through the fear", "Vers la joie", "Beyond depression", "Calm"])
def test_a_title_with_an_emotion_an_illness_or_too_long_stays_the_templates(title: str) -> None:
    given = answer(title=title)
    given["segments"][2]["title"] = title
    applied = apply(given)
    assert applied.texts.title == own().title
    assert applied.texts.segments[2].title == own().segments[2].title
    assert applied.dropped == 2


@pytest.mark.parametrize(
    "colour",
    [
        "at 90 bpm",
        "in a slow tempo",
        "soft D minor glow",
        "dorian light",
        "distant choir",
        "whispered voices",
        "gentle drums",
        "a slow riser",
        "in the style of Brian Eno",
        "like Satie",
        "warm 432 hz tone",
        "sudden bright swell",
        "x" * 161,
        "fearful strings, fear everywhere",
        "healing bells",
        "bells\nand water",
        "cloches éloignées",
    ],
)
def test_a_colour_that_is_more_than_sound_is_left_out(colour: str) -> None:
    given = answer()
    given["segments"][1]["colour"] = colour
    applied = apply(given)
    assert applied.texts.segments[1].colour is None
    assert applied.dropped == 1
    assert applied.texts.segments[0].colour == COLOUR


def test_a_failing_line_gives_way_to_the_templates_and_the_rest_stays() -> None:
    given = answer()
    given["segments"][4]["lines"] = ["Listen to the rain.", "This treatment cures you.", "Stay as long as you like."]
    lines = apply(given).texts.segments[4].lines
    assert lines == ("Listen to the rain.", own().segments[4].lines[1], "Stay as long as you like.")


def test_too_many_or_too_wordy_lines_are_dropped_from_the_end() -> None:
    given = answer()
    for segment in given["segments"]:
        segment["lines"] = ["one two three four five six seven eight nine ten"] * 8
    applied = apply(given)
    assert [len(segment.lines) for segment in applied.texts.segments][:2] == [2, 2]
    assert sum(len(line.split()) for segment in applied.texts.segments for line in segment.lines) <= MOST_WORDS
    assert applied.dropped == 6 * 8 - sum(len(segment.lines) for segment in applied.texts.segments)


def test_a_line_over_180_characters_is_refused() -> None:
    given = answer()
    given["segments"][3]["lines"] = ["a" * 181]
    assert apply(given).texts.segments[3].lines == own().segments[3].lines


def test_silence_is_an_answer_too() -> None:
    given = answer()
    given["segments"][3]["lines"] = []
    assert apply(given).texts.segments[3].lines == ()


def test_a_french_answer_must_say_vous() -> None:
    given = answer(brief="Tu vas te détendre. Laisse-toi porter.")
    assert apply(given, "fr").texts.brief == own("fr").brief
    assert (
        apply(answer(brief="Installez-vous. La musique arrive."), "fr").texts.brief
        == "Installez-vous. La musique arrive."
    )
