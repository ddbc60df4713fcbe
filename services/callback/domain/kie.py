"""Understands the webhook of kie.ai's newer tasks (`providers.md` §1B); its older ones speak the reseller's dialect."""

import re
from collections.abc import Mapping
from typing import Any, Final

import orjson

from services.callback.domain.addresses import as_url
from services.callback.domain.news import (
    NO_AUDIO,
    PROVIDER_ERROR,
    News,
    Stage,
    Take,
    UnknownDialectError,
    as_mapping,
    as_seconds,
    as_task_id,
    as_text,
)

DIALECT: Final = "kie"
RUNNING: Final = frozenset({"waiting", "queuing", "generating"})
ITEMS_LIMIT: Final = 8

_CODE: Final = re.compile(r"[0-9]{1,5}")


def speaks(body: Mapping[str, Any]) -> bool:
    data = body.get("data")
    return "code" in body and isinstance(data, dict) and "state" in data and "callbackType" not in data


def parse(body: Mapping[str, Any]) -> News:
    """Understand the body or raise `UnknownDialectError`."""
    data = as_mapping(body["data"], "data")
    task_id, state = as_task_id(data.get("taskId", data.get("task_id"))), data["state"]
    takes = _takes(data.get("resultJson"))
    if state == "fail":
        code, message = str(data.get("failCode")), as_text(data.get("failMsg"))
        known = code if _CODE.fullmatch(code) else PROVIDER_ERROR
        return News(DIALECT, Stage.ERROR, task_id, error_code=known, error_message=message)
    if state == "success" and takes:
        return News(DIALECT, Stage.COMPLETE, task_id, takes=takes)
    if state == "success":
        return News(DIALECT, Stage.ERROR, task_id, error_code=NO_AUDIO)
    if not isinstance(state, str) or state not in RUNNING:
        raise UnknownDialectError("expected a task's state")
    return News(DIALECT, Stage.TEXT, task_id)


def _takes(result: object) -> tuple[Take, ...]:
    """The files of a result that is JSON within a text; two readings of it exist, and a broken one names none."""
    found = _decoded(result)
    items, urls = found.get("data"), found.get("resultUrls")
    named: list[object] = [*(items if isinstance(items, list) else ()), *(urls if isinstance(urls, list) else ())]
    takes = [_take(each) for each in named[:ITEMS_LIMIT]]
    return tuple(take for take in takes if take is not None)


def _take(item: object) -> Take | None:
    url = as_url(item.get("audio_url") if isinstance(item, dict) else item)
    return None if url is None else Take(url, as_seconds(item.get("duration")) if isinstance(item, dict) else None)


def _decoded(result: object) -> Mapping[str, Any]:
    if isinstance(result, str):
        try:
            result = orjson.loads(result)
        except orjson.JSONDecodeError:
            return {}
    return result if isinstance(result, dict) else {}
