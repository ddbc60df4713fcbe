"""The generator's environment: which providers in which order, how to reach them, what they call back."""

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, model_validator

from libs.common.settings import (
    DatabaseSettings,
    FalSettings,
    KafkaSettings,
    PeerSettings,
    ProviderSettings,
    PublicSettings,
    ReplicateSettings,
    ServiceSettings,
    SunoSettings,
)
from services.generator.clients import Access
from services.generator.domain.clockwork import Clockwork
from services.generator.domain.model_forms import LEAST_SECONDS, known_models, model_form
from services.generator.domain.providers import KNOWN
from services.generator.domain.roster import Roster, make_roster
from services.generator.domain.verdicts import load

_LOCAL_ENDINGS: Final = (".local", ".localhost", ".internal", ".lan", ".home", ".test", ".invalid", ".example")
COMPOSER_KEY: Final = "composer"  # a bearer for a composer that asks for none
COMPOSER_MODEL: Final = "V5_5"  # a name of the reseller's API that takes `duration`


@dataclass(frozen=True, slots=True)
class Names:
    """The settings of a paid provider, by name."""

    key: str
    base_url: str
    model: str
    keys_url: str | None = None


PAID: Final[Mapping[str, Names]] = {
    "suno": Names("suno_api_key", "suno_base_url", "suno_model"),
    "fal": Names("fal_key", "fal_base_url", "fal_model", "fal_jwks_url"),
    "replicate": Names("replicate_api_token", "replicate_base_url", "replicate_model"),
}
_BY_FORM: Final = frozenset({"fal", "replicate"})  # whose models are told apart in what they take


class Settings(
    ServiceSettings,
    DatabaseSettings,
    KafkaSettings,
    PeerSettings,
    PublicSettings,
    ProviderSettings,
    SunoSettings,
    FalSettings,
    ReplicateSettings,
):
    """Refuses at start what would only fail, and cost money, later."""

    composer_api_key: SecretStr = SecretStr("")  # the key that composer asks for, if it does
    playable_after_seconds: float = Field(default=150.0, gt=0)  # s; G: provider's expected time to a playable segment

    @model_validator(mode="after")
    def _refuse_what_cannot_work(self) -> "Settings":
        unknown = [name for name in self.providers if name not in KNOWN]
        if unknown:
            raise ValueError(f"PROVIDERS names {', '.join(unknown)}; known are {', '.join(KNOWN)}")
        for name in self.order:
            if name in PAID:
                self._refuse_missing_key(name)
                self._refuse_model(name)
                self._refuse_private_callback(name)
        return self

    def _refuse_missing_key(self, name: str) -> None:
        if not self.keys_of(name):
            key = PAID[name].key.upper()
            raise ValueError(f"PROVIDERS names a provider that has no key: {name} needs {key}, or must not be named")

    def _refuse_model(self, name: str) -> None:
        names, table = PAID[name], load(self._source(name))["models"]
        model, setting = getattr(self, names.model), names.model.upper()
        if model not in known_models(table):
            raise ValueError(
                f"{setting} is {model}, which {name} is not known to have: {', '.join(known_models(table))}"
            )
        if name in _BY_FORM and model_form(table, model).is_too_short:
            raise ValueError(
                f"{setting} is {model}, whose files are paid for and then refused: they are shorter than "
                f"{LEAST_SECONDS} s, which nothing completes; name another, or leave {name} out of PROVIDERS"
            )

    def _refuse_private_callback(self, name: str) -> None:
        reason = why_not_public(self.paid_callback)
        if reason is not None and not is_local(self._base_url(name)):
            raise ValueError(
                f"CALLBACK_BASE must be a public https address, because {PAID[name].base_url.upper()} is not on this "
                f"machine: it {reason}. A paid provider would make music and could never deliver it"
            )

    @property
    def order(self) -> tuple[str, ...]:
        """Providers to ask, each once; where none is named: Suno if it has a key, then composer."""
        by_default = ("suno", "composer") if self.keys_of("suno") else ("composer",)
        return tuple(dict.fromkeys(self.providers or by_default))

    def keys_of(self, name: str) -> list[str]:
        """One key an account; several, separated by commas, add their quotas up."""
        secret: SecretStr = getattr(self, PAID[name].key)
        return [key.strip() for key in secret.get_secret_value().split(",") if key.strip()]

    @property
    def paid_callback(self) -> str:
        """The whole address that paid providers call, without segment and token."""
        return self.callback_base or f"{self.public_url}/callback"

    @property
    def clock(self) -> Clockwork:
        return Clockwork(expected_playable=self.playable_after_seconds).scaled(self.time_scale)

    def roster(self) -> Roster:
        """The providers and accounts; their names are stable, since rows in the database carry them."""
        accounts: dict[str, str] = {}
        for name in self.order:
            numbers = range(1, len(self.keys_of(name)) + 1) if name in PAID else ()
            accounts |= dict.fromkeys([f"{name}-{number}" for number in numbers] or [name], name)
        sources = {"suno": self._source("suno")}
        return make_roster(self.order, accounts, self.clock, self.time_scale, sources)

    def access(self, roster: Roster) -> Mapping[str, Access]:
        """How to reach each account of the roster."""
        return {account: self._way(account, name, roster) for account, name in roster.accounts.items()}

    def _way(self, account: str, name: str, roster: Roster) -> Access:
        if name not in PAID:
            return Access(
                provider=roster.provider(name),
                base_url=self.composer_url,
                key=self.composer_api_key.get_secret_value() or COMPOSER_KEY,
                model=COMPOSER_MODEL,
                callback_base=f"{self.callback_url}/callback",
            )
        names = PAID[name]
        return Access(
            provider=roster.provider(name),
            base_url=self._base_url(name),
            key=self.keys_of(name)[int(account.rpartition("-")[2]) - 1],
            model=getattr(self, names.model),
            callback_base=self.paid_callback,
            keys_url=getattr(self, names.keys_url) if names.keys_url else "",
        )

    def _source(self, name: str) -> str:
        """The data file: Suno is reached by one of two resellers."""
        return "kie" if name == "suno" and self.suno_dialect == "kie" else name

    def _base_url(self, name: str) -> str:
        """As configured; an address that was left at its default is the default of the reseller that is spoken to."""
        setting = PAID[name].base_url
        given: str = getattr(self, setting)
        default: str = load(self._source(name))["base_url"]
        return default if given == type(self).model_fields[setting].default else given


def is_local(address: str) -> bool:
    """Whether the address is on this machine; names are not resolved."""
    host = urlsplit(address).hostname or ""
    parsed = _ip(host)
    return host == "localhost" or (parsed is not None and parsed.is_loopback)


def why_not_public(address: str) -> str | None:
    """What keeps a provider out there from calling this address; `None` when nothing is seen to."""
    parts = urlsplit(address)
    host = (parts.hostname or "").rstrip(".").lower()
    if parts.scheme != "https":
        return f"has the scheme {parts.scheme or 'none'}"
    parsed = _ip(host)
    if parsed is not None:
        return None if parsed.is_global else "is a private address"
    if "." not in host or host.endswith(_LOCAL_ENDINGS):
        return "has a name that only a local network knows"
    return None


def _ip(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
