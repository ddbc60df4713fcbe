"""The language model, through OpenAI's SDK: one question, at most one repetition, and everything within one bound."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Final

import httpx2
import openai
import orjson
from openai import AsyncOpenAI, DefaultAsyncHttpxClient
from pydantic import BaseModel, SecretStr, ValidationError

from services.create.domain.errors import NoWordsError
from services.create.domain.prompt import Prompt

CONNECT_SECONDS: Final = 3.0
PAUSE_SECONDS: Final = 0.5  # before the repetition, where the server names none
MOST_TOKENS: Final = 4000  # of an answer: six segments with seven lines of 180 characters fit

_REPEATABLE_STATUSES: Final = frozenset({408, 409, 429})  # and every 5xx
_SERVER_ERROR: Final = 500
_REASONS: Final[dict[type[Exception], str]] = {
    openai.LengthFinishReasonError: "truncated",
    openai.ContentFilterFinishReasonError: "filtered",
    openai.APITimeoutError: "timeout",
    openai.APIConnectionError: "unreachable",
    openai.APIResponseValidationError: "malformed",
    ValidationError: "malformed",
}


class SegmentWords(BaseModel):
    """One segment of the answer's schema; the limits are checked when the words are taken, not here."""

    title: str
    colour: str | None
    lines: list[str]


class RunWords(BaseModel):
    """The answer's schema, which the SDK makes strict."""

    brief: str
    title: str
    segments: list[SegmentWords]


class OpenAIAuthor:
    """Asks the model; every way it can fail is a `NoWordsError` within `seconds`."""

    def __init__(self, client: AsyncOpenAI, model: str, seconds: float) -> None:
        self._client = client
        self._model = model
        self._seconds = seconds

    async def write(self, prompt: Prompt) -> object:
        """The decoded JSON of the answer, unknown members included: they are counted where words are taken."""
        deadline = asyncio.get_running_loop().time() + self._seconds
        try:
            async with asyncio.timeout_at(deadline):
                try:
                    return await self._ask(prompt)
                except openai.APIError as error:
                    await _pause(error, deadline)
                return await self._ask(prompt)
        except NoWordsError:
            raise
        except TimeoutError:
            raise NoWordsError("timeout") from None
        except Exception as error:
            raise NoWordsError(_reason(error)) from error

    async def _ask(self, prompt: Prompt) -> object:
        completion = await self._client.chat.completions.parse(
            model=self._model,
            messages=[{"role": "system", "content": prompt.system}, {"role": "user", "content": prompt.user}],
            response_format=RunWords,
            max_completion_tokens=MOST_TOKENS,
            store=False,
        )
        message = completion.choices[0].message
        if message.refusal:
            raise NoWordsError("refused")
        return orjson.loads(message.content or "")


async def _pause(error: openai.APIError, deadline: float) -> None:
    """Wait as long as the server wants; raise the error where a repetition is of no use or would come too late."""
    seconds = _seconds_before_repetition(error)
    if seconds is None or asyncio.get_running_loop().time() + seconds >= deadline:
        raise error
    await asyncio.sleep(seconds)


def _seconds_before_repetition(error: openai.APIError) -> float | None:
    if isinstance(error, openai.APITimeoutError):
        return None  # its time was all there is
    if isinstance(error, openai.APIConnectionError):
        return PAUSE_SECONDS
    if not isinstance(error, openai.APIStatusError) or error.code == "insufficient_quota":  # a 429 that does not pass
        return None
    if error.status_code not in _REPEATABLE_STATUSES and error.status_code < _SERVER_ERROR:
        return None
    try:
        return max(0.0, float(error.response.headers["retry-after"]))
    except (KeyError, ValueError):
        return PAUSE_SECONDS


def _reason(error: Exception) -> str:
    """A code for the log; the error's own text may quote the answer."""
    if isinstance(error, openai.APIStatusError):
        return "insufficient_quota" if error.code == "insufficient_quota" else f"http_{error.status_code}"
    known = (reason for kind, reason in _REASONS.items() if isinstance(error, kind))
    return next(known, "malformed" if isinstance(error, ValueError) else type(error).__name__)


@contextlib.asynccontextmanager
async def open_author(
    *, api_key: SecretStr, base_url: str | None, model: str, seconds: float
) -> AsyncIterator[OpenAIAuthor]:
    """Open the connection; its address comes from configuration alone, never from a proxy of the environment."""
    timeout = httpx2.Timeout(seconds, connect=min(CONNECT_SECONDS, seconds))
    async with AsyncOpenAI(
        api_key=api_key.get_secret_value(),
        base_url=base_url,
        timeout=timeout,
        max_retries=0,  # the SDK would honour a Retry-After of two minutes, and repeat an empty wallet
        http_client=DefaultAsyncHttpxClient(timeout=timeout, trust_env=False),
    ) as client:
        yield OpenAIAuthor(client, model, seconds)
