"""The generator's environment: which providers in which order, how to reach them, what they call back."""

import ipaddress
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, model_validator

from libs.common.settings import (
    DatabaseSettings,
    KafkaSettings,
    PeerSettings,
    ProviderSettings,
    PublicSettings,
    ServiceSettings,
    SunoSettings,
)
from services.generator.clients import Access
from services.generator.domain.clockwork import Clockwork
from services.generator.domain.providers import KNOWN
from services.generator.domain.roster import Roster, make_roster

_LOCAL_ENDINGS: Final = (".local", ".localhost", ".internal", ".lan", ".home", ".test", ".invalid", ".example")
COMPOSER_KEY: Final = "composer"  # a bearer for a composer that asks for none
COMPOSER_MODEL: Final = "V5_5"  # a name of the reseller's API that takes `duration`


class Settings(
    ServiceSettings,
    DatabaseSettings,
    KafkaSettings,
    PeerSettings,
    PublicSettings,
    ProviderSettings,
    SunoSettings,
):
    """Refuses at start what would only fail, and cost money, later."""

    composer_api_key: SecretStr = SecretStr("")  # the key that composer asks for, if it does
    playable_after_seconds: float = Field(default=150.0, gt=0)  # s; G: provider's expected time to a playable segment

    @model_validator(mode="after")
    def _refuse_what_cannot_work(self) -> "Settings":
        unknown = [name for name in self.providers if name not in KNOWN]
        if unknown:
            raise ValueError(f"PROVIDERS names {', '.join(unknown)}; known are {', '.join(KNOWN)}")
        if not self.order:
            raise ValueError("PROVIDERS leaves no provider: suno needs SUNO_API_KEY")
        if "suno" in self.order and not is_local(self.suno_base_url):
            self._refuse_private_callback()
        return self

    def _refuse_private_callback(self) -> None:
        reason = why_not_public(self.suno_callback)
        if reason is not None:
            raise ValueError(
                "CALLBACK_BASE must be a public https address, because SUNO_BASE_URL is not on this machine: "
                f"it {reason}. A paid provider would make music and could never deliver it"
            )

    @property
    def order(self) -> tuple[str, ...]:
        """Providers to ask, without those that lack a key; each once."""
        wanted = dict.fromkeys(self.providers or ("suno", "composer"))
        return tuple(name for name in wanted if name != "suno" or self.suno_keys)

    @property
    def suno_keys(self) -> list[str]:
        """One key an account; several, separated by commas, add their quotas up."""
        return [key.strip() for key in self.suno_api_key.get_secret_value().split(",") if key.strip()]

    @property
    def suno_callback(self) -> str:
        """The whole address that Suno calls, without segment and token."""
        return self.callback_base or f"{self.public_url}/callback"

    @property
    def clock(self) -> Clockwork:
        return Clockwork(expected_playable=self.playable_after_seconds).scaled(self.time_scale)

    def roster(self) -> Roster:
        """The providers and accounts; their names are stable, since rows in the database carry them."""
        accounts: dict[str, str] = {}
        for name in self.order:
            names = [f"suno-{number}" for number in range(1, len(self.suno_keys) + 1)] if name == "suno" else [name]
            accounts |= dict.fromkeys(names, name)
        return make_roster(self.order, accounts, self.clock, self.time_scale)

    def access(self, roster: Roster) -> Mapping[str, Access]:
        """How to reach each account of the roster."""
        ways: dict[str, Access] = {}
        for account, name in roster.accounts.items():
            provider = roster.provider(name)
            if name == "suno":
                key = self.suno_keys[int(account.removeprefix("suno-")) - 1]
                ways[account] = Access(
                    provider=provider,
                    base_url=self.suno_base_url,
                    key=key,
                    model=self.suno_model,
                    callback_base=self.suno_callback,
                )
            else:
                ways[account] = Access(
                    provider=provider,
                    base_url=self.composer_url,
                    key=self.composer_api_key.get_secret_value() or COMPOSER_KEY,
                    model=COMPOSER_MODEL,
                    callback_base=f"{self.callback_url}/callback",
                )
        return ways


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
