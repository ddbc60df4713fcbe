"""Claims about attempts that fail after the provider had accepted them: who is asked next, once."""

from typing import Any
from uuid import UUID

import pytest

from libs.common.database import Database
from libs.common.events import SegmentFailed
from services.generator.handlers.failed import attempt_failed
from services.generator.handlers.resources import Resources
from tests.integration.generator.rig import (
    Provider,
    add_run,
    fetch,
    open_resources,
    settings,
    value,
)

FAR = 3600.0  # seconds; no listener needs it soon


async def account(pool: Database, name: str = "suno-1") -> Any:
    [row] = await fetch(
        pool, "SELECT *, closed_until = 'infinity' AS for_good FROM quota_accounts WHERE account = $1", name
    )
    return row


async def failed_attempt(
    pool: Database, resources: Resources, code: str, *, due_in: float = FAR, rank: int = 4
) -> tuple[UUID, UUID]:
    """One accepted attempt of suno's that has failed, and the consumer's handling of the news."""
    run_id, segment_ids = await add_run(pool, due_in=(due_in,))
    await fetch(
        pool,
        "INSERT INTO segment_attempts (segment_id, user_id, attempt_no, provider, account, slot_no, token_sha256, rank,"
        " gave_up_rank, provider_task_id) SELECT $1, user_id, 1, 'suno', 'suno-1', 1, '\\x00', $2, $3, $4 "
        "FROM parcours_runs WHERE id = $5",
        segment_ids[0],
        rank,
        rank if rank == 5 else None,
        f"task-{segment_ids[0]}",
        run_id,
    )
    await fetch(pool, "UPDATE parcours_segments SET status = 'generating' WHERE id = $1", segment_ids[0])
    attempt_id = await value(pool, "SELECT id FROM segment_attempts WHERE segment_id = $1", segment_ids[0])
    event = SegmentFailed(
        run_id=run_id, segment_id=segment_ids[0], attempt_id=attempt_id, attempt_no=1, error_code=code, retryable=True
    )
    async with resources.database.transaction() as connection:
        await attempt_failed(connection, event, resources=resources)
    return segment_ids[0], attempt_id


@pytest.mark.parametrize(
    ("code", "due_in", "provider"),
    [
        ("531", FAR, "suno"),
        ("provider_501", FAR, "suno"),
        ("501", 0.0, "composer"),
        ("400", FAR, "composer"),
        ("429", FAR, "composer"),
        ("gate_silence", FAR, "suno"),
        ("url_refused", FAR, "composer"),
        ("never_heard_of", FAR, "suno"),
    ],
)
async def test_who_is_asked_after_an_accepted_attempt_failed(
    database: str, pool: Database, suno: Provider, composer: Provider, code: str, due_in: float, provider: str
) -> None:
    async with open_resources(settings(database, suno, composer)) as resources:
        segment_id, _ = await failed_attempt(pool, resources, code, due_in=due_in, rank=5 if "_" in code else 4)
        queued = await value(pool, "SELECT provider FROM generation_queue WHERE segment_id = $1", segment_id)
        assert queued == provider
        assert (await account(pool))["for_good"] is (code == "429")


async def test_a_failure_told_again_changes_nothing(database: str, pool: Database, suno: Provider) -> None:
    async with open_resources(settings(database, suno)) as resources:
        segment_id, attempt_id = await failed_attempt(pool, resources, "501")
        run_id = await value(pool, "SELECT run_id FROM parcours_segments")
        event = SegmentFailed(
            run_id=run_id, segment_id=segment_id, attempt_id=attempt_id, attempt_no=1, error_code="501", retryable=True
        )
        async with resources.database.transaction() as connection:
            await attempt_failed(connection, event, resources=resources)
        assert await value(pool, "SELECT count(*) FROM generation_queue") == 1


async def test_a_failed_attempt_that_was_revived_is_left_alone(database: str, pool: Database, suno: Provider) -> None:
    async with open_resources(settings(database, suno)) as resources:
        segment_id, attempt_id = await failed_attempt(pool, resources, "501")
        await fetch(pool, "DELETE FROM generation_queue")
        await fetch(pool, "UPDATE segment_attempts SET rank = 5")
        run_id = await value(pool, "SELECT run_id FROM parcours_segments")
        event = SegmentFailed(
            run_id=run_id, segment_id=segment_id, attempt_id=attempt_id, attempt_no=1, error_code="501", retryable=True
        )
        async with resources.database.transaction() as connection:
            await attempt_failed(connection, event, resources=resources)
        assert await value(pool, "SELECT count(*) FROM generation_queue") == 0
