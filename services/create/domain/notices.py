"""Which notices and contraindications a run shows, as codes with their text; fixed texts that no model touches."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Literal

from services.create.domain.packaged import load
from services.create.domain.presets import Locale, Preset


@dataclass(frozen=True, slots=True)
class Notice:
    code: str
    kind: Literal["notice", "contraindication"]
    touch_points_only: bool
    text: Mapping[Locale, str]


@dataclass(frozen=True, slots=True)
class Notices:
    """All notices; `contraindicated_points` maps a condition to the touch points that it rules out."""

    version: str
    always: tuple[str, ...]
    contraindicated_points: Mapping[str, tuple[str, ...]]
    notices: tuple[Notice, ...]


@dataclass(frozen=True, slots=True)
class ShownNotice:
    code: str
    text: str


@dataclass(frozen=True, slots=True)
class ShownNotices:
    notices: tuple[ShownNotice, ...]
    contraindications: tuple[ShownNotice, ...]


@cache
def all_notices() -> Notices:
    return load("notices.json", Notices)


def notices_for(preset: Preset, locale: Locale, *, touch_points: bool = False) -> ShownNotices:
    """The general notices, then the preset's own; the pregnancy ones only where touch points are switched on."""
    wanted = (*all_notices().always, *preset.notices)
    by_code = {notice.code: notice for notice in all_notices().notices}
    shown = [by_code[code] for code in wanted if touch_points or not by_code[code].touch_points_only]
    return ShownNotices(
        notices=tuple(ShownNotice(n.code, n.text[locale]) for n in shown if n.kind == "notice"),
        contraindications=tuple(ShownNotice(n.code, n.text[locale]) for n in shown if n.kind == "contraindication"),
    )
