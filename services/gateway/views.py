"""Owns how rows become what a listener or an operator may see of them."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from itertools import accumulate
from typing import Any

from pydantic.alias_generators import to_camel

from services.gateway.arc_schemas import ArcSegment, Correlation, MeasuredPoint, PlannedPoint, RunArc, arc_parts
from services.gateway.details_schemas import SegmentDetails
from services.gateway.domain import arc
from services.gateway.domain.attempt_notes import attempt_notes
from services.gateway.narration import narration_note, narration_view
from services.gateway.schemas import LogEntry, Progress, RunSummary, RunView, SegmentView
from services.gateway.storage import Row

Address = Callable[[str], Awaitable[str]]
"""Signs an object key."""

_MEASURED = (
    *("preview_offset_ms", "same_take", "preview_gain_db", "quiet_points_ms"),
    *("narration_windows_ms", "music_bed_gain_db"),
)
_PERSONAL = ("emotion_state", "suds_start", "suds_mid", "suds_end", "brief")
_INTERNAL = frozenset({"version", "takes", "storage_path", "preview_path"})  # providers' addresses, places of ours
_DETAILS = frozenset({"peaks", "parts"})  # asked for when they are drawn
_STEPS = ("dispatched", "submitted", "first", "delivered", "finished")


async def run_view(run: Row, segments: Sequence[Row], last_event_id: int, *, address: Address | None) -> RunView:
    """Return a run; without `address` the reader is an operator, who sees no person in it."""
    shown = run if address is not None else run | dict.fromkeys(_PERSONAL)
    views: list[SegmentView] = []
    start = 0.0
    for segment in segments:
        view = await _segment_view(segment, start, address)
        views.append(view)
        start += view.seconds or 0
    return RunView(
        **{name: shown[name] for name in ("id", "status", "preset_key", "locale", "strategy", *_PERSONAL)},
        created_at=run["created_at"],
        updated_at=run["updated_at"],
        seed=run["plan"].get("seed"),
        narration=run["plan"].get("narration") is True,
        total_seconds=run["plan"].get("total_seconds"),
        ttfp_seconds=_ttfp_seconds(run["created_at"], segments),
        progress=_progress(segments),
        segments=views,
        last_event_id=last_event_id,
    )


def run_summary(run: Row) -> RunSummary:
    names = ("id", "status", "preset_key", "locale", "segments_count", "segments_complete", "created_at", "updated_at")
    return RunSummary(**{name: run[name] for name in names}, total_seconds=run["plan"].get("total_seconds"))


def run_arc(run: Row, segments: Sequence[Row]) -> RunArc:
    """Return what was planned and what is played, for the owner."""
    planned, measured = arc.planned_points(run["plan"]), arc.measured_points(segments)
    starts = accumulate(map(_seconds, segments), initial=0.0)
    total = sum(map(_seconds, segments))
    return RunArc(
        run_id=run["id"],
        step_seconds=arc.STEP_SECONDS,
        total_seconds=run["plan"].get("total_seconds"),
        planned=[PlannedPoint(**asdict(point)) for point in planned],
        measured=[MeasuredPoint(**asdict(point)) for point in measured],
        correlation=Correlation(**arc.correlations(planned, measured, total)),
        segments=[_arc_segment(segment, start) for segment, start in zip(segments, starts, strict=False)],
    )


async def event_data(payload: Mapping[str, Any], at: datetime, *, address: Address) -> dict[str, object]:
    """Return what the owner's stream says of one event: no provider's address, our own signed instead."""
    shown: dict[str, object] = {
        name if name in _MEASURED else to_camel(name): value
        for name, value in payload.items()
        if name not in _INTERNAL | _DETAILS
    }
    shown["at"] = at
    if "preview_path" in payload:  # null: the preview was withdrawn
        path = payload["preview_path"]
        shown["previewUrl"] = None if path is None else await address(path)
    if "storage_path" in payload:
        shown["finalUrl"] = await address(payload["storage_path"])
    return shown


def segment_details(segment: Row) -> SegmentDetails:
    """Return what is known of a segment's file."""
    metadata = segment["metadata"]
    names = ("sha256", "size_bytes", "duration_ms", "ai", "recipe_hash", "gate_verdict")
    single = {name: metadata.get(name) for name in names}
    return SegmentDetails(
        id=segment["id"],
        run_id=segment["run_id"],
        index=segment["segment_index"],
        parts=metadata.get("parts") or [],
        peaks=metadata.get("peaks") or [],
        preview_windows=(metadata.get("preview_compared") or {}).get("windows", []),
        measures=metadata.get("measures") or {},
        gate=[*(metadata.get("gate") or []), *((metadata.get("narration") or {}).get("gate") or [])],
        **single,
    )


