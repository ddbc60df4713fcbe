"""What follows when an attempt has ended without music: the same provider later, the next one, or nothing."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from services.generator.domain.clockwork import Clockwork
from services.generator.domain.providers import Provider
from services.generator.domain.verdicts import Verdict

MAX_TRIES: Final = 3  # §2.4: attempts at a paid provider, for one request of a segment
RETRY_AFTER_LIMIT_SECONDS: Final = 60.0  # §2.4
_JITTER: Final = 0.2


@dataclass(frozen=True, slots=True)
class Ask:
    """Put the segment into the queue for this provider, no sooner than the delay allows."""

    provider: str
    delay_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class GiveUp:
    """No way is left."""


Step = Ask | GiveUp


@dataclass(frozen=True, slots=True)
class Situation:
    """What the decision rests on. `tries` counts attempts dispatched since the segment was requested."""

    order: Sequence[Provider]
    open_providers: frozenset[str]
    tries: Mapping[str, int]
    needed_soon: bool
    past_deadline: bool


def after_refusal(
    now: Situation, provider: Provider, verdict: Verdict, clock: Clockwork, retry_after: float | None = None
) -> Step:
    """The provider refused, or (verdict ambiguous, provider free of charge) may have lost, a submission."""
    if verdict in (Verdict.RETRY, Verdict.THROTTLE, Verdict.AMBIGUOUS):
        return _again(now, provider, clock, retry_after)
    return _next(now, provider, clock)


def after_failure(now: Situation, provider: Provider, verdict: Verdict, clock: Clockwork) -> Step:
    """An accepted attempt failed. A listener who needs the segment soon gets it from the provider that bridges."""
    bridge = bridging(now.order)
    if now.needed_soon and bridge is not None and bridge.name != provider.name and not now.past_deadline:
        return Ask(bridge.name)
    return after_refusal(now, provider, verdict, clock)


def after_ambiguity(now: Situation, provider: Provider, clock: Clockwork, *, resent_before: bool) -> Step:
    """Nobody adopted the attempt in time: exactly one resend of what may have been paid, then the next provider."""
    if provider.paid and resent_before:
        return _next(now, provider, clock)
    if provider.paid and now.tries.get(provider.name, 0) < MAX_TRIES and not now.past_deadline:
        return Ask(provider.name)
    return _again(now, provider, clock, None)


def after_silence(now: Situation, provider: Provider, clock: Clockwork, *, still_running: bool) -> Step | None:
    """We stopped waiting. While the provider says that it runs nothing paid is started; `None`: then wait on."""
    bridge = bridging(now.order)
    if still_running and not now.past_deadline:
        return None if bridge is None else Ask(bridge.name, _delay(now, bridge, clock))
    step = _next(now, provider, clock)
    return _again(now, provider, clock, None) if isinstance(step, GiveUp) else step


def first_choice(order: Sequence[Provider], open_providers: frozenset[str]) -> Provider:
    """Whom a new request asks: the first that is open; else the one that bridges, which costs nothing to wait for."""
    is_open = next((provider for provider in order if provider.name in open_providers), None)
    return is_open or bridging(order) or order[0]


def bridging(order: Sequence[Provider]) -> Provider | None:
    """The provider that costs nothing, if one is configured."""
    return next((provider for provider in order if not provider.paid), None)


def _again(now: Situation, provider: Provider, clock: Clockwork, retry_after: float | None) -> Step:
    if now.past_deadline:
        return GiveUp()
    if provider.paid and now.tries.get(provider.name, 0) >= MAX_TRIES:
        return _next(now, provider, clock)
    asked = min(retry_after or 0.0, RETRY_AFTER_LIMIT_SECONDS)
    return Ask(provider.name, max(_delay(now, provider, clock), asked))


def _next(now: Situation, provider: Provider, clock: Clockwork) -> Step:
    if now.past_deadline:
        return GiveUp()
    names = [each.name for each in now.order]
    place = names.index(provider.name) + 1 if provider.name in names else 0  # it may be configured no more
    later = [each for each in now.order[place:] if _has_tries(now, each)]
    if not later:
        return GiveUp()
    chosen = first_choice(later, now.open_providers)
    return Ask(chosen.name, _delay(now, chosen, clock) if now.tries.get(chosen.name) else 0.0)


def _has_tries(now: Situation, provider: Provider) -> bool:
    return not provider.paid or now.tries.get(provider.name, 0) < MAX_TRIES


def _delay(now: Situation, provider: Provider, clock: Clockwork) -> float:
    tries = now.tries.get(provider.name, 0)
    if not tries:
        return 0.0
    steps = clock.backoff
    spread = random.uniform(1 - _JITTER, 1 + _JITTER)  # noqa: S311 - jitter is no secret
    return steps[min(tries, len(steps)) - 1] * spread
