"""How a background task is ended for certain."""

import asyncio
from typing import Any, Final

AGAIN_SECONDS: Final = 0.5


async def end(task: asyncio.Task[Any]) -> None:
    """Cancel until the task is done, whatever it ends with.

    Once is not enough: a client that turns the cancellation of its connect into an error of its own swallows it, and
    a task that tries again would then be waited for, for ever.
    """
    while not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=AGAIN_SECONDS)
    if not task.cancelled():
        task.exception()  # seen, so that nobody warns of an error nobody can act on any more
