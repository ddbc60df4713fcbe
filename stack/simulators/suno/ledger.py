"""Owns the record of what happened: in memory for who asks, and as JSON lines that outlive a killed process."""

import collections
from pathlib import Path
from typing import Any, Final

import orjson

from stack.simulators.suno.clock import Clock

REFUSALS_KEPT: Final = 20_000


class Ledger:
    """Counts refusals and writes each happening before it is answered: one unbuffered line each."""

    def __init__(self, clock: Clock, path: Path | None = None) -> None:
        self._clock = clock
        self._file = path.open("ab", buffering=0) if path else None
        self.forget()

    def forget(self) -> None:
        """Begin anew; the file keeps its lines."""
        self.refused: collections.Counter[str] = collections.Counter()
        self.refusals: collections.deque[dict[str, Any]] = collections.deque(maxlen=REFUSALS_KEPT)
        self.unanswered: collections.Counter[str] = collections.Counter()
        self.polls = 0

    def note(self, event: str, **facts: Any) -> float:  # noqa: ANN401 - one JSON line
        """Write one happening; its moment in epoch seconds."""
        at = self._clock.wall()
        if self._file is not None:
            self._file.write(orjson.dumps({"event": event, "at": at} | facts, option=orjson.OPT_APPEND_NEWLINE))
        return at

    def refuse(self, account: str | None, http: int, code: int | None, title: str = "") -> None:
        """A call that was answered and not accepted; `code` None: without the envelope."""
        self.refused[f"http {http}" if code is None else str(code)] += 1
        at = self.note("refused", account=account, code=code, http=http, title=title)
        self.refusals.append({"at": at, "code": code, "http": http, "account": account, "title": title})

    def leave_unanswered(self, account: str, fault: str, task_id: str | None = None) -> None:
        self.unanswered[fault] += 1
        self.note("unanswered", account=account, fault=fault, taskId=task_id)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
