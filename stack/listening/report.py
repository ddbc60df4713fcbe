"""Owns the report in the terminal: the numbers, the gate's rows, the level and the arc as lines that fit a screen."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Final

import numpy as np
from rich.console import Console, Group, RenderableType
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from stack.listening.subject import Piece, Record, Subject, clock, limit_of, value_of

BARS: Final = " ▁▂▃▄▅▆▇█"
LINE: Final = 96  # characters of a drawn line
QUIETEST_DB: Final = -48.0
NAMES: Final = {"tempo": "BPM", "brightness": "Hz", "loudness": "LUFS"}


def tell(subject: Subject, console: Console) -> None:
    """Print all that is known."""
    console.print(Group(*_parts(subject)))


def _parts(subject: Subject) -> Iterator[RenderableType]:
    yield Rule(Text(subject.name, style="bold"), align="left")
    yield _facts(subject.facts)
    yield _pieces(subject)
    yield Text()
    yield _level(subject)
    yield Text()
    yield from _arc(subject)
    yield from _gate(subject.pieces)


def _facts(facts: Sequence[tuple[str, str]]) -> Table:
    table = Table(box=None, show_header=False, pad_edge=False)
    for name, value in facts:
        table.add_row(Text(name, style="dim"), value)
    return table


def _pieces(subject: Subject) -> Table:
    table = Table("", "from", "length", "LUFS", "true peak", "LRA", "gate", "made of", box=None, header_style="bold")
    for number, (piece, start) in enumerate(zip(subject.pieces, subject.starts, strict=True), start=1):
        numbers = (_number(piece.lufs), _number(piece.peak_dbtp, " dBTP"), _number(piece.range_lu, " LU"))
        name = f"{number}  {piece.title}"
        table.add_row(name, clock(start), clock(piece.seconds), *numbers, _verdict(piece), made_of(piece.parts))
    return table


def made_of(parts: Sequence[Record]) -> str:
    """`provider 1 0:00-2:10, composer 2:05-4:05`."""
    return ", ".join(_part(part) for part in parts)


def _part(part: Record) -> str:
    take = f" {part['take']}" if part.get("take") else ""
    return f"{part['source']}{take} {clock(part['from_seconds'])}-{clock(part['to_seconds'])}"


def _verdict(piece: Piece) -> Text:
    if not piece.gate:
        return Text(piece.status, style="dim")
    failed = piece.failed
    if not failed:
        return Text(f"all {len(piece.gate)} rows", style="green")
    return Text(f"{len(failed)} of {len(piece.gate)} fail", style="bold red")


def _level(subject: Subject) -> Text:
    """The loudest of each stretch as a bar; a mark under each join."""
    columns = [piece.spectrum.levels for piece in subject.pieces if piece.spectrum is not None]
    if not columns or not sum(map(len, columns)):
        return Text("no sound to draw", style="dim")
    levels = np.concatenate(columns)
    edges = np.linspace(0, len(levels), min(LINE, len(levels)) + 1).astype(int)
    heights = [levels[low : max(high, low + 1)].max() for low, high in pairwise(edges)]
    bars = "".join(BARS[_step((height - QUIETEST_DB) / -QUIETEST_DB * 1.25)] for height in heights)
    marks = [" "] * len(bars)
    for start in subject.starts:
        marks[min(int(start / max(subject.seconds, 1) * len(bars)), len(bars) - 1)] = "^"
    return Text(f"level  {bars}\n       {''.join(marks)} {clock(subject.seconds)}")


def _step(share: float) -> int:
    return min(len(BARS) - 1, max(0, round(share * (len(BARS) - 1))))


def _arc(subject: Subject) -> Iterator[RenderableType]:
    """Tempo, brightness, loudness: from where to where, as a line, and how well planned and measured agree."""
    if not subject.measured and not subject.planned:
        return
    table = Table("arc", "planned", "measured", "course", "agree", box=None, header_style="bold")
    for name, planned, measured in (
        ("tempo", [one.bpm for one in subject.planned], [one.bpm for one in subject.measured]),
        ("brightness", [one.brightness for one in subject.planned], [one.centroid_hz for one in subject.measured]),
        ("loudness", [one.lufs for one in subject.planned], [one.lufs for one in subject.measured]),
    ):
        agreed = subject.correlation.get(name)
        unit = "" if name == "brightness" else f" {NAMES[name]}"
        told = "" if agreed is None else f"r = {agreed:.2f}"
        table.add_row(name, _course(planned, unit), _course(measured, f" {NAMES[name]}"), _line(measured), told)
    yield table
    yield Text()


def _course(values: Sequence[float | None], unit: str) -> str:
    known = [value for value in values if value is not None]
    if not known:
        return "not certain" if values else "-"
    few = ".2f" if abs(known[0]) < 1 else ".1f" if abs(known[0]) < 200 else ".0f"  # noqa: PLR2004 - digits that tell
    return f"{known[0]:{few}} to {known[-1]:{few}}{unit}"


def _line(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    if not known:
        return ""
    low, high = min(known), max(known)
    width = min(len(values), LINE // 3)
    picked = [values[int(place * len(values) / width)] for place in range(width)]
    span = max(high - low, 1e-9)
    return "".join("·" if one is None else BARS[1 + _step((one - low) / span * 7 / 8)] for one in picked)


def _gate(pieces: Sequence[Piece]) -> Iterator[RenderableType]:
    """Every row: of one file with its number, of a run the one that comes nearest to its limit, and who fails."""
    rows: dict[tuple[str, str, str, float], list[tuple[int, Record]]] = {}
    for number, piece in enumerate(pieces, start=1):
        for row in piece.gate:
            rows.setdefault((row["stage"], row["check"], row["finding"], row["limit"]), []).append((number, row))
    if not rows:
        return
    many = len(pieces) > 1
    table = Table("gate", "finding", "from", "to", "limit", "verdict", box=None, header_style="bold")
    for (stage, check, finding, _limit), found in rows.items():
        values = sorted(found, key=lambda one: float(one[1]["value"]))
        low, high = (value_of(row) for _, row in (values[0], values[-1]))
        bad = [number for number, row in found if not row["passed"]]
        name = f"{check} ({stage})" if many else check
        table.add_row(
            name,
            finding,
            low,
            high if many else "",
            limit_of(found[0][1]),
            _row_verdict(bad, found[0][1], many),
        )
    yield table


def _row_verdict(bad: Sequence[int], row: Record, many: bool) -> Text:  # noqa: FBT001 - of this file alone
    if not bad:
        return Text("passed", style="green")
    where = f": {', '.join(map(str, bad))}" if many else ""
    if row["mode"] == "advise":
        return Text(f"worth a look{where}", style="yellow")
    return Text(f"fails{where}", style="bold red")


def _number(value: float | None, unit: str = "") -> str:
    return "-" if value is None else f"{value:.1f}{unit}"
