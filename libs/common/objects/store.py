"""Owns the contract of an object store: what any of them does, which keys it takes and how it fails."""

import re
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from libs.common import metrics
from libs.common.metrics import Metric

CHUNK = 64 * 1024  # bytes read or sent at a time; performance-and-reliability.md §6

# Keys are made from ids alone (`runs/<run>/<segment>.mp3`); whatever looks otherwise is a fault or an attack.
# Only the last part has a dot, so that no key is another's folder.
_KEY = re.compile(
    r"[a-z][a-z0-9-]{0,31}(?:/[A-Za-z0-9][A-Za-z0-9_-]{0,63}){0,2}/[A-Za-z0-9][A-Za-z0-9_-]{0,63}\.[a-z0-9]{2,5}"
)
_METADATA_NAME = re.compile(r"[a-z][a-z0-9-]{0,31}")
_METADATA_VALUE = re.compile(r"[\x21-\x7e]{1,256}")  # what any store's headers carry unchanged
_RESERVED_NAME = "sha256"  # where the S3 store keeps the hash


class ObjectError(Exception):
    """Something an object store could not do."""


class ObjectExists(ObjectError):  # noqa: N818 - a fact the archiver decides on
    """The key is taken and `if_absent` was asked: the object there is untouched."""


class ObjectMissing(ObjectError):  # noqa: N818 - a fact the gateway answers with 404
    """No object has this key."""


class RangeNotSatisfiable(ObjectError):  # noqa: N818 - named as the HTTP status
    """The range begins at or after the end of the object."""


class ChecksumMismatch(ObjectError):  # noqa: N818 - named after what was found
    """The bytes do not have the SHA-256 that was announced; nothing was stored."""


class StoreUnavailable(ObjectError):  # noqa: N818 - named after what to do: back off
    """The store did not answer, or not as a healthy one does; trying again later may help."""


@dataclass(frozen=True)
class ObjectInfo:
    """What the store says about an object; `etag` is strong, `sha256` is `None` for objects stored by others."""

    size: int
    etag: str
    content_type: str
    sha256: bytes | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)


class ObjectStore(Protocol):
    """Private objects under keys made from ids; all methods raise `StoreUnavailable` when the store is away.

    A malformed key or metadata is a ValueError. There is no listing.
    """

    async def put(
        self,
        key: str,
        source: Path | bytes,
        *,
        content_type: str,
        sha256: bytes,
        metadata: Mapping[str, str],
        if_absent: bool,
    ) -> None:
        """Store the bytes under the key, wholly or not at all, durably when it returns.

        With `if_absent` exactly one of several concurrent puts wins; the others raise `ObjectExists`. Raises
        `ChecksumMismatch` when the bytes do not have this SHA-256 (32 raw bytes). Metadata: small ASCII values.
        """
        ...

    async def head(self, key: str) -> ObjectInfo | None:
        """Return what is known of the object, `None` when there is none."""
        ...

    def read(self, key: str, start: int = 0, stop: int | None = None) -> AsyncIterator[bytes]:
        """Yield the bytes `start` to `stop` (excluded; `None` or beyond: the end) in pieces of at most 64 KiB.

        At the first piece raises `ObjectMissing`, or `RangeNotSatisfiable` when `start` is not inside the object.
        """
        ...

    async def delete(self, key: str) -> None:
        """Remove the object; one that does not exist is removed already."""
        ...

    async def presign(self, key: str, seconds: int, content_type: str) -> str | None:
        """Return an address from which anybody may GET the object for so long; `None` when the store has none."""
        ...

    async def check(self) -> None:
        """Raise `StoreUnavailable` unless objects can be stored now."""
        ...


def checked_key(key: str) -> str:
    """Return the key, or raise ValueError when it is not of the form we make."""
    if not _KEY.fullmatch(key):
        raise ValueError("object key: expected `folder/id[/id].type`, found something else")
    return key


def checked_metadata(metadata: Mapping[str, str]) -> dict[str, str]:
    """Return the metadata, or raise ValueError when a store would have to change it."""
    for name, value in metadata.items():
        if not _METADATA_NAME.fullmatch(name) or name == _RESERVED_NAME or not _METADATA_VALUE.fullmatch(value):
            raise ValueError(f"object metadata {name!r}: expected a plain name and up to 256 visible ASCII characters")
    return dict(metadata)


@contextmanager
def counted(op: str) -> Iterator[None]:
    """Count one operation: the store's own failures are `failed`, its refusals (412, 404, 416) are answers."""
    try:
        yield
    except (StoreUnavailable, ChecksumMismatch):
        metrics.count(Metric.STORAGE_OPERATIONS, op=op, outcome="failed")
        raise
    except ObjectError:
        metrics.count(Metric.STORAGE_OPERATIONS, op=op, outcome="ok")
        raise
    else:
        metrics.count(Metric.STORAGE_OPERATIONS, op=op, outcome="ok")
