"""What a submission's answer does: accepted, refused or ambiguous, each concluded in one commit (§4.2 step 4)."""

import asyncpg
import structlog

from libs.common import metrics
from libs.common.database import Channel, Connection
from libs.common.fault_points import reach
from libs.common.lifecycle import note_segment
from libs.common.metrics import Metric
from services.generator.domain.answers import Accepted, Answer, Refused
from services.generator.domain.next_step import after_refusal
from services.generator.domain.verdicts import Judgement, Verdict
from services.generator.handlers import account_care
from services.generator.handlers.claim import Claim
from services.generator.handlers.decision import decide
from services.generator.handlers.resources import Resources
from services.generator.storage import accounts, attempts, calls, segments

_OUTCOMES = {
    Verdict.THROTTLE: "throttled",
    Verdict.WALLET: "no_credits",
    Verdict.KEY: "key_refused",
    Verdict.BAD_REQUEST: "bad_request",
    Verdict.MAINTENANCE: "maintenance",
    Verdict.RETRY: "failed",
    Verdict.AMBIGUOUS: "ambiguous",
}
_COUNTED_BY_BREAKER = (Verdict.RETRY, Verdict.MAINTENANCE, Verdict.AMBIGUOUS)

_log = structlog.get_logger()


async def conclude(resources: Resources, claim: Claim, answer: Answer, seconds: float) -> None:
    """Write what the answer means. May be repeated when the database was away: every part is guarded."""
    match answer:
        case Accepted():
            try:
                await _accepted(resources, claim, answer, seconds)
            except asyncpg.UniqueViolationError:  # another attempt has this id: the provider does not name a new task
                await _refused(resources, claim, Refused(_judge(claim, "task_id_reused"), replied=True), seconds)
        case Refused(judgement=Judgement(verdict=Verdict.AMBIGUOUS)):
            await _ambiguous(resources, claim, answer, seconds)
        case Refused():
            await _refused(resources, claim, await _settled(resources, claim, answer), seconds)


async def _accepted(resources: Resources, claim: Claim, answer: Accepted, seconds: float) -> None:
    task_id = answer.task_id
    cost = claim.provider.credits_per_generation if answer.cost is None else answer.cost
    async with resources.database.transaction() as connection:
        await accounts.return_slot(connection, claim.account, claim.slot_no, claim.attempt_id)
        await segments.lock_alone(connection, claim.brief.segment_id)
        kept = await attempts.accept(connection, claim.attempt_id, task_id, cost, answer.facts)
        if kept == task_id:
            await note_segment(connection, claim.brief.segment_id, suno_task_id=task_id)
        elif kept is not None:
            await attempts.note_surplus(connection, claim.brief.segment_id, task_id)
        await _record(connection, claim, seconds, "ok", cost)
        reach("before_reply_commit")
    _count(claim, seconds, "accepted")
    metrics.count(Metric.GENERATION_COST, cost, provider=claim.provider.name, unit=claim.provider.cost_unit)
    if kept not in (None, task_id):
        _log.error("surplus_task", attempt_id=str(claim.attempt_id), provider=claim.provider.name)
        metrics.count(Metric.SURPLUS_GENERATIONS, provider=claim.provider.name)


async def _refused(resources: Resources, claim: Claim, answer: Refused, seconds: float) -> None:
    verdict, code = answer.judgement.verdict, answer.judgement.code
    async with resources.database.transaction(Channel.QUEUE, Channel.OUTBOX) as connection:
        if verdict is Verdict.THROTTLE:
            await accounts.freeze_and_halve(connection, claim.account)  # all slots are locked in order first
        await accounts.return_slot(connection, claim.account, claim.slot_no, claim.attempt_id)
        await account_care.close_for(connection, resources, claim.account, verdict)
        if not await segments.lock(connection, claim.run_id, claim.brief.segment_id):
            return
        await _record(connection, claim, seconds, code)
        if await attempts.refuse(connection, claim.attempt_id, code, verdict):
            await decide(
                connection,
                resources,
                claim.brief.segment_id,
                lambda now: after_refusal(now, claim.provider, verdict, resources.clock, answer.retry_after_seconds),
                code,
            )
    _count(claim, seconds, _OUTCOMES[verdict] if answer.judgement.known else "unknown_code")
    _alert(claim, answer.judgement)
    if verdict in _COUNTED_BY_BREAKER:
        await account_care.check_breaker(resources, claim.account)


