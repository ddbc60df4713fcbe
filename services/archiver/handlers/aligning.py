"""Owns reading a shown preview once more when its final is there: how far apart they are, and whether they are one."""

import asyncio
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import structlog

from services.archiver import storage
from services.archiver.domain.alignment import Alignment, first_part_seconds
from services.archiver.domain.failures import GiveUp
from services.archiver.domain.form import FADE_LAST_SECONDS, TAIL_SECONDS
from services.archiver.domain.joins import JOIN_SECONDS
from services.archiver.handlers.growing import GrowingCopies
from services.archiver.handlers.tools import Tools
from services.archiver.sound.comparing import compare
from services.archiver.storage import Order

_log = structlog.get_logger()


async def align(
    order: Order,
    music: Path,
    parts: Sequence[Mapping[str, Any]],
    *,
    folder: Path,
    tools: Tools,
    copies: GrowingCopies,
) -> Alignment:
    """Compare the preview that the segment shows with the mastered music, before anything is mixed into it.

    A preview that is gone, or cannot be read, is no failure: then nothing is known of it.
    """
    async with tools.database.connection() as connection:
        shown = await storage.shown_preview(connection, order.segment_id)
    preview = folder / "shown-preview.mp3"
    if shown is None or not await _read(shown, preview, tools, copies):
        return Alignment()
    faded = FADE_LAST_SECONDS if order.plan.get("last") else TAIL_SECONDS  # there the preview may play on
    try:
        matches, gain = await compare(
            tools.ffmpeg, preview, music, seconds=first_part_seconds(parts, JOIN_SECONDS) - faded
        )
    except GiveUp as failure:
        _log.info("preview_unreadable", reason=str(failure.code), segment_id=str(order.segment_id))
        return Alignment(shown)
    return Alignment(shown, matches, gain)


async def _read(shown: str, into: Path, tools: Tools, copies: GrowingCopies) -> bool:
    """Our copy in the store, else what there is of it while it still grows here."""
    if await _read_stored(shown, into, tools):
        return True
    growing = copies.find(shown)
    if growing is None:
        return False
    try:
        await asyncio.to_thread(shutil.copyfile, growing.path, into)
    except FileNotFoundError:  # it ended just now, and was kept
        return await _read_stored(shown, into, tools)
    return True


async def _read_stored(shown: str, into: Path, tools: Tools) -> bool:
    if await tools.objects.head(shown) is None:
        return False
    with into.open("wb") as file:
        async for piece in tools.objects.read(shown):
            file.write(piece)
    return True
