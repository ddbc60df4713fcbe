"""Owns the quality gate: which findings refuse a file, by thresholds that are data (audio-and-player.md §4)."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum, unique
from functools import cache
from pathlib import Path
from typing import Any, Final, Literal, Self

from services.archiver.domain.failures import Code, GiveUp

DATA: Final = Path(__file__).parent / "data"

Stage = Literal["raw", "mastered", "mix"]
Findings = Mapping[str, float]

_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_ACOUSTIC: Final = re.compile(r"[0-9a-f]{320}")  # 80 rows of 16 bits
_TELLING_SHARE: Final = 0.25  # of its bits must be ones, and zeros: a hash of a lasting tone matches any other


@unique
class Mode(StrEnum):
    """What the archiver does with a verdict."""

    ENFORCE = "enforce"  # refuses what fails
    RECORD = "record"  # notes it


@dataclass(frozen=True, slots=True)
class Verdict:
    """One row of the gate about one file; `mode` is `advise` for a row that never refuses."""

    check: str
    value: float
    limit: float
    passed: bool
    mode: Literal["enforce", "record", "advise"]
    finding: str
    stage: Stage
    code: Code

    @property
    def refuses(self) -> bool:
        return not self.passed and self.mode == "enforce"

    def record(self) -> dict[str, Any]:
        """What is kept of a row with its segment."""
        named = {"check": self.check, "finding": self.finding, "stage": self.stage, "value": round(self.value, 4)}
        return named | {"limit": self.limit, "passed": self.passed, "mode": self.mode}


@dataclass(frozen=True, slots=True)
class Row:
    """One threshold: `above` says on which side of `limit` a finding fails."""

    check: str
    stage: Stage
    finding: str
    limit: float
    above: bool
    mode: Literal["always", "enforce", "advise"]
    code: Code

    @classmethod
    def read(cls, row: Mapping[str, Any]) -> Self:
        above = "most" in row
        code = Code(row.get("code", f"gate_{row['check']}")) if row["mode"] != "advise" else Code.GATE_VOICE
        limit = float(row["most" if above else "least"])
        return cls(row["check"], row["stage"], row["finding"], limit, above, row["mode"], code)

    def judge(self, findings: Findings, mode: Mode) -> Verdict | None:
        """The verdict on a file's finding; `None` when it was not measured, such as clicks where nothing is joined."""
        value = findings.get(self.finding)
        if value is None:
            return None
        passed = value <= self.limit if self.above else value >= self.limit
        effect: Literal["enforce", "record", "advise"]
        if self.mode == "advise":
            effect = "advise"
        else:
            effect = "enforce" if self.mode == "always" or mode is Mode.ENFORCE else "record"
        return Verdict(self.check, value, self.limit, passed, effect, self.finding, self.stage, self.code)


@dataclass(frozen=True, slots=True)
class Regions:
    """Where the rows look, in seconds."""

    skip_head_seconds: float
    skip_tail_seconds: float
    join_before_seconds: float
    join_after_seconds: float


@dataclass(frozen=True, slots=True)
class Floors:
    """What is too quiet to count."""

    startle_below_median_db: float
    phase_dbfs: float
    click_dbfs: float
    click_ratio: float


@dataclass(frozen=True, slots=True)
class Thresholds:
    """The whole of the gate's data."""

    rows: tuple[Row, ...]
    regions: Regions
    floors: Floors
    different_share: float  # of an acoustic hash's bits, up to which two sounds are the same


@dataclass(frozen=True, slots=True)
class BlockList:
    """Files that no provider may hand us again."""

    sha256: frozenset[str] = frozenset()
    acoustic: tuple[str, ...] = ()

    @classmethod
    def of(cls, hashes: Iterable[str]) -> Self:
        """Read SHA-256 and acoustic hashes in hex; raises ValueError for anything else."""
        exact: set[str] = set()
        acoustic: list[str] = []
        for one in (each.strip().lower() for each in hashes):
            if _SHA256.fullmatch(one):
                exact.add(one)
            elif _ACOUSTIC.fullmatch(one) and _TELLING_SHARE <= _ones(one) <= 1 - _TELLING_SHARE:
                acoustic.append(one)
            else:
                raise ValueError("GATE_BLOCKED: expected SHA-256 or acoustic hashes in hex")
        return cls(frozenset(exact), tuple(acoustic))

    @classmethod
    def with_ours(cls, more: Iterable[str]) -> Self:
        """The list that came with this version, and an operator's."""
        listed = json.loads((DATA / "blocked_files.json").read_text(encoding="utf-8"))["blocked"]
        return cls.of([*listed, *more])

    def names(self, sha256: bytes, acoustic_hash: str) -> bool:
        """Whether a file is one of them, or sounds like one."""
        if sha256.hex() in self.sha256:
            return True
        share = thresholds().different_share
        return any(_difference(acoustic_hash, listed) <= share for listed in self.acoustic)


@dataclass(frozen=True, slots=True)
class Policy:
    """How strict the archiver is, and whom it knows."""

    mode: Mode = Mode.ENFORCE
    blocked: BlockList = field(default_factory=BlockList)

    def mode_for(self, *, planned: bool) -> Mode:
        """Files without a plan (the simple callback dialect, imports) are only recorded."""
        return self.mode if planned else Mode.RECORD


class Refused(GiveUp):
    """A file that did not pass; `verdicts` are all its rows."""

    def __init__(self, verdicts: Sequence[Verdict]) -> None:
        first = next(verdict for verdict in verdicts if verdict.refuses)
        super().__init__(first.code, f"{first.finding} {first.value:.4g}, limit {first.limit:g}")
        self.verdicts = tuple(verdicts)


@cache
def thresholds() -> Thresholds:
    """What gate.json says."""
    data = json.loads((DATA / "gate.json").read_text(encoding="utf-8"))
    return Thresholds(
        tuple(Row.read(row) for row in data["rows"]),
        Regions(**data["regions"]),
        Floors(**data["floors"]),
        data["acoustic"]["different_share"],
    )


def judge(stage: Stage, findings: Findings, mode: Mode) -> tuple[Verdict, ...]:
    """Every row of a stage that was measured, in the table's order; raises `Refused` when one of them refuses."""
    found = (row.judge(findings, mode) for row in thresholds().rows if row.stage == stage)
    verdicts = tuple(verdict for verdict in found if verdict is not None)
    if any(verdict.refuses for verdict in verdicts):
        raise Refused(verdicts)
    return verdicts


def _ones(hexadecimal: str) -> float:
    return int(hexadecimal, 16).bit_count() / (4 * len(hexadecimal))


def _difference(one: str, other: str) -> float:
    """Share of bits in which two acoustic hashes differ; all of them when they cannot be compared."""
    if len(one) != len(other):
        return 1.0
    return (int(one, 16) ^ int(other, 16)).bit_count() / (4 * len(one))
