"""The same flow on Celery and Redis: FastAPI → task → provider; webhook → Redis pub/sub → server-sent events.

It keeps nothing: no row, no quota, no order, no second attempt. `uvicorn …:edge` and `celery -A … worker`.
"""

import asyncio
import os
import uuid
from collections.abc import AsyncIterator

import httpx
import jwt
import orjson
import redis.asyncio
from celery import Celery
from fastapi import FastAPI, Request
from starlette.responses import Response, StreamingResponse

REDIS = os.environ["BENCH_REDIS"]
SECRET = os.environ["BENCH_JWT_SECRET"]
CALLBACK = os.environ["BENCH_CALLBACK"]

app = Celery("journey", broker=REDIS)
app.conf.update(
    task_ignore_result=True,
    task_acks_late=True,
    worker_prefetch_multiplier=1,
    broker_connection_retry_on_startup=True,
)
if seconds := os.environ.get("BENCH_VISIBILITY"):  # else Celery's own: an hour
    app.conf.broker_transport_options = {"visibility_timeout": float(seconds)}
provider = httpx.Client(base_url=os.environ["BENCH_PROVIDER"], timeout=30, trust_env=False)
news = redis.asyncio.Redis.from_url(REDIS)
edge = FastAPI()


@app.task(name="submit")
def submit(run_id: str) -> None:
    body = {
        "customMode": True,
        "instrumental": True,
        "model": "V5_5",
        "title": "Benchmark",
        "style": "calm, warm pads",
        "callBackUrl": f"{CALLBACK}?segment={run_id}",
    }
    provider.post("/api/v1/generate", json=body, headers={"authorization": "Bearer benchmark"})


@edge.post("/v1/runs")
async def create(request: Request) -> Response:
    jwt.decode(request.headers["authorization"][7:], SECRET, ["HS256"], options={"verify_aud": False})
    orjson.loads(await request.body())
    run_id = str(uuid.uuid4())
    await asyncio.to_thread(submit.delay, run_id)  # Celery's client blocks
    return Response(orjson.dumps({"runId": run_id, "segments": [{"id": run_id}]}), 201, media_type="application/json")


@edge.get("/v1/runs/{run_id}/events")
async def events(run_id: str) -> StreamingResponse:
    async def frames() -> AsyncIterator[bytes]:
        async with news.pubsub(ignore_subscribe_messages=True) as channel:
            await channel.subscribe(run_id)
            yield b": \n\n"
            async for message in channel.listen():
                yield b"event: segment.first\ndata: " + message["data"] + b"\n\n"

    return StreamingResponse(frames(), media_type="text/event-stream")


@edge.post("/callback")
async def callback(request: Request, segment: str) -> dict[str, bool]:
    await news.publish(segment, await request.body())
    return {"ok": True}
