"""Asks the provider what became of a task: for a webhook that is late, and for a claim to be confirmed (W4)."""

import asyncio
import contextlib
import random
import time
from uuid import UUID, uuid4

import structlog

from libs.common import metrics
from libs.common.metrics import Metric
from services.generator.domain.answers import Finding
from services.generator.domain.providers import Provider
from services.generator.handlers.resources import Resources
from services.generator.storage import accounts, attempts, calls
from services.generator.storage.attempts import Attempt

_log = structlog.get_logger()


async def sweep_overdue(resources: Resources) -> bool:
    """Look one attempt up whose next stage is late, and tell the callback what was found; true when one was.

    All providers share one pace, which is kept here: after one there may be another. Whose turn is first is chance, or
    the first of them, all late, would leave none to the others.
    """
    found = False
    for provider in random.sample(resources.roster.order, len(resources.roster.order)):
        poll_id = uuid4()
        with contextlib.suppress(_NoSlotError):
            attempt, slot_no = await _next_attempt(resources, provider, poll_id)
            if attempt is not None and attempt.provider_task_id is not None:
                found = True
                finding = await _look_up(resources, attempt, attempt.provider_task_id)
                if slot_no is not None and finding.state != "unknown":  # else nobody read a reply: the lease ends it
                    async with resources.database.connection() as connection:
                        await accounts.return_slot(connection, attempt.account, slot_no, poll_id)
    if found:
        await asyncio.sleep(resources.clock.lookup_gap)
    return found


class _NoSlotError(Exception):
    """Rolls the transaction back: a question that counts as a call waits until no generation does."""


async def _next_attempt(resources: Resources, provider: Provider, poll_id: UUID) -> tuple[Attempt | None, int | None]:
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
        attempt = None if attempt_id is None else await attempts.get(connection, attempt_id)
        if attempt is None or not provider.terms.record_info_counts:
            return attempt, None
        slot_no = await accounts.lease_for_poll(connection, attempt.account, poll_id)
        if slot_no is None:
            raise _NoSlotError
        return attempt, slot_no


async def _look_up(resources: Resources, attempt: Attempt, task_id: str) -> Finding:
    finding = await _ask(resources, attempt, task_id)
    async with resources.database.connection() as connection:
        await attempts.note_fact(connection, attempt.id, "record_info", finding.state)
    _log.info("looked_up", provider=attempt.provider, attempt=attempt.attempt_no, state=finding.state)
    known_already = finding.stage == "first" and attempt.rank >= 3  # noqa: PLR2004 - rank 3 is `first` (§4.1)
    if finding.news is not None and not known_already:
        await resources.callback.news(attempt.id, finding.news)
    return finding


async def _ask(resources: Resources, attempt: Attempt, task_id: str) -> Finding:
    began = time.perf_counter()
    finding = await resources.music.record_info(attempt.account, task_id, attempt.facts)
    seconds = time.perf_counter() - began
    call = calls.Call(attempt.provider, attempt.account, "record-info", attempt.id, seconds, finding.state)
    async with resources.database.connection() as connection:
        await calls.record(connection, call)
    return finding


async def confirm(resources: Resources, attempt_id: UUID) -> Finding | None:
    """What the provider itself says of an attempt; `None` when there is no such attempt, `unknown` when not asked."""
    clock = resources.clock
    async with resources.database.connection() as connection:
        attempt = await attempts.get(connection, attempt_id)
    if attempt is None:
        return None
    if attempt.provider_task_id is None:
        return Finding("unknown")
    if resources.roster.provider(attempt.provider).terms.record_info_counts:
        return _unasked("off")
    try:
        async with asyncio.timeout(clock.confirmation):
            async with resources.database.connection() as connection:
                wait = await accounts.take_turn(connection, attempt.account, clock.confirm_gap, clock.confirmation)
            if wait is None:
                return _unasked("busy")
            await asyncio.sleep(wait)
            return await _ask(resources, attempt, attempt.provider_task_id)
    except TimeoutError:
        return _unasked("late")


def _unasked(outcome: str) -> Finding:
    """Nobody confirms the claim: token, host list and the look at the file carry it (W1, F1, F2), and it is counted."""
    metrics.count(Metric.FILE_CONFIRMATIONS, outcome=outcome)
    return Finding("unknown")
