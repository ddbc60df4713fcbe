"""One of the platform's services as a process of the stack: its command, its environment, its readiness."""

import asyncio
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from stack.embedded.processes import Spawn

READY_SECONDS = 2.0


@dataclass(frozen=True)
class ServiceProcess:
    """`python -m services.<service>` on a port of its own; fulfils `stack.embedded.processes.Server`."""

    service: str
    number: int
    port: int
    environment: Mapping[str, str] = field(repr=False)
    cwd: Path
    stop_signal: signal.Signals = signal.SIGTERM

    @property
    def name(self) -> str:
        return f"{self.service}-{self.number}"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def prepare(self) -> None:
        """Nothing to prepare: what a service keeps is in PostgreSQL and in the object store."""

    def argv(self) -> list[str]:
        return [sys.executable, "-m", f"services.{self.service}"]

    def spawn(self) -> Spawn:
        own = {"HOST": "127.0.0.1", "PORT": str(self.port)}
        return Spawn(dict(self.environment) | own, cwd=self.cwd)

    async def ready(self) -> bool:
        """Whether `/readyz` answers 200."""
        try:
            async with asyncio.timeout(READY_SECONDS):
                reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
                try:
                    writer.write(b"GET /readyz HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
                    return b" 200 " in await reader.readline()
                finally:
                    writer.close()
        except (OSError, TimeoutError):
            return False
