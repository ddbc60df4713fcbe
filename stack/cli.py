"""The `parcours` command: its verbs and their options; what they do is in the modules beside it."""

import asyncio
import signal
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated, NoReturn
from uuid import UUID

import typer
from rich.console import Console

from stack import operator_commands, quota_commands, segment_commands, simulate
from stack.assembly import Wanted
from stack.embedded.errors import EmbeddedError
from stack.errors import StackError, unreachable
from stack.folder import DataFolder, default_folder
from stack.operator_commands import AsJson
from stack.up import running

app = typer.Typer(
    name="parcours",
    help="How I feel now, turned into a music journey: the whole platform on one machine.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.add_typer(simulate.app, name="simulate")
app.add_typer(operator_commands.dlq, name="dlq")
app.add_typer(operator_commands.topics_app, name="topics")
app.add_typer(operator_commands.outbox, name="outbox")
app.add_typer(quota_commands.quota, name="quota")
app.add_typer(segment_commands.segment, name="segment")

Data = Annotated[Path, typer.Option("--data", help="Folder that holds everything of this stack.", show_default=True)]
Port = Annotated[int, typer.Option(min=1, max=65535, help="Port of the page and the API, on 127.0.0.1.")]
Workers = Annotated[str, typer.Option(help="More processes of a service: generator=2,runner=2.")]
Postgres = Annotated[str | None, typer.Option(help="Use this PostgreSQL (a DSN) instead of our own.")]
Kafka = Annotated[str | None, typer.Option(help="Use this Kafka (HOST:PORT) instead of our own.")]
S3 = Annotated[str | None, typer.Option(help="Use this S3 server (URL; keys in S3_ACCESS_KEY, S3_SECRET_KEY).")]


@app.command()
def up(
    port: Port = 8080,
    data: Data = default_folder(),  # noqa: B008 - shown as the default by --help
    workers: Workers = "",
    postgres: Postgres = None,
    kafka: Kafka = None,
    s3: S3 = None,
) -> None:
    """Start PostgreSQL, Kafka, the object store and every service; stop all of it with Ctrl-C."""
    wanted = Wanted(DataFolder(data), port, parse_workers(workers), postgres, kafka, s3)
    run(_serve(wanted))


@app.command()
def status(data: Data = default_folder(), as_json: AsJson = False) -> None:  # noqa: B008, FBT002 - options
    """Show every process of the stack with its pid, address, state and since when."""
    raise typer.Exit(operator_commands.show_status(DataFolder(data), as_json=as_json))


@app.command(name="demo")
def demo_command(
    preset: Annotated[str, typer.Option(help="Which journey; see /v1/presets.")] = "panique-anxiete",
    emotion: Annotated[str, typer.Option(help="How it feels: word-intensity.")] = "fear-0.8",
    suds: Annotated[int, typer.Option(min=0, max=10, help="Distress now, 0 to 10.")] = 8,
    once: Annotated[bool, typer.Option("--once", help="End when the run is ready: status 0, else 1.")] = False,  # noqa: FBT002
    open_page: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,  # noqa: FBT002
    port: Port = 8080,
    data: Data = default_folder(),  # noqa: B008
    workers: Workers = "",
) -> None:
    """Start the stack, make one journey and show how it grows; then one file of the whole."""
    from stack import demo  # noqa: PLC0415 - the journey's own rules: no other verb needs them

    wanted = Wanted(DataFolder(data), port, parse_workers(workers))
    wish = demo.Wish(preset, emotion, suds)
    run(demo.demonstrate(wanted, wish, once=once, open_page=open_page))


@app.command()
def compose(
    preset: Annotated[str, typer.Option(help="Which journey; a wrong one lists all 20.")],
    out: Annotated[Path, typer.Option(help="The MP3 to write; an existing one only with --force.")],
    emotion: Annotated[str | None, typer.Option(help="How it feels: word-intensity, as fear-0.8.")] = None,
    suds: Annotated[int | None, typer.Option(min=0, max=10, help="Distress now, 0 to 10.")] = None,
    style: Annotated[str | None, typer.Option(help="piano, bells, strings or drones.")] = None,
    seed: Annotated[int | None, typer.Option(help="The same seed makes the same music; told at the end.")] = None,
    minutes: Annotated[float | None, typer.Option(min=0.2, help="Only the first minutes; else all of it.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that exists.")] = False,  # noqa: FBT002
) -> None:
    """Make a journey as one mastered MP3 with no stack at all: plan, music, joins and level on this machine.

    Needs about 22 MB beside the file for each minute, until it is done.
    """
    from stack import composing  # noqa: PLC0415 - planner and engine: no other verb needs them

    wish = composing.Wish(preset, out, emotion, suds, style, seed, minutes, force)
    run(composing.compose(wish))


@app.command()
def listen(
    target: Annotated[str, typer.Argument(metavar="FILE|RUN", help="An audio file, or a run's id.")],
    png: Annotated[Path | None, typer.Option(help="Draw it into this file.")] = None,
    bpm: Annotated[
        float | None, typer.Option(min=30, max=200, help="Of a file: near which tempo its own is looked for.")
    ] = None,
    data: Data = default_folder(),  # noqa: B008
) -> None:
    """Report what a file or a run sounds like: the gate's rows, loudness, arc; status 1 when a row fails."""
    from stack.listening import command  # noqa: PLC0415 - what hears is slow to import

    run(command.listen(target, png, DataFolder(data), bpm=bpm))


@app.command()
def token(
    user: Annotated[UUID, typer.Option(help="The user's id (a UUID).")],
    role: Annotated[list[str], typer.Option(help="A role beyond listener, such as operator.")] = [],  # noqa: B006 - typer copies it
    data: Data = default_folder(),  # noqa: B008
) -> None:
    """Print a JWT of one hour that this stack accepts."""
    typer.echo(operator_commands.make_token(DataFolder(data), user, role))


@app.command()
def runs(data: Data = default_folder()) -> None:  # noqa: B008
    """List the newest runs with their state and times."""
    run(operator_commands.show_runs(DataFolder(data)))


@app.command()
def migrate(data: Data = default_folder(), postgres: Postgres = None) -> None:  # noqa: B008
    """Bring the database to the schema of this code."""
    run(operator_commands.migrate_database(DataFolder(data), postgres))


@app.command()
def doctor(data: Data = default_folder()) -> None:  # noqa: B008
    """Check what the stack needs on this machine, and say what to type where something is missing."""
    raise typer.Exit(asyncio.run(operator_commands.examine(DataFolder(data))))


def parse_workers(text: str) -> dict[str, int]:
    """`generator=2,runner=2` as numbers by service."""
    try:
        pairs = [item.split("=") for item in text.split(",") if item.strip()]
        counts = {name.strip(): int(count) for name, count in pairs}
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not of the form generator=2,runner=2", param_hint="--workers") from None
    if len(counts) < len(pairs):
        raise typer.BadParameter(f"{text!r} names a service twice", param_hint="--workers")
    return counts


async def _serve(wanted: Wanted) -> int:
    async with running(wanted) as stack:
        sys.stdout.write(f"ready {stack.url}\n")
        sys.stdout.flush()
        await asyncio.Event().wait()
    return 0


async def _until_signalled(work: Coroutine[object, object, int | None]) -> int:
    """Run `work` until it ends or the first SIGINT or SIGTERM cancels it; later ones do not cut its clean-up short."""
    task = asyncio.ensure_future(work)
    signalled = asyncio.Event()

    def stop() -> None:
        if not signalled.is_set():
            signalled.set()
            task.cancel()

    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop)
    try:
        return await task or 0
    except asyncio.CancelledError:
        return 0


def run(work: Coroutine[object, object, int | None]) -> None:
    """Run a verb to its end or to the first signal; the process ends with its status."""
    raise typer.Exit(asyncio.run(_until_signalled(work)))


def main() -> None:
    """Run the command line; what a person can mend is printed as one message, without a trace, and ends with 1."""
    try:
        app()
    except (StackError, EmbeddedError) as error:
        _give_up(str(error))
    except Exception as error:
        if not isinstance(error, unreachable()):
            raise
        _give_up(f"the server does not serve: {type(error).__name__}: {error}")


def _give_up(text: str) -> NoReturn:
    Console(stderr=True).print(f"parcours: {text}", style="red", markup=False, highlight=False, soft_wrap=True)
    sys.exit(1)
