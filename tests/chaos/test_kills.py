"""Kill -9 of one service, of what the services stand on, or of `parcours` itself, in the middle of a run."""

import asyncio
from collections.abc import Iterator

import pytest

from tests import stacks
from tests.stacks import Stack, StandIn

# Each is killed alone; those that make nothing themselves follow each other within one run.
VICTIMS = [["runner-1"], ["generator-1"], ["callback-1"], ["archiver-1"], ["create-1", "signer-1", "gateway-1"]]
FEW = 3  # segments of a run that is struck once


@pytest.fixture(scope="module")
def provided() -> Iterator[tuple[Stack, StandIn]]:
    """One stack for all kills, on the stand-in with clocks at ×1/20; each test adds a run of its own."""
    with (
        stacks.stand_in(speed=20) as provider,
        stacks.stack(file_seconds=None, **provider.settings) as stack,
    ):
        yield stack, provider


@pytest.mark.parametrize("victims", VICTIMS, ids=" then ".join)
async def test_kill_9_of_one_service_in_the_middle_of_a_run(
    provided: tuple[Stack, StandIn], victims: list[str]
) -> None:
    stack, provider = provided
    once = len(victims) == 1
    stack.shorten(segments=FEW if once else stacks.ALL_SEGMENTS)
    async with stack.listener() as client:
        strategy = "ahead" if once else "sequential"  # takes long enough to be killed in three times
        run_id = (await stacks.create(client, strategy=strategy))["runId"]
        await stacks.in_the_middle(client, run_id)
        for victim in victims:
            assert (await stacks.snapshot(client, run_id))["status"] == "creating", f"too late to kill {victim}"
            await _kill_and_see_it_return(stack, victim)
        await stacks.ready(client, run_id)
    await _nothing_was_lost_or_made_twice(stack, provider)


@pytest.mark.parametrize("victim", ["kafka", "postgres"])
async def test_kill_9_of_a_foundation_in_the_middle_of_a_run(provided: tuple[Stack, StandIn], victim: str) -> None:
    stack, provider = provided
    stack.shorten(segments=FEW)
    async with stack.listener() as client:
        run_id = (await stacks.create(client))["runId"]
        await stacks.in_the_middle(client, run_id)
        killed = stack.kill_process(victim)
        await stacks.ready(client, run_id)
    assert stack.pid(victim) != killed
    await _nothing_was_lost_or_made_twice(stack, provider)


async def test_kafka_replaced_by_an_empty_one_in_the_middle_of_a_run(provided: tuple[Stack, StandIn]) -> None:
    stack, provider = provided
    stack.shorten(segments=FEW)
    async with stack.listener() as client:
        run_id = (await stacks.create(client))["runId"]
        await stacks.in_the_middle(client, run_id)
        (stack.folder.kafka / "data").rename(stack.folder.kafka / "lost")
        stack.kill_process("kafka")
        await stacks.ready(client, run_id)
    await _nothing_was_lost_or_made_twice(stack, provider)


async def test_kill_9_of_parcours_itself_and_up_again(provided: tuple[Stack, StandIn]) -> None:
    stack, provider = provided
    stack.shorten()
    async with stack.listener() as client:
        run_id = (await stacks.create(client))["runId"]
        await stacks.in_the_middle(client, run_id)
        before = {process["name"]: process["pid"] for process in stack.status()["processes"]}
        stack.kill()
        await asyncio.to_thread(stack.start)
        after = {process["name"]: process["pid"] for process in stack.status()["processes"]}
        assert not set(before.values()) & set(after.values()), "a process of the killed stack went on"
        await stacks.ready(client, run_id)
    await _nothing_was_lost_or_made_twice(stack, provider)


async def _kill_and_see_it_return(stack: Stack, victim: str) -> None:
    killed = stack.kill_process(victim)

    async def returned() -> bool:
        [now] = [process for process in stack.status()["processes"] if process["name"] == victim]
        return bool(now["state"] == "ready" and now["pid"] not in (killed, None))

    await stacks.until(returned, 60, f"{victim} again")


async def _nothing_was_lost_or_made_twice(stack: Stack, provider: StandIn) -> None:
    """Of this run and of all before it."""
    await stacks.holds(stack)
    await stacks.is_in_agreement(stack, provider)
