"""Which processes make a stack, with which settings: the composition root of `parcours up`."""

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

import asyncpg

import libs.common
from libs.common import migrate, topics
from stack.embedded.kafka import EmbeddedKafka, silent_client
from stack.embedded.ports import free_port
from stack.embedded.postgres import EmbeddedPostgres
from stack.errors import StackError
from stack.folder import DataFolder
from stack.service_process import ServiceProcess

SERVICES = ("composer", "create", "runner", "generator", "callback", "archiver", "signer", "gateway")
DATABASE = "parcours"
MOST_WORKERS = 100  # beyond what one machine runs; each takes a port, memory and connections
DRAIN_SECONDS = 15  # of the 30 s in which a stack stops


@dataclass(frozen=True)
class Wanted:
    """What the person asked for."""

    folder: DataFolder
    port: int = 8080
    workers: Mapping[str, int] = field(default_factory=dict)
    postgres: str | None = None  # a given server instead of our own
    kafka: str | None = None
    s3: str | None = None


@dataclass(frozen=True)
class Assembly:
    """The processes of a stack; `postgres` and `kafka` are None where a given server is used."""

    postgres: EmbeddedPostgres | None
    kafka: EmbeddedKafka | None
    services: tuple[ServiceProcess, ...]
    dsn: str
    bootstrap: str
    objects: Mapping[str, str]

    async def prepare_database(self) -> None:
        """Make the database and bring it to the schema of this code."""
        if self.postgres is not None:
            await _create_database(self.postgres.dsn)
        await migrate.apply(self.dsn)

    async def prepare_broker(self) -> None:
        """Make the topics, after each start: a broker whose folder was lost comes back without any."""
        with silent_client():  # what fails is raised; its client would print it too
            await topics.apply(self.bootstrap, os.environ.get("KAFKA_PREFIX", ""))

    async def prepare_objects(self) -> None:
        """Make the bucket of a given S3 server where it is missing; our own folder needs nothing."""
        if self.objects["OBJECT_STORE"] == "s3":
            await _make_bucket(self.objects["S3_ENDPOINT"])


def assemble(wanted: Wanted) -> Assembly:
    """Choose ports, make secrets and write down every process's environment; starts nothing."""
    counts = _counts(wanted.workers)
    secrets = wanted.folder.secrets()
    ports = _ports(wanted, counts)
    postgres = kafka = None
    if wanted.postgres is None:
        postgres = EmbeddedPostgres(wanted.folder.postgres, ports["postgres"], secrets["postgres_password"])
    if wanted.kafka is None:
        kafka = EmbeddedKafka(wanted.folder.kafka, ports["kafka"], ports["kafka-controller"])
    dsn = wanted.postgres or _with_database(postgres.dsn if postgres else "")
    bootstrap = wanted.kafka or (kafka.bootstrap if kafka else "")
    objects = _objects(wanted)
    environment = _environment(wanted, secrets, ports) | objects | {"DATABASE_URL": dsn, "KAFKA_BOOTSTRAP": bootstrap}
    root = Path(libs.common.__file__).parents[2]
    services = tuple(
        ServiceProcess(service, number, ports[f"{service}-{number}"], environment, root)
        for service in SERVICES
        for number in range(1, counts[service] + 1)
    )
    return Assembly(postgres, kafka, services, dsn, bootstrap, objects)


def _counts(workers: Mapping[str, int]) -> dict[str, int]:
    unknown = set(workers) - set(SERVICES)
    if unknown:
        raise StackError(f"--workers names no service: {', '.join(sorted(unknown))}; there are {', '.join(SERVICES)}")
    if any(count < 1 for count in workers.values()):
        raise StackError("--workers takes numbers from 1 on, such as generator=2,runner=2")
    if sum(workers.values()) > MOST_WORKERS:
        raise StackError(f"--workers asks for more than {MOST_WORKERS} processes on one machine")
    if workers.get("composer", 1) > 1:
        raise StackError("composer keeps its jobs in memory and uses every core by itself: it is one process")
    return {service: workers.get(service, 1) for service in SERVICES}


