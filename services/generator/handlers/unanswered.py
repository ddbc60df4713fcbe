"""The sweep over attempts whose reply nobody read: marked, left to be adopted, then asked again exactly once."""

import asyncio
from collections import defaultdict
from uuid import UUID

import structlog

from libs.common import metrics
from libs.common.database import Channel
from libs.common.fault_points import reach
from libs.common.metrics import Metric
from services.generator.domain.next_step import Ask, after_ambiguity
from services.generator.domain.providers import Provider
from services.generator.handlers.account_care import note_balance
from services.generator.handlers.decision import decide
from services.generator.handlers.resources import Resources
from services.generator.storage import attempts, segments

_log = structlog.get_logger()


async def sweep_unanswered(resources: Resources) -> bool:
    """One round: what a crash or a lost reply left at rank 1. Balances are asked last: nobody waits for evidence."""
    clock = resources.clock
    evidence: dict[str, dict[UUID, str]] = defaultdict(dict)
    adopt = {  # what costs nothing need not wait for its adoption
        provider.name: max(clock.adopt, clock.ambiguous_after) if provider.paid else clock.ambiguous_after
        for provider in resources.roster.known.values()
    }
    async with resources.database.connection() as connection:
        rows = await attempts.unanswered(connection, clock.ambiguous_after, adopt)
    for row in rows:
        provider = resources.roster.provider(row["provider"])
        if row["is_unadopted"]:
            account, name = await _ask_again(resources, provider, row["id"]), "credits_when_resent"
        else:
            account, name = await _mark(resources, provider, row["id"]), "credits_when_ambiguous"
        if account is not None:
            evidence[account][row["id"]] = name
    await asyncio.gather(*(note_balance(resources, account, notes) for account, notes in evidence.items()))
    return False


async def _mark(resources: Resources, provider: Provider, attempt_id: UUID) -> str | None:
    """Call the attempt ambiguous; the account whose balance is evidence, if it may have been charged."""
    async with resources.database.transaction() as connection:
        attempt = await attempts.get(connection, attempt_id)
        marked = await attempts.mark_ambiguous(connection, attempt_id, "no_reply")
    return attempt.account if marked and attempt is not None and provider.paid else None


async def _ask_again(resources: Resources, provider: Provider, attempt_id: UUID) -> str | None:
    """Give the attempt up and take the next step; the account that may be charged twice for it, if one may."""
    async with resources.database.transaction(Channel.QUEUE, Channel.OUTBOX) as connection:
        attempt = await attempts.get(connection, attempt_id)
        if attempt is None or not await segments.lock(connection, attempt.run_id, attempt.segment_id):
            return None
        attempt = await attempts.get(connection, attempt_id, lock=True)
        if attempt is None or attempt.rank != 1:
            return None
        await attempts.mark_ambiguous(connection, attempt_id, "no_reply")  # unless done; we may have been away so long
        if not await attempts.give_up(connection, attempt_id, "no_reply"):
            return None
        resent = await attempts.resent_before(connection, attempt)
        step = await decide(
            connection,
            resources,
            attempt.segment_id,
            lambda now: after_ambiguity(now, provider, resources.clock, resent_before=resent),
            "no_reply",
        )
        twice = provider.paid and isinstance(step, Ask) and resources.roster.provider(step.provider).paid
        if twice:  # in the row too, since a counter dies with its process
            await attempts.note_fact(connection, attempt_id, "possible_double_charge", value=True)
        reach("before_resend_commit")
    reach("after_resend_commit")
    if not twice:
        return None
    _log.error("possible_double_charge", provider=provider.name, attempt=attempt.attempt_no)
    metrics.count(Metric.POSSIBLE_DOUBLE_CHARGE, provider=provider.name)
    return attempt.account
