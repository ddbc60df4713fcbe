"""Reads `emotionState` (`fear-0.8`) by the strict grammar of the domain; knows the 41 labels and their 74 names."""

import re
import unicodedata
from dataclasses import dataclass
from functools import cache
from typing import Literal

from services.create.domain.errors import EmotionFormatError, EmotionIntensityError, EmotionLabelError
from services.create.domain.packaged import load

PATTERN = r"^([a-z]+(?:_[a-z]+)*)-(0(?:\.[0-9]{1,2})?|1(?:\.0{1,2})?)$"
_ACCEPTED = re.compile(PATTERN)
# Looser: a known label with a number out of range deserves its own answer.
_SPLIT = re.compile(r"([a-z_]+)-(-?[0-9]+(?:\.[0-9]{1,2})?)")
_LONGEST_INPUT = 64  # characters; the longest accepted name with its number has 22
PRESET_INTENSITY = 0.6  # what a preset's own default label counts for when the listener gave none


@dataclass(frozen=True, slots=True)
class Label:
    """One emotion in Russell's plane; valence and arousal are design values in −1…1."""

    label: str
    fr: str
    valence: float
    arousal: float
    low: bool  # a low state is lifted, never lowered
    preset: str
    aliases: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Emotion:
    """A label with its intensity 0…1, and who said so."""

    label: Label
    intensity: float
    source: Literal["listener", "preset"]


@cache
def labels() -> dict[str, Label]:
    """Every accepted name, English, French and aliases, folded to ASCII."""
    by_name: dict[str, Label] = {}
    for label in load("emotions.json", tuple[Label, ...]):
        for name in (label.label, label.fr, *label.aliases):
            if by_name.setdefault(name, label) is not label:
                raise ValueError(f"emotion name {name!r} has two meanings")
    return by_name


def parse(raw: object) -> Emotion:
    """The emotion that the listener gave.

    Raises `EmotionFormatError`, `EmotionLabelError` or `EmotionIntensityError`, checked in this order.
    """
    if not isinstance(raw, str) or len(raw) > _LONGEST_INPUT:
        raise _bad_format()
    parts = _SPLIT.fullmatch(_fold(raw))
    if parts is None:
        raise _bad_format()
    label = labels().get(parts[1])
    if label is None:
        raise EmotionLabelError("unknown emotion label", **_what_is_accepted())
    if not 0 <= float(parts[2]) <= 1:
        raise EmotionIntensityError("the intensity must lie in 0…1", **_what_is_accepted())
    if not _ACCEPTED.fullmatch(parts[0]):
        raise _bad_format()
    return Emotion(label, float(parts[2]), "listener")


def of_preset(label: str) -> Emotion:
    """What a preset assumes when the listener gave no emotion."""
    return Emotion(labels()[label], PRESET_INTENSITY, "preset")


def _bad_format() -> EmotionFormatError:
    return EmotionFormatError("expected label-intensity, such as fear-0.8", **_what_is_accepted())


def _what_is_accepted() -> dict[str, object]:
    return {"allowed_labels": sorted(labels()), "pattern": PATTERN}


def _fold(raw: str) -> str:
    decomposed = unicodedata.normalize("NFKD", raw.strip())
    return "".join(c for c in decomposed if not unicodedata.combining(c)).lower()
