"""Owns the shape of what is known of a finished file beside its sound: its parts, its waveform, its checks."""

from uuid import UUID

from pydantic import Field

from services.gateway.schemas import AiMark
from services.gateway.shape import Shape


class PartView(Shape):
    """A stretch of a source's take in a file, in seconds of that take."""

    source: str
    take: int | None = None
    from_seconds: float
    to_seconds: float


class ComparedWindow(Shape):
    """A stretch of the preview and how it was found in the file: its lag, and how alike they are (1: the same)."""

    from_seconds: float
    seconds: float
    lag_ms: float
    peak: float


class GateRow(Shape):
    """One row of the quality gate: what was found, and the bound it was held against."""

    check: str
    finding: str
    stage: str
    value: float
    limit: float
    passed: bool
    mode: str


class SegmentDetails(Shape):
    """What is drawn and told of a finished file; lists are empty and the rest null before it is finished."""

    id: UUID
    run_id: UUID
    index: int
    sha256: str | None
    size_bytes: int | None
    duration_ms: int | None
    ai: AiMark | None
    recipe_hash: str | None
    parts: list[PartView]
    peaks: list[int] = Field(description="the waveform: 600 points over the file, in percent of full scale")
    preview_windows: list[ComparedWindow] = Field(description="empty when there was no preview to compare with")
    measures: dict[str, float] = Field(
        description="units by name; of the music: what a voice makes of it stands in the gate's rows of stage `mix`"
    )
    gate_verdict: str | None
    gate: list[GateRow]
