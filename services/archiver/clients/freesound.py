"""Owns asking Freesound for a sound under a voice: licence and wishes of its author are read, its credit is kept.

Freesound's API is free for non-commercial use only; whoever sets the key answers for the terms of their use.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

import httpx

from services.archiver.clients.files import Fetched
from services.archiver.domain.failures import GiveUp, MayPass
from services.archiver.domain.narration import Effect

ASK_SECONDS: Final = 10.0
REST_SECONDS: Final = 60.0  # after a 429: the rate is counted by the minute
SEARCHES: Final[dict[Effect, str]] = {"sea": "calm sea waves", "rain": "soft rain"}
FILTER: Final = 'license:("Creative Commons 0" OR "Attribution") duration:[20 TO 300] tag:{tag}'
TAGS: Final[dict[Effect, str]] = {"sea": "sea", "rain": "rain"}
FIELDS: Final = "id,name,username,license,url,duration,previews,gen_ai_preference"
LICENCES: Final = {
    "creativecommons.org/publicdomain/zero/1.0": "CC0 1.0",
    "creativecommons.org/licenses/by/3.0": "CC BY 3.0",
    "creativecommons.org/licenses/by/4.0": "CC BY 4.0",
}
"""By host and path: the same deed is given with http and with https. Sounds for non-commercial use are not taken."""

MAY_MEET_AI: Final = "no-additional-preferences"  # the music beside it may be an AI's: any other wish is respected


class NoEffect(Exception):  # noqa: N818 - named after what the caller has now
    """Freesound gave none; our own is used. `reason` is a stable code."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Fetch(Protocol):
    """Fetches from the hosts that are allowed (F1)."""

    async def fetch(self, url: str, into: Path) -> Fetched: ...


@dataclass(slots=True)
class Freesound:
    """Searches with a key; what was chosen for an effect stays chosen while this process lives."""

    client: httpx.AsyncClient
    files: Fetch
    base: str
    key: str
    time_scale: float = 1.0
    _chosen: dict[Effect, Mapping[str, Any]] = field(default_factory=dict)
    _rest_until: float = 0.0

    async def fetch(self, effect: Effect, into: Path) -> dict[str, str]:
        """Copy a recording's preview and return its credit; raises `NoEffect`."""
        sound = self._chosen.get(effect) or await self._search(effect)
        try:
            await self.files.fetch(str(sound["previews"]["preview-hq-mp3"]), into)
        except (GiveUp, MayPass) as failure:
            self._chosen.pop(effect, None)
            raise NoEffect("freesound_file") from failure
        self._chosen[effect] = sound
        licence = str(sound["license"])
        return {
            "title": str(sound["name"]),
            "author": str(sound["username"]),
            "url": str(sound["url"]),
            "licence": _licence(licence) or "",
            "licence_url": licence,
            "changes": "looped, levelled, mixed under a voice",
        }

    async def _search(self, effect: Effect) -> Mapping[str, Any]:
        if time.monotonic() < self._rest_until:
            raise NoEffect("freesound_throttled")
        asked = {
            "query": SEARCHES[effect],
            "filter": FILTER.format(tag=TAGS[effect]),
            "fields": FIELDS,
            "sort": "rating_desc",
        }
        try:
            answer = await self.client.get(
                f"{self.base}/search/",
                params=asked,
                headers={"authorization": f"Token {self.key}"},
                timeout=ASK_SECONDS,
                follow_redirects=False,
            )
            self._judge(answer.status_code)
            found = answer.json()["results"]
            return next(sound for sound in found if _may_be_used(sound))
        except httpx.HTTPError as error:
            raise NoEffect("freesound_unavailable") from error
        except StopIteration as error:
            raise NoEffect("freesound_licence") from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise NoEffect("freesound_answer") from error

    def _judge(self, status: int) -> None:
        if status == 429:  # noqa: PLR2004
            self._rest_until = time.monotonic() + REST_SECONDS * self.time_scale
            raise NoEffect("freesound_throttled")
        if status in (401, 403):
            raise NoEffect("freesound_key")
        if status != 200:  # noqa: PLR2004
            raise NoEffect("freesound_unavailable")


def _may_be_used(sound: Mapping[str, Any]) -> bool:
    wishes = sound.get("gen_ai_preference") or MAY_MEET_AI
    return _licence(str(sound["license"])) is not None and wishes == MAY_MEET_AI


def _licence(url: str) -> str | None:
    parts = urlsplit(url)
    return LICENCES.get(f"{parts.netloc.lower()}{parts.path.rstrip('/')}")
