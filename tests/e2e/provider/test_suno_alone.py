"""Suno alone, played by its simulator: bad webhooks, bad files, each code of its table, a kill at every commit."""

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from libs.common.trust import authorities
from tests import judge
from tests.e2e.provider import kills
from tests.e2e.provider.kills import Kills, all_places
from tests.e2e.provider.rig import Rig, Run, Scenario, rig, simulated, suno_settings
from tests.e2e.provider.scenarios import CALLBACKS, CODES, FILES, UNKNOWN, UNPLAYED
from tests.integration.create.openai_server import error, good, openai_server
from tests.stacks import stack, until

SPEED = 20.0
ADOPT_SECONDS = 90 / SPEED
CLOSING = ("wallet", "key", "maintenance")
THROTTLED = Scenario("429 with credits left is throttle", ({"fault": "code", "code": 429, "times": 1},))
SIDE_BY_SIDE = [each for each in CODES if each.expected["verdict"] not in CLOSING]
ONE_BY_ONE = [each for each in CODES if each.expected["verdict"] in CLOSING]


@dataclass
class Played:
    """Everything that was played on the one stack, and what the tests judge."""

    rig: Rig
    late: dict[str, list[str]] = field(default_factory=dict)  # by part: names of runs that did not end in time
    judged: dict[str, list[str]] = field(default_factory=dict)  # by part: violations
    closed: dict[str, str | None] = field(default_factory=dict)  # by scenario: why the account was closed
    possible_double_charges: float = 0.0  # as the generators' metric says before anything was killed
    kills: Kills = field(default_factory=Kills)


@pytest.fixture(scope="module")
async def played(kafka_bootstrap: str) -> AsyncIterator[Played]:
    """One stack, two generators and archivers: first the webhooks, files and codes, side by side, then the kills."""
    with contextlib.ExitStack() as opened:
        points = Path(opened.enter_context(tempfile.TemporaryDirectory(prefix="parcours-points-")))
        provider = opened.enter_context(simulated("suno", "--speed", str(SPEED), "--seed", "4"))
        async with openai_server(error(400)) as model:
            settings = suno_settings(provider, 1 / SPEED, "suno") | {
                "FAULT_POINTS_FOLDER": str(points),
                "OPENAI_API_KEY": "test",
                "OPENAI_BASE_URL": model.url,
            }
            running = opened.enter_context(
                stack("--workers", "generator=2,archiver=2", file_seconds=None, kafka=kafka_bootstrap, **settings)
            )
            async with rig(running, provider) as made:
                story = Played(made)
                await _play_side_by_side(story)
                await _play_one_by_one(story)
                model.script[:] = [good(6)]
                story.kills = await kills.kill_at_every_place(made, points)
                await _end(story, "kills", story.kills.runs)
                await _end(story, "everything", list(made.runs.values()))
                yield story


async def _play_side_by_side(story: Played) -> None:
    webhooks = await story.rig.begin([*CALLBACKS, *FILES])
    codes = await story.rig.begin([*SIDE_BY_SIDE, *UNKNOWN, THROTTLED])
    refused = [run for run in codes if run.scenario.expected.get("verdict") == "bad_request"]
    await _resume(story, refused)
    await _end(story, "webhooks", webhooks)
    await _end(story, "codes", codes)
    story.possible_double_charges = await _metric(story.rig, "possible_double_charge_total")


