"""Publishes what the outbox holds: claims the oldest row of each run, sends it outside any transaction, stamps it."""

import asyncio
from datetime import datetime
from typing import Final

import asyncpg
import orjson
import structlog

from libs.common.database import Database
from libs.common.fault_points import reach
from libs.common.publisher import Publisher, PublishFailedError

LEASE_SECONDS: Final = 6.0  # a relay that died gives its rows back after this
BATCH: Final = 100

# What a crash of the database forgets of leases and stamps is published twice, and inboxes drop it: neither waits for
# the disk. One statement is one transaction, and the setting is of that transaction alone.
_CLAIM: Final = """
WITH lazily AS MATERIALIZED (SELECT set_config('synchronous_commit', 'off', true) AS mode)
UPDATE outbox SET claimed_until = clock_timestamp() + make_interval(secs => $1)
WHERE id IN (
  SELECT o.id FROM outbox o
  WHERE o.published_at IS NULL AND o.claimed_until < clock_timestamp() AND (SELECT mode FROM lazily) = 'off'
    AND NOT EXISTS (SELECT FROM outbox older WHERE older.key = o.key AND older.id < o.id AND older.published_at IS NULL)
  ORDER BY o.id LIMIT $2 FOR UPDATE SKIP LOCKED)
RETURNING id, event_id, topic, key, headers, traceparent, payload, created_at
"""

_STAMP: Final = """
WITH lazily AS MATERIALIZED (SELECT set_config('synchronous_commit', 'off', true) AS mode)
UPDATE outbox SET published_at = clock_timestamp() WHERE id = ANY ($1) AND (SELECT mode FROM lazily) = 'off'
"""
_RELEASE: Final = "UPDATE outbox SET claimed_until = 'epoch' WHERE id = ANY ($1) AND published_at IS NULL"
_REPLAY: Final = """
UPDATE outbox SET published_at = NULL, claimed_until = 'epoch' WHERE created_at >= $1 AND published_at IS NOT NULL
"""

_log = structlog.get_logger()


class Relay:
    """One round at a time; any number of relays may run in any number of processes."""

    def __init__(self, database: Database, publisher: Publisher, *, source: str, prefix: str = "") -> None:
        self._database = database
        self._publisher = publisher
        self._source = source
        self._prefix = prefix

    async def turn(self) -> bool:
        """Publish what is claimable now; true when there may be more. A broker that is away leaves rows unpublished."""
        async with self._database.connection() as connection:
            rows = await connection.fetch(_CLAIM, LEASE_SECONDS, BATCH)
        if not rows:
            return False
        reach("before_publish", self._source)
        results = await asyncio.gather(*(self._publish(row) for row in rows))
        published = [row["id"] for row, confirmed in zip(rows, results, strict=True) if confirmed]
        unpublished = [row["id"] for row, confirmed in zip(rows, results, strict=True) if not confirmed]
        async with self._database.connection() as connection:
            if published:
                await connection.execute(_STAMP, published)
            if unpublished:
                await connection.execute(_RELEASE, unpublished)
        if published:
            reach("stamped", self._source)
        if unpublished:
            _log.warning("relay_unpublished", rows=len(unpublished))
        return bool(published)

    async def _publish(self, row: asyncpg.Record) -> bool:
        headers = {
            "content-type": "application/json",
            "ce_specversion": "1.0",
            "ce_id": str(row["event_id"]),
            "ce_type": row["topic"],
            "ce_source": f"parcours/{self._source}",
            "ce_time": row["created_at"].isoformat(),
            "traceparent": row["traceparent"] or "",
        } | row["headers"]
        try:
            key = str(row["key"]).encode()
            topic = self._prefix + row["topic"]
            await self._publisher.publish(topic, key=key, value=orjson.dumps(row["payload"]), headers=headers)
        except PublishFailedError:
            return False
        except Exception:  # noqa: BLE001 - a row that cannot be sent must not leave those sent beside it unstamped
            _log.exception("relay_row_refused", row=row["id"], topic=row["topic"])
            return False
        reach("published", self._source)
        return True


async def replay_outbox(database: Database, since: datetime) -> int:
    """Publish again what was written since then, for a broker that lost it; consumers' inboxes drop what they did."""
    async with database.connection() as connection:
        status = await connection.execute(_REPLAY, since)
    return int(status.split()[-1])


async def pending(database: Database) -> tuple[int, float]:
    """Number of unpublished rows and age of the oldest in seconds."""
    async with database.connection() as connection:
        row = await connection.fetchrow(
            "SELECT count(*) AS rows, coalesce(extract(epoch FROM clock_timestamp() - min(created_at)), 0) AS seconds "
            "FROM outbox WHERE published_at IS NULL"
        )
    return (row["rows"], float(row["seconds"])) if row else (0, 0.0)
