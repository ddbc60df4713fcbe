"""Claims about what operators type: the quota's picture, a freeze, an opening, a segment's retry that says why not."""

import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from libs.common.database import Database
from services.generator.handlers.claim import Claim, NoClaim, claim
from services.generator.handlers.health import provider_health
from services.generator.handlers.requested import segment_requested
from services.generator.handlers.resources import Resources
from stack import quota_commands
from stack.errors import StackError
from stack.folder import DataFolder
from stack.segment_retry import retry_segment
from tests.integration.generator.rig import (
    Provider,
    add_run,
    attempts,
    events,
    fetch,
    open_resources,
    request,
    requested,
    settings,
    value,
)

FAR = 3600.0


@pytest.fixture
async def resources(database: str, suno: Provider, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Resources]:
    monkeypatch.setenv("DATABASE_URL", database)
    async with open_resources(settings(database, suno, time_scale=1.0)) as opened:
        yield opened


@pytest.fixture
def folder(tmp_path: Path) -> DataFolder:
    return DataFolder(tmp_path)


async def claim_one(resources: Resources) -> Claim | NoClaim:
    return await claim(resources, resources.roster.order[0])


async def read(folder: DataFolder) -> dict[str, Any]:
    [account] = await quota_commands._read(folder, None)
    json.dumps(account)  # what --json prints
    return account


async def test_the_quota_shows_slots_throttling_and_what_waits(
    resources: Resources, pool: Database, folder: DataFolder
) -> None:
    await request(resources, *await add_run(pool, segments=3))
    assert isinstance(await claim_one(resources), Claim)
    await fetch(pool, "UPDATE quota_accounts SET slots_allowed = 18, balance = 88")
    account = await read(folder)
    assert quota_commands.picture(account["slots"], 18) == "#" + "." * 17 + "xx"
    assert quota_commands.picture([1.0, 0.0, 2.0] * 200, 600) == "400 busy"
    assert (account["in_flight"], account["waiting"], account["balance"]) == (1, 2, 88)
    assert 30 < max(account["slots"]) <= account["lease_seconds"]
    assert quota_commands._state(account) == "open"
    with pytest.raises(StackError, match="there is no account nobody"):
        await quota_commands._read(folder, "nobody")


async def test_a_freeze_lasts_a_lease_or_as_told_and_open_ends_it(
    resources: Resources, pool: Database, folder: DataFolder
) -> None:
    await request(resources, *await add_run(pool))
    [row] = await quota_commands._freeze(folder, None, None)
    assert 30 < row["seconds"] <= 35.05
    [row] = await quota_commands._freeze(folder, "suno-1", 600)
    assert 590 < row["seconds"] <= 600
    assert await claim_one(resources) is NoClaim.NOTHING
    [health] = await provider_health(resources)
    assert (health["status"], health["reason"]) == ("closed", "frozen")
    assert re.fullmatch(r"frozen for (59\d\.\d|600\.0) s.*", quota_commands._state(await read(folder)))
    await quota_commands._open(folder, "suno-1")
    assert isinstance(await claim_one(resources), Claim)


async def test_open_opens_what_a_key_closed_and_says_what_it_was(
    resources: Resources, pool: Database, folder: DataFolder
) -> None:
    await fetch(pool, "UPDATE quota_accounts SET close_reason = 'key', closed_until = 'infinity'")
    assert quota_commands._state(await read(folder)) == "closed: key"
    [row] = await quota_commands._open(folder, None)
    assert (row["account"], row["reason"]) == ("suno-1", "key")
    [health] = await provider_health(resources)
    assert (health["status"], health["circuit"], health["reason"]) == ("unknown", "closed", None)


async def test_health_tells_degraded_from_ok_by_the_last_call_and_the_slots(
    resources: Resources, pool: Database
) -> None:
    said = []
    for outcome, allowed in (("ok", 20), ("ok", 10), ("body_500", 20), ("transport_too_late", 20)):
        await fetch(pool, "UPDATE quota_accounts SET slots_allowed = $1", allowed)
        await fetch(
            pool,
            "INSERT INTO provider_calls (provider, account, operation, outcome)"
            " VALUES ('suno', 'suno-1', 'generate', $1)",
            outcome,
        )
        [health] = await provider_health(resources)
        said.append((health["status"], health["slots"]["allowed"]))
    assert said == [("ok", 20), ("degraded", 10), ("degraded", 20), ("degraded", 20)]
    assert health["lastErrorCode"] == "body_500", "what was never sent says nothing about the provider"