async def _ambiguous(resources: Resources, claim: Claim, answer: Refused, seconds: float) -> None:
    """Perhaps accepted. What costs nothing is asked again at once; what may have been paid waits to be adopted."""
    code = answer.judgement.code
    async with resources.database.transaction(Channel.QUEUE, Channel.OUTBOX) as connection:
        if answer.replied:
            await accounts.return_slot(connection, claim.account, claim.slot_no, claim.attempt_id)
        if not await segments.lock(connection, claim.run_id, claim.brief.segment_id):
            return
        await _record(connection, claim, seconds, code)
        marked = await attempts.mark_ambiguous(connection, claim.attempt_id, code)
        if marked and not claim.provider.paid and await attempts.give_up(connection, claim.attempt_id, code):
            await decide(
                connection,
                resources,
                claim.brief.segment_id,
                lambda now: after_refusal(now, claim.provider, Verdict.AMBIGUOUS, resources.clock),
                code,
            )
    _count(claim, seconds, _OUTCOMES[Verdict.AMBIGUOUS])
    _alert(claim, answer.judgement)
    if marked and claim.provider.paid:
        await account_care.note_balance(resources, claim.account, {claim.attempt_id: "credits_when_ambiguous"})
    await account_care.check_breaker(resources, claim.account)


async def _settled(resources: Resources, claim: Claim, answer: Refused) -> Refused:
    """Sources differ on what 429 means at this reseller: the balance decides between wallet and throttle."""
    if answer.judgement.verdict is not Verdict.WALLET or not claim.provider.balance_decides:
        return answer
    if await account_care.lacks_credits(resources, claim.account):
        return answer
    judgement = Judgement(Verdict.THROTTLE, answer.judgement.code)
    return Refused(judgement, replied=answer.replied, retry_after_seconds=answer.retry_after_seconds)


async def _record(
    connection: Connection, claim: Claim, seconds: float, outcome: str, cost: float | None = None
) -> None:
    call = calls.Call(claim.provider.name, claim.account, "generate", claim.attempt_id, seconds, outcome, cost)
    await calls.record(connection, call)


def _count(claim: Claim, seconds: float, outcome: str) -> None:
    name, account = claim.provider.name, claim.account
    metrics.count(Metric.PROVIDER_REQUESTS, provider=name, account=account, outcome=outcome)
    metrics.observe(Metric.PROVIDER_REQUEST_SECONDS, seconds, provider=name, account=account, outcome=outcome)


def _alert(claim: Claim, judgement: Judgement) -> None:
    metrics.count(Metric.SEGMENT_ERRORS, provider=claim.provider.name, error_code=judgement.code)
    facts = {"provider": claim.provider.name, "attempt": claim.attempt_no, "error_code": judgement.code}
    if not judgement.known:
        metrics.count(Metric.UNKNOWN_PROVIDER_CODES, provider=claim.provider.name)
        _log.error("unknown_provider_code", **facts)
    elif judgement.verdict in (Verdict.RETRY, Verdict.AMBIGUOUS, Verdict.THROTTLE):
        _log.warning("submission_failed", verdict=str(judgement.verdict), **facts)
    else:
        _log.error("submission_refused", verdict=str(judgement.verdict), **facts)


def _judge(claim: Claim, code: str) -> Judgement:
    return claim.provider.verdicts.judge("transport", code)
