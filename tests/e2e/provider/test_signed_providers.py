"""fal and Replicate, played by their simulators beside a whole stack: good, refused, failed, late, forged, expired."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests import judge
from tests.e2e.provider.rig import Rig, Run, Scenario, Simulated, rig, simulated
from tests.stacks import stack

SPEED = 20.0
DONE_SECONDS = "20"
GOOD = ("fal", None)
LOCKED = "User is locked. Reason: Exhausted balance. Top up your balance at fal.ai/dashboard/billing."

# What becomes of each attempt in turn: provider and error code (None: its file is the segment's).
FAL = (
    Scenario("fal good", expected={"attempts": [GOOD]}),
    Scenario(
        "fal refuses",
        ({"fault": "http_error", "status": 422},),
        expected={"attempts": [("fal", "http_422"), ("replicate", None)]},
    ),
    Scenario("fal's reply is lost", ({"fault": "reply_lost"},), expected={"attempts": [("fal", "transport_lost")]}),
    Scenario("fal calls before it replies", ({"fault": "callback_before_reply"},), expected={"attempts": [GOOD]}),
    Scenario(
        "fal fails by the request",
        ({"fault": "fail", "status": 422},),
        expected={"attempts": [("fal", "422"), ("replicate", None)]},
    ),
    Scenario("fal fails by itself", ({"fault": "error_in_status"},), expected={"attempts": [("fal", "503"), GOOD]}),
    Scenario("fal's webhook cannot carry the result", ({"fault": "payload_null"},), expected={"attempts": [GOOD]}),
    Scenario("fal late by 10 min", ({"fault": "late_callback", "seconds": 600},), expected={"attempts": [GOOD]}),
    Scenario("fal twice", ({"fault": "duplicate_callback"},), expected={"attempts": [GOOD]}),
    Scenario("fal forged", ({"fault": "forged", "how": "wrong"},), expected={"attempts": [GOOD], "forged": True}),
    Scenario("fal changed", ({"fault": "forged", "how": "body"},), expected={"attempts": [GOOD], "forged": True}),
    Scenario(
        "fal's files have expired",
        ({"fault": "file_gone", "times": None},),
        expected={"attempts": [*[("fal", "file_gone")] * 3, ("replicate", None)]},
    ),
)
WALLET = Scenario(
    "fal's wallet is empty",
    ({"fault": "http_error", "status": 403, "detail": LOCKED},),
    expected={"attempts": [("fal", "http_403_locked"), ("replicate", None)]},
)
SHORT = Scenario("replicate ends early", file_seconds=215)  # its model makes 190 s at most
REPLICATE = (
    Scenario("replicate good"),
    SHORT,
    *(
        Scenario(f"replicate {status}", ({"fault": "fail", "status": status},), expected={"error_code": status})
        for status in ("failed", "canceled", "aborted")
    ),
    Scenario("replicate gives a list", ({"fault": "output", "how": "list"},)),
    Scenario("replicate gives nothing", ({"fault": "output", "how": "null"},), expected={"error_code": "no_audio"}),
    Scenario("replicate late by 10 min", ({"fault": "late_callback", "seconds": 600},)),
    Scenario("replicate signs twice", ({"fault": "two_signatures"},)),
    Scenario("replicate unsigned", ({"fault": "forged", "how": "missing", "times": None},), expected={"forged": True}),
    Scenario("replicate stale", ({"fault": "forged", "how": "stale", "times": None},), expected={"forged": True}),
)


@dataclass
class Played:
    """What was played on the one stack, with the ledgers of both providers."""

    rig: Rig
    late: list[str] = field(default_factory=list)
    closed: str | None = None  # why fal's account was, after its wallet
    ledger: list[dict[str, Any]] = field(default_factory=list)
    judged: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
async def played(kafka_bootstrap: str) -> AsyncIterator[Played]:
    """First fal with Replicate behind it, then Replicate alone, since fal's wallet is empty."""
    with contextlib.ExitStack() as opened:
        options = ("--speed", str(SPEED), "--done", DONE_SECONDS)
        fal, replicate = (opened.enter_context(simulated(name, *options)) for name in ("fal", "replicate"))
        async with rig(
            opened.enter_context(stack(file_seconds=None, kafka=kafka_bootstrap, **_settings(fal, replicate))), fal
        ) as made:
            story = Played(made)
            runs = await _play(story, "fal", fal, FAL)
            runs += await _play(story, "fal", fal, [WALLET])
            [account] = await made.fetch("SELECT close_reason FROM quota_accounts WHERE provider = 'fal'")
            story.closed = account["close_reason"]
            runs += await _play(story, "replicate", replicate, REPLICATE)
            story.ledger = [*(await fal.ledger())["accepted"], *(await replicate.ledger())["accepted"]]
            await _judge(story, runs)
            yield story