# --- segment retry ----------------------------------------------------------------------------------------------------


async def ask_again(resources: Resources, run_id: UUID, segment_id: UUID) -> Claim | NoClaim:
    """What the generator does with the news of a retry."""
    async with resources.database.transaction() as connection:
        await segment_requested(connection, requested(run_id, segment_id), resources=resources)
    return await claim_one(resources)


async def test_a_failed_segment_gets_a_new_attempt_token_and_budget(resources: Resources, pool: Database) -> None:
    run_id, (segment_id,) = await add_run(pool)
    await request(resources, run_id, [segment_id])
    first = await claim_one(resources)
    assert isinstance(first, Claim)
    await fetch(pool, "UPDATE segment_attempts SET outcome = 'refused'")
    await fetch(
        pool,
        "UPDATE parcours_segments SET status = 'failed', requested_at = now() - interval '10 min',"
        " due_at = now() - interval '10 min', deadline_at = now() - interval '8 min'",
    )
    await fetch(pool, "UPDATE parcours_runs SET status = 'failed'")
    outcome = await retry_segment(pool, segment_id, force=False)
    assert outcome.done, outcome.said
    assert await value(pool, "SELECT status FROM parcours_segments") == "queued"
    assert await value(pool, "SELECT status FROM parcours_runs") == "creating"
    assert await value(pool, "SELECT deadline_at > now() FROM parcours_segments")
    [told] = await events(pool, "segment.requested")
    assert told["segment_id"] == str(segment_id)
    second = await ask_again(resources, run_id, segment_id)
    assert isinstance(second, Claim)
    assert (second.attempt_no, second.token != first.token) == (2, True)


async def test_beside_a_live_paid_attempt_nothing_is_done_without_force(resources: Resources, pool: Database) -> None:
    run_id, (segment_id,) = await add_run(pool)
    await request(resources, run_id, [segment_id])
    assert isinstance(await claim_one(resources), Claim)
    await fetch(pool, "UPDATE segment_attempts SET rank = 2")
    refused = await retry_segment(pool, segment_id, force=False)
    assert not refused.done
    assert refused.said == [
        "refused: attempt 1 at suno (accepted) is alive and may have been paid; --force gives it up and may pay twice"
    ]
    assert await events(pool, "segment.requested") == []
    forced = await retry_segment(pool, segment_id, force=True)
    assert forced.done
    assert forced.said[0] == "gave up attempt 1 at suno (accepted): it may be paid twice, which is noted"
    assert isinstance(await ask_again(resources, run_id, segment_id), Claim)
    first, second = await attempts(pool)
    assert (first["alive"], first["error_code"], second["alive"]) == (False, "operator", True)
    assert first["facts"]["possible_double_charge"] is True


async def test_beside_composer_alone_no_force_is_needed(resources: Resources, pool: Database) -> None:
    run_id, (segment_id,) = await add_run(pool)
    await request(resources, run_id, [segment_id])
    assert isinstance(await claim_one(resources), Claim)
    await fetch(pool, "UPDATE segment_attempts SET rank = 2, provider = 'composer'")
    outcome = await retry_segment(pool, segment_id, force=False)
    assert outcome.done
    [attempt] = await attempts(pool)
    assert "possible_double_charge" not in attempt["facts"]


async def test_what_is_complete_queued_or_unknown_is_refused_with_the_reason(
    resources: Resources, pool: Database
) -> None:
    run_id, (segment_id,) = await add_run(pool)
    await request(resources, run_id, [segment_id])
    assert (await retry_segment(pool, segment_id, force=False)).said == [
        "refused: it waits for a slot of suno already; --force asks anew at once"
    ]
    await fetch(pool, "DELETE FROM generation_queue")
    await fetch(pool, "UPDATE parcours_segments SET status = 'complete', storage_path = 'x'")
    for force in (False, True):
        outcome = await retry_segment(pool, segment_id, force=force)
        assert (outcome.done, "complete" in outcome.said[0]) == (False, True)
    with pytest.raises(StackError, match="there is no segment"):
        await retry_segment(pool, uuid4(), force=True)
