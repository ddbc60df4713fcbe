"""Which dialect a body is in."""

from collections.abc import Mapping
from typing import Any

import orjson

from services.callback.domain import simple, suno
from services.callback.domain.news import News, UnknownDialectError


def understand(raw: bytes, *, simple_allowed: bool) -> News:
    """Return what the body says; raise `UnknownDialectError` when it is no JSON object of a dialect understood here."""
    body = _decode(raw)
    if suno.speaks(body):
        return suno.parse(body)
    if simple_allowed and simple.speaks(body):
        return simple.parse(body)
    raise UnknownDialectError("expected a webhook of a configured provider")


def _decode(raw: bytes) -> Mapping[str, Any]:
    try:
        body = orjson.loads(raw)  # refuses NaN, lone surrogates and more than 1024 levels
    except orjson.JSONDecodeError as error:
        raise UnknownDialectError("expected JSON") from error
    if not isinstance(body, dict):
        raise UnknownDialectError("expected a JSON object")
    return body
