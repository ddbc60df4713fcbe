"""Owns how an attempt's files become one: which addresses, which takes, which form (where the quality gate stands)."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from libs.common import metrics
from libs.common.metrics import Metric
from services.archiver.clients.files import Fetched
from services.archiver.clients.generator import State
from services.archiver.domain import form
from services.archiver.domain.failures import Code, GiveUp, MayPass
from services.archiver.domain.form import Wanted
from services.archiver.handlers.tools import Tools
from services.archiver.sound.coding import Formed, bring_to_form, keep_as_received
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
    mode: str
    confirmed: str


@dataclass(frozen=True, slots=True)
class _Got:
    url: str
    fetched: Fetched
    take: Take


async def make_file(order: Order, *, folder: Path, tools: Tools) -> Made:
    """Fetch an attempt's takes and bring them to the segment's form.

    Raises `GiveUp` with the first take's reason when none will do, `MayPass` when trying again may help.
    """
    urls, confirmed = await _addresses(order, tools)
    wanted = None if order.facts.get("dialect") == "simple" else Wanted.from_plan(order.plan)
    got = await _enough(urls, wanted, folder=folder, tools=tools)
    takes = [one.take for one in got]
    if wanted is None:
        formed = await keep_as_received(tools.ffmpeg, takes[0], folder)
    else:
        formed = await bring_to_form(tools.ffmpeg, takes, wanted, folder)
    mode = "record" if wanted is None else "enforce"
    return Made(formed, got[0].url, got[0].fetched.sha256.hex(), mode, confirmed)


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


async def _enough(urls: Sequence[str], wanted: Wanted | None, *, folder: Path, tools: Tools) -> list[_Got]:
    """The first take that is long enough alone, else all that are sound; the others are not fetched."""
    got: list[_Got] = []
    failures: list[GiveUp] = []
    for number, url in enumerate(urls[:TAKES], start=1):
        try:
            one = await _get(number, url, wanted, folder=folder, tools=tools)
        except GiveUp as failure:
            failures.append(failure)
            continue
        if wanted is None or form.is_long_enough(one.take.measures, wanted):
            return [one]
        got.append(one)
    if not got:
        raise failures[0]
    return got


async def _get(number: int, url: str, wanted: Wanted | None, *, folder: Path, tools: Tools) -> _Got:
    path = folder / f"take-{number}"
    fetched = await tools.files.fetch(url, path)
    take = await inspect(tools.ffmpeg, path, keep_seconds=wanted.seconds if wanted else None)
    if wanted is not None:
        form.refuse_too_short(take.measures)  # *The sound* puts the other rows of the gate here
    return _Got(url, fetched, replace(take, number=number))
