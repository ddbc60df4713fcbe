"""Owns how a process logs: one JSON line per event on stdout, the libraries' too, without secrets or personal data."""

import logging
import re
import sys
import traceback
from collections.abc import Mapping, MutableMapping
from datetime import UTC, datetime
from typing import Protocol, TextIO, cast

import orjson
import structlog

from libs.common.log_events import LogEvent

# Dropped whatever they hold (architecture.md §7). Compared without case, `_` and `-`: camelCase and headers count too.
FORBIDDEN_KEYS = frozenset(
    {
        *("authorization", "cookie", "dsn", "signature", "signedurl", "setcookie", "query", "querystring"),  # access
        *("body", "input", "payload"),  # whatever somebody sent
        *("emotion", "emotionstate", "suds", "sudsstart", "sudsmid", "sudsend", "email"),  # the person
        *("arc", "brief", "colour", "lines", "prompt", "style", "text", "title"),  # words of or for the person
    },
)
_FORBIDDEN_ENDINGS = ("token", "secret", "password", "apikey")

# A noisy library line costs more than it tells; warnings and errors of all of them pass.
_QUIET_LOGGERS = {"uvicorn.access": logging.CRITICAL, "aiokafka": logging.WARNING, "faststream": logging.WARNING}
_QUIET_LOGGERS |= {"uvicorn.error": logging.WARNING, "httpx": logging.WARNING, "httpcore": logging.WARNING}
_QUIET_LOGGERS |= {"botocore": logging.WARNING, "aiobotocore": logging.WARNING, "openai": logging.WARNING}

_SCRUBBERS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"(\b[a-z][a-z0-9+.-]*://)[^\s/@]+@", re.IGNORECASE), r"\1"),  # user:password@ in an address
    (re.compile(r"((?:\b[a-z][a-z0-9+.-]*://|/)[^\s?\"'<>]*)\?[^\s\"'<>]*", re.IGNORECASE), r"\1"),  # query strings
    (re.compile(r"\beyJ[\w-]+\.[\w-]*\.?[\w-]*"), "[jwt]"),
    (re.compile(r"\b(bearer|basic)\s+\S+", re.IGNORECASE), r"\1 [cut]"),
    (re.compile(r"\b(\w*(?:token|secret|password|api_?key|signature))(\s*[=:]\s*)\S+", re.IGNORECASE), r"\1\2[cut]"),
)
_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"")
_MAX_TEXT = 500  # characters of one value
_MAX_FRAMES = 12  # innermost frames of an exception: enough to find the line, small enough for one log line


class Logger(Protocol):
    """What `get_logger` returns: only names of the closed list are accepted."""

    def debug(self, event: LogEvent, **fields: object) -> object: ...
    def info(self, event: LogEvent, **fields: object) -> object: ...
    def warning(self, event: LogEvent, **fields: object) -> object: ...
    def error(self, event: LogEvent, **fields: object) -> object: ...
    def exception(self, event: LogEvent, **fields: object) -> object: ...


def get_logger() -> Logger:
    """Return the process's logger; context bound with `structlog.contextvars` (run_id, …) is added to each line."""
    return cast("Logger", structlog.get_logger())


def scrub(text: str) -> str:
    """Cut query strings, credentials and tokens out of a text, and its length to 500 characters."""
    for pattern, replacement in _SCRUBBERS:
        text = pattern.sub(replacement, text)
    return text if len(text) <= _MAX_TEXT else text[:_MAX_TEXT] + "…"


def describe_error(error: BaseException) -> dict[str, object]:
    """Describe an exception without the data it may quote.

    PostgreSQL, pydantic and KeyError put values into their texts, so only the first line of the message is kept (DETAIL
    lines hold rows), with quoted parts emptied.
    """
    first_line = (str(error).splitlines() or [""])[0]
    frames = traceback.extract_tb(error.__traceback__)[-_MAX_FRAMES:]
    described: dict[str, object] = {
        "type": type(error).__name__,
        "message": _QUOTED.sub("'…'", scrub(first_line)),
        "frames": [f"{_short(frame.filename)}:{frame.lineno} {frame.name}" for frame in frames],
    }
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if cause is not None:
        described["cause"] = type(cause).__name__
    return described


def configure(service: str, level: str, version: str, track: str) -> None:
    """Send everything to stdout as JSON lines; call once, before anything logs."""
    number = logging.getLevelNamesMapping()[level.upper()]
    origin = {"service": service, "version": version, "track": track}
    structlog.configure(
        processors=[structlog.contextvars.merge_contextvars, structlog.processors.add_log_level, _Line(origin)],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=lambda *_: _Stdout(),
        cache_logger_on_first_use=False,  # a logger made at import, before this call, must follow it too
    )
    root = logging.getLogger()
    root.handlers = [_LibraryHandler(origin)]
    root.setLevel(number)
    for name, least in _QUIET_LOGGERS.items():
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [], True
        logger.setLevel(max(number, least))
    logging.captureWarnings(capture=True)


class _Line:
    """The last processor: cleans the fields and renders the line."""

    def __init__(self, origin: Mapping[str, str]) -> None:
        self._origin = origin

    def __call__(self, _logger: object, _method: str, event: MutableMapping[str, object]) -> str:
        exc_info = event.pop("exc_info", None)
        error = sys.exc_info()[1] if exc_info is True else exc_info
        error = error[1] if isinstance(error, tuple) else error
        if isinstance(error, BaseException):
            event["error"] = describe_error(error)
        head = {"at": datetime.now(UTC).isoformat(timespec="milliseconds"), "level": event.pop("level", "info")}
        line = head | {"event": str(event.pop("event", LogEvent.LIBRARY))} | dict(self._origin)
        return orjson.dumps(line | cast("dict[str, object]", _clean(event)), default=str).decode()


class _Stdout:
    """Writes one line; the stream is looked up each time, so that redirecting stdout works."""

    def msg(self, line: str) -> None:
        stream: TextIO = sys.stdout
        stream.write(line + "\n")  # one write per line: lines of several threads do not mix
        stream.flush()

    debug = info = warning = error = critical = exception = msg


class _LibraryHandler(logging.Handler):
    """Brings the records of stdlib loggers (uvicorn, faststream, aiokafka) into the same lines."""

    def __init__(self, origin: Mapping[str, str]) -> None:
        super().__init__()
        self._line = _Line(origin)

    def emit(self, record: logging.LogRecord) -> None:
        fields: dict[str, object] = {
            "event": LogEvent.LIBRARY,
            "level": record.levelname.lower(),
            "logger": record.name,
        }
        # Library messages may quote anything, a trace included: first line only.
        fields["message"] = (record.getMessage().splitlines() or [""])[0]
        if record.exc_info:
            fields["exc_info"] = record.exc_info
        _Stdout().msg(self._line(None, "", structlog.contextvars.merge_contextvars(None, "", fields)))


def _clean(value: object) -> object:
    if isinstance(value, Mapping):
        return {str(key): _clean(item) for key, item in value.items() if not _is_forbidden(str(key))}
    if isinstance(value, list | tuple | set | frozenset):
        return [_clean(item) for item in value]
    if value is None or isinstance(value, bool | int | float):
        return value
    return scrub(str(value))


def _is_forbidden(key: str) -> bool:
    plain = key.lower().replace("_", "").replace("-", "")
    return plain in FORBIDDEN_KEYS or plain.endswith(_FORBIDDEN_ENDINGS)


def _short(path: str) -> str:
    """Keep the last three parts: enough to find the file, nothing about the machine."""
    return "/".join(path.split("/")[-3:])
