"""Takes from a language model's answer the words it may add, field by field, and leaves everything else."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest

from services.create.domain import wording
from services.create.domain.crisis import calls_for_support
from services.create.domain.plan import Plan
from services.create.domain.texts import (
    MOST_LINE_CHARACTERS,
    MOST_LINES,
    RunTexts,
    SegmentTexts,
    TextSource,
    within_limits,
)

MOST_BRIEF_CHARACTERS = 600
MOST_TITLE_CHARACTERS = 60
MOST_COLOUR_CHARACTERS = 160
_SENTENCES = range(2, 5)
_SENTENCE_END = re.compile(r"[.!?…]+(?=\s|$)")
_RUN_FIELDS = frozenset({"brief", "title", "segments"})
_SEGMENT_FIELDS = frozenset({"title", "colour", "lines"})


@dataclass(frozen=True, slots=True)
class Applied:
    """The texts after the model.

    `changed` names the fields it wrote (`brief`, `segments.2.lines`), `dropped` counts what was not taken.
    """

    texts: RunTexts
    changed: tuple[str, ...]
    dropped: int

    @property
    def text_source(self) -> TextSource:
        return self.texts.source


class _Ledger:
    """What was taken and what was not, while one answer is read."""

    def __init__(self, french: bool) -> None:  # noqa: FBT001 — private, one caller
        self.french = french
        self.changed: list[str] = []
        self.dropped = 0
        self.template_kept = False  # something the model might have written still comes from a template

    def take(self, name: str, value: object, limit: int, *, fits: Callable[[str], bool], template: str) -> str:
        """The model's text if it passes every check, else the template's."""
        text = self.checked(value, limit, fits=fits)
        if text is None:
            self.template_kept = True
            return template
        self.changed.append(name)
        return text

    def checked(self, value: object, limit: int, *, fits: Callable[[str], bool]) -> str | None:
        """The text without outer blanks, or None: absent (not counted) or refused (counted)."""
        if value is None:
            return None
        text = value.strip() if isinstance(value, str) else ""
        if 0 < len(text) <= limit and self._may_be_said(text) and fits(text):
            return text
        self.dropped += 1
        return None

    def only(self, members: Mapping[object, object], known: frozenset[str]) -> None:
        self.dropped += sum(name not in known for name in members)

    def _may_be_said(self, text: str) -> bool:
        return not (
            wording.violations(text)
            or wording.unfit_from_a_model(text)
            or calls_for_support(text)
            or (self.french and wording.speaks_familiarly(text))
        )


def apply_model_words(plan: Plan, texts: RunTexts, model_answer: object) -> Applied:
    """The template texts with the model's words in them where those pass (lengths, wording, crisis words, colour).

    `model_answer` is whatever the model's JSON was: a wrong shape is dropped and counted, never raised. The plan is
    read for its limits alone; nothing of it can change.
    """
    ledger = _Ledger(french=texts.locale == "fr")
    answer = _members(model_answer)
    if not isinstance(model_answer, Mapping):
        ledger.dropped += 1
    ledger.only(answer, _RUN_FIELDS)
    brief = ledger.take("brief", answer.get("brief"), MOST_BRIEF_CHARACTERS, fits=_is_brief, template=texts.brief)
    title = ledger.take("title", answer.get("title"), MOST_TITLE_CHARACTERS, fits=_is_title, template=texts.title)
    segments = _segments(plan, texts, answer.get("segments"), ledger)
    new = replace(texts, brief=brief, title=title, segments=segments, source=_source(ledger))
    return Applied(new, tuple(ledger.changed), ledger.dropped)


def _segments(plan: Plan, texts: RunTexts, answers: object, ledger: _Ledger) -> tuple[SegmentTexts, ...]:
    if not isinstance(answers, Sequence) or isinstance(answers, str) or len(answers) != len(plan.segments):
        ledger.dropped += answers is not None
        ledger.template_kept = True
        return texts.segments
    read = [_segment(f"segments.{i}", own, answers[i], ledger) for i, own in enumerate(texts.segments)]
    fitting = within_limits([segment.lines for segment in read], plan)
    ledger.dropped += sum(len(segment.lines) - len(lines) for segment, lines in zip(read, fitting, strict=True))
    return tuple(replace(segment, lines=lines) for segment, lines in zip(read, fitting, strict=True))


def _segment(name: str, own: SegmentTexts, answer: object, ledger: _Ledger) -> SegmentTexts:
    members = _members(answer)
    if not isinstance(answer, Mapping):
        ledger.dropped += 1
    ledger.only(members, _SEGMENT_FIELDS)
    title = ledger.take(
        f"{name}.title", members.get("title"), MOST_TITLE_CHARACTERS, fits=_is_title, template=own.title
    )
    colour = ledger.checked(members.get("colour"), MOST_COLOUR_CHARACTERS, fits=wording.is_sound_colour)
    if colour is not None:
        ledger.changed.append(f"{name}.colour")
    return SegmentTexts(title, _lines(f"{name}.lines", own, members.get("lines"), ledger), colour)


def _lines(name: str, own: SegmentTexts, answers: object, ledger: _Ledger) -> tuple[str, ...]:
    """The model's lines; one that fails gives way to the template's at its place, or to nothing."""
    if not isinstance(answers, Sequence) or isinstance(answers, str):
        ledger.dropped += answers is not None
        ledger.template_kept = True
        return own.lines
    ledger.dropped += max(0, len(answers) - MOST_LINES)
    spoken: list[str] = []
    taken = 0
    for answer, template in zip_longest(answers[:MOST_LINES], own.lines[: len(answers)]):
        text = ledger.checked(answer, MOST_LINE_CHARACTERS, fits=_anything)
        taken += text is not None
        ledger.template_kept |= text is None
        if text or template:
            spoken.append(text or template)
    if answers and not taken:
        return own.lines
    ledger.changed.append(name)
    return tuple(spoken)


def _source(ledger: _Ledger) -> TextSource:
    if not ledger.changed:
        return "template"
    return "mixed" if ledger.template_kept else "model"


def _members(answer: object) -> Mapping[object, object]:
    return answer if isinstance(answer, Mapping) else {}


def _is_brief(text: str) -> bool:
    return len(_SENTENCE_END.findall(text)) in _SENTENCES


def _is_title(text: str) -> bool:
    return not wording.names_an_emotion(text)


def _anything(_: str) -> bool:
    return True
