"""Owns what every test may ask for: real servers (one of each a session), a database, topics or a bucket of its own."""

import ipaddress
import logging
import os
import secrets
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import aioboto3
import asyncpg
import pytest
from aiokafka.admin import AIOKafkaAdminClient

from tests import components

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before numpy is imported: its threads spin beside the tests
UNIT = Path(__file__).parent / "unit"
LONGEST = ("chaos", "e2e", "integration", "archiver")  # whole stacks, servers, sound; what is left takes seconds a file
_network = {"forbidden": False}
_told_by_workers: set[str] = set()


def pytest_report_header() -> list[str]:
    return [f"real components: {part}" for part in components.carried()]


def pytest_sessionfinish(session: pytest.Session) -> None:
    """A worker of `pytest -n` tells the process that prints which real parts its tests ran against."""
    if (told := getattr(session.config, "workeroutput", None)) is not None:
        told["components"] = [str(component) for component in components.USED]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """The printing process hears it when the worker has ended; one that crashed has told nothing."""
    _told_by_workers.update(getattr(node, "workeroutput", {}).get("components", []))


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first: what several workers begin last must be short. Sorting keeps the shuffle within each."""
    items.sort(key=lambda item: next((at for at, part in enumerate(LONGEST) if part in item.path.parts), len(LONGEST)))
    for item in items:
        if {"chaos", "e2e"} & set(item.path.parts):
            item.add_marker(pytest.mark.timeout(900))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    terminalreporter.section("real components these tests ran against")
    used = sorted(_told_by_workers | {str(component) for component in components.USED})
    for component in used:
        terminalreporter.write_line(component)
    if not used:
        terminalreporter.write_line("none: no test of this run asked for one")


# --- servers: started by the first test that asks, ended with the session ---


@pytest.fixture(scope="session")
def servers_folder() -> Iterator[Path]:
    """A folder the system user of PostgreSQL can enter, which pytest's own temporary folders are not."""
    folder = Path(tempfile.mkdtemp(prefix="parcours-test-", dir=components.data_place()))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
async def postgres_dsn(servers_folder: Path) -> AsyncIterator[str]:
    """The session's PostgreSQL (without fsync): for `database`, or for tests that make databases themselves."""
    async with components.postgres(servers_folder) as dsn:
        yield dsn


@pytest.fixture(scope="session")
async def kafka_bootstrap(servers_folder: Path) -> AsyncIterator[str]:
    """The session's Kafka; a test names its topics and groups with `kafka_prefix`."""
    async with components.kafka(servers_folder) as bootstrap:
        yield bootstrap


@pytest.fixture(scope="session")
async def s3_server(servers_folder: Path) -> AsyncIterator[components.S3]:
    """The session's S3 server; a test takes `s3`, which adds a bucket of its own."""
    async with components.s3(servers_folder) as server:
        yield server


# --- what one test owns ---


