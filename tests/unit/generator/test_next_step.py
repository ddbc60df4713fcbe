"""Claims about what follows an attempt that ended without music."""

from collections.abc import Iterable
from typing import Any

import pytest

from services.generator.domain.clockwork import Clockwork
from services.generator.domain.next_step import (
    Ask,
    GiveUp,
    Situation,
    Step,
    after_ambiguity,
    after_failure,
    after_refusal,
    after_silence,
    first_choice,
)
from services.generator.domain.providers import load_provider
from services.generator.domain.verdicts import Verdict

CLOCK = Clockwork()
SUNO, COMPOSER = (load_provider(name, CLOCK, 1.0) for name in ("suno", "composer"))


def now(suno_tries: int = 1, /, **changes: Any) -> Situation:
    facts: dict[str, Any] = {
        "order": (SUNO, COMPOSER),
        "open_providers": frozenset({"suno", "composer"}),
        "tries": {"suno": suno_tries},
        "needed_soon": False,
        "past_deadline": False,
    }
    return Situation(**(facts | changes))


def asked(step: Step | None) -> tuple[str, float]:
    assert isinstance(step, Ask)
    return step.provider, step.delay_seconds


@pytest.mark.parametrize(("tries", "seconds"), [(1, 2.0), (2, 4.0)])
@pytest.mark.parametrize("verdict", [Verdict.RETRY, Verdict.THROTTLE])
def test_a_paid_provider_is_asked_three_times_with_growing_pauses(verdict: Verdict, tries: int, seconds: float) -> None:
    provider, delay = asked(after_refusal(now(tries), SUNO, verdict, CLOCK))
    assert provider == "suno"
    assert seconds * 0.8 <= delay <= seconds * 1.2


def test_after_three_tries_the_next_provider_is_asked_at_once() -> None:
    assert asked(after_refusal(now(3), SUNO, Verdict.RETRY, CLOCK)) == ("composer", 0.0)


@pytest.mark.parametrize(("header", "least", "most"), [(7.0, 7.0, 7.0), (900.0, 60.0, 60.0), (0.5, 1.6, 2.4)])
def test_retry_after_is_honoured_up_to_a_minute(header: float, least: float, most: float) -> None:
    _provider, delay = asked(after_refusal(now(1), SUNO, Verdict.THROTTLE, CLOCK, header))
    assert least <= delay <= most


@pytest.mark.parametrize("verdict", [Verdict.WALLET, Verdict.KEY, Verdict.BAD_REQUEST, Verdict.MAINTENANCE])
def test_what_a_retry_cannot_mend_goes_to_the_next_provider_at_once(verdict: Verdict) -> None:
    assert asked(after_refusal(now(1), SUNO, verdict, CLOCK)) == ("composer", 0.0)


def test_composer_is_asked_until_the_deadline() -> None:
    facts = now(0, tries={"composer": 50})
    assert asked(after_refusal(facts, COMPOSER, Verdict.RETRY, CLOCK))[0] == "composer"
    late = now(0, tries={"composer": 50}, past_deadline=True)
    assert after_refusal(late, COMPOSER, Verdict.RETRY, CLOCK) == GiveUp()


@pytest.mark.parametrize("verdict", [Verdict.BAD_REQUEST, Verdict.KEY])
def test_nobody_is_left_after_the_last_provider_has_refused_for_good(verdict: Verdict) -> None:
    assert after_refusal(now(0, tries={"composer": 1}), COMPOSER, verdict, CLOCK) == GiveUp()


def test_a_listener_who_needs_it_soon_gets_composer_after_a_failure() -> None:
    assert asked(after_failure(now(1, needed_soon=True), SUNO, Verdict.RETRY, CLOCK)) == ("composer", 0.0)
    assert asked(after_failure(now(1), SUNO, Verdict.RETRY, CLOCK))[0] == "suno"


def test_an_ambiguous_paid_call_is_repeated_exactly_once() -> None:
    assert asked(after_ambiguity(now(1), SUNO, CLOCK, resent_before=False)) == ("suno", 0.0)
    assert asked(after_ambiguity(now(2), SUNO, CLOCK, resent_before=True)) == ("composer", 0.0)


def test_without_another_provider_a_second_ambiguous_call_is_not_repeated() -> None:
    assert after_ambiguity(now(2, order=(SUNO,)), SUNO, CLOCK, resent_before=True) == GiveUp()


def test_after_silence_the_next_provider_is_asked() -> None:
    assert asked(after_silence(now(1), SUNO, CLOCK, still_running=False)) == ("composer", 0.0)


def test_nothing_paid_is_started_while_the_provider_still_works() -> None:
    alone = now(1, order=(SUNO,), open_providers=frozenset({"suno"}))
    assert after_silence(alone, SUNO, CLOCK, still_running=True) is None
    assert asked(after_silence(alone, SUNO, CLOCK, still_running=False))[0] == "suno"


def test_a_silent_composer_is_asked_again() -> None:
    facts = now(0, order=(COMPOSER,), tries={"composer": 2})
    assert asked(after_silence(facts, COMPOSER, CLOCK, still_running=True))[0] == "composer"


@pytest.mark.parametrize(
    ("open_ones", "chosen"),
    [(["suno", "composer"], "suno"), (["composer"], "composer"), (["suno"], "suno"), ([], "composer")],
)
def test_a_request_goes_to_the_first_open_provider(open_ones: Iterable[str], chosen: str) -> None:
    assert first_choice((SUNO, COMPOSER), frozenset(open_ones)).name == chosen


def test_a_provider_that_is_configured_no_more_hands_over() -> None:
    assert asked(after_refusal(now(3, order=(COMPOSER,)), SUNO, Verdict.RETRY, CLOCK)) == ("composer", 0.0)
