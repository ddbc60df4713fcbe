"""Owns storing a finished file: once, whole and named after what it is; or giving it up for good."""

import asyncio
import contextlib
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import structlog

from libs.common import metrics
from libs.common.database import UNAVAILABLE, Channel, Connection
from libs.common.events import SegmentComplete, SegmentFailed
from libs.common.fault_points import reach
from libs.common.lifecycle import SegmentMove, lock_run, move_segment
from libs.common.metrics import Metric
from libs.common.objects import ObjectError, ObjectExists
from libs.common.outbox import announce
from services.archiver import storage
from services.archiver.domain.alignment import Alignment, only_of_what_is_shown
from services.archiver.domain.failures import GATE, Code, GiveUp, MayPass
from services.archiver.handlers import publishing
from services.archiver.handlers.aligning import align
from services.archiver.handlers.describing import MEASURED, count_waste, describe, plays_a_refused_take
from services.archiver.handlers.growing import GrowingCopies
from services.archiver.handlers.narrating import Narrated, narrate
from services.archiver.handlers.taking import Made, make_file
from services.archiver.handlers.tools import Tools
from services.archiver.storage import Job, Order

KEPT_SECONDS: Final = {"composer": 600.0, "replicate": 3600.0, "fal": 7 * 86400.0}
"""How long a provider keeps a file (providers.md §0.4); composer's are made again for nothing."""

MISTAKE_TRIES: Final = 5
"""Then what our own code breaks on is given up: a live attempt that nobody carries would hold its run for ever."""

KEPT_LONGEST_SECONDS: Final = 14 * 86400.0  # sunoapi.org, and who is not named above

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Stored:
    """An object in the store that an attempt answers for."""

    attempt_id: UUID
    sha256: bytes
    measures: Mapping[str, Any]


async def archive_final(job: Job, *, tools: Tools, copies: GrowingCopies) -> None:
    """Bring a job of kind `final` to its end; raises `MayPass` or the store's error when it should be tried again."""
    async with tools.database.connection() as connection:
        order = await storage.read_order(connection, job.attempt_id)
    if order is None or order.rank < 5 or not order.alive:  # noqa: PLR2004 - delivered
        await _drop(job, tools)
        return
    if order.segment_status == "complete":
        await _drop_surplus(job, order, tools)
        return
    try:
        if job.tries > 1 and (stored := await _recognise(order, tools)):
            await _complete(job, order, stored, tools)
        else:
            await _make_and_store(job, order, tools, copies)
    except GiveUp as failure:
        await _give_up(job, order, failure, tools)
    except MayPass as pause:
        if job.age_seconds <= KEPT_SECONDS.get(order.provider, KEPT_LONGEST_SECONDS) * tools.time_scale:
            raise
        await _give_up(job, order, GiveUp(Code.FILE_GONE, pause.reason), tools)
    except (ObjectError, *UNAVAILABLE):
        raise  # the store or the database is away, which is not the file's fault
    except Exception as error:
        if job.tries < MISTAKE_TRIES:
            raise
        await _give_up(job, order, GiveUp(Code.ARCHIVE_ERROR, type(error).__name__), tools)


async def _make_and_store(job: Job, order: Order, tools: Tools, copies: GrowingCopies) -> None:
    with tools.room() as folder:
        made = await make_file(order, tries=job.tries, folder=folder, tools=tools)
        reach("after_download")
        formed = made.formed
        alignment = await align(order, formed.path, formed.parts, folder=folder, tools=tools, copies=copies)
        narrated = await narrate(order, formed, made.mode, folder=folder, tools=tools)
        alignment = alignment.over_a_bed(narrated.bed_gain_db)
        async with tools.database.connection() as held, storage.alone_with(held, order.segment_id):
            now = await storage.read_order(held, order.attempt_id)
            if now is None or now.segment_status == "complete":
                await _drop_surplus(job, order, tools)
            else:
                await _complete(job, order, await _store(order, made, narrated, alignment, tools), tools)


async def _store(order: Order, made: Made, narrated: Narrated, alignment: Alignment, tools: Tools) -> Stored:
    """Say what is about to be stored, then store it; what another attempt stored before is recognised instead."""
    path = narrated.path
    sha256 = await asyncio.to_thread(_hash, path)
    about = describe(order, made, alignment, path.stat().st_size)
    stored = Stored(order.attempt_id, sha256, about | dict(narrated.notes))
    async with tools.database.transaction() as connection:
        await storage.note_candidate(connection, order.attempt_id, sha256, stored.measures)
    if narrated.music is not None:
        await _store_music(order, narrated.music, tools)
    reach("before_put")
    try:
        await tools.objects.put(
            order.final_key,
            path,
            content_type="audio/mpeg",
            sha256=sha256,
            metadata={"attempt-id": str(order.attempt_id)},
            if_absent=True,
        )
    except ObjectExists:
        return await _recognise(order, tools) or _unknown_object(order)
    reach("after_put")
    return stored


async def _store_music(order: Order, path: Path, tools: Tools) -> None:
    """Keep the music of a mix; what a killed worker stored of this attempt is the same music."""
    sha256 = await asyncio.to_thread(_hash, path)
    about = {"attempt-id": str(order.attempt_id)}
    with contextlib.suppress(ObjectExists):
        await tools.objects.put(
            order.music_key, path, content_type="audio/mpeg", sha256=sha256, metadata=about, if_absent=True
        )


