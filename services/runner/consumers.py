"""What the runner hears: every piece of news makes it look at the run's rows."""

from libs.common.consumers import Consumers
from libs.common.database import Connection
from libs.common.events import RunCreated, SegmentComplete, SegmentEvent, SegmentFailed, SegmentFirst
from services.runner.domain.due import Pace
from services.runner.handlers.steps import advance


def subscribe(consumers: Consumers, pace: Pace) -> None:
    """Let each event that can change whose turn it is take the run's next step."""

    async def on_created(connection: Connection, event: RunCreated) -> None:
        await advance(connection, pace, event.run_id)

    async def on_progress(connection: Connection, event: SegmentEvent) -> None:
        await advance(connection, pace, event.run_id)

    async def on_failed(connection: Connection, event: SegmentFailed) -> None:
        if not event.retryable:  # one failed attempt is the generator's business
            await advance(connection, pace, event.run_id, error_code=event.error_code)

    consumers.on(RunCreated, on_created)
    consumers.on(SegmentFirst, on_progress)
    consumers.on(SegmentComplete, on_progress)
    consumers.on(SegmentFailed, on_failed)
