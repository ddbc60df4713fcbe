"""The contract's own tests see a violation: each change that would break a consumer, made on purpose."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from pydantic import ValidationError, create_model

from libs.common import contracts
from libs.common.events import BY_TOPIC, Event, SegmentFailed
from libs.common.topics import Topic

EXAMPLES = sorted((contracts.FOLDER / "examples").glob("*.*/*.json"))


def _written(event: type[Event]) -> bytes:
    return contracts.path_of(event).read_bytes()


def _optional(schema: dict[str, Any], name: str) -> bool:
    return name not in schema["required"]


def test_a_new_field_a_removed_one_and_another_type_show_against_the_file() -> None:
    plain = create_model("SegmentFailed", __base__=SegmentFailed)
    added = create_model("SegmentFailed", __base__=SegmentFailed, provider=(str, "suno"))
    other = create_model("SegmentFailed", __base__=SegmentFailed, retryable=(int, ...))
    removed = create_model("SegmentFailed", __base__=Event)
    removed.topic = SegmentFailed.topic
    for event in (added, other, removed):
        assert contracts.text_of(event) != _written(SegmentFailed)
    plain.__doc__ = SegmentFailed.__doc__
    assert contracts.text_of(plain) == _written(SegmentFailed), "what is not changed does not differ"


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_an_example_without_a_field_or_with_nonsense_in_it_is_refused(path: Path) -> None:
    example = json.loads(path.read_text())
    event = BY_TOPIC[Topic(path.parent.name)]
    schema = contracts.schema_of(event)
    for name in example:
        nonsense = example | {name: {"nonsense": True}}
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(nonsense, schema)
        with pytest.raises(ValidationError):
            event.model_validate(nonsense)
        if not _optional(schema, name):
            without = {key: value for key, value in example.items() if key != name}
            with pytest.raises(jsonschema.ValidationError, match="required property"):
                jsonschema.validate(without, schema)
