"""The dialect of kie.ai (providers.md §1B): the older models by its sister's paths, the newer ones as jobs."""

import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote
from uuid import UUID

import orjson

from services.generator.clients.dialect import Access, Ask, Call, Task, bearer
from services.generator.clients.suno import ACCEPTED_CODE, Suno, request_body
from services.generator.domain.answers import Finding
from services.generator.domain.providers import model_limits
from services.generator.domain.reading import listing, mapping, number, text, texts
from services.generator.domain.request import SegmentBrief

JOB_MODEL: Final = "ai-music-api/generate"
_RUNNING: Final = frozenset({"waiting", "queuing", "generating"})
_HUMP: Final = re.compile(r"(?<=[a-z])(?=[A-Z])")


class Kie(Suno):
    """The same envelope and callbacks as its sister; V6 goes through createTask and recordInfo."""

    credit_path = "/api/v1/chat/credit"

    def submission(self, access: Access, brief: SegmentBrief, token: UUID) -> Call:
        if not model_limits(access.model).by_job:
            return super().submission(access, brief, token)
        body = job_body(request_body(access, brief, token))
        return Call("POST", f"{access.base_url}/api/v1/jobs/createTask", bearer(access), orjson.dumps(body))

    async def look_up(self, access: Access, task: Task, ask: Ask) -> Finding:
        if not model_limits(access.model).by_job:
            return await super().look_up(access, task, ask)
        url = f"{access.base_url}/api/v1/jobs/recordInfo?taskId={quote(task.id, safe='')}"
        reply = await ask(Call("GET", url, bearer(access)))
        return read_job(None if reply is None else reply.body)


def job_body(body: Mapping[str, Any]) -> dict[str, Any]:
    """The same wish as a job: snake_case inside `input`, the callback's address outside it."""
    wish = {_HUMP.sub("_", name).lower(): value for name, value in body.items() if name != "callBackUrl"}
    return {"model": JOB_MODEL, "callBackUrl": body["callBackUrl"], "input": wish}


def read_job(body: object) -> Finding:
    """Read recordInfo, whose body is also what a job's webhook says. Success without audio says nothing."""
    record = mapping(mapping(body).get("data"))
    state = record.get("state")
    if state in _RUNNING:
        return Finding("running")
    if state == "fail":
        return Finding("failed", stage="error", news=_news(record))
    takes = tuple(_takes(record.get("resultJson")))
    if state == "success" and takes:
        return Finding("success", takes, "complete", _news(record))
    return Finding("unknown")


def _takes(result: object) -> list[Mapping[str, Any]]:
    """Both readings of `resultJson` that third parties have: `data[].audio_url` and `resultUrls[]`."""
    try:
        content = mapping(orjson.loads(text(result)))
    except orjson.JSONDecodeError:
        return []
    items = [mapping(item) for item in listing(content.get("data"))]
    found = [(text(item.get("audio_url")), number(item.get("duration"))) for item in items]
    found += [(url, None) for url in texts(content.get("resultUrls"))]
    return [{"url": url, "duration": duration} for url, duration in found if url]


def _news(record: Mapping[str, Any]) -> Mapping[str, Any]:
    kept = ("taskId", "model", "state", "resultJson", "failCode", "failMsg", "costTime")
    return {"code": ACCEPTED_CODE, "msg": "success", "data": {name: record.get(name) for name in kept}}
