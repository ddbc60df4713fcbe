"""Owns how often somebody may ask: an exact sliding window of one minute for each key, in this process's memory."""

import time
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable

WINDOW_SECONDS = 60.0


class Rate:
    """Allows `limit` hits per key in any 60 s. What it remembers is bounded by the hits of the last minute.

    Several gateways count for themselves: with n replicas a caller may get up to n times the limit.
    """

    def __init__(self, limit: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit = limit
        self._clock = clock
        self._hits: OrderedDict[Hashable, deque[float]] = OrderedDict()  # least recently hit first

    def wait(self, key: Hashable) -> float:
        """Return the seconds until this key may ask again; 0 when it may now. Counts nothing."""
        hits = self._hits.get(key)
        now = self._clock()
        if hits is None:
            return 0.0
        while hits and hits[0] <= now - WINDOW_SECONDS:
            hits.popleft()
        return hits[0] + WINDOW_SECONDS - now if len(hits) >= self._limit else 0.0

    def hit(self, key: Hashable) -> None:
        """Count one request, and forget the keys that have been silent for a minute."""
        now = self._clock()
        self._hits.setdefault(key, deque(maxlen=self._limit)).append(now)
        self._hits.move_to_end(key)
        while self._hits:
            oldest, hits = next(iter(self._hits.items()))
            if hits and hits[-1] > now - WINDOW_SECONDS:
                break
            del self._hits[oldest]

    def forget(self, key: Hashable) -> None:
        """Act as if this key had never asked."""
        self._hits.pop(key, None)

    def take(self, key: Hashable) -> float:
        """Count one request if it is allowed and return 0, else return the seconds to wait, counting nothing."""
        seconds = self.wait(key)
        if not seconds:
            self.hit(key)
        return seconds
