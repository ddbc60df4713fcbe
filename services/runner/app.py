"""The runner's composition root."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from fastapi import FastAPI

from libs.common import metrics
from libs.common.consumers import Consumers
from libs.common.database import open_database
from libs.common.health import Readiness
from libs.common.http import create_app
from libs.common.identity import Verifier
from libs.common.loops import open_loops
from libs.common.messaging import open_messaging
from libs.common.metrics import Metric
from libs.common.run_bounds import Bounds
from libs.common.schema_gate import await_schema
from libs.common.wakeups import open_wakeups
from services.runner import consumers as subscriptions
from services.runner import sweeps
from services.runner.domain.due import Pace
from services.runner.handlers.tidy import Tidiness
from services.runner.routes import Counter, router
from services.runner.settings import Settings

SERVICE = "runner"


def make_app(settings: Settings) -> FastAPI:
    """Build the service."""
    pace = Pace(timedelta(seconds=settings.playable_after_seconds), settings.time_scale)
    bounds = Bounds(settings.runs_unfinished_max, settings.runs_per_day_max)
    counter = Counter(Verifier.from_settings(settings), pace, bounds)
    dsn = settings.database_url.get_secret_value()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        readiness: Readiness = app.state.readiness
        async with (
            open_database(dsn, SERVICE) as database,
            open_wakeups(dsn, SERVICE) as wakeups,
            open_loops(settings.drain_seconds / 2, app.state.pulse) as loops,
        ):
            consumers = Consumers(
                database,
                settings.kafka_bootstrap,
                SERVICE,
                settings.kafka_prefix,
                time_scale=settings.time_scale,
            )
            subscriptions.subscribe(consumers, pace)
            counter.database = database
            await_schema(loops, database, readiness)
            sweeps.start(loops, database, Tidiness(pace))
            async with open_messaging(consumers, database=database, wakeups=wakeups, loops=loops):
                yield

    async def database_answers() -> None:
        if counter.database is None:
            raise ConnectionError("the database is not open yet")
        await counter.database.check()

    app = create_app(service=SERVICE, settings=settings, lifespan=lifespan, checks={"database": database_answers})
    app.include_router(router(counter))
    metrics.start(Metric.RUNS_FINISHED, outcome=["ready", "failed"])
    return app
