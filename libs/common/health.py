"""Owns what a process says about itself: started or draining, loops that move, dependencies that answer."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from libs.common import logs
from libs.common.log_events import LogEvent

Check = Callable[[], Awaitable[object]]
"""Asks one dependency; raising or not answering in time means that it is away."""

CHECK_TIMEOUT_S = 1.0  # operations.md §6.1
CACHE_S = 5.0  # operations.md §6.1: a probe storm must not become a load on the dependencies
STALLED_AFTER_S = 60.0  # operations.md §6.1

_log = logs.get_logger()


@dataclass
class Readiness:
    """Whether the process takes work: started, waiting for nothing, not draining.

    Set `draining` ends long streams and polling loops at once: wait on it where work would otherwise not end.
    """

    started: bool = False
    draining: asyncio.Event = field(default_factory=asyncio.Event)
    waiting_for: set[str] = field(default_factory=set)

    @property
    def ready(self) -> bool:
        """An outage that all replicas share never changes this (operations.md §6.1)."""
        return self.started and not self.waiting_for and not self.draining.is_set()


class Pulse:
    """Whether the process's own loops move; an attempt that fails counts as movement, a hang does not."""

    def __init__(self) -> None:
        self._beats: dict[str, float] = {}

    def beat(self, loop: str) -> None:
        """Say that this loop moved; the first beat begins the watch."""
        self._beats[loop] = time.monotonic()

    def forget(self, loop: str) -> None:
        """End the watch of a loop that ended on purpose."""
        self._beats.pop(loop, None)

    def stalled(self) -> list[str]:
        """Return the loops that have not moved for 60 s."""
        now = time.monotonic()
        return sorted(loop for loop, beat in self._beats.items() if now - beat > STALLED_AFTER_S)


class Health:
    """Asks all dependencies together, at most every 5 s, each for at most 1 s."""

    def __init__(self, *, version: str, track: str, checks: Mapping[str, Check]) -> None:
        self._version = version
        self._track = track
        self._checks = checks
        self._asking = asyncio.Lock()
        self._answered_at = float("-inf")
        self._answer: dict[str, object] = {}

    async def report(self) -> dict[str, object]:
        """Return `{status, version, track, checks: {name: {status, latencyMs, checkedAt}}}`, without host names."""
        async with self._asking:  # probes that come together share one answer
            if time.monotonic() - self._answered_at > CACHE_S:
                self._answer = await self._ask_all()
                self._answered_at = time.monotonic()
            return self._answer

    async def _ask_all(self) -> dict[str, object]:
        names = sorted(self._checks)
        results = await asyncio.gather(*(_ask(name, self._checks[name]) for name in names))
        well = all(result["status"] == "ok" for result in results)
        return {
            "status": "ok" if well else "degraded",
            "version": self._version,
            "track": self._track,
            "checks": dict(zip(names, results, strict=True)),
        }


async def _ask(name: str, check: Check) -> dict[str, object]:
    began = time.perf_counter()
    status = "ok"
    try:
        async with asyncio.timeout(CHECK_TIMEOUT_S):
            await check()
    except Exception as error:  # noqa: BLE001 - any failure means the same: this dependency does not answer
        status = "failed"
        _log.warning(LogEvent.CHECK_FAILED, check=name, error=logs.describe_error(error))
    latency_ms = round((time.perf_counter() - began) * 1000, 1)
    return {
        "status": status,
        "latencyMs": latency_ms,
        "checkedAt": datetime.now(UTC).isoformat(timespec="milliseconds"),
    }