async def _recognise(order: Order, tools: Tools) -> Stored | None:
    """The object at the segment's key, when an attempt of this segment announced exactly these bytes."""
    info = await tools.objects.head(order.final_key)
    if info is None or info.sha256 is None:
        return None
    try:
        attempt_id = UUID(info.metadata.get("attempt-id", ""))
    except ValueError:
        return None
    async with tools.database.connection() as connection:
        measures = await storage.read_candidate(connection, order.segment_id, attempt_id, info.sha256)
    return Stored(attempt_id, info.sha256, measures) if measures is not None else None


def _unknown_object(order: Order) -> Stored:
    _log.error("object_unknown", run_id=str(order.run_id), segment_id=str(order.segment_id))
    raise MayPass("an object nobody announced has the key")


async def _complete(job: Job, order: Order, stored: Stored, tools: Tools) -> None:
    async with tools.database.transaction(Channel.OUTBOX) as connection:
        await lock_run(connection, order.run_id)
        notes = only_of_what_is_shown(stored.measures, await publishing.shown(connection, order))
        moved = await move_segment(
            connection,
            order.segment_id,
            "complete",
            storage_path=order.final_key,
            duration_seconds=round(stored.measures["duration_ms"] / 1000),
            once={"suno_download_url": stored.measures["original_url"]},
            notes={name: value for name, value in notes.items() if name != "original_url"}
            | {"sha256": stored.sha256.hex()},
        )
        waited = None
        if moved is not None:
            await storage.mark_stored(connection, stored.attempt_id, stored.sha256, stored.measures)
            await announce(connection, _news(order, stored, notes))
            if plays_a_refused_take(notes):
                await publishing.withdraw(connection, order)
            waited = await _seconds_since_request(connection, moved)
        surplus = await storage.mark_surplus(connection, order.attempt_id)
        await storage.delete_job(connection, job)
        reach("before_final_commit")
    reach("after_final_commit")
    if moved is not None:
        _measure_success(order, waited)
        count_waste(order.provider, stored.measures.get("gate_refused", ()))
    if surplus:
        _count_surplus(order)


async def _give_up(job: Job, order: Order, failure: GiveUp, tools: Tools) -> None:
    async with tools.database.transaction(Channel.OUTBOX, Channel.ARCHIVE) as connection:
        await lock_run(connection, order.run_id)
        await storage.lock_segment(connection, order.segment_id)
        number = await storage.give_up_attempt(connection, order.attempt_id, failure.code, failure.evidence)
        if number is not None:
            await announce(
                connection,
                SegmentFailed(
                    run_id=order.run_id,
                    segment_id=order.segment_id,
                    attempt_id=order.attempt_id,
                    attempt_no=number,
                    error_code=failure.code,
                    retryable=True,
                ),
            )
            if failure.code in GATE:
                await publishing.replace(connection, order)
        await storage.delete_job(connection, job)
    if number is not None:
        metrics.count(Metric.SEGMENT_ERRORS, track=order.track, provider=order.provider, error_code=failure.code)
        count_waste(order.provider, failure.evidence)
        _log.warning("file_given_up", error_code=str(failure.code), found=failure.found, **_ids(order))


async def _drop(job: Job, tools: Tools) -> None:
    async with tools.database.connection() as connection:
        await storage.delete_job(connection, job)


async def _drop_surplus(job: Job, order: Order, tools: Tools) -> None:
    async with tools.database.transaction() as connection:
        surplus = await storage.mark_surplus(connection, order.attempt_id)
        await storage.delete_job(connection, job)
    if surplus:
        _count_surplus(order)


def _news(order: Order, stored: Stored, notes: Mapping[str, Any]) -> SegmentComplete:
    return SegmentComplete(
        run_id=order.run_id,
        segment_id=order.segment_id,
        attempt_id=stored.attempt_id,
        storage_path=order.final_key,
        duration_seconds=stored.measures["duration_ms"] / 1000,
        size_bytes=stored.measures["size_bytes"],
        sha256=stored.sha256.hex(),
        **{name: notes[name] for name in MEASURED if name in notes},
        narration=notes.get("narration", {}).get("state"),
        narration_windows_ms=notes.get("narration_windows_ms"),
        music_bed_gain_db=notes.get("music_bed_gain_db"),
    )


async def _seconds_since_request(connection: Connection, moved: SegmentMove) -> float | None:
    seconds: float | None = await connection.fetchval(
        "SELECT extract(epoch FROM clock_timestamp() - $1::timestamptz)::float8", moved.requested_at
    )
    return seconds


def _measure_success(order: Order, waited: float | None) -> None:
    metrics.count(Metric.SEGMENTS_FINISHED, track=order.track, outcome="complete", provider=order.provider)
    if waited is not None:
        metrics.observe(Metric.SEGMENT_TTFC, waited, track=order.track, provider=order.provider)
    _log.info("file_stored", **_ids(order))


def _count_surplus(order: Order) -> None:
    metrics.count(Metric.SURPLUS_GENERATIONS, provider=order.provider)
    _log.warning("surplus_generation", **_ids(order))


def _ids(order: Order) -> dict[str, object]:
    return {
        "run_id": str(order.run_id),
        "segment_id": str(order.segment_id),
        "provider": order.provider,
        "attempt": order.attempt_no,
    }


def _hash(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()
