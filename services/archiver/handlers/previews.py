"""Owns copying a preview: shown as soon as 5 s of it play, kept when its stream ends, taken back when it breaks."""

from typing import Final

import structlog

from libs.common.database import Channel
from libs.common.lifecycle import lock_run
from libs.common.objects import ObjectExists
from services.archiver import storage
from services.archiver.domain.failures import Code, GiveUp, MayPass
from services.archiver.handlers import publishing
from services.archiver.handlers.growing import GrowingCopies, GrowingCopy
from services.archiver.handlers.tools import Tools
from services.archiver.sound.measure import begins_to_play
from services.archiver.storage import Job, Order

PLAYABLE_SECONDS: Final = 5.0  # of the preview decode before anybody hears of it
TRIES: Final = 5  # then the listener waits for the final
LOOK_BYTES: Final = 16 * 1024  # between two looks whether it plays: 1 s of a 128 kbit/s stream

_log = structlog.get_logger()


class NoLongerWanted(Exception):  # noqa: N818 - named after what it means for the copy
    """Nobody will hear this preview."""


async def copy_preview(job: Job, *, tools: Tools, copies: GrowingCopies) -> None:
    """Bring a job of kind `preview` to its end; raises `MayPass` or the store's error when it should be tried again.

    No failure of a preview is one of its attempt.
    """
    async with tools.database.connection() as connection:
        order = await storage.read_order(connection, job.attempt_id)
    if order is None or not _is_wanted(order):
        await _end(job, tools)
        return
    try:
        if await tools.objects.head(order.preview_key) is None:
            await _copy(order, tools, copies)
        else:  # a worker before us died between keeping and showing it
            await _show(order, tools)
    except NoLongerWanted:
        pass
    except GiveUp as failure:
        _log.info("preview_given_up", error_code=str(failure.code), segment_id=str(order.segment_id))
        await _take_back(order, tools)
    except MayPass:
        await _take_back(order, tools)
        if job.tries < TRIES:
            raise
    await _end(job, tools)


def preview_url(order: Order) -> str | None:
    """The provider's address of the preview, if it named one."""
    url = order.facts.get("preview_url")
    return str(url) if url else None


def _is_wanted(order: Order) -> bool:
    shown = order.metadata.get("preview_path")
    waited_for = order.alive and order.segment_status != "complete" and preview_url(order) is not None
    return waited_for and shown in (None, order.preview_key)


async def _copy(order: Order, tools: Tools, copies: GrowingCopies) -> None:
    with tools.room() as folder:
        copy = copies.begin(order.preview_key, folder / "preview.mp3")
        try:
            if not await _follow(order, copy, tools):
                raise GiveUp(Code.TOO_SHORT, f"{copy.size} bytes")
            await _keep(order, copy, tools)
        finally:
            if not copy.ended:
                copy.end(broken=True)
            copies.forget(order.preview_key, copy)


async def _follow(order: Order, copy: GrowingCopy, tools: Tools) -> bool:
    """Copy the stream to its end and show it on the way; whether it ever played.

    Raises `NoLongerWanted` when it may not be shown any more: its take was refused, or its final came first.
    """
    shown, looked = False, 0
    async with tools.files.stream(preview_url(order) or "") as chunks:
        async for chunk in chunks:
            copy.add(chunk)
            if not shown and copy.size - looked >= LOOK_BYTES:
                looked = copy.size
                shown = await begins_to_play(tools.ffmpeg, copy.path, PLAYABLE_SECONDS)
                if shown:
                    await _show(order, tools)
    copy.end(broken=False)
    plays = shown or (copy.size > 0 and await begins_to_play(tools.ffmpeg, copy.path, PLAYABLE_SECONDS))
    if plays and not shown:
        await _show(order, tools)
    return plays


async def _keep(order: Order, copy: GrowingCopy, tools: Tools) -> None:
    """Store what is shown; the take may have been refused while its preview still grew."""
    async with tools.database.connection() as connection:
        if await storage.shown_preview(connection, order.segment_id) != order.preview_key:
            raise NoLongerWanted
    try:
        await tools.objects.put(
            order.preview_key,
            copy.path,
            content_type="audio/mpeg",
            sha256=copy.sha256,
            metadata={"attempt-id": str(order.attempt_id)},
            if_absent=True,
        )
    except ObjectExists:
        _log.info("preview_kept_before", segment_id=str(order.segment_id))


async def _show(order: Order, tools: Tools) -> None:
    async with tools.database.transaction(Channel.OUTBOX) as connection:
        await lock_run(connection, order.run_id)
        shown = await publishing.publish(connection, order)
    if not shown:
        raise NoLongerWanted


async def _take_back(order: Order, tools: Tools) -> None:
    async with tools.database.transaction(Channel.OUTBOX, Channel.ARCHIVE) as connection:
        await lock_run(connection, order.run_id)
        await publishing.replace(connection, order)


async def _end(job: Job, tools: Tools) -> None:
    async with tools.database.connection() as connection:
        await storage.delete_job(connection, job)
