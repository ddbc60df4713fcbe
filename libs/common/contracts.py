"""Writes the events' JSON Schemas into `contracts/`: the classes are the source, the files are the contract.

`python -m libs.common.contracts` writes them; a test fails while a file and its class differ.
"""

from pathlib import Path
from typing import Any

import orjson

from libs.common.events import EVENTS, Event

FOLDER = Path(__file__).resolve().parents[2] / "contracts"


def schema_of(event: type[Event]) -> dict[str, Any]:
    """The event's JSON Schema (2020-12), named after its topic."""
    schema = event.model_json_schema()
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": f"urn:parcours:event:{event.topic}"}
    return head | schema


def text_of(event: type[Event]) -> bytes:
    """The schema file's exact contents."""
    return orjson.dumps(schema_of(event), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def path_of(event: type[Event]) -> Path:
    return FOLDER / f"{event.topic}.schema.json"


def write() -> None:
    """Write every schema file."""
    for event in EVENTS:
        path_of(event).write_bytes(text_of(event))


if __name__ == "__main__":
    write()
