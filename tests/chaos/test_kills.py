"""Kill -9 of anything in the middle of a run: the run becomes ready, nothing is stored twice, each re-render counts."""

import asyncio
import shutil
from collections.abc import Iterator
from typing import Any

import pytest

from tests import stacks
from tests.stacks import Stack

VICTIMS = (
    "create-1",
    "runner-1",
    "generator-1",
    "callback-1",
    "archiver-1",
    "signer-1",
    "gateway-1",
    "kafka",
    "postgres",
)


@pytest.fixture(scope="module")
def provided() -> Iterator[tuple[Stack, stacks.StandIn]]:
    """One stack for all kills, on the stand-in with clocks at ×1/20; each test adds a run of its own."""
    with stacks.stand_in(speed=20) as provider, stacks.stack(**provider.settings) as stack:
        yield stack, provider


async def in_the_middle(client: Any, run_id: str) -> None:
    """Wait until the run's first segment can be heard and others are still to be made."""

    async def look() -> bool:
        segments = (await stacks.snapshot(client, run_id)).get("segments", [])
        return any(segment["status"] in ("first", "complete") for segment in segments)

    await stacks.until(look, 60, "first sound")


async def holds(stack: Stack) -> dict[str, int]:
    """The invariants after everything is ready; the counted further attempts are returned, not judged."""
    async with stack.database() as connection:
        found = await stacks.invariants(connection)
    judged = {name: found[name] for name in found if name != "further_attempts"}
    assert judged == dict.fromkeys(judged, 0)
    return found


@pytest.mark.parametrize("victim", VICTIMS)
async def test_kill_9_of_one_process_in_the_middle_of_a_run(
    provided: tuple[Stack, stacks.StandIn], victim: str
) -> None:
    stack, _provider = provided
    async with stack.listener() as client:
        run_id = (await stacks.create(client))["runId"]
        await in_the_middle(client, run_id)
        killed = stack.kill_process(victim)
        await stacks.ready(client, run_id)
    assert stack.pid(victim) != killed
    await holds(stack)


async def test_kafka_replaced_by_an_empty_one_in_the_middle_of_a_run(provided: tuple[Stack, stacks.StandIn]) -> None:
    stack, _provider = provided
    async with stack.listener() as client:
        run_id = (await stacks.create(client))["runId"]
        await in_the_middle(client, run_id)
        stack.kill_process("kafka")
        shutil.rmtree(stack.folder.kafka / "data", ignore_errors=True)
        await stacks.ready(client, run_id)
    await holds(stack)


async def test_kill_9_of_parcours_itself_and_up_again(provided: tuple[Stack, stacks.StandIn]) -> None:
    stack, _provider = provided
    async with stack.listener() as client:
        run_id = (await stacks.create(client))["runId"]
        await in_the_middle(client, run_id)
        before = {process["name"]: process["pid"] for process in stack.status()["processes"]}
        stack.kill()
        await asyncio.to_thread(stack.start)
        after = {process["name"]: process["pid"] for process in stack.status()["processes"]}
        assert not set(before.values()) & set(after.values()), "a process of the killed stack went on"
        await stacks.ready(client, run_id)
    await holds(stack)


async def test_two_of_each_worker_at_once_make_each_segment_once() -> None:
    workers = "generator=2,runner=2,archiver=2,gateway=2"
    with stacks.stand_in(speed=20) as provider, stacks.stack("--workers", workers, **provider.settings) as stack:
        async with stack.listener() as one, stack.listener(base_url=stack.address("gateway-2")) as other:
            runs = [(client, (await stacks.create(client))["runId"]) for client in (one, other)]
            for client, run_id in runs:
                await stacks.ready(client, run_id)
        found = await holds(stack)
        assert found["further_attempts"] == 0
        assert stack.stop() < 30
        assert stack.leftovers() == []
