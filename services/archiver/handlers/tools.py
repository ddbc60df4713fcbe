"""Owns what the use cases are handed: the database, the store, the ways out, the sound program and room on the disk."""

import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol
from uuid import UUID

from libs.common.database import Database
from libs.common.objects import ObjectStore
from services.archiver.clients.files import Fetched
from services.archiver.clients.generator import Confirmation
from services.archiver.clients.voices.espeak import Espeak
from services.archiver.domain.gate import Policy
from services.archiver.domain.narration import Effect, Locale


class Files(Protocol):
    """Fetches provider files under F1; both raise `GiveUp` or `MayPass`."""

    async def fetch(self, url: str, into: Path) -> Fetched:
        """Copy a finished file."""
        ...

    def stream(self, url: str) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """Follow a file that still grows."""
        ...


class Speaker(Protocol):
    """A voice that can be asked for a line."""

    @property
    def name(self) -> str:
        """Whose voice it is, as it is shown."""
        ...

    async def speak(self, text: str, locale: Locale, into: Path) -> None:
        """Write a line's sound; raises `Unspoken`."""
        ...


class Recordings(Protocol):
    """Sounds of nature by other people."""

    async def fetch(self, effect: Effect, into: Path) -> Mapping[str, str]:
        """Copy one and return its credit; raises `NoEffect`."""
        ...


Confirm = Callable[[UUID], Awaitable[Confirmation]]
PlayOn = Callable[[Mapping[str, Any], int, Path], Awaitable[Fetched]]
"""Exact plan, second of the file to begin at, where to write; raises `GiveUp` or `MayPass`."""


@dataclass(frozen=True, slots=True)
class Tools:
    """The archiver's dependencies; the composition root builds them."""

    database: Database
    objects: ObjectStore
    files: Files
    confirm: Confirm
    play_on: PlayOn
    ffmpeg: Path
    spool: Path
    time_scale: float = 1.0
    gate: Policy = field(default_factory=Policy)
    speaker: Speaker = field(default_factory=Espeak)
    recordings: Recordings | None = None  # our own effects alone

    @contextmanager
    def room(self) -> Iterator[Path]:
        """A folder for one piece of work, removed after it."""
        with tempfile.TemporaryDirectory(dir=self.spool) as folder:
            yield Path(folder)