async def _play_one_by_one(story: Played) -> None:
    """Each of these closes the account for everybody; an operator opens it, and resumes the run."""
    runs = []
    for scenario in ONE_BY_ONE:
        empty = [{"fault": "credits", "amount": 0}] if scenario.expected["verdict"] == "wallet" else []
        if scenario.expected["where"] == "body":
            await story.rig.provider.set_faults(empty, add=True)
        [run] = await story.rig.begin([scenario])
        if scenario.expected["where"] == "callback":  # accepted for the last credits there were
            await until(partial(_is_accepted, story.rig, scenario.name), 30, "acceptance")
            await story.rig.provider.set_faults(empty, add=True)
        await story.rig.ended([run], 30, "failed")
        [account] = await story.rig.fetch("SELECT close_reason FROM quota_accounts")
        story.closed[scenario.name] = account["close_reason"]
        await story.rig.provider.set_faults([{"fault": "credits", "amount": 100_000}], add=True)
        await story.rig.open_accounts()
        await _resume(story, [run])
        runs.append(run)
    await _end(story, "closings", runs)


async def _is_accepted(rig: Rig, name: str) -> bool:
    return bool(await rig.accepted_of(name))


async def _resume(story: Played, runs: Sequence[Run]) -> None:
    """What no repetition mends fails here, where no other provider is configured; then its listener asks again."""
    await story.rig.ended(runs, 30, "failed")
    for run in runs:
        async with story.rig.stack.listener(run.user) as client:
            answer = await client.post(f"/v1/runs/{run.id}/resume")
        assert answer.status_code == httpx.codes.OK, answer.text


async def _end(story: Played, part: str, runs: Sequence[Run]) -> None:
    story.late[part] = await story.rig.ended(runs, 120)
    for _ in range(20):  # what is surplus or adopted is written down by sweeps
        story.judged[part] = await story.rig.judged(runs)
        if not story.judged[part]:
            return
        await asyncio.sleep(0.5)


async def _metric(rig: Rig, name: str) -> float:
    """A counter's sum over all generators."""
    total = 0.0
    async with httpx.AsyncClient(trust_env=False, verify=authorities()) as client:
        for process in rig.stack.status()["processes"]:
            if process["name"].startswith("generator"):
                text = (await client.get(f"{process['url']}/metrics")).text
                total += sum(float(line.split()[-1]) for line in text.splitlines() if line.startswith(f"{name}{{"))
    return total


@pytest.mark.parametrize("part", ["webhooks", "codes", "closings", "kills", "everything"])
async def test_every_run_is_ready_nothing_went_back_and_every_charge_is_recorded(played: Played, part: str) -> None:
    assert played.late[part] == []
    assert played.judged[part] == []


async def test_nothing_is_left_over_in_retries_dead_letters_or_ledger(played: Played) -> None:
    async with played.rig.stack.database() as connection:
        await judge.load(connection, await played.rig.accepted())
        assert await judge.left_over(connection) == {"dead_letters": 0, "retries": 0, "strays": 0}


@pytest.mark.parametrize("scenario", [*CALLBACKS, *FILES], ids=lambda each: each.name)
async def test_what_the_provider_does_to_its_webhooks_and_files_costs_what_it_must(
    played: Played, scenario: Scenario
) -> None:
    attempts = await played.rig.attempts(scenario.name)
    tasks = await played.rig.accepted_of(scenario.name)
    expected = scenario.expected
    counted = [each for each in attempts if each["gave_up_rank"] == 1]
    assert len(counted) == expected.get("possible_double_charges", 0)
    if scenario in CALLBACKS or "attempts" in expected:
        assert len(attempts) == expected.get("attempts", scenario.segments), [each["error_code"] for each in attempts]
        assert len(tasks) == expected.get("tasks", len(attempts))


async def test_what_the_gate_refuses_is_made_again_and_ledger_and_log_tell_both(played: Played) -> None:
    first, second = await played.rig.attempts("files of nothing")
    assert (first["error_code"], second["rank"]) == ("gate_silence", 6)
    assert [take["code"] for take in first["measures"]["gate_refused"]] == ["gate_silence"] * 2
    assert len(await played.rig.accepted_of("files of nothing")) == 2
    told = [entry.get("errorCode") for entry in await played.rig.log_of("files of nothing")]
    assert "gate_silence" in told
    [attempt] = await played.rig.attempts("a first take of nothing")
    assert [(take["take"], take["code"]) for take in attempt["measures"]["gate_refused"]] == [(1, "gate_silence")]


