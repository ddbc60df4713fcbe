"""A webhook on procrastinate: FastAPI defers a job with the whole body, and answers when that is committed.

`uvicorn …:app`, one process; no worker runs, so that all of the machine is for hearing.
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import orjson
import procrastinate
from fastapi import FastAPI, Request

jobs = procrastinate.App(
    connector=procrastinate.PsycopgConnector(conninfo=os.environ["BENCH_DATABASE"], min_size=2, max_size=8)
)


@jobs.task(name="hear", queue="webhooks")
async def hear(body: dict[str, object], segment: str) -> None:
    """What a worker would do."""
    del body, segment


@asynccontextmanager
async def opened(_app: FastAPI) -> AsyncIterator[None]:
    async with jobs.open_async():
        await jobs.schema_manager.apply_schema_async()
        yield


app = FastAPI(lifespan=opened)


@app.post("/callback")
async def callback(request: Request, segment: str) -> dict[str, bool]:
    await hear.defer_async(body=orjson.loads(await request.body()), segment=segment)
    return {"ok": True}
