"""A stand-in for Replicate (providers.md §3): predictions, webhooks signed by HMAC, the secret they are signed with."""

import base64
import contextlib
import hashlib
import hmac
import re
import secrets
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from typing import Any, ClassVar, Final

import httpx
from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from stack.simulators.jobs import serving as web
from stack.simulators.jobs.faults import SHARED
from stack.simulators.jobs.job import Job
from stack.simulators.jobs.settings import Settings
from stack.simulators.jobs.works import Works, seconds_asked, segment_of

THROTTLED: Final = "Request was throttled. Your rate limit resets in ~30s."
_MODEL: Final = re.compile(r"[\w.-]+/[\w.-]+")
_WAV: Final = frozenset({"google/lyria-2"})
_LETTERS: Final = "abcdefghijklmnopqrstuvwxyz234567"


class Replicate(Works):
    """Predictions; a webhook tells what a GET would."""

    kinds: ClassVar[Mapping[str, Mapping[str, object]]] = {
        **SHARED,
        "fail": {"status": "failed", "error": "Prediction failed"},  # or canceled, aborted
        "output": {"how": "list"},  # of a prediction that has succeeded: text, list or null
        "processing_with_output": {},  # a GET says `processing` and has the output already
        "data_removed": {},  # as an hour later: a GET has neither input nor output
        "two_signatures": {},  # of which the second matches
    }

    def __init__(self, settings: Settings, http: httpx.AsyncClient, secret: str) -> None:
        super().__init__(settings, http)
        self.secret = secret

    def told_at(self) -> tuple[str, ...]:
        return ("started", "done")

    def word(self, job: Job) -> str:
        return job.ending or {"queued": "starting", "running": "processing"}.get(job.state, "succeeded")

    def end(self, job: Job) -> None:
        fault = self.faults.first(job, "fail")
        if fault is not None:
            job.ending = fault["status"]
            job.input["_error"] = fault["error"]
            job.refunded = job.charged
        output = self.faults.first(job, "output")
        job.input["_how"] = output["how"] if output is not None else "text"

    def price(self, seconds: float) -> float:
        del seconds  # a file costs what it costs
        return 0.2

    def prediction(self, job: Job, *, removed: bool = False) -> dict[str, Any]:
        """The object of replies, look-ups and webhooks."""
        word = self.word(job)
        url = f"{self.origin}/files/{job.id}/output{'.wav' if job.model in _WAV else '.mp3'}"
        shapes = {"text": url, "list": [url], "null": None}
        done = word == "succeeded"
        created = _iso(job.accepted_at)
        return {
            "id": job.id,
            "model": job.model,
            "version": "hidden",
            "status": word,
            "input": {} if removed else {name: value for name, value in job.input.items() if name[0] != "_"},
            "output": shapes[job.input.get("_how", "text")] if done and not removed else None,
            "logs": "",
            "error": job.input.get("_error") if job.ending else None,
            "created_at": created,
            "started_at": None if job.state == "queued" else created,
            "completed_at": created if job.state in ("done", "failed") else None,
            "data_removed": removed,
            "metrics": {"predict_time": self.settings.done_after} if done else {},
            "urls": {name: f"{self.origin}/v1/predictions/{job.id}{end}" for name, end in _URLS.items()},
        }

    def news(self, job: Job, stage: str) -> Mapping[str, Any]:
        del stage
        return self.prediction(job)

    def signed(self, job: Job, body: bytes, timestamp: int, *, wrong: bool) -> dict[str, str]:
        """The message's id is the same over its retries: one of a job and its state."""
        message_id = f"msg_{job.id}_{self.word(job)}"
        headers = sign(_secret() if wrong else self.secret, message_id, timestamp, body)
        if self.faults.first(job, "two_signatures"):
            other = sign(_secret(), message_id, timestamp, body)["webhook-signature"]
            headers["webhook-signature"] = f"{other} {headers['webhook-signature']}"
        return headers


_URLS: Final = {"get": "", "cancel": "/cancel"}


