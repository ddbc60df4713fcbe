"""Owns the numbers that the gate judges and the curve that the arc shows, out of what was heard."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from services.archiver.domain.gate import thresholds
from services.archiver.domain.joins import JOIN_SECONDS
from services.archiver.sound.beat import tempi
from services.archiver.sound.hearing import FRAME_HOPS, HASH_FRAMES, HOPS_PER_SECOND, Heard

SILENCE_DB: Final = -120.0
CURVE_SECONDS: Final = 15.0
LOUDNESS_OFFSET: Final = -0.691  # BS.1770
GATE_LU: Final = 10.0  # relative gate of integrated loudness
RANGE_GATE_LU: Final = 20.0  # relative gate of the range (EBU 3342)
ABSOLUTE_LUFS: Final = -70.0
SHORT_TERM_FRAMES: Final = 8  # 3.2 s; EBU 3342 says 3
VOICE_WINDOW_SECONDS: Final = 10
VOICE_SHARE: Final = 0.45  # of modulation, in 2–8 Hz (§4)
SYLLABLES_HZ: Final = (2.0, 8.0)
MODULATION_HZ: Final = (0.5, 25.0)
STARTLE_HOPS: Final = 5  # 50 ms
DIP_SECONDS: Final = 3.0  # of a join and of what is on either side of it (§8)
BEGUN_SECONDS: Final = 0.5  # a part that begins in the midst of its music begins with a step, which the join fades in

Exact = NDArray[np.floating[Any]]


@dataclass(frozen=True, slots=True)
class Where:
    """What of a file is looked at: levels up to `until_seconds`, clicks at `joins` (their middle).

    `own_clicks` is the most that a joined part does by itself (its finding of that name): a short one lies as a whole
    near its join, where nothing is left to hold its soft attacks against.
    """

    until_seconds: float | None = None
    joins: tuple[float, ...] = ()
    own_clicks: float = 0.0


def levels_of(heard: Heard) -> tuple[float, ...]:
    """RMS in dB of each whole second, of a shorter file's only piece."""
    power = _joined(heard.power)
    seconds = len(power) // HOPS_PER_SECOND
    if seconds == 0:
        return (float(_decibels(power.mean())),) if len(power) else ()
    return tuple(float(level) for level in _decibels(power[: seconds * HOPS_PER_SECOND].reshape(seconds, -1).mean(1)))


def findings_of(heard: Heard, where: Where) -> dict[str, float]:
    """What the gate's rows call by name; a finding that a file is too short for is left out."""
    minutes = max(heard.kept / heard.rate, 1.0) / 60
    found = {
        "sample_rate": float(heard.rate),
        "channels": float(heard.channels),
        "seconds": heard.samples / heard.rate,
        "clipped_per_minute": heard.clipped / minutes,
        "clipped_in_a_row": float(heard.longest_clip),
        "dc": float(np.abs(heard.sums).max()) / max(1, heard.kept),
    }
    return (
        found
        | _envelope(heard, where)
        | _stereo(heard)
        | _spectrum(heard, where)
        | _voice(heard)
        | _joins(heard, where)
        | _own_clicks(heard, where)
    )


def curve_of(heard: Heard, near_bpm: float | None = None) -> tuple[Mapping[str, Any], ...]:
    """Loudness, brightness and, where a tempo was planned, the one that is played in each 15 s of what is kept."""
    frames = _rows(heard.frames, 7)
    per_point = round(CURVE_SECONDS * HOPS_PER_SECOND / FRAME_HOPS)
    points = [frames[start : start + per_point] for start in range(0, len(frames), per_point)]
    points = [point for point in points if len(point) * 2 >= per_point]
    starts = [place * CURVE_SECONDS for place in range(len(points))]
    bpms: Sequence[float | None] = [None] * len(points)
    if heard.beginnings is not None and near_bpm:
        centres = [start + CURVE_SECONDS / 2 for start in starts]
        found = heard.beginnings
        bpms = tempi(found.found(), found.per_second, near_bpm=near_bpm, centres=centres)
    return tuple(
        {"from_seconds": start, "lufs": _lufs(_loud(point).mean()), "centroid_hz": _centroid(point), "bpm": bpm}
        for start, point, bpm in zip(starts, points, bpms, strict=True)
    )


def acoustic_hash(heard: Heard) -> str:
    """80 rows of 16 bits: whether the slope between two bands rose within 0.4 s; empty for less than 32 s of sound."""
    bands = _rows(heard.bands, 17)
    if len(bands) < HASH_FRAMES:
        return ""
    slopes = np.diff(bands, axis=1)
    return bytes(np.packbits(np.diff(slopes, axis=0) > 0)).hex()


