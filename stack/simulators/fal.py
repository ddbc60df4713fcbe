"""A stand-in for fal's queue (providers.md §2): submit, status, result, webhooks signed by Ed25519, a JWKS."""

import base64
import contextlib
import hashlib
import math
import re
from collections.abc import AsyncIterator, Mapping
from typing import Any, ClassVar, Final
from uuid import uuid4

import httpx
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from stack.simulators.jobs import serving as web
from stack.simulators.jobs.faults import SHARED
from stack.simulators.jobs.job import Job
from stack.simulators.jobs.settings import Settings
from stack.simulators.jobs.works import Works, seconds_asked, segment_of

LOCKED: Final = "User is locked. Reason: Exhausted balance. Top up your balance at fal.ai/dashboard/billing."
MISSING: Final = [{"loc": ["body", "prompt"], "msg": "field required", "type": "value_error.missing"}]
_MODEL: Final = re.compile(r"[a-z0-9][\w.-]*/[a-z0-9][\w.-]*(/[\w.-]+)*")
_AUDIO_FILE: Final = frozenset({"fal-ai/stable-audio"})  # answers in `audio_file`
_LISTS: Final = frozenset({"sonauto/v2/text-to-music"})  # answers in a list
_WAV: Final = frozenset({"fal-ai/lyria2"})


class Fal(Works):
    """The queue; `signers[-1]` signs, and the JWKS shows all of them without a `kid`."""

    kinds: ClassVar[Mapping[str, Mapping[str, object]]] = {
        **SHARED,
        "fail": {"status": 422, "detail": MISSING, "refund": False},  # COMPLETED; the result call has this answer
        "error_in_status": {"error": "Worker died", "error_type": "runner_disconnected"},  # … and the result call 503
        "payload_null": {},  # the webhook cannot carry the result
        "result_gone": {},  # 404, as an hour later
        "submit_foreign_urls": {},  # the reply names addresses on another host
    }

    def __init__(self, settings: Settings, http: httpx.AsyncClient, signers: tuple[Ed25519PrivateKey, ...]) -> None:
        super().__init__(settings, http)
        self.signers = signers

    def told_at(self) -> tuple[str, ...]:
        return ("done",)

    def word(self, job: Job) -> str:
        return {"queued": "IN_QUEUE", "running": "IN_PROGRESS"}.get(job.state, "COMPLETED")

    def end(self, job: Job) -> None:
        fault = self.faults.first(job, "fail", "error_in_status")
        if fault is None:
            return
        job.ending = str(fault["status"]) if fault.name == "fail" else "503"
        job.input["_detail"] = fault["detail"] if fault.name == "fail" else fault["error"]
        job.input["_error_type"] = None if fault.name == "fail" else fault["error_type"]
        if fault.name == "error_in_status" or fault["refund"]:
            job.refunded = job.charged  # an error of theirs is not billed

    def price(self, seconds: float) -> float:
        return round(0.6 * math.ceil(seconds / 60), 4)  # minutes begun count whole

    def result(self, job: Job) -> dict[str, Any]:
        ending = ".wav" if job.model in _WAV else ".mp3"
        audio = {
            "url": f"{self.origin}/files/{job.id}/music{ending}",
            "content_type": "audio/wav" if ending == ".wav" else "audio/mpeg",
            "file_name": f"music{ending}",
            "file_size": self.sound.cut(job.seconds).size,
        }
        if job.model in _LISTS:
            return {"audio": [audio], "seed": 7}
        return {"audio_file": audio} if job.model in _AUDIO_FILE else {"audio": audio}

    def news(self, job: Job, stage: str) -> Mapping[str, Any]:
        del stage
        told: dict[str, Any] = {"request_id": job.id, "gateway_request_id": job.id}
        if job.ending:
            detail = {"detail": job.input["_detail"]}
            return told | {"status": "ERROR", "error": f"Invalid status code: {job.ending}", "payload": detail}
        if "payload_null" in job.struck or self.faults.first(job, "payload_null"):
            return told | {
                "status": "OK",
                "payload": None,
                "payload_error": "Response payload is not JSON serializable",
            }
        return told | {"status": "OK", "error": None, "payload": self.result(job)}

    def signed(self, job: Job, body: bytes, timestamp: int, *, wrong: bool) -> dict[str, str]:
        key = Ed25519PrivateKey.generate() if wrong else self.signers[-1]
        return sign(key, job.id, f"user-{job.account}", timestamp, body)


