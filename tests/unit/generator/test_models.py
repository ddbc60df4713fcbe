"""Claims about the tables of providers and models: every row is reached, and nothing leaves beyond a model's limits."""

import json
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.generator.clients import DIALECTS
from services.generator.domain.clockwork import Clockwork
from services.generator.domain.model_forms import known_models, model_form
from services.generator.domain.providers import KNOWN, load_provider, model_limits
from services.generator.domain.request import SegmentBrief, compose
from services.generator.domain.verdicts import DATA, Verdict, VerdictTable, load, verdict_table

SOURCES = ("suno", "kie", "fal", "replicate", "composer")
ROWS = [(source, row["where"], row["code"], row["verdict"]) for source in SOURCES for row in load(source)["verdicts"]]
OWN = [("own_services", row["where"], row["code"], row["verdict"]) for row in load("own_services")["verdicts"]]
SUNO_MODELS = known_models("models")
FORMS = [(table, model) for table in ("fal_models", "replicate_models") for model in known_models(table)]
SEGMENT = UUID("6f9619ff-8b86-4d01-b42d-00cf4fc964ff")


def concrete(code: str) -> str:
    """A code that a family's row covers."""
    return code.replace("*", "99") if code[0].isdigit() and len(code) == 2 else code.replace("*", "thing")


@pytest.mark.parametrize(("source", "where", "code", "verdict"), ROWS)
def test_every_row_ends_in_its_verdict(source: str, where: Any, code: str, verdict: str) -> None:
    table = verdict_table(source)
    judged = table.judge(where, concrete(code)) if where != "callback" else table.judge_failure(concrete(code))
    assert (judged.verdict, judged.known) == (Verdict(verdict), True)


@pytest.mark.parametrize(("_source", "_where", "code", "verdict"), OWN)
@pytest.mark.parametrize("source", SOURCES)
def test_our_own_services_codes_mean_the_same_of_every_provider(
    source: str, _source: str, _where: str, code: str, verdict: str
) -> None:
    judged = verdict_table(source).judge_failure(concrete(code))
    assert (judged.verdict, judged.known) == (Verdict(verdict), True)


@pytest.mark.parametrize("source", SOURCES)
def test_no_row_stands_twice_and_the_way_there_is_complete(source: str) -> None:
    rows = [(row["where"], row["code"]) for row in load(source)["verdicts"]]
    assert len(rows) == len(set(rows))
    assert {"connect", "too_late", "timeout", "lost", "no_task_id"} <= {
        code for place, code in rows if place == "transport"
    }


def test_an_unknown_code_is_a_retry_that_raises_its_alert() -> None:
    judged = VerdictTable([]).judge("http", 599)
    assert (judged.verdict, judged.known) == (Verdict.RETRY, False)


def test_every_data_file_is_known_and_names_a_dialect_and_a_table_of_models() -> None:
    others = {"own_services", "models", "fal_models", "replicate_models"}
    assert {path.stem for path in DATA.glob("*.json")} == {*SOURCES, *others}
    for source in SOURCES:
        content = load(source)
        assert content["dialect"] in DIALECTS
        assert (Path(DATA) / f"{content['models']}.json").is_file()


def test_the_terms_of_the_paid_providers() -> None:
    terms = {name: load_provider(name, Clockwork(), 1.0) for name in KNOWN}
    assert [name for name, provider in terms.items() if provider.paid] == ["suno", "fal", "replicate"]
    assert terms["fal"].terms.max_in_flight == 2
    assert (terms["replicate"].terms.slots, terms["replicate"].terms.window_seconds) == (600, 60)
    assert [name for name, provider in terms.items() if provider.signs] == ["fal", "replicate"]
    assert [name for name, provider in terms.items() if provider.balance_decides] == ["suno"]
    assert [name for name, provider in terms.items() if provider.tells_balance] == ["suno", "composer"]


@pytest.mark.parametrize("name", ["fal", "replicate"])
def test_a_provider_without_a_first_is_late_when_its_end_is(name: str) -> None:
    provider = load_provider(name, Clockwork(), 0.05)
    assert provider.first_seconds == provider.complete_seconds > 0


def test_suno_by_either_reseller_is_one_provider() -> None:
    kie = load_provider("suno", Clockwork(), 1.0, "kie")
    assert (kie.name, kie.source, kie.dialect) == ("suno", "kie", "kie")
    assert kie.verdicts is verdict_table("kie")


texts = st.text(max_size=400)
plans = st.fixed_dictionaries(
    {
        "file_seconds": st.floats(min_value=0, max_value=5_000, allow_nan=False),
        "style_clauses": st.lists(texts.filter(bool), min_size=1, max_size=12),
        "negative_tags": st.one_of(texts, st.lists(texts, max_size=30)),
        "style_weight": st.floats(min_value=-5, max_value=5),
        "weirdness": st.floats(min_value=-5, max_value=5),
    }
)


@given(plan=plans, title=texts, model=st.sampled_from(SUNO_MODELS))
def test_nothing_too_long_or_out_of_range_is_ever_sent_to_suno(plan: dict[str, Any], title: str, model: str) -> None:
    limits = model_limits(model)
    brief = SegmentBrief(SEGMENT, title, 3, 6, plan)
    body = compose(brief, model=model, limits=limits, extensions=False, callback_url="https://x.org/c")
    assert 0 < len(body["style"]) <= limits.style
    assert len(body["title"]) <= limits.title
    assert len(body["negativeTags"]) <= limits.negative_tags
    assert 0 <= body["styleWeight"] <= 1
    assert 0 <= body["weirdnessConstraint"] <= 1
    assert ("duration" in body) == limits.takes_duration
    assert 10 <= body.get("duration", 10) <= 360


@given(plan=plans, form=st.sampled_from(FORMS))
def test_nothing_too_long_or_out_of_range_is_ever_sent_to_the_others(
    plan: dict[str, Any], form: tuple[str, str]
) -> None:
    made = model_form(*form)
    body = made.fill(plan)
    assert 0 < len(body[made.prompt]) <= made.prompt_limit
    if made.length is not None:
        seconds = body[made.length.field] / made.length.per_second
        assert made.length.least <= seconds <= made.length.most
    assert made.fixed.items() <= body.items()
    assert json.loads(json.dumps(body)) == body
    cost = made.cost(plan)
    assert cost is None or cost > 0


@pytest.mark.parametrize("bad", [{"style_weight": float("nan")}, {"style_clauses": []}, {"weirdness": "much"}])
def test_a_plan_that_asks_for_nothing_or_in_no_numbers_is_not_sent(bad: dict[str, Any]) -> None:
    plan = {"file_seconds": 200, "style_clauses": ["x"], "negative_tags": [], "style_weight": 0.5, "weirdness": 0.2}
    limits = model_limits("V5_5")
    with pytest.raises(ValueError, match=r"asks for nothing|not a number|could not convert"):
        compose(
            SegmentBrief(SEGMENT, "t", 0, 1, plan | bad),
            model="V5_5",
            limits=limits,
            extensions=False,
            callback_url="https://x.org/c",
        )


def test_only_models_whose_files_nothing_can_complete_are_too_short() -> None:
    too_short = [model for table, model in FORMS if model_form(table, model).is_too_short]
    assert too_short == ["fal-ai/lyria2", "google/lyria-2"]
