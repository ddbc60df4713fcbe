"""Kill -9 of any one service in the middle of a run: it becomes ready, nothing is stored twice."""

from collections.abc import Iterator

import pytest

from tests import stacks
from tests.stacks import Stack, StandIn

# Each is killed alone; those that make nothing themselves follow each other within one run.
VICTIMS = [["runner-1"], ["generator-1"], ["callback-1"], ["archiver-1"], ["create-1", "signer-1", "gateway-1"]]


@pytest.fixture(scope="module")
def provided() -> Iterator[tuple[Stack, StandIn]]:
    """One stack for all kills, on the stand-in with clocks at ×1/20; each test adds a run of its own."""
    with (
        stacks.stand_in(speed=20) as provider,
        stacks.stack(file_seconds=stacks.SHORT_SECONDS, **provider.settings) as stack,
    ):
        yield stack, provider


@pytest.mark.parametrize("victims", VICTIMS, ids=" then ".join)
async def test_kill_9_of_one_service_in_the_middle_of_a_run(
    provided: tuple[Stack, StandIn], victims: list[str]
) -> None:
    stack, provider = provided
    async with stack.listener() as client:
        strategy = "ahead" if len(victims) == 1 else "sequential"  # takes long enough to be killed in three times
        run_id = (await stacks.create(client, strategy=strategy))["runId"]
        await stacks.in_the_middle(client, run_id)
        for victim in victims:
            assert (await stacks.snapshot(client, run_id))["status"] == "creating", f"too late to kill {victim}"
            await _kill_and_see_it_return(stack, victim)
        await stacks.ready(client, run_id)
    await stacks.holds(stack)
    await stacks.every_call_is_an_attempt(stack, provider)


async def _kill_and_see_it_return(stack: Stack, victim: str) -> None:
    killed = stack.kill_process(victim)

    async def returned() -> bool:
        [now] = [process for process in stack.status()["processes"] if process["name"] == victim]
        return bool(now["state"] == "ready" and now["pid"] not in (killed, None))

    await stacks.until(returned, 60, f"{victim} again")
