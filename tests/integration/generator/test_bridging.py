"""Claims about composer beside a provider in trouble (ADR 0007), and about sweeps in which old rows hide no younger."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import pytest

from libs.common.database import Database
from services.generator.handlers.bridges import sweep_bridges
from services.generator.handlers.resources import Resources
from services.generator.handlers.silence import sweep_silent
from tests.integration.generator.rig import Provider, add_run, fetch, open_resources, settings, value

FAR = 3600.0

_ATTEMPT = """
INSERT INTO segment_attempts (segment_id, user_id, attempt_no, provider, account, slot_no, token_sha256, rank, outcome,
  error_code, gave_up_rank, dispatched_at, delivered_at, ambiguous_at, facts)
VALUES ($1, gen_random_uuid(), $2, 'suno', 'suno-1', 1, $3, $4, $5, $6, $7, now() - make_interval(secs => $8),
  now() - make_interval(secs => $9), CASE WHEN $10 THEN now() END, $11) RETURNING id
"""


@pytest.fixture
async def resources(database: str, suno: Provider, composer: Provider) -> AsyncIterator[Resources]:
    async with open_resources(settings(database, suno, composer, time_scale=1.0)) as opened:
        yield opened


async def add_attempt(
    pool: Database,
    segment_id: UUID,
    number: int = 1,
    *,
    rank: int,
    age: float,
    outcome: str | None = None,
    code: str | None = None,
    gave_up: int | None = None,
    delivered: float | None = None,
    ambiguous: bool = False,
    facts: dict[str, Any] | None = None,
) -> UUID:
    token = uuid4().bytes
    values = (number, token, rank, outcome, code, gave_up, age, delivered, ambiguous, facts or {})
    made: UUID = await value(pool, _ATTEMPT, segment_id, *values)
    return made


async def segment(pool: Database, *, requested: float, due_in: float = 0.0, status: str = "generating") -> UUID:
    """A segment that was requested so many seconds ago."""
    _run_id, (segment_id,) = await add_run(pool, due_in=(due_in,))
    await fetch(
        pool,
        "UPDATE parcours_segments SET status = $2, requested_at = now() - make_interval(secs => $3) WHERE id = $1",
        segment_id,
        status,
        requested,
    )
    return segment_id


async def bridged(resources: Resources, pool: Database) -> set[UUID]:
    """The segments that one round of the sweep gives to composer."""
    await fetch(pool, "DELETE FROM generation_queue WHERE provider = 'composer'")
    await sweep_bridges(resources)
    rows = await fetch(pool, "SELECT segment_id FROM generation_queue WHERE provider = 'composer'")
    return {row["segment_id"] for row in rows}


async def test_a_submission_after_a_refusal_gets_a_companion_only_when_fifteen_seconds_have_passed(
    resources: Resources, pool: Database
) -> None:
    dragging = await segment(pool, requested=20)
    quick = await segment(pool, requested=5)
    unneeded = await segment(pool, requested=20, due_in=FAR)
    for each in (dragging, quick, unneeded):
        await add_attempt(pool, each, 1, rank=1, age=4.5, outcome="refused", code="http_503")
        await add_attempt(pool, each, 2, rank=1, age=1)
    assert await bridged(resources, pool) == {dragging}


async def test_a_submission_that_was_refused_once_and_then_accepted_is_left_alone(
    resources: Resources, pool: Database
) -> None:
    healthy = await segment(pool, requested=30)
    await add_attempt(pool, healthy, 1, rank=1, age=29, outcome="refused", code="body_500")
    await add_attempt(pool, healthy, 2, rank=2, age=25)
    assert await bridged(resources, pool) == set()


async def test_a_row_whose_submissions_were_refused_for_fifteen_seconds_is_handed_over(
    resources: Resources, pool: Database
) -> None:
    dragging, quick = await segment(pool, requested=20), await segment(pool, requested=5)
    for each in (dragging, quick):
        await add_attempt(pool, each, 1, rank=1, age=4, outcome="refused", code="http_503")
    await fetch(
        pool,
        "INSERT INTO generation_queue (segment_id, run_id, user_id, track, provider, due_at, segment_index, not_before)"
        " SELECT s.id, r.id, r.user_id, r.track, 'suno', s.due_at, 0, now() + interval '4 s'"
        " FROM parcours_segments s JOIN parcours_runs r ON r.id = s.run_id",
    )
    assert await bridged(resources, pool) == {dragging}


async def test_a_row_that_waits_for_an_account_with_no_room_left_in_flight_is_handed_over(
    resources: Resources, pool: Database
) -> None:
    waiting, working = await segment(pool, requested=2), await segment(pool, requested=30)
    await add_attempt(pool, working, rank=2, age=20)
    await fetch(
        pool,
        "INSERT INTO generation_queue (segment_id, run_id, user_id, track, provider, due_at, segment_index)"
        " SELECT s.id, r.id, r.user_id, r.track, 'suno', s.due_at, 0"
        " FROM parcours_segments s JOIN parcours_runs r ON r.id = s.run_id WHERE s.id = $1",
        waiting,
    )
    await fetch(pool, "UPDATE quota_accounts SET max_in_flight = 2")
    assert await bridged(resources, pool) == set()
    await fetch(pool, "UPDATE quota_accounts SET max_in_flight = 1")
    assert await bridged(resources, pool) == {waiting}


async def test_the_successor_of_a_failed_attempt_gets_a_companion_while_it_has_no_preview(
    resources: Resources, pool: Database
) -> None:
    silent, heard = await segment(pool, requested=60), await segment(pool, requested=60, status="first")
    for each, rank in ((silent, 2), (heard, 3)):
        await add_attempt(pool, each, 1, rank=4, age=50, code="501")
        await add_attempt(pool, each, 2, rank=rank, age=10)
    assert await bridged(resources, pool) == {silent}


async def test_a_delivered_file_that_cannot_be_fetched_is_bridged_later_where_the_listener_has_the_preview(
    resources: Resources, pool: Database
) -> None:
    stuck = {
        "nothing to hear": (await segment(pool, requested=300), 31.0, 2),
        "at work": (await segment(pool, requested=300), 31.0, 1),
        "too early": (await segment(pool, requested=300), 20.0, 3),
        "with the preview": (await segment(pool, requested=300, status="first"), 31.0, 4),
        "with the preview for long": (await segment(pool, requested=900, status="first"), 301.0, 9),
        "not needed": (await segment(pool, requested=300, due_in=FAR), 31.0, 4),
    }
    for segment_id, delivered, tries in stuck.values():
        made = await add_attempt(pool, segment_id, rank=5, age=delivered + 150, delivered=delivered)
        await fetch(
            pool,
            "INSERT INTO archive_jobs (attempt_id, kind, segment_id, tries) VALUES ($1, 'final', $2, $3)",
            made,
            segment_id,
            tries,
        )
    by_segment = {segment_id: name for name, (segment_id, _, _) in stuck.items()}
    found = {by_segment[segment_id] for segment_id in await bridged(resources, pool)}
    assert found == {"nothing to hear", "with the preview for long"}


async def test_attempts_that_are_waited_for_hide_no_younger_silent_ones(
    database: str, pool: Database, suno: Provider
) -> None:
    async with open_resources(settings(database, suno, time_scale=1.0)) as resources:
        for number in range(60):
            waiting = await segment(pool, requested=1000)
            facts = {"record_info": "running"}
            await add_attempt(pool, waiting, rank=2, age=1000 - number, facts=facts)
        silent = await segment(pool, requested=400)
        lost = await add_attempt(pool, silent, rank=2, age=400)
        await sweep_silent(resources)
        given_up = await fetch(pool, "SELECT id FROM segment_attempts WHERE gave_up_rank = 2")
    assert [row["id"] for row in given_up] == [lost]
