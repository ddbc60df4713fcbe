"""Owns the life of one server process: start, wait until it answers, end it by its pid."""

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from stack.embedded.errors import EmbeddedError

READY_EVERY_SECONDS = 0.05
LOG_TAIL_LINES = 15


@dataclass(frozen=True)
class Spawn:
    """What a server's process needs beside its arguments; `options()` goes to Popen or create_subprocess_exec."""

    environment: Mapping[str, str] = field(default_factory=dict)
    unset: tuple[str, ...] = ()  # variables of the caller that the server must not see
    uid: int | None = None
    gid: int | None = None
    cwd: Path | None = None

    def options(self) -> dict[str, object]:
        """Keyword arguments: own session (no signal of a terminal reaches it), own user, no death with the parent."""
        environment = {name: value for name, value in os.environ.items() if name not in self.unset}
        options: dict[str, object] = {"env": environment | dict(self.environment), "start_new_session": True}
        if self.cwd is not None:
            options["cwd"] = self.cwd
        if self.uid is not None:
            # The kernel's setuid before exec, not runuser or su: the pid that we keep is the server's own.
            options |= {"user": self.uid, "group": self.gid, "extra_groups": []}
        return options


class Server(Protocol):
    """What the supervisor and the tests know of an embedded server; it owns files, never its process."""

    @property
    def name(self) -> str: ...

    @property
    def stop_signal(self) -> signal.Signals:
        """What ends it cleanly and soon."""

    def prepare(self) -> None:
        """Bring its folder into a state it can start on; may be called before every start."""

    def argv(self) -> list[str]:
        """The command of a foreground process."""

    def spawn(self) -> Spawn:
        """User, environment and folder of that process."""

    async def ready(self) -> bool:
        """Whether it answers a real request now; never raises because it does not."""


@dataclass
class Running:
    """One started server process."""

    server: Server
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def pid(self) -> int:
        return self.process.pid

    async def wait_ready(self, seconds: float = 60.0) -> float:
        """Wait until the server answers; the seconds that took. Raises with the end of its log if it cannot."""
        begun = time.monotonic()
        while time.monotonic() - begun < seconds:
            if self.process.poll() is not None:
                raise EmbeddedError(f"{self.server.name} ended with status {self.process.returncode}:\n{self.tail()}")
            if await self.server.ready():
                return time.monotonic() - begun
            await asyncio.sleep(READY_EVERY_SECONDS)
        raise EmbeddedError(f"{self.server.name} does not answer after {seconds:.0f} s:\n{self.tail()}")

    def tail(self) -> str:
        """The last lines of its log."""
        lines = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        return "\n".join(lines[-LOG_TAIL_LINES:])

    def stop(self, seconds: float = 20.0) -> None:
        """End it cleanly; if it has not ended by then, kill it. Returns when the process is gone."""
        if self.process.poll() is None:
            self.process.send_signal(self.server.stop_signal)
            try:
                self.process.wait(seconds)
            except subprocess.TimeoutExpired:
                self.kill()

    def kill(self) -> None:
        """Kill -9, as a fault test or a power cut would."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


def start(server: Server, log: Path, mark: Mapping[str, str] | None = None) -> Running:
    """Prepare the server's folder and start its process, output to the end of `log`; `mark` joins its environment."""
    server.prepare()
    log.parent.mkdir(parents=True, exist_ok=True)
    spawn = server.spawn()
    spawn = replace(spawn, environment={**spawn.environment, **(mark or {})})
    with log.open("ab") as output:
        process = subprocess.Popen(
            server.argv(),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            **spawn.options(),  # type: ignore[call-overload]  # its values are Popen's own keywords
        )
    return Running(server, process, log)


async def start_ready(server: Server, log: Path, seconds: float = 60.0) -> Running:
    """Start the server and wait until it answers; a server that does not is ended before the error is raised."""
    running = await asyncio.to_thread(start, server, log)
    try:
        await running.wait_ready(seconds)
    except BaseException:
        running.kill()
        raise
    return running
