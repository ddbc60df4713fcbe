"""Kill -9 of any one service in the middle of a run: it becomes ready, nothing is stored twice."""

from collections.abc import Iterator

import pytest

from tests import stacks
from tests.stacks import Stack

VICTIMS = ("create-1", "runner-1", "generator-1", "callback-1", "archiver-1", "signer-1", "gateway-1")


@pytest.fixture(scope="module")
def provided() -> Iterator[Stack]:
    """One stack for all kills, on the stand-in with clocks at ×1/20; each test adds a run of its own."""
    with stacks.stand_in(speed=20) as provider, stacks.stack(**provider.settings) as stack:
        yield stack


@pytest.mark.parametrize("victim", VICTIMS)
async def test_kill_9_of_one_service_in_the_middle_of_a_run(provided: Stack, victim: str) -> None:
    async with provided.listener() as client:
        run_id = (await stacks.create(client))["runId"]
        await stacks.in_the_middle(client, run_id)
        killed = provided.kill_process(victim)
        await stacks.ready(client, run_id)
    assert provided.pid(victim) != killed
    await stacks.holds(provided)
