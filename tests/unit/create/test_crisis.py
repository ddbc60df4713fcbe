"""Crisis contacts and words: only verified lines are shown, none too old, and a needless panel beats a missed one."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from services.create.domain import crisis


def shown(country: str) -> list[str]:
    return [contact.id for contact in crisis.contacts_for(country, "fr")]


def test_france_has_its_own_lines_and_112() -> None:
    assert shown("FR") == ["fr-3114", "fr-15", "fr-filsante", "eu-112"]


def test_a_country_of_the_union_without_a_verified_line_has_112() -> None:
    assert shown("BE") == ["eu-112"]


@pytest.mark.parametrize("country", ["CH", "US", "GB", "XX"])
def test_a_country_without_any_verified_line_is_never_left_with_an_empty_panel(country: str) -> None:
    assert shown(country) == shown("FR")


@pytest.mark.parametrize(
    ("tag", "country"), [(None, "FR"), ("fr", "FR"), ("en", "FR"), ("fr-BE", "BE"), ("en_US", "US"), ("nonsense", "FR")]
)
def test_the_country_comes_from_the_locale_else_france(tag: str | None, country: str) -> None:
    assert crisis.country_of(tag) == country


def test_a_contact_that_was_never_verified_is_never_shown() -> None:
    unverified = [c for c in crisis.all_contacts().contacts if c.last_verified is None]
    assert {c.id for c in unverified} == {"fr-114", "fr-sosamitie", "be-cps", "ch-143", "uk-116123", "us-988"}
    assert not any(replace(contact, enabled=True).may_be_shown for contact in unverified)
    assert not any(contact.enabled for contact in unverified)


def test_both_languages_say_who_answers_and_when() -> None:
    french, english = crisis.contacts_for("FR", "fr"), crisis.contacts_for("FR", "en")
    assert [c.number for c in french] == [c.number for c in english] == ["3114", "15", "0 800 235 236", "112"]
    assert all(c.who and c.hours and c.name and c.free for c in (*french, *english))
    assert french[0].who != english[0].who


def test_no_enabled_contact_was_verified_more_than_180_days_ago() -> None:
    today = datetime.now(tz=UTC).date()
    if due := crisis.aging(today):
        print(f"\nverify again soon: {', '.join(due)}")  # noqa: T201 — a warning that must not fail the build
    assert crisis.outdated(today) == []


def test_age_is_counted_from_the_day_of_verification() -> None:
    verified = date(2026, 11, 20)
    assert crisis.outdated(verified + timedelta(days=180)) == []
    assert len(crisis.outdated(verified + timedelta(days=181))) == 4
    assert len(crisis.aging(verified + timedelta(days=151))) == 4


@pytest.mark.parametrize(
    "text",
    [
        "j’ai envie de me tuer",
        "Suicide",
        "je veux EN FINIR",
        "plus envie de vivre",
        "peur de me faire du mal",
        "je n’ai plus envie de vivre",
        "I want to kill myself",
        "end it all",
        "I want to die.",
        "self-harm",
        "thinking of suicide",
        "m’ouvrir les veines",
        "suicide squad, et puis le suicide",
    ],
)
def test_crisis_words_call_for_support(text: str) -> None:
    assert crisis.calls_for_support(text)


@pytest.mark.parametrize(
    "text",
    [
        "tuer le temps",
        "mort de rire",
        "killing time",
        "dead tired",
        "suicide squad",
        "Suicide Squad !",
        "le fil de ma vie",
        "enfin rentré",
        "a dead end",
        "",
    ],
)
def test_harmless_phrases_do_not(text: str) -> None:
    assert not crisis.calls_for_support(text)
