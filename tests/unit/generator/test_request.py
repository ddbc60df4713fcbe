"""Claims about the body a provider gets: made from the plan, within the model's limits, extensions for ours alone."""

from typing import Any
from uuid import UUID

import pytest

from services.generator.domain.providers import model_limits
from services.generator.domain.request import SegmentBrief, callback_url, compose, numbered_title

SEGMENT = UUID("6f9619ff-8b86-4d01-b42d-00cf4fc964ff")
CLAUSES = [
    "instrumental ambient, no vocals",
    "85 BPM easing to 72 BPM",
    "6/8 time",
    "D dorian",
    "handpan, felt piano, soft pad",
    "moderately full, warm",
    "soft attacks, long pads, even quiet dynamics, no build-up",
    "wide and still",
    "distant slow sea wash",
]


def plan(**changes: Any) -> dict[str, Any]:
    return {
        "seconds": 240,
        "file_seconds": 245,
        "style_clauses": CLAUSES,
        "length_clause": "about 4 minutes",
        "colour": None,
        "negative_tags": ["drums", "vocals"],
        "style_weight": 0.654,
        "weirdness": 0.2,
        "x_parcours": {"version": 1},
    } | changes


def body(model: str = "V4_5", *, extensions: bool = False, **changes: Any) -> dict[str, Any]:
    brief = SegmentBrief(SEGMENT, "A place of your own", 2, 6, plan(**changes))
    limits = model_limits(model)
    return compose(brief, model=model, limits=limits, extensions=extensions, callback_url="https://x.org/c")


def test_the_body_has_the_fields_of_the_reseller() -> None:
    assert body() == {
        "customMode": True,
        "instrumental": True,
        "model": "V4_5",
        "callBackUrl": "https://x.org/c",
        "style": ", ".join([*CLAUSES, "about 4 minutes"]),
        "title": "A place of your own 3/6",
        "negativeTags": "drums, vocals",
        "styleWeight": 0.65,
        "weirdnessConstraint": 0.2,
    }


@pytest.mark.parametrize("model", ["V5_5", "V6", "V6_WILD", "V6_MINI"])
def test_models_that_take_a_length_get_it_as_a_number(model: str) -> None:
    assert body(model)["duration"] == 245
    assert "minutes" not in body(model)["style"]


@pytest.mark.parametrize("model", ["V4", "V4_5", "V4_5ALL", "V5", "V9_unknown"])
def test_other_models_get_no_number(model: str) -> None:
    assert "duration" not in body(model)


def test_the_length_stays_within_what_the_api_takes() -> None:
    assert body("V6", file_seconds=2)["duration"] == 10
    assert body("V6", file_seconds=999)["duration"] == 360


def test_a_reseller_never_sees_our_extension() -> None:
    assert all("x_parcours" not in body(model) for model in ("V4", "V5_5", "V6"))


def test_composer_gets_a_length_and_our_exact_numbers_whatever_the_model() -> None:
    made = body("V4", extensions=True)
    assert made["duration"] == 245
    assert made["x_parcours"] == {"version": 1}


def test_style_clauses_are_dropped_from_the_end_until_the_limit_fits() -> None:
    style = body("V4", colour="like rain on warm stone")["style"]
    assert len(style) <= 200
    assert style == ", ".join(CLAUSES[:7])


def test_the_colour_is_dropped_first_and_kept_where_there_is_room() -> None:
    assert body("V5_5", colour="like rain on warm stone")["style"].endswith("wash, like rain on warm stone")


def test_a_first_clause_that_is_too_long_alone_is_cut() -> None:
    assert body("V4", style_clauses=["x" * 300])["style"] == "x" * 200


def test_negative_tags_may_be_a_text_or_a_list_and_keep_the_limit() -> None:
    assert body(negative_tags="drums, vocals")["negativeTags"] == "drums, vocals"
    long = body(negative_tags=["tag" * 10] * 60)["negativeTags"]
    assert len(long) <= 1000
    assert long.endswith("tag")


def test_a_long_title_keeps_its_number() -> None:
    title = numbered_title("w" * 120, 3, 6, 80)
    assert len(title) == 80
    assert title.endswith("w 4/6")


def test_a_numbered_title_is_not_numbered_twice() -> None:
    assert numbered_title("Calm 1/6", 0, 6, 80) == "Calm 1/6"


@pytest.mark.parametrize(("base", "joint"), [("https://x.org/cb", "?"), ("https://x.org/cb?tenant=1", "&")])
def test_segment_and_token_are_added_to_the_callback_address(base: str, joint: str) -> None:
    token = UUID(int=7)
    assert callback_url(base, SEGMENT, token) == f"{base}{joint}segment={SEGMENT}&token={token}"
