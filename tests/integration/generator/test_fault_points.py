"""Claims about a generator killed at each named point: another one recovers, and nothing is paid twice unseen."""

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from libs.common import fault_points
from libs.common.database import Database
from libs.common.fault_points import EXIT_STATUS
from services.generator.handlers.claim import Claim, claim
from tests.integration.generator.rig import (
    SCALE,
    SECRET,
    Provider,
    add_run,
    attempts,
    fetch,
    open_generator,
    open_resources,
    request,
    settings,
    until,
    value,
)

ROOT = Path(__file__).resolve().parents[3]


def environment(dsn: str, suno: Provider, **changes: str) -> dict[str, str]:
    """A generator of its own process; no Kafka is there, which it must survive."""
    return {
        "PATH": os.environ["PATH"],
        "DATABASE_URL": dsn,
        "KAFKA_BOOTSTRAP": "127.0.0.1:1",
        "PORT": "0",
        "SUNO_API_KEY": "key-1",
        "SUNO_BASE_URL": suno.url,
        "CALLBACK_BASE": f"{suno.url}/callback",
        "CALLBACK_URL": suno.url,
        "PROVIDERS": "suno",
        "INTERNAL_SECRET": SECRET,
        "TIME_SCALE": str(SCALE),
    } | changes


async def run_until_it_dies(env: dict[str, str]) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "services.generator",
        cwd=ROOT,
        env=env,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        output, _ = await asyncio.wait_for(process.communicate(), 30)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode is not None
    return process.returncode, output.decode()


@pytest.mark.parametrize(
    ("point", "sent_before", "sent_in_all"),
    [
        ("before_claim_commit", 0, 1),
        ("after_claim", 0, 1),
        ("before_send", 0, 1),
        ("after_send", 1, 2),
        ("reply_read", 1, 2),
        ("before_reply_commit", 1, 2),
        ("after_reply_commit", 1, 1),
    ],
)
async def test_a_kill_at_each_point_is_recovered_by_the_sweeps(
    database: str, pool: Database, suno: Provider, tmp_path: Path, point: str, sent_before: int, sent_in_all: int
) -> None:
    made = settings(database, suno)
    async with open_resources(made) as resources:
        await request(resources, *await add_run(pool, due_in=(3600.0,)))
    fault_points.arm(tmp_path, point)
    status, output = await run_until_it_dies(environment(database, suno, FAULT_POINTS_FOLDER=str(tmp_path)))
    assert status == EXIT_STATUS, output
    ranks = [attempt["rank"] for attempt in await attempts(pool)]
    await until(lambda: _heard(suno, sent_before))
    assert ranks == {"before_claim_commit": [], "after_reply_commit": [2]}.get(point, [1])
    async with open_generator(made):
        await until(lambda: _accepted(pool))
    rows = await attempts(pool)
    assert len(suno.heard) == sent_in_all
    assert len(rows) == (1 if point in ("before_claim_commit", "after_reply_commit") else 2)
    # What may have been paid without our knowing is exactly what is marked as such.
    unseen = await value(pool, "SELECT count(*) FROM segment_attempts WHERE gave_up_rank = 1")
    assert len(suno.heard) - await value(pool, "SELECT count(*) FROM segment_attempts WHERE rank = 2") <= unseen <= 1


@pytest.mark.parametrize("point", ["before_resend_commit", "after_resend_commit"])
async def test_a_kill_around_a_resend_repeats_it_once_and_keeps_its_mark(
    database: str, pool: Database, suno: Provider, tmp_path: Path, point: str
) -> None:
    made = settings(database, suno)
    async with open_resources(made) as resources:
        await request(resources, *await add_run(pool, due_in=(3600.0,)))
        assert isinstance(await claim(resources, resources.roster.order[0]), Claim)
    await fetch(pool, "UPDATE segment_attempts SET dispatched_at = dispatched_at - interval '5 s'")
    await fetch(pool, "UPDATE parcours_segments SET requested_at = requested_at - interval '5 s'")
    fault_points.arm(tmp_path, point)
    status, output = await run_until_it_dies(environment(database, suno, FAULT_POINTS_FOLDER=str(tmp_path)))
    assert status == EXIT_STATUS, output
    marked = "SELECT count(*) FROM segment_attempts WHERE facts ? 'possible_double_charge'"
    assert await value(pool, marked) == (1 if point == "after_resend_commit" else 0)
    async with open_generator(made):
        await until(lambda: _accepted(pool))
    assert (len(suno.heard), await value(pool, marked)) == (1, 1)


async def _accepted(pool: Database) -> bool:
    return bool(await value(pool, "SELECT count(*) > 0 FROM segment_attempts WHERE rank = 2"))


async def _heard(provider: Provider, count: int) -> bool:
    return len(provider.heard) == count


async def test_a_slot_of_a_killed_generator_comes_back_after_its_lease(
    database: str, pool: Database, suno: Provider, tmp_path: Path
) -> None:
    async with open_resources(settings(database, suno)) as resources:
        await request(resources, *await add_run(pool))
    fault_points.arm(tmp_path, "before_send")
    status, output = await run_until_it_dies(environment(database, suno, FAULT_POINTS_FOLDER=str(tmp_path)))
    assert status == EXIT_STATUS, output
    left = "SELECT extract(epoch FROM max(free_at) - clock_timestamp())::float8 FROM quota_slots"
    lease = settings(database, suno).roster().order[0].terms.lease_seconds
    assert 0 < await value(pool, left) <= lease


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"SUNO_BASE_URL": "https://api.sunoapi.org"}, "CALLBACK_BASE must be a public https address"),
        ({"PROVIDERS": "suno", "SUNO_API_KEY": ""}, "suno needs SUNO_API_KEY"),
        ({"PROVIDERS": "nobody"}, "known are suno, fal, replicate, composer"),
    ],
)
async def test_a_configuration_that_cannot_work_is_refused_at_start_with_the_reason(
    database: str, suno: Provider, changes: dict[str, Any], reason: str
) -> None:
    status, output = await run_until_it_dies(environment(database, suno, **changes))
    assert status != 0
    assert reason in output
    assert "Traceback" not in output