@pytest.fixture(scope="session")
async def postgres_admin(postgres_dsn: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection that makes and drops databases: one for all, since each costs the server a process."""
    connection = await asyncpg.connect(postgres_dsn, timeout=10)
    yield connection
    await connection.close()


@pytest.fixture(scope="session")
async def database_template(postgres_dsn: str, postgres_admin: asyncpg.Connection) -> AsyncIterator[str]:
    """The name of a database with all migrations applied, from which each test's own is copied."""
    from libs.common import migrate  # noqa: PLC0415 - so that tests of the stack alone need no services' code

    name = f"parcours_template_{secrets.token_hex(4)}"
    await postgres_admin.execute(f"CREATE DATABASE {name}")
    await migrate.apply(_with_database(postgres_dsn, name))
    yield name
    await postgres_admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
async def database(postgres_dsn: str, postgres_admin: asyncpg.Connection, database_template: str) -> AsyncIterator[str]:
    """The DSN of a fresh database with all migrations applied; dropped after the test."""
    name = f"parcours_test_{secrets.token_hex(6)}"
    # Copying files is half the work of writing every page to the log, which nobody will read.
    await postgres_admin.execute(f"CREATE DATABASE {name} TEMPLATE {database_template} STRATEGY file_copy")
    yield _with_database(postgres_dsn, name)
    await postgres_admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
async def empty_database(postgres_dsn: str, postgres_admin: asyncpg.Connection) -> AsyncIterator[str]:
    """The DSN of a fresh database with nothing in it; dropped after the test."""
    name = f"parcours_empty_{secrets.token_hex(6)}"
    await postgres_admin.execute(f"CREATE DATABASE {name}")
    yield _with_database(postgres_dsn, name)
    await postgres_admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def kafka_prefix() -> str:
    """A prefix for topics and groups that no other test has."""
    return f"t{secrets.token_hex(4)}."


@pytest.fixture
async def topics(kafka_bootstrap: str, kafka_prefix: str) -> AsyncIterator[str]:
    """All the platform's topics under `kafka_prefix`, which it returns; deleted after the test."""
    from libs.common import topics as registry  # noqa: PLC0415 - as above

    await registry.apply(kafka_bootstrap, kafka_prefix)
    yield kafka_prefix
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka_bootstrap)
    await admin.start()
    try:
        # Twelve partitions a topic: a hundred tests' worth of them would use up the broker's files.
        await admin.delete_topics([name for name in await admin.list_topics() if name.startswith(kafka_prefix)])
    finally:
        await admin.close()


@pytest.fixture
async def s3(s3_server: components.S3) -> AsyncIterator[components.S3]:
    """The S3 server with an empty bucket of the test's own; removed with its objects after the test."""
    own = replace(s3_server, bucket=f"test-{secrets.token_hex(6)}")
    keys = {"aws_access_key_id": own.access_key, "aws_secret_access_key": own.secret_key}
    async with aioboto3.Session().resource("s3", endpoint_url=own.endpoint, region_name=own.region, **keys) as store:
        bucket = await store.Bucket(own.bucket)
        await bucket.create()
        yield own
        await bucket.object_versions.delete()
        await bucket.delete()


def _with_database(dsn: str, name: str) -> str:
    server, _, query = dsn.partition("?")
    return f"{server.rsplit('/', 1)[0]}/{name}" + (f"?{query}" if query else "")


# --- what a test changes of its process ---


@pytest.fixture
def restored_logs() -> Iterator[None]:
    """Who configures logs as a service does gives the process back as it was, or later tests are told its lines."""
    import structlog  # noqa: PLC0415 - tests of the stack alone need none

    root = logging.getLogger()
    before = (root.handlers, root.level)
    yield
    root.handlers, root.level = before
    logging.captureWarnings(capture=False)
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


# --- no network in unit tests ---


@pytest.fixture(autouse=True)
def _unit_tests_stay_on_this_machine(request: pytest.FixtureRequest) -> Iterator[None]:
    _network["forbidden"] = UNIT in request.path.parents
    yield
    _network["forbidden"] = False


def _refuse_network(event: str, arguments: tuple[object, ...]) -> None:
    """An audit hook: sees every connect of this process, whatever library makes it."""
    if not _network["forbidden"]:
        return
    if event in ("socket.connect", "socket.sendto"):
        address = arguments[1]
        if isinstance(address, tuple) and not _is_loopback(str(address[0])):
            raise RuntimeError(f"a unit test may not reach {address[0]}: it belongs into another folder of tests/")
    elif event == "socket.getaddrinfo" and arguments[0] and not _is_loopback(str(arguments[0])):
        raise RuntimeError(f"a unit test may not look up {arguments[0]!r}: it belongs into another folder of tests/")


def _is_loopback(host: str) -> bool:
    if host in ("localhost", ""):
        return True
    try:
        return ipaddress.ip_address(host.split("%", 1)[0]).is_loopback
    except ValueError:
        return False


sys.addaudithook(_refuse_network)