async def test_late_webhooks_have_come_meanwhile_and_changed_nothing(played: Played) -> None:
    assert played.judged["everything"] == []
    [task] = await played.rig.accepted_of("callbacks late by 10 min")
    assert any(call["status"] == httpx.codes.OK for call in task["callbacks"])
    [attempt] = await played.rig.attempts("callbacks late by 10 min")
    assert attempt["rank"] == 6


async def test_only_what_may_have_been_charged_twice_is_counted_as_such(played: Played) -> None:
    lost = "SELECT count(*) FROM segment_attempts WHERE gave_up_rank = 1 AND segment_id = ANY ($1)"
    parts = [*CALLBACKS, *FILES, *SIDE_BY_SIDE, *UNKNOWN, THROTTLED]
    runs = [played.rig.runs[each.name].id for each in parts]
    segments = await played.rig.fetch("SELECT id FROM parcours_segments WHERE run_id = ANY ($1)", runs)
    [row] = await played.rig.fetch(lost, [each["id"] for each in segments])
    assert played.possible_double_charges == row["count"] > 0


@pytest.mark.parametrize("scenario", [*CODES, *UNKNOWN], ids=lambda each: each.name)
async def test_each_code_ends_in_its_verdict(played: Played, scenario: Scenario) -> None:
    attempts = await played.rig.attempts(scenario.name)
    tasks = await played.rig.accepted_of(scenario.name)
    first, expected = attempts[0], scenario.expected
    assert first["error_code"] == expected["error_code"]
    if expected.get("where") == "callback" or scenario.name.startswith("unknown code of a callback"):
        assert first["rank"] == 4
        assert first["facts"]["verdict"] == expected["verdict"]
        assert len(tasks) == len(attempts) == 2
    elif expected["verdict"] == "ambiguous":
        _judge_ambiguous(attempts, tasks)
    else:
        assert (first["outcome"], first["facts"]["verdict"]) == ("refused", expected["verdict"])
        assert (len(attempts), len(tasks)) == (2, 1)
    assert played.closed.get(scenario.name) == (expected["verdict"] if expected["verdict"] in CLOSING else None)


def _judge_ambiguous(attempts: Sequence[Any], tasks: Sequence[dict[str, Any]]) -> None:
    """Adopted by its token when it was accepted after all; else sent again, once, and not before T_adopt."""
    assert attempts[0]["ambiguous_at"] is not None
    assert len(tasks) == 1
    if attempts[0]["provider_task_id"] is None:
        assert attempts[0]["gave_up_rank"] == 1
        waited = attempts[1]["dispatched_at"] - attempts[0]["dispatched_at"]
        assert waited.total_seconds() >= ADOPT_SECONDS
        assert len(attempts) == 2
    else:
        assert len(attempts) == 1


def test_every_row_of_the_table_is_played_here_or_named() -> None:
    assert UNPLAYED == ("transport connect", "transport too_late")  # test_outages.py; tests/integration/generator


async def test_429_with_credits_left_only_slows_down(played: Played) -> None:
    first, second = await played.rig.attempts(THROTTLED.name)
    assert (first["outcome"], first["facts"]["verdict"]) == ("refused", "throttle")
    assert second["rank"] == 6


async def test_an_unknown_code_raises_its_alert(played: Played) -> None:
    lines = [line for line in played.rig.stack.logs().splitlines() if "unknown_provider_code" in line]
    for scenario in UNKNOWN:
        assert any(scenario.expected["error_code"] in line and '"error"' in line for line in lines), lines


@pytest.mark.parametrize("place", all_places(), ids=lambda place: "@".join(filter(None, place)))
async def test_each_fault_point_kills_a_process_once(played: Played, place: tuple[str, str]) -> None:
    assert place in played.kills.reached
