"""Kill -9 of what the services stand on, and of `parcours` itself, in the middle of a run."""

import asyncio
import shutil
from collections.abc import Iterator

import pytest

from tests import stacks
from tests.stacks import Stack, StandIn


@pytest.fixture(scope="module")
def provided() -> Iterator[tuple[Stack, StandIn]]:
    """One stack for all kills, on the stand-in with clocks at ×1/20; each test adds a run of its own."""
    with (
        stacks.stand_in(speed=20) as provider,
        stacks.stack(file_seconds=stacks.SHORT_SECONDS, **provider.settings) as stack,
    ):
        yield stack, provider


@pytest.mark.parametrize("victim", ["kafka", "postgres"])
async def test_kill_9_of_a_foundation_in_the_middle_of_a_run(provided: tuple[Stack, StandIn], victim: str) -> None:
    stack, provider = provided
    async with stack.listener() as client:
        run_id = (await stacks.create(client))["runId"]
        await stacks.in_the_middle(client, run_id)
        killed = stack.kill_process(victim)
        await stacks.ready(client, run_id)
    assert stack.pid(victim) != killed
    await stacks.holds(stack)
    await stacks.every_call_is_an_attempt(stack, provider)


async def test_kafka_replaced_by_an_empty_one_in_the_middle_of_a_run(provided: tuple[Stack, StandIn]) -> None:
    stack, provider = provided
    async with stack.listener() as client:
        run_id = (await stacks.create(client))["runId"]
        await stacks.in_the_middle(client, run_id)
        stack.kill_process("kafka")
        shutil.rmtree(stack.folder.kafka / "data", ignore_errors=True)
        await stacks.ready(client, run_id)
    await stacks.holds(stack)
    await stacks.every_call_is_an_attempt(stack, provider)


async def test_kill_9_of_parcours_itself_and_up_again(provided: tuple[Stack, StandIn]) -> None:
    stack, provider = provided
    async with stack.listener() as client:
        run_id = (await stacks.create(client))["runId"]
        await stacks.in_the_middle(client, run_id)
        before = {process["name"]: process["pid"] for process in stack.status()["processes"]}
        stack.kill()
        await asyncio.to_thread(stack.start)
        after = {process["name"]: process["pid"] for process in stack.status()["processes"]}
        assert not set(before.values()) & set(after.values()), "a process of the killed stack went on"
        await stacks.ready(client, run_id)
    await stacks.holds(stack)
    await stacks.every_call_is_an_attempt(stack, provider)
