"""What a web address is, as far as its text can tell; whether it may be fetched is the archiver's to decide."""

import re
from ipaddress import AddressValueError, IPv6Address
from typing import Final

from services.callback.domain.news import UnknownDialectError

URL_LIMIT: Final = 2048  # characters; longer ones are no address of any provider
HOST_LIMIT: Final = 253  # characters, of DNS
PORT_LIMIT: Final = 65_535

_LABEL: Final = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_URL: Final = re.compile(
    rf"https?://(?P<host>\[(?P<six>[0-9A-Fa-f:.]+)\]|{_LABEL}(?:\.{_LABEL})*\.?)(?::(?P<port>[0-9]{{1,5}}))?"
    r"(?:[/?#][^\s\x00-\x20\x7f-\x9f\"'<>\\]*)?"
)


def as_url(value: object) -> str | None:
    """An http(s) address without a user in it; `None` where none is named (null, empty).

    Raises `UnknownDialectError` for what is there and is no such address: taken for good it would fail later.
    """
    if value is None or value == "":
        return None
    if not isinstance(value, str) or len(value) > URL_LIMIT or not _is_address(value):
        raise UnknownDialectError("expected an http(s) address with a host, without a user")
    return value


def _is_address(value: str) -> bool:
    found = _URL.fullmatch(value)
    if found is None or len(found["host"]) > HOST_LIMIT:
        return False
    if found["port"] is not None and not 0 < int(found["port"]) <= PORT_LIMIT:
        return False
    return found["six"] is None or _is_six(found["six"])


def _is_six(text: str) -> bool:
    try:
        IPv6Address(text)
    except AddressValueError:
        return False
    return True
