"""Owns the kills: every fault point of the registry is reached once, while runs are made."""

import asyncio
import contextlib
import time
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

REACHED_SECONDS: Final = 150.0
MOST_UNFINISHED: Final = 4  # runs at once: enough that something is always to be done

Place = tuple[str, str]
"""A point, and the service where more than one can reach it."""

# A kill between claim and reply is ambiguous. One that strikes the resend too ends the attempts at this provider
# (exactly one resend, then the next one, and here there is none), so a point of this group waits for the one before.
SENDING: Final = frozenset(
    {"before_claim_commit", "after_claim", "before_send", "after_send", "reply_read"}
    | {"before_reply_commit", "after_reply_commit"}
)
RESENDING: Final = frozenset({"before_resend_commit", "after_resend_commit"})


def all_places() -> list[Place]:
    """Every point of the registry."""
    return [(point, at) for point in POINTS for at in (CONSUMERS if point in AT_CONSUMERS else ("",))]


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
    """Begin one run after the other, a place of each line armed, until every place has killed a process."""
    kills, began, lines = Kills(), time.monotonic(), _lines()
    armed: dict[str, Path] = {}
    while any(lines.values()) and time.monotonic() < began + REACHED_SECONDS:
        quiet = await _nothing_is_being_sent(rig, kills)
        for name, line in lines.items():
            if name in armed and not armed[name].exists():
                kills.reached[line.pop(0)] = time.monotonic() - began
                del armed[name]
            if line and name not in armed and (quiet or not name.startswith("sending")):
                armed[name] = arm(folder, *line[0])
        if quiet and await _unfinished(rig, kills) < MOST_UNFINISHED:
            kills.runs.append(await _begin(rig, Scenario(f"killed {len(kills.runs) + 1}")))
        await asyncio.sleep(0.1)
    for file in armed.values():
        file.unlink(missing_ok=True)
    return kills


async def _unfinished(rig: Rig, kills: Kills) -> int:
    query = "SELECT FROM parcours_runs WHERE id = ANY ($1) AND status <> 'ready'"
    return len(await rig.fetch(query, [run.id for run in kills.runs]))


async def _nothing_is_being_sent(rig: Rig, kills: Kills) -> bool:
    """Whether every run so far has its task at the provider: another kill of a sender then strikes a new one."""
    query = (
        "SELECT FROM parcours_segments s WHERE s.run_id = ANY ($1) AND s.status <> 'complete' AND NOT EXISTS "
        "(SELECT FROM segment_attempts t WHERE t.segment_id = s.id AND t.alive AND t.rank > 1)"
    )
    return not await rig.fetch(query, [run.id for run in kills.runs])


async def _begin(rig: Rig, scenario: Scenario) -> Run:
    """Ask until the run is there: `create` may be dying just now, before its commit or after it."""
    user = uuid4()
    await rig.expect(user, scenario)
    async with rig.stack.listener(user) as client:
        while not (rows := await rig.fetch("SELECT id FROM parcours_runs WHERE user_id = $1", user)):
            with contextlib.suppress(httpx.HTTPError):
                await client.post("/v1/runs", json=stacks.BODY | {"strategy": scenario.strategy})
            await asyncio.sleep(0.1)
    return rig.note(Run(scenario, user, rows[0]["id"]))
