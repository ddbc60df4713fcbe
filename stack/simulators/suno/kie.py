"""Owns what kie.ai does differently (providers.md §1B): codes, createTask's spelling, its record, its signature."""

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Any, Final

from stack.simulators.suno import wire
from stack.simulators.suno.rules import V6_MODELS, Order, RefusedError, Why, read_order
from stack.simulators.suno.tasks import FAILED, SUCCEEDED, Task

MODEL: Final = "ai-music-api/generate"
CODES: Final[dict[Why, int]] = {"invalid": 422, "too_long": 422, "key": 401, "unknown": 404, "wallet": 402, "rate": 429}
POLLS_PER_SECOND: Final = 3  # of one task
_SPELLING: Final = {  # inside `input`, and what sunoapi.org calls it
    "custom_mode": "customMode",
    "vocal_gender": "vocalGender",
    "negative_tags": "negativeTags",
    "style_weight": "styleWeight",
    "weirdness_constraint": "weirdnessConstraint",
    "audio_weight": "audioWeight",
    "persona_id": "personaId",
    "persona_model": "personaModel",
    "image_urls": "imageUrls",
    "video_urls": "videoUrls",
    "audio_urls": "audioUrls",
}


def read_job(body: object, *, prompt_alone: bool) -> Order:
    """Check a createTask call; raises `RefusedError`."""
    if not isinstance(body, dict):
        raise RefusedError("invalid", "expected a JSON object")
    if body.get("model") != MODEL:
        raise RefusedError("invalid", "The model field is not supported")
    if not body.get("callBackUrl"):
        raise RefusedError("invalid", "Please enter callBackUrl.")
    given = body.get("input")
    if not isinstance(given, dict):
        raise RefusedError("invalid", "input cannot be null")
    camel = next((name for name in given if name in _SPELLING.values()), None)
    if camel:
        raise RefusedError("invalid", f"{camel} is not a field of input")
    same = {_SPELLING.get(name, name): value for name, value in given.items()} | {"callBackUrl": body["callBackUrl"]}
    order = read_order(same, models=V6_MODELS, prompt_alone=prompt_alone)
    return Order(order.model, order.title, order.style, order.lyrics, order.callback_url, order.seconds, body)


def state(task: Task) -> str:
    if task.status in SUCCEEDED:
        return "success"
    if task.status in FAILED:
        return "fail"
    return "waiting" if task.status == "PENDING" else "generating"


def record(task: Task, origin: str, how: str) -> dict[str, Any]:
    """The `data` of recordInfo. `how` names the reading of `resultJson`; it is null until the task succeeded."""
    return {
        "taskId": task.task_id,
        "model": MODEL,
        "state": state(task),
        "param": json.dumps(dict(task.order.body), ensure_ascii=False),
        "resultJson": result_json(task, origin, how) if task.status in SUCCEEDED else None,
        "failCode": str(task.error_code) if task.error_code else None,
        "failMsg": task.error_message,
        "costTime": round(((task.ended or task.began) - task.began) * 1000),
        "completeTime": int(task.ended_at * 1000) if task.ended_at else None,
        "createTime": int(task.accepted_at * 1000),
        "creditsConsumed": task.charged - task.refunded,
    }


def result_json(task: Task, origin: str, how: str) -> object:
    """Two readings exist in third-party code; the others are faults."""
    songs = wire.items(task, "SUCCESS", origin)
    readings: dict[str, object] = {
        "data": json.dumps({"data": songs}),
        "urls": json.dumps({"resultUrls": [song["audio_url"] for song in songs]}),
        "object": {"data": songs},
        "malformed": '{"data":[{"audio_url":',
        "null": None,
    }
    return readings[how]


def callback(task: Task, content: Mapping[str, Any]) -> dict[str, Any]:
    """The webhook of createTask: the record itself, once, at the end."""
    if task.status in SUCCEEDED:
        return wire.envelope(200, "Playground task completed successfully.", content)
    return wire.envelope(501, "Playground task failed.", content)


def signature(key: str, task_id: str, timestamp: int) -> str:
    """base64(HMAC-SHA256(key, taskId + "." + timestamp)); the body is not covered."""
    digest = hmac.new(key.encode(), f"{task_id}.{timestamp}".encode(), hashlib.sha256).digest()
    return base64.b64encode(digest).decode()
