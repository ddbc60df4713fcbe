"""Owns reading a `style` text (domain.md §5, clauses 2–8) into a plan, for callers without `x_parcours`."""

import hashlib
import re

from services.composer.engine.curves import LinePath
from services.composer.engine.plan import FAMILIES, TIMBRES, TONICS, SegmentPlan, Span

_TEMPO = re.compile(r"(\d{2,3}) BPM(?: (?:easing|lifting) to (\d{2,3}) BPM| steady)?", re.IGNORECASE)
_METRE = re.compile(r"\b(6/8|12/8|3/4|4/4) time", re.IGNORECASE)
_KEY = re.compile(r"\b(Eb|E♭|[CDFGA]) (natural minor|major|aeolian|dorian|mixolydian|ionian|lydian)\b", re.IGNORECASE)
_PLACE = re.compile(r"(\d)/(\d)\s*$")  # `<title> <i>/<n>`
_MODE_NAMES = {"natural minor": "aeolian", "major": "ionian"}
_DENSITIES = {
    "very sparse": 0.24,
    "sparse": 0.37,
    "moderately full": 0.52,
    "flowing": 0.66,
}  # middles of domain.md §4.3
_BRIGHTNESSES = {"dark and muffled": 0.22, "warm": 0.34, "clear but soft": 0.48}
_TIMBRE_WORDS = (
    ("handpan", "handpan"),
    ("electric piano", "epiano"),
    ("rhodes", "epiano"),
    ("string", "strings"),
    ("choir", "choir"),
    ("harp", "pluck"),
    ("kalimba", "pluck"),
    ("guitar", "pluck"),
    ("pluck", "pluck"),
    ("drone", "drone"),
    ("piano", "felt"),
)
_GROOVE_WORDS = ("clap", "shaker", "tom", "groove", "percussion")
_VALENCES = {"aeolian": -0.45, "dorian": -0.15, "mixolydian": 0.12, "ionian": 0.30, "lydian": 0.50}  # middle of a rung
_DEFAULT_BPM = 66.0
_BPM_RANGE = (40.0, 130.0)
_TAIL_SECONDS = 5.0  # a file that is not its run's last carries the join


def plan_of_prompt(style: str, title: str, seconds: float) -> SegmentPlan:
    """A plan from words; what is unknown is ignored, what is missing has a default."""
    mode, tonic = _key(style)
    index, count = _place(title)
    density = _named(style, _DENSITIES, 0.37)
    arousal = (density - 0.18) / 0.57 * 2 - 1
    first, last = _tempi(style)
    span_seconds = seconds - (_TAIL_SECONDS if index < count - 1 else 0.0)
    metre = found.group(1) if (found := _METRE.search(style)) else "4/4"
    path = LinePath(
        seconds=span_seconds,
        first_bpm=first,
        last_bpm=last,
        valence=_VALENCES[mode],
        arousal=arousal,
        density=density,
        brightness=_named(style, _BRIGHTNESSES, 0.34),
        groove=0.25 if any(word in style.lower() for word in _GROOVE_WORDS) else 0.0,
    )
    return SegmentPlan(
        seed=int.from_bytes(hashlib.sha256(f"{style}\n{title}".encode()).digest()[:4], "big") >> 1,
        index=index,
        count=count,
        take=0,
        file_seconds=seconds,
        tonic=tonic,
        timbre=TIMBRES[next((name for word, name in _TIMBRE_WORDS if word in style.lower()), "felt")],
        target_lufs=-16.0,
        arousal_mid=arousal,
        path=path,
        # a prompt knows one segment: it starts at 0 of its own run, whatever its place
        spans=(Span(0.0, span_seconds, mode, FAMILIES["circle"][mode], metre),),
    )


def _tempi(style: str) -> tuple[float, float]:
    found = _TEMPO.search(style)
    if not found:
        return _DEFAULT_BPM, _DEFAULT_BPM
    first = float(found.group(1))
    low, high = _BPM_RANGE
    return min(max(first, low), high), min(max(float(found.group(2) or first), low), high)


def _key(style: str) -> tuple[str, int]:
    found = _KEY.search(style)
    if not found:
        return "dorian", TONICS["D"]
    name = found.group(2).lower()
    tonic = found.group(1).replace("♭", "b")
    return _MODE_NAMES.get(name, name), TONICS[tonic[0].upper() + tonic[1:].lower()]


def _place(title: str) -> tuple[int, int]:
    found = _PLACE.search(title)
    if not found or not 1 <= int(found.group(1)) <= int(found.group(2)):
        return 0, 1
    return int(found.group(1)) - 1, int(found.group(2))


def _named(style: str, levels: dict[str, float], default: float) -> float:
    """The longest wording wins: `very sparse` holds `sparse`."""
    text = style.lower()
    return next((levels[word] for word in sorted(levels, key=len, reverse=True) if word in text), default)
