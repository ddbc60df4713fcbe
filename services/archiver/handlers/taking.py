"""Owns how an attempt's files become one: which addresses, which takes, which form (where the quality gate stands)."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from libs.common import metrics
from libs.common.metrics import Metric
from services.archiver.clients.files import Fetched
from services.archiver.clients.generator import State
from services.archiver.domain import form, gate
from services.archiver.domain.failures import Code, GiveUp, MayPass
from services.archiver.domain.form import Wanted
from services.archiver.domain.gate import Mode, Refused, Verdict
from services.archiver.handlers.continuing import continue_take
from services.archiver.handlers.labelling import tagging
from services.archiver.handlers.tools import Tools
from services.archiver.sound.coding import Formed, Label, bring_to_form, keep_as_received
from services.archiver.sound.measure import Take, inspect
from services.archiver.storage import Order

TAKES: Final = 2  # a provider gives two; more would be fetched for nothing
UNSIGNED_DIALECTS: Final = frozenset({"suno", "kie"})  # kie.ai's signature, where there is one, covers no address (W3)


@dataclass(frozen=True, slots=True)
class Made:
    """A file ready to be stored, and where it came from; `original_url` is its first part's."""

    formed: Formed
    original_url: str
    provider_sha256: str
    mode: Mode
    confirmed: str
    verdicts: Sequence[Verdict]
    refused: Sequence[dict[str, Any]]  # takes of the attempt that were not taken, and why


@dataclass(frozen=True, slots=True)
class _Got:
    url: str
    fetched: Fetched
    take: Take
    verdicts: tuple[Verdict, ...]


async def make_file(order: Order, *, tries: int, folder: Path, tools: Tools) -> Made:
    """Fetch an attempt's takes and bring them to the segment's form; `tries` is the job's.

    Raises `GiveUp` with the first take's reason when none will do, `MayPass` when trying again may help.
    """
    urls, confirmed = await _addresses(order, tools)
    wanted = None if order.facts.get("dialect") == "simple" else Wanted.from_plan(order.plan)
    mode = tools.gate.mode_for(planned=wanted is not None)
    takes = _Takes(urls, wanted, mode, folder=folder, tools=tools)
    while got := await takes.enough():
        try:
            sound = [one.take for one in got]
            rest = None
            if wanted is not None:
                rest = await continue_take(order, sound, wanted, tries=tries, folder=folder, tools=tools)
            formed, verdicts = await _form(sound, rest, wanted, mode, tagging(order), folder=folder, tools=tools)
        except GiveUp as failure:
            takes.refuse(got[0], failure)
        else:
            first = got[0]
            hashed = first.fetched.sha256.hex()
            return Made(formed, first.url, hashed, mode, confirmed, (*first.verdicts, *verdicts), takes.refused)
    raise takes.failure()


async def _form(
    takes: Sequence[Take],
    rest: Take | None,
    wanted: Wanted | None,
    mode: Mode,
    label: Label,
    *,
    folder: Path,
    tools: Tools,
) -> tuple[Formed, tuple[Verdict, ...]]:
    """Bring takes to form and judge what became of them."""
    if wanted is None:
        return await keep_as_received(tools.ffmpeg, takes[0], folder, label), ()
    formed = await bring_to_form(tools.ffmpeg, takes, wanted, folder, label, rest=rest)
    measures = formed.measures
    findings = dict(measures.findings) | {
        "duration_error_ms": round(1000 * abs(measures.samples - wanted.samples) / form.SAMPLE_RATE, 3),
        "loudness_error_lu": round(abs(measures.lufs - wanted.lufs), 3),
    }
    if formed.peak_before_dbtp is not None:
        findings["peak_before_dbtp"] = round(formed.peak_before_dbtp, 2)
    return formed, gate.judge("mastered", findings, mode)


async def _addresses(order: Order, tools: Tools) -> tuple[Sequence[str], str]:
    """W4: where nobody signed the body, the addresses that the provider itself names over the generator's line."""
    if order.facts.get("dialect") not in UNSIGNED_DIALECTS:
        return _some(order.take_urls), "not_asked"
    answer = await tools.confirm(order.attempt_id)
    _count(answer.state)
    if answer.state == "running":
        raise MayPass("record-info not yet SUCCESS")
    if answer.state == "failed":
        raise GiveUp(Code.PROVIDER_FAILED)
    return _some(answer.takes if answer.state == "success" else order.take_urls), answer.state


