"""Owns what a listener is told of a segment's narration: whether it is there, its transcript, whose effect it is."""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field

from services.gateway.shape import Shape


class SpokenLine(Shape):
    text: str
    start_ms: int
    end_ms: int


class EffectCredit(Shape):
    """Whose sound lies under the voice; a credit is to be shown where it names an author."""

    kind: Literal["sea", "rain"]
    source: Literal["own", "freesound"]
    title: str | None = None
    author: str | None = None
    url: str | None = None
    licence: str | None = None
    licence_url: str | None = None
    changes: str | None = None


class NarrationView(Shape):
    """What became of a segment's lines; `lines` are its transcript, a synthetic voice's."""

    state: Literal["spoken", "partial", "silent", "missing"]
    reason: str | None = Field(default=None, description="why lines are missing")
    voice: str | None = None
    effect: EffectCredit | None = None
    lines: list[SpokenLine] = Field(default_factory=list)


def narration_view(plan: Mapping[str, Any], made: Mapping[str, Any] | None) -> NarrationView | None:
    """What was spoken, with its words: the archiver notes places alone, the lines stand in the plan."""
    if made is None:
        return None
    lines = plan.get("narration", {}).get("lines", ())
    spoken = [
        SpokenLine(text=lines[each["line"]]["text"], start_ms=each["start_ms"], end_ms=each["end_ms"])
        for each in made.get("spoken", ())
        if each["line"] < len(lines)
    ]
    return NarrationView(
        state=made["state"],
        reason=made.get("reason"),
        voice=made.get("voice"),
        effect=made.get("effect"),
        lines=spoken,
    )


def narration_note(made: Mapping[str, Any]) -> str:
    """How a segment's narration came out, in codes: for the run's log, which operators read too; no word of it."""
    spoken = f"{len(made.get('spoken', ()))} of {made.get('lines_planned', 0)} lines"
    reason = f" ({made['reason']})" if made.get("reason") else ""
    return f"narration {made['state']}{reason}: {spoken}"
