"""A running stack: takes the folder, starts everything in order, tells its status, ends everything in order."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from stack.assembly import Assembly, Wanted, assemble
from stack.embedded.processes import Server
from stack.errors import StackError, unreachable
from stack.folder import MARK, ChildRecord, started_at
from stack.supervisor import Child, Started, Supervisor

START_SECONDS = 120.0  # a first start makes a database cluster and formats a broker, on two busy cores
SERVICES_SECONDS = 16.0  # their drain, plus one
KAFKA_SECONDS = 7.0
POSTGRES_SECONDS = 5.0  # together under the 30 s in which a stack stops


@dataclass
class RunningStack:
    """A stack that answers."""

    wanted: Wanted
    assembly: Assembly
    supervisor: Supervisor

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.wanted.port}"


@contextlib.asynccontextmanager
async def running(wanted: Wanted) -> AsyncIterator[RunningStack]:
    """Run a stack for as long as the block lasts; nothing of it is left when the block has ended."""
    with wanted.folder.locked():
        await asyncio.to_thread(wanted.folder.end_leftovers)
        assembly = assemble(wanted)
        mark = {MARK: str(wanted.folder.path)}
        supervisor = Supervisor(lambda: _tell(wanted, assembly, supervisor), mark)
        try:
            await _start(wanted, assembly, supervisor)
            yield RunningStack(wanted, assembly, supervisor)
        finally:
            await _stop(wanted, supervisor)


async def _start(wanted: Wanted, assembly: Assembly, supervisor: Supervisor) -> None:
    foundations = []
    if assembly.postgres is not None:
        foundations.append(_child(wanted, assembly.postgres, assembly.prepare_database, _address(assembly.dsn)))
    if assembly.kafka is not None:
        foundations.append(_child(wanted, assembly.kafka, assembly.prepare_broker, assembly.bootstrap))
    for child in foundations:
        supervisor.keep(child)
    await supervisor.wait_ready(foundations, START_SECONDS)
    if assembly.postgres is None:
        await _prepare_given("PostgreSQL", _address(assembly.dsn), assembly.prepare_database)
    if assembly.kafka is None:
        await _prepare_given("Kafka", assembly.bootstrap, assembly.prepare_broker)
    await assembly.prepare_objects()
    services = [_child(wanted, service, None, service.url) for service in assembly.services]
    for child in services:
        supervisor.keep(child)
    await supervisor.wait_ready(services, START_SECONDS)


async def _prepare_given(what: str, address: str, prepare: Started) -> None:
    try:
        await prepare()
    except unreachable() as error:
        raise StackError(f"the given {what} at {address} does not serve: {type(error).__name__}: {error}") from error


async def _stop(wanted: Wanted, supervisor: Supervisor) -> None:
    names = [child.server.name for child in supervisor.children]
    await supervisor.stop([name for name in names if name not in ("kafka", "postgres")], SERVICES_SECONDS)
    await supervisor.stop([name for name in names if name == "kafka"], KAFKA_SECONDS)
    await supervisor.stop([name for name in names if name == "postgres"], POSTGRES_SECONDS)
    wanted.folder.keep_children([])


def _child(wanted: Wanted, server: Server, after_start: Started | None, url: str) -> Child:
    return Child(server, wanted.folder.logs / f"{server.name}.log", url, after_start)


def _tell(wanted: Wanted, assembly: Assembly, supervisor: Supervisor) -> None:
    """Write down who runs, for `parcours status` and for the next start after a kill."""
    live = [child for child in supervisor.children if child.pid is not None]
    records = [ChildRecord(child.server.name, child.pid or 0, started_at(child.pid or 0)) for child in live]
    wanted.folder.keep_children(records)
    wanted.folder.keep_status(status_of(wanted, assembly, supervisor))


def status_of(wanted: Wanted, assembly: Assembly, supervisor: Supervisor) -> dict[str, Any]:
    """What `parcours status --json` prints."""
    processes = [
        {
            "name": child.server.name,
            "pid": child.pid,
            "url": child.url,
            "state": child.state,
            "since": child.since.isoformat(timespec="milliseconds"),
        }
        for child in supervisor.children
    ]
    return {
        "url": f"http://127.0.0.1:{wanted.port}",
        "folder": str(wanted.folder.path),
        "supervisor": os.getpid(),
        "processes": processes,
        "postgres": {"dsn": assembly.dsn},
        "kafka": {"bootstrap": assembly.bootstrap},
        "objects": {name.lower(): value for name, value in assembly.objects.items()},
    }


def _address(dsn: str) -> str:
    """A DSN without user and password."""
    parts = urlsplit(dsn)
    return urlunsplit((parts.scheme, f"{parts.hostname}:{parts.port}", parts.path, "", ""))
