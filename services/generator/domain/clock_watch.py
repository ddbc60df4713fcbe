"""Notices that the database's clock has stepped, by comparing it with a clock of ours that never does (§2.6)."""

from services.generator.domain.clockwork import EPSILON_SECONDS

_STALE_SECONDS = 60.0  # at 200 ppm two honest clocks part by 12 ms in that time


class ClockWatch:
    """Holds how far the database's clock is ahead of ours, as the two bounds that the length of a question leaves."""

    def __init__(self, tolerance: float = EPSILON_SECONDS) -> None:
        self._tolerance = tolerance
        self._bounds: tuple[float, float] | None = None
        self._taken_at = 0.0

    def step(self, before: float, database: float, after: float) -> float:
        """Seconds by which the database's clock must have stepped, at least; 0 when it need not have.

        `database` is its time, read between our `before` and `after`; one slow answer cannot hide a later step.
        """
        lowest, highest = database - after, database - before
        known = self._bounds
        if known is not None:
            forward, back = lowest - known[1], known[0] - highest
            if max(forward, back) > self._tolerance:
                self._keep(lowest, highest, after)
                return forward if forward > back else -back
        if known is None or highest - lowest <= self._tolerance or after - self._taken_at > _STALE_SECONDS:
            self._keep(lowest, highest, after)
        return 0.0

    def _keep(self, lowest: float, highest: float, taken_at: float) -> None:
        self._bounds, self._taken_at = (lowest, highest), taken_at
