"""Owns the kills: every fault point of the registry is reached once, while runs are made."""

import asyncio
import contextlib
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from uuid import uuid4

import httpx

from libs.common.fault_points import POINTS, arm
from tests import stacks
from tests.e2e.provider.rig import Rig, Run, Scenario

CONSUMERS: Final = ("generator", "archiver")  # rows 1 and 8 of §4.2
AT_CONSUMERS: Final = frozenset({"inbox_written", "inbox_committed"})
"""Points that every consumer of Kafka reaches; both are killed there. A relay is the same code everywhere."""

REACHED_SECONDS: Final = 300.0

Place = tuple[str, str]
"""A point, and the service where more than one can reach it."""

# A kill between claim and reply is ambiguous. One that strikes the resend too ends the attempts at this provider
# (exactly one resend, then the next one, and here there is none), so a point of this group waits for the one before.
SENDING: Final = frozenset(
    {"before_claim_commit", "after_claim", "before_send", "after_send", "reply_read"}
    | {"before_reply_commit", "after_reply_commit"}
)
RESENDING: Final = frozenset({"before_resend_commit", "after_resend_commit"})


ELSEWHERE: Final = frozenset({"after_continuation"})
"""Needs a short file and composer; `tests/integration/archiver/test_processes.py` kills there."""


def all_places() -> list[Place]:
    """Every point of the registry that a run of Suno's alone reaches."""
    return [
        (point, at)
        for point in POINTS
        if point not in ELSEWHERE
        for at in (CONSUMERS if point in AT_CONSUMERS else ("",))
    ]


def _lines() -> dict[str, list[Place]]:
    """The places in lines: of each line one is armed at a time, by rows of §4.2 as the registry gives them."""
    lines: dict[str, list[Place]] = {}
    for point, at in all_places():
        group = "sending" if point in SENDING else "resending" if point in RESENDING else POINTS[point].split(":")[0]
        lines.setdefault(f"{group} {at}", []).append((point, at))
    return lines


@dataclass
class Kills:
    """What happened: the places that were reached, after how many seconds, and the runs that were under way."""

    reached: dict[Place, float] = field(default_factory=dict)
    runs: list[Run] = field(default_factory=list)


async def kill_at_every_place(rig: Rig, folder: Path) -> Kills:
    """Queue a run for each point of the senders and let one go at a time; begin further ones for all other points."""
    kills, lines, armed = Kills(), _lines(), dict[str, Path]()
    await _queue_runs(rig, kills, len(SENDING) + 1)
    began = time.monotonic()
    beginning: asyncio.Task[None] | None = None
    while any(lines.values()) and time.monotonic() < began + REACHED_SECONDS:
        for name, line in lines.items():
            if name in armed and not armed[name].exists():
                kills.reached[line.pop(0)] = time.monotonic() - began
                del armed[name]
            is_sender = name.startswith("sending")
            if line and name not in armed and not (is_sender and await _is_sending(rig, kills)):
                armed[name] = arm(folder, *line[0])
                if is_sender:
                    await _let_go(rig, kills)
        if (beginning is None or beginning.done()) and await _wants_another(rig, kills, lines):
            beginning = asyncio.create_task(_begin(rig, kills))
        await asyncio.sleep(0.1)
    for file in armed.values():
        file.unlink(missing_ok=True)
    await _let_go(rig, kills, everything=True)
    if beginning is not None:
        await beginning
    return kills


async def _queue_runs(rig: Rig, kills: Kills, count: int) -> None:
    """Begin runs whose segments wait in the queue: one that goes through Kafka would wait for a dead consumer's time.

    A killed member's partitions are idle for its session time-out of 6 s, whatever the clocks' scale.
    """
    await rig.fetch("UPDATE quota_slots SET free_at = clock_timestamp() + interval '1 h'")
    kills.runs += await rig.begin([Scenario(f"killed while sending {number}") for number in range(count)])

    async def queued() -> bool:
        return len(await rig.fetch("SELECT FROM generation_queue")) == count

    await stacks.until(queued, 60, "the queue")
    await rig.fetch("UPDATE generation_queue SET not_before = clock_timestamp() + interval '1 h'")
    hours = "UPDATE parcours_segments SET deadline_at = clock_timestamp() + interval '2 h' WHERE run_id = ANY ($1)"
    await rig.fetch(hours, [run.id for run in kills.runs])  # it is the test that holds them back
    await rig.fetch("UPDATE quota_slots SET free_at = 'epoch'")


async def _let_go(rig: Rig, kills: Kills, *, everything: bool = False) -> None:
    query = (
        "UPDATE generation_queue SET not_before = 'epoch' WHERE segment_id IN (SELECT segment_id FROM generation_queue "
        "WHERE not_before > clock_timestamp() + interval '30 min' AND run_id = ANY ($1) LIMIT $2)"
    )
    await rig.fetch(query, [run.id for run in kills.runs], None if everything else 1)


async def _is_sending(rig: Rig, kills: Kills) -> bool:
    """Whether a run that was struck has no task at the provider yet: a kill now might strike it again."""
    query = (
        "SELECT FROM parcours_segments s WHERE s.run_id = ANY ($1) AND s.status <> 'complete' "
        "AND EXISTS (SELECT FROM segment_attempts t WHERE t.segment_id = s.id) "
        "AND NOT EXISTS (SELECT FROM segment_attempts t WHERE t.segment_id = s.id AND t.alive AND t.rank > 1)"
    )
    return bool(await rig.fetch(query, [run.id for run in kills.runs]))


async def _wants_another(rig: Rig, kills: Kills, lines: Mapping[str, list[Place]]) -> bool:
    """Points of `create` need new runs; any other needs one that is not ready."""
    query = "SELECT FROM parcours_runs WHERE id = ANY ($1) AND status <> 'ready'"
    return bool(lines["0 "]) or not await rig.fetch(query, [run.id for run in kills.runs])


async def _begin(rig: Rig, kills: Kills) -> None:
    """Ask until the run is there: `create` may be dying just now, before its commit or after it."""
    scenario, user = Scenario(f"killed {len(kills.runs)}"), uuid4()
    await rig.expect(user, scenario)
    async with rig.stack.listener(user) as client:
        while not (rows := await rig.fetch("SELECT id FROM parcours_runs WHERE user_id = $1", user)):
            with contextlib.suppress(httpx.HTTPError):
                await client.post("/v1/runs", json=stacks.BODY | {"strategy": scenario.strategy})
            await asyncio.sleep(0.1)
    kills.runs.append(rig.note(Run(scenario, user, rows[0]["id"])))
