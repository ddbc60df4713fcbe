"""Suno ill beside a composer that really renders: the listener is served in time, and nobody is asked without need."""

import contextlib
import itertools
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest

from tests.e2e.provider.rig import Rig, Run, Scenario, rig, simulated, suno_settings
from tests.stacks import stack, until

SPEED = 4.0  # slow enough that a look every 0.25 s and the composer, whose time is real, do not blur the figures
FIRST_SOUND_SECONDS = 45.0  # issue *The provider*
TRIES = 3  # of a paid provider, for one request of a segment

HEALTHY = Scenario("healthy", segments=2)
STUCK = Scenario("stuck for good", ({"fault": "stuck"},))
GONE = Scenario(
    "every file is gone", ({"fault": "file_gone"},), expected={"error_code": "file_gone", "tries": 1, "paid": True}
)
BAD = Scenario("400 for good", ({"fault": "code", "code": 400},), expected={"error_code": "body_400", "tries": 1})
ILL = (
    [Scenario("500 for good", ({"fault": "code", "code": 500},), 3, "ahead", {"error_code": "body_500"})],
    [
        Scenario("502 for good", ({"fault": "http_error", "status": 502},), expected={"error_code": "http_502"}),
        Scenario("430 for good", ({"fault": "code", "code": 430},), expected={"error_code": "body_430"}),
    ],
    [Scenario("time-outs for good", ({"fault": "hang"},), 2, "ahead", {"error_code": "transport_timeout", "tries": 1})],
    [Scenario("455 for good", ({"fault": "code", "code": 455},), expected={"error_code": "body_455", "tries": 1})],
)
"""One after the other, since an illness may close the account; those of one line do not."""

WALLET = Scenario("wallet empty", expected={"error_code": "body_429", "tries": 1})
REFUSED = Scenario("connections refused", (), 2, "ahead", {"error_code": "transport_connect"})
SERVED_BY_COMPOSER = (*itertools.chain(*ILL), BAD, GONE, WALLET, REFUSED)


@dataclass
class Played:
    """What was played on the one stack."""

    rig: Rig
    late: list[str] = field(default_factory=list)
    accepted: list[dict[str, Any]] = field(default_factory=list)  # the ledger before the provider's own end
    refused: list[dict[str, Any]] = field(default_factory=list)
    closed: dict[str, str | None] = field(default_factory=dict)  # why the account was closed, after each illness
    judged: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
async def played(kafka_bootstrap: str) -> AsyncIterator[Played]:
    """What is accepted at first is left to itself; then one illness after the other, at last the provider's end."""
    with contextlib.ExitStack() as opened:
        provider = opened.enter_context(simulated("suno", "--speed", str(SPEED), "--seed", "4"))
        settings = suno_settings(provider, 1 / SPEED, "suno,composer")
        async with rig(
            opened.enter_context(stack(file_seconds=None, kafka=kafka_bootstrap, **settings)), provider
        ) as made:
            story = Played(made)
            runs = await made.begin([HEALTHY, STUCK, GONE])
            await until(partial(_accepted, made), 60, "acceptance")
            for scenarios in ([BAD], *ILL):
                runs += await _serve(story, scenarios)
            await provider.set_faults([{"fault": "credits", "amount": 0}], add=True)
            runs += await _serve(story, [WALLET])
            story.late += await made.ended(runs, 150)
            ledger = await provider.ledger()
            story.accepted, story.refused = ledger["accepted"], ledger["refusals"]
            story.judged = await made.judged(runs)
            provider.process.kill()
            provider.process.wait()  # else it may still take a call, whose reply would be lost
            await _serve(story, [REFUSED])
            yield story


async def _accepted(made: Rig) -> bool:
    return len(await made.accepted()) == HEALTHY.segments + STUCK.segments + GONE.segments


async def _serve(story: Played, scenarios: Sequence[Scenario]) -> list[Run]:
    """One illness: its runs are served, then an operator opens what it closed."""
    if scenarios[0] is REFUSED:  # nobody is there to be told of faults
        begun = [await story.rig.begin_one(REFUSED)]
    else:
        begun = await story.rig.begin(scenarios)
    story.late += await story.rig.ended(begun, 150)
    [account] = await story.rig.fetch("SELECT close_reason FROM quota_accounts WHERE account = 'suno-1'")
    story.closed |= {each.name: account["close_reason"] for each in scenarios}
    await story.rig.open_accounts()
    return begun


