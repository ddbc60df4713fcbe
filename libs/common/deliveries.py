"""What a consumer group has done, will try again and has given up: the inbox, the retry table, the dead letters."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from libs.common.database import Connection, Database

MAX_DELIVERIES: Final = 5
BACKOFF_SECONDS: Final = (1.0, 2.0, 4.0, 8.0)  # before the 2nd, 3rd, 4th and 5th delivery


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message as a group received it."""

    group_id: str
    topic: str
    partition: int
    offset: int
    key: bytes | None
    headers: Mapping[str, str]
    payload: bytes | None
    deliveries: int = 1
    again: bool = False  # from the retry table, whose row goes with the effect

    @property
    def event_id(self) -> UUID:
        """Raises ValueError or KeyError when the sender gave none."""
        return UUID(self.headers["ce_id"])


_REMEMBER: Final = """
INSERT INTO consumer_inbox (group_id, event_id) VALUES ($1, $2) ON CONFLICT DO NOTHING RETURNING true
"""
_POSTPONE: Final = """
INSERT INTO consumer_retries
  (group_id, topic, kafka_partition, kafka_offset, event_id, key, headers, payload, deliveries, not_before, last_error)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, clock_timestamp() + make_interval(secs => $10), $11)
ON CONFLICT (group_id, topic, kafka_partition, kafka_offset, event_id) DO UPDATE SET
  deliveries = excluded.deliveries, not_before = excluded.not_before, last_error = excluded.last_error
"""
_BURY: Final = """
INSERT INTO dead_letters
  (group_id, topic, kafka_partition, kafka_offset, event_id, key, headers, payload, deliveries, reason, first_failed_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, clock_timestamp())
ON CONFLICT (group_id, topic, kafka_partition, kafka_offset, event_id) DO UPDATE SET
  deliveries = excluded.deliveries, reason = excluded.reason, dead_at = clock_timestamp(), replayed_at = NULL
"""
_FORGET_RETRY: Final = """
DELETE FROM consumer_retries
WHERE group_id = $1 AND topic = $2 AND kafka_partition = $3 AND kafka_offset = $4 AND event_id = $5
"""
_CLAIM_RETRY: Final = """
UPDATE consumer_retries SET not_before = clock_timestamp() + make_interval(secs => $2)
WHERE id = (SELECT id FROM consumer_retries WHERE group_id = $1 AND not_before <= clock_timestamp()
            ORDER BY not_before LIMIT 1 FOR UPDATE SKIP LOCKED)
RETURNING *
"""
_LIST: Final = """
SELECT id, group_id, topic, kafka_partition, kafka_offset, deliveries, reason, first_failed_at, dead_at, replayed_at
FROM dead_letters WHERE ($1::text IS NULL OR group_id = $1) AND ($2 OR replayed_at IS NULL) ORDER BY id LIMIT 500
"""
_REPLAY: Final = """
WITH replayed AS (
  UPDATE dead_letters SET replayed_at = clock_timestamp()
  WHERE replayed_at IS NULL AND ($1::bigint[] IS NULL OR id = ANY ($1)) RETURNING *)
INSERT INTO consumer_retries
  (group_id, topic, kafka_partition, kafka_offset, event_id, key, headers, payload, deliveries, not_before, last_error)
SELECT group_id, topic, kafka_partition, kafka_offset, event_id, key, headers, payload, 0, 'epoch', reason FROM replayed
ON CONFLICT (group_id, topic, kafka_partition, kafka_offset, event_id) DO NOTHING
"""


async def remember(connection: Connection, delivery: Delivery) -> bool:
    """Note in the effect's own transaction that the group does this event; false when it has done it before."""
    done = await connection.fetchval(_REMEMBER, delivery.group_id, delivery.event_id)
    return done is True


async def postpone(connection: Connection, delivery: Delivery, error: str, *, seconds: float) -> None:
    """Keep the message for another delivery no sooner than `seconds` from now."""
    await connection.execute(_POSTPONE, *_place(delivery), *_content(delivery), delivery.deliveries, seconds, error)


async def bury(connection: Connection, delivery: Delivery, reason: str) -> None:
    """Give the message up, with its reason; a command shows and replays it."""
    await connection.execute(_BURY, *_place(delivery), *_content(delivery), delivery.deliveries, reason)
    await forget_retry(connection, delivery)


async def forget_retry(connection: Connection, delivery: Delivery) -> None:
    """Drop the message's retry row, if it has one."""
    await connection.execute(_FORGET_RETRY, *_place(delivery))


async def claim_retry(connection: Connection, group_id: str, lease_seconds: float) -> Delivery | None:
    """Take the retry that is due longest; it comes back by itself if the process dies."""
    row = await connection.fetchrow(_CLAIM_RETRY, group_id, lease_seconds)
    if row is None:
        return None
    return Delivery(
        group_id=row["group_id"],
        topic=row["topic"],
        partition=row["kafka_partition"],
        offset=row["kafka_offset"],
        key=row["key"],
        headers=row["headers"],
        payload=row["payload"],
        deliveries=row["deliveries"] + 1,
        again=True,
    )


async def dead_letters(database: Database, *, group_id: str | None = None, replayed: bool = False) -> list[Any]:
    """The first 500 dead letters, oldest first, without their payloads."""
    async with database.connection() as connection:
        return list(await connection.fetch(_LIST, group_id, replayed))


async def replay_dead_letters(database: Database, ids: list[int] | None = None) -> int:
    """Give dead letters (all, or those named) a fresh set of deliveries and return how many."""
    async with database.connection() as connection:
        status = await connection.execute(_REPLAY, ids)
    return int(status.split()[-1])


def _place(delivery: Delivery) -> tuple[str, str, int, int, str]:
    event_id = delivery.headers.get("ce_id", "")
    return delivery.group_id, delivery.topic, delivery.partition, delivery.offset, event_id


def _content(delivery: Delivery) -> tuple[bytes | None, dict[str, str], bytes | None]:
    return delivery.key, dict(delivery.headers), delivery.payload
