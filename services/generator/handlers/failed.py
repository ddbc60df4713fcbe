"""An attempt failed after the provider had accepted it: what its code means, and who is asked next."""

import structlog

from libs.common import metrics
from libs.common.database import Connection
from libs.common.events import SegmentFailed
from libs.common.metrics import Metric
from services.generator.domain.next_step import after_failure
from services.generator.handlers.account_care import close_for
from services.generator.handlers.decision import decide
from services.generator.handlers.resources import Resources
from services.generator.storage import attempts, segments

_log = structlog.get_logger()


async def attempt_failed(connection: Connection, event: SegmentFailed, *, resources: Resources) -> None:
    """Decide once for each failed attempt; a verdict (`retryable` false) is our own or the runner's and ends here."""
    if not event.retryable or event.attempt_id is None:
        return
    attempt = await attempts.get(connection, event.attempt_id)
    if attempt is None:
        return
    provider = resources.roster.provider(attempt.provider)
    judgement = provider.verdicts.judge_failure(event.error_code)
    # No HTTP here: whether an empty wallet is really empty is asked by the next round of the accounts sweep.
    await close_for(connection, resources, attempt.account, judgement.verdict, look_soon=True)
    if not await segments.lock(connection, event.run_id, event.segment_id):
        return
    current = await attempts.get(connection, event.attempt_id, lock=True)
    if current is None or current.alive:  # later news has revived it
        return
    await attempts.note_fact(connection, attempt.id, "verdict", judgement.verdict)
    await decide(
        connection,
        resources,
        event.segment_id,
        lambda now: after_failure(now, provider, judgement.verdict, resources.clock),
        event.error_code,
    )
    facts = {"provider": provider.name, "attempt": attempt.attempt_no, "error_code": event.error_code}
    if judgement.known:
        _log.warning("attempt_failed", verdict=str(judgement.verdict), **facts)
    else:
        metrics.count(Metric.UNKNOWN_PROVIDER_CODES, provider=provider.name)
        _log.error("unknown_provider_code", **facts)
