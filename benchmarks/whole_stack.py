"""Owns how a benchmark runs the whole platform: `parcours up` of this checkout, or of another one beside it."""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import asyncpg

from libs.common.identity import issue
from stack.embedded.ports import free_port
from stack.folder import DataFolder

HERE: Final = Path(__file__).resolve().parents[1]
STOP_SECONDS: Final = 35.0
PARCOURS: Final = "import sys; from stack.cli import main; sys.argv[0] = 'parcours'; main()"


@dataclass
class WholeStack:
    """A running `parcours up`; its database is durable, as in production."""

    folder: DataFolder
    port: int
    process: subprocess.Popen[str]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def token(self, user: UUID) -> str:
        return issue(self.folder.secrets()["jwt_secret"], user, ())

    def status(self) -> dict[str, Any]:
        return self.folder.status()

    def pid(self, name: str) -> int:
        (pid,) = [process["pid"] for process in self.status()["processes"] if process["name"] == name]
        return int(pid)

    @contextlib.asynccontextmanager
    async def database(self) -> AsyncIterator[asyncpg.Connection]:
        connection = await asyncpg.connect(self.status()["postgres"]["dsn"], timeout=10)
        try:
            yield connection
        finally:
            await connection.close()


@contextlib.contextmanager
def whole_stack(settings: Mapping[str, str], *arguments: str, checkout: Path = HERE) -> Iterator[WholeStack]:
    """A stack on a fresh folder, ended and removed afterwards."""
    with tempfile.TemporaryDirectory(prefix="parcours-bench-", ignore_cleanup_errors=True) as name:
        Path(name).chmod(0o711)  # PostgreSQL's own user passes through
        folder, port = DataFolder(Path(name) / "data"), free_port()
        folder.path.mkdir(mode=0o711)
        limits = {"USER_REQUESTS_PER_MINUTE": "1000000", "ADDRESS_REQUESTS_PER_MINUTE": "1000000"}
        environment = os.environ | limits | dict(settings) | {"PYTHONPATH": str(checkout)}
        command = [sys.executable, "-c", PARCOURS, "up", "--port", str(port), "--data", str(folder.path), *arguments]
        errors = Path(name) / "parcours.err"
        with errors.open("wb") as output:
            process = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=output, env=environment, cwd=checkout, text=True
            )
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            if not line.startswith("ready "):
                raise RuntimeError(f"parcours up said {line!r}: {errors.read_text()[-2000:]}")
            yield WholeStack(folder, port, process)
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(STOP_SECONDS)
                process.kill()
            folder.end_leftovers()
