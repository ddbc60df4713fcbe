"""Asks the provider what became of a task: for a webhook that is late, and for a claim to be confirmed (W4)."""

import asyncio
import time
from typing import Final
from uuid import UUID

import structlog

from services.generator.domain.answers import Finding
from services.generator.domain.providers import Provider
from services.generator.handlers.resources import Resources
from services.generator.storage import attempts, calls
from services.generator.storage.attempts import Attempt

CONFIRMATIONS_PER_SECOND: Final = 4.0  # §7 W4, an account; beside the 1/s of reconciliation
CONFIRMATION_WAIT_SECONDS: Final = 5.0  # the archiver waits 10 s for the whole answer

_log = structlog.get_logger()


async def sweep_overdue(resources: Resources) -> bool:
    """Look one attempt up whose next stage is late, and tell the callback what was found; true when one was."""
    for provider in resources.roster.order:
        if provider.terms.record_info_counts:
            continue  # a look-up would cost a generation; the silent sweep still ends the wait
        attempt = await _next_attempt(resources, provider)
        if attempt is not None and attempt.provider_task_id is not None:
            await _look_up(resources, attempt, attempt.provider_task_id)
    return False


async def _next_attempt(resources: Resources, provider: Provider) -> Attempt | None:
    clock = resources.clock
    async with resources.database.transaction() as connection:
        attempt_id = await attempts.next_to_look_up(
            connection,
            provider.name,
            resources.roster.accounts_of(provider.name),
            first=provider.first_seconds + clock.late,
            complete=provider.complete_seconds + clock.late,
            every=clock.lookup_every,
            gap=clock.lookup_gap,
        )
        return None if attempt_id is None else await attempts.get(connection, attempt_id)


async def _look_up(resources: Resources, attempt: Attempt, task_id: str) -> None:
    finding = await _ask(resources, attempt, task_id)
    async with resources.database.connection() as connection:
        await attempts.note_fact(connection, attempt.id, "record_info", finding.state)
    _log.info("looked_up", provider=attempt.provider, attempt=attempt.attempt_no, state=finding.state)
    known_already = finding.stage == "first" and attempt.rank >= 3  # noqa: PLR2004 - rank 3 is `first` (§4.1)
    if finding.news is not None and not known_already:
        await resources.callback.news(attempt.id, finding.news)


async def _ask(resources: Resources, attempt: Attempt, task_id: str) -> Finding:
    began = time.perf_counter()
    finding = await resources.music.record_info(attempt.account, task_id)
    seconds = time.perf_counter() - began
    call = calls.Call(attempt.provider, attempt.account, "record-info", attempt.id, seconds, finding.state)
    async with resources.database.connection() as connection:
        await calls.record(connection, call)
    return finding


class Pace:
    """At most so many questions a second for each account, in order of asking."""

    def __init__(self, per_second: float) -> None:
        self._gap = 1.0 / per_second
        self._next: dict[str, float] = {}

    async def wait(self, account: str, at_most: float) -> bool:
        """Wait for one's turn; false, without waiting, when it would take longer."""
        now = time.monotonic()
        turn = max(now, self._next.get(account, now))
        if turn - now > at_most:
            return False
        self._next[account] = turn + self._gap
        await asyncio.sleep(turn - now)
        return True


async def confirm(resources: Resources, pace: Pace, attempt_id: UUID) -> Finding | None:
    """What the provider itself says of an attempt; `None` when there is no such attempt, `unknown` when not asked."""
    async with resources.database.connection() as connection:
        attempt = await attempts.get(connection, attempt_id)
    if attempt is None:
        return None
    counts = resources.roster.provider(attempt.provider).terms.record_info_counts
    if attempt.provider_task_id is None or counts or not await pace.wait(attempt.account, CONFIRMATION_WAIT_SECONDS):
        return Finding("unknown")
    return await _ask(resources, attempt, attempt.provider_task_id)