_HEARD = """
SELECT s.segment_index, extract(epoch FROM min(h.changed_at) - r.created_at)::float8 AS playable_after,
  (s.plan ->> 'seconds')::float8 AS seconds,
  (SELECT extract(epoch FROM min(t.dispatched_at) - r.created_at)::float8 FROM segment_attempts t
   WHERE t.segment_id = s.id AND t.provider = 'composer') AS composer_asked_after,
  (SELECT extract(epoch FROM min(t.dispatched_at) - r.created_at)::float8 FROM segment_attempts t
   WHERE t.segment_id = s.id AND t.provider = 'suno') AS suno_asked_after
FROM parcours_segments s JOIN parcours_runs r ON r.id = s.run_id
JOIN segment_history h ON h.segment_id = s.id AND h.to_status IN ('first', 'complete')
WHERE s.run_id = $1 GROUP BY s.id, r.id ORDER BY s.segment_index
"""


async def _heard(story: Played, scenario: Scenario) -> list[Any]:
    return await story.rig.fetch(_HEARD, story.rig.runs[scenario.name].id)


async def test_every_run_is_ready_and_every_charge_is_recorded(played: Played) -> None:
    assert played.late == []
    assert played.judged == []


async def test_a_healthy_provider_in_time_is_never_joined_by_the_composer(played: Played) -> None:
    attempts = await played.rig.attempts(HEALTHY.name)
    assert [each["provider"] for each in attempts] == ["suno", "suno"]


@pytest.mark.parametrize("scenario", [*SERVED_BY_COMPOSER, HEALTHY], ids=lambda each: each.name)
async def test_the_first_sound_comes_within_45_s_of_our_real_clock(played: Played, scenario: Scenario) -> None:
    """What we waited is scaled, what the composer needed is not."""
    first = (await _heard(played, scenario))[0]
    if scenario is HEALTHY or scenario.expected.get("paid"):  # the provider was heard: its own time is scaled
        own = first["playable_after"] - first["suno_asked_after"]
        assert first["suno_asked_after"] + own * SPEED <= FIRST_SOUND_SECONDS
        return
    rendered = first["playable_after"] - first["composer_asked_after"]
    assert first["composer_asked_after"] * SPEED + rendered <= FIRST_SOUND_SECONDS


@pytest.mark.parametrize("scenario", [*SERVED_BY_COMPOSER, HEALTHY, STUCK], ids=lambda each: each.name)
async def test_no_segment_is_playable_later_than_its_listener_needs_it(played: Played, scenario: Scenario) -> None:
    segments = await _heard(played, scenario)
    assert len(segments) == scenario.segments
    heard = segments[0]["playable_after"]
    for before, segment in itertools.pairwise(segments):
        heard += before["seconds"] / SPEED
        assert segment["playable_after"] <= heard


@pytest.mark.parametrize("scenario", SERVED_BY_COMPOSER, ids=lambda each: each.name)
async def test_the_provider_is_asked_no_more_often_than_it_may_be(played: Played, scenario: Scenario) -> None:
    attempts = [each for each in await played.rig.attempts(scenario.name) if each["provider"] == "suno"]
    tries = [sum(each["segment_id"] == segment for each in attempts) for segment in {a["segment_id"] for a in attempts}]
    assert max(tries) <= scenario.expected.get("tries", TRIES)
    assert {each["error_code"] for each in attempts} == {scenario.expected["error_code"]}


@pytest.mark.parametrize("scenario", SERVED_BY_COMPOSER, ids=lambda each: each.name)
async def test_the_log_of_the_run_says_so(played: Played, scenario: Scenario) -> None:
    entries = [each for each in await played.rig.log_of(scenario.name) if each["kind"] == "attempt"]
    failed = [each for each in entries if each["provider"] == "suno" and each["errorCode"]]
    assert {each["errorCode"] for each in failed} == {scenario.expected["error_code"]}
    assert any(each["provider"] == "composer" and each["event"] == "delivered" for each in entries)


async def test_430_is_never_asked_in_a_loop(played: Played) -> None:
    assert 0 < [each["code"] for each in played.refused].count(430) <= TRIES


async def test_an_empty_wallet_and_a_maintenance_close_the_account(played: Played) -> None:
    assert played.closed["wallet empty"] == "wallet"
    assert played.closed["455 for good"] == "maintenance"
    assert played.closed["400 for good"] is None


async def test_a_stuck_task_is_accompanied_when_its_listener_needs_it_and_paid_once(played: Played) -> None:
    attempts = await played.rig.attempts(STUCK.name)
    assert [each["provider"] for each in attempts] == ["suno", "composer"]
    assert attempts[1]["bridge"]
    assert sum(STUCK.title in task["title"] for task in played.accepted) == 1
