"""Keeps a set of processes running: starts them in order, restarts what dies, ends them in order."""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from stack.embedded.errors import EmbeddedError
from stack.embedded.processes import Running, Server, start
from stack.errors import StackError

LOOK_SECONDS = 0.1  # how soon a dead process is noticed
BACKOFF_SECONDS = (0.2, 0.5, 1.0, 2.0, 5.0)
STEADY_SECONDS = 30.0  # after living this long a process's next death counts as its first
SETTINGS_REFUSED = 2  # how a service ends whose configuration cannot work: another start would say the same
EARLY_DEATHS = 3  # so many before it was ever ready: it will not start, and its log says why
LOG_BYTES = 10 * 1024 * 1024  # a longer log is put aside at the next start, one generation

Started = Callable[[], Awaitable[None]]


@dataclass
class Child:
    """One process that is kept running."""

    server: Server
    log: Path
    url: str
    after_start: Started | None = (
        None  # part of its readiness, after each start: topics of a broker, schema of a database
    )
    state: str = "starting"
    since: datetime = field(default_factory=lambda: datetime.now(UTC))
    running: Running | None = None
    was_ready: bool = False
    deaths: int = 0

    @property
    def pid(self) -> int | None:
        return self.running.pid if self.running and self.running.process.poll() is None else None


class Supervisor:
    """Children, and what to do when one changes: `changed` is called after each start, death and readiness.

    `mark` is in the environment of every child, so that each is known as ours before it is written down.
    """

    def __init__(self, changed: Callable[[], None], mark: Mapping[str, str] | None = None) -> None:
        self.children: list[Child] = []
        self._changed = changed
        self._mark = mark
        self._keepers: dict[str, asyncio.Task[None]] = {}
        self._stopping: set[str] = set()

    def keep(self, child: Child) -> None:
        """Start the child and start it again whenever it ends."""
        self.children.append(child)
        self._keepers[child.server.name] = asyncio.create_task(self._keep(child), name=child.server.name)

    async def wait_ready(self, children: list[Child], seconds: float) -> None:
        """Wait until all are ready at once; raises StackError with the log of one that does not come up."""
        deadline = time.monotonic() + seconds
        while not all(child.state == "ready" for child in children):
            for child in children:
                keeper = self._keepers[child.server.name]
                if keeper.done() and (error := keeper.exception()) is not None:
                    raise StackError(f"{child.server.name} cannot start: {error}") from error
            if time.monotonic() > deadline:
                late = next(child for child in children if child.state != "ready")
                told = f"{late.server.name} is not ready after {seconds:.0f} s; its log: {late.log}"
                raise StackError("\n".join((told, _tail(late))))
            await asyncio.sleep(LOOK_SECONDS / 2)

    async def stop(self, names: list[str], seconds: float) -> None:
        """End these children together: a clean signal, then after `seconds` the kill of the whole process group."""
        mine = [child for child in self.children if child.server.name in names]
        self._stopping.update(names)
        for child in mine:
            self._enter(child, "stopping")
        await asyncio.gather(*(_end(child, seconds) for child in mine))
        await asyncio.gather(*(self._finish(child) for child in mine))

    async def _finish(self, child: Child) -> None:
        keeper = self._keepers[child.server.name]
        keeper.cancel()
        await asyncio.gather(keeper, return_exceptions=True)
        await _end(child, 0.0)  # a start that was in hand when the stop came
        self._enter(child, "stopped")

    async def _keep(self, child: Child) -> None:
        while child.server.name not in self._stopping:
            began = time.monotonic()
            reason = await self._live_once(child)
            if child.server.name in self._stopping:
                return
            if time.monotonic() - began > STEADY_SECONDS:
                child.deaths = 0
            child.deaths += 1
            if not child.was_ready and (child.deaths >= EARLY_DEATHS or _refused(child)):
                self._enter(child, "failed")
                raise StackError(f"{reason}\n{_tail(child)}")
            self._enter(child, "restarting")
            await asyncio.sleep(BACKOFF_SECONDS[min(child.deaths, len(BACKOFF_SECONDS)) - 1])

    async def _live_once(self, child: Child) -> str:
        """One life of the process, from its start to its end; why it ended."""
        try:
            await asyncio.to_thread(_put_aside, child.log)
            running = await self._started(child)
        except (EmbeddedError, OSError) as error:
            return str(error)
        self._changed()
        process = running.process
        while process.poll() is None:
            if child.state != "ready" and await self._is_ready(child):
                child.was_ready = True
                self._enter(child, "ready")
            await asyncio.sleep(LOOK_SECONDS)
        _kill_group(running.pid)  # what a killed process leaves of its own, such as the composer's workers
        return f"it ended with status {process.returncode}"

    async def _started(self, child: Child) -> Running:
        """Start its process. A thread cannot be cancelled: a stop waits for it, so as to end what it has started."""
        starting = asyncio.ensure_future(asyncio.to_thread(start, child.server, child.log, self._mark))
        try:
            child.running = running = await asyncio.shield(starting)
        except asyncio.CancelledError:
            with contextlib.suppress(EmbeddedError, OSError):
                child.running = await starting
            raise
        return running

    async def _is_ready(self, child: Child) -> bool:
        if not await child.server.ready():
            return False
        if child.after_start is not None:
            try:
                await child.after_start()
            except Exception as error:  # noqa: BLE001 - whatever fails here is tried again at the next look
                with child.log.open("a") as log:
                    log.write(f"after start: {type(error).__name__}: {error}\n")
                return False
        return True

    def _enter(self, child: Child, state: str) -> None:
        child.state = state
        child.since = datetime.now(UTC)
        self._changed()


def _refused(child: Child) -> bool:
    return child.running is not None and child.running.process.returncode == SETTINGS_REFUSED


async def _end(child: Child, seconds: float) -> None:
    running = child.running
    if running is None:
        return
    if running.process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            running.process.send_signal(child.server.stop_signal)
    deadline = time.monotonic() + seconds
    while running.process.poll() is None and time.monotonic() < deadline:
        await asyncio.sleep(LOOK_SECONDS / 2)
    _kill_group(running.pid)
    if running.process.poll() is None:
        await asyncio.to_thread(running.process.wait)


def _kill_group(pid: int) -> None:
    """Every process leads a session of its own, so its group is it and what it started, and nobody else."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def _put_aside(log: Path) -> None:
    if log.exists() and log.stat().st_size > LOG_BYTES:
        log.rename(log.with_suffix(".log.1"))


def _tail(child: Child) -> str:
    return child.running.tail() if child.running else ""
