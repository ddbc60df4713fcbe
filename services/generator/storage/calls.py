"""The record of what was called and what it cost; it decides nothing, and health is read from it."""

from dataclasses import dataclass
from typing import Final, Literal
from uuid import UUID

import asyncpg

from libs.common.database import Connection

_RECORD: Final = """
INSERT INTO provider_calls (provider, account, operation, attempt_id, called_at, seconds, outcome, cost)
VALUES ($1, $2, $3, $4, clock_timestamp() - make_interval(secs => $5), $5, $6, $7)
"""
_HEALTH: Final = """
SELECT account,
  max(called_at) FILTER (WHERE outcome = 'ok') AS last_success_at,
  (array_agg(outcome ORDER BY called_at DESC))[1] = 'ok' AS is_well,
  max(called_at) FILTER (WHERE outcome <> 'ok') AS last_error_at,
  (array_agg(outcome ORDER BY called_at DESC) FILTER (WHERE outcome <> 'ok'))[1] AS last_error_code
FROM (SELECT account, called_at, outcome FROM provider_calls
      WHERE account = $1 AND operation = 'generate' AND outcome <> 'transport_too_late'  -- that one was never made
      ORDER BY called_at DESC LIMIT 100) recent
GROUP BY account
"""


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a provider; `outcome` is `ok` or the code it answered with."""

    provider: str
    account: str
    operation: Literal["generate", "record-info", "credit"]
    attempt_id: UUID | None
    seconds: float
    outcome: str
    cost: float | None = None


async def record(connection: Connection, call: Call) -> None:
    """Keep a call."""
    await connection.execute(
        _RECORD,
        call.provider,
        call.account,
        call.operation,
        call.attempt_id,
        call.seconds,
        call.outcome,
        call.cost,
    )


async def health(connection: Connection, account: str) -> asyncpg.Record | None:
    """From the last hundred real calls: last_success_at, is_well, last_error_code, last_error_at; `None` without."""
    return await connection.fetchrow(_HEALTH, account)
