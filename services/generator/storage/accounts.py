"""Quota accounts and their slots: terms, freezing, closing, opening. Lock order: slots (by number), then account."""

from datetime import timedelta
from typing import Final
from uuid import UUID

import asyncpg

from libs.common.database import Connection
from services.generator.domain.providers import AccountTerms

# Configured columns only: what was learnt at run time (slots_allowed, closed_until, free_at …) survives a restart.
# slots_allowed shrinks only where a smaller contract would break its CHECK.
_UPSERT: Final = """
INSERT INTO quota_accounts AS a (account, provider, slots_contract, slots_allowed, quota_window, hold, lease, user_cap,
                                 max_in_flight, probe_every, record_info_counts, settled)
VALUES ($1, $2, $3, $3, $4, $5, $6, $7, $8, $9, $10, $11)
ON CONFLICT (account) DO UPDATE SET
  provider = excluded.provider, slots_contract = excluded.slots_contract,
  slots_allowed = least(a.slots_allowed, excluded.slots_contract), quota_window = excluded.quota_window,
  hold = excluded.hold, lease = excluded.lease, user_cap = excluded.user_cap, max_in_flight = excluded.max_in_flight,
  probe_every = excluded.probe_every, record_info_counts = excluded.record_info_counts, settled = excluded.settled
"""
_ADD_SLOTS: Final = """
INSERT INTO quota_slots (account, slot_no) SELECT $1, generate_series(1, $2::int) ON CONFLICT DO NOTHING
"""
_OPEN: Final = """
SELECT DISTINCT provider FROM quota_accounts
WHERE account = ANY ($1) AND greatest(closed_until, frozen_until) <= clock_timestamp()
"""
_RETURN_SLOT: Final = """
UPDATE quota_slots s SET free_at = clock_timestamp() + a.hold FROM quota_accounts a
WHERE a.account = s.account AND s.account = $1 AND s.slot_no = $2 AND s.attempt_id = $3
"""
_LOCK_SLOTS: Final = "SELECT slot_no FROM quota_slots WHERE account = $1 ORDER BY slot_no FOR UPDATE"
_FREEZE: Final = """
UPDATE quota_slots s SET free_at = greatest(free_at, clock_timestamp() + a.hold) FROM quota_accounts a
WHERE a.account = s.account AND s.account = $1
"""
# The database's clock has jumped: what is under way rests for a lease, everything else for a hold, from now.
_FREEZE_AFTER_STEP: Final = """
UPDATE quota_slots s SET free_at = clock_timestamp() + CASE WHEN t.id IS NULL THEN a.hold ELSE a.lease END
FROM quota_slots locked JOIN quota_accounts a USING (account)
  LEFT JOIN segment_attempts t ON t.id = locked.attempt_id AND t.outcome IS NULL AND NOT t.facts ? 'replied'
WHERE locked.account = ANY ($1) AND (s.account, s.slot_no) = (locked.account, locked.slot_no)
"""
_LEASE_FOR_POLL: Final = """
UPDATE quota_slots q SET free_at = clock_timestamp() + p.lease, attempt_id = $2
FROM (SELECT s.account, s.slot_no, a.lease FROM quota_slots s JOIN quota_accounts a USING (account)
      WHERE s.account = $1 AND greatest(a.closed_until, a.frozen_until) <= clock_timestamp()
        AND s.slot_no <= a.slots_allowed AND s.free_at <= clock_timestamp()
        AND NOT EXISTS (SELECT FROM generation_queue w
                        WHERE w.provider = a.provider AND w.not_before <= clock_timestamp())
      ORDER BY s.free_at, s.slot_no LIMIT 1 FOR UPDATE OF s SKIP LOCKED) p
WHERE (q.account, q.slot_no) = (p.account, p.slot_no) RETURNING q.slot_no
"""
_HALVE: Final = """
UPDATE quota_accounts SET slots_allowed = greatest(1, slots_allowed / 2), throttled_at = clock_timestamp()
WHERE account = $1 AND (throttled_at IS NULL OR throttled_at <= clock_timestamp() - quota_window)
"""
# breaker_since: from here on rows are probes, and only they count. restored_at: when the sweep may look next.
_CLOSE: Final = """
UPDATE quota_accounts SET close_reason = $2,
  closed_until = CASE WHEN $3::interval IS NULL THEN 'infinity'::timestamptz ELSE clock_timestamp() + $3::interval END,
  breaker_since = clock_timestamp(), restored_at = CASE WHEN $4 THEN NULL ELSE clock_timestamp() END
WHERE account = $1 AND (closed_until < 'infinity' OR $3::interval IS NULL)
"""
_REOPEN: Final = """
UPDATE quota_accounts SET close_reason = NULL, closed_until = 'epoch', breaker_since = clock_timestamp(),
  restored_at = clock_timestamp()
WHERE account = $1 AND close_reason = $2
"""
# A call is decided when it was refused, adopted or accepted, failed later, or left without a reply. What says nothing
# about the provider's health (throttle, wallet, key, bad request, stale claim) is left out.
_LAST_CALLS: Final = """
SELECT extract(epoch FROM clock_timestamp() - t.dispatched_at)::float8 AS age_seconds,
  t.rank = 1 OR (t.rank = 4 AND t.facts ->> 'verdict' = 'retry') AS failed
FROM segment_attempts t JOIN quota_accounts a USING (account)
WHERE t.account = $1 AND t.dispatched_at > a.breaker_since
  AND (t.rank > 1 OR (t.outcome IS NULL AND t.ambiguous_at IS NOT NULL)
       OR (t.outcome = 'refused' AND t.facts ->> 'verdict' IN ('retry', 'maintenance')
           AND t.error_code <> 'transport_too_late'))
ORDER BY t.dispatched_at DESC LIMIT 20
"""
_ON_PROBATION: Final = "SELECT close_reason IS NOT NULL FROM quota_accounts WHERE account = $1 FOR UPDATE"


