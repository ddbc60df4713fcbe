"""Owns the shapes of sunoapi.org (providers.md §1A): envelope, songs, record-info, callbacks, each in its spelling."""

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, Final, Literal

from stack.simulators.suno.rules import Why
from stack.simulators.suno.tasks import FAILED, Task

CODES: Final[dict[Why, int]] = {"invalid": 400, "too_long": 413, "key": 401, "unknown": 404, "wallet": 429, "rate": 430}
TEXTS: Final[dict[Why, str]] = {
    "key": "You do not have access permissions",
    "unknown": "Not Found",
    "wallet": "The current credits are insufficient. Please top up",
    "rate": "Your call frequency is too high. Please try again later.",
}
STATUS_OF: Final = {"text": "TEXT_SUCCESS", "first": "FIRST_SUCCESS", "complete": "SUCCESS"}
_TOLD: Final = {
    "text": "Text generated successfully.",
    "first": "First audio generated successfully.",
    "complete": "All generated successfully.",
}
TAKES: Final = (0, 1)


def envelope(code: int, text: str, content: object = None) -> dict[str, Any]:
    return {"code": code, "msg": text, "data": content}


def items(task: Task, status: str, origin: str) -> list[dict[str, Any]]:
    """The two songs as callbacks spell them: the second of `first` has an empty address and no duration [W]."""
    if status in ("PENDING", "TEXT_SUCCESS") or status in FAILED or not task.with_audio:
        return []
    finished = status in ("SUCCESS", "CALLBACK_EXCEPTION")
    return [item(task, take, origin, ready=finished or take == 0) for take in TAKES]


def item(task: Task, take: int, origin: str, *, ready: bool) -> dict[str, Any]:
    address = f"{origin}/files/{task.task_id}/{take}"
    file = f"{address}.mp3" if ready else ""
    one = {
        "id": item_id(task, take),
        "audio_url": file,
        "source_audio_url": file,
        "stream_audio_url": f"{address}.stream.mp3",
        "source_stream_audio_url": f"{address}.stream.mp3",
        "image_url": "",
        "source_image_url": "",
        "prompt": task.order.lyrics,
        "model_name": "chirp-simulated",
        "title": task.order.title,
        "tags": task.order.style[:100],
        "createTime": int(task.accepted_at * 1000),
    }
    return one | ({"duration": task.seconds} if ready else {})


def item_id(task: Task, take: int) -> str:
    digits = f"{task.task_id[:24]}{take:08x}"
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def with_text_time(songs: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """`createTime` as the documentation shows it."""
    return [
        song | {"createTime": datetime.fromtimestamp(song["createTime"] / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")}
        for song in songs
    ]


def record(task: Task, origin: str) -> dict[str, Any]:
    """The `data` of record-info: camelCase, `param` a JSON text."""
    songs = items(task, task.status, origin)
    if "text_items" in task.faults and task.status == "TEXT_SUCCESS":
        songs = [item(task, take, origin, ready=False) for take in TAKES]
    if "create_time_text" in task.faults:
        songs = with_text_time(songs)
    return {
        "taskId": task.task_id,
        "parentMusicId": "",
        "param": json.dumps(dict(task.order.body), ensure_ascii=False),
        "response": {"taskId": task.task_id, "sunoData": [_camel(song) for song in songs]},
        "status": task.status,
        "type": "GENERATE",
        "operationType": "generate",
        "errorCode": task.error_code,
        "errorMessage": task.error_message,
    }


def callback(task: Task, stage: str, songs: list[dict[str, Any]]) -> dict[str, Any]:
    """A webhook of text, first or complete."""
    return envelope(200, _TOLD[stage], {"callbackType": stage, "task_id": task.task_id, "data": songs})


def error_callback(task: Task, kind: Literal["error", "failed"], content: object) -> dict[str, Any]:
    return envelope(
        task.error_code or 500,
        task.error_message or "Generation failed",
        {"callbackType": kind, "task_id": task.task_id, "data": content},
    )


def _camel(song: dict[str, Any]) -> dict[str, Any]:
    """record-info spells in camelCase what callbacks spell in snake_case."""
    words = {name: name.split("_") for name in song}
    return {first + "".join(word.title() for word in rest): song[name] for name, (first, *rest) in words.items()}
