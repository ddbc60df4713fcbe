"""Puts a decision into words: the row that is written, the event that is announced, the figures that are counted."""

from typing import Any, Final

import orjson

from libs.common import logs, metrics
from libs.common.events import Event, SegmentDelivered, SegmentFailed, SegmentFirst, Take
from libs.common.log_events import LogEvent
from libs.common.metrics import Metric
from services.callback.domain.change import Change
from services.callback.domain.news import PROVIDER_ERROR, RANKS, News, Stage
from services.callback.storage.attempts import HEARD, Attempt
from services.callback.storage.growth import Growth

COUNTED_CODES: Final = frozenset({"400", "408", "413", "429", "451", "500", "501", "531", "no_audio", PROVIDER_ERROR})
"""Error codes that may become a label: those of `providers.md` §1A and ours."""

_log = logs.get_logger()


def growth(attempt: Attempt, change: Change, news: News, raw: bytes, traceparent: str) -> Growth:
    """What `change` writes."""
    at = attempt.now.isoformat()
    facts = news.facts() | {HEARD[news.stage]: at} if change.fresh else {}
    once = _once(change, news, at)
    notes = {"surplus_task_ids": [*attempt.known.surplus, news.task_id]} if change.surplus else {}
    adopted = news.task_id if change.adopted else None
    event = _event(attempt, news) if change.announced else None
    return Growth(
        attempt_id=attempt.id,
        attempt_version=attempt.attempt_version,
        segment_id=attempt.segment_id,
        segment_version=attempt.segment_version,
        run_id=attempt.run_id,
        at=attempt.now,
        rank=RANKS[news.stage] if change.fresh else RANKS[Stage.TEXT],
        task_id=adopted,
        facts=_json(facts),
        heard=str(news.stage) if change.fresh else None,
        error_code=news.error_code,
        error_message=news.error_message,
        dialect=news.dialect,
        stage=str(news.stage),
        verdict=change.verdict,
        payload=raw,
        tells=bool(once or notes or adopted),
        lifts=change.lifted,
        preview_url=news.preview_url if change.lifted else None,
        once=_json(once),
        notes=_json(notes),
        topic=None if event is None else str(event.topic),
        event=None if event is None else event.model_dump_json(),
        traceparent=traceparent,
    )


def _once(change: Change, news: News, at: str) -> dict[str, Any]:
    """What is noted on the segment, for the operators' queries; each key keeps its first value."""
    if change.lifted:
        return {"first_received_at": at}
    if news.stage is Stage.COMPLETE and change.announced:
        return {"complete_received_at": at, "suno_download_url": news.takes[0].url}
    return {}


def _json(value: dict[str, Any]) -> str:
    return orjson.dumps(value).decode()


def _event(attempt: Attempt, news: News) -> Event:
    run_id, segment_id = attempt.run_id, attempt.segment_id
    if news.stage is Stage.FIRST:
        return SegmentFirst(run_id=run_id, segment_id=segment_id, attempt_id=attempt.id)
    if news.stage is Stage.COMPLETE:
        takes = [Take(url=take.url, duration=take.duration) for take in news.takes]
        return SegmentDelivered(run_id=run_id, segment_id=segment_id, attempt_id=attempt.id, takes=takes)
    return SegmentFailed(
        run_id=run_id,
        segment_id=segment_id,
        attempt_id=attempt.id,
        attempt_no=attempt.attempt_no,
        error_code=news.error_code or PROVIDER_ERROR,
        retryable=True,
    )


def count(attempt: Attempt, change: Change, news: News) -> None:
    """Measure after the commit, so that neither a replay nor a rollback counts."""
    provider, track = attempt.provider, attempt.track
    if change.lifted and attempt.known.segment_status != "first" and attempt.requested_at is not None:
        seconds = (attempt.now - attempt.requested_at).total_seconds()
        metrics.observe(Metric.SEGMENT_TTFP, seconds, track=track, provider=provider)
    if change.announced and news.stage is Stage.ERROR:
        code = news.error_code if news.error_code in COUNTED_CODES else "other"
        metrics.count(Metric.SEGMENT_ERRORS, track=track, provider=provider, error_code=str(code))
    if change.surplus or (change.unneeded and news.stage is Stage.COMPLETE):
        metrics.count(Metric.SURPLUS_GENERATIONS, provider=provider)
    if change.surplus:
        _log.error(LogEvent.SURPLUS_TASK, segment_id=str(attempt.segment_id), attempt=attempt.attempt_no)
