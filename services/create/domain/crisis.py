"""Where a person in danger can turn, as data with a date, and which words in a free text call for showing it."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache
from typing import Literal

from services.create.domain.packaged import load
from services.create.domain.presets import Locale
from services.create.domain.wording import fold

OLDEST_DAYS = 180  # CI refuses an enabled contact that was verified longer ago
AGING_DAYS = 150  # and warns from here on
_HOME_COUNTRY = "FR"
_WHOLE_UNION = "EU"
_REGION = re.compile(r"[a-z]{2}[-_]([A-Z]{2})")


@dataclass(frozen=True, slots=True)
class Contact:
    """One line as stored. `free` is None where it was not verified."""

    id: str
    country: str  # ISO 3166, or EU
    languages: tuple[str, ...]
    name: Mapping[Locale, str]
    number: str
    channel: Literal["voice", "sms", "web"]
    who: Mapping[Locale, str]
    hours: Mapping[Locale, str]
    free: bool | None
    source: str
    last_verified: date | None
    enabled: bool

    @property
    def may_be_shown(self) -> bool:
        return self.enabled and self.last_verified is not None


@dataclass(frozen=True, slots=True)
class Contacts:
    version: str
    eu_countries: frozenset[str]
    contacts: tuple[Contact, ...]


@dataclass(frozen=True, slots=True)
class ShownContact:
    """One line in the listener's language."""

    id: str
    country: str
    languages: tuple[str, ...]
    name: str
    number: str
    channel: str
    who: str
    hours: str
    free: bool | None


@dataclass(frozen=True, slots=True)
class _Words:
    version: str
    phrases: tuple[str, ...]
    harmless: tuple[str, ...]


@cache
def all_contacts() -> Contacts:
    return load("crisis_contacts.json", Contacts)


def country_of(language_tag: str | None) -> str:
    """The country that a tag such as `fr-BE` names, else France."""
    found = _REGION.match(language_tag or "")
    return found[1] if found else _HOME_COUNTRY


def contacts_for(country: str, locale: Locale) -> list[ShownContact]:
    """Lines to show, the country's own before 112; never an empty panel.

    A country for which nothing verified is known gets France's, whose own country stands beside each.
    """
    own = _showable(country)
    union = _showable(_WHOLE_UNION) if country in all_contacts().eu_countries else []
    chosen = (own + union) or (_showable(_HOME_COUNTRY) + _showable(_WHOLE_UNION))
    return [_in_language(contact, locale) for contact in chosen]


def verified_before(day: date) -> list[str]:
    """Ids of enabled contacts last verified before that day."""
    enabled = (c for c in all_contacts().contacts if c.enabled)
    return [c.id for c in enabled if c.last_verified is None or c.last_verified < day]


def outdated(today: date) -> list[str]:
    return verified_before(today - timedelta(days=OLDEST_DAYS))


def aging(today: date) -> list[str]:
    return verified_before(today - timedelta(days=AGING_DAYS))


def calls_for_support(text: str) -> bool:
    """Whether a free text holds crisis words. Its answer is acted on, never stored with the text."""
    folded = fold(text)
    for harmless in _words().harmless:
        folded = folded.replace(harmless, " ")
    return bool(_phrases().search(folded))


def _showable(country: str) -> list[Contact]:
    return [c for c in all_contacts().contacts if c.country == country and c.may_be_shown]


def _in_language(contact: Contact, locale: Locale) -> ShownContact:
    return ShownContact(
        id=contact.id,
        country=contact.country,
        languages=contact.languages,
        name=contact.name[locale],
        number=contact.number,
        channel=contact.channel,
        who=contact.who[locale],
        hours=contact.hours[locale],
        free=contact.free,
    )


@cache
def _words() -> _Words:
    return load("crisis_words.json", _Words)


@cache
def _phrases() -> re.Pattern[str]:
    return re.compile(r"(?<!\w)(?:" + "|".join(_alternatives(_words().phrases)) + r")(?!\w)")


def _alternatives(phrases: Sequence[str]) -> list[str]:
    return [re.escape(phrase) for phrase in sorted(phrases, key=len, reverse=True)]
