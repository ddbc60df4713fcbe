"""Owns the folder store: a directory that keeps the contract of S3 on one machine, for trying and testing.

An object is its file. Its description is a sidecar `.about/<key>.<inode>.json`, written before the file gets its name:
a kill at any point leaves the old object or the new one, each with its own description. No key begins with a dot.
"""

import asyncio
import hashlib
import os
import time
import uuid
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

import orjson

from libs.common.objects.store import (
    CHUNK,
    ChecksumMismatch,
    ObjectExists,
    ObjectInfo,
    ObjectMissing,
    RangeNotSatisfiable,
    StoreUnavailable,
    checked_key,
    checked_metadata,
    counted,
)

_ABANDONED_S = 86_400  # an unfinished file of that age belongs to nobody (operations.md §6.4)
_DEFAULT_TYPE = "application/octet-stream"


class FolderObjects:
    """Objects as files of mode 600 below one folder; any number of processes may share it."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._incoming = root / ".incoming"
        self._about = root / ".about"

    async def open(self) -> None:
        """Make the folder, and drop what killed processes left unfinished."""
        with _as_store_errors():
            await asyncio.to_thread(self._prepare)

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
        checked_key(key)
        about: dict[str, object] = {
            "content_type": content_type,
            "sha256": sha256.hex(),
            "metadata": checked_metadata(metadata),
        }
        with counted("put"), _as_store_errors():
            await asyncio.to_thread(self._put, key, source, sha256, about, if_absent=if_absent)

    async def head(self, key: str) -> ObjectInfo | None:
        checked_key(key)
        with counted("head"), _as_store_errors():
            return await asyncio.to_thread(self._head, key)

    async def read(self, key: str, start: int = 0, stop: int | None = None) -> AsyncIterator[bytes]:
        checked_key(key)
        with _as_store_errors():
            file, left = await asyncio.to_thread(self._open, key, start, stop)
        try:
            while left > 0:
                with _as_store_errors():
                    piece = await asyncio.to_thread(file.read, min(CHUNK, left))
                if not piece:
                    raise StoreUnavailable(f"object file: {left} bytes are missing")
                left -= len(piece)
                yield piece
        finally:
            file.close()

    async def delete(self, key: str) -> None:
        checked_key(key)
        with counted("delete"), _as_store_errors():
            await asyncio.to_thread(self._delete, key)

    async def presign(self, key: str, seconds: int, content_type: str) -> str | None:
        checked_key(key)
        del seconds, content_type
        return None  # the gateway's own signed address is the only one

    async def check(self) -> None:
        with _as_store_errors():
            if not await asyncio.to_thread(os.access, self._incoming, os.W_OK | os.X_OK):
                raise StoreUnavailable("object folder: not writable")

    # --- blocking parts, run in threads ---

    def _prepare(self) -> None:
        for folder in (self._root, self._incoming, self._about):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for unfinished in self._incoming.iterdir():
            with suppress(FileNotFoundError):  # another process drops it too
                if time.time() - unfinished.stat().st_mtime > _ABANDONED_S:
                    unfinished.unlink()

    def _put(self, key: str, source: Path | bytes, sha256: bytes, about: dict[str, object], *, if_absent: bool) -> None:
        target = self._root / key
        unfinished = self._incoming / uuid.uuid4().hex
        try:
            found, inode = _write(unfinished, source)
            if found != sha256:
                raise ChecksumMismatch(f"sha256: expected {sha256.hex()}, found {found.hex()}")
            target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._describe(self._sidecar(key, inode), about)
            replaced = None if if_absent else _inode(target)
            _publish(unfinished, target, if_absent=if_absent)
            _sync_folder(target.parent)
        except ObjectExists:
            self._sidecar(key, inode).unlink(missing_ok=True)
            raise
        finally:
            unfinished.unlink(missing_ok=True)
        if replaced is not None:
            self._sidecar(key, replaced).unlink(missing_ok=True)

    def _sidecar(self, key: str, inode: int) -> Path:
        return self._about / f"{key}.{inode}.json"

    def _describe(self, sidecar: Path, about: dict[str, object]) -> None:
        sidecar.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        unfinished = self._incoming / uuid.uuid4().hex
        _write(unfinished, orjson.dumps(about))
        unfinished.replace(sidecar)
        _sync_folder(sidecar.parent)

    def _head(self, key: str) -> ObjectInfo | None:
        try:
            stat = (self._root / key).stat()
        except FileNotFoundError:
            return None
        about = self._read_about(key, stat.st_ino)
        digest = about.get("sha256")
        metadata = about.get("metadata")
        return ObjectInfo(
            size=stat.st_size,
            etag=f'"{digest or f"{stat.st_ino:x}-{stat.st_mtime_ns:x}"}"',
            content_type=str(about.get("content_type", _DEFAULT_TYPE)),
            sha256=bytes.fromhex(digest) if isinstance(digest, str) else None,
            metadata={str(name): str(value) for name, value in metadata.items()} if isinstance(metadata, dict) else {},
        )

    def _read_about(self, key: str, inode: int) -> dict[str, object]:
        try:
            about = orjson.loads(self._sidecar(key, inode).read_bytes())
        except FileNotFoundError:
            return self._find_moved_about(key)
        return about if isinstance(about, dict) else {}

    def _find_moved_about(self, key: str) -> dict[str, object]:
        """Find the description of a file that was copied back from a backup, with another inode, by its hash."""
        found = None
        for sidecar in sorted((self._about / key).parent.glob(f"{Path(key).name}.*.json")):
            found = found or _hash(self._root / key)
            about = orjson.loads(sidecar.read_bytes())
            if isinstance(about, dict) and about.get("sha256") == found:
                return about
        return {}

    def _open(self, key: str, start: int, stop: int | None) -> tuple[BinaryIO, int]:
        try:
            file = (self._root / key).open("rb")
        except FileNotFoundError:
            raise ObjectMissing(key) from None
        size = os.fstat(file.fileno()).st_size
        if start < 0 or (start >= size and (start, stop) != (0, None)):
            file.close()
            raise RangeNotSatisfiable(f"range: expected a start below {size}, found {start}")
        file.seek(start)
        return file, (size if stop is None else min(stop, size)) - start

    def _delete(self, key: str) -> None:
        target = self._root / key
        inode = _inode(target)
        if inode is None:
            return
        target.unlink(missing_ok=True)
        _sync_folder(target.parent)
        self._sidecar(key, inode).unlink(missing_ok=True)


def _write(path: Path, source: Path | bytes) -> tuple[bytes, int]:
    """Write a new file of mode 600 to the disk itself; return its SHA-256 and inode."""
    digest = hashlib.sha256()
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        for piece in _pieces(source):
            digest.update(piece)
            file.write(piece)
        file.flush()
        os.fsync(file.fileno())
        return digest.digest(), os.fstat(file.fileno()).st_ino


def _pieces(source: Path | bytes) -> Iterator[bytes]:
    if isinstance(source, bytes):
        yield source
        return
    with source.open("rb") as file:
        while piece := file.read(CHUNK):
            yield piece


def _publish(unfinished: Path, target: Path, *, if_absent: bool) -> None:
    """Give the file its name: a hard link fails when the name is taken, and that decides who was first."""
    if not if_absent:
        unfinished.replace(target)
        return
    try:
        os.link(unfinished, target)
    except FileExistsError:
        raise ObjectExists(target.name) from None


def _inode(path: Path) -> int | None:
    try:
        return path.stat().st_ino
    except FileNotFoundError:
        return None


def _sync_folder(folder: Path) -> None:
    """Bring a changed name to the disk: fsync of the file alone does not."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def _as_store_errors() -> Iterator[None]:
    try:
        yield
    except OSError as error:  # full disk, lost mount, wrong owner; paths stay out of the text
        raise StoreUnavailable(f"object folder: {error.strerror or type(error).__name__}") from error
