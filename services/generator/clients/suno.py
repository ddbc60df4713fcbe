"""The Suno reseller's dialect (providers.md §1A), which composer speaks too: codes in the body, one record per task."""

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote
from uuid import UUID

import orjson

from services.generator.clients.dialect import Access, Ask, Call, Reply, Task, bearer
from services.generator.domain.answers import (
    Accepted,
    Answer,
    Finding,
    Refused,
    Stage,
    is_task_id,
    retry_after_seconds,
)
from services.generator.domain.providers import model_limits
from services.generator.domain.reading import listing, mapping, number, text
from services.generator.domain.request import SegmentBrief, callback_url, compose
from services.generator.domain.verdicts import VerdictTable

ACCEPTED_CODE: Final = 200

_RUNNING: Final = frozenset({"PENDING", "TEXT_SUCCESS", "FIRST_SUCCESS"})
_FAILURE_CODES: Final = {  # when the provider gives no errorCode of its own
    "CREATE_TASK_FAILED": 500,
    "GENERATE_AUDIO_FAILED": 501,
    "CALLBACK_EXCEPTION": 501,
    "SENSITIVE_WORD_ERROR": 400,
}


class Suno:
    """sunoapi.org, both generations of its models."""

    credit_path = "/api/v1/generate/credit"

    def submission(self, access: Access, brief: SegmentBrief, token: UUID) -> Call:
        body = request_body(access, brief, token)
        return Call("POST", f"{access.base_url}/api/v1/generate", bearer(access), orjson.dumps(body))

    def read_submission(self, access: Access, reply: Reply) -> Answer:
        return read_submission(reply.status, reply.headers, reply.body, access.provider.verdicts)

    def price(self, _access: Access, _plan: Mapping[str, Any]) -> float | None:
        return None

    async def look_up(self, access: Access, task: Task, ask: Ask) -> Finding:
        url = f"{access.base_url}/api/v1/generate/record-info?taskId={quote(task.id, safe='')}"
        reply = await ask(Call("GET", url, bearer(access)))
        return read_record(None if reply is None else reply.body, task.id)

    def credit(self, access: Access) -> Call | None:
        return Call("GET", access.base_url + self.credit_path, bearer(access))

    def read_credit(self, reply: Reply) -> float | None:
        return number(mapping(reply.body).get("data")) if envelope_code(reply.body) == ACCEPTED_CODE else None

    def keys(self, _access: Access) -> Call | None:
        return None  # nothing is signed, or by a secret that an operator is given (kie.ai)

    def read_keys(self, _reply: Reply) -> Mapping[str, str] | None:
        return None


def request_body(access: Access, brief: SegmentBrief, token: UUID) -> dict[str, Any]:
    """The body of POST /api/v1/generate for this account's model."""
    return compose(
        brief,
        model=access.model,
        limits=model_limits(access.model),
        extensions=access.provider.extensions,
        callback_url=callback_url(access.callback_base, brief.segment_id, token),
    )


def read_submission(status: int, headers: Mapping[str, str], body: object, table: VerdictTable) -> Answer:
    """Read the reply to a submission; codes in the body count before the status (providers.md §1A)."""
    retry_after = retry_after_seconds(headers.get("retry-after"))
    code = envelope_code(body)
    if code is None:
        return Refused(table.judge("http", status), replied=True, retry_after_seconds=retry_after)
    if code != ACCEPTED_CODE:
        return Refused(table.judge("body", code), replied=True, retry_after_seconds=retry_after)
    task_id = mapping(mapping(body).get("data")).get("taskId")
    if is_task_id(task_id):
        return Accepted(str(task_id))
    return Refused(table.judge("transport", "no_task_id"), replied=True)


def envelope_code(body: object) -> int | None:
    """The code of the provider's own envelope; `None` when the body is somebody else's (a gateway, a proxy)."""
    code = mapping(body).get("code")
    return code if isinstance(code, int) and not isinstance(code, bool) else None


def read_record(body: object, task_id: str) -> Finding:
    """Read record-info. CALLBACK_EXCEPTION is the provider's *delivery* that failed: audio counts before the status."""
    record = mapping(mapping(body).get("data"))
    status = record.get("status")
    items = [mapping(item) for item in listing(mapping(record.get("response")).get("sunoData"))]
    finished = [item for item in items if text(item.get("audioUrl"))]
    if finished and status in ("SUCCESS", "CALLBACK_EXCEPTION"):
        return Finding("success", tuple(map(_take, finished)), "complete", _news("complete", task_id, items))
    if status in _RUNNING:
        playable = any(text(item.get("streamAudioUrl")) or text(item.get("audioUrl")) for item in items)
        news = _news("first", task_id, items) if playable else None
        return Finding("running", stage="first" if playable else None, news=news)
    if status in _FAILURE_CODES:
        return Finding("failed", stage="error", news=_error_news(task_id, record, _FAILURE_CODES[status]))
    return Finding("unknown")


def _take(item: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"url": item["audioUrl"], "duration": number(item.get("duration"))}


def _news(stage: Stage, task_id: str, items: list[Mapping[str, Any]]) -> Mapping[str, Any]:
    """The provider's own callback body; its keys are snake_case there and camelCase in record-info."""
    return {
        "code": ACCEPTED_CODE,
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
    duration = number(item.get("duration"))
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