async def upsert(
    connection: Connection, account: str, provider: str, terms: AccountTerms, settled_seconds: float
) -> None:
    """Write what the configuration says of an account and add the slots it lacks.

    `settled_seconds`: by then after its dispatch the provider is done with a generation, late or not.
    """
    await connection.execute(
        _UPSERT,
        account,
        provider,
        terms.slots,
        timedelta(seconds=terms.window_seconds),
        timedelta(seconds=terms.hold_seconds),
        timedelta(seconds=terms.lease_seconds),
        terms.user_cap,
        terms.max_in_flight,
        timedelta(seconds=terms.probe_seconds),
        terms.record_info_counts,
        timedelta(seconds=settled_seconds),
    )
    await connection.execute(_ADD_SLOTS, account, terms.slots)


async def open_providers(connection: Connection, accounts: list[str]) -> frozenset[str]:
    """Providers with an account that is open, or whose closing has run out (its next call is the probe)."""
    return frozenset(row["provider"] for row in await connection.fetch(_OPEN, accounts))


async def is_closed(connection: Connection, account: str) -> bool:
    """Whether it is closed or on probation; locks the account."""
    return await connection.fetchval(_ON_PROBATION, account) is True


async def return_slot(connection: Connection, account: str, slot_no: int, attempt_id: UUID) -> None:
    """The reply was read: the slot rests for its hold. A late answer, after the lease, finds another attempt there."""
    await connection.execute(_RETURN_SLOT, account, slot_no, attempt_id)


async def freeze_and_halve(connection: Connection, account: str) -> None:
    """The provider throttled: nobody sends for a hold, and half as many slots are used, at most once a window."""
    await connection.fetch(_LOCK_SLOTS, account)
    await connection.execute(_FREEZE, account)
    await connection.execute(_HALVE, account)


async def freeze_after_step(connection: Connection, accounts: list[str]) -> None:
    """Begin all slots' waits anew, since the moments they were to end at have lost their meaning."""
    for account in sorted(accounts):
        await connection.fetch(_LOCK_SLOTS, account)
    await connection.execute(_FREEZE_AFTER_STEP, accounts)


async def lease_for_poll(connection: Connection, account: str, poll_id: UUID) -> int | None:
    """A slot for a question that counts as a call: only when no generation waits; `return_slot` gives it back."""
    found: int | None = await connection.fetchval(_LEASE_FOR_POLL, account, poll_id)
    return found


async def note_balance(connection: Connection, account: str, balance: float) -> None:
    """Keep what the credit endpoint said."""
    await connection.execute(_NOTE_BALANCE, account, balance)


async def close(
    connection: Connection, account: str, reason: str, seconds: float | None, *, look_soon: bool = False
) -> bool:
    """Close an account for some seconds, or (`None`) until a sweep or an operator opens it; false if it was so before.

    `look_soon`: nobody has asked for the balance yet, the next sweep is to.
    """
    span = None if seconds is None else timedelta(seconds=seconds)
    return str(await connection.execute(_CLOSE, account, reason, span, look_soon)) == "UPDATE 1"


async def reopen(connection: Connection, account: str, reason: str) -> bool:
    """Open an account that was closed for this reason."""
    return str(await connection.execute(_REOPEN, account, reason)) == "UPDATE 1"


async def last_calls(connection: Connection, account: str) -> list[asyncpg.Record]:
    """The decided calls since the breaker last changed, newest first: failed, age_seconds."""
    return list(await connection.fetch(_LAST_CALLS, account))


# The sweep over accounts: each row is looked at by one generator at a time -----------------------------------------

