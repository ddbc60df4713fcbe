"""Owns what the tests of the embedded servers share: a folder the servers' user can enter, and that nothing stays."""

import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from stack.embedded.processes import Running, Server, start_ready
from tests import components

Start = Callable[[Server], Awaitable[Running]]


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder every user can enter (pytest's own is mode 700)."""
    made = Path(tempfile.mkdtemp(prefix="parcours-embedded-", dir=components.data_place()))
    made.chmod(0o711)
    yield made
    shutil.rmtree(made)


@pytest.fixture
async def start(folder: Path) -> AsyncIterator[Start]:
    """Start a server and wait until it answers; whatever still runs at the end is killed."""
    started: list[Running] = []

    async def start_one(server: Server) -> Running:
        running = await start_ready(server, folder / f"{server.name}.log")
        started.append(running)
        return running

    yield start_one
    for running in started:
        running.kill()
