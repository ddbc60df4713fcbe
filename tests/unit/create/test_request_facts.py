"""The request of a segment: fits every model, says nothing personal, and its exact numbers obey their contract."""

import json
import re
from itertools import product
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from services.create.domain import emotion, wording
from services.create.domain.plan import Plan
from services.create.domain.planner import PlanRequest, make_plan
from services.create.domain.presets import catalogue, styles
from services.create.domain.request_facts import RequestFacts, numbered_title, request_facts
from services.create.domain.texts import template_texts
from services.create.domain.trajectory import BPM_PER_AROUSAL, smooth

CONTRACTS = Path(__file__).parents[3] / "contracts"
EXAMPLE_KEY = b"example key"
LIMIT_STYLE, LIMIT_TITLE, LIMIT_TAGS = 1000, 80, 1000
# Clauses 1–7 are what a model with 200 characters still hears of the plan.
SHORTEST_STYLE = 200


def plan_of(preset: str, state: str | None = "fear-0.8", suds: int | None = 8, style: str | None = None) -> Plan:
    given = None if state is None else emotion.parse(state)
    return make_plan(PlanRequest(preset, 7, given, suds, style), key=EXAMPLE_KEY)


def facts_of(plan: Plan) -> list[RequestFacts]:
    texts = template_texts(plan, "en")
    return [request_facts(plan, i, title=segment.title) for i, segment in enumerate(texts.segments)]


def schema() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((CONTRACTS / "x_parcours.schema.json").read_text())
    return loaded


def test_example_a_segment_4_has_the_style_of_the_domain() -> None:
    style = facts_of(plan_of("panique-anxiete"))[3].style
    assert style == (
        "instrumental ambient, no vocals, 85 BPM easing to 72 BPM, 6/8 time, D dorian, handpan, felt piano, soft pad, "
        "moderately full, warm, soft attacks, long pads, even quiet dynamics, no build-up, wide and still, "
        "distant slow sea wash"
    )
    assert len(style) == 228


CASES = list(
    product([p.key for p in catalogue().presets], ["fear-0.8", "numb-1", None], [None, 3, 9], [None, *styles()])
)


@pytest.mark.parametrize("preset", [p.key for p in catalogue().presets])
def test_every_request_fits_every_model_and_holds_no_label_word(preset: str) -> None:
    for key, state, suds, style in CASES:
        if key != preset:
            continue
        for facts in facts_of(plan_of(key, state, suds, style)):
            assert len(facts.style) <= 290
            assert len(facts.title) <= LIMIT_TITLE
            assert len(facts.negative_tags) <= 200 < LIMIT_TAGS
            assert 10 <= facts.file_seconds <= 360
            assert 0 <= facts.style_weight <= 1
            assert 0 <= facts.weirdness <= 1
            everything = json.dumps({k: v for k, v in facts.as_json().items() if k != "x_parcours"})
            assert not wording.names_an_emotion(everything.replace('"', " ")), everything
            assert not wording.violations(everything)
            assert not re.search(r"suds|emotion", everything, re.IGNORECASE)


@pytest.mark.parametrize("preset", [p.key for p in catalogue().presets])
def test_the_numbers_of_every_segment_obey_the_contract(preset: str) -> None:
    validator = jsonschema.Draft202012Validator(schema())
    for state, suds in (("fear-0.8", 8), ("numb-0.7", 4), (None, None)):
        for facts in facts_of(plan_of(preset, state, suds)):
            validator.validate(json.loads(json.dumps(facts.x_parcours)))
            assert not {"suds", "label", "emotion", "intensity"} & set(facts.x_parcours)


def test_the_recorded_example_is_what_the_planner_makes() -> None:
    recorded = json.loads((CONTRACTS / "examples/x_parcours/panique-anxiete-4.json").read_text())
    made = json.loads(json.dumps(facts_of(plan_of("panique-anxiete"))[3].x_parcours))
    assert recorded == made


@pytest.mark.parametrize(
    ("preset", "state", "suds"), [("panique-anxiete", "fear-0.8", 8), ("colere-irritabilite", "anger-0.6", 6)]
)
def test_the_curve_can_be_evaluated_from_the_numbers_alone(preset: str, state: str, suds: int) -> None:
    """What the contract's description says, written out: the composer does the same."""
    for facts in facts_of(plan_of(preset, state, suds)):
        numbers = facts.x_parcours
        for at, expected in ((0, numbers["bpm_start"]), (numbers["seconds"], numbers["bpm_end"])):
            x = (numbers["segment_start_seconds"] + at) / numbers["total_seconds"]
            assert bpm_at(numbers, x) == pytest.approx(expected, abs=1e-3)


def bpm_at(numbers: dict[str, Any], x: float) -> float:
    start, trough, target = numbers["start"], numbers["trough"], numbers["target"]
    if numbers["arc"] != "U":
        begin, end, y = start, target, smooth((x - 0.12) / 0.73)
    elif x <= 0.60:
        begin, end, y = start, trough, smooth((x - 0.12) / 0.48)
    else:
        begin, end, y = trough, target, smooth((x - 0.80) / 0.17)
    arousal = begin["arousal"] + (end["arousal"] - begin["arousal"]) * y
    tempo = numbers["tempo"]
    assert tempo["bpm_per_arousal"] == BPM_PER_AROUSAL
    wanted = tempo["base_bpm"] + tempo["bpm_per_arousal"] * (arousal - tempo["base_arousal"])
    return float(min(max(wanted, tempo["min_bpm"]), tempo["max_bpm"]))


def test_a_steady_segment_says_one_tempo_and_a_rising_one_lifts() -> None:
    steady = facts_of(plan_of("panique-anxiete"))[0].style_clauses[1]
    rising = facts_of(plan_of("apathie-demotivation", "numb-0.7", 4))[2].style_clauses[1]
    assert (steady, rising) == ("90 BPM steady", "83 BPM lifting to 93 BPM")


def test_percussion_words_go_with_the_groove() -> None:
    lively = facts_of(plan_of("motivation-energie", "joy-0.4", 3))[0].style
    calmed = facts_of(plan_of("motivation-energie", "joy-0.4", 8))[0].style
    assert "shakers" in lively
    assert "shakers" not in calmed


def test_a_colour_comes_last_in_the_style_and_stays_out_of_the_clauses() -> None:
    plan = plan_of("panique-anxiete")
    facts = request_facts(plan, 0, title="Title", colour="glassy bells far away")
    assert facts.style.endswith("distant slow sea wash, glassy bells far away")
    assert "glassy" not in " ".join(facts.style_clauses)
    assert facts.length_clause == "about 2 minutes"


def test_the_first_clauses_are_enough_for_the_shortest_limit() -> None:
    for preset in catalogue().presets:
        for facts in facts_of(plan_of(preset.key)):
            assert len(", ".join(facts.style_clauses[:7])) <= SHORTEST_STYLE + 20
            assert len(", ".join(facts.style_clauses[:6])) <= SHORTEST_STYLE


def test_preset_words_already_in_the_global_avoid_list_are_not_repeated() -> None:
    tags = facts_of(plan_of("tristesse-deuil"))[0].negative_tags.split(", ")
    assert len(tags) == len(set(tags)) == 16


def test_a_long_title_keeps_its_number() -> None:
    assert numbered_title("A" * 100, 2, 6) == "A" * 76 + " 3/6"
