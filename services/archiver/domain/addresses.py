"""Owns which addresses may be fetched (F1): the text of the URL, the names allowed, the numbers they resolve to."""

import ipaddress
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from services.archiver.domain.failures import Code, GiveUp

PROVIDER_HOSTS: Final = {
    "suno": (
        "apiboxfiles.erweima.ai",
        "mfile.erweima.ai",
        "musicfile.api.box",
        "tempfile.aiquickdraw.com",
        "cdn1.suno.ai",
        "cdn2.suno.ai",
        "audiopipe.suno.ai",
    ),
    "fal": ("*.fal.media",),
    "replicate": ("replicate.delivery", "*.replicate.delivery"),
    "composer": (),  # reached by its whole private origin only
}
"""Default of PROVIDER_FILE_HOSTS for each configured provider (providers.md §1A)."""

MAX_URL: Final = 2048
_HTTPS_PORT: Final = 443
_HOST: Final = re.compile(r"(?!-)[a-z0-9-]{1,63}(\.(?!-)[a-z0-9-]{1,63})*")
_PLAIN: Final = re.compile(r"[\x21-\x5b\x5d-\x7e]+")  # printable ASCII without the backslash, which parsers disagree on
_EMBEDDING: Final = tuple(
    ipaddress.IPv6Network(net) for net in ("64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32", "::/96")
)
"""IPv6 ranges that carry an IPv4 address inside; nothing of ours or a provider's needs them."""


@dataclass(frozen=True, slots=True)
class Target:
    """An address that may be fetched once it is resolved; `private` names were configured with their whole origin."""

    scheme: str
    host: str
    port: int
    path: str
    private: bool

    def pinned(self, address: str) -> str:
        """The URL of this target at one numeric address."""
        literal = f"[{address}]" if ":" in address else address
        return f"{self.scheme}://{literal}:{self.port}{self.path}"

    @property
    def host_header(self) -> str:
        usual = self.port == (_HTTPS_PORT if self.scheme == "https" else 80)
        return self.host if usual else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class AllowList:
    """`hosts` are names or `*.name`, reached by https on 443; `origins` are `scheme://host:port`, named in full."""

    hosts: frozenset[str]
    origins: frozenset[str]

    @classmethod
    def of(cls, hosts: Iterable[str], origins: Iterable[str]) -> "AllowList":
        return cls(frozenset(host.lower() for host in hosts), frozenset(_normal_origin(one) for one in origins))

    def admit(self, url: str) -> Target:
        """Read a URL; raises `GiveUp(URL_REFUSED)` when it may not be fetched. The text found is never quoted."""
        if len(url) > MAX_URL or not _PLAIN.fullmatch(url):
            raise _refused("characters")
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as error:
            raise _refused("malformed") from error
        if parts.scheme not in ("https", "http") or "@" in parts.netloc or not parts.hostname:
            raise _refused("scheme or user")
        host = parts.hostname.lower()
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        effective = port or (_HTTPS_PORT if parts.scheme == "https" else 80)
        if f"{parts.scheme}://{host}:{effective}" in self.origins:
            return Target(parts.scheme, host, effective, path, private=True)
        if parts.scheme != "https" or effective != _HTTPS_PORT or parts.netloc.endswith(":"):
            raise _refused("scheme or port")
        if not _HOST.fullmatch(host) or not self._names(host):
            raise _refused("host")
        return Target("https", host, _HTTPS_PORT, path, private=False)

    def _names(self, host: str) -> bool:
        if host.rpartition(".")[2].isdigit():
            return False  # a number is an address, whoever lists it
        parents = host.split(".")
        return host in self.hosts or any("*." + ".".join(parents[cut:]) in self.hosts for cut in range(1, len(parents)))


def choose_address(target: Target, addresses: Sequence[str]) -> str:
    """The one address to connect to; every one the name has must be public, else nothing is fetched."""
    if not addresses:
        raise _refused("no address")
    if not target.private and not all(is_public(address) for address in addresses):
        raise _refused("private address")
    return addresses[0]


def is_public(text: str) -> bool:
    """Whether a resolved address belongs to the public internet; embedded IPv4 counts as what it embeds."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return is_public(str(address.ipv4_mapped))
        if address.scope_id or any(address in network for network in _EMBEDDING):
            return False
    return address.is_global and not address.is_multicast and not address.is_reserved


def _normal_origin(origin: str) -> str:
    parts = urlsplit(origin)
    if parts.scheme not in ("https", "http") or not parts.hostname or parts.path not in ("", "/"):
        raise ValueError("PROVIDER_FILE_PRIVATE_ORIGINS: expected whole origins such as http://127.0.0.1:9999")
    return f"{parts.scheme}://{parts.hostname.lower()}:{parts.port or (_HTTPS_PORT if parts.scheme == 'https' else 80)}"


def _refused(found: str) -> GiveUp:
    return GiveUp(Code.URL_REFUSED, found)
