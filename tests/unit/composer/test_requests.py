"""What a request means: the exact numbers, the words of a style, and the reseller's refusals."""

import json
from pathlib import Path
from typing import Any

import pytest

from services.composer.dialect import Code, RefusedError, order_of
from services.composer.engine.plan import TONICS
from services.composer.exact import ExactPlan
from services.composer.prompt import plan_of_prompt
from tests.unit.composer.journeys import example_a, plan_a

CONTRACTS = Path(__file__).parents[3] / "contracts"
STYLE = (
    "instrumental ambient, no vocals, 85 BPM easing to 72 BPM, 6/8 time, D dorian, handpan, felt piano, soft pad, "
    "moderately full, warm, soft attacks, long pads, even quiet dynamics, no build-up, wide and still, "
    "distant slow sea wash"
)


def body(**changes: Any) -> dict[str, Any]:
    request = {
        "customMode": True,
        "instrumental": True,
        "model": "V5_5",
        "callBackUrl": "http://127.0.0.1:9/callback?segment=1&token=2",
        "style": STYLE,
        "title": "Une éclaircie 4/6",
        "duration": 245,
    }
    return request | changes


@pytest.mark.parametrize("path", sorted((CONTRACTS / "examples" / "x_parcours").glob("*.json")), ids=lambda p: p.stem)
def test_recorded_examples_of_the_contract_make_plans(path: Path) -> None:
    numbers = json.loads(path.read_text(encoding="utf-8"))
    plan = ExactPlan.model_validate(numbers).plan()
    assert plan.file_samples == numbers["file_seconds"] * 44_100
    start = numbers["segment_start_seconds"]
    assert plan.path.at(start).bpm == pytest.approx(numbers["bpm_start"], abs=0.05)
    assert plan.path.at(start + numbers["seconds"]).bpm == pytest.approx(numbers["bpm_end"], abs=0.05)


def test_every_member_we_need_is_promised_by_the_contract() -> None:
    schema = json.loads((CONTRACTS / "x_parcours.schema.json").read_text(encoding="utf-8"))
    needed = {name for name, field in ExactPlan.model_fields.items() if field.is_required()}
    assert needed <= set(schema["required"])
    assert set(ExactPlan.model_fields) <= set(schema["properties"])


@pytest.mark.parametrize(
    ("index", "bpm", "density", "brightness", "pulse"),
    [(0, 90, 0.68, 0.54, 0.68), (2, 90, 0.62, 0.50, 0.49), (3, 78.6, 0.48, 0.39, 0.05), (5, 64, 0.31, 0.25, 0.0)],
)
def test_the_curve_reproduces_example_a(
    index: int, bpm: float, density: float, brightness: float, pulse: float
) -> None:
    plan = plan_a(index)
    moment = plan.path.at(plan.span.start_seconds + plan.span.seconds / 2)
    assert moment.bpm == pytest.approx(bpm, abs=0.2)
    assert moment.density == pytest.approx(density, abs=0.01)
    assert moment.brightness == pytest.approx(brightness, abs=0.01)
    assert moment.pulse == pytest.approx(pulse, abs=0.01)


def test_a_style_is_read_clause_by_clause() -> None:
    plan = plan_of_prompt(STYLE, "Une éclaircie 4/6", 245.0)
    assert (plan.index, plan.count, plan.file_seconds, plan.span.seconds) == (3, 6, 245.0, 240.0)
    assert (plan.span.mode, plan.tonic, plan.span.metre, plan.timbre) == ("dorian", 2, "6/8", "handpan")
    assert plan.path.at(0).bpm == 85
    assert plan.path.at(240).bpm == 72
    assert plan.path.at(0).density == pytest.approx(0.52)
    assert plan.path.at(0).brightness == pytest.approx(0.34)


@pytest.mark.parametrize(
    ("style", "mode", "tonic"),
    [
        ("A natural minor (aeolian)", "aeolian", "A"),
        ("E♭ major (ionian)", "ionian", "Eb"),
        ("Eb lydian", "lydian", "Eb"),
        ("something else", "dorian", "D"),
    ],
)
def test_keys_have_several_spellings(style: str, mode: str, tonic: str) -> None:
    plan = plan_of_prompt(style, "", 60.0)
    assert (plan.span.mode, plan.tonic) == (mode, TONICS[tonic])


@pytest.mark.parametrize(
    ("style", "bpm"), [("64 BPM steady", (64, 64)), ("70 BPM lifting to 90 BPM", (70, 90)), ("", (66, 66))]
)
def test_tempi_have_several_wordings(style: str, bpm: tuple[int, int]) -> None:
    plan = plan_of_prompt(style, "", 100.0)
    assert (plan.path.at(0).bpm, plan.path.at(100).bpm) == bpm


def test_exact_numbers_win_over_words() -> None:
    order = order_of(body(x_parcours=example_a(0), style="120 BPM steady"))
    assert order.plan.path.at(0).bpm == 90
    assert order.plan.file_seconds == 135


@pytest.mark.parametrize(
    ("changes", "code", "message"),
    [
        ({"customMode": None}, Code.BAD_PARAMETERS, "customMode cannot be null"),
        ({"instrumental": "yes"}, Code.BAD_PARAMETERS, "instrumental cannot be null"),
        ({"model": None}, Code.BAD_PARAMETERS, "model cannot be null"),
        ({"callBackUrl": ""}, Code.BAD_PARAMETERS, "Please enter callBackUrl."),
        ({"callBackUrl": "ftp://x"}, Code.BAD_PARAMETERS, "callBackUrl must be an http address"),
        ({"style": ""}, Code.BAD_PARAMETERS, "expected one of style"),
        ({"style": "x" * 1001}, Code.TOO_LONG, "style has more than 1000"),
        ({"model": "V4", "style": "x" * 201}, Code.TOO_LONG, "style has more than 200"),
        ({"duration": 9}, Code.BAD_PARAMETERS, "duration must be a number from 10 to 360"),
        ({"duration": 361}, Code.BAD_PARAMETERS, "duration"),
        ({"duration": True}, Code.BAD_PARAMETERS, "duration"),
        ({"x_parcours": {"seed": -1}}, Code.BAD_PARAMETERS, "x_parcours: wrong or missing"),
        ({"x_parcours": example_a(0, segment_count=5)}, Code.BAD_PARAMETERS, "x_parcours"),
    ],
)
def test_bad_requests_get_the_resellers_codes(changes: dict[str, Any], code: Code, message: str) -> None:
    with pytest.raises(RefusedError, match=message) as refused:
        order_of(body(**changes))
    assert refused.value.code is code


def test_something_that_is_no_object_is_refused() -> None:
    with pytest.raises(RefusedError, match="expected a JSON object"):
        order_of(["customMode"])


def test_an_order_without_duration_has_the_models_default() -> None:
    without = {key: value for key, value in body().items() if key != "duration"}
    assert order_of(without | {"model": "V6"}).plan.file_seconds == 20
    assert order_of(without | {"model": "V5"}).plan.file_seconds == 180
