"""Which dialect a body is in, and which provider may speak it."""

from collections.abc import Mapping
from typing import Any, Final

import orjson

from services.callback.domain import fal, kie, replicate, simple, suno
from services.callback.domain.news import News, UnknownDialectError

SPOKEN_BY: Final[Mapping[str, frozenset[str]]] = {
    "suno": frozenset({suno.DIALECT, kie.DIALECT, simple.DIALECT}),
    "composer": frozenset({suno.DIALECT, simple.DIALECT}),
    "fal": frozenset({fal.DIALECT}),
    "replicate": frozenset({replicate.DIALECT}),
}
"""Provider of the attempt → the dialects its webhooks may be in."""


def understand(raw: bytes, *, simple_allowed: bool) -> News:
    """Return what the body says; raise `UnknownDialectError` when it is no JSON object of a dialect understood here."""
    body = _decode(raw)
    if kie.speaks(body):
        return kie.parse(body)
    if suno.speaks(body):
        return suno.parse(body)
    if simple_allowed and simple.speaks(body):
        return simple.parse(body)
    if fal.speaks(body):
        return fal.parse(body)
    if replicate.speaks(body):
        return replicate.parse(body)
    raise UnknownDialectError("expected a webhook of a configured provider")


def fits(news: News, provider: str) -> bool:
    """Whether an attempt at this provider can have been meant: nobody speaks another one's dialect."""
    return news.dialect in SPOKEN_BY.get(provider, frozenset())


def _decode(raw: bytes) -> Mapping[str, Any]:
    try:
        body = orjson.loads(raw)  # refuses NaN, lone surrogates and more than 1024 levels
    except orjson.JSONDecodeError as error:
        raise UnknownDialectError("expected JSON") from error
    if not isinstance(body, dict):
        raise UnknownDialectError("expected a JSON object")
    return body
