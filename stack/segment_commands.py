"""What operators type about one segment: ask for it again, by a new attempt with a token of its own."""

import asyncio
from typing import Annotated
from uuid import UUID

import typer

from stack.folder import DataFolder, default_folder
from stack.operator_commands import Data, open_stack_database

segment = typer.Typer(help="One segment of a journey.", no_args_is_help=True)


@segment.command("retry")
def retry(
    segment_id: Annotated[UUID, typer.Argument(help="The segment's id.")],
    force: Annotated[  # noqa: FBT002 - an option
        bool, typer.Option("--force", help="Even beside a live paid attempt: it may be paid twice, which is counted.")
    ] = False,
    data: Data = default_folder(),  # noqa: B008
) -> None:
    """Ask for a segment again with a new budget of attempts; never beside a live paid attempt without --force."""
    raise typer.Exit(asyncio.run(_retry(DataFolder(data), segment_id, force=force)))


async def _retry(folder: DataFolder, segment_id: UUID, *, force: bool) -> int:
    from stack.segment_retry import retry_segment  # noqa: PLC0415 - what it needs no other verb does

    async with open_stack_database(folder) as database:
        outcome = await retry_segment(database, segment_id, force=force)
    for line in outcome.said:
        typer.echo(line)
    return 0 if outcome.done else 1
