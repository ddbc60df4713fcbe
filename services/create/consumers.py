"""What create hears: its own news of a run, which becomes a text job; the model is never asked here."""

from libs.common.consumers import Consumers
from libs.common.database import Connection
from libs.common.events import RunCreated
from services.create import storage


def subscribe(consumers: Consumers) -> None:
    """Hear of new runs; only with a model to ask."""
    consumers.on(RunCreated, on_created)


async def on_created(connection: Connection, event: RunCreated) -> None:
    """The run's words may be improved."""
    await storage.insert_text_job(connection, event.run_id)
