"""The Suno reseller's webhook (`providers.md` §1A), which composer speaks too."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from services.callback.domain.addresses import as_url
from services.callback.domain.news import (
    NO_AUDIO,
    PROVIDER_ERROR,
    SECONDS_LIMIT,
    STAGES,
    News,
    Stage,
    Take,
    UnknownDialectError,
    as_mapping,
    as_seconds,
    as_task_id,
    as_text,
)

DIALECT: Final = "suno"
SUCCESS: Final = 200
ITEMS_LIMIT: Final = 8  # two are documented
QUIET_LIMIT: Final = 360  # composer names one a chord; ten minutes have 150

_CODE: Final = re.compile(r"[0-9]{1,5}")
_Item = Mapping[str, Any]


def speaks(body: Mapping[str, Any]) -> bool:
    return "code" in body and "data" in body and "stage" not in body


def parse(body: Mapping[str, Any]) -> News:
    """Understand the body or raise `UnknownDialectError`.

    The code decides beside the type, since pages differ on the type of an error and captured errors have no data.
    """
    code = _code(body["code"])
    data = {} if body["data"] is None else as_mapping(body["data"], "data")
    items = _items(data.get("data"))
    stage = _stage(code, data.get("callbackType"))
    files, preview_url = _takes(items), _preview(items)  # whatever the stage: a malformed address is refused in each
    takes = files if stage is Stage.COMPLETE else ()
    if stage is Stage.ERROR or (code != SUCCESS and not takes):
        return _failed(body, data, PROVIDER_ERROR if code == SUCCESS else str(code))
    task_id = _task_id(data)
    if stage is Stage.COMPLETE:
        if not takes:
            return _failed(body, data, NO_AUDIO)
        return News(DIALECT, Stage.COMPLETE, task_id, takes=takes, content=_content(items))
    if stage is Stage.TEXT or preview_url is None:  # without an address a `first` proves no more than acceptance
        return News(DIALECT, Stage.TEXT, task_id)
    return News(DIALECT, Stage.FIRST, task_id, preview_url=preview_url)


def _code(value: object) -> int:
    if isinstance(value, str) and _CODE.fullmatch(value):
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= 99999:  # noqa: PLR2004 - five digits
        raise UnknownDialectError("expected a numeric code")
    return value


def _stage(code: int, callback_type: object) -> Stage:
    stage = STAGES.get(callback_type.lower()) if isinstance(callback_type, str) else None
    if stage is None and code != SUCCESS:
        return Stage.ERROR
    if stage is None:
        raise UnknownDialectError("expected callbackType text, first, complete or error")
    return stage


def _task_id(data: _Item) -> str | None:
    return as_task_id(data.get("task_id", data.get("taskId")))  # pages of some product families write it the other way


def _items(value: object) -> Sequence[_Item]:
    """The songs; `null` and `[]` both mean none, what is no object is left out."""
    if value is None:
        return ()
    if not isinstance(value, list):
        raise UnknownDialectError("expected data.data to be a list or null")
    return tuple(item for item in value[:ITEMS_LIMIT] if isinstance(item, dict))


def _takes(items: Sequence[_Item]) -> tuple[Take, ...]:
    urls = ((as_url(item.get("audio_url")), as_seconds(item.get("duration"))) for item in items)
    return tuple(Take(url, duration) for url, duration in urls if url is not None)


def _preview(items: Sequence[_Item]) -> str | None:
    """The first address that plays: the stream before the file, the first song before the second."""
    named = [as_url(item.get(key)) for item in items for key in ("stream_audio_url", "audio_url")]
    return next((url for url in named if url is not None), None)


def _content(items: Sequence[_Item]) -> tuple[Mapping[str, Any], ...]:
    """What is worth knowing about the songs later. `createTime` comes as a text or as epoch milliseconds."""
    return tuple(_song(item) for item in items if as_url(item.get("audio_url")))


def _song(item: _Item) -> Mapping[str, Any]:
    created = item.get("createTime")
    measures = item.get("measures")
    facts = {
        "id": as_task_id(item.get("id")),
        "title": as_text(item.get("title")),
        "model": as_text(item.get("model_name")),
        "duration": as_seconds(item.get("duration")),
        "engine": as_text(item.get("engine")),  # these three are composer's
        "engine_version": as_text(item.get("engine_version")),
        "quiet_points_ms": _quiet_points(measures.get("quiet_points_ms") if isinstance(measures, dict) else None),
        "created": created if isinstance(created, int) else as_text(created),
    }
    return {key: value for key, value in facts.items() if value is not None}


def _quiet_points(value: object) -> list[int] | None:
    """Times in a song, in ms; `None` when there are none."""
    if not isinstance(value, list):
        return None
    points = [point for point in value if isinstance(point, int) and not isinstance(point, bool)]
    return [point for point in points if 0 <= point <= 1000 * SECONDS_LIMIT][:QUIET_LIMIT] or None


def _failed(body: Mapping[str, Any], data: Mapping[str, Any], code: str) -> News:
    message = as_text(data.get("error")) or as_text(body.get("msg"))
    task_id = _task_id(data)
    return News(DIALECT, Stage.ERROR, task_id, error_code=code, error_message=message)
