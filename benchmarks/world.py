"""Listeners, a quota and an order of the queue in virtual time: pure, exact to the microsecond, from one seed.

The numbers of the quota are the generator's own (`load_provider`), due times come from the runner's own `due_at`. The
order of the queue is SQL in the platform; `benchmarks.virtual_sql` plays the same world through that SQL and compares.
"""

import heapq
import random
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from uuid import UUID

from services.generator.domain.clockwork import Clockwork
from services.generator.domain.providers import AccountTerms, load_provider
from services.runner.domain.due import Listening, Pace, due_at
from services.runner.domain.steps import Segment

MICROSECONDS = 1_000_000
EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
FIRST_SOUND_SECONDS = 40.0  # a stream can be heard this long after the call (V: 30-40 s)
PLAYABLE_SECONDS = 150.0  # G: after the call, what the due times reckon with
REPLY_SECONDS = (0.1, 0.8)  # uniform, as in the other benchmarks


@dataclass(frozen=True)
class Shape:
    """How many come, within how long, and what they hear."""

    users: int
    arrivals_seconds: float = 600.0
    segments: int = 20
    segment_seconds: float = 180.0


@dataclass(frozen=True, slots=True)
class Wanted:
    """A segment in the queue; times are microseconds of virtual time."""

    user: int
    index: int
    enqueued: int
    due: int


@dataclass(frozen=True, slots=True)
class Call:
    """A claim, and when its reply was read."""

    user: int
    index: int
    at: int
    replied: int


@dataclass
class World:
    """Arrivals and reply delays of one seed: every order is tried on the same ones."""

    shape: Shape
    seed: int
    arrivals: list[int] = field(init=False)
    delays: list[int] = field(init=False)

    def __post_init__(self) -> None:
        dice = random.Random(self.seed)
        most = self.shape.arrivals_seconds * MICROSECONDS
        self.arrivals = sorted(int(dice.uniform(0, most)) for _user in range(self.shape.users))
        calls = self.shape.users * self.shape.segments
        self.delays = [int(dice.uniform(*REPLY_SECONDS) * MICROSECONDS) for _call in range(calls)]

    def wanted(self) -> Iterator[Wanted]:
        """Every segment in the order in which it is asked for, all of a run at once."""
        offsets = due_offsets(self.shape.segments, self.shape.segment_seconds)
        for user, arrival in enumerate(self.arrivals):
            for index, offset in enumerate(offsets):
                yield Wanted(user, index, arrival, arrival + offset)


@cache
def terms() -> AccountTerms:
    """Slots, window, hold and cap of the real account."""
    return load_provider("suno", Clockwork(), 1.0).terms


@cache
def due_offsets(count: int, seconds: float) -> tuple[int, ...]:
    """`due_at` of each segment of a run, less its creation: asked of the runner."""
    segments = [Segment(UUID(int=index), index, "queued", requested=False, seconds=seconds) for index in range(count)]
    listening = Listening(EPOCH, 0, None, 0, seconds * count)
    pace = Pace(timedelta(seconds=PLAYABLE_SECONDS))
    return tuple(
        (due_at(listening, index, segments, pace) - EPOCH) // timedelta(microseconds=1) for index in range(count)
    )


Key = Callable[[Wanted], tuple[int, ...]]


def by_run(wanted: Wanted) -> tuple[int, ...]:
    """First come, first served: what a queue does that is told nothing."""
    return (wanted.enqueued, wanted.user, wanted.index)


def round_robin(wanted: Wanted) -> tuple[int, ...]:
    """Everybody's first segment, then everybody's second."""
    return (wanted.index, wanted.enqueued, wanted.user)


def earliest_due(wanted: Wanted) -> tuple[int, ...]:
    """The platform's: `ORDER BY due_at, segment_index, enqueued_at`."""
    return (wanted.due, wanted.index, wanted.enqueued, wanted.user)


class Queue:
    """What waits, by a key; with a cap, people who had that many calls in the last window come after everybody else."""

    def __init__(self, key: Key, user_cap: int | None) -> None:
        self._key = key
        self._user_cap = user_cap
        self._rows: list[tuple[tuple[int, ...], Wanted]] = []
        self._recent: deque[tuple[int, int]] = deque()
        self._counts: dict[int, int] = {}

    def __bool__(self) -> bool:
        return bool(self._rows)

    def add(self, wanted: Wanted) -> None:
        heapq.heappush(self._rows, (self._key(wanted), wanted))

    def take(self, now: int, window: int) -> Wanted:
        """The row to be served now: `fair`, else `spare`."""
        self._forget(now - window)
        passed_over = []
        while self._rows and self._is_capped(self._rows[0][1].user):
            passed_over.append(heapq.heappop(self._rows))
        row = heapq.heappop(self._rows) if self._rows else passed_over.pop(0)
        for each in passed_over:
            heapq.heappush(self._rows, each)
        user = row[1].user
        self._recent.append((now, user))
        self._counts[user] = self._counts.get(user, 0) + 1
        return row[1]

    def _is_capped(self, user: int) -> bool:
        return self._user_cap is not None and self._counts.get(user, 0) >= self._user_cap

    def _forget(self, before: int) -> None:
        while self._recent and self._recent[0][0] <= before:
            _at, user = self._recent.popleft()
            self._counts[user] -= 1


def play(world: World, key: Key, *, user_cap: int | None = None) -> list[Call]:
    """All calls in the order in which they are made: a slot rests for `hold` after its reply was read."""
    hold, window = (int(seconds * MICROSECONDS) for seconds in (terms().hold_seconds, terms().window_seconds))
    slots = [0] * terms().slots
    queue, coming = Queue(key, user_cap), deque(world.wanted())
    calls: list[Call] = []
    now = 0
    while coming or queue:
        now = max(now, slots[0], 0 if queue else coming[0].enqueued)
        while coming and coming[0].enqueued <= now:
            queue.add(coming.popleft())
        chosen = queue.take(now, window)
        replied = now + world.delays[len(calls)]
        heapq.heapreplace(slots, replied + hold)
        calls.append(Call(chosen.user, chosen.index, now, replied))
    return calls


@dataclass(frozen=True, slots=True)
class Heard:
    """What listeners noticed; seconds."""

    under_runs: int
    first_call_waits: tuple[float, ...]


def listen(world: World, calls: Sequence[Call]) -> Heard:
    """Play every journey: a segment that is not there in time is an under-run, and all that follows is heard later."""
    shape = world.shape
    ready = [[0.0] * shape.segments for _user in range(shape.users)]
    waits = [0.0] * shape.users
    for call in calls:
        after = PLAYABLE_SECONDS if call.index else FIRST_SOUND_SECONDS
        ready[call.user][call.index] = call.at / MICROSECONDS + after
        if call.index == 0:
            waits[call.user] = (call.at - world.arrivals[call.user]) / MICROSECONDS
    under_runs = 0
    for times in ready:
        needed = times[0]
        for playable in times[1:]:
            needed += shape.segment_seconds
            under_runs += playable > needed
            needed = max(needed, playable)
    return Heard(under_runs, tuple(waits))
