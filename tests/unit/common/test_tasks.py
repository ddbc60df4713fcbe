"""A background task that swallows its cancellation is ended all the same."""

import asyncio

from libs.common.tasks import end


async def test_a_task_that_swallows_its_first_cancellations_is_ended() -> None:
    swallowed: list[int] = []

    async def stubborn() -> None:
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                swallowed.append(1)
                if len(swallowed) == 3:
                    raise

    task = asyncio.create_task(stubborn())
    await asyncio.sleep(0)
    await asyncio.wait_for(end(task), 10)
    assert task.cancelled()
    assert len(swallowed) == 3


async def test_a_task_that_has_failed_is_no_news() -> None:
    async def failing() -> None:
        raise ValueError

    task = asyncio.create_task(failing())
    await asyncio.wait({task})
    await end(task)
