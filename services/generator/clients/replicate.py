"""The dialect of Replicate (providers.md §3): predictions, whose object is reply, look-up and webhook alike."""

import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote
from uuid import UUID

import orjson

from services.generator.clients.dialect import Access, Ask, Call, Reply, Task, bearer
from services.generator.domain.answers import Accepted, Answer, Finding, Refused, is_task_id, retry_after_seconds
from services.generator.domain.model_forms import model_form
from services.generator.domain.reading import mapping, text, texts
from services.generator.domain.request import SegmentBrief, callback_url

FORMS: Final = "replicate_models"
EVENTS: Final = ("start", "output", "completed")
_RUNNING: Final = frozenset({"starting", "processing"})
_ENDED: Final = frozenset({"failed", "canceled", "aborted"})
_RESETS: Final = re.compile(r"resets in ~?(\d{1,4})\s?s")
_TOLD: Final = (
    "id",
    "model",
    "version",
    "status",
    "output",
    "error",
    "data_removed",
    "metrics",
    "created_at",
    "started_at",
    "completed_at",
)
"""What of a prediction its news repeats: neither the input nor the webhook's address, which holds the token."""
_OK, _MULTIPLE_CHOICES = 200, 300


class Replicate:
    """api.replicate.com: official models by their name, without a version."""

    def submission(self, access: Access, brief: SegmentBrief, token: UUID) -> Call:
        body = {
            "input": model_form(FORMS, access.model).fill(brief.plan),
            "webhook": callback_url(access.callback_base, brief.segment_id, token),
            "webhook_events_filter": EVENTS,
        }
        url = f"{access.base_url}/models/{access.model}/predictions"
        return Call("POST", url, bearer(access), orjson.dumps(body))

    def read_submission(self, access: Access, reply: Reply) -> Answer:
        """Any 2xx is a created prediction: 201 and 202 differ in the wait alone."""
        table, body = access.provider.verdicts, mapping(reply.body)
        if not _OK <= reply.status < _MULTIPLE_CHOICES:
            wait = _wait(reply)
            return Refused(table.judge("http", reply.status), replied=True, retry_after_seconds=wait)
        if not is_task_id(body.get("id")):
            return Refused(table.judge("transport", "no_task_id"), replied=True)
        return Accepted(body["id"])

    def price(self, access: Access, plan: Mapping[str, Any]) -> float | None:
        return model_form(FORMS, access.model).cost(plan)

    async def look_up(self, access: Access, task: Task, ask: Ask) -> Finding:
        url = f"{access.base_url}/predictions/{quote(task.id, safe='')}"
        reply = await ask(Call("GET", url, bearer(access)))
        return Finding("unknown") if reply is None or reply.status != _OK else read_prediction(reply.body)

    def credit(self, _access: Access) -> Call | None:
        return None  # there is no such question

    def read_credit(self, _reply: Reply) -> float | None:
        return None

    def keys(self, access: Access) -> Call | None:
        return Call("GET", f"{access.base_url}/webhooks/default/secret", bearer(access))

    def read_keys(self, reply: Reply) -> Mapping[str, str] | None:
        secret = text(mapping(reply.body).get("key"))
        usable = re.fullmatch(r"whsec_[A-Za-z0-9+/]{16,200}={0,2}", secret)
        return {"default": secret} if reply.status == _OK and usable else None


def read_prediction(body: object) -> Finding:
    """Read a prediction. Output counts once it has succeeded; emptied after an hour, it is an end without music."""
    prediction = mapping(body)
    status = prediction.get("status")
    news: Mapping[str, Any] = {name: prediction[name] for name in _TOLD if name in prediction}
    if status in _RUNNING:
        return Finding("running")
    if status == "succeeded":
        takes = tuple({"url": url, "duration": None} for url in texts(prediction.get("output")))
        return Finding("success", takes, "complete", news) if takes else Finding("failed", (), "error", news)
    if status in _ENDED:
        return Finding("failed", (), "error", news)
    return Finding("unknown")


def _wait(reply: Reply) -> float | None:
    """Retry-After, or what the text of a 429 says: "Your rate limit resets in ~30s."."""
    told = _RESETS.search(text(mapping(reply.body).get("detail")))
    return retry_after_seconds(reply.headers.get("retry-after")) or (float(told.group(1)) if told else None)
