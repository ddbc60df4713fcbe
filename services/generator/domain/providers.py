"""What is fixed about a provider: money, quota, stages and the limits of its models, as data."""

from dataclasses import dataclass
from typing import Final

from services.generator.domain.clockwork import EPSILON_SECONDS, Clockwork
from services.generator.domain.verdicts import VerdictTable, load, verdict_table

KNOWN: Final = ("suno", "composer")


@dataclass(frozen=True, slots=True)
class ModelLimits:
    """Characters; `takes_duration`: the model accepts a length in seconds."""

    style: int
    title: int
    negative_tags: int
    takes_duration: bool


@dataclass(frozen=True, slots=True)
class AccountTerms:
    """What one account allows; seconds are already scaled."""

    slots: int
    window_seconds: float
    hold_seconds: float
    lease_seconds: float
    probe_seconds: float
    user_cap: int | None
    max_in_flight: int | None
    record_info_counts: bool


@dataclass(frozen=True, slots=True)
class Provider:
    """One way to have music made. `paid` providers are never asked twice without need; one that is not bridges."""

    name: str
    paid: bool
    extensions: bool
    terms: AccountTerms
    first_seconds: float
    complete_seconds: float
    credits_per_generation: float

    @property
    def verdicts(self) -> VerdictTable:
        return verdict_table(self.name)


def load_provider(name: str, clock: Clockwork, scale: float) -> Provider:
    """Read a provider's data file and scale its durations."""
    content = load(name)
    account, stages = content["account"], content["stages"]
    window = account["window_seconds"] * scale
    hold = window + EPSILON_SECONDS
    terms = AccountTerms(
        slots=account["slots"],
        window_seconds=window,
        hold_seconds=hold,
        lease_seconds=clock.ambiguous_after + hold,
        probe_seconds=clock.probe_every,
        user_cap=account["user_cap"],
        max_in_flight=account["max_in_flight"],
        record_info_counts=account["record_info_counts"],
    )
    return Provider(
        name=name,
        paid=content["paid"],
        extensions=content["extensions"],
        terms=terms,
        first_seconds=stages["first_seconds"] * scale,
        complete_seconds=stages["complete_seconds"] * scale,
        credits_per_generation=content["credits_per_generation"],
    )


def model_limits(model: str) -> ModelLimits:
    """The limits of a model; those that every model keeps if we do not know it."""
    rows = load("models")
    row = rows.get(model, rows["default"])
    return ModelLimits(row["style"], row["title"], row["negative_tags"], row["duration"])