def log_entries(history: Sequence[Row], attempts: Sequence[Row], *, for_operators: bool = False) -> list[LogEntry]:
    """Return what happened to a run, oldest first; `for_operators` with what the providers' accounts hold."""
    entries = [
        LogEntry(
            at=row["changed_at"],
            kind="status",
            segment_id=row["segment_id"],
            segment_index=row["segment_index"],
            event=row["to_status"],
            from_status=row["from_status"],
            by=row["changed_by"],
            notes=[narration_note(row["narration"])] if row["narration"] else None,
        )
        for row in history
    ]
    entries += [entry for row in attempts for entry in _attempt_entries(row, attempts, for_operators=for_operators)]
    return sorted(entries, key=lambda entry: entry.at)


def _attempt_entries(row: Row, attempts: Sequence[Row], *, for_operators: bool) -> list[LogEntry]:
    """One entry for each step that was reached, in their order; how it ended stands at the last."""
    reached = sorted((step for step in _STEPS if row[f"{step}_at"] is not None), key=lambda step: row[f"{step}_at"])
    beside = [other for other in attempts if other["segment_id"] == row["segment_id"]]
    entries = [_attempt_entry(row, step, last=step == reached[-1]) for step in reached]
    notes = attempt_notes(row, beside, for_operators=for_operators)
    return [*entries[:-1], entries[-1].model_copy(update={"notes": notes})]


def _attempt_entry(row: Row, step: str, *, last: bool) -> LogEntry:
    gave_up = last and row["gave_up_rank"] is not None and row["rank"] <= row["gave_up_rank"]
    return LogEntry(
        at=row[f"{step}_at"],
        kind="attempt",
        segment_id=row["segment_id"],
        segment_index=row["segment_index"],
        event="gave_up" if gave_up and step == "finished" else step,
        attempt=row["attempt_no"],
        provider=row["provider"],
        bridge=row["bridge"],
        outcome=("gave_up" if gave_up else row["outcome"]) if last else None,
        error_code=row["error_code"] if last else None,
        provider_task_id=row["provider_task_id"] if step != "dispatched" or last else None,
        cost=row["cost"] if last else None,
    )


async def _segment_view(segment: Row, start_seconds: float, address: Address | None) -> SegmentView:
    plan, metadata = segment["plan"], segment["metadata"]
    preview, final = metadata.get("preview_path"), segment["storage_path"]
    return SegmentView(
        id=segment["id"],
        index=segment["segment_index"],
        title=segment["title"] if address is not None else None,
        status=segment["status"],
        seconds=plan.get("seconds"),
        file_seconds=plan.get("file_seconds"),
        start_seconds=start_seconds,
        duration_seconds=segment["duration_seconds"],
        preview_url=await address(preview) if address is not None and preview else None,
        final_url=await address(final) if address is not None and final and segment["status"] == "complete" else None,
        narration=narration_view(plan, metadata.get("narration")) if address is not None else None,
        **{name: metadata.get(name) for name in _MEASURED},
        sha256=metadata.get("sha256"),
        ai=metadata.get("ai"),
    )


def _arc_segment(segment: Row, start: float) -> ArcSegment:
    metadata = segment["metadata"]
    return ArcSegment(
        id=segment["id"],
        index=segment["segment_index"],
        start=start,
        seconds=segment["plan"].get("seconds"),
        status=segment["status"],
        parts=arc_parts(metadata.get("parts")),
        gate=metadata.get("gate_verdict"),
    )


def _progress(segments: Sequence[Row]) -> Progress:
    complete = [segment for segment in segments if segment["status"] == "complete"]
    playable = [segment for segment in segments if segment["metadata"].get("preview_path")]
    total = sum(_seconds(segment) for segment in segments)
    return Progress(
        segments=len(segments),
        playable=len({segment["id"] for segment in (*complete, *playable)}),
        complete=len(complete),
        failed=sum(segment["status"] == "failed" for segment in segments),
        fraction=round(sum(map(_seconds, complete)) / total, 4) if total else 0.0,
    )


def _seconds(segment: Row) -> float:
    return float(segment["plan"].get("seconds") or 0)


def _ttfp_seconds(created_at: datetime, segments: Sequence[Row]) -> float | None:
    """Return run created → first playable sound: `first`, or `complete` where `first` was skipped."""
    stamps = [
        segment["metadata"].get("first_received_at") or segment["metadata"].get("complete_received_at")
        for segment in segments
    ]
    times = [datetime.fromisoformat(stamp) for stamp in stamps if isinstance(stamp, str)]
    return round(max(0.0, (min(times) - created_at).total_seconds()), 3) if times else None
