"""Owns how decoded takes become the file of a segment: which parts, which gain, whether the bytes may stay."""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate
from typing import Any, Final, Self

from services.archiver.domain.failures import Code, GiveUp
from services.archiver.domain.joins import HEARD_SECONDS, JOIN_SECONDS, steadiest

SAMPLE_RATE: Final = 44100  # Hz of what is stored
KILOBITS: Final = 192  # of what is stored (audio-and-player.md §1)
LAME_LOSS_DB: Final = 0.27  # LAME's own scaling at 192k (§2.2)
LEVEL_TOLERANCE_LU: Final = 0.5  # §1
PEAK_BEFORE_DBTP: Final = -1.5  # true peak before coding (§1)
CEILING_DBTP: Final = -1.51  # of the limiter, which works on samples (§2.1)
PEAK_CODED_DBTP: Final = -1.0  # true peak in the coded file (§1)
MAX_GAIN_DB: Final = 20.0  # raw loudness is −35…−7 LUFS (§4); silence must not become noise
FADE_LAST_SECONDS: Final = 12.0  # the last segment ends inside its file (§2.1)
TAIL_SECONDS: Final = 5.0  # lies under the head of the next segment
SHORT_BY_SECONDS: Final = 2.0  # such a file is padded inside its tail (§2.4)
RAW_LEAST_SECONDS: Final = 45.0  # §4
EXACT_SAMPLES: Final = 1152  # one frame
FADED_DB: Final = -30.0  # the last second of a file that has faded, against its median
PART_LEAST_SECONDS: Final = 15.0  # a part that its own fade-out leaves shorter is taken whole
FADE_BEGINS_DB: Final = 6.0  # below the median: the last second that counts as music (§2.4)
FADE_UNHEARD_DB: Final = 1.0  # of five seconds in the mean below the median: a join may not dip further
FADE_LONGEST_SECONDS: Final = 30  # how far back a slow fade-out is followed
JOIN_SOUGHT_SECONDS: Final = 30  # how much of a take is given away for a steady join


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the plan asks of a segment's file."""

    samples: int
    lufs: float
    last: bool
    bpm: float | None = None  # of its middle; names the level of the metre at which the tempo is measured

    @classmethod
    def from_plan(cls, plan: Mapping[str, Any]) -> Self | None:
        """Read a segment's plan; `None` when it names no length (then the file is kept as received)."""
        seconds = plan.get("file_seconds")
        if not isinstance(seconds, int | float) or seconds <= 0:
            return None
        exact = plan.get("x_parcours") or {}
        return cls(
            round(seconds * SAMPLE_RATE),
            float(plan.get("loudness_lufs", -16.0)),
            bool(plan.get("last", False)),
            (exact["bpm_start"] + exact["bpm_end"]) / 2 if {"bpm_start", "bpm_end"} <= exact.keys() else None,
        )

    @property
    def seconds(self) -> float:
        return self.samples / SAMPLE_RATE


@dataclass(frozen=True, slots=True)
class Measures:
    """A decoded take. `samples` count at `sample_rate`; `lufs` and `peak_dbtp` are of what the plan keeps of it.

    `levels_db` has one RMS value a second; `findings` are what the gate judges; `curve` has one point each 15 s;
    `peaks` are the waveform that is drawn, `quiet_points_ms` where a player may change over.
    """

    samples: int
    sample_rate: int
    channels: int
    lufs: float
    peak_dbtp: float
    range_lu: float
    levels_db: tuple[float, ...]
    findings: Mapping[str, float] = field(default_factory=dict)
    curve: Sequence[Mapping[str, Any]] = ()
    acoustic_hash: str = ""
    peaks: Sequence[int] = ()
    quiet_points_ms: Sequence[int] = ()

    @property
    def seconds(self) -> float:
        return self.samples / self.sample_rate

    @property
    def played_out_seconds(self) -> float:
        """Where the take's own fade-out begins, in whole seconds: what is joined ends here (§2.4).

        Behind the last second within 6 dB of the median, and further back while the five seconds before are quieter
        than the rest: a join inside a slow fade-out would dip.
        """
        whole = float(int(self.seconds))
        if not self.levels_db:
            return whole
        middle = statistics.median(self.levels_db)
        loud = [second for second, level in enumerate(self.levels_db) if level >= middle - FADE_BEGINS_DB]
        latest = loud[-1] + 1
        before = range(latest, max(latest - FADE_LONGEST_SECONDS, int(PART_LEAST_SECONDS)) - 1, -1)
        usable = next((end for end in before if self._mean_db(end) >= middle - FADE_UNHEARD_DB), latest)
        return float(usable) if usable >= PART_LEAST_SECONDS else whole

    def _mean_db(self, end: int) -> float:
        """Level of what a join that ends here would take up."""
        taken_up = self.levels_db[max(0, end - int(JOIN_SECONDS)) : end]
        return 10 * math.log10(statistics.mean(10 ** (level / 10) for level in taken_up))

    @property
    def has_faded(self) -> bool:
        return len(self.levels_db) > 1 and self.levels_db[-1] <= statistics.median(self.levels_db) + FADED_DB

    def record(self) -> dict[str, Any]:
        """What is kept of a take, in units by name."""
        return {
            "seconds": round(self.seconds, 3),
            "sample_rate": self.sample_rate,
            "channels": self.channels,
            "lufs": round(self.lufs, 2),
            "peak_dbtp": round(self.peak_dbtp, 2),
            "range_lu": round(self.range_lu, 2),
        }


