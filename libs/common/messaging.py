"""Everything a service needs to hear and tell news: its consumers, its retries and a relay, for as long as it runs."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from libs.common.consumers import Consumers
from libs.common.database import Channel, Database
from libs.common.loops import Loops
from libs.common.publisher import Publisher
from libs.common.relay import Relay
from libs.common.tasks import end
from libs.common.wakeups import Wakeups

LOOK_SECONDS = 1.0  # notifications are lost with a connection, so everybody also looks once a second


@contextlib.asynccontextmanager
async def open_messaging(
    consumers: Consumers, *, database: Database, wakeups: Wakeups, loops: Loops
) -> AsyncIterator[None]:
    """Run the service's consumers, its retries and a relay of the whole outbox until the block ends."""
    publisher = Publisher(consumers.bootstrap, consumers.service)
    relay = Relay(database, publisher, source=consumers.service, prefix=consumers.prefix)
    wake = wakeups.event(Channel.RELAY)
    database.also_wake(Channel.RELAY, wake)
    loops.add("relay", relay.turn, every=LOOK_SECONDS, wake=wake)
    consuming = None
    if consumers.handlers:
        loops.add("retries", consumers.retry_one, every=LOOK_SECONDS)
        consuming = asyncio.create_task(consumers.run(), name="consumers")
    try:
        yield
    finally:
        database.wake_no_more(Channel.RELAY, wake)
        if consuming is not None:
            await end(consuming)
        await publisher.close()