def _ports(wanted: Wanted, counts: Mapping[str, int]) -> dict[str, int]:
    """The ports of the last start where they are still free, so that Kafka and PostgreSQL keep their addresses."""
    names = ["postgres", "kafka", "kafka-controller"]
    names += [f"{service}-{number}" for service in SERVICES for number in range(1, counts[service] + 1)]
    kept = {name: port for name, port in wanted.folder.ports().items() if name in names and _is_free(port)}
    kept["gateway-1"] = wanted.port
    if not _is_free(wanted.port):
        raise StackError(f"port {wanted.port} is taken by another program: choose one with --port")
    ports = kept | {name: free_port() for name in names if name not in kept}
    wanted.folder.keep_ports(ports)
    return ports


def _environment(wanted: Wanted, secrets: Mapping[str, str], ports: Mapping[str, int]) -> dict[str, str]:
    """What every service gets; a variable of the person's own environment wins over our default."""
    public = f"http://127.0.0.1:{wanted.port}"
    called = [service for service in SERVICES if service != "gateway"]  # which calls, and is called by nobody
    urls = {f"{service.upper()}_URL": f"http://127.0.0.1:{ports[f'{service}-1']}" for service in called}
    defaults = {
        "PUBLIC_URL": public,
        "CALLBACK_BASE": f"{public}/callback",
        "CALLBACK_SIMPLE_DIALECT": "1",
        "CORS_ORIGINS": public,
        "DEMO_SESSIONS": "1",
        "SUPABASE_JWT_SECRET": secrets["jwt_secret"],
        "MEDIA_SIGNING_KEYS": secrets["media_signing_keys"],
        "INTERNAL_SECRET": secrets["internal_secret"],
    }
    own = {
        "DRAIN_SECONDS": str(DRAIN_SECONDS),
        "PYTHONUNBUFFERED": "1",
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "PROVIDER_FILE_PRIVATE_ORIGINS": _origins(urls["COMPOSER_URL"]),
    }
    given = {name: value for name, value in os.environ.items() if name in defaults and value}
    return defaults | given | urls | own


def _origins(composer: str) -> str:
    given = os.environ.get("PROVIDER_FILE_PRIVATE_ORIGINS", "")
    return ",".join(origin for origin in (given, composer) if origin)


def _objects(wanted: Wanted) -> dict[str, str]:
    if wanted.s3 is None:
        return {"OBJECT_STORE": "folder", "OBJECT_FOLDER": str(wanted.folder.objects)}
    if not (os.environ.get("S3_ACCESS_KEY") and os.environ.get("S3_SECRET_KEY")):
        raise StackError("--s3 needs the server's keys in S3_ACCESS_KEY and S3_SECRET_KEY")
    return {"OBJECT_STORE": "s3", "S3_ENDPOINT": wanted.s3}


def _with_database(dsn: str) -> str:
    return urlunsplit(urlsplit(dsn)._replace(path="/" + quote(DATABASE)))


async def _make_bucket(endpoint: str) -> None:
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - slow to import, and rarely needed

    from libs.common.objects.bucket import make_bucket  # noqa: PLC0415 - as above
    from libs.common.settings import ObjectSettings  # noqa: PLC0415 - as above

    settings = ObjectSettings(s3_endpoint=endpoint)
    try:
        await make_bucket(settings)
    except (BotoCoreError, ClientError) as error:
        said = error.response["Error"]["Code"] if isinstance(error, ClientError) else type(error).__name__
        raise StackError(
            f"the given S3 server at {endpoint} has no bucket {settings.s3_bucket} for us: {said}"
        ) from error


async def _create_database(dsn: str) -> None:
    connection = await asyncpg.connect(dsn, timeout=5)
    try:
        await connection.execute(f"CREATE DATABASE {DATABASE}")
    except asyncpg.DuplicateDatabaseError:
        pass
    finally:
        await connection.close()


def _is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
