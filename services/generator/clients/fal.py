"""The dialect of fal (providers.md §2): a queue; no FAILED state, the result call answers with the model's error."""

import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlencode, urlsplit
from uuid import UUID

import orjson

from services.generator.clients.dialect import JSON_TYPE, Access, Ask, Call, Reply, Task
from services.generator.domain.answers import Accepted, Answer, Finding, Refused, is_task_id, retry_after_seconds
from services.generator.domain.model_forms import model_form
from services.generator.domain.reading import listing, mapping, text
from services.generator.domain.request import SegmentBrief, callback_url

FORMS: Final = "fal_models"
_LOCKED: Final = re.compile(r"locked|balance", re.IGNORECASE)
_ERROR_TYPE: Final = re.compile(r"[a-z][a-z_]{0,59}")
_STATUS: Final = re.compile(r"\b[45]\d\d\b")
_RUNNING: Final = frozenset({"IN_QUEUE", "IN_PROGRESS"})
_NO_VERDICT: Final = frozenset({401, 403, 408, 429})  # say nothing of the task: our key, our pace
_PLACES: Final = ("audio", "audio_file", "audios")  # where the models' audio stands, whichever was asked
_PAYLOAD_LIMIT: Final = 60 * 1024  # bytes; the callback hears 64 KiB
_OK, _MULTIPLE_CHOICES, _CLIENT_ERROR, _SERVER_ERROR = 200, 300, 400, 500


class Fal:
    """queue.fal.run: the model's input is the whole body, the webhook's address a parameter of ours."""

    def submission(self, access: Access, brief: SegmentBrief, token: UUID) -> Call:
        webhook = urlencode({"fal_webhook": callback_url(access.callback_base, brief.segment_id, token)})
        body = model_form(FORMS, access.model).fill(brief.plan)
        url = f"{access.base_url}/{access.model}?{webhook}"
        return Call("POST", url, _key(access), orjson.dumps(body))

    def read_submission(self, access: Access, reply: Reply) -> Answer:
        table, body = access.provider.verdicts, mapping(reply.body)
        if not _OK <= reply.status < _MULTIPLE_CHOICES:
            retry_after = retry_after_seconds(reply.headers.get("retry-after"))
            return Refused(table.judge("http", refusal_code(reply)), replied=True, retry_after_seconds=retry_after)
        if not is_task_id(body.get("request_id")):
            return Refused(table.judge("transport", "no_task_id"), replied=True)
        named = {name: text(body.get(name)) for name in ("status_url", "response_url")}
        return Accepted(body["request_id"], {name: url for name, url in named.items() if _is_at_home(url, access)})

    def price(self, access: Access, plan: Mapping[str, Any]) -> float | None:
        return model_form(FORMS, access.model).cost(plan)

    async def look_up(self, access: Access, task: Task, ask: Ask) -> Finding:
        """The status, and once it is COMPLETED the result, by the addresses that the submission's reply gave."""
        status = await ask(Call("GET", _address(access, task, "status_url", "/status"), _key(access)))
        state = mapping(status.body) if status is not None else {}
        if state.get("status") in _RUNNING:
            return Finding("running")
        if state.get("status") != "COMPLETED":
            return Finding("unknown")
        result = await ask(Call("GET", _address(access, task, "response_url", ""), _key(access)))
        return Finding("unknown") if result is None else read_result(task.id, state, result, access.model)

    def credit(self, _access: Access) -> Call | None:
        return None  # only an ADMIN key may read the balance, and ours need not be one

    def read_credit(self, _reply: Reply) -> float | None:
        return None

    def keys(self, access: Access) -> Call | None:
        return Call("GET", access.keys_url, {})

    def read_keys(self, reply: Reply) -> Mapping[str, str] | None:
        """The Ed25519 keys of a JWKS; there is no `kid` to choose by, so all are kept and tried."""
        if reply.status != _OK:
            return None
        keys = [mapping(each) for each in listing(mapping(reply.body).get("keys"))]
        usable = [each for each in keys if each.get("kty") == "OKP" and each.get("crv") == "Ed25519" and _is_x(each)]
        public = ({name: each[name] for name in ("kty", "crv", "x", "kid") if name in each} for each in usable)
        return {str(each.get("kid") or each["x"]): orjson.dumps(each).decode() for each in public} or None


