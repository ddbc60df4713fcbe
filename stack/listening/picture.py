"""Owns the report as a picture: spectrum, loudness, arc, joins and the gate's rows on one timeline."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator

from stack.listening.report import made_of
from stack.listening.spectrum import COLUMNS_PER_SECOND, EDGES
from stack.listening.subject import Piece, Record, Subject, clock, limit_of, value_of

INK, SOFT, GRID = "#22303c", "#6b7a86", "#dfe5ea"
PLANNED, MEASURED, LEVEL = "#8b98a5", "#c2410c", "#5b8fb9"
GOOD, BAD, ADVICE = "#2f7d4f", "#b3261e", "#a16207"
GOOD_BACK, BAD_BACK, ADVICE_BACK = "#e6f2ea", "#f9dedc", "#fdf0d5"
MOST_TICKS: Final = 12
MOST_COLUMNS: Final = 1600  # of the spectrum: more than the picture has dots
WINDOW_MIDDLE: Final = 7.5


def draw(subject: Subject, target: Path) -> None:
    """Write a PNG; the folder must be there."""
    figure = Figure(figsize=(15, 9.6), dpi=110, facecolor="white")
    tracks = [_loudness, *([_tempo] if _has_tempo(subject) else []), _brightness]
    wide = min(0.36, 0.17 + 0.024 * len(subject.pieces)) if any(piece.gate for piece in subject.pieces) else 0.0
    grid = figure.add_gridspec(
        1 + len(tracks),
        2 if wide else 1,
        height_ratios=[1.75, *[1.0] * len(tracks)],
        width_ratios=[1 - wide, wide] if wide else [1],
        left=0.055,
        right=0.985,
        top=0.865,
        bottom=0.065,
        hspace=0.27,
        wspace=0.045,
    )
    first = figure.add_subplot(grid[0, 0])
    _spectrum(first, subject)
    for place, track in enumerate(tracks, start=1):
        axes = figure.add_subplot(grid[place, 0], sharex=first)
        track(axes, subject)
        _style(axes, subject, last=place == len(tracks))
    _style(first, subject, last=False)
    if wide:
        _gate(figure.add_subplot(grid[:, 1]), subject.pieces)
    _head(figure, subject)
    figure.savefig(target, format="png")


def _head(figure: Figure, subject: Subject) -> None:
    if subject.planned:
        figure.text(0.6, 0.955, "planned", fontsize=11, ha="right", color=PLANNED, fontweight="bold")
        figure.text(0.605, 0.955, "measured", fontsize=11, color=MEASURED, fontweight="bold")
    figure.text(0.055, 0.955, subject.name, fontsize=15, fontweight="bold", color=INK)
    facts = [f"{name} {value}" for name, value in subject.facts if len(value) < 60][:7]  # noqa: PLR2004 - one line
    figure.text(0.055, 0.925, "   ·   ".join(facts), fontsize=9.5, color=SOFT)
    rows = sum(len(piece.gate) for piece in subject.pieces)
    failed = sum(len(piece.failed) for piece in subject.pieces)
    if rows:
        looked = sum(not row["passed"] for piece in subject.pieces for row in piece.gate) - failed
        told = f"gate: {rows} rows, {f'{failed} fail' if failed else 'none fails'}"
        told += f", {looked} worth a look" if looked else ""
        figure.text(0.985, 0.955, told, fontsize=11, ha="right", color=BAD if failed else GOOD, fontweight="bold")


def _style(axes: Axes, subject: Subject, *, last: bool) -> None:
    axes.set_xlim(0, max(subject.seconds, 1))
    axes.tick_params(colors=SOFT, labelsize=8.5, length=0, labelbottom=last)
    for side in axes.spines.values():
        side.set_visible(False)
    for start in subject.starts[1:]:
        axes.axvline(start, color=INK, linewidth=0.8, linestyle=(0, (4, 3)), alpha=0.55)
    axes.xaxis.set_major_locator(FixedLocator(_minutes(subject.seconds)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda seconds, _place: clock(seconds)))


def _minutes(seconds: float) -> list[float]:
    """Whole places of a clock, at most a dozen."""
    step = next((each for each in (1, 2, 5, 10, 15, 30, 60, 120, 300) if seconds / each <= MOST_TICKS), 600)
    return [float(at) for at in range(0, int(seconds) + 1, step)]


def _spectrum(axes: Axes, subject: Subject) -> None:
    width = max(1, round(subject.seconds * COLUMNS_PER_SECOND))
    bands = np.full((len(EDGES) - 1, width), np.nan)
    for piece, start in zip(subject.pieces, subject.starts, strict=True):
        if piece.spectrum is not None:
            begin = round(start * COLUMNS_PER_SECOND)
            shown = piece.spectrum.bands[:, : width - begin]
            bands[:, begin : begin + shown.shape[1]] = shown
    each = max(1, width // MOST_COLUMNS)
    bands = bands[:, : width // each * each].reshape(len(bands), -1, each).mean(axis=2)
    known = bands[np.isfinite(bands)]
    top = float(np.percentile(known, 99.7)) if len(known) else 0.0
    axes.pcolormesh(
        np.linspace(0, max(subject.seconds, 1), bands.shape[1] + 1),
        EDGES,
        bands,
        cmap="magma",
        vmin=top - 75,
        vmax=top,
        rasterized=True,
    )
    axes.set_yscale("log")
    axes.set_yticks([50, 100, 200, 500, 1000, 2000, 5000, 10000])
    axes.yaxis.set_major_formatter(FuncFormatter(lambda hertz, _place: f"{hertz:g}"))
    axes.minorticks_off()
    axes.set_ylabel("Hz", color=SOFT, fontsize=9)
    if len(subject.pieces) > 1:
        _titles(axes, subject)


def _titles(axes: Axes, subject: Subject) -> None:
    """Above the spectrum: number, title as far as it fits, and what the file is made of where that is more than one."""
    for number, (piece, start) in enumerate(zip(subject.pieces, subject.starts, strict=True), start=1):
        room = max(4, int(piece.seconds / max(subject.seconds, 1) * 105))
        title = piece.title if len(piece.title) <= room else f"{piece.title[: room - 1].rstrip()}…"
        lines = [f"{number}  {title}", *([made_of(piece.parts)] if len(piece.parts) > 1 else [])]
        if piece.spectrum is None:
            lines.append(f"({piece.status}: no file)")
        axes.annotate(
            "\n".join(lines),
            (start, 1.0),
            xycoords=("data", "axes fraction"),
            xytext=(3, 4),
            textcoords="offset points",
            fontsize=8.5,
            color=INK,
            va="bottom",
        )


def _loudness(axes: Axes, subject: Subject) -> None:
    for piece, start in zip(subject.pieces, subject.starts, strict=True):
        if piece.spectrum is not None:
            seconds = start + np.arange(len(piece.spectrum.levels)) / COLUMNS_PER_SECOND
            axes.fill_between(seconds, -80, piece.spectrum.levels, color=LEVEL, alpha=0.30, linewidth=0)
        if piece.lufs is not None and len(subject.pieces) > 1:
            axes.plot([start, start + piece.seconds], [piece.lufs] * 2, color=MEASURED, linewidth=1, alpha=0.5)
    _planned(axes, subject, [one.lufs for one in subject.planned])
    _dots(axes, [(one.t, one.lufs) for one in subject.measured])
    known = [one.lufs for one in subject.measured if one.lufs > -60] or [-16.0]  # noqa: PLR2004 - a fade is no course
    middle = float(np.median(known))
    axes.set_ylim(middle - 10, middle + 4)
    _name(axes, subject, "loudness", "LUFS; level of ¼ s in blue (dB)")


def _tempo(axes: Axes, subject: Subject) -> None:
    _planned(axes, subject, [one.bpm for one in subject.planned])
    _dots(axes, [(one.t, one.bpm) for one in subject.measured if one.bpm is not None])
    shown = [*(one.bpm for one in subject.planned), *(one.bpm for one in subject.measured if one.bpm is not None)]
    axes.set_ylim(min(shown) - 4, max(shown) + 4)
    missing = sum(one.bpm is None for one in subject.measured)
    more = f"; not certain at {missing} of {len(subject.measured)} points" if missing else ""
    _name(axes, subject, "tempo", f"BPM{more}")


def _brightness(axes: Axes, subject: Subject) -> None:
    heard = [(one.t, one.centroid_hz) for one in subject.measured]
    _dots(axes, heard)
    if heard:
        values = [value for _, value in heard]
        low, high = min(values), max(values)
        room = max(0.15 * (high - low), 10)
        axes.set_ylim(low - room, high + room)
    if subject.planned:
        other = axes.twinx()
        _planned(other, subject, [one.brightness for one in subject.planned])
        for side in other.spines.values():
            side.set_visible(False)
        other.set_yticks([])
        meant = [one.brightness for one in subject.planned]
        room = max(0.15 * (max(meant) - min(meant)), 0.02)
        other.set_ylim(min(meant) - room, max(meant) + room)
    unit = "A-weighted centroid in Hz" + ("; planned 0…1, to a scale of its own" if subject.planned else "")
    _name(axes, subject, "brightness", unit)


def _planned(axes: Axes, subject: Subject, values: Sequence[float]) -> None:
    times = [one.t + WINDOW_MIDDLE for one in subject.planned]
    axes.plot(times, values, color=PLANNED, linewidth=2.2, solid_capstyle="round", label="planned", zorder=2)


def _dots(axes: Axes, points: Sequence[tuple[float, float]]) -> None:
    times = [t + WINDOW_MIDDLE for t, _ in points]
    axes.plot(times, [value for _, value in points], "o", color=MEASURED, markersize=3.6, label="measured", zorder=3)


def _name(axes: Axes, subject: Subject, name: str, unit: str) -> None:
    agreed = subject.correlation.get(name)
    told = "" if agreed is None else f"    r = {agreed:.2f}"
    axes.grid(axis="y", color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.yaxis.set_major_locator(MaxNLocator(5))
    place: dict[str, Any] = {"xycoords": "axes fraction", "textcoords": "offset points", "va": "bottom"}
    axes.annotate(name, (0, 1), xytext=(0, 3), fontsize=10, fontweight="bold", color=INK, **place)
    axes.annotate(f"{unit}{told}", (0, 1), xytext=(74, 3), fontsize=9, color=SOFT, **place)


def _has_tempo(subject: Subject) -> bool:
    return bool(subject.planned) or any(one.bpm is not None for one in subject.measured)


def _gate(axes: Axes, pieces: Sequence[Piece]) -> None:
    """A table: rows of the gate, a column for each piece, coloured by verdict."""
    rows: dict[tuple[str, str, float], dict[int, Record]] = {}
    for column, piece in enumerate(pieces):
        for row in piece.gate:
            name = row["finding"] + (" *" if row["stage"] == "mastered" and len(pieces) > 1 else "")
            rows.setdefault((row["check"], name, row["limit"]), {})[column] = row
    left = 2.6 if len(pieces) > 1 else 1.6
    axes.set_xlim(0, left + len(pieces) + 0.35 + 0.2 * len(pieces))
    axes.set_ylim(len(rows) + 0.4, -1.3)
    axes.axis("off")
    for column in range(len(pieces)):
        axes.text(left + column + 0.5, -0.4, str(column + 1) if len(pieces) > 1 else "value", **_cell(SOFT))
    axes.text(left + len(pieces) + 0.3 + 0.2 * len(pieces), -0.4, "limit", **_cell(SOFT, "right"))
    for line, ((_check, name, _limit), found) in enumerate(rows.items()):
        axes.text(left - 0.12, line + 0.5, name.replace("_", " "), **_cell(INK, "right"))
        for column, row in found.items():
            good = row["passed"]
            back = GOOD_BACK if good else ADVICE_BACK if row["mode"] == "advise" else BAD_BACK
            ink = GOOD if good else ADVICE if row["mode"] == "advise" else BAD
            axes.fill_between(
                [left + column + 0.03, left + column + 0.97], line + 0.06, line + 0.94, color=back, linewidth=0
            )
            axes.text(left + column + 0.5, line + 0.5, value_of(row), **_cell(ink))
        axes.text(
            left + len(pieces) + 0.3 + 0.2 * len(pieces),
            line + 0.5,
            limit_of(next(iter(found.values()))),
            **_cell(SOFT, "right"),
        )
    if any(name.endswith(" *") for _, name, _ in rows):
        axes.text(left - 0.12, len(rows) + 0.3, "* of the mastered file", **_cell(SOFT, "right"))


def _cell(colour: str, align: str = "center") -> dict[str, Any]:
    return {"fontsize": 7.6, "color": colour, "ha": align, "va": "center"}
