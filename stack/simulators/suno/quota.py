"""Owns the three readings of "20 requests per 10 s": which one the provider means is documented nowhere."""

import collections
import math
from random import Random
from typing import Protocol

from stack.simulators.suno.settings import Settings

_ROUNDING = 1e-9  # a place that is due now is there, whatever the sum of its parts says


class Window(Protocol):
    """Decides at the stamp; a refused call takes no place. `now` never goes back."""

    def admit(self, now: float) -> bool:
        """Take a place if there is one."""

    def left(self, now: float) -> float:
        """Places that are free now, for the live page."""


class SlidingWindow:
    """At most `calls` in every half-open interval of `seconds`."""

    def __init__(self, calls: int, seconds: float) -> None:
        self._calls = calls
        self._seconds = seconds
        self._stamps: collections.deque[float] = collections.deque()

    def admit(self, now: float) -> bool:
        if self.left(now) < 1:
            return False
        self._stamps.append(now)
        return True

    def left(self, now: float) -> float:
        while self._stamps and now - self._stamps[0] >= self._seconds:
            self._stamps.popleft()
        return self._calls - len(self._stamps)


class FixedWindow:
    """At most `calls` in each of the intervals that begin at `phase`, one after the other."""

    def __init__(self, calls: int, seconds: float, phase: float) -> None:
        self._calls = calls
        self._seconds = seconds
        self.phase = phase
        self._number: int | None = None
        self._taken = 0

    def admit(self, now: float) -> bool:
        if self.left(now) < 1:
            return False
        self._taken += 1
        return True

    def left(self, now: float) -> float:
        number = math.floor((now - self.phase) / self._seconds)
        if number != self._number:
            self._number, self._taken = number, 0
        return self._calls - self._taken


class TokenBucket:
    """Holds at most `calls`, full at the start, and gains `calls` in `seconds`."""

    def __init__(self, calls: int, seconds: float) -> None:
        self._calls = calls
        self._rate = calls / seconds
        self._level = float(calls)
        self._at: float | None = None

    def admit(self, now: float) -> bool:
        if self.left(now) < 1 - _ROUNDING:
            return False
        self._level -= 1
        return True

    def left(self, now: float) -> float:
        if self._at is not None:
            self._level = min(self._calls, self._level + (now - self._at) * self._rate)
        self._at = now
        return self._level


def make_window(settings: Settings, chance: Random) -> Window:
    """The configured kind; a fixed one begins at a random phase."""
    calls, seconds = settings.window_calls, settings.window_seconds
    if settings.window == "fixed":
        return FixedWindow(calls, seconds, chance.uniform(0.0, seconds))
    return SlidingWindow(calls, seconds) if settings.window == "sliding" else TokenBucket(calls, seconds)
