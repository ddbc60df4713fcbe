"""Owns the shape of a run's arc: what was planned and what is played, every 15 s."""

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import Field

from services.gateway.schemas import SegmentStatus
from services.gateway.shape import Shape


class PlannedPoint(Shape):
    """Meant for the 15 s from `t` on, in seconds of the run."""

    t: float
    bpm: float
    brightness: Annotated[float, Field(ge=0, le=1)]
    lufs: float


class MeasuredPoint(Shape):
    """Played in the 15 s from `t` on, as the archiver measured it in the stored file."""

    t: float
    segment_index: int
    bpm: float | None = Field(description="null where the beat is not certain; octaves are the plan's")
    centroid_hz: float = Field(description="A-weighted; compare its course, not its unit, with the planned brightness")
    lufs: float


class Correlation(Shape):
    """Pearson's r of planned and measured, the run's last fade left out.

    Of 15 s for tempo and brightness, of minutes for loudness, which a plan moves by 1 LU in all. null where fewer than
    four of them were measured, or where nothing was meant to change.
    """

    tempo: float | None
    brightness: float | None
    loudness: float | None


class ArcPart(Shape):
    """A stretch of the segment's file, in seconds of it, and who made it."""

    source: str
    take: int | None = None
    from_seconds: float
    to_seconds: float


class ArcSegment(Shape):
    id: UUID
    index: int
    start: float = Field(description="in seconds of the run")
    seconds: float | None
    status: SegmentStatus
    parts: list[ArcPart]
    gate: Literal["passed", "recorded"] | None = Field(description="what the quality gate said of the stored file")


class RunArc(Shape):
    """For the run's owner alone: the planned curve comes from what the person told of how they feel."""

    run_id: UUID
    step_seconds: int
    total_seconds: float | None
    planned: list[PlannedPoint] = Field(description="empty for a run of before there were arcs")
    measured: list[MeasuredPoint] = Field(description="of segments that are complete")
    correlation: Correlation
    segments: list[ArcSegment]


def arc_parts(recipe: object) -> list[ArcPart]:
    """The parts of a stored recipe; none when there is no recipe."""
    parts: list[dict[str, Any]] = recipe if isinstance(recipe, list) else []
    return [ArcPart(**{name: part[name] for name in ArcPart.model_fields if name in part}) for part in parts]
