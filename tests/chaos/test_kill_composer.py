"""Kill -9 of the composer while it renders: what it held in memory is asked for again, as counted attempts."""

import pytest

from tests import stacks

pytestmark = pytest.mark.renders


async def test_kill_9_of_the_composer_in_the_middle_of_a_run() -> None:
    with stacks.stack(file_seconds=None, TIME_SCALE="0.5", PROVIDERS="composer", SUNO_API_KEY="") as stack:
        stack.shorten(70.0, segments=3)
        async with stack.listener() as client:
            run_id = (await stacks.create(client))["runId"]
            await stacks.in_the_middle(client, run_id)
            killed = stack.kill_process("composer-1")
            await stacks.ready(client, run_id)
        assert stack.pid("composer-1") != killed
        found = await stacks.holds(stack)
        assert found["further_attempts"] > 0
