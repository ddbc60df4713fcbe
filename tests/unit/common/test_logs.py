"""Owns the claims about log lines: one JSON object each, whoever writes, and nothing personal or secret in it."""

import json
import logging
import warnings
from typing import Any

import asyncpg
import orjson
import pytest
import structlog
from pydantic import BaseModel, ValidationError

from libs.common import logs
from libs.common.log_events import LogEvent

MARKER = "MARKER-5f3a"


@pytest.fixture(autouse=True)
def _configured(restored_logs: None) -> None:  # noqa: ARG001 - what is restored afterwards
    logs.configure("callback", "info", "1.2", "canary")


def _lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    captured = capsys.readouterr()
    assert captured.err == ""
    return [json.loads(line) for line in captured.out.splitlines()]


def test_a_line_has_service_version_track_event_and_bound_context(capsys: pytest.CaptureFixture[str]) -> None:
    structlog.contextvars.bind_contextvars(run_id="r1")
    logs.get_logger().info(LogEvent.SERVICE_STARTED, port=8000)
    (line,) = _lines(capsys)
    assert line.pop("at").endswith("+00:00")
    assert line == {
        "level": "info", "event": "service_started", "service": "callback", "version": "1.2", "track": "canary",
        "run_id": "r1", "port": 8000,
    }  # fmt: skip


def test_lines_below_the_level_are_not_written(capsys: pytest.CaptureFixture[str]) -> None:
    logs.get_logger().debug(LogEvent.SERVICE_STARTED)
    logging.getLogger("anything").debug("x")
    assert _lines(capsys) == []


def test_a_library_writes_the_same_kind_of_line(capsys: pytest.CaptureFixture[str]) -> None:
    structlog.contextvars.bind_contextvars(run_id="r1")
    logging.getLogger("aiokafka.consumer").warning("rebalance of %s\nsecond line", "group")
    (line,) = _lines(capsys)
    assert (line["event"], line["logger"], line["message"]) == ("library", "aiokafka.consumer", "rebalance of group")
    assert (line["service"], line["level"], line["run_id"]) == ("callback", "warning", "r1")


def test_the_access_log_and_chatter_of_libraries_are_silent(capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("uvicorn.access", "uvicorn.error", "faststream", "faststream.access.kafka", "aiokafka", "httpx"):
        logging.getLogger(name).info("GET /callback?token=%s", MARKER)
    logging.getLogger("uvicorn.access").error(MARKER)
    assert _lines(capsys) == []


def test_a_warning_becomes_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logs.configure("callback", "info", "1.2", "canary")
        logging.captureWarnings(capture=True)
        warnings.warn("old", DeprecationWarning, stacklevel=1)
    assert _lines(capsys)[0]["logger"] == "py.warnings"


@pytest.mark.parametrize(
    "key",
    ["token", "callback_token", "callbackToken", "Authorization", "emotion", "emotionState", "emotion_state", "suds",
     "suds_start", "sudsMid", "text", "prompt", "brief", "title", "apikey", "X-API-Key", "password", "client_secret",
     "lines", "cookie", "Set-Cookie", "signature", "query_string", "body", "payload"],
)  # fmt: skip
def test_forbidden_keys_are_dropped_at_any_depth(key: str, capsys: pytest.CaptureFixture[str]) -> None:
    logs.get_logger().info(LogEvent.SERVICE_STARTED, **{key: MARKER, "inner": [{"deep": {key: MARKER, "kept": 1}}]})
    (line,) = _lines(capsys)
    assert MARKER not in json.dumps(line)
    assert line["inner"] == [{"deep": {"kept": 1}}]


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        (f"https://a.example/callback?segment=1&token={MARKER}", "https://a.example/callback"),
        (f"GET /callback?token={MARKER} HTTP/1.1", "GET /callback HTTP/1.1"),
        (f"/media/parcours-tracks/runs/a/b.mp3?token=k1.1.{MARKER}", "/media/parcours-tracks/runs/a/b.mp3"),
        (f"postgresql://user:{MARKER}@db/x", "postgresql://db/x"),
        (f"failed: Bearer {MARKER}", "failed: Bearer [cut]"),
        (f"eyJhbGciOiJIUzI1NiJ9.eyJzdWIi{MARKER}.sig", "[jwt]"),
        (f"token={MARKER}, api_key: {MARKER}", "token=[cut] api_key: [cut]"),
        ("why? because of /this", "why? because of /this"),
    ],
)
def test_secrets_inside_values_are_cut(value: str, kept: str, capsys: pytest.CaptureFixture[str]) -> None:
    logs.get_logger().warning(LogEvent.SERVICE_STARTED, note=value, several=[value])
    logging.getLogger("library").warning(value)
    first, second = _lines(capsys)
    assert first["note"] == first["several"][0] == second["message"] == kept


def test_a_long_value_is_cut(capsys: pytest.CaptureFixture[str]) -> None:
    logs.get_logger().info(LogEvent.SERVICE_STARTED, note="x" * 10_000)
    assert len(_lines(capsys)[0]["note"]) == 501


def test_values_json_does_not_know_are_written_as_text(capsys: pytest.CaptureFixture[str]) -> None:
    logs.get_logger().info(LogEvent.SERVICE_STARTED, host=object, ids={b"x"}, ratio=float("nan"))
    assert _lines(capsys)[0]["ids"] == ["b'x'"]


class _Input(BaseModel):
    suds: int


def _pydantic_error() -> ValidationError:
    with pytest.raises(ValidationError) as refused:
        _Input.model_validate({"suds": MARKER})
    return refused.value


def _postgres_error() -> Exception:
    error = asyncpg.UniqueViolationError("duplicate key value")
    error.detail = f"Failing row contains ({MARKER})."
    return error


@pytest.mark.parametrize(
    "error",
    [
        _pydantic_error(),
        _postgres_error(),
        ValueError(f"invalid input '{MARKER}' and \"{MARKER}\"\nDETAIL: {MARKER}"),
        KeyError(MARKER),
        ConnectionError(f"https://a.example/x?token={MARKER}"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_is_described_without_what_it_quotes(error: Exception, capsys: pytest.CaptureFixture[str]) -> None:
    def fail() -> None:
        raise error

    try:
        fail()
    except Exception:
        logs.get_logger().exception(LogEvent.UNHANDLED_ERROR)
        logging.getLogger("library").exception("failed")
    for line in _lines(capsys):
        assert MARKER not in json.dumps(line)
        assert line["error"]["type"] == type(error).__name__
        assert any("test_logs.py" in frame for frame in line["error"]["frames"])


def test_an_errors_cause_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    failure = RuntimeError("outer")
    failure.__cause__ = KeyError(MARKER)
    logs.get_logger().error(LogEvent.UNHANDLED_ERROR, exc_info=failure)
    described = _lines(capsys)[0]["error"]
    assert described == {"type": "RuntimeError", "message": "outer", "frames": [], "cause": "KeyError"}


def test_a_logger_made_before_the_configuration_follows_it(capsys: pytest.CaptureFixture[str]) -> None:
    logger = logs.get_logger()
    logger.info(LogEvent.SERVICE_STARTED)
    logs.configure("archiver", "error", "1.2", "canary")
    logger.info(LogEvent.SERVICE_STARTED)
    assert [line["service"] for line in _lines(capsys)] == ["callback"]


def test_each_line_is_one_json_object_even_with_newlines_inside(capsys: pytest.CaptureFixture[str]) -> None:
    logs.get_logger().info(LogEvent.SERVICE_STARTED, note="a\nb")
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    assert orjson.loads(out)["note"] == "a\nb"
