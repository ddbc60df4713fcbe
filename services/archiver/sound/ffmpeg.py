"""Owns how ffmpeg is run: no network, no keyboard, bounded time, processor and output; ended by its process id."""

import asyncio
import contextlib
import os
import re
import resource
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from services.archiver.domain.containers import Container
from services.archiver.domain.failures import Code, GiveUp

RUN_SECONDS: Final = 180.0  # 6 min of music take about 10 s on one core; a hostile file gets no more than this
CPU_SECONDS: Final = 240  # on all threads together
FILE_BYTES: Final = 512 * 1024 * 1024  # the most it may write
LONGEST_SECONDS: Final = 3600  # of a take; what lies beyond is not decoded
LINE_BYTES: Final = 1 << 16
KEPT_LINES: Final = 60  # the summary of the loudness meter stands in the last 20

_ERROR: Final = re.compile(r"\[(error|fatal|panic)\]")

Consume = Callable[[asyncio.StreamReader], Awaitable[None]]


@dataclass(slots=True)
class Log:
    """What a run said: the last lines, and how many of them were errors."""

    lines: deque[str] = field(default_factory=lambda: deque(maxlen=KEPT_LINES))
    errors: int = 0

    def add(self, line: str) -> None:
        self.lines.append(line)
        self.errors += bool(_ERROR.search(line))


def source(path: Path, container: Container, *, seconds: float = LONGEST_SECONDS) -> list[str]:
    """Arguments that read a file with exactly this demuxer, from the disk only, and nothing it may point to."""
    reads = ["-protocol_whitelist", "file,pipe,fd", "-t", f"{seconds:g}", "-f", container]
    return [*reads, "-i", f"file:{path}"]


async def run(program: Path, arguments: Sequence[str], *, consume: Consume | None = None) -> Log:
    """Run ffmpeg to its end and return what it logged.

    `consume` reads its standard output. Raises `GiveUp(DECODE_FAILED)` on a non-zero exit or when it takes too long;
    the process is gone when this returns or raises, also by cancellation.
    """
    process = await asyncio.create_subprocess_exec(
        *(str(program), "-nostdin", "-hide_banner", "-nostats", "-v", "level+info", *arguments),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE if consume else asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        limit=LINE_BYTES * 16,
        env={"PATH": os.environ.get("PATH", os.defpath)},
    )
    log = Log()
    try:
        _bound(process.pid)
        async with asyncio.timeout(RUN_SECONDS):
            await asyncio.gather(_read_log(process, log), _read_output(process, consume))
            code = await process.wait()
    except TimeoutError as error:
        raise GiveUp(Code.DECODE_FAILED, f"more than {RUN_SECONDS:g} s") from error
    finally:
        await _end(process)
    if code != 0:
        raise GiveUp(Code.DECODE_FAILED, f"exit {code}")
    return log


def _bound(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):  # it may have ended already
        resource.prlimit(pid, resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (FILE_BYTES, FILE_BYTES))
        resource.prlimit(pid, resource.RLIMIT_CORE, (0, 0))


async def _read_log(process: asyncio.subprocess.Process, log: Log) -> None:
    stream = process.stderr
    if stream is None:
        raise RuntimeError("expected a pipe from the process, found none")
    rest = b""
    while piece := await stream.read(LINE_BYTES):
        *lines, rest = (rest + piece)[-LINE_BYTES:].split(b"\n")
        for line in lines:
            log.add(line.decode("utf-8", "replace"))
    log.add(rest.decode("utf-8", "replace"))


async def _read_output(process: asyncio.subprocess.Process, consume: Consume | None) -> None:
    if consume is not None and process.stdout is not None:
        await consume(process.stdout)


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
