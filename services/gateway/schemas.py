"""Owns the shapes of the edge's answers, for the answers themselves and for the OpenAPI document."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from services.gateway.narration import NarrationView
from services.gateway.shape import Shape

RunStatus = Literal["creating", "ready", "failed"]
SegmentStatus = Literal["queued", "generating", "first", "complete", "failed"]
Titles = dict[Literal["fr", "en"], str]
Suds = Annotated[int, Field(ge=0, le=10)]


class Problem(BaseModel):
    """RFC 9457; decide on `code`, never on the texts. Members of single problems stand beside these."""

    model_config = ConfigDict(extra="allow")
    type: str
    title: str
    status: int
    code: str
    detail: str | None = None


class NewRun(Shape):
    """What a person asks for; everything but the preset may be left out."""

    preset_key: str = Field(examples=["panique-anxiete"])
    emotion_state: str | None = Field(default=None, description="label-intensity", examples=["fear-0.8"])
    suds_start: Suds | None = Field(default=None, description="0 calm to 10 the worst possible; null: skipped")
    locale: Literal["fr", "en"] = "fr"
    style: str | None = Field(default=None, description="a key of `GET /v1/presets`' styles")
    arc: Literal["auto", "gentle"] = "auto"
    strategy: Literal["ahead", "sequential", "all"] = "ahead"
    seed: int | None = Field(default=None, description="the same request and seed give the same plan")
    narration: bool = Field(default=False, description="a few lines are spoken, over music that steps back")


class Preset(Shape):
    key: str
    order: int
    title: Titles
    minutes: int
    segments_count: int


class Style(Shape):
    key: str
    title: Titles


class Emotion(Shape):
    label: str
    title: Titles
    preset: str = Field(description="a suggestion; an explicit preset wins")


class SudsScale(Shape):
    """How the question is asked; only 0, 5 and 10 have labels."""

    version: str
    lowest: int
    highest: int
    question: Titles
    labels: dict[str, Titles]


class Offered(Shape):
    """Everything a start page lets a person choose from."""

    version: str
    presets: list[Preset]
    styles: list[Style]
    emotions: list[Emotion]
    suds: SudsScale


class PlannedSegment(Shape):
    id: UUID
    index: int
    title: str
    seconds: int
    file_seconds: int


class Estimate(Shape):
    """A guess, for a progress display."""

    first_sound_seconds: int
    ready_seconds: int


class Notice(Shape):
    code: str
    text: str


class Contact(Shape):
    """Where a person in danger can turn."""

    id: str
    country: str
    name: str
    number: str
    channel: Literal["voice", "sms", "web"]
    who: str
    hours: str


class CreatedRun(Shape):
    run_id: UUID
    brief: str
    segments_count: int
    status: RunStatus
    seed: int
    estimate: Estimate
    segments: list[PlannedSegment]
    notices: list[Notice]
    contraindications: list[Notice]
    crisis_contacts: list[Contact]
    support_first: bool = Field(description="show the contacts before the music")
    calmed: bool = Field(description="the plan was softened, because the person said that it is very hard")


class AiMark(Shape):
    """Who made the music: `true` a model, `procedural` a program without one; `system` names provider and model."""

    music: Literal["true", "procedural"]
    system: str
    voice: str | None = Field(default=None, description="whose synthetic voice speaks over it")


class SegmentView(Shape):
    """A segment as its listener sees it; `previewUrl` and `finalUrl` are signed, of our origin, good for an hour."""

    id: UUID
    index: int
    title: str | None
    status: SegmentStatus
    seconds: float | None
    file_seconds: float | None
    start_seconds: float
    duration_seconds: int | None
    preview_url: str | None
    final_url: str | None
    # These keep the names of audio-and-player.md §6.1.
    preview_offset_ms: Annotated[float | None, Field(alias="preview_offset_ms")] = None
    same_take: Annotated[bool | None, Field(alias="same_take")] = None
    preview_gain_db: Annotated[float | None, Field(alias="preview_gain_db")] = None
    quiet_points_ms: Annotated[list[float] | None, Field(alias="quiet_points_ms")] = None
    narration_windows_ms: Annotated[list[list[float]] | None, Field(alias="narration_windows_ms")] = None
    sha256: str | None = Field(default=None, description="of the finished file, which its ETag repeats")
    ai: AiMark | None = None
    music_bed_gain_db: Annotated[float | None, Field(alias="music_bed_gain_db")] = None
    narration: NarrationView | None = Field(default=None, description="null: none was asked for, or it is not made yet")


class Progress(Shape):
    segments: int
    playable: int = Field(description="segments with a preview or a finished file")
    complete: int
    failed: int
    fraction: float = Field(ge=0, le=1, description="finished seconds of all seconds")


class RunView(Shape):
    """A run at one moment; `lastEventId` is the newest event it contains.

    An operator reads any run, without emotion, SUDS, texts and addresses.
    """

    id: UUID
    status: RunStatus
    preset_key: str
    emotion_state: str | None
    suds_start: Suds | None
    suds_mid: Suds | None
    suds_end: Suds | None
    brief: str | None
    locale: str
    strategy: str
    seed: int | None
    narration: bool = False
    total_seconds: float | None
    created_at: datetime
    updated_at: datetime
    ttfp_seconds: float | None = Field(description="from creation to the first playable sound")
    progress: Progress
    segments: list[SegmentView]
    last_event_id: int


class RunSummary(Shape):
    id: UUID
    status: RunStatus
    preset_key: str
    locale: str
    total_seconds: float | None
    segments_count: int
    segments_complete: int
    created_at: datetime
    updated_at: datetime


class RunPage(Shape):
    runs: list[RunSummary]
    next_cursor: str | None = Field(description="null on the last page")


class LogEntry(Shape):
    """A change of status, or a step of an attempt.

    `notes` of an attempt's last step say in words what became of it; those of a narrated segment that is complete,
    how its narration came out.
    """

    at: datetime
    kind: Literal["status", "attempt"]
    segment_id: UUID
    segment_index: int
    event: str = Field(description="the new status; or dispatched, submitted, first, delivered, finished, gave_up")
    from_status: SegmentStatus | None = None
    by: str | None = Field(default=None, description="the service that moved it")
    attempt: int | None = None
    provider: str | None = None
    bridge: bool | None = None
    outcome: str | None = None
    error_code: str | None = None
    provider_task_id: str | None = None
    cost: float | None = Field(default=None, description="in the provider's own unit")
    notes: list[str] | None = None


class RunLog(Shape):
    run_id: UUID
    entries: list[LogEntry]


class ProgressEvent(Shape):
    """One event of a run's stream; `id` and the topic stand in the frame. Fields depend on the topic."""

    model_config = ConfigDict(extra="allow")
    run_id: UUID
    at: datetime
    segment_id: UUID | None = None
    preview_url: str | None = None
    final_url: str | None = None
    error_code: str | None = None
    retryable: bool | None = None


class Acknowledged(Shape):
    ok: bool
    status: str | None = None


class SignedUrl(Shape):
    url: str
    expires_at: datetime


class SegmentId(Shape):
    segment_id: UUID


class RunId(Shape):
    run_id: UUID


class EarlierRun(Shape):
    """The earlier clients' body; `00-universel-reset` means `universel-reset`."""

    preset_key: str = Field(examples=["00-universel-reset"])
    emotion_state: str | None = None


class Browser(Shape):
    """A random id that a browser made and keeps."""

    browser: UUID


class Session(Shape):
    token: str
    user_id: UUID
    expires_at: datetime