def _some(urls: Sequence[str]) -> Sequence[str]:
    if not urls:
        raise GiveUp(Code.FILE_GONE, "no address")
    return urls


def _count(state: State) -> None:
    metrics.count(Metric.FILE_CONFIRMATIONS, outcome=state)


class _Takes:
    """An attempt's takes, fetched one by one as they are needed; those refused are remembered with the reason."""

    def __init__(self, urls: Sequence[str], wanted: Wanted | None, mode: Mode, *, folder: Path, tools: Tools) -> None:
        self._waiting = list(enumerate(urls[:TAKES], start=1))
        self._good: list[_Got] = []
        self._failures: list[tuple[int, GiveUp]] = []
        self._wanted, self._mode, self._folder, self._tools = wanted, mode, folder, tools
        self.refused: list[dict[str, Any]] = []

    async def enough(self) -> list[_Got]:
        """The first take that is long enough alone, else all that are sound; empty when none is left."""
        while True:
            for one in self._good:
                if self._wanted is None or form.is_long_enough(one.take.measures, self._wanted):
                    return [one]
            if not self._waiting:
                return list(self._good)
            await self._fetch(*self._waiting.pop(0))

    def refuse(self, got: _Got, failure: GiveUp) -> None:
        """Do without a take."""
        self._good.remove(got)
        self._remember(got.take.number, failure, got.fetched, got.take)

    def failure(self) -> GiveUp:
        """Why none of them will do: the first take's reason, with the evidence of all."""
        _, first = min(self._failures, key=lambda failed: failed[0])
        first.evidence = self.refused
        return first

    async def _fetch(self, number: int, url: str) -> None:
        path = self._folder / f"take-{number}"
        fetched: Fetched | None = None
        take: Take | None = None
        try:
            fetched = await self._tools.files.fetch(url, path)
            keep, bpm = (self._wanted.seconds, self._wanted.bpm) if self._wanted else (None, None)
            self._refuse_listed(fetched.sha256)
            heard = await inspect(self._tools.ffmpeg, path, keep_seconds=keep, near_bpm=bpm)
            take = replace(heard, number=number)
            self._good.append(_Got(url, fetched, take, self._judge(fetched, take)))
        except GiveUp as failure:
            self._remember(number, failure, fetched, take)

    def _refuse_listed(self, sha256: bytes) -> None:
        """Before anything reads it."""
        if self._tools.gate.blocked.names(sha256, ""):
            gate.judge("raw", {"blocked": 1.0}, self._mode)

    def _judge(self, fetched: Fetched, take: Take) -> tuple[Verdict, ...]:
        measures, wanted = take.measures, self._wanted
        blocked = float(self._tools.gate.blocked.names(fetched.sha256, measures.acoustic_hash))
        findings = dict(measures.findings) | {"blocked": blocked}
        if wanted is not None:
            findings["reduction_db"] = round(form.reduction_db(measures, wanted), 2)
            if wanted.seconds < form.RAW_LEAST_SECONDS:
                del findings["seconds"]  # of a whole file that is planned shorter than the row's limit
        verdicts = gate.judge("raw", findings, self._mode)
        if wanted is not None:
            form.refuse_too_short(measures, wanted)  # it could not be completed, whatever the gate lets pass
        return verdicts

    def _remember(self, number: int, failure: GiveUp, fetched: Fetched | None, take: Take | None) -> None:
        self._failures.append((number, failure))
        noted: dict[str, Any] = {"take": number, "code": str(failure.code)}
        if fetched is not None:
            noted |= {"provider_sha256": fetched.sha256.hex(), "size_bytes": fetched.size}
        if take is not None:
            noted |= {"measures": take.measures.record(), "acoustic_hash": take.measures.acoustic_hash}
        if isinstance(failure, Refused):
            noted["gate"] = [verdict.record() for verdict in failure.verdicts if not verdict.passed]
        self.refused.append(noted)
