"""The contract between services: every topic has a class, that class's schema, and examples that both accept."""

import json
from pathlib import Path

import jsonschema
import pytest

from libs.common import contracts
from libs.common.events import BY_TOPIC, EVENTS, Event
from libs.common.topics import Topic

EXAMPLES = sorted((contracts.FOLDER / "examples").glob("*.*/*.json"))


def test_every_topic_has_one_event_and_every_event_a_topic() -> None:
    assert set(BY_TOPIC) == set(Topic)
    assert len(EVENTS) == len(Topic)


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: str(event.topic))
def test_a_schema_file_is_what_its_class_says(event: type[Event]) -> None:
    written = contracts.path_of(event).read_bytes()
    assert written == contracts.text_of(event), "write it anew: .venv/bin/python -m libs.common.contracts"


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: str(event.topic))
def test_every_topic_has_an_example(event: type[Event]) -> None:
    assert any(path.parent.name == event.topic for path in EXAMPLES)


def test_no_schema_or_example_is_an_orphan() -> None:
    topics = {str(topic) for topic in Topic}
    schemas = {path.name.removesuffix(".schema.json") for path in contracts.FOLDER.glob("*.*.schema.json")}
    assert schemas == topics
    assert {path.parent.name for path in EXAMPLES} == topics


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_an_example_satisfies_its_schema_and_survives_its_class(path: Path) -> None:
    example = json.loads(path.read_text())
    event = BY_TOPIC[Topic(path.parent.name)]
    jsonschema.validate(example, contracts.schema_of(event))
    assert event.model_validate(example).model_dump(mode="json") == example


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_message_with_a_field_of_a_later_version_is_still_understood(path: Path) -> None:
    example = json.loads(path.read_text()) | {"added_later": True}
    BY_TOPIC[Topic(path.parent.name)].model_validate(example)


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: str(event.topic))
def test_no_event_can_carry_a_persons_words_or_scores(event: type[Event]) -> None:
    forbidden = {"user_id", "emotion", "emotion_state", "suds", "brief", "title", "prompt", "token", "email"}
    assert not forbidden & set(event.model_fields)
