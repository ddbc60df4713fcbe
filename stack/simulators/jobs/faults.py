"""Owns which faults are switched on, and whether one strikes a given job; every chance comes from the seed."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final

from stack.simulators.jobs.job import Job

COMMON: Final[Mapping[str, object]] = {"probability": 1.0, "times": None, "skip": 0, "segment": None, "model": None}
"""Parameters of every fault with their defaults; `segment` and `model` aim it."""

SHARED: Final[Mapping[str, Mapping[str, object]]] = {
    # at the submission; the first that strikes is played
    "http_error": {"status": 500, "detail": None, "html": False, "headers": {}, "body": None, "accepted": False},
    "hang": {},
    "reply_lost": {},
    "slow_reply": {"seconds": 30.0},
    "callback_before_reply": {},
    # of the job
    "stuck": {},
    # of its callbacks; how: wrong, missing, stale or body (changed after it was signed)
    "drop_callback": {},
    "duplicate_callback": {"count": 2},
    "late_callback": {"seconds": 600.0},
    "forged": {"how": "wrong"},
    # of questions
    "poll_error": {"status": 503},
    "keys_error": {"status": 503, "body": None},
    # of its file
    "file_gone": {},
    "file_error": {"status": 503},
    "file_truncated": {"fraction": 0.5},
    "slow_file": {"seconds": 60.0},
}


class FaultError(ValueError):
    """The text says what was expected and what was found."""


@dataclass(slots=True)
class Fault:
    """One switched-on fault. `seen` counts the cases it fits, `used` those it struck."""

    name: str
    values: Mapping[str, Any]
    given: Mapping[str, Any]
    seen: int = 0
    used: int = 0

    def __getitem__(self, key: str) -> Any:  # noqa: ANN401 - JSON
        return self.values[key]

    def strikes(self, job: Job | None, chance: Random) -> bool:
        """Whether it strikes this one."""
        if job is not None and not (self["segment"] in (None, job.segment) and self["model"] in (None, job.model)):
            return False
        self.seen += 1
        if self.seen <= self["skip"] or (self["times"] is not None and self.used >= self["times"]):
            return False
        if chance.random() >= self["probability"]:
            return False
        self.used += 1
        if job is not None:
            job.struck.append(self.name)
        return True


@dataclass
class FaultBook:
    """The faults that are on; `kinds`: which there are, each with its parameters and defaults."""

    kinds: Mapping[str, Mapping[str, object]]
    chance: Random
    faults: list[Fault] = field(default_factory=list)

    def replace(self, entries: object) -> None:
        """Switch on these and no others; raises `FaultError` and changes nothing."""
        if not isinstance(entries, list):
            raise FaultError('expected {"faults": [...]}')
        self.faults = [self._read(entry) for entry in entries]

    def first(self, job: Job | None, *names: str) -> Fault | None:
        """The first of these faults that strikes; the ones behind it are not asked."""
        fitting = (fault for fault in self.faults if fault.name in names)
        return next((fault for fault in fitting if fault.strikes(job, self.chance)), None)

    def shown(self) -> list[dict[str, Any]]:
        return [{"fault": fault.name, **fault.given, "used": fault.used} for fault in self.faults]

    def _read(self, entry: object) -> Fault:
        if not isinstance(entry, dict) or entry.get("fault") not in self.kinds:
            raise FaultError(f"expected a fault among {', '.join(self.kinds)}, found {entry!r}")
        known = {**COMMON, **self.kinds[entry["fault"]]}
        given = {key: value for key, value in entry.items() if key not in ("fault", "used")}
        unknown = [key for key in given if key not in known]
        if unknown:
            raise FaultError(f"{entry['fault']} has no parameter {unknown[0]}; it takes {', '.join(known)}")
        return Fault(entry["fault"], known | given, given)
