"""The 20 presets, the technique vocabulary and the chord families: loaded once, refused when a rule is broken."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from itertools import chain
from typing import Literal

from services.create.domain.errors import UnknownPresetError
from services.create.domain.packaged import load

Arc = Literal["iso", "U", "gentle"]
Mode = Literal["aeolian", "dorian", "mixolydian", "ionian", "lydian"]
Metre = Literal["6/8", "12/8", "3/4", "4/4"]
Locale = Literal["fr", "en"]
LADDER: tuple[Mode, ...] = ("aeolian", "dorian", "mixolydian", "ionian", "lydian")

_KEY = re.compile(r"[a-z]+(?:-[a-z]+)*")
_COUNT = 20
_SEGMENTS = (5, 6)
_SEGMENT_SECONDS = (120, 340)
_RUN_SECONDS = (1080, 1440)  # 18–24 min


@dataclass(frozen=True, slots=True)
class State:
    """A point of the valence/arousal plane, each −1…1."""

    valence: float
    arousal: float


@dataclass(frozen=True, slots=True)
class TempoLine:
    """Beats a minute at the preset's target arousal, and the limits."""

    base_bpm: int
    min_bpm: int
    max_bpm: int


@dataclass(frozen=True, slots=True)
class SegmentOutline:
    seconds: int
    techniques: tuple[str, ...]  # the first leads, a second one follows in the same segment
    metre: Metre


@dataclass(frozen=True, slots=True)
class Preset:
    order: int  # for display only
    key: str
    title: Mapping[Locale, str]
    segments: tuple[SegmentOutline, ...]
    arc: Literal["iso", "U"]
    default_label: str
    target: State
    tempo: TempoLine
    mode_floor: Mode
    mode_ceiling: Mode
    family: str
    timbre: str
    timbre_words: tuple[str, ...]
    avoid: tuple[str, ...]
    groove: float
    style_weight: float
    weirdness: float
    density_modifier: float
    brightness_cap: float | None
    notices: tuple[str, ...]
    touch_points: tuple[str, ...]

    @property
    def total_seconds(self) -> int:
        return sum(segment.seconds for segment in self.segments)


@dataclass(frozen=True, slots=True)
class Catalogue:
    """All presets; `version` is stored with every plan."""

    version: str
    avoid: tuple[str, ...]  # of every preset
    percussion_words: tuple[str, ...]  # timbre words that a plan without groove leaves out
    presets: tuple[Preset, ...]


@dataclass(frozen=True, slots=True)
class Techniques:
    """The closed vocabulary of techniques, and what replaces the demanding ones at a high start SUDS."""

    groups: Mapping[str, tuple[str, ...]]
    substitutions: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Style:
    """A listener's wish for a family of sound: timbre and words change, nothing else."""

    key: str
    timbre: str
    words: tuple[str, ...]
    title: Mapping[Locale, str]


@cache
def catalogue() -> Catalogue:
    loaded = load("presets.json", Catalogue)
    enforce_rules(loaded)
    return loaded


@cache
def techniques() -> Techniques:
    return load("techniques.json", Techniques)


@cache
def technique_keys() -> frozenset[str]:
    return frozenset(chain.from_iterable(techniques().groups.values()))


@cache
def families() -> Mapping[str, Mapping[Mode, tuple[int, int, int, int]]]:
    """Four chord roots, as degrees 1–7, for each family and mode."""
    return load("families.json", dict[str, dict[Mode, tuple[int, int, int, int]]])


@cache
def styles() -> Mapping[str, Style]:
    return {style.key: style for style in load("styles.json", tuple[Style, ...])}


@cache
def _by_key() -> Mapping[str, Preset]:
    return {preset.key: preset for preset in catalogue().presets}


def preset(key: str) -> Preset:
    """The preset of a bare key; raises `UnknownPresetError` with the list of keys."""
    found = _by_key().get(key)
    if found is None:
        raise UnknownPresetError("unknown preset", allowed_presets=[p.key for p in catalogue().presets])
    return found


def enforce_rules(loaded: Catalogue) -> None:
    """Raises `ValueError` naming the preset and the rule that it breaks."""
    keys = [p.key for p in loaded.presets]
    if len(keys) != _COUNT or len(set(keys)) != _COUNT:
        raise ValueError(f"expected {_COUNT} presets with keys of their own, found {len(set(keys))}")
    for each in loaded.presets:
        broken = [rule for rule, holds in _rules(each).items() if not holds]
        if broken:
            raise ValueError(f"preset {each.key!r} breaks: {', '.join(broken)}")


def _rules(p: Preset) -> dict[str, bool]:
    shortest, longest = _SEGMENT_SECONDS
    used = set(chain.from_iterable(s.techniques for s in p.segments))
    return {
        "key without numeric prefix": bool(_KEY.fullmatch(p.key)),
        "5 or 6 segments": len(p.segments) in _SEGMENTS,
        "segments of 120–340 s": all(shortest <= s.seconds <= longest for s in p.segments),
        "1080–1440 s in all": _RUN_SECONDS[0] <= p.total_seconds <= _RUN_SECONDS[1],
        "mode floor at most its ceiling": LADDER.index(p.mode_floor) <= LADDER.index(p.mode_ceiling),
        "known techniques": used <= technique_keys() and all(s.techniques for s in p.segments),
        "known family": p.family in families(),
        "tempo inside its limits": p.tempo.min_bpm <= p.tempo.base_bpm <= p.tempo.max_bpm,
    }