def sign(secret: str, message_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """The headers of a webhook (providers.md §0.2)."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signed = f"{message_id}.{timestamp}.".encode() + body
    digest = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    return {"webhook-id": message_id, "webhook-timestamp": str(timestamp), "webhook-signature": f"v1,{digest}"}


def make_replicate(settings: Settings, secret: str = "") -> tuple[Replicate, FastAPI]:
    """The stand-in and its application; without a `secret` one is made."""
    works = Replicate(settings, web.http_client(), secret or _secret())
    app = web.make_app(works)
    doors = _Doors(works)
    app.add_route("/v1/models/{owner}/{name}/predictions", doors.submit, ["POST"])
    app.add_route("/v1/predictions/{id}", doors.look, ["GET"])
    app.add_route("/v1/predictions/{id}/cancel", doors.cancel, ["POST"])
    app.add_route("/v1/webhooks/default/secret", doors.key, ["GET"])
    return works, app


@contextlib.asynccontextmanager
async def serving(settings: Settings, port: int = 0, secret: str = "") -> AsyncIterator[Replicate]:
    """Serve it in this process."""
    works, app = make_replicate(settings, secret)
    async with web.serving(works, app, port) as served:
        yield served


class _Doors:
    """One method an endpoint."""

    def __init__(self, works: Replicate) -> None:
        self._works = works

    async def submit(self, request: Request) -> Response:
        works = self._works
        model = f"{request.path_params['owner']}/{request.path_params['name']}"
        key = self._key(request)
        if key is None:
            return _refused(works, 401, "Unauthenticated", "You did not pass a valid authentication token")
        body = await web.decoded(request)
        wish = body.get("input") if isinstance(body, dict) else None
        if not isinstance(wish, dict) or not wish.get("prompt"):
            return _refused(works, 422, "Input validation failed", "- input: prompt is required\n")
        if not _MODEL.fullmatch(model):
            return _refused(works, 404, None, "The requested resource could not be found.")
        webhook = str(body.get("webhook") or "")
        account = hashlib.sha256(key.encode()).hexdigest()[:8]
        probe = Job("", account, model, wish, webhook, segment_of(webhook), 0.0, 0.0, 0.0, 0.0)
        return await web.submit(works, probe, lambda: self._accept(key, model, wish, webhook), self._reply)

    def _accept(self, key: str, model: str, wish: dict[str, Any], webhook: str) -> Job:
        made = "".join(secrets.choice(_LETTERS) for _ in range(26))
        seconds = min(seconds_asked(wish, 190.0), 190.0)
        return self._works.accept(job_id=made, key=key, model=model, wish=dict(wish), webhook=webhook, seconds=seconds)

    def _reply(self, job: Job) -> Response:
        return JSONResponse(self._works.prediction(job), 201)

    async def look(self, request: Request) -> Response:
        works = self._works
        job = self._asked(request)
        if isinstance(job, Response):
            return job
        if works.faults.first(job, "processing_with_output"):
            return JSONResponse(works.prediction(job) | {"status": "processing"})
        removed = job.state in ("done", "failed") and works.faults.first(job, "data_removed") is not None
        return JSONResponse(works.prediction(job, removed=removed))

    async def cancel(self, request: Request) -> Response:
        job = self._asked(request)
        if isinstance(job, Response):
            return job
        if job.state in ("queued", "running"):
            job.state, job.ending = "failed", "canceled"
        return JSONResponse(self._works.prediction(job))

    async def key(self, request: Request) -> Response:
        fault = self._works.faults.first(None, "keys_error")
        if self._key(request) is None:
            return _refused(self._works, 401, "Unauthenticated", "You did not pass a valid authentication token")
        if fault is not None:
            return JSONResponse(fault["body"] or {"detail": "unavailable"}, fault["status"])
        return JSONResponse({"key": self._works.secret})

    def _asked(self, request: Request) -> Job | Response:
        works = self._works
        works.ledger.polls += 1
        if self._key(request) is None:
            return JSONResponse({"title": "Unauthenticated", "status": 401}, 401)
        job = works.jobs.get(request.path_params["id"])
        if job is None:
            return JSONResponse({"detail": "The requested resource could not be found.", "status": 404}, 404)
        job.polls += 1
        fault = works.faults.first(job, "poll_error")
        return JSONResponse({"detail": "unavailable"}, fault["status"]) if fault is not None else job

    def _key(self, request: Request) -> str | None:
        scheme, _, key = request.headers.get("authorization", "").partition(" ")
        known = not self._works.settings.keys or key in self._works.settings.keys
        return key if scheme == "Bearer" and key and known else None


def _refused(works: Replicate, status: int, title: str | None, detail: str) -> Response:
    works.ledger.refuse(None, status, status)
    return JSONResponse(({"title": title} if title else {}) | {"detail": detail, "status": status}, status)


def _secret() -> str:
    return "whsec_" + base64.b64encode(secrets.token_bytes(24)).decode()


def _iso(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
