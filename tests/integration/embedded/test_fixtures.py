"""Owns the claims about the tests' own servers: each test gets what is its own."""

import asyncpg
from aiokafka.admin import AIOKafkaAdminClient

from tests.components import S3, USED


async def test_a_database_has_all_migrations_and_nothing_else(database: str) -> None:
    connection = await asyncpg.connect(database)
    try:
        assert await connection.fetchval("SELECT to_regclass('parcours_runs')") == "parcours_runs"
        assert await connection.fetchval("SELECT count(*) FROM parcours_runs") == 0
    finally:
        await connection.close()
    assert any(component.name == "PostgreSQL" for component in USED)


async def test_topics_stand_under_a_prefix_of_the_test_alone(topics: str, kafka_bootstrap: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka_bootstrap)
    await admin.start()
    try:
        assert f"{topics}run.created" in await admin.list_topics()
    finally:
        await admin.close()


def test_a_bucket_is_fresh(s3: S3) -> None:
    assert s3.bucket.startswith("test-")
