"""The same flow on Restate: FastAPI → workflow → provider; webhook → workflow's promise → server-sent events.

Restate's journal keeps the workflow; there is no quota, no order, no second attempt. `hypercorn …:edge` and
`hypercorn …:workflows`, one process each; the workflow tells the edge of the first sound by HTTP, as it would anywhere.
"""

import asyncio
import os
import uuid
from collections import defaultdict
from collections.abc import AsyncIterator

import httpx
import jwt
import orjson
import restate
from fastapi import FastAPI, Request
from starlette.responses import Response, StreamingResponse

INGRESS = os.environ["BENCH_INGRESS"]
SECRET = os.environ["BENCH_JWT_SECRET"]
EDGE = os.environ["BENCH_CALLBACK"].removesuffix("/callback")

client = httpx.AsyncClient(timeout=30, trust_env=False)
edge = FastAPI()
run = restate.Workflow("Run")
listeners: defaultdict[str, asyncio.Queue[bytes]] = defaultdict(asyncio.Queue)


@run.main("begin")
async def begin(ctx: restate.WorkflowContext, _wanted: dict[str, str]) -> None:
    run_id = ctx.key()

    async def submit() -> None:
        body = {
            "customMode": True,
            "instrumental": True,
            "model": "V5_5",
            "title": "Benchmark",
            "style": "calm, warm pads",
            "callBackUrl": f"{EDGE}/callback?segment={run_id}",
        }
        url = f"{os.environ['BENCH_PROVIDER']}/api/v1/generate"
        await client.post(url, json=body, headers={"authorization": "Bearer benchmark"})

    await ctx.run_typed("submit", submit)
    await ctx.promise("first").value()

    async def tell() -> None:
        await client.post(f"{EDGE}/told/{run_id}")

    await ctx.run_typed("tell", tell)


@run.handler("first")
async def first(ctx: restate.WorkflowSharedContext, _news: dict[str, str]) -> None:
    await ctx.promise("first").resolve("first")


workflows = restate.app([run])


@edge.post("/v1/runs")
async def create(request: Request) -> Response:
    jwt.decode(request.headers["authorization"][7:], SECRET, ["HS256"], options={"verify_aud": False})
    orjson.loads(await request.body())
    run_id = str(uuid.uuid4())
    (await client.post(f"{INGRESS}/Run/{run_id}/begin/send", json={"run": run_id})).raise_for_status()
    return Response(orjson.dumps({"runId": run_id, "segments": [{"id": run_id}]}), 201, media_type="application/json")


@edge.get("/v1/runs/{run_id}/events")
async def events(run_id: str) -> StreamingResponse:
    async def frames() -> AsyncIterator[bytes]:
        yield b": \n\n"
        while True:
            yield b"event: segment.first\ndata: " + await listeners[run_id].get() + b"\n\n"

    return StreamingResponse(frames(), media_type="text/event-stream")


@edge.post("/callback")
async def callback(request: Request, segment: str) -> dict[str, bool]:
    await request.body()
    (await client.post(f"{INGRESS}/Run/{segment}/first", json={"first": segment})).raise_for_status()
    return {"ok": True}


@edge.post("/told/{run_id}")
async def told(run_id: str) -> dict[str, bool]:
    listeners[run_id].put_nowait(b"{}")
    return {"ok": True}
