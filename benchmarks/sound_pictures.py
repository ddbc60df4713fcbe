"""Owns the pictures of whole journeys: spectrogram, loudness, and the arc as planned and as it came out."""

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from benchmarks.sound_journeys import STEP, Journey
from stack.audio_file import ffmpeg

if TYPE_CHECKING:
    from matplotlib.axes import Axes

RATE = 11_025  # Hz: enough for 5 kHz, where nearly all of it lies
FRAME = 4096
COLUMNS = 900
LOWEST_HZ, HIGHEST_HZ, ROWS = 50.0, 5000.0, 220
FLOOR_DB = -75.0
COLORS = {"planned": "#b3412f", "measured": "#2a6f6b"}

Floats = npt.NDArray[np.float64]


def spectrogram(path: Path) -> Floats:
    """Level in dB below the loudest point, rows from low to high by octaves, a column for each stretch of time."""
    decode = [ffmpeg(), "-v", "error", "-i", str(path), "-ac", "1", "-ar", str(RATE), "-f", "f32le", "-"]
    sound = np.frombuffer(subprocess.run(decode, check=True, capture_output=True).stdout, "<f4")
    begins = np.linspace(0, len(sound) - FRAME, COLUMNS).astype(int)
    window = np.hanning(FRAME)
    power = np.stack([np.abs(np.fft.rfft(sound[begin : begin + FRAME] * window)) ** 2 for begin in begins], axis=1)
    edges = np.geomspace(LOWEST_HZ, HIGHEST_HZ, ROWS) * FRAME / RATE
    rows = np.stack([power[int(edge)] + power[int(edge) + 1] for edge in edges])
    levels: Floats = np.maximum(10 * np.log10(np.maximum(rows / rows.max(), 1e-12)), FLOOR_DB)
    return levels


def draw_journey(journey: Journey, path: Path) -> None:
    """One PNG: needs matplotlib."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 8), dpi=90, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.subplots(4, 1, sharex=True, height_ratios=(3, 1, 1, 1))
    minutes = journey.seconds / 60
    levels = spectrogram(journey.path)
    axes[0].imshow(
        levels, origin="lower", aspect="auto", cmap="magma", extent=(0, minutes, 0, ROWS), interpolation="nearest"
    )
    ticks = [100, 200, 500, 1000, 2000, 5000]
    places = [ROWS * np.log(tick / LOWEST_HZ) / np.log(HIGHEST_HZ / LOWEST_HZ) for tick in ticks]
    axes[0].set_yticks(places, [str(tick) for tick in ticks])
    axes[0].set_ylabel("Hz")
    axes[0].set_title(f"{journey.preset}, {journey.feeling}: {journey.lufs:.1f} LUFS, {journey.peak_coded:.1f} dBTP")
    shown = (("lufs", "LUFS"), ("bpm", "beats a minute"), ("brightness", "centroid, Hz"))
    for axis, (name, label) in zip(axes[1:], shown, strict=True):
        _curves(axis, journey, name, label)
    axes[3].set_xlabel("minutes; dotted: joins")
    figure.savefig(path, metadata={"Software": None})


def _curves(axis: "Axes", journey: Journey, name: str, label: str) -> None:
    times = (np.arange(len(journey.measured[name])) + 0.5) * STEP / 60
    axis.plot(times, journey.measured[name], color=COLORS["measured"], label="measured")
    planned_axis = axis.twinx() if name == "brightness" else axis  # a share of 0…1 beside a frequency
    planned_axis.plot(times, journey.planned[name][: len(times)], color=COLORS["planned"], label="planned")
    for join in journey.joins:
        axis.axvline(join / 60, color="#999999", linestyle=":", linewidth=0.8)
    axis.set_ylabel(label)
    if name == "lufs":
        axis.legend(frameon=False, loc="lower left", fontsize=8)
