"""Owns what a `Range` header asks for, as RFC 9110 §14 says: one range, none that we understand, or one too far."""

import re
import sys
from typing import NamedTuple

_ONE_RANGE = re.compile(r"bytes[ \t]*=[ \t]*(\d*)[ \t]*-[ \t]*(\d*)[ \t]*", re.IGNORECASE | re.ASCII)
_MAX_DIGITS = 18  # beyond any file; int() of thousands of digits is work for nothing


class ByteRange(NamedTuple):
    """`start` to `stop`, excluded, as the object store counts."""

    start: int
    stop: int


class UnsatisfiableError(Exception):
    """The range was understood and lies outside the file: 416."""


def requested_range(header: str | None, size: int) -> ByteRange | None:
    """Return the range to send, or `None` for the whole file.

    Several ranges, other units and malformed ones are ignored, which the RFC allows and every player copes with. Raises
    `UnsatisfiableError` for a range that begins at or after the end, or the last zero bytes.
    """
    found = _ONE_RANGE.fullmatch(header or "")
    if found is None:
        return None
    first, last = found.groups()
    if (not first and not last) or len(first) > _MAX_DIGITS or len(last) > _MAX_DIGITS:
        return None
    if not first:
        return _suffix(int(last), size)
    start = int(first)
    if last and int(last) < start:
        return None
    if start >= size:
        raise UnsatisfiableError
    return ByteRange(start, min(int(last) + 1, size) if last else size)


def is_whole(header: str | None) -> bool:
    """Whether a caller who does not know the length asks for everything: no range that we can read, or from 0 on."""
    found = _ONE_RANGE.fullmatch(header or "")
    return (
        found is None or not found[1] or len(max(found.groups(), key=len)) > _MAX_DIGITS or found.groups() == ("0", "")
    )


def open_range(header: str | None) -> tuple[int, int]:
    """Return where a range of a file of unknown length begins, and how many bytes it asks for."""
    found = _ONE_RANGE.fullmatch(header or "")
    if found is None or is_whole(header):
        return 0, sys.maxsize
    start = int(found[1])
    return start, max(1, int(found[2]) - start + 1) if found[2] else sys.maxsize


def _suffix(length: int, size: int) -> ByteRange:
    if not length or not size:
        raise UnsatisfiableError
    return ByteRange(max(0, size - length), size)


def validator_matches(if_range: str | None, etag: str) -> bool:
    """Whether a range may be honoured: no `If-Range`, or exactly our strong tag (we send no dates)."""
    return if_range is None or if_range.strip() == etag


def tag_listed(if_none_match: str | None, etag: str) -> bool:
    """Whether the caller has this version already (weak comparison, as `If-None-Match` asks for)."""
    if if_none_match is None:
        return False
    tags = [tag.strip().removeprefix("W/") for tag in if_none_match.split(",")]
    return etag in tags or "*" in tags
