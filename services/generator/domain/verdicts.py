"""What a provider's code means: a table loaded from data; an unknown code is a retry that raises an alert."""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Any, Final, Literal

DATA: Final = Path(__file__).parent / "data"

Where = Literal["http", "body", "transport", "callback", "archiver"]


class Verdict(StrEnum):
    """What follows from a code; the actions stand in performance-and-reliability.md §2.4."""

    THROTTLE = "throttle"
    WALLET = "wallet"
    KEY = "key"
    BAD_REQUEST = "bad_request"
    MAINTENANCE = "maintenance"
    RETRY = "retry"
    AMBIGUOUS = "ambiguous"


@dataclass(frozen=True, slots=True)
class Judgement:
    """A code and its meaning; `code` is what attempts, events and logs show, such as `body_430`."""

    verdict: Verdict
    code: str
    known: bool = True


class VerdictTable:
    """The rows of one provider, with those of our own callback and archiver."""

    def __init__(self, rows: Iterable[Mapping[str, str]]) -> None:
        self._rows = {(row["where"], row["code"]): Verdict(row["verdict"]) for row in rows}

    def judge(self, where: Where, code: str | int) -> Judgement:
        """Look a submit answer's code up."""
        verdict = self._find(where, str(code))
        return Judgement(verdict or Verdict.RETRY, f"{where}_{code}", known=verdict is not None)

    def judge_failure(self, error_code: str) -> Judgement:
        """Look a failed attempt's code up, as callback or archiver wrote it: `501`, `provider_501`, `gate_silence`."""
        number = re.search(r"\d{3}$", error_code)
        verdict = self._find("archiver", error_code) or self._find("callback", error_code)
        if verdict is None and number is not None:
            verdict = self._find("callback", number.group())
        return Judgement(verdict or Verdict.RETRY, error_code, known=verdict is not None)

    def _find(self, where: Where, code: str) -> Verdict | None:
        exact = self._rows.get((where, code))
        if exact is not None:
            return exact
        families = (verdict for (place, name), verdict in self._rows.items() if place == where and _covers(name, code))
        return next(families, None)


def _covers(name: str, code: str) -> bool:
    return name.endswith("*") and code.startswith(name[:-1])


@cache
def load(name: str) -> dict[str, Any]:
    """One data file of the folder `data`."""
    content: dict[str, Any] = json.loads((DATA / f"{name}.json").read_text(encoding="utf-8"))
    return content


@cache
def verdict_table(provider: str) -> VerdictTable:
    """The table of a provider that has a data file."""
    return VerdictTable([*load(provider)["verdicts"], *load("own_services")["verdicts"]])
