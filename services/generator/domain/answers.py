"""What a provider answered: a submission's reply, and what record-info says of a task, read without trust."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final, Literal

from services.generator.domain.verdicts import Judgement, VerdictTable

ACCEPTED_CODE: Final = 200
_TASK_ID_LIMIT: Final = 200  # characters; an id of ours has 32


@dataclass(frozen=True, slots=True)
class Accepted:
    """The provider has the task and names it."""

    task_id: str


@dataclass(frozen=True, slots=True)
class Refused:
    """Not accepted, or (verdict `ambiguous`) perhaps accepted. `replied`: an answer was read, so the slot goes back."""

    judgement: Judgement
    replied: bool
    retry_after_seconds: float | None = None


Answer = Accepted | Refused


def read_submission(status: int, headers: Mapping[str, str], body: object, table: VerdictTable) -> Answer:
    """Read the reply to a submission; codes in the body count before the status (providers.md §1A)."""
    retry_after = _retry_after(headers.get("retry-after"))
    code = envelope_code(body)
    if code is None:
        return Refused(table.judge("http", status), replied=True, retry_after_seconds=retry_after)
    if code != ACCEPTED_CODE:
        return Refused(table.judge("body", code), replied=True, retry_after_seconds=retry_after)
    task_id = _mapping(_mapping(body).get("data")).get("taskId")
    if isinstance(task_id, str) and 0 < len(task_id) <= _TASK_ID_LIMIT:
        return Accepted(task_id)
    return Refused(table.judge("transport", "no_task_id"), replied=True)


def envelope_code(body: object) -> int | None:
    """The code of the provider's own envelope; `None` when the body is somebody else's (a gateway, a proxy)."""
    code = _mapping(body).get("code")
    return code if isinstance(code, int) and not isinstance(code, bool) else None


Stage = Literal["first", "complete", "error"]
State = Literal["success", "running", "failed", "unknown"]

_RUNNING: Final = frozenset({"PENDING", "TEXT_SUCCESS", "FIRST_SUCCESS"})
_FAILURE_CODES: Final = {  # when the provider gives no errorCode of its own
    "CREATE_TASK_FAILED": 500,
    "GENERATE_AUDIO_FAILED": 501,
    "CALLBACK_EXCEPTION": 501,
    "SENSITIVE_WORD_ERROR": 400,
}


@dataclass(frozen=True, slots=True)
class Finding:
    """What record-info says; `stage` and `news` are the webhook that would say the same, if one would."""

    state: State
    takes: tuple[Mapping[str, Any], ...] = ()
    stage: Stage | None = None
    news: Mapping[str, Any] | None = None


def read_record(body: object, task_id: str) -> Finding:
    """Read record-info. CALLBACK_EXCEPTION is the provider's *delivery* that failed: audio counts before the status."""
    record = _mapping(_mapping(body).get("data"))
    status = record.get("status")
    items = [_mapping(item) for item in _list(_mapping(record.get("response")).get("sunoData"))]
    finished = [item for item in items if _text(item.get("audioUrl"))]
    if finished and status in ("SUCCESS", "CALLBACK_EXCEPTION"):
        return Finding("success", tuple(map(_take, finished)), "complete", _news("complete", task_id, items))
    if status in _RUNNING:
        playable = any(_text(item.get("streamAudioUrl")) or _text(item.get("audioUrl")) for item in items)
        news = _news("first", task_id, items) if playable else None
        return Finding("running", stage="first" if playable else None, news=news)
    if status in _FAILURE_CODES:
        return Finding("failed", stage="error", news=_error_news(task_id, record, _FAILURE_CODES[status]))
    return Finding("unknown")


def _take(item: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"url": item["audioUrl"], "duration": _number(item.get("duration"))}


def _news(stage: Stage, task_id: str, items: list[Mapping[str, Any]]) -> Mapping[str, Any]:
    """The provider's own callback body; its keys are snake_case there and camelCase in record-info."""
    return {
        "code": 200,
        "msg": f"record-info says {stage}",
        "data": {"callbackType": stage, "task_id": task_id, "data": [_webhook_item(item) for item in items]},
    }


def _webhook_item(item: Mapping[str, Any]) -> dict[str, Any]:
    webhook: dict[str, Any] = {
        "id": item.get("id"),
        "audio_url": item.get("audioUrl") or "",
        "stream_audio_url": item.get("streamAudioUrl") or "",
        "image_url": item.get("imageUrl") or "",
        "prompt": item.get("prompt") or "",
        "model_name": item.get("modelName") or "",
        "title": item.get("title") or "",
        "tags": item.get("tags") or "",
        "createTime": item.get("createTime"),
    }
    duration = _number(item.get("duration"))
    return webhook | ({} if duration is None else {"duration": duration})


def _error_news(task_id: str, record: Mapping[str, Any], code: int) -> Mapping[str, Any]:
    given = record.get("errorCode")
    if isinstance(given, int | str) and str(given).isdecimal() and int(given) != ACCEPTED_CODE:
        code = int(given)
    return {
        "code": code,
        "msg": "record-info says failed",
        "data": {"callbackType": "error", "task_id": task_id, "data": None},
    }


def _retry_after(value: str | None) -> float | None:
    """Seconds from a Retry-After header, in either of its forms; `None` when it is absent or nonsense."""
    if not value:
        return None
    if value.strip().isdecimal():
        return float(value)
    try:
        return max(0.0, (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return None


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _text(value: object) -> bool:
    return isinstance(value, str) and value != ""


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) and value >= 0 else None
