"""The one place that says which status may follow which, and the only code that writes a status."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from libs.common.database import Connection

SEGMENT_MOVES: Final[Mapping[str, frozenset[str]]] = {
    "queued": frozenset({"failed"}),  # by resume alone: a new attempt budget
    "generating": frozenset({"queued"}),
    "first": frozenset({"queued", "generating", "failed"}),
    "complete": frozenset({"queued", "generating", "first", "failed"}),
    "failed": frozenset({"queued", "generating", "first"}),
}
"""Segment: where to → where from. `complete` is final; a late success repairs `failed`."""

RUN_MOVES: Final[Mapping[str, frozenset[str]]] = {
    "creating": frozenset({"failed"}),
    "ready": frozenset({"creating", "failed"}),
    "failed": frozenset({"creating"}),
}
"""Run: where to → where from."""

MOVERS: Final[Mapping[tuple[str, str], str]] = {
    ("segment", "queued"): "runner, by resume",
    ("segment", "generating"): "generator, by the claim of a slot",
    ("segment", "first"): "callback, by a provider's preview",
    ("segment", "complete"): "archiver, when the file is stored",
    ("segment", "failed"): "generator, or the runner's sweep: no attempt alive and none left",
    ("run", "creating"): "runner, by resume or when no segment is failed any more",
    ("run", "ready"): "runner, when every segment is complete",
    ("run", "failed"): "runner, when a segment has no way left",
}
"""Who moves it; docs/states.md is drawn from these three tables."""


@dataclass(frozen=True, slots=True)
class SegmentMove:
    """What a guarded update found: the row as it is now."""

    segment_id: UUID
    run_id: UUID
    segment_index: int
    requested_at: datetime | None
    metadata: Mapping[str, Any]


_MOVE_SEGMENT: Final = """
UPDATE parcours_segments SET
  status           = $2,
  storage_path     = coalesce($4, storage_path),
  duration_seconds = coalesce($5, duration_seconds),
  preview_url      = coalesce(preview_url, $6),
  callback_token   = CASE WHEN $2 = 'complete' THEN NULL ELSE coalesce($7, callback_token) END,
  metadata         = $8::jsonb || metadata || $9::jsonb
WHERE id = $1 AND status = ANY ($3)
RETURNING id, run_id, segment_index, requested_at, metadata
"""

_NOTE_SEGMENT: Final = """
UPDATE parcours_segments SET
  preview_url   = coalesce(preview_url, $2),
  suno_task_id  = coalesce($3, suno_task_id),
  metadata      = $4::jsonb || metadata || $5::jsonb
WHERE id = $1
"""

_MOVE_RUN: Final = """
UPDATE parcours_runs SET status = $2, metadata = metadata || $4::jsonb
WHERE id = $1 AND status = ANY ($3)
RETURNING id
"""


async def move_segment(
    connection: Connection,
    segment_id: UUID,
    to: str,
    *,
    storage_path: str | None = None,
    duration_seconds: int | None = None,
    preview_url: str | None = None,
    callback_token: UUID | None = None,
    once: Mapping[str, Any] | None = None,
    notes: Mapping[str, Any] | None = None,
) -> SegmentMove | None:
    """Move a segment if its status allows it; `None` means that it did not and nothing was written.

    `once` are metadata keys that keep their first value, `notes` keys that take the newest. `complete` needs a
    `storage_path` (the database refuses it otherwise) and forgets the callback token.
    """
    row = await connection.fetchrow(
        _MOVE_SEGMENT,
        segment_id,
        to,
        list(SEGMENT_MOVES[to]),
        storage_path,
        duration_seconds,
        preview_url,
        callback_token,
        dict(once or {}),
        dict(notes or {}),
    )
    if row is None:
        return None
    return SegmentMove(row["id"], row["run_id"], row["segment_index"], row["requested_at"], row["metadata"])


async def note_segment(
    connection: Connection,
    segment_id: UUID,
    *,
    preview_url: str | None = None,
    suno_task_id: str | None = None,
    once: Mapping[str, Any] | None = None,
    notes: Mapping[str, Any] | None = None,
) -> None:
    """Add facts to a segment without moving it."""
    await connection.execute(_NOTE_SEGMENT, segment_id, preview_url, suno_task_id, dict(once or {}), dict(notes or {}))


def moving_to_first(news: str) -> str:
    """Return the UPDATE that does for many segments what `move_segment` to `first` and `note_segment` do for one.

    A part of a statement with more parts. The relation `news` has one row a segment, locked as all who announce lock:
    `segment_id`, `lifts` (move it, if its status allows), `preview_url`, `task_id`, and as jsonb `once` and `notes`.
    """
    allowed = ", ".join(f"'{status}'" for status in sorted(SEGMENT_MOVES["first"]))
    return f"""
UPDATE parcours_segments s SET
  status       = CASE WHEN n.lifts AND s.status IN ({allowed}) THEN 'first' ELSE s.status END,
  preview_url  = coalesce(s.preview_url, n.preview_url),
  suno_task_id = coalesce(n.task_id, s.suno_task_id),
  metadata     = n.once || s.metadata || n.notes
FROM {news} n WHERE s.id = n.segment_id
"""  # noqa: S608 - the words of this file and of its caller, no values


async def move_run(connection: Connection, run_id: UUID, to: str, *, notes: Mapping[str, Any] | None = None) -> bool:
    """Move a run if its status allows it; false means that it did not and nothing was written."""
    row = await connection.fetchrow(_MOVE_RUN, run_id, to, list(RUN_MOVES[to]), dict(notes or {}))
    return row is not None


async def lock_run(connection: Connection, run_id: UUID) -> bool:
    """Lock the run's row; every transaction that announces events of a run does, so that they commit in order."""
    # NO KEY: rows that refer to the run (their inserts hold its key) need not wait, which could end in a deadlock.
    locked = await connection.fetchval("SELECT true FROM parcours_runs WHERE id = $1 FOR NO KEY UPDATE", run_id)
    return locked is True