def _settings(fal: Simulated, replicate: Simulated) -> dict[str, str]:
    return {
        "PROVIDERS": "fal,replicate",
        "FAL_KEY": "test:test",
        "FAL_BASE_URL": fal.origin,
        "FAL_JWKS_URL": f"{fal.origin}/.well-known/jwks.json",
        "REPLICATE_API_TOKEN": "test",
        "REPLICATE_BASE_URL": f"{replicate.origin}/v1",
        "PROVIDER_FILE_PRIVATE_ORIGINS": f"{fal.origin},{replicate.origin}",
        "COMPOSER_WORKERS": "1",
        "TIME_SCALE": str(1 / SPEED),
    }


async def _play(story: Played, name: str, provider: Simulated, scenarios: Sequence[Scenario]) -> list[Run]:
    """Begin all runs while the provider's slots are held, aim each fault at its segment, then let them go."""
    slots = (
        "UPDATE quota_slots SET free_at = $2 WHERE account IN (SELECT account FROM quota_accounts WHERE provider = $1)"
    )
    await story.rig.fetch(slots, name, datetime.now(UTC) + timedelta(hours=1))
    runs = list(await asyncio.gather(*map(story.rig.begin_one, scenarios)))
    query = "SELECT run_id, id FROM parcours_segments WHERE run_id = ANY ($1)"
    segments = {row["run_id"]: str(row["id"]) for row in await story.rig.fetch(query, [run.id for run in runs])}
    await provider.set_faults(
        [{"times": 1, **fault, "segment": segments[run.id]} for run in runs for fault in run.scenario.faults]
    )
    await story.rig.fetch(slots, name, datetime.now(UTC))
    story.late += await story.rig.ended(runs, 150)
    return runs


async def _judge(story: Played, runs: Sequence[Run]) -> None:
    ids = [run.id for run in runs]
    async with story.rig.stack.database() as connection:
        for _ in range(20):  # the price of what a webhook adopted is written down by a sweep
            await judge.load(connection, story.ledger)
            story.judged = await judge.violations(connection, ids)
            if not story.judged:
                return
            await asyncio.sleep(0.5)


async def _ended_as(story: Played, scenario: Scenario) -> list[tuple[str, str | None]]:
    attempts = await story.rig.attempts(scenario.name)
    return [(each["provider"], each["error_code"]) for each in attempts]


async def test_every_run_is_ready_and_every_charge_is_recorded(played: Played) -> None:
    assert played.late == []
    assert played.judged == []


@pytest.mark.parametrize("scenario", [*FAL, WALLET], ids=lambda each: each.name)
async def test_fal_is_understood_and_replicate_is_next(played: Played, scenario: Scenario) -> None:
    assert await _ended_as(played, scenario) == scenario.expected["attempts"]


@pytest.mark.parametrize("scenario", REPLICATE, ids=lambda each: each.name)
async def test_replicate_is_understood(played: Played, scenario: Scenario) -> None:
    error_code = scenario.expected.get("error_code")
    failed = [("replicate", error_code)] if error_code else []
    assert await _ended_as(played, scenario) == [*failed, ("replicate", None)]


async def test_composer_plays_the_rest_of_a_file_that_ends_early(played: Played) -> None:
    query = "SELECT metadata -> 'parts' AS parts, duration_seconds FROM parcours_segments WHERE run_id = $1"
    [segment] = await played.rig.fetch(query, played.rig.runs[SHORT.name].id)
    first, rest = segment["parts"]
    assert segment["duration_seconds"] == SHORT.file_seconds
    assert (first["source"], first["from_seconds"], rest["source"]) == ("provider", 0, "composer")
    assert 160 <= first["to_seconds"] <= 190
    assert (rest["from_seconds"], rest["to_seconds"]) == (first["to_seconds"] - 5, SHORT.file_seconds)


async def test_an_empty_wallet_closes_the_account(played: Played) -> None:
    assert played.closed == "wallet"


FORGED = [each for each in (*FAL, *REPLICATE) if each.expected.get("forged")]


@pytest.mark.parametrize("scenario", FORGED, ids=lambda each: each.name)
async def test_a_forged_webhook_is_refused_and_the_file_comes_by_our_own_question(
    played: Played, scenario: Scenario
) -> None:
    [attempt] = await played.rig.attempts(scenario.name)
    [task] = [each for each in played.ledger if each["taskId"] == attempt["provider_task_id"]]
    ends = [call["status"] for call in task["callbacks"] if call["stage"] == "complete"]
    assert ends
    assert set(ends) == {401}
    assert task["polls"] > 0
    assert attempt["rank"] == 6


async def test_every_file_of_a_forged_or_honest_webhook_was_fetched_from_its_provider(played: Played) -> None:
    downloaded: Mapping[str, list[Any]] = {task["taskId"]: task["downloads"] for task in played.ledger}
    for scenario in (*FAL, *REPLICATE):
        last = (await played.rig.attempts(scenario.name))[-1]
        assert any(download["status"] == 200 for download in downloaded[last["provider_task_id"]])