@dataclass(frozen=True, slots=True)
class Part:
    """A stretch of one source in the segment's file; neighbours overlap by `JOIN_SECONDS`.

    `source` counts from 0: the takes in their order, behind them what continues them.
    """

    source: int
    seconds: float
    gain_db: float
    limited: bool


@dataclass(frozen=True, slots=True)
class Recipe:
    """How to write the file: parts in order, then the fade, then exactly `samples`.

    A fade of no length says where the last part's own begins; `None`: there is none.
    """

    parts: tuple[Part, ...]
    samples: int
    fade_from_seconds: float | None = None
    fade_seconds: float = 0.0
    ceiling_dbtp: float = CEILING_DBTP

    @property
    def limited(self) -> bool:
        return any(part.limited for part in self.parts)

    @property
    def joins(self) -> tuple[float, ...]:
        """The middle of each join, in seconds of the file."""
        ends = accumulate(part.seconds - JOIN_SECONDS for part in self.parts)
        return tuple(end + JOIN_SECONDS / 2 for end in list(ends)[:-1])


def refuse_too_short(measures: Measures, wanted: Wanted) -> None:
    """Raise when a take is too short to be completed; the gate's row of the same name may only be recorded."""
    if measures.seconds < RAW_LEAST_SECONDS and not is_long_enough(measures, wanted):
        raise GiveUp(Code.TOO_SHORT, f"{measures.seconds:.1f} s")


def reduction_db(measures: Measures, wanted: Wanted) -> float:
    """How much a limiter would have to take from the loudest peak."""
    return max(0.0, measures.peak_dbtp + gain_db(measures, wanted) - PEAK_BEFORE_DBTP)


def gain_db(measures: Measures, wanted: Wanted) -> float:
    """Static gain before coding; none when the level is already right (the curve of the plan is kept)."""
    if not math.isfinite(measures.lufs) or measures.lufs <= -70.0:  # noqa: PLR2004 - the meter's word for silence
        return 0.0
    return max(-MAX_GAIN_DB, min(MAX_GAIN_DB, wanted.lufs - measures.lufs + LAME_LOSS_DB))


def level_is_right(measures: Measures, wanted: Wanted) -> bool:
    """Whether the coded file as it is keeps level and peak."""
    return abs(measures.lufs - wanted.lufs) <= LEVEL_TOLERANCE_LU and measures.peak_dbtp <= PEAK_CODED_DBTP


def may_stay_coded(measures: Measures, wanted: Wanted) -> bool:
    """Whether whole frames of this take, cut to length, are the segment's file without coding again."""
    right_rate = measures.sample_rate == SAMPLE_RATE and measures.channels == 2  # noqa: PLR2004 - stereo
    ends = not wanted.last or (abs(measures.samples - wanted.samples) <= EXACT_SAMPLES and measures.has_faded)
    return right_rate and measures.samples >= wanted.samples and ends and level_is_right(measures, wanted)


def is_long_enough(measures: Measures, wanted: Wanted) -> bool:
    return not is_short_of(measures, wanted.seconds)


def is_short_of(measures: Measures, seconds: float) -> bool:
    """Whether a take must be completed to play for so long."""
    return measures.seconds < seconds - SHORT_BY_SECONDS


