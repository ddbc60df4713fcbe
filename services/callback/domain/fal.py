"""Understands fal's webhook (`providers.md` §2): a request that ended, with the model's answer or its error."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from services.callback.domain.addresses import as_url
from services.callback.domain.news import (
    NO_AUDIO,
    PROVIDER_ERROR,
    News,
    Stage,
    Take,
    UnknownDialectError,
    as_mapping,
    as_task_id,
    as_text,
)

DIALECT: Final = "fal"
PLACES: Final = ("audio", "audio_file", "audios")  # where the models of `providers.md` §2 put what they made
TAKES_LIMIT: Final = 8

_STATUS: Final = re.compile(r"\b([1-5][0-9]{2})\b")


def speaks(body: Mapping[str, Any]) -> bool:
    return "request_id" in body and "status" in body


def parse(body: Mapping[str, Any]) -> News:
    """Understand the body or raise `UnknownDialectError`.

    `OK` without a payload claims a result that could not be sent along: no more is known than that it waits there.
    """
    task_id = as_task_id(body["request_id"])
    status, payload = body["status"], body.get("payload")
    if status == "ERROR":
        return _failed(body, task_id)
    if status != "OK":
        raise UnknownDialectError("expected status OK or ERROR")
    if payload is None:
        return News(DIALECT, Stage.TEXT, task_id, waiting=True)
    takes = tuple(_takes(as_mapping(payload, "payload")))[:TAKES_LIMIT]
    if not takes:
        return News(DIALECT, Stage.ERROR, task_id, error_code=NO_AUDIO)
    return News(DIALECT, Stage.COMPLETE, task_id, takes=takes)


def _takes(payload: Mapping[str, Any]) -> Iterator[Take]:
    """Each file once, whether it is an object or a bare address, alone or in a list."""
    named = (each for place in PLACES for each in _listed(payload.get(place)))
    urls = (as_url(each.get("url") if isinstance(each, dict) else each) for each in named)
    return (Take(url, None) for url in dict.fromkeys(urls) if url is not None)


def _listed(value: object) -> list[object]:
    return value if isinstance(value, list) else [value]


def _failed(body: Mapping[str, Any], task_id: str | None) -> News:
    """The model's own status is the code: `Invalid status code: 422`."""
    message = as_text(body.get("error"))
    found = _STATUS.search(message or "")
    code = found[1] if found else PROVIDER_ERROR
    return News(DIALECT, Stage.ERROR, task_id, error_code=code, error_message=message)
