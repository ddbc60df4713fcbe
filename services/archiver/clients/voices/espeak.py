"""Owns speaking by espeak-ng, a program of its own on this machine: no network, no key."""

import asyncio
import contextlib
import os
import shutil
from pathlib import Path
from typing import Final

from services.archiver.domain.narration import Locale, Unspoken, Why

PROGRAM: Final = "espeak-ng"
WORDS_PER_MINUTE: Final = 130  # domain.md §6.3
SPEAK_SECONDS: Final = 20.0  # a line of 180 characters takes a tenth of one
VOICES: Final[dict[Locale, str]] = {"fr": "fr-fr", "en": "en-gb"}


class Espeak:
    """Speaks by a given program, else by the one on the path."""

    name = "espeak-ng"

    def __init__(self, program: Path | None = None) -> None:
        self._program = program

    async def speak(self, text: str, locale: Locale, into: Path) -> None:
        """Write a line as WAV; the text goes by the standard input, where no list of processes shows it."""
        program = str(self._program) if self._program else shutil.which(PROGRAM)
        if program is None:
            raise Unspoken(Why.NOT_INSTALLED)
        options = ["-v", VOICES[locale], "-s", str(WORDS_PER_MINUTE), "-b", "1", "-w", str(into), "--stdin"]
        try:
            process = await asyncio.create_subprocess_exec(
                program,
                *options,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.DEVNULL,
                env={name: os.environ[name] for name in ("PATH", "ESPEAK_DATA_PATH") if name in os.environ},
            )
        except OSError as error:
            raise Unspoken(Why.NOT_INSTALLED) from error
        try:
            async with asyncio.timeout(SPEAK_SECONDS):
                await process.communicate(text.encode())
        except TimeoutError as error:
            raise Unspoken(Why.UNAVAILABLE, after_seconds=0.0) from error
        finally:
            await _end(process)
        if process.returncode != 0:
            raise Unspoken(Why.REFUSED)


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
