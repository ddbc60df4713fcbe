"""Owns the claim that a composer nobody may call costs no worker, and still serves who calls it."""

import asyncio
from pathlib import Path

import pytest

from services.composer.pool import RenderPool
from services.composer.prompt import plan_of_prompt
from services.composer.settings import Settings


@pytest.mark.parametrize(
    ("providers", "expected"), [((), True), (("suno", "composer"), True), (("suno",), False), (("fal", "suno"), False)]
)
def test_it_is_expected_where_it_is_a_provider_or_none_is_named(providers: tuple[str, ...], *, expected: bool) -> None:
    assert Settings(providers=providers).is_expected is expected


async def test_workers_start_with_the_first_file_where_nobody_waited_for_them(tmp_path: Path) -> None:
    pool = RenderPool(1)
    try:
        assert list(pool.worker_pids) == []
        await pool.check()
        plan = plan_of_prompt("70 BPM steady, D dorian", "unexpected", 10.0)
        file = pool.render(plan, "preview", tmp_path / "preview.mp3", 1)
        async with asyncio.timeout(150):
            await file.wait_until_whole()
        assert len(pool.worker_pids) == 1
        await pool.check()
    finally:
        await pool.stop()
