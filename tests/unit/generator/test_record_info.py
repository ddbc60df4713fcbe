"""Claims about record-info: which webhook it stands for, and that audio counts before the status."""

from typing import Any

import pytest

from services.generator.clients.suno import read_record
from services.generator.domain.answers import Finding

DONE = {
    "id": "6b1d",
    "audioUrl": "https://f/a.mp3",
    "streamAudioUrl": "https://f/a",
    "title": "Dawn",
    "duration": 182.4,
}
DONE |= {
    "createTime": 1760000000000,
    "modelName": "chirp",
    "tags": "folk",
    "prompt": "",
    "imageUrl": "https://f/a.jpeg",
}
STREAMING = {"id": "7c2e", "audioUrl": "", "streamAudioUrl": "https://f/b"}


def record(status: str, *items: dict[str, Any], **more: Any) -> Finding:
    record_data = {"taskId": "9f", "status": status, "response": {"taskId": "9f", "sunoData": list(items)}, **more}
    return read_record({"code": 200, "msg": "success", "data": record_data}, "9f")


def test_success_stands_for_the_complete_webhook() -> None:
    finding = record("SUCCESS", DONE, DONE)
    assert (finding.state, finding.stage, len(finding.takes)) == ("success", "complete", 2)
    assert finding.takes[0] == {"url": "https://f/a.mp3", "duration": 182.4}
    assert finding.news is not None
    assert finding.news["data"]["callbackType"] == "complete"
    assert finding.news["data"]["task_id"] == "9f"
    assert finding.news["data"]["data"][0] == {
        "id": "6b1d",
        "audio_url": "https://f/a.mp3",
        "stream_audio_url": "https://f/a",
        "image_url": "https://f/a.jpeg",
        "prompt": "",
        "model_name": "chirp",
        "title": "Dawn",
        "tags": "folk",
        "createTime": 1760000000000,
        "duration": 182.4,
    }


def test_a_failed_delivery_with_audio_is_a_success() -> None:
    assert record("CALLBACK_EXCEPTION", DONE).stage == "complete"


def test_a_failed_delivery_without_audio_is_a_failure() -> None:
    assert record("CALLBACK_EXCEPTION", STREAMING).state == "failed"


@pytest.mark.parametrize("status", ["TEXT_SUCCESS", "FIRST_SUCCESS", "PENDING"])
def test_a_running_task_with_a_stream_stands_for_the_first_webhook(status: str) -> None:
    finding = record(status, STREAMING)
    assert (finding.state, finding.stage) == ("running", "first")


def test_a_running_task_without_a_stream_is_no_news() -> None:
    assert record("PENDING") == Finding("running")


@pytest.mark.parametrize(
    ("status", "given", "code"),
    [
        ("GENERATE_AUDIO_FAILED", 531, 531),
        ("GENERATE_AUDIO_FAILED", "501", 501),
        ("GENERATE_AUDIO_FAILED", None, 501),
        ("CREATE_TASK_FAILED", None, 500),
        ("SENSITIVE_WORD_ERROR", None, 400),
        ("GENERATE_AUDIO_FAILED", "odd", 501),
        ("GENERATE_AUDIO_FAILED", 200, 501),
    ],
)
def test_a_failed_task_stands_for_the_error_webhook(status: str, given: object, code: int) -> None:
    finding = record(status, errorCode=given)
    assert finding.state == "failed"
    assert finding.news == {
        "code": code,
        "msg": "record-info says failed",
        "data": {"callbackType": "error", "task_id": "9f", "data": None},
    }


@pytest.mark.parametrize(
    "body", [None, [], "x", {"code": 404, "data": None}, {"data": {"status": "NEW"}}, {"data": {"status": "SUCCESS"}}]
)
def test_anything_else_says_nothing(body: object) -> None:
    assert read_record(body, "9f") == Finding("unknown")
