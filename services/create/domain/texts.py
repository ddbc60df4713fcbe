"""The words of a run when no model is asked: brief, titles and lines from templates, chosen by seed."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from itertools import chain, zip_longest
from typing import Any, Literal, TypeVar, get_args

from pydantic import TypeAdapter

from services.create.domain.errors import LocaleError
from services.create.domain.packaged import load
from services.create.domain.plan import Plan, PlannedSegment
from services.create.domain.presets import Locale

T = TypeVar("T")
TextSource = Literal["template", "model", "mixed"]
MOST_LINES = 7  # of a segment
MOST_LINE_CHARACTERS = 180
MOST_WORDS = 200  # of a run
_SECONDS_PER_WORD = 5  # at most 12 words a minute
_LANGUAGE = re.compile(r"([a-zA-Z]{2})(?:[-_].*)?")


@dataclass(frozen=True, slots=True)
class SegmentTexts:
    title: str
    lines: tuple[str, ...]
    colour: str | None = None  # English, about sound alone; only a model gives one


@dataclass(frozen=True, slots=True)
class RunTexts:
    """All words of a run; `source` says who wrote them and is shown in the run's details."""

    locale: Locale
    brief: str
    title: str
    segments: tuple[SegmentTexts, ...]
    source: TextSource

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class TechniqueWords:
    title: str
    variants: tuple[tuple[str, ...], ...]  # each a few lines, the first of which stands alone


@dataclass(frozen=True, slots=True)
class Templates:
    """One language. Run titles and briefs are by the shape of the path, several of each."""

    version: str
    numbers: Mapping[str, str]
    run_titles: Mapping[str, tuple[str, ...]]
    briefs: Mapping[str, tuple[str, ...]]
    techniques: Mapping[str, TechniqueWords]


@cache
def templates(locale: Locale) -> Templates:
    return load(f"texts.{locale}.json", Templates)


@cache
def _reader() -> TypeAdapter[RunTexts]:
    return TypeAdapter(RunTexts)


def texts_from_json(stored: Mapping[str, Any]) -> RunTexts:
    """Stored texts; raises `pydantic.ValidationError` when they are none."""
    return _reader().validate_python(stored)


def locale_of(language_tag: str | None) -> Locale:
    """The language of `fr`, `en-GB`, …; French when none is given. Raises `LocaleError`."""
    if language_tag is None:
        return "fr"
    language = _LANGUAGE.fullmatch(language_tag)
    for locale in get_args(Locale):
        if language is not None and language[1].lower() == locale:
            known: Locale = locale
            return known
    raise LocaleError("expected French or English", allowed_locales=list(get_args(Locale)))


def template_texts(plan: Plan, locale: Locale) -> RunTexts:
    """Everything a run says, without a model; the same plan and language give the same words."""
    words = templates(locale)
    shape = _shape(plan)
    brief = _pick(words.briefs[shape], plan.seed)
    lines = within_limits([_lines(plan, segment, words) for segment in plan.segments], plan)
    return RunTexts(
        locale=locale,
        brief=brief.format(minutes=plan.total_seconds // 60, segments=len(plan.segments)),
        title=_pick(words.run_titles[shape], plan.seed),
        segments=tuple(
            SegmentTexts(words.techniques[segment.techniques[0]].title, spoken)
            for segment, spoken in zip(plan.segments, lines, strict=True)
        ),
        source="template",
    )


def within_limits(lines_of_segments: Sequence[Sequence[str]], plan: Plan) -> list[tuple[str, ...]]:
    """Lines that leave room for the music; those that do not fit are dropped from the end.

    At most 7 lines and 12 words a minute in a segment; then, while the run has more than 200 words, the wordiest
    segment gives up its last line.
    """
    kept = [
        list(_fitting(lines, segment.seconds // _SECONDS_PER_WORD))
        for lines, segment in zip(lines_of_segments, plan.segments, strict=True)
    ]
    while sum(map(_words_in, kept)) > MOST_WORDS:
        max(kept, key=_words_in).pop()
    return [tuple(lines) for lines in kept]


def _fitting(lines: Sequence[str], words: int) -> Sequence[str]:
    count = min(len(lines), MOST_LINES)
    while _words_in(lines[:count]) > words:
        count -= 1
    return lines[:count]


def _lines(plan: Plan, segment: PlannedSegment, words: Templates) -> list[str]:
    """The leading technique's lines, then the second one's, both shortened evenly so that each is heard."""
    spoken = [_pick(words.techniques[key].variants, plan.seed + segment.index) for key in segment.techniques]
    room = segment.seconds // _SECONDS_PER_WORD
    by_turns = [line for line in chain.from_iterable(zip_longest(*spoken)) if line is not None]
    heard = set(_fitting(by_turns, room))
    breath = words.numbers[str(plan.out_breath_seconds)]
    return [line.replace("{out}", breath) for line in chain.from_iterable(spoken) if line in heard]


def _shape(plan: Plan) -> str:
    rises = plan.path.arc == "iso" and plan.path.target.arousal > plan.path.start.arousal
    return "iso_rising" if rises else plan.path.arc


def _pick(choices: Sequence[T], turn: int) -> T:
    return choices[turn % len(choices)]


def _words_in(lines: Sequence[str]) -> int:
    return sum(len(line.split()) for line in lines)
