"""A simulator in this process whose time passes by hand, who calls it, and who hears its callbacks."""

import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import httpx

from stack.simulators.suno import HandClock, Settings, make_app
from stack.simulators.suno.reseller import Reseller

LISTENER = "http://listener/callback?segment=seg-1&token=secret"
OLD = {"customMode": True, "instrumental": True, "model": "V5_5", "style": "pads", "title": "Dawn"}
V6 = OLD | {"model": "V6"}


@dataclass
class Listener(httpx.AsyncBaseTransport):
    """Answers callbacks with the statuses it was given (0: not at all), then with 200, and keeps them."""

    statuses: list[int] = field(default_factory=list)
    requests: list[httpx.Request] = field(default_factory=list)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await request.aread()
        self.requests.append(request)
        status = self.statuses.pop(0) if self.statuses else 200
        if status == 0:
            raise httpx.ConnectError("nobody", request=request)
        return httpx.Response(status)

    @property
    def heard(self) -> list[dict[str, Any]]:
        return [json.loads(request.content) for request in self.requests]

    @property
    def stages(self) -> list[str]:
        return [body["data"]["callbackType"] for body in self.heard]


@dataclass
class World:
    """The simulator, its clock, a caller with a key, and the listener."""

    reseller: Reseller
    clock: HandClock
    client: httpx.AsyncClient
    listener: Listener

    async def submit(self, path: str = "/api/v1/generate", body: object = None, **headers: str) -> dict[str, Any]:
        answer = await self.client.post(path, json=body, headers=headers)
        assert answer.status_code == 200, "errors of the reseller come in the body"
        said: dict[str, Any] = answer.json()
        return said

    async def generate(self, **changes: object) -> dict[str, Any]:
        return await self.submit(body=OLD | {"callBackUrl": LISTENER} | changes)

    async def begin(self, **changes: object) -> str:
        """The id of a task that is accepted."""
        said = await self.generate(**changes)
        assert said["code"] == 200, said
        task_id: str = said["data"]["taskId"]
        return task_id

    async def record(self, task_id: str) -> dict[str, Any]:
        """The data of record-info."""
        answer = await self.client.get("/api/v1/generate/record-info", params={"taskId": task_id})
        found: dict[str, Any] = answer.json()["data"]
        return found

    async def status(self, task_id: str) -> str:
        return str((await self.record(task_id))["status"])

    async def switch(self, *faults: dict[str, object]) -> None:
        answer = await self.client.post("/_sim/faults", json={"faults": faults})
        assert answer.status_code == 200, answer.text

    async def ledger(self) -> dict[str, Any]:
        found: dict[str, Any] = (await self.client.get("/_sim/ledger")).json()
        return found

    async def entry(self) -> dict[str, Any]:
        """The ledger's only task."""
        (one,) = (await self.ledger())["accepted"]
        assert isinstance(one, dict)
        return one

    async def balance(self) -> float:
        path = "/api/v1/chat/credit" if self.reseller.settings.dialect == "kie" else "/api/v1/generate/credit"
        said = (await self.client.get(path)).json()
        assert said["code"] == 200
        return float(said["data"])


@contextlib.asynccontextmanager
async def world(**settings: Any) -> AsyncIterator[World]:
    """A simulator with these settings; replies take no time unless `reply_delay` says so."""
    clock, listener = HandClock(), Listener()
    app = make_app(Settings(**{"reply_delay": (0.0, 0.0)} | settings), clock=clock, transport=listener)
    headers = {"Authorization": "Bearer any"}
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(
            transport=httpx.ASGITransport(app), base_url="http://reseller", headers=headers, trust_env=False
        ) as client,
    ):
        yield World(app.state.reseller, clock, client, listener)
