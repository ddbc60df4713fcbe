"""Owns the rest of a file that came too short: composer plays on, as often as it is asked, or the takes go on alone."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import structlog

from libs.common.fault_points import reach
from services.archiver.domain import form, gate
from services.archiver.domain.failures import Code, GiveUp, MayPass
from services.archiver.domain.form import Wanted
from services.archiver.domain.joins import JOIN_SECONDS
from services.archiver.handlers.tools import Tools
from services.archiver.sound.measure import Take, inspect
from services.archiver.storage import Order

ASKED: Final = 4
"""Tries of a job in which composer is asked, with 14 s of pauses and at most 4 minutes of waiting. Then the takes are
played in turn: a listener rather hears a passage again than waits for a composer that is away."""

SOURCE: Final = "composer"

_log = structlog.get_logger()


async def continue_take(
    order: Order, takes: Sequence[Take], wanted: Wanted, *, tries: int, folder: Path, tools: Tools
) -> Take | None:
    """What composer plays behind the first take; `None` where the takes are enough, or composer will not play on.

    Raises `MayPass` when it is away or late, before the last of the tries in which it is asked.
    """
    begins_at = form.continues_from([take.measures for take in takes], wanted)
    exact = order.plan.get("x_parcours")
    if begins_at is None or not isinstance(exact, Mapping):
        return None
    path = folder / "continuation"
    try:
        await tools.play_on(exact, begins_at, path)
        rest = await _inspect(path, begins_at, wanted, tools)
    except (MayPass, GiveUp) as failure:
        if isinstance(failure, MayPass) and tries < ASKED:
            raise
        reason = failure.reason if isinstance(failure, MayPass) else str(failure)
        _log.warning("continuation_missing", run_id=str(order.run_id), segment_id=str(order.segment_id), reason=reason)
        return None
    reach("after_continuation")
    return rest


async def _inspect(path: Path, begins_at: int, wanted: Wanted, tools: Tools) -> Take:
    """Judge it as any file but for its length, which may be short; its level is that of what does not fade yet."""
    seconds = wanted.seconds - begins_at
    level = max(seconds - form.FADE_LAST_SECONDS, JOIN_SECONDS) if wanted.last else seconds
    rest = await inspect(tools.ffmpeg, path, keep_seconds=level, clicks=True)
    if rest.measures.seconds < seconds - 1 / form.SAMPLE_RATE:
        raise GiveUp(Code.DURATION_OFF, f"{rest.measures.seconds:.3f} s of {seconds:.3f}")
    findings = {name: value for name, value in rest.measures.findings.items() if name != "seconds"}
    gate.judge("raw", findings, tools.gate.mode)
    return replace(rest, source=SOURCE, begins_at=begins_at)
