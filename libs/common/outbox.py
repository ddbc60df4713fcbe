"""How a change is announced: a row beside the change, in the same transaction; the relay publishes it."""

import re
import secrets
from contextvars import ContextVar
from typing import Final

from libs.common.database import Connection
from libs.common.events import Event

TRACEPARENT: ContextVar[str | None] = ContextVar("traceparent", default=None)
"""W3C trace context of the work in hand; the edge and the consumers set it."""

_TRACEPARENT: Final = re.compile(r"^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$")

_ANNOUNCE: Final = """
INSERT INTO outbox (topic, key, headers, traceparent, payload)
SELECT $1, $2, jsonb_build_object('track', track), $3, $4 FROM parcours_runs WHERE id = $2
RETURNING id
"""


async def announce(connection: Connection, *events: Event) -> None:
    """Write the events' outbox rows. The caller's transaction holds the run's row lock (`lifecycle.lock_run`).

    Without that lock two transactions of one run could commit in another order than their ids.
    """
    traceparent = TRACEPARENT.get() or new_traceparent()
    for event in events:
        payload = event.model_dump(mode="json")
        row_id = await connection.fetchval(_ANNOUNCE, str(event.topic), event.run_id, traceparent, payload)
        if row_id is None:
            raise LookupError(f"run of {event.topic} does not exist")


def announcing(news: str) -> str:
    """Return the INSERT that announces many events at once; a part of a statement that holds their runs' locks.

    The relation `news` has one row an event: `topic`, `run_id`, `track`, `traceparent`, and as jsonb `event`.
    """
    return f"""
INSERT INTO outbox (topic, key, headers, traceparent, payload)
SELECT n.topic, n.run_id, jsonb_build_object('track', n.track), n.traceparent, n.event FROM {news} n
"""  # noqa: S608 - the caller's own word, no value


def new_traceparent() -> str:
    """A trace context for work that nobody handed one to."""
    both = secrets.token_hex(24)  # one look at the system's dice
    return f"00-{both[:32]}-{both[32:]}-01"


def adopt_traceparent(value: str | None) -> None:
    """Continue the sender's trace if its header is well formed, else begin one."""
    TRACEPARENT.set(value if value and _TRACEPARENT.match(value) else new_traceparent())
