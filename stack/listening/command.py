"""Owns what `parcours listen` does: hear, tell, draw; and what it says when it cannot."""

import asyncio
from pathlib import Path

from rich.console import Console

from stack.errors import StackError
from stack.folder import DataFolder
from stack.listening.report import tell
from stack.listening.sources import subject_of
from stack.operator_commands import PIPE_COLUMNS


async def listen(target: str, png: Path | None, folder: DataFolder, *, bpm: float | None) -> int:
    """Report on a file or a run; 0 when every row of its gate holds, else 1. The picture replaces an older one."""
    if png is not None:
        _check(png)
    subject = await subject_of(target, folder, bpm=bpm)
    console = Console()
    tell(subject, console if console.is_terminal else Console(width=PIPE_COLUMNS))
    if png is not None:
        from stack.listening.picture import draw  # noqa: PLC0415 - matplotlib takes a second, and only pictures need it

        try:
            await asyncio.to_thread(draw, subject, png)
        except OSError as error:
            raise StackError(f"--png: {png} cannot be written: {error.strerror}") from None
        console.print(f"{png}", highlight=False, soft_wrap=True)
    return 1 if any(piece.failed for piece in subject.pieces) else 0


def _check(png: Path) -> None:
    """Refuse before the work what could not be written after it."""
    if png.suffix.lower() != ".png":
        raise StackError(f"--png: expected a name that ends with .png, found {png}")
    if not png.parent.is_dir():
        raise StackError(f"--png: there is no folder {png.parent}")