def joined_at(first: Measures, wanted: Wanted, second: Measures | None = None) -> float:
    """Where the first of two parts ends: the last whole second at which the join is expected to be steady.

    Before the first's own fade-out; where it is steady nowhere, where it is expected to dip least. `second` must reach
    the end from there; without one composer plays on, and evenly.
    """
    latest = first.played_out_seconds
    least = 0.0 if second is None else wanted.seconds + JOIN_SECONDS - second.seconds
    least = max(least, latest - JOIN_SOUGHT_SECONDS, PART_LEAST_SECONDS)
    places = range(int(latest), math.ceil(least) - 1, -1)
    if second is None:
        beginning = [statistics.median(first.levels_db)] * HEARD_SECONDS
    else:
        louder = gain_db(first, wanted) - gain_db(second, wanted)
        beginning = [level - louder for level in second.levels_db[:HEARD_SECONDS]]
    return float(steadiest(first.levels_db, beginning, places) or latest)


def suffice_together(takes: Sequence[Measures], wanted: Wanted) -> bool:
    """Whether the second take, behind the first up to its own fade-out, plays to the end (§2.4, 2)."""
    return len(takes) > 1 and takes[0].played_out_seconds + takes[1].seconds >= wanted.seconds + JOIN_SECONDS


def continues_from(takes: Sequence[Measures], wanted: Wanted) -> int | None:
    """The second of the file from which composer is to play on (§2.4, 3); `None` where the takes are enough."""
    if is_long_enough(takes[0], wanted) or suffice_together(takes, wanted):
        return None
    return int(joined_at(takes[0], wanted) - JOIN_SECONDS)


def plan_form(takes: Sequence[Measures], wanted: Wanted, rest: Measures | None = None) -> Recipe:
    """Bring an attempt's takes to the wanted length, in the order of §2.4.

    `rest` is what composer plays from `continues_from` on. Without it (composer is away for long) the takes follow
    each other, 1, 2, 1, 2 …, until it is long enough.
    """
    first = takes[0]
    end = wanted.seconds
    if is_long_enough(first, wanted):
        end = min(first.seconds, end)
        parts = [_part(0, first, end, wanted)]
    elif suffice_together(takes, wanted):
        parts = _then(first, joined_at(first, wanted, takes[1]), 1, takes[1], wanted)
    elif rest is not None:
        parts = _then(first, joined_at(first, wanted), len(takes), rest, wanted)
        if wanted.last and rest.has_faded:
            return Recipe(tuple(parts), wanted.samples, max(0.0, end - FADE_LAST_SECONDS))
    else:
        parts = _in_turn(takes, wanted)
    if wanted.last:
        return Recipe(tuple(parts), wanted.samples, max(0.0, end - FADE_LAST_SECONDS), min(FADE_LAST_SECONDS, end))
    if end < wanted.seconds - 1 / SAMPLE_RATE:
        fade_from = wanted.seconds - TAIL_SECONDS
        return Recipe(tuple(parts), wanted.samples, fade_from, end - fade_from)
    return Recipe(tuple(parts), wanted.samples)


def _then(first: Measures, until: float, other: int, second: Measures, wanted: Wanted) -> list[Part]:
    """The first take up to a second of its own, the other from there to the end."""
    rest = wanted.seconds - until + JOIN_SECONDS
    return [_part(0, first, until, wanted), _part(other, second, rest, wanted)]


def _in_turn(takes: Sequence[Measures], wanted: Wanted) -> list[Part]:
    parts: list[Part] = []
    end = 0.0
    while end < wanted.seconds:
        turn = len(parts) % len(takes)
        usable = takes[turn].played_out_seconds
        parts.append(_part(turn, takes[turn], usable, wanted))
        end += usable - (JOIN_SECONDS if len(parts) > 1 else 0.0)
    surplus = min(end - wanted.seconds, parts[-1].seconds - 2 * JOIN_SECONDS)  # a join needs its length on both sides
    parts[-1] = replace(parts[-1], seconds=parts[-1].seconds - surplus)
    return parts


def _part(source: int, measures: Measures, seconds: float, wanted: Wanted) -> Part:
    # A right level is still raised by what LAME takes away, else coding again lets it sink a little each time.
    gain = gain_db(measures, wanted)
    return Part(source, seconds, gain, limited=measures.peak_dbtp + gain > PEAK_BEFORE_DBTP)