def _envelope(heard: Heard, where: Where) -> dict[str, float]:
    """Silence and startle: between the head, where the player fades, and the tail, where the file may."""
    regions, floors = thresholds().regions, thresholds().floors
    ends = [heard.kept / heard.rate, heard.samples / heard.rate - regions.skip_tail_seconds]
    end = min([*ends, where.until_seconds] if where.until_seconds is not None else ends)
    first, last = (max(0, round(at * HOPS_PER_SECOND)) for at in (regions.skip_head_seconds, end))
    hops = _joined(heard.power)[first:last]
    seconds = len(hops) // HOPS_PER_SECOND
    if seconds < 2:  # noqa: PLR2004 - nothing to compare
        return {}
    levels = _decibels(hops[: seconds * HOPS_PER_SECOND].reshape(seconds, -1).mean(axis=1))
    median = float(np.median(levels))
    floor = max(median - floors.startle_below_median_db, SILENCE_DB)
    quick = np.maximum(_decibels(hops), floor)
    return {
        "drop_db": median - float(levels.min()),
        "half_second_dbfs": float(_decibels(_sliding(hops, HOPS_PER_SECOND // 2).min())),
        "rise_1s_db": float(np.diff(np.maximum(levels, floor)).max()),
        "rise_50ms_db": float((quick[STARTLE_HOPS:] - quick[:-STARTLE_HOPS]).max()),
    }


def _stereo(heard: Heard) -> dict[str, float]:
    """Correlation of left and right; stretches that nobody hears do not count."""
    sums = _rows(heard.seconds, 3)
    if not len(sums):
        return {}
    windows = np.stack([_sliding(column, min(10, len(column))) for column in sums.T], axis=1)
    floor = 10 ** (thresholds().floors.phase_dbfs / 10) * HOPS_PER_SECOND * heard.hop
    heard_windows = windows[windows[:, :2].mean(axis=1) > floor]
    found = {"correlation": _correlation(sums.sum(axis=0))}
    if len(heard_windows):
        found["correlation_10s"] = min(_correlation(window) for window in heard_windows)
    return found


def _spectrum(heard: Heard, where: Where) -> dict[str, float]:
    frames = _rows(heard.frames, 7)
    if not len(frames):
        return {}
    until = len(frames) if where.until_seconds is None else round(where.until_seconds * HOPS_PER_SECOND / FRAME_HOPS)
    below_60, below_100, power = frames[:, 4:].sum(axis=0)
    found = {"share_below_60hz": _share(below_60, power), "share_below_100hz": _share(below_100, power)}
    loud = _loud(frames)
    kept = loud > _gate(loud, GATE_LU)
    if kept.any():
        found["mono_loss_lu"] = 10 * float(np.log10(loud[kept].sum() / max(2 * frames[kept, 0].sum(), 1e-12)))
    short = _sliding(loud[:until], min(SHORT_TERM_FRAMES, max(1, until)))
    short = short[short > _gate(short, RANGE_GATE_LU)]
    if len(short):
        low, high = np.percentile(10 * np.log10(short), (10, 95))
        found["range_lu"] = float(high - low)
    return found


def _voice(heard: Heard) -> dict[str, float]:
    """The longest row of 10-s windows whose envelope moves as speech does."""
    envelope = np.sqrt(_joined(heard.voice))
    size = VOICE_WINDOW_SECONDS * HOPS_PER_SECOND
    count = len(envelope) // size
    if not count:
        return {}
    windows = envelope[: count * size].reshape(count, size)
    moves = np.abs(np.fft.rfft((windows - windows.mean(axis=1, keepdims=True)) * np.hanning(size), axis=1)) ** 2
    hertz = np.fft.rfftfreq(size, 1 / HOPS_PER_SECOND)
    spoken = _band(moves, hertz, SYLLABLES_HZ) > VOICE_SHARE * np.maximum(_band(moves, hertz, MODULATION_HZ), 1e-12)
    longest = row = 0
    for window in spoken:
        row = row + 1 if window else 0
        longest = max(longest, row)
    return {"voice_windows": float(longest)}


def _joins(heard: Heard, where: Where) -> dict[str, float]:
    """The loudest click at a join against the most that the programme itself does (§4)."""
    high = _joined(heard.high)
    if not where.joins or not len(high):
        return {}
    regions, floors = thresholds().regions, thresholds().floors
    usual = _usual(high)
    near = np.zeros(len(high), dtype=bool)
    for join in where.joins:
        begin, end = (
            max(0, round(1000 * (join + edge))) for edge in (-regions.join_before_seconds, regions.join_after_seconds)
        )
        near[begin:end] = True
        # what is joined may differ: the soft attacks of one are no clicks because the other had no treble
        usual[begin:end] = usual[begin:end].max(initial=0.0)
    ratios = high / usual
    own = max(where.own_clicks, float(ratios[~near].max(initial=0.0)))
    clicks = float(ratios[near].max(initial=0.0))
    excess = clicks / max(floors.click_ratio, own)
    return {"join_clicks": clicks, "join_click_excess": excess, "join_dip_db": _dip(heard, where)}


def _own_clicks(heard: Heard, where: Where) -> dict[str, float]:
    """The most that the treble of a file without joins rises above what is usual around it."""
    high = _joined(heard.high)
    begun = round(1000 * BEGUN_SECONDS)
    if where.joins or len(high) <= begun:
        return {}
    return {"own_clicks": float((high / _usual(high))[begun:].max())}


def _usual(high: Exact) -> Exact:
    """The median of the treble around each ms, in steps of a second."""
    least = 10 ** (thresholds().floors.click_dbfs / 10)
    usual = np.repeat([np.median(high[max(0, at - 1000) : at + 2000]) for at in range(0, len(high), 1000)], 1000)
    return np.asarray(np.maximum(usual[: len(high)], least))


def _dip(heard: Heard, where: Where) -> float:
    """How far the level sinks at a join, the worst of them: its middle against the mean of both sides (§8)."""
    power = _joined(heard.power)
    end = len(power) if where.until_seconds is None else round(where.until_seconds * HOPS_PER_SECOND)
    half, size = round(JOIN_SECONDS / 2 * HOPS_PER_SECOND), round(DIP_SECONDS * HOPS_PER_SECOND)
    dips = [0.0]
    for join in where.joins:
        middle = round(join * HOPS_PER_SECOND)
        sides = [power[max(0, middle - half - size) : middle - half], power[middle + half : middle + half + size]]
        if middle + half + size > end:
            sides.pop()  # the file's own end is no side of a join
        levels = [float(_decibels(side.mean())) for side in sides if len(side)]
        inside = power[middle - size // 2 : middle + size // 2]
        if levels and len(inside):
            dips.append(sum(levels) / len(levels) - float(_decibels(inside.mean())))
    return max(dips)


def _joined(blocks: Sequence[NDArray[np.float32]]) -> Exact:
    return np.concatenate(blocks).astype(np.float64) if blocks else np.empty(0)


def _rows(blocks: Sequence[NDArray[np.float32]], columns: int) -> Exact:
    return np.concatenate(blocks).astype(np.float64) if blocks else np.empty((0, columns))


def _sliding(values: Exact, size: int) -> Exact:
    """Means of every `size` neighbours."""
    total = np.cumsum(np.concatenate(([0.0], values)))
    return np.asarray((total[size:] - total[:-size]) / size)


def _decibels(power: Exact) -> Exact:
    return np.asarray(np.maximum(10 * np.log10(np.maximum(power, 1e-30)), SILENCE_DB))


def _loud(frames: Exact) -> Exact:
    """K-weighted power as the meter sums it: left and right together are twice mid and side together."""
    return np.asarray(2 * (frames[:, 0] + frames[:, 1]))


def _gate(loud: Exact, below_lu: float) -> float:
    """The power under which a block does not count."""
    absolute = 10 ** ((ABSOLUTE_LUFS - LOUDNESS_OFFSET) / 10)
    counted = loud[loud > absolute]
    return max(absolute, float(counted.mean()) / 10 ** (below_lu / 10)) if len(counted) else absolute


def _lufs(power: float) -> float:
    return round(LOUDNESS_OFFSET + float(_decibels(np.asarray(power))), 2)


def _centroid(frames: Exact) -> float:
    weighted, power = frames[:, 2].sum(), frames[:, 3].sum()
    return round(float(weighted / power), 1) if power > 0 else 0.0


def _share(part: float, whole: float) -> float:
    return float(part / whole) if whole > 0 else 0.0


def _correlation(sums: Exact) -> float:
    left, right, both = (float(one) for one in sums)
    power = (left * right) ** 0.5
    return both / power if power > 0 else 1.0  # one silent channel is no matter of phase


def _band(moves: Exact, hertz: Exact, edges: tuple[float, float]) -> Exact:
    return np.asarray(moves[:, (hertz >= edges[0]) & (hertz < edges[1])].sum(axis=1))
