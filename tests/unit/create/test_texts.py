"""The words without a model: complete, within limits, in *vous*, and clean in every preset and language."""

from itertools import product

import pytest

from services.create.domain import emotion, wording
from services.create.domain.crisis import calls_for_support
from services.create.domain.errors import LocaleError
from services.create.domain.notices import all_notices
from services.create.domain.plan import Plan
from services.create.domain.planner import PlanRequest, make_plan
from services.create.domain.presets import Locale, catalogue, styles
from services.create.domain.texts import (
    MOST_LINE_CHARACTERS,
    MOST_LINES,
    MOST_WORDS,
    locale_of,
    template_texts,
    templates,
    texts_from_json,
    within_limits,
)

LOCALES: tuple[Locale, ...] = ("fr", "en")
PRESETS = [preset.key for preset in catalogue().presets]


def plan_of(preset: str, state: str | None, suds: int | None, seed: int) -> Plan:
    given = None if state is None else emotion.parse(state)
    return make_plan(PlanRequest(preset, seed, given, suds), key=b"k")


def words(text: str) -> int:
    return len(text.split())


@pytest.mark.parametrize(("preset", "locale"), list(product(PRESETS, LOCALES)))
def test_the_words_of_a_run_keep_the_limits_and_the_lint(preset: str, locale: Locale) -> None:
    for state, suds, seed in product(("fear-0.8", "numb-0", "panic-1", None), (None, 4, 8, 10), range(6)):
        plan = plan_of(preset, state, suds, seed)
        texts = template_texts(plan, locale)
        assert texts.source == "template"
        assert 2 <= sum(texts.brief.count(end) for end in ".!?") <= 4
        assert 0 < len(texts.brief) <= 600
        assert str(plan.total_seconds // 60) in texts.brief
        assert sum(words(line) for segment in texts.segments for line in segment.lines) <= MOST_WORDS
        for segment, planned in zip(texts.segments, plan.segments, strict=True):
            assert 1 <= len(segment.lines) <= MOST_LINES
            assert sum(map(words, segment.lines)) <= 12 * planned.seconds / 60
            assert all(0 < len(line) <= MOST_LINE_CHARACTERS for line in segment.lines)
            assert "{" not in " ".join(segment.lines)
            assert segment.colour is None


def every_text(locale: Locale) -> list[str]:
    known = templates(locale)
    lines = [line for technique in known.techniques.values() for variant in technique.variants for line in variant]
    briefs = [brief for several in known.briefs.values() for brief in several]
    return [*lines, *briefs, *every_title(locale)]


def every_title(locale: Locale) -> list[str]:
    known = templates(locale)
    run_titles = [title for several in known.run_titles.values() for title in several]
    return [*run_titles, *(technique.title for technique in known.techniques.values())]


@pytest.mark.parametrize("locale", LOCALES)
def test_every_template_passes_the_lint_and_the_crisis_filter(locale: Locale) -> None:
    for text in every_text(locale):
        assert not wording.violations(text), text
        assert not wording.unfit_from_a_model(
            text.replace("{minutes}", "20").replace("{segments}", "6").replace("{out}", "")
        ), text
        assert not calls_for_support(text), text
        assert text == text.strip()
        assert "'" not in text, "the typographic apostrophe"


def test_french_templates_say_vous() -> None:
    for text in every_text("fr"):
        assert not wording.speaks_familiarly(text), text


@pytest.mark.parametrize("locale", LOCALES)
def test_titles_are_short_and_name_no_emotion(locale: Locale) -> None:
    for title in every_title(locale):
        assert 0 < len(title) <= 60
        assert not wording.names_an_emotion(title), title


@pytest.mark.parametrize("locale", LOCALES)
def test_notices_and_preset_and_style_titles_pass_the_lint(locale: Locale) -> None:
    for notice in all_notices().notices:
        assert not wording.violations(notice.text[locale], text_id=notice.code), notice.code
    titles = [preset.title[locale] for preset in catalogue().presets] + [
        style.title[locale] for style in styles().values()
    ]
    for title in titles:
        assert not wording.violations(title), title


@pytest.mark.parametrize("locale", LOCALES)
def test_two_techniques_of_a_segment_are_both_heard(locale: Locale) -> None:
    known = templates(locale).techniques
    for preset, seed in product(PRESETS, range(3)):
        plan = plan_of(preset, "fear-0.8", 2, seed)
        for segment, texts in zip(plan.segments, template_texts(plan, locale).segments, strict=True):
            for key in segment.techniques:
                said = {line for variant in known[key].variants for line in variant}
                assert said & set(texts.lines) or any("{out}" in line for line in said), (preset, key)


def test_the_same_plan_gives_the_same_words_and_another_seed_others() -> None:
    one = plan_of("panique-anxiete", "fear-0.8", 8, 1)
    assert template_texts(one, "fr") == template_texts(one, "fr")
    assert template_texts(one, "fr") != template_texts(plan_of("panique-anxiete", "fear-0.8", 8, 2), "fr")


def test_the_out_breath_is_seven_from_suds_6() -> None:
    def breath(suds: int, locale: Locale) -> str:
        return " ".join(template_texts(plan_of("panique-anxiete", "fear-0.8", suds, 0), locale).segments[0].lines)

    assert "sur six" in breath(5, "fr")
    assert "sur sept" in breath(6, "fr")
    assert "for seven" in breath(6, "en")


@pytest.mark.parametrize(
    ("preset", "state", "suds", "shape"),
    [
        ("panique-anxiete", "fear-0.8", 8, "iso"),
        ("apathie-demotivation", "numb-0.7", 4, "iso_rising"),
        ("colere-irritabilite", "anger-0.6", 6, "U"),
        ("colere-irritabilite", "anger-0.6", 9, "gentle"),
    ],
)
def test_the_brief_follows_the_shape_of_the_path(preset: str, state: str, suds: int, shape: str) -> None:
    plan = plan_of(preset, state, suds, 0)
    expected = templates("en").briefs[shape][0].format(minutes=plan.total_seconds // 60, segments=len(plan.segments))
    assert template_texts(plan, "en").brief == expected


def test_lines_over_the_words_of_a_segment_are_dropped_from_the_end() -> None:
    plan = plan_of("panique-anxiete", "fear-0.8", 8, 0)
    twelve = "one two three four five six seven eight nine ten eleven twelve"
    kept = within_limits([[twelve] * 9 for _ in plan.segments], plan)
    assert [len(lines) for lines in kept][:2] == [2, 2]  # 26 and 24 words of room
    assert sum(len(lines) for lines in kept) * 12 <= MOST_WORDS


def test_stored_texts_read_back_equal() -> None:
    texts = template_texts(plan_of("panique-anxiete", "fear-0.8", 8, 0), "fr")
    assert texts_from_json(texts.as_json()) == texts


@pytest.mark.parametrize(
    ("tag", "locale"), [(None, "fr"), ("fr", "fr"), ("FR-be", "fr"), ("en", "en"), ("en_GB", "en")]
)
def test_a_language_tag_gives_its_language(tag: str | None, locale: str) -> None:
    assert locale_of(tag) == locale


@pytest.mark.parametrize("tag", ["de", "", "french", "f", "fr\n"])
def test_another_language_is_refused_with_the_list(tag: str) -> None:
    with pytest.raises(LocaleError) as refused:
        locale_of(tag)
    assert refused.value.members["allowed_locales"] == ["fr", "en"]
