"""Owns reading `x_parcours`, the exact numbers of a segment (contracts/x_parcours.schema.json), into a plan."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from services.composer.engine.curves import ArcPath, Tempo
from services.composer.engine.plan import TIMBRES, TONICS, SegmentPlan, Span

Mode = Literal["aeolian", "dorian", "mixolydian", "ionian", "lydian"]
Metre = Literal["6/8", "12/8", "3/4", "4/4"]
Degree = Annotated[int, Field(ge=1, le=7)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)


class StateNumbers(_Part):
    valence: float = Field(ge=-1, le=1)
    arousal: float = Field(ge=-1, le=1)

    @property
    def pair(self) -> tuple[float, float]:
        return self.valence, self.arousal


class TempoNumbers(_Part):
    base_bpm: float = Field(ge=30, le=200)
    base_arousal: float = Field(ge=-1, le=1)
    bpm_per_arousal: float = Field(ge=0, le=100)
    min_bpm: float = Field(ge=30, le=200)
    max_bpm: float = Field(ge=30, le=200)


class SpanNumbers(_Part):
    start_seconds: int = Field(ge=0, le=1440)
    seconds: int = Field(ge=10, le=355)
    mode: Mode
    degrees: tuple[Degree, Degree, Degree, Degree]
    metre: Metre


class ExactPlan(_Part):
    """The members the engine needs; the schema file is the contract, a test keeps both together."""

    seed: int = Field(ge=0, le=2147483647)
    segment_index: int = Field(ge=0, le=5)
    segment_count: int = Field(ge=1, le=6)
    seconds: int = Field(ge=10, le=355)
    file_seconds: int = Field(ge=10, le=360)
    total_seconds: int = Field(ge=10, le=1440)
    start: StateNumbers
    trough: StateNumbers | None
    target: StateNumbers
    tempo: TempoNumbers
    density_modifier: float = Field(gt=0, le=1)
    brightness_cap: float | None = Field(ge=0, le=1)
    groove: float = Field(ge=0, le=1)
    tonic: Literal["C", "D", "Eb", "F", "G", "A"]
    family: Literal["circle", "descent", "plagal", "fifties", "pop", "radiant", "drone"]
    timbre: Literal["felt", "handpan", "epiano", "pluck", "strings", "choir", "drone"]
    arousal_mid: float = Field(ge=-1, le=1)
    loudness_lufs: float = Field(ge=-24, le=-12)
    timeline: tuple[SpanNumbers, ...] = Field(min_length=1, max_length=6)
    from_seconds: int = Field(default=0, ge=0, le=359)

    def plan(self) -> SegmentPlan:
        """The engine's plan; raises ValueError when the members contradict each other."""
        if self.segment_index >= self.segment_count or self.segment_count != len(self.timeline):
            raise ValueError("expected segment_index below segment_count and one timeline entry per segment")
        if self.from_seconds >= self.file_seconds:
            raise ValueError("expected from_seconds inside the file")
        return SegmentPlan(
            seed=self.seed,
            index=self.segment_index,
            count=self.segment_count,
            take=0,
            file_seconds=float(self.file_seconds),
            tonic=TONICS[self.tonic],
            timbre=TIMBRES[self.timbre],
            target_lufs=self.loudness_lufs,
            arousal_mid=self.arousal_mid,
            path=self._path(),
            spans=tuple(
                Span(float(span.start_seconds), float(span.seconds), span.mode, span.degrees, span.metre)
                for span in self.timeline
            ),
            family=self.family,
            from_seconds=float(self.from_seconds),
        )

    def _path(self) -> ArcPath:
        return ArcPath(
            total_seconds=float(self.total_seconds),
            start=self.start.pair,
            trough=self.trough.pair if self.trough else None,
            target=self.target.pair,
            tempo=Tempo(**self.tempo.model_dump()),
            density_modifier=self.density_modifier,
            brightness_cap=self.brightness_cap,
            groove=self.groove,
        )