def sign(key: Ed25519PrivateKey, request_id: str, user_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """The headers of a webhook (providers.md §0.2)."""
    message = "\n".join((request_id, user_id, str(timestamp), hashlib.sha256(body).hexdigest()))
    return {
        "x-fal-webhook-request-id": request_id,
        "x-fal-webhook-user-id": user_id,
        "x-fal-webhook-timestamp": str(timestamp),
        "x-fal-webhook-signature": key.sign(message.encode()).hex(),
    }


def jwk(key: Ed25519PrivateKey) -> dict[str, str]:
    """Its public half, as the JWKS shows it."""
    raw = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    return {"kty": "OKP", "crv": "Ed25519", "x": base64.urlsafe_b64encode(raw).rstrip(b"=").decode()}


def make_fal(settings: Settings, signers: tuple[Ed25519PrivateKey, ...] = ()) -> tuple[Fal, FastAPI]:
    """The queue and its application; without `signers` two keys are made, of which the second signs."""
    made = signers or (Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate())
    works = Fal(settings, web.http_client(), made)
    app = web.make_app(works)
    doors = _Doors(works)
    app.add_route("/.well-known/jwks.json", doors.jwks, ["GET"])
    app.add_route("/{owner}/{app}/requests/{id}/status", doors.status, ["GET"])
    app.add_route("/{owner}/{app}/requests/{id}/cancel", doors.cancel, ["PUT"])
    app.add_route("/{owner}/{app}/requests/{id}", doors.result, ["GET"])
    app.add_route("/{model:path}", doors.submit, ["POST"])
    return works, app


@contextlib.asynccontextmanager
async def serving(settings: Settings, port: int = 0, signers: tuple[Ed25519PrivateKey, ...] = ()) -> AsyncIterator[Fal]:
    """Serve it in this process."""
    works, app = make_fal(settings, signers)
    async with web.serving(works, app, port) as served:
        yield served


class _Doors:
    """One method an endpoint."""

    def __init__(self, works: Fal) -> None:
        self._works = works

    async def submit(self, request: Request) -> Response:
        works, model = self._works, request.path_params["model"]
        key = self._key(request)
        if key is None:
            return _refused(works, 401, "Authentication is required to access this application.")
        wish, webhook = await web.decoded(request), request.query_params.get("fal_webhook", "")
        if not _MODEL.fullmatch(model):
            return _refused(works, 404, f"Application {model} not found")
        if not isinstance(wish, dict) or not (wish.get("prompt") or wish.get("tags")):
            return _refused(works, 422, MISSING)
        probe = _probe(key, model, wish, webhook)
        return await web.submit(works, probe, lambda: self._accept(key, model, wish, webhook), self._reply)

    def _accept(self, key: str, model: str, wish: dict[str, Any], webhook: str) -> Job:
        seconds = seconds_asked(wish, 30.0)
        return self._works.accept(
            job_id=str(uuid4()), key=key, model=model, wish=dict(wish), webhook=webhook, seconds=seconds
        )

    def _reply(self, job: Job) -> Response:
        """The addresses name owner and app alone: a subpath is dropped."""
        origin = "https://queue.elsewhere.example" if "submit_foreign_urls" in job.struck else self._works.origin
        home = f"{origin}/{'/'.join(job.model.split('/')[:2])}/requests/{job.id}"
        body = {"status": "IN_QUEUE", "request_id": job.id, "queue_position": 0}
        urls = {"response_url": home, "status_url": f"{home}/status", "cancel_url": f"{home}/cancel"}
        return JSONResponse(body | urls, 200, {"x-fal-request-id": job.id})

    async def status(self, request: Request) -> Response:
        job = self._asked(request)
        if isinstance(job, Response):
            return job
        word = self._works.word(job)
        body: dict[str, Any] = {"status": word, "request_id": job.id, "logs": None}
        if word == "IN_QUEUE":
            body["queue_position"] = 0
        if word == "COMPLETED":
            body["metrics"] = {"inference_time": self._works.settings.done_after}
        if job.ending and job.input["_error_type"]:
            body |= {"error": job.input["_detail"], "error_type": job.input["_error_type"]}
        return JSONResponse(body, 200 if word == "COMPLETED" else 202)

    async def result(self, request: Request) -> Response:
        job = self._asked(request)
        if isinstance(job, Response):
            return job
        works = self._works
        if works.word(job) != "COMPLETED":
            return JSONResponse({"detail": "Request is still in progress", "status": works.word(job)}, 400)
        if works.faults.first(job, "result_gone"):
            return JSONResponse({"detail": "Request not found"}, 404)
        if job.ending:
            return JSONResponse({"detail": job.input["_detail"]}, int(job.ending))
        return JSONResponse(works.result(job))

    async def cancel(self, request: Request) -> Response:
        job = self._asked(request)
        if isinstance(job, Response):
            return job
        done = self._works.word(job) == "COMPLETED"
        return JSONResponse({"status": "ALREADY_COMPLETED" if done else "CANCELLATION_REQUESTED"}, 400 if done else 202)

    async def jwks(self, request: Request) -> Response:
        del request
        fault = self._works.faults.first(None, "keys_error")
        if fault is not None:
            return JSONResponse(fault["body"] or {"detail": "unavailable"}, fault["status"])
        return JSONResponse({"keys": [jwk(key) for key in self._works.signers]})

    def _asked(self, request: Request) -> Job | Response:
        works = self._works
        works.ledger.polls += 1
        if self._key(request) is None:
            return JSONResponse({"detail": "Authentication is required"}, 401)
        job = works.jobs.get(request.path_params["id"])
        owner = f"{request.path_params['owner']}/{request.path_params['app']}"
        if job is None or not job.model.startswith(owner):
            return JSONResponse({"detail": "Request not found"}, 404)
        job.polls += 1
        fault = works.faults.first(job, "poll_error")
        return JSONResponse({"detail": "unavailable"}, fault["status"]) if fault is not None else job

    def _key(self, request: Request) -> str | None:
        scheme, _, key = request.headers.get("authorization", "").partition(" ")
        known = not self._works.settings.keys or key in self._works.settings.keys
        return key if scheme == "Key" and key and known else None


def _probe(key: str, model: str, wish: dict[str, Any], webhook: str) -> Job:
    account = hashlib.sha256(key.encode()).hexdigest()[:8]
    return Job("", account, model, wish, webhook, segment_of(webhook), 0.0, 0.0, 0.0, 0.0)


def _refused(works: Fal, status: int, detail: object) -> Response:
    works.ledger.refuse(None, status, status)
    return JSONResponse({"detail": detail}, status)
