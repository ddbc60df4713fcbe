"""The schema: one truth in two forms, and the operators' SQL runs on it as they have it written down."""

import uuid
from collections.abc import AsyncIterator

import asyncpg
import pytest

from libs.common import migrate, state_diagram
from stack import schema_file

USER = uuid.UUID("00000000-0000-4000-8000-000000000001")


async def test_the_migrations_and_schema_sql_give_the_same_database(database: str, empty_database: str) -> None:
    connection = await asyncpg.connect(empty_database)
    await connection.execute(schema_file.PATH.read_text())
    await connection.close()
    migrated, written = schema_file.dump(database), schema_file.dump(empty_database)
    assert migrated == written, "write schema.sql anew: .venv/bin/python -m stack.schema_file"


async def test_a_column_that_only_the_migrations_have_is_noticed(database: str, empty_database: str) -> None:
    connection = await asyncpg.connect(empty_database)
    await connection.execute(schema_file.PATH.read_text() + "ALTER TABLE users DROP COLUMN last_seen_at CASCADE;")
    await connection.close()
    assert schema_file.dump(database) != schema_file.dump(empty_database)


async def test_migrating_twice_and_at_once_applies_each_file_once(empty_database: str) -> None:
    import asyncio  # noqa: PLC0415

    applied = await asyncio.gather(*(migrate.apply(empty_database) for _ in range(3)))
    assert sorted(map(len, applied)) == [0, 0, len(migrate.load())]


async def test_a_migration_that_was_changed_after_its_application_is_refused(database: str) -> None:
    connection = await asyncpg.connect(database)
    await connection.execute("UPDATE schema_migrations SET sha256 = 'other' WHERE version = 1")
    await connection.close()
    with pytest.raises(migrate.MigrationChangedError, match="write a new migration"):
        await migrate.apply(database)


def test_the_drawing_of_the_states_is_the_lifecycle_of_the_code() -> None:
    assert state_diagram.PATH.read_text() == state_diagram.text(), "python -m libs.common.state_diagram"


@pytest.fixture
async def connection(database: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(database)
    await connection.execute("INSERT INTO users (id) VALUES ($1)", USER)
    run = await connection.fetchval(
        "INSERT INTO parcours_runs (user_id, preset_key) VALUES ($1, 'panique-anxiete') RETURNING id", USER
    )
    await connection.execute(
        "INSERT INTO parcours_segments (run_id, segment_index, status, created_at, metadata) VALUES "
        "($1, 0, 'first', now() - interval '1 minute', jsonb_build_object('first_received_at', now())), "
        "($1, 1, 'generating', now() - interval '10 minutes', '{}')",
        run,
    )
    yield connection
    await connection.close()


async def test_operators_read_the_average_latency_to_the_first_sound(connection: asyncpg.Connection) -> None:
    seconds = await connection.fetchval(
        "SELECT AVG(EXTRACT(EPOCH FROM ((metadata->>'first_received_at')::timestamptz - created_at))) "
        "FROM parcours_segments WHERE metadata->>'first_received_at' IS NOT NULL"
    )
    assert 59 <= float(seconds) <= 62


async def test_operators_read_percentages_by_status(connection: asyncpg.Connection) -> None:
    rows = await connection.fetch(
        "SELECT status, COUNT(*), ROUND(COUNT(*) * 100.0 / SUM(COUNT(*)) OVER (), 2) AS percentage "
        "FROM parcours_segments GROUP BY status ORDER BY status"
    )
    assert [(row["status"], float(row["percentage"])) for row in rows] == [("first", 50.0), ("generating", 50.0)]


async def test_operators_read_runs_per_user_over_a_week(connection: asyncpg.Connection) -> None:
    rows = await connection.fetch(
        "SELECT user_id, COUNT(*) AS runs FROM parcours_runs WHERE created_at > NOW() - INTERVAL '7 days' "
        "GROUP BY user_id"
    )
    assert [(row["user_id"], row["runs"]) for row in rows] == [(USER, 1)]


async def test_operators_find_segments_stuck_in_generating(connection: asyncpg.Connection) -> None:
    rows = await connection.fetch(
        "SELECT s.id, s.run_id, s.title, s.created_at FROM parcours_segments s JOIN parcours_runs r ON r.id = s.run_id "
        "WHERE s.status = 'generating' AND s.created_at < NOW() - INTERVAL '5 minutes'"
    )
    assert len(rows) == 1


async def test_operators_open_the_feature_to_a_share_of_users(connection: asyncpg.Connection) -> None:
    await connection.execute(
        "INSERT INTO feature_flags (user_id, parcours_xl_enabled) SELECT id, (RANDOM() < 0.05) FROM auth.users "
        "ON CONFLICT (user_id) DO UPDATE SET parcours_xl_enabled = EXCLUDED.parcours_xl_enabled"
    )
    assert await connection.fetchval("SELECT count(*) FROM feature_flags") == 1


async def test_complete_without_a_stored_file_is_refused_by_the_database(connection: asyncpg.Connection) -> None:
    with pytest.raises(asyncpg.CheckViolationError, match="complete_means_stored"):
        await connection.execute("UPDATE parcours_segments SET status = 'complete' WHERE segment_index = 0")


async def test_every_change_of_status_is_remembered_with_who_made_it(connection: asyncpg.Connection) -> None:
    await connection.execute("SET application_name = 'somebody'")
    await connection.execute("UPDATE parcours_segments SET status = 'failed' WHERE segment_index = 1")
    row = await connection.fetchrow("SELECT * FROM segment_history ORDER BY id DESC LIMIT 1")
    assert row is not None
    assert (row["from_status"], row["to_status"], row["changed_by"]) == ("generating", "failed", "somebody")
