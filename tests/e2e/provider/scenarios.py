"""What a provider does to a run, scenario by scenario: its callbacks, its files, and each code of its own table."""

import json
from importlib.resources import files
from typing import Any, Final

from tests.e2e.provider.rig import Scenario

LATE_SECONDS: Final = 600  # ten minutes of the provider's time

CALLBACKS: Final = (
    Scenario("healthy", segments=2),
    Scenario("30 % of callbacks dropped", ({"fault": "drop_callback", "probability": 0.3},), segments=4),
    Scenario("all callbacks dropped", ({"fault": "drop_callback"},), segments=2),
    Scenario("each callback twice", ({"fault": "duplicate_callback", "count": 2},)),
    Scenario("callbacks in reverse", ({"fault": "reorder_callbacks"},)),
    Scenario("callbacks late by 10 min", ({"fault": "late_callback", "seconds": LATE_SECONDS},)),
    Scenario("only complete is late", ({"fault": "late_callback", "stages": ["complete"], "seconds": LATE_SECONDS},)),
    Scenario("callback before the reply", ({"fault": "callback_before_reply"},)),
    Scenario("complete before the reply", ({"fault": "callback_before_reply", "stage": "complete"},)),
    Scenario("reply lost", ({"fault": "reply_lost"},), expected={"attempts": 1}),
    Scenario(
        "reply lost and callbacks dropped",
        ({"fault": "reply_lost", "times": 1}, {"fault": "drop_callback"}),
        expected={"attempts": 2, "possible_double_charges": 1, "tasks": 2},
    ),
    Scenario("reply late", ({"fault": "slow_reply", "seconds": 15},), expected={"attempts": 1}),
    Scenario("text skipped", ({"fault": "skip_stage", "stages": ["text"]},)),
    Scenario("text and first skipped", ({"fault": "skip_stage", "stages": ["text", "first"]},)),
    Scenario("CALLBACK_EXCEPTION with its audio", ({"fault": "callback_exception"},), expected={"attempts": 1}),
    Scenario("SUCCESS in record-info alone", ({"fault": "drop_callback", "stages": ["complete"]},)),
    Scenario("createTime as text", ({"fault": "create_time_text"},)),
    Scenario("text with items", ({"fault": "text_items"},)),
)
"""Webhooks as they should not be. Each run becomes ready, from one paid generation a segment unless said otherwise."""

FILES: Final = (
    Scenario("file gone", ({"fault": "file_gone", "stream": False, "times": 2},), expected={"attempts": 2}),
    Scenario("file server away", ({"fault": "file_error", "times": 2},), expected={"attempts": 1}),
    Scenario("file cut off", ({"fault": "file_truncated", "how": "lost", "stream": False, "times": 1},)),
    Scenario("a page instead of a file", ({"fault": "file_html", "stream": False, "times": 2},)),
    Scenario("files of nothing", ({"fault": "file_silent", "stream": False, "times": 2},), expected={"attempts": 2}),
    Scenario(
        "a first take of nothing",
        ({"fault": "file_silent", "take": 0, "stream": False, "times": 1},),
        expected={"attempts": 1},
    ),
    Scenario(
        "failed with no data at all",
        ({"fault": "fail", "code": 501, "data": None, "times": 1},),
        expected={"attempts": 2, "tasks": 2},
    ),
    Scenario(
        "failed by its other name",
        ({"fault": "fail", "code": 531, "data": [], "times": 1}, {"fault": "type_failed"}),
        expected={"attempts": 2, "tasks": 2},
    ),
    Scenario("a failure nobody was told of", ({"fault": "fail", "times": 1}, {"fault": "drop_callback"})),
)
"""What the provider delivers, or does not."""


def _submit_fault(where: str, code: str) -> dict[str, Any] | None:
    """The simulator's fault that plays a row of the table; None for what no provider can play."""
    played: dict[tuple[str, str], dict[str, Any] | None] = {
        ("transport", "timeout"): {"fault": "hang"},
        ("transport", "lost"): {"fault": "reply_lost"},
        ("transport", "no_task_id"): {"fault": "code", "code": 200},
        ("transport", "connect"): None,  # nobody listens: the outages' own test
        ("transport", "too_late"): None,  # our own clock: tests/integration/generator
    }
    if where == "transport":
        return played[where, code]
    if where == "body":
        return {"fault": "code", "code": int(code)}
    return {"fault": "http_error", "status": int(code)}


def _rows() -> list[dict[str, str]]:
    data = files("services.generator.domain").joinpath("data", "suno.json").read_text("utf-8")
    rows: list[dict[str, str]] = json.loads(data)["verdicts"]
    return rows


def _code_scenario(row: dict[str, str]) -> Scenario | None:
    where, code, verdict = row["where"], row["code"], row["verdict"]
    name = f"{where} {code} is {verdict}"
    expected = {"verdict": verdict, "error_code": code if where == "callback" else f"{where}_{code}"}
    if where == "callback":
        fault: dict[str, Any] | None = {"fault": "fail", "code": int(code)}
    else:
        fault = _submit_fault(where, code)
    return None if fault is None else Scenario(name, ({**fault, "times": 1},), expected=expected | {"where": where})


CODES: Final = tuple(scenario for row in _rows() if (scenario := _code_scenario(row)) is not None)
"""Every row of the table of §2.4 for this provider that a provider can play, read from the product's own data."""

UNPLAYED: Final = tuple(f"{row['where']} {row['code']}" for row in _rows() if _code_scenario(row) is None)

UNKNOWN: Final = (
    Scenario(
        "unknown code of the envelope",
        ({"fault": "code", "code": 777, "times": 1},),
        expected={"verdict": "retry", "error_code": "body_777"},
    ),
    Scenario(
        "unknown code of a callback",
        ({"fault": "fail", "code": 599, "times": 1},),
        expected={"verdict": "retry", "error_code": "599"},
    ),
)
"""Codes that no table knows: tried again, with an alert."""
