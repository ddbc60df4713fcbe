"""What happened, as messages: one class an event, with its topic; `contracts/` holds their schemas and examples."""

from datetime import datetime
from typing import Annotated, ClassVar, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from libs.common.topics import Topic

Sha256Hex = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Seconds = Annotated[float, Field(ge=0)]
ErrorCode = Annotated[str, Field(pattern=r"^[a-z0-9_]{1,64}$")]


class Event(BaseModel):
    """Ids, states, measured facts: never an emotion, a score, a text, a token or a signed address.

    Unknown fields are ignored, so that a field can be added; none is ever removed or changed within a version.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")
    topic: ClassVar[Topic]

    version: Literal[1] = 1
    run_id: UUID


class SegmentEvent(Event):
    segment_id: UUID


class RunCreated(Event):
    """A run and its segments exist; nothing was asked for yet."""

    topic = Topic.RUN_CREATED
    preset_key: str
    strategy: Literal["ahead", "sequential", "all"]
    segments_count: int


class RunEnriched(Event):
    """The model's words replaced some of the templates'."""

    topic = Topic.RUN_ENRICHED
    changed: list[Literal["brief", "titles", "lines", "colour"]]


class RunReady(Event):
    """Every segment is stored."""

    topic = Topic.RUN_READY
    segments_count: int
    duration_seconds: Seconds
    ttfp_seconds: Seconds | None
    ready_seconds: Seconds


class RunFailed(Event):
    """A segment has no way left; a late success or a resume may still repair it."""

    topic = Topic.RUN_FAILED
    segments_complete: int
    segments_count: int
    error_code: ErrorCode


class SegmentRequested(SegmentEvent):
    """The segment is wanted by `due_at`; after `deadline_at` it counts as failed."""

    topic = Topic.SEGMENT_REQUESTED
    segment_index: int
    due_at: datetime
    deadline_at: datetime


class SegmentStarted(SegmentEvent):
    """A slot was claimed; the provider is being asked."""

    topic = Topic.SEGMENT_STARTED
    attempt_id: UUID
    attempt_no: int
    provider: str


class SegmentFirst(SegmentEvent):
    """A preview can be played; its address stands in the attempt's facts."""

    topic = Topic.SEGMENT_FIRST
    attempt_id: UUID


class SegmentPreviewed(SegmentEvent):
    """The preview is in our store (or, with `None`, was withdrawn)."""

    topic = Topic.SEGMENT_PREVIEWED
    attempt_id: UUID
    preview_path: str | None


class Take(BaseModel):
    """One piece of audio of an attempt; its address must carry no secret."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    url: str
    duration: Seconds | None


class SegmentDelivered(SegmentEvent):
    """The provider says that it is finished and where the files are."""

    topic = Topic.SEGMENT_DELIVERED
    attempt_id: UUID
    takes: list[Take]


class Part(BaseModel):
    """A stretch of a source's take in a file, in seconds of that take."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    source: str
    take: int | None = None
    from_seconds: Seconds
    to_seconds: Seconds


class SegmentComplete(SegmentEvent):
    """The file is checked and stored; it can be signed.

    Offset, take and gain are of the preview that is shown now: a sound's place in it minus its place in the file.
    """

    topic = Topic.SEGMENT_COMPLETE
    attempt_id: UUID
    storage_path: str
    duration_seconds: Seconds
    size_bytes: int
    sha256: Sha256Hex
    preview_offset_ms: float | None = None
    same_take: bool = False
    preview_gain_db: float | None = None
    quiet_points_ms: list[int] = []
    peaks: list[Annotated[int, Field(ge=0, le=100)]] = []
    parts: list[Part] = []
    narration: Literal["spoken", "partial", "silent", "missing"] | None = None
    """What became of the segment's lines; `None` in a run without narration."""
    narration_windows_ms: list[tuple[int, int]] | None = None
    music_bed_gain_db: float | None = None
    """Of the music in a narrated file, against the music alone."""


class SegmentFailed(SegmentEvent):
    """One attempt failed (`retryable`), or none is left (`retryable` false, no attempt named)."""

    topic = Topic.SEGMENT_FAILED
    attempt_id: UUID | None
    attempt_no: int | None
    error_code: ErrorCode
    retryable: bool


EVENTS: tuple[type[Event], ...] = (
    RunCreated,
    RunEnriched,
    RunReady,
    RunFailed,
    SegmentRequested,
    SegmentStarted,
    SegmentFirst,
    SegmentPreviewed,
    SegmentDelivered,
    SegmentComplete,
    SegmentFailed,
)

BY_TOPIC: dict[Topic, type[Event]] = {event.topic: event for event in EVENTS}
