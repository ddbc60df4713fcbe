"""Understands Replicate's webhook (`providers.md` §3): the prediction itself, as a look-up returns it."""

from collections.abc import Mapping
from typing import Any, Final

from services.callback.domain.addresses import as_url
from services.callback.domain.news import (
    NO_AUDIO,
    News,
    Stage,
    Take,
    UnknownDialectError,
    as_task_id,
    as_text,
)

DIALECT: Final = "replicate"
RUNNING: Final = frozenset({"starting", "processing"})  # the latter may have output already, perhaps not all of it
SUCCEEDED: Final = "succeeded"
FAILED: Final = frozenset({"failed", "canceled", "aborted"})
TAKES_LIMIT: Final = 8


def speaks(body: Mapping[str, Any]) -> bool:
    return "id" in body and "status" in body and "request_id" not in body


def parse(body: Mapping[str, Any]) -> News:
    """Understand the body or raise `UnknownDialectError`."""
    task_id, status = as_task_id(body["id"]), body["status"]
    if not isinstance(status, str) or status not in RUNNING | FAILED | {SUCCEEDED}:
        raise UnknownDialectError("expected a prediction's status")
    takes = _takes(body.get("output"))  # whatever the status: a malformed address is refused in each
    if status in RUNNING:
        return News(DIALECT, Stage.TEXT, task_id)
    if status in FAILED:
        return News(DIALECT, Stage.ERROR, task_id, error_code=status, error_message=as_text(body.get("error")))
    if not takes:
        return News(DIALECT, Stage.ERROR, task_id, error_code=NO_AUDIO)
    return News(DIALECT, Stage.COMPLETE, task_id, takes=takes)


def _takes(output: object) -> tuple[Take, ...]:
    """One address or a list of them, each once."""
    named = output if isinstance(output, list) else [output]
    urls = dict.fromkeys(as_url(each) for each in named[:TAKES_LIMIT])
    return tuple(Take(url, None) for url in urls if url is not None)
