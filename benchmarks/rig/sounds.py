"""Owns what the benchmarks of sound share: the journey they play, the soundfont, how a program is watched."""

import os
import shutil
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks.rig.errors import RigError
from stack.composing import Stretch, Wish, planned, stretches_of
from stack.embedded.places import CHECKOUT

SOUNDFONT = Path("/usr/share/sounds/sf2/FluidR3_GM.sf2")
APT_FLUIDSYNTH = "apt-get install -y --no-install-recommends fluidsynth fluid-soundfont-gm"
PRESET, EMOTION, SUDS = "panique-anxiete", "fear-0.8", 8  # example A of the design: 20 minutes in six segments
LOOK_SECONDS = 0.25  # a high-water mark waits; looking at all processes costs some milliseconds


def stretches(seed: int, seconds: float) -> list[Stretch]:
    """The journey that all participants play."""
    wish = Wish(PRESET, Path("journey.mp3"), EMOTION, SUDS, seed=seed)
    return stretches_of(planned(wish), seconds / 60)


def need_fluidsynth() -> None:
    if shutil.which("fluidsynth") is None or not SOUNDFONT.exists():
        raise RigError(f"no FluidSynth with its soundfont here: type `sudo {APT_FLUIDSYNTH}`")


@dataclass(frozen=True)
class Watched:
    """What a program took; `peak_mb` is the highest resident set of its largest process, `processes` how many."""

    seconds: float
    cpu: float
    peak_mb: float
    processes: int
    said: str


def watch(command: Sequence[str]) -> Watched:
    """Run a program to its end, in new processes, and look at all its processes meanwhile; raises RigError."""
    began = time.monotonic()
    process = subprocess.Popen(command, cwd=CHECKOUT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    peaks: dict[int, float] = {}
    while True:
        pid, status, used = os.wait4(process.pid, os.WNOHANG)
        if pid:
            break
        for each in _tree(process.pid):
            with suppress(OSError, StopIteration):
                peaks[each] = _high_water_mb(each)
        time.sleep(LOOK_SECONDS)
    seconds = time.monotonic() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    out, errors = process.communicate()
    if process.returncode != 0:
        raise RigError(f"`{' '.join(command)}` ended with status {process.returncode}: {errors[-500:]}")
    return Watched(seconds, used.ru_utime + used.ru_stime, max(peaks.values()), len(peaks), out.strip())


def _tree(pid: int) -> list[int]:
    with suppress(psutil.NoSuchProcess):
        return [pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))]
    return []


def _high_water_mb(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1000
