"""The data folder of one stack: its lock, its secrets, its ports and the record of its processes."""

import contextlib
import fcntl
import os
import secrets
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import orjson
import psutil

from stack.errors import StackError

MARK = "PARCOURS_FOLDER"
"""Variable in the environment of every process of a stack: whose it is, whatever became of the record."""

LOOKED_AT_SECONDS = 0.2  # many times what a look at the lock takes
END_SECONDS = 5.0  # what a left-over process gets between SIGTERM and SIGKILL


def default_folder() -> Path:
    """Where a stack keeps its data unless told otherwise; PostgreSQL's own user must be able to reach it."""
    return Path("/var/lib/parcours") if os.geteuid() == 0 else Path.home() / ".local" / "share" / "parcours"


@dataclass(frozen=True)
class ChildRecord:
    """One process as the folder remembers it; pid and start time together name it for ever."""

    name: str
    pid: int
    started: float


class DataFolder:
    """Everything a stack keeps on disk is below `path`."""

    def __init__(self, path: Path) -> None:
        self.path = path.expanduser().resolve()

    @property
    def postgres(self) -> Path:
        return self.path / "postgres"

    @property
    def kafka(self) -> Path:
        return self.path / "kafka"

    @property
    def objects(self) -> Path:
        return self.path / "objects"

    @property
    def logs(self) -> Path:
        return self.path / "logs"

    @property
    def journeys(self) -> Path:
        """Where `parcours demo` puts the finished files of a run."""
        return self.path / "journeys"

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder for this process; raises StackError when another one does."""
        self._make()
        with (self.path / "lock").open("a+") as lock:
            if not _take(lock):
                raise StackError(
                    f"a stack is running on {self.path}. See it with `parcours status --data {self.path}`, "
                    "stop it with Ctrl-C where it runs, or give this one another folder with --data"
                )
            yield

    def is_locked(self) -> bool:
        """Whether a stack runs on this folder now."""
        with contextlib.suppress(FileNotFoundError, NotADirectoryError), (self.path / "lock").open("r") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False

    def has_secrets(self) -> bool:
        """Whether a stack was ever started here."""
        return (self.path / "secrets.json").exists()

    def secrets(self) -> dict[str, str]:
        """This stack's own secrets, made at its first start."""
        kept = self._read("secrets.json")
        made = {
            "postgres_password": secrets.token_urlsafe(24),
            "jwt_secret": secrets.token_urlsafe(48),
            "internal_secret": secrets.token_urlsafe(32),
            "media_signing_keys": f"k1:{secrets.token_hex(32)}",
        }
        merged = made | kept
        if merged != kept:
            self._write("secrets.json", merged)
        return merged

    def ports(self) -> dict[str, int]:
        """The ports of the last start, by process name."""
        return {name: int(port) for name, port in self._read("ports.json").items()}

    def keep_ports(self, ports: dict[str, int]) -> None:
        self._write("ports.json", ports)

    def status(self) -> dict[str, Any]:
        """What the running stack last wrote of itself; empty when none ever ran here."""
        return self._read("status.json")

    def keep_status(self, status: dict[str, Any]) -> None:
        self._write("status.json", status)

    def children(self) -> list[ChildRecord]:
        return [ChildRecord(**record) for record in self._read("children.json").get("children", [])]

    def keep_children(self, children: list[ChildRecord]) -> None:
        records = [{"name": child.name, "pid": child.pid, "started": child.started} for child in children]
        self._write("children.json", {"children": records})

    def end_leftovers(self) -> list[str]:
        """End what a killed stack left running: the recorded processes, and those that carry this folder's mark.

        The mark covers what was started but not yet recorded, and the children of recorded processes.
        """
        leftovers = {process.pid: process for process in (*self._recorded(), *self._marked())}
        for process in leftovers.values():
            _signal(process, signal.SIGINT if _is_postgres(process) else signal.SIGTERM)
        _gone, alive = psutil.wait_procs(list(leftovers.values()), timeout=END_SECONDS)
        for process in alive:
            _signal(process, signal.SIGKILL)
        psutil.wait_procs(alive, timeout=END_SECONDS)
        self.keep_children([])
        return [str(pid) for pid in leftovers]

    def _recorded(self) -> Iterator[psutil.Process]:
        for child in self.children():
            with contextlib.suppress(psutil.NoSuchProcess):
                process = psutil.Process(child.pid)
                if abs(process.create_time() - child.started) < 1.0:
                    yield process

    def _marked(self) -> Iterator[psutil.Process]:
        own = os.getpid()
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, OSError):
                if process.pid != own and process.environ().get(MARK) == str(self.path):
                    yield process

    def _make(self) -> None:
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            # As root, PostgreSQL's own user must pass through; what is secret in here is readable by its owner alone.
            self.path.chmod(0o711 if os.geteuid() == 0 else 0o700)
        except OSError as error:
            told = f"{self.path} cannot be written ({error.strerror}): name a folder of yours with --data"
            raise StackError(told) from error

    def _read(self, name: str) -> dict[str, Any]:
        try:
            content: dict[str, Any] = orjson.loads((self.path / name).read_bytes())
        except (FileNotFoundError, NotADirectoryError):
            return {}
        except PermissionError as error:
            raise StackError(f"{self.path / name} belongs to somebody else: name your own with --data") from error
        return content

    def _write(self, name: str, content: dict[str, Any]) -> None:
        """Whole or not at all, and for its owner's eyes: some of it is secret."""
        begun = self.path / f".{name}.{os.getpid()}"
        with os.fdopen(os.open(begun, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(orjson.dumps(content, option=orjson.OPT_INDENT_2))
        begun.rename(self.path / name)


def _take(lock: IO[str]) -> bool:
    """Take the lock; one that is only being looked at, by `parcours status`, is free a moment later."""
    deadline = time.monotonic() + LOOKED_AT_SECONDS
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                return False
            time.sleep(LOOKED_AT_SECONDS / 10)
        else:
            return True


def started_at(pid: int) -> float:
    """When the process began, in the operating system's own reckoning; now, if it has already ended."""
    try:
        return psutil.Process(pid).create_time()
    except psutil.NoSuchProcess:
        return time.time()


def _signal(process: psutil.Process, number: int) -> None:
    with contextlib.suppress(psutil.Error):
        process.send_signal(number)


def _is_postgres(process: psutil.Process) -> bool:
    try:
        return "postgres" in process.name()
    except psutil.Error:
        return False
