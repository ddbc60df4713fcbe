"""Owns which faults are switched on, and whether one strikes a given case; every chance comes from the seed."""

import json
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, Final, Self

from stack.simulators.suno.fault_kinds import COMMON, KINDS, REQUIRED, Where

_LOOK_EVERY: Final = 0.5  # real seconds between looks at the faults file


class FaultError(ValueError):
    """The text says what was expected and what was found."""


@dataclass(frozen=True, slots=True)
class Case:
    """What a fault may be aimed at; `stage`, `take` and `stream` where they apply."""

    account: str = ""
    model: str = ""
    title: str = ""
    segment: str = ""
    stage: str | None = None
    take: int | None = None
    stream: bool | None = None


@dataclass(slots=True)
class Fault:
    """One switched-on fault. `seen` counts the cases it fits, `used` those it struck."""

    name: str
    values: Mapping[str, Any]
    given: Mapping[str, Any]
    seen: int = 0
    used: int = 0

    @classmethod
    def read(cls, entry: object) -> Self:
        """Check one entry of a list of faults; raises `FaultError`."""
        if not isinstance(entry, dict) or entry.get("fault") not in KINDS:
            raise FaultError(f"expected a fault among {', '.join(KINDS)}, found {entry!r}")
        name = entry["fault"]
        known = {**COMMON, **KINDS[name].parameters}
        given = {key: value for key, value in entry.items() if key not in ("fault", "used")}
        for key, value in given.items():
            if key not in known:
                raise FaultError(f"{name} has no parameter {key}; it takes {', '.join(known)}")
            if value is None and known[key].default is None:
                continue
            if not known[key].allowed(value):
                raise FaultError(f"{name}: expected {key} to be {known[key].expects}, found {value!r}")
        values = {key: parameter.default for key, parameter in known.items()} | given
        missing = [key for key, value in values.items() if value is REQUIRED]
        if missing:
            raise FaultError(f"{name} needs {', '.join(missing)}")
        return cls(name, values, given)

    @property
    def where(self) -> Where:
        return KINDS[self.name].where

    def __getitem__(self, key: str) -> Any:  # noqa: ANN401 - checked when it was read
        return self.values[key]

    def fits(self, case: Case) -> bool:
        """Whether the filters and the parameters that aim it let it strike here."""
        values = self.values
        aimed = (
            values["segment"] in (None, case.segment)
            and values["model"] in (None, case.model)
            and values["account"] in (None, case.account)
            and (values["title"] or "") in case.title
        )
        return (
            aimed
            and (self.where != "callback" or values.get("stages") is None or case.stage in values["stages"])
            and KINDS[self.name].only in (None, case.stage)
            and values.get("take") in (None, case.take)
            and values.get("stream") in (None, case.stream)
        )

    def strikes(self, chance: Random) -> bool:
        """Count one fitting case; whether this one is struck."""
        self.seen += 1
        if self.seen <= self["skip"] or (self["times"] is not None and self.used >= self["times"]):
            return False
        if chance.random() >= self["probability"]:
            return False
        self.used += 1
        return True

    def shown(self) -> dict[str, Any]:
        return {"fault": self.name, **self.given, "used": self.used}


@dataclass
class FaultBook:
    """The faults that are on. A file is read again when it changes; what is posted replaces it until then."""

    chance: Random
    path: Path | None = None
    faults: list[Fault] = field(default_factory=list)
    _version: tuple[int, int] = (0, 0)
    _looked_at: float = 0.0

    def __post_init__(self) -> None:
        if self.path is not None:
            self._version = _version(self.path)
            self.replace(_listed(self.path))

    def replace(self, entries: object, *, add: bool = False) -> None:
        """Switch on these and (unless `add`) no others; raises `FaultError` and changes nothing."""
        if not isinstance(entries, list):
            raise FaultError('expected {"faults": [...]}')
        read = [Fault.read(entry) for entry in entries]
        self.faults = (self.faults if add else []) + read

    def clear(self) -> None:
        self.faults = []

    def strike(self, where: Where, case: Case, names: Sequence[str] | None = None) -> list[Fault]:
        """Every fault that strikes this case, in order."""
        return [fault for fault in self._fitting(where, case, names) if fault.strikes(self.chance)]

    def first(self, where: Where, case: Case, *names: str) -> Fault | None:
        """The first fault that strikes; the ones behind it are not asked."""
        fitting = self._fitting(where, case, names or None)
        return next((fault for fault in fitting if fault.strikes(self.chance)), None)

    def take_balances(self) -> Iterable[tuple[float, str | None]]:
        """The amounts that `credits` faults set, each once; account None = all."""
        self._look_at_file()
        for fault in [fault for fault in self.faults if fault.where == "credits" and not fault.used]:
            fault.used = 1
            yield fault["amount"], fault["account"]

    def shown(self) -> list[dict[str, Any]]:
        return [fault.shown() for fault in self.faults]

    def _fitting(self, where: Where, case: Case, names: Sequence[str] | None) -> list[Fault]:
        self._look_at_file()
        return [
            fault
            for fault in self.faults
            if fault.where == where and (names is None or fault.name in names) and fault.fits(case)
        ]

    def _look_at_file(self) -> None:
        now = time.monotonic()
        if self.path is None or now - self._looked_at < _LOOK_EVERY:
            return
        self._looked_at = now
        try:
            if (version := _version(self.path)) == self._version:
                return
            self._version = version
            self.replace(_listed(self.path))
        except (OSError, FaultError) as error:
            print(f"faults file not taken: {error}", file=sys.stderr)


def _version(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_mtime_ns, found.st_size


def _listed(path: Path) -> object:
    try:
        content = json.loads(path.read_bytes())
    except ValueError as error:
        raise FaultError(f"{path.name} is not JSON: {error}") from error
    return content.get("faults") if isinstance(content, dict) else content
