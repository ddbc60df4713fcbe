"""Owns what a stored file says of itself (domain.md §10): that a machine made it, and which; never for whom."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from libs.common import id3

COMPOSER: Final = "composer"
PROCEDURAL: Final = "procedural"  # a program without a model
MADE_BY_MODEL: Final = "true"

_WORDS: Final = {
    "fr": {
        "title": "Séance",
        "voice": "voix de synthèse",
        MADE_BY_MODEL: "Musique créée par une IA",
        PROCEDURAL: "Musique composée par un programme, sans modèle d'IA",
    },
    "en": {
        "title": "Session",
        "voice": "synthetic voice",
        MADE_BY_MODEL: "Music made by AI",
        PROCEDURAL: "Music composed by a program, no AI model",
    },
}
_LANGUAGES: Final = {"fr": "fra", "en": "eng"}  # ISO 639-2
_OURS: Final = "rendered from no recording; no third party's rights"


@dataclass(frozen=True, slots=True)
class Origin:
    """Of which run a file is: its language, the segment's place in it, and the plan's keyed hash."""

    locale: str
    index: int
    segments: int
    plan_hash: str


@dataclass(frozen=True, slots=True)
class Maker:
    """Who made a part: the provider, and what it says its model or engine is."""

    provider: str
    model: str = ""

    @property
    def name(self) -> str:
        return f"{self.provider} {self.model}".rstrip()

    @property
    def kind(self) -> str:
        return PROCEDURAL if self.provider == COMPOSER else MADE_BY_MODEL


@dataclass(frozen=True, slots=True)
class Label:
    """What a file is marked with; `kind` is a model's as soon as one part is."""

    makers: tuple[Maker, ...]
    recipe_hash: str
    voice: str = ""  # whose voice speaks in it; empty: nobody's

    @property
    def kind(self) -> str:
        kinds = {maker.kind for maker in self.makers}
        return PROCEDURAL if kinds == {PROCEDURAL} else MADE_BY_MODEL

    @property
    def system(self) -> str:
        return "; ".join(maker.name for maker in self.makers)

    def record(self) -> dict[str, Any]:
        """What is kept of it with the segment."""
        voice = {"voice": self.voice} if self.voice else {}
        return {"ai": {"music": self.kind, "system": self.system, **voice}, "recipe_hash": self.recipe_hash}


def makers_of(provider: str, facts: Mapping[str, Any], parts: Sequence[Mapping[str, Any]]) -> tuple[Maker, ...]:
    """Who made these parts, in their order, each once."""
    makers: dict[Maker, None] = {}
    for part in parts:
        source, take = part.get("source", "provider"), part.get("take")
        maker = Maker(provider, _model(facts, take)) if source == "provider" else Maker(str(source))
        makers[maker] = None
    return tuple(makers)


def label_of(origin: Origin, makers: tuple[Maker, ...], parts: Sequence[Mapping[str, Any]]) -> Label:
    """The label of these parts; the hash tells recipes apart and nothing else, since the plan's own is keyed."""
    recipe = {
        "plan": origin.plan_hash,
        "segment": origin.index,
        "makers": [maker.name for maker in makers],
        "parts": [dict(part) for part in parts],
    }
    return Label(makers, hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest())


def tag_of(label: Label, origin: Origin) -> bytes:
    """The label as the bytes in front of the file, in the run's language."""
    words = _WORDS.get(origin.locale, _WORDS["en"])
    named = {
        "AI_GENERATED": label.kind,
        "AI_SYSTEM": label.system,
        "RECIPE_HASH": label.recipe_hash,
        "LICENCE": "; ".join(dict.fromkeys(_licence(maker) for maker in label.makers)),
    }
    notice = f"{words[label.kind]} ({label.system})"
    if label.voice:
        named["AI_VOICE"] = label.voice
        notice += f"; {words['voice']} ({label.voice})"
    place = f"{origin.index + 1}/{origin.segments}"
    texts = {"TIT2": f"{words['title']} {place}", "TRCK": place}
    return id3.tag(texts, named=named, comment=notice, language=_LANGUAGES.get(origin.locale, "eng"))


def _licence(maker: Maker) -> str:
    return _OURS if maker.provider == COMPOSER else f"by the terms of {maker.provider}"


def _model(facts: Mapping[str, Any], take: object) -> str:
    """What the provider said of this take: the engine and its version, else the model."""
    content = facts.get("content") or ()
    place = take - 1 if isinstance(take, int) and 0 < take <= len(content) else 0
    song: Mapping[str, Any] = content[place] if place < len(content) else {}
    named = [str(song[name]) for name in ("engine", "engine_version") if song.get(name)]
    return " ".join(named) or str(song.get("model") or "")
