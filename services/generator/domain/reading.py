"""Reads values out of somebody else's JSON without trust: the right type or an empty one, never an exception."""

from collections.abc import Mapping
from typing import Any


def mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def listing(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def text(value: object) -> str:
    return value if isinstance(value, str) else ""


def number(value: object) -> float | None:
    """A number that is not negative; `True` is none."""
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) and value >= 0 else None


def texts(value: object) -> list[str]:
    """The texts of a list that is one, or a lone text as a list of one; empty texts count as missing."""
    return [each for each in map(text, value if isinstance(value, list) else [value]) if each]
