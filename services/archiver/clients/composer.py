"""Owns asking composer for the rest of a segment whose file came too short (audio-and-player.md §2.4, 3)."""

import asyncio
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Protocol

import httpx

from services.archiver.clients.files import Fetched
from services.archiver.domain.failures import Code, GiveUp, MayPass

CONTINUE_SECONDS: Final = 60.0  # from the question to the finished file (§2.4); 300 s of music take about 10
LOOK_SECONDS: Final = 0.5  # between two looks at the task
ANSWER_SECONDS: Final = 10.0
_TAKEN: Final = 200
_THROTTLED: Final = 430


class _Files(Protocol):
    async def fetch(self, url: str, into: Path) -> Fetched: ...


class Composer:
    """Composer's API for a piece that begins inside a file; nobody is called back, the task is looked at."""

    def __init__(self, client: httpx.AsyncClient, files: _Files, base: str, key: str) -> None:
        """`files` may reach composer's own origin and no other."""
        self._client = client
        self._files = files
        self._base = base
        self._headers = {"authorization": f"Bearer {key}"} if key else {}

    async def play_on(self, exact: Mapping[str, Any], from_seconds: int, into: Path) -> Fetched:
        """Write what composer plays from there to the end; raises `MayPass` (away, busy, late) or `GiveUp` (refused).

        Asked again for the same piece, composer names the task it has.
        """
        ends = time.monotonic() + CONTINUE_SECONDS
        task = await self._submit({**exact, "from_seconds": from_seconds})
        while (url := await self._finished(task)) is None:
            if time.monotonic() >= ends:
                raise MayPass("composer is late")
            await asyncio.sleep(LOOK_SECONDS)
        try:
            return await self._files.fetch(url, into)
        except GiveUp as failure:
            if failure.code is Code.FILE_GONE:  # it was started anew in between
                raise MayPass("composer forgot") from failure
            raise

    async def _submit(self, exact: Mapping[str, Any]) -> str:
        body = {"customMode": True, "instrumental": True, "model": "continuation", "x_parcours": exact}
        code, answer = await self._ask("POST", "", json=body)
        if code == _TAKEN and answer.get("taskId"):
            return str(answer["taskId"])
        if code == _THROTTLED:
            raise MayPass("composer is busy")
        raise GiveUp(Code.PROVIDER_FAILED, f"composer {code}")

    async def _finished(self, task: str) -> str | None:
        """The file's address once it is whole."""
        _, record = await self._ask("GET", "/record-info", params={"taskId": task})
        if record.get("status") == "GENERATE_AUDIO_FAILED":
            raise MayPass("composer failed")  # or was started anew, and does not know the task
        if record.get("status") != "SUCCESS":
            return None
        try:
            return str(record["response"]["sunoData"][0]["audioUrl"])
        except (KeyError, IndexError, TypeError) as error:
            raise GiveUp(Code.PROVIDER_FAILED, "composer without an address") from error

    async def _ask(self, method: str, path: str, **more: Any) -> tuple[int, Mapping[str, Any]]:  # noqa: ANN401
        try:
            response = await self._client.request(
                method,
                f"{self._base}/api/v1/generate{path}",
                headers=self._headers,
                timeout=ANSWER_SECONDS,
                **more,
            )
            response.raise_for_status()
            body = response.json()
            return int(body["code"]), body["data"] or {}
        except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
            raise MayPass(f"composer: {type(error).__name__}") from error
