"""Owns which address a request comes from, when proxies stand between and anybody may write a header."""

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Ip = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_IPV6_SITE = 64  # bits; a host chooses the other 64 as it likes, so they tell nobody apart
_MAX_HOPS = 32  # a longer list is nobody's honest path


def networks(items: Sequence[str]) -> tuple[Network, ...]:
    """Read addresses and networks; raises ValueError, naming the setting, when one is neither."""
    try:
        return tuple(ip_network(item, strict=False) for item in items)
    except ValueError:
        raise ValueError("TRUSTED_PROXIES: expected addresses or networks, found something else") from None


def client_address(socket_address: str | None, forwarded_for: str | None, trusted: Sequence[Network]) -> str:
    """Return the caller's address: the socket's, or behind a trusted proxy the last untrusted one it reports.

    An entry that is no address ends the search at the proxy that wrote it. IPv6 callers are their /64.
    """
    nearest = _parse(socket_address or "")
    if nearest is None:
        return "unknown"
    if not _is_trusted(nearest, trusted):
        return _site(nearest)
    hops = (forwarded_for or "").split(",")[-_MAX_HOPS:]
    for hop in reversed(hops):
        address = _parse(hop.strip())
        if address is None:
            break
        nearest = address
        if not _is_trusted(address, trusted):
            break
    return _site(nearest)


def _parse(text: str) -> Ip | None:
    try:
        address = ip_address(text.removeprefix("[").removesuffix("]"))
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def _is_trusted(address: Ip, trusted: Sequence[Network]) -> bool:
    return any(address.version == network.version and address in network for network in trusted)


def _site(address: Ip) -> str:
    if isinstance(address, IPv4Address):
        return str(address)
    return str(IPv6Network((int(address), _IPV6_SITE), strict=False))
