"""The configured providers in their order, and the accounts we have with them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from services.generator.domain.clockwork import Clockwork
from services.generator.domain.providers import KNOWN, Provider, load_provider


@dataclass(frozen=True, slots=True)
class Roster:
    """`accounts` maps an account's name to its provider's; every known provider can be looked up, configured or not."""

    order: tuple[Provider, ...]
    accounts: Mapping[str, str]
    known: Mapping[str, Provider]

    def provider(self, name: str) -> Provider:
        return self.known[name]

    @property
    def names(self) -> list[str]:
        return [provider.name for provider in self.order]

    @property
    def account_names(self) -> list[str]:
        return list(self.accounts)

    def accounts_of(self, provider: str) -> list[str]:
        return [account for account, owner in self.accounts.items() if owner == provider]


def make_roster(
    order: Sequence[str],
    accounts: Mapping[str, str],
    clock: Clockwork,
    scale: float,
    sources: Mapping[str, str] | None = None,
) -> Roster:
    """Load the data files of all known providers and keep the configured order; `sources` names other data files."""
    known = {name: load_provider(name, clock, scale, (sources or {}).get(name)) for name in KNOWN}
    return Roster(tuple(known[name] for name in order), dict(accounts), known)
