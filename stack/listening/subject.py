"""Owns what a report is about: one file, or the files of a run in their order, with what is known of their sound."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any

from services.archiver.domain.gate import thresholds
from services.gateway.domain.arc import Measured, Planned
from stack.listening.spectrum import Spectrum

Record = Mapping[str, Any]


@dataclass(frozen=True)
class Piece:
    """A file, or a segment of a run; `spectrum` is `None` while there is no file. Rows of the gate are its records."""

    title: str
    seconds: float  # it lasts on the timeline: without the tail that lies under the next one
    status: str
    lufs: float | None = None
    peak_dbtp: float | None = None
    range_lu: float | None = None
    gate: Sequence[Record] = ()
    parts: Sequence[Record] = ()
    spectrum: Spectrum | None = None

    @property
    def failed(self) -> list[Record]:
        """Rows that refuse, or would; an advice is none of them."""
        return [row for row in self.gate if not row["passed"] and row["mode"] != "advise"]


@dataclass(frozen=True)
class Subject:
    """The whole; `facts` are lines of name and value for whoever reads the report."""

    name: str
    pieces: Sequence[Piece]
    facts: Sequence[tuple[str, str]] = ()
    planned: Sequence[Planned] = ()
    measured: Sequence[Measured] = ()
    correlation: Mapping[str, float | None] = field(default_factory=dict)

    @property
    def seconds(self) -> float:
        return sum(piece.seconds for piece in self.pieces)

    @property
    def starts(self) -> list[float]:
        """Where each piece begins, in seconds of the whole."""
        return list(accumulate((piece.seconds for piece in self.pieces), initial=0.0))[:-1]


def clock(seconds: float) -> str:
    """Minutes and seconds."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02}"


def limit_of(row: Record) -> str:
    """A row's bound with its side: a finding fails above a highest value or below a lowest."""
    above = next(
        (known.above for known in thresholds().rows if (known.finding, known.limit) == (row["finding"], row["limit"])),
        row["passed"] == (row["value"] <= row["limit"]),  # a row of before: its own verdict tells the side
    )
    return f"{'≤' if above else '≥'} {row['limit']:.5g}"


def value_of(row: Record) -> str:
    """A row's finding, as short as it may be read."""
    value = row["value"]
    return f"{round(value, 3):.2g}" if abs(value) < 1 else f"{value:.1f}".removesuffix(".0")
