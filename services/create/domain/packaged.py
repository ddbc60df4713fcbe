"""Reads the data files that ship with create, checking their shape on the way in."""

from pathlib import Path
from typing import TypeVar

from pydantic import TypeAdapter

T = TypeVar("T")

_DATA = Path(__file__).resolve().parent.parent / "data"


def load(file_name: str, shape: type[T]) -> T:
    """The content of `data/<file_name>` as `shape`; a wrong shape raises `pydantic.ValidationError` at start."""
    return TypeAdapter(shape).validate_json((_DATA / file_name).read_bytes())
