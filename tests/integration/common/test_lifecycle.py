"""The lifecycle: exactly the arrows of its table, once each, whatever the order of the news."""

import asyncio
import itertools
from uuid import UUID

import pytest

from libs.common.database import Database
from libs.common.lifecycle import RUN_MOVES, SEGMENT_MOVES, move_run, move_segment, note_segment

SEGMENT_STATES = sorted(SEGMENT_MOVES)
RUN_STATES = sorted(RUN_MOVES)


@pytest.mark.parametrize(("origin", "to"), [*itertools.product(SEGMENT_STATES, SEGMENT_STATES)])
async def test_a_segment_moves_exactly_as_the_table_says(
    opened: Database, segment_id: UUID, origin: str, to: str
) -> None:
    async with opened.transaction() as connection:
        await connection.execute(
            "UPDATE parcours_segments SET status = $2, storage_path = 'x' WHERE id = $1", segment_id, origin
        )
        moved = await move_segment(connection, segment_id, to, storage_path="x")
    async with opened.connection() as connection:
        status = await connection.fetchval("SELECT status FROM parcours_segments WHERE id = $1", segment_id)
    allowed = origin in SEGMENT_MOVES[to]
    assert (moved is not None) is allowed
    assert status == (to if allowed else origin)


@pytest.mark.parametrize(("origin", "to"), [*itertools.product(RUN_STATES, RUN_STATES)])
async def test_a_run_moves_exactly_as_the_table_says(opened: Database, run_id: UUID, origin: str, to: str) -> None:
    async with opened.transaction() as connection:
        await connection.execute("UPDATE parcours_runs SET status = $2 WHERE id = $1", run_id, origin)
        assert await move_run(connection, run_id, to) is (origin in RUN_MOVES[to])


async def test_of_twenty_at_once_one_completes_a_segment(opened: Database, segment_id: UUID) -> None:
    async def complete() -> bool:
        async with opened.transaction() as connection:
            return await move_segment(connection, segment_id, "complete", storage_path="x") is not None

    assert sum(await asyncio.gather(*(complete() for _ in range(20)))) == 1


async def test_a_fact_noted_once_keeps_its_first_value_and_a_note_its_last(opened: Database, segment_id: UUID) -> None:
    async with opened.transaction() as connection:
        await note_segment(connection, segment_id, preview_url="p1", once={"a": 1}, notes={"b": 1})
        await note_segment(connection, segment_id, preview_url="p2", once={"a": 2}, notes={"b": 2})
        row = await connection.fetchrow("SELECT preview_url, metadata FROM parcours_segments WHERE id = $1", segment_id)
    assert row is not None
    assert (row["preview_url"], row["metadata"]) == ("p1", {"a": 1, "b": 2})
