"""What is fixed about a provider: money, quota, stages and the limits of its models, as data."""

from dataclasses import dataclass
from typing import Final

from services.generator.domain.clockwork import EPSILON_SECONDS, Clockwork
from services.generator.domain.verdicts import VerdictTable, load, verdict_table

KNOWN: Final = ("suno", "fal", "replicate", "composer")


@dataclass(frozen=True, slots=True)
class ModelLimits:
    """Characters; `takes_duration`: the model accepts a length in seconds; `by_job`: kie.ai makes it as a job."""

    style: int
    title: int
    negative_tags: int
    takes_duration: bool
    by_job: bool = False


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
    """One way to have music made. `paid` providers are never asked twice without need; one that is not bridges.

    `source` is its data file's name: one provider may be reached by either of two resellers. `tells_balance`: there is
    a credit endpoint that our key may ask; `balance_decides`: sources differ on what its "no credits" means, so that
    is asked. `signs`: its webhooks are signed by keys that we fetch. One without the stage `first` is late for it when
    it is late for `complete`.
    """

    name: str
    source: str
    dialect: str
    models: str
    paid: bool
    extensions: bool
    signs: bool
    terms: AccountTerms
    first_seconds: float
    complete_seconds: float
    credits_per_generation: float
    cost_unit: str
    tells_balance: bool
    balance_decides: bool

    @property
    def verdicts(self) -> VerdictTable:
        return verdict_table(self.source)


def load_provider(name: str, clock: Clockwork, scale: float, source: str | None = None) -> Provider:
    """Read a provider's data file and scale its durations."""
    content = load(source or name)
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
        source=source or name,
        dialect=content["dialect"],
        models=content["models"],
        paid=content["paid"],
        extensions=content["extensions"],
        signs=content["signs"],
        terms=terms,
        first_seconds=(stages["first_seconds"] or stages["complete_seconds"]) * scale,
        complete_seconds=stages["complete_seconds"] * scale,
        credits_per_generation=content["credits_per_generation"],
        cost_unit=content["cost_unit"],
        tells_balance=content["tells_balance"],
        balance_decides=content["balance_decides"],
    )


def model_limits(model: str) -> ModelLimits:
    """The limits of one of Suno's models; those that every model keeps if we do not know it."""
    rows = load("models")
    row = rows.get(model, rows["default"])
    return ModelLimits(row["style"], row["title"], row["negative_tags"], row["duration"], row["by_job"])
