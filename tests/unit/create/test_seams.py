"""What other services read of create's rows, what the model is told, and keys that tell nothing of their secret."""

import json
import re
import uuid
from typing import get_args

import pytest

from services.archiver.domain.form import SAMPLE_RATE, Wanted
from services.archiver.domain.narration import Script
from services.create.domain import emotion
from services.create.domain.keys import Purpose, derive_key
from services.create.domain.plan import Plan, plan_from_json
from services.create.domain.planner import PlanRequest, make_plan
from services.create.domain.presets import Locale, catalogue
from services.create.domain.prompt import prompt_for
from services.create.domain.stored_segment import stored_segment
from services.create.domain.texts import template_texts
from services.generator.domain.providers import ModelLimits
from services.generator.domain.request import SegmentBrief, compose

KEYS = [each.key for each in catalogue().presets]


def plan_of(key: str, *, suds: int | None = 8, style: str | None = None) -> Plan:
    request = PlanRequest(key, 42, emotion=emotion.parse("fear-0.8"), suds=suds, style=style)
    return make_plan(request, key=b"key")


@pytest.mark.parametrize("key", KEYS)
def test_the_generator_can_ask_for_every_stored_segment(key: str) -> None:
    plan = plan_of(key)
    limits = ModelLimits(title=80, style=1000, negative_tags=1000, takes_duration=True)
    texts = template_texts(plan, "en")
    for index in range(len(plan.segments)):
        stored = stored_segment(plan, index, texts, narrated=True)
        brief = SegmentBrief(uuid.uuid4(), stored.title, index, len(plan.segments), stored.plan)
        body = compose(brief, model="V5_5", limits=limits, extensions=True, callback_url="http://127.0.0.1/callback")
        assert body["style"] == stored.prompt
        assert body["title"] == stored.plan["title"]
        assert body["duration"] == plan.segments[index].file_seconds
        assert body["negativeTags"] == ", ".join(plan.avoid)
        assert json.loads(json.dumps(stored.plan)) is not None


def test_the_archiver_reads_length_loudness_and_the_end() -> None:
    plan = plan_of("panique-anxiete")
    texts = template_texts(plan, "fr")
    for index in range(len(plan.segments)):
        stored = stored_segment(plan, index, texts, narrated=False)
        wanted = Wanted.from_plan(json.loads(json.dumps(stored.plan)))
        segment = plan.segments[index]
        bpm = (segment.bpm_start + segment.bpm_end) / 2
        assert wanted == Wanted(segment.file_seconds * SAMPLE_RATE, segment.loudness_lufs, index == 5, bpm)
        assert Script.from_plan(stored.plan) is None


@pytest.mark.parametrize("locale", get_args(Locale))
def test_the_archiver_reads_what_is_said_and_when(locale: Locale) -> None:
    plan = plan_of("panique-anxiete")
    texts = template_texts(plan, locale)
    for index, words in enumerate(texts.segments):
        script = Script.from_plan(json.loads(json.dumps(stored_segment(plan, index, texts, narrated=True).plan)))
        assert script is not None
        assert (script.locale, script.effect, script.seconds) == (locale, "sea", plan.segments[index].seconds)
        assert tuple(line.text for line in script.lines) == words.lines[: len(script.lines)]
        assert len(script.lines) >= 2


def test_a_stored_plan_with_what_the_row_adds_is_read_back() -> None:
    plan = plan_of("panique-anxiete")
    row = plan.as_json() | {"segments_count": 6, "narration": True}
    assert plan_from_json(json.loads(json.dumps(row))) == plan


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("locale", get_args(Locale))
def test_the_model_is_told_no_emotion_no_score_and_no_length(key: str, locale: Locale) -> None:
    plan = plan_of(key)
    told = prompt_for(plan, locale).user
    words = set(re.findall(r"[a-z_]+", told))
    assert not {"suds", "arousal", "valence", "preset", "seconds", "fear", "peur"} & words
    assert key not in told
    content = json.loads(told)
    assert set(content) == {"language", "timbre", "segments"}
    assert all(set(each) == {"techniques", "phase"} for each in content["segments"])
    assert not any(isinstance(value, int | float) for each in content["segments"] for value in each.values())


def test_each_purpose_has_a_key_of_its_own() -> None:
    keys = {derive_key(secret, purpose) for secret in (b"one", b"two") for purpose in get_args(Purpose)}
    assert len(keys) == 4
    assert {len(key) for key in keys} == {32}
    assert derive_key(b"one", "plan_hash") == derive_key(b"one", "plan_hash")


def test_an_empty_secret_makes_no_key() -> None:
    with pytest.raises(ValueError, match="INTERNAL_SECRET"):
        derive_key(b"", "plan_hash")
