"""Owns where a run's milliseconds went, from the times that the platform itself writes down."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final

import asyncpg

from benchmarks.flow import Sample
from benchmarks.whole_stack import WholeStack

Row = asyncpg.Record

# One row a run; the times of its first segment. The database's clock is the machine's.
_TIMES: Final = """
SELECT c.key::text AS run, extract(epoch FROM c.created_at)::float8 AS created,
  extract(epoch FROM ci.received_at)::float8 AS at_runner, extract(epoch FROM r.created_at)::float8 AS requested,
  extract(epoch FROM ri.received_at)::float8 AS at_generator, extract(epoch FROM a.dispatched_at)::float8 AS claimed,
  extract(epoch FROM w.received_at)::float8 AS heard, extract(epoch FROM f.created_at)::float8 AS announced
FROM outbox c
JOIN consumer_inbox ci ON ci.event_id = c.event_id AND ci.group_id = 'runner'
JOIN outbox r ON r.key = c.key AND r.topic = 'segment.requested'
JOIN consumer_inbox ri ON ri.event_id = r.event_id AND ri.group_id = 'generator'
JOIN parcours_segments s ON s.run_id = c.key AND s.segment_index = 0
JOIN segment_attempts a ON a.segment_id = s.id AND a.attempt_no = 1
JOIN webhook_inbox w ON w.attempt_id = a.id AND w.stage = 'first'
JOIN outbox f ON f.key = c.key AND f.topic = 'segment.first'
WHERE c.topic = 'run.created' AND r.payload ->> 'segment_id' = s.id::text
"""

_PARTS: Final[Mapping[str, Callable[[Sample, Row], float]]] = {
    "edge, create: asked → run's row": lambda sample, row: row["created"] - sample.asked_at,
    "commit, relay, Kafka: → at the runner": lambda _sample, row: row["at_runner"] - row["created"],
    "runner: → segment asked for": lambda _sample, row: row["requested"] - row["at_runner"],
    "commit, relay, Kafka: → at the generator": lambda _sample, row: row["at_generator"] - row["requested"],
    "generator: queue, slot → attempt": lambda _sample, row: row["claimed"] - row["at_generator"],
    "commit, call: → at the provider": lambda sample, row: sample.posted_at - row["claimed"],
    "edge, callback: `first` sent → understood": lambda sample, row: row["heard"] - sample.called_at,
    "callback: → news' row": lambda _sample, row: row["announced"] - row["heard"],
    "commit, NOTIFY, edge: → at the listener": lambda sample, row: sample.first_at - row["announced"],
}
STAGES: Final = tuple(_PARTS)


# How long the first segment of each run was with the generator before its attempt, and when that was.
_WAITS: Final = """
SELECT c.key::text AS run, extract(epoch FROM a.dispatched_at - ri.received_at)::float8 AS seconds,
  extract(epoch FROM a.dispatched_at)::float8 AS claimed
FROM outbox c
JOIN outbox r ON r.key = c.key AND r.topic = 'segment.requested'
JOIN consumer_inbox ri ON ri.event_id = r.event_id AND ri.group_id = 'generator'
JOIN parcours_segments s ON s.run_id = c.key AND s.segment_index = 0
JOIN segment_attempts a ON a.segment_id = s.id AND a.attempt_no = 1
WHERE c.topic = 'run.created' AND r.payload ->> 'segment_id' = s.id::text
"""


async def quota_waits(stack: WholeStack, runs: Collection[str], slots: int) -> dict[str, float]:
    """Seconds that each run's first segment waited for a slot, of runs that began together when all were free.

    The first `slots` of them waited for nothing but us; what the others waited longer than those did is the quota's.
    """
    async with stack.database() as connection:
        rows = sorted(await connection.fetch(_WAITS), key=lambda row: float(row["claimed"]))
    mine = [row for row in rows if row["run"] in runs]
    own = sorted(row["seconds"] for row in mine[:slots])
    usual = own[len(own) // 2] if own else 0.0
    quota = {row["run"]: max(0.0, row["seconds"] - usual) for row in mine[slots:]}
    return {row["run"]: quota.get(row["run"], 0.0) for row in mine}


async def stage_times(stack: WholeStack, samples: Sequence[Sample]) -> dict[str, list[float]]:
    """Each stage's ms, one value a run."""
    async with stack.database() as connection:
        rows = {row["run"]: row for row in await connection.fetch(_TIMES)}
    known = [(sample, rows[sample.run_id]) for sample in samples if sample.run_id in rows]
    return {name: [part(sample, row) * 1000 for sample, row in known] for name, part in _PARTS.items()}
