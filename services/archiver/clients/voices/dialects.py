"""Owns how ElevenLabs, OpenAI and Google are asked for speech, and what each says when it refuses (providers.md §6)."""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from services.archiver.clients.voices.hosted import Question, usual_reason
from services.archiver.domain.narration import Locale, Why

CALM: Final = "Speak slowly, warmly and calmly, as to someone who is resting. Leave short pauses."
_LANGUAGES: Final[dict[Locale, str]] = {"fr": "fr-FR", "en": "en-GB"}
_PASSING: Final = frozenset(
    {"rate_limit_exceeded", "concurrent_limit_exceeded", "too_many_concurrent_requests", "system_busy"}
)


@dataclass(frozen=True, slots=True)
class ElevenLabs:
    """Raw MP3; a quota that is used up comes as 401 in the earlier scheme, so not every 401 is a bad key."""

    key: str
    model: str
    voice: str
    name: str = "elevenlabs"

    def ask(self, text: str, locale: Locale) -> Question:
        del locale  # the multilingual models hear it
        path = f"/v1/text-to-speech/{self.voice}?output_format=mp3_44100_128"
        return Question(path, {"xi-api-key": self.key}, {"text": text, "model_id": self.model})

    def audio(self, body: bytes) -> bytes:
        return body

    def reason(self, status: int, error: object) -> Why:
        detail = _member(error, "detail")  # of a 422 it may be a list
        codes = {_member(detail, "code"), _member(detail, "status")}
        if "quota_exceeded" in codes:
            return Why.QUOTA
        return Why.THROTTLED if codes & _PASSING else usual_reason(status)


@dataclass(frozen=True, slots=True)
class OpenAI:
    """A WAV whose header may lie about its length; a 429 may mean that no money is left, which no waiting mends."""

    key: str
    model: str
    voice: str
    name: str = "openai"

    def ask(self, text: str, locale: Locale) -> Question:
        del locale
        body: dict[str, Any] = {"model": self.model, "voice": self.voice, "input": text, "response_format": "wav"}
        if not self.model.startswith("tts-1"):  # which takes none
            body["instructions"] = CALM
        return Question("/audio/speech", {"authorization": f"Bearer {self.key}"}, body)

    def audio(self, body: bytes) -> bytes:
        return body

    def reason(self, status: int, error: object) -> Why:
        problem = _member(error, "error")
        out_of_money = "insufficient_quota" in (_member(problem, "code"), _member(problem, "type"))
        return Why.QUOTA if out_of_money else usual_reason(status)


@dataclass(frozen=True, slots=True)
class Google:
    """Base64 in JSON; the service may choose another voice or rate than was asked for."""

    key: str
    name: str = "google"

    def ask(self, text: str, locale: Locale) -> Question:
        body = {
            "input": {"text": text},
            "voice": {"languageCode": _LANGUAGES[locale], "ssmlGender": "FEMALE"},
            "audioConfig": {"audioEncoding": "LINEAR16", "speakingRate": 0.9, "sampleRateHertz": 24000},
        }
        return Question("/v1/text:synthesize", {"x-goog-api-key": self.key}, body)

    def audio(self, body: bytes) -> bytes:
        return base64.b64decode(json.loads(body)["audioContent"], validate=True)

    def reason(self, status: int, error: object) -> Why:
        named = _member(_member(error, "error"), "status")
        if named in ("PERMISSION_DENIED", "UNAUTHENTICATED"):
            return Why.KEY
        return Why.THROTTLED if named == "RESOURCE_EXHAUSTED" else usual_reason(status)


def _member(value: object, name: str) -> object:
    found = value.get(name) if isinstance(value, Mapping) else None
    return found if isinstance(found, str | Mapping) else None
