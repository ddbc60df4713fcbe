"""Owns asking a service for speech: one bounded request, and what its refusals mean for the line and for the rest."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import httpx

from services.archiver.domain.narration import Locale, Unspoken, Why

ASK_SECONDS: Final = 20.0  # for one line, from the first byte to the last
MAX_BYTES: Final = 10 * 1024 * 1024  # a minute of WAV at 48 kHz takes 6
MAX_ERROR_BYTES: Final = 64 * 1024
WAIT_SECONDS: Final = 2.0  # where nobody says how long
LONGEST_WAIT_SECONDS: Final = 10.0  # a listener waits for the segment meanwhile


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked for one line."""

    path: str
    headers: Mapping[str, str]
    body: Mapping[str, Any]


class Dialect(Protocol):
    """How one service is asked, and how it answers."""

    @property
    def name(self) -> str:
        """Whose voice it is."""
        ...

    def ask(self, text: str, locale: Locale) -> Question:
        """Word the request for a line."""
        ...

    def audio(self, body: bytes) -> bytes:
        """Take the sound out of an answer; raises ValueError or KeyError when it has none."""
        ...

    def reason(self, status: int, error: object) -> Why:
        """Name what a refusal means; `error` is its decoded body, of whatever shape."""
        ...


class HostedVoice:
    """Speaks through a service at a configured address; nothing else is ever fetched, and no redirect followed."""

    def __init__(self, client: httpx.AsyncClient, base: str, dialect: Dialect) -> None:
        self._client = client
        self._base = base
        self._dialect = dialect
        self.name = dialect.name

    async def speak(self, text: str, locale: Locale, into: Path) -> None:
        """Write what the service made of a line; raises `Unspoken`."""
        question = self._dialect.ask(text, locale)
        try:
            async with self._client.stream(
                "POST",
                self._base + question.path,
                headers=dict(question.headers),
                json=dict(question.body),
                timeout=ASK_SECONDS,
                follow_redirects=False,
            ) as answer:
                good = answer.status_code == 200  # noqa: PLR2004
                body = await _read(answer, MAX_BYTES if good else MAX_ERROR_BYTES)
        except (httpx.TransportError, httpx.InvalidURL) as error:  # an answer that breaks off, too
            raise Unspoken(Why.UNAVAILABLE, WAIT_SECONDS) from error
        if not good:
            raise self._refusal(answer, body)
        try:
            await asyncio.to_thread(into.write_bytes, self._dialect.audio(body))
        except (ValueError, KeyError, TypeError) as error:
            raise Unspoken(Why.AUDIO, after_seconds=0.0) from error

    def _refusal(self, answer: httpx.Response, body: bytes) -> Unspoken:
        why = self._dialect.reason(answer.status_code, _decoded(body))
        passes = why in (Why.THROTTLED, Why.UNAVAILABLE)
        return Unspoken(why, _wait(answer) if passes else None)


def usual_reason(status: int) -> Why:
    """What a status means where the body does not say more."""
    if status in (401, 403):
        return Why.KEY
    if status == 402:  # noqa: PLR2004
        return Why.QUOTA
    if status == 429:  # noqa: PLR2004
        return Why.THROTTLED
    return Why.UNAVAILABLE if status >= 500 or status == 408 else Why.REFUSED  # noqa: PLR2004


async def _read(answer: httpx.Response, most: int) -> bytes:
    pieces, size = [], 0
    async for piece in answer.aiter_bytes():
        pieces.append(piece)
        size += len(piece)
        if size > most:
            raise Unspoken(Why.AUDIO)
    return b"".join(pieces)


def _decoded(body: bytes) -> object:
    try:
        return json.loads(body)
    except ValueError:
        return None


def _wait(answer: httpx.Response) -> float:
    """What the service asks for; longer than a listener would wait is as good as the longest."""
    try:
        asked = float(answer.headers.get("retry-after", WAIT_SECONDS))
    except ValueError:  # a date
        return LONGEST_WAIT_SECONDS
    return min(max(asked, 0.0), LONGEST_WAIT_SECONDS)
