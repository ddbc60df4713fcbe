"""What we never say: words of medicine and proof anywhere, emotions in titles, anything but sound in a colour."""

import re
import unicodedata
from functools import cache

from services.create.domain import emotion

# The one text that may name a medical device; it is fixed and no model touches it.
ALLOW_LISTED_IDS = frozenset({"notice.not_medical"})

# On folded text (no accents, lower case, straight apostrophes). Stems as domain.md §8.5 lists them, with the
# everyday words that share a stem left alone: guerre, health, trait, éprouver, patience.
_BANNED: dict[str, re.Pattern[str]] = {
    name: re.compile(pattern)
    for name, pattern in {
        "treat": r"\btrait(?:ee?s?|er|ez|ent|ements?|ante?s?)\b|\btreat(?:s|ed|ing|ments?)?\b",
        "care for": r"\bsoign|\bremede",
        "cure": r"\bcur(?:e|es|ed|ing|atif|atifs|ative|atives)\b",
        "heal": r"\bgueri(?!d|ll)|\bheal(?:s|ed|er|ers|ing)?\b",
        "therapy": r"therap",
        "diagnosis": r"diagnos|\bsymptom|patholog",
        "disorder": r"\btroubles? (?:d[eu]s?\b|d'|la\b|le\b|anxie|psy|ment|bipol|aliment|obses)|\bdisorder",
        "condition": r"\bdepressi|phobi|\bburn[ -]?out|\binsomni",
        "patient": r"\bpatiente?s?\b",
        "prescription": r"\bprescri|\bposolog|\bdos(?:e|es|age|ages|er)\b",
        "proof": r"\bprouvee?s?\b|\bcliniquement|\bscientifiquement|\befficaces? (?:a|contre)\b|\bgaranti",
        "proof (en)": r"\bclinically|\bproven\b|\bguarantee|\bscientifically",
        "measured effect": r"\b(?:redui|reduc|baiss|diminu|lower)\w*\b[^.]{0,60}?\d+ ?(?:%|percent|pour cent)",
        "medical device": r"\bdispositifs? medica|\bmedical devices?\b",
        "sound cures": r"\bbinaura|\bfrequences? de guerison|\b432 ?hz",
    }.items()
}

_TUTOIEMENT = re.compile(r"\b(?:tu|te|toi|ton|ta|tes)\b|\bt'")
# A model may not hand out medicines, telephone numbers, links or sums.
_NEVER_FROM_A_MODEL = re.compile(
    r"\bmedica(?:ment|tion|l)|\bpills?\b|\bcomprimes?\b|\btablets?\b|\b\d+ ?(?:mg|ml)\b"
    r"|https?:|www\.|@|\d{3}|[<>{}\[\]\\]"
)

_COLOUR_SHAPE = re.compile(r"[A-Za-z][a-z ,;'\-]*")  # one capital at most: no artist names, no digits, no tempo
_NOT_A_COLOUR = re.compile(
    r"\bbpm\b|\btempo\b|\bbeats?\b|\b(?:aeolian|dorian|mixolydian|ionian|lydian|phrygian|locrian)\b"
    r"|\b(?:major|minor|key|mode|modal|scale|sharp|flat)\b"
    r"|\b(?:cymbals?|sirens?|alarms?|drums?|drumming|percussi\w*|risers?|drops?|stingers?)\b"
    r"|\b(?:crash|beep|distort|scream)"
    r"|\bbuild|\bsudden|\bloud|\bcrescendo|\bclimax"
    r"|\b(?:voices?|vocals?|vocali\w*|sing|sings|singing|singer|singers|sung|songs?|lyrics?|words?|whisper\w*|choirs?|choral"
    r"|chant\w*|humm?\w*|rap|rapping|spoken|speak\w*|speech|narrat\w*|humans?)\b"
    r"|\b(?:style of|in the manner|inspired by|reminiscent|sounds? like|artists?|bands?|composers?)\b"
    r"|\b(?:eno|satie|debussy|einaudi|richter|arvo|part|frahm|enya|vangelis|chopin|bach|mozart|beethoven|sakamoto|budd"
    r"|arnalds|moby|aphex|radiohead|coldplay|zimmer)\b"
)


def fold(text: str) -> str:
    """Lower case, no accents, straight apostrophes, single spaces: what every rule here reads."""
    decomposed = unicodedata.normalize("NFKD", text.replace("’", "'"))
    return " ".join("".join(c for c in decomposed if not unicodedata.combining(c)).lower().split())


def violations(text: str, *, text_id: str | None = None) -> list[str]:
    """Names of the broken rules, none for a text that may be said; `text_id` may be allow-listed."""
    if text_id in ALLOW_LISTED_IDS:
        return []
    folded = fold(text)
    return [name for name, pattern in _BANNED.items() if pattern.search(folded)]


def names_an_emotion(text: str) -> bool:
    """Whether one of the 74 accepted names stands in the text as a word; titles and requests must not show it."""
    return bool(_emotion_words().search(fold(text)))


def speaks_familiarly(text: str) -> bool:
    """Whether a French text says *tu*; every listener is *vous*."""
    return bool(_TUTOIEMENT.search(fold(text)))


def unfit_from_a_model(text: str) -> bool:
    """Whether a sentence carries what no model may add: medicines, numbers to call, links, markup."""
    return bool(_NEVER_FROM_A_MODEL.search(fold(text))) or not text.isprintable()


def is_sound_colour(text: str) -> bool:
    """Whether a model's colour speaks of sound alone and leaves what the plan decides untouched."""
    if not _COLOUR_SHAPE.fullmatch(text):
        return False
    folded = fold(text)
    return not (_NOT_A_COLOUR.search(folded) or violations(text) or names_an_emotion(text))


@cache
def _emotion_words() -> re.Pattern[str]:
    names = sorted(emotion.labels(), key=len, reverse=True)
    return re.compile(r"\b(?:" + "|".join(name.replace("_", "[ _]") for name in names) + r")\b")