_PROBED: Final = """
UPDATE quota_accounts a SET close_reason = NULL, closed_until = 'epoch', breaker_since = clock_timestamp()
WHERE a.account IN (SELECT account FROM quota_accounts WHERE account = ANY ($1)
                      AND close_reason IN ('breaker', 'maintenance') FOR UPDATE SKIP LOCKED)
  AND EXISTS (SELECT FROM segment_attempts t
              WHERE t.account = a.account AND t.dispatched_at > a.breaker_since AND t.rank >= 2)
RETURNING a.account
"""
_GROW: Final = """
UPDATE quota_accounts a SET slots_allowed = slots_allowed + 1, restored_at = clock_timestamp()
WHERE a.account IN (SELECT account FROM quota_accounts WHERE account = ANY ($1) AND slots_allowed < slots_contract
    AND close_reason IS NULL AND coalesce(throttled_at, 'epoch') < clock_timestamp() - $2::interval
    AND coalesce(restored_at, 'epoch') < clock_timestamp() - $2::interval FOR UPDATE SKIP LOCKED)
RETURNING a.account
"""
_WALLETS: Final = """
UPDATE quota_accounts a SET restored_at = clock_timestamp()
WHERE a.account IN (SELECT account FROM quota_accounts WHERE account = ANY ($1) AND close_reason = 'wallet'
    AND coalesce(restored_at, 'epoch') < clock_timestamp() - $2::interval FOR UPDATE SKIP LOCKED)
RETURNING a.account
"""
_BALANCES: Final = """
UPDATE quota_accounts a SET balance_at = clock_timestamp()
WHERE a.account IN (SELECT account FROM quota_accounts WHERE account = ANY ($1)
    AND coalesce(balance_at, 'epoch') < clock_timestamp() - $2::interval FOR UPDATE SKIP LOCKED)
RETURNING a.account
"""
_NOTE_BALANCE: Final = "UPDATE quota_accounts SET balance = $2, balance_at = clock_timestamp() WHERE account = $1"
# Who would wait too long takes no turn: the row stays as it is, and nothing is returned.
_TAKE_TURN: Final = """
UPDATE quota_accounts SET question_at = greatest(question_at, clock_timestamp()) + make_interval(secs => $2)
WHERE account = $1 AND question_at <= clock_timestamp() + make_interval(secs => $3)
RETURNING extract(epoch FROM question_at - clock_timestamp())::float8 - $2
"""
_STATES: Final = """
SELECT a.account, a.provider, greatest(a.closed_until, a.frozen_until) <= clock_timestamp() AS is_open,
  coalesce(a.close_reason, CASE WHEN a.frozen_until > clock_timestamp() THEN 'frozen' END) AS close_reason,
  nullif(greatest(a.closed_until, a.frozen_until), 'infinity') AS closed_until,
  a.slots_allowed, a.slots_contract, a.balance::float8 AS balance,
  (SELECT count(*) FROM quota_slots s WHERE s.account = a.account AND s.free_at > clock_timestamp()) AS slots_busy
FROM quota_accounts a WHERE a.account = ANY ($1) ORDER BY a.account
"""


async def reopen_probed(connection: Connection, accounts: list[str]) -> list[str]:
    """Open accounts whose probe was accepted and return their names."""
    return [row["account"] for row in await connection.fetch(_PROBED, accounts)]


async def grow(connection: Connection, accounts: list[str], clean_seconds: float) -> None:
    """Give halved accounts one more slot after a clean minute."""
    await connection.fetch(_GROW, accounts, timedelta(seconds=clean_seconds))


async def wallets_to_ask(connection: Connection, accounts: list[str], every_seconds: float) -> list[str]:
    """Accounts closed for want of credits that are due to be asked again; marks them as asked."""
    return [row["account"] for row in await connection.fetch(_WALLETS, accounts, timedelta(seconds=every_seconds))]


async def balances_to_ask(connection: Connection, accounts: list[str], every_seconds: float) -> list[str]:
    """Accounts whose balance was not asked for so long; marks them as asked."""
    return [row["account"] for row in await connection.fetch(_BALANCES, accounts, timedelta(seconds=every_seconds))]


async def take_turn(connection: Connection, account: str, gap_seconds: float, at_most_seconds: float) -> float | None:
    """Seconds to wait for one's turn to ask about the account's tasks; `None`, and no turn, when they are too many."""
    seconds: float | None = await connection.fetchval(_TAKE_TURN, account, gap_seconds, at_most_seconds)
    return None if seconds is None else max(0.0, seconds)


async def states(connection: Connection, accounts: list[str]) -> list[asyncpg.Record]:
    """What is known of each account now, for health and metrics."""
    return list(await connection.fetch(_STATES, accounts))
