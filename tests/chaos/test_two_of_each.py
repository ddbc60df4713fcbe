"""Two of each worker at once: each segment is made and stored once, and the stack leaves nothing behind."""

from tests import stacks


async def test_two_of_each_worker_at_once_make_each_segment_once() -> None:
    workers = "generator=2,runner=2,archiver=2,gateway=2"
    short = stacks.SHORT_SECONDS
    with (
        stacks.stand_in(speed=20) as provider,
        stacks.stack("--workers", workers, file_seconds=short, **provider.settings) as stack,
    ):
        async with stack.listener() as one, stack.listener(base_url=stack.address("gateway-2")) as other:
            runs = [(client, (await stacks.create(client))["runId"]) for client in (one, other)]
            for client, run_id in runs:
                await stacks.ready(client, run_id)
        found = await stacks.holds(stack)
        assert found["further_attempts"] == 0
        assert stack.stop() < 30
        assert stack.leftovers() == []