def refusal_code(reply: Reply) -> str:
    """The HTTP status, refined where the body or a header tells two meanings of it apart: `403_locked`, `504_user`."""
    body, status = mapping(reply.body), reply.status
    if status == 403 and _LOCKED.search(text(body.get("detail"))):  # noqa: PLR2004 - an account lock, not a scope
        return "403_locked"
    if reply.headers.get("x-fal-request-timeout-type", "").lower() == "user":
        return f"{status}_user"
    error_type = text(body.get("error_type")) or reply.headers.get("x-fal-error-type", "")
    if status >= _SERVER_ERROR and _ERROR_TYPE.fullmatch(error_type):
        return f"{status}_{error_type}"
    return str(status)


def read_result(task_id: str, state: Mapping[str, Any], result: Reply, model: str) -> Finding:
    """The result of a COMPLETED request, which may be the model's error; as finding and as fal's own webhook."""
    if result.status == _OK and (body := mapping(result.body)):
        form = model_form(FORMS, model)
        takes = tuple({"url": url, "duration": None} for url in form.audio(body))
        news = _webhook(task_id, {"status": "OK", "payload": _portable(body)})
        return Finding("success", takes, "complete", news) if takes else Finding("failed", (), "error", news)
    told = text(state.get("error"))
    theirs = _CLIENT_ERROR <= result.status < _SERVER_ERROR and result.status not in _NO_VERDICT
    if not theirs and not told:
        return Finding("unknown")
    found = _STATUS.search(told)
    code = result.status if theirs or found is None else int(found.group())
    error = {"status": "ERROR", "error": f"Invalid status code: {code}", "payload": {"detail": _detail(result.body)}}
    return Finding("failed", (), "error", _webhook(task_id, error))


def _portable(body: Mapping[str, Any]) -> Mapping[str, Any]:
    """The result; its audio alone where the whole is more than the callback takes: so it was for the webhook."""
    if len(orjson.dumps(body)) <= _PAYLOAD_LIMIT:
        return body
    return {name: body[name] for name in _PLACES if name in body}


def _webhook(task_id: str, content: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"request_id": task_id, "gateway_request_id": task_id, **content}


def _detail(body: object) -> object:
    """The model's reason: a list of places or, at some apps, a text. What was asked is not repeated."""
    detail = mapping(body).get("detail")
    if isinstance(detail, list):
        return [{name: mapping(each).get(name) for name in ("loc", "msg", "type")} for each in detail[:20]]
    return text(detail)[:500]


def _key(access: Access) -> dict[str, str]:
    return {"authorization": f"Key {access.key}", **JSON_TYPE}


def _address(access: Access, task: Task, name: str, ending: str) -> str:
    """What the reply named; else (its reply was lost, a webhook told the id) as fal's own client builds it."""
    named = text(task.facts.get(name))
    if _is_at_home(named, access):
        return named
    owner, app = access.model.split("/")[:2]  # a subpath is no part of these addresses
    return f"{access.base_url}/{owner}/{app}/requests/{task.id}{ending}"


def _is_at_home(url: str, access: Access) -> bool:
    """Whether the address is on the configured origin: the key goes nowhere else."""
    try:
        parts, home = urlsplit(url), urlsplit(access.base_url)
        same = (parts.scheme, parts.hostname, parts.port) == (home.scheme, home.hostname, home.port)
    except ValueError:
        return False
    return bool(url) and same and "@" not in parts.netloc


def _is_x(key: Mapping[str, Any]) -> bool:
    return bool(re.fullmatch(r"[A-Za-z0-9_-]{43}", text(key.get("x"))))  # 32 bytes
