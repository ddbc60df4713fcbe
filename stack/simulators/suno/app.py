"""Composition root of the simulator: builds it for an ASGI server, or serves it inside another process."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Generator
from dataclasses import dataclass
from typing import Any

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.routing import Route
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from libs.common.trust import authorities
from stack.simulators.suno.api import Api
from stack.simulators.suno.clock import Clock
from stack.simulators.suno.control import Control
from stack.simulators.suno.downloads import Downloads
from stack.simulators.suno.replies import DROP
from stack.simulators.suno.reseller import Reseller
from stack.simulators.suno.settings import Settings
from stack.simulators.suno.sound import Sound

KEPT = 8  # idle connections to listeners: the pool looks at each of them for every call
KEEP_ALIVE = 65  # s, longer than HTTP clients keep idle connections: one that breaks would look like a lost reply
_METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]


def make_app(
    settings: Settings, *, clock: Clock | None = None, transport: httpx.AsyncBaseTransport | None = None
) -> Starlette:
    """The application; `app.state.reseller` is what it knows. `transport` carries callbacks (in tests: in process)."""
    http = httpx.AsyncClient(
        transport=transport,
        timeout=None,  # noqa: S113 - the courier bounds the whole of a call
        trust_env=False,
        verify=authorities(),
        limits=httpx.Limits(max_connections=None, max_keepalive_connections=KEPT),
    )
    sound = Sound.read(settings.audio) if settings.audio else Sound.silence()
    reseller = Reseller(settings, clock or Clock(settings.speed), sound, http)

    @contextlib.asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        async with http:
            yield
            reseller.stop()
        reseller.ledger.close()

    app = Starlette(routes=_routes(reseller), lifespan=lifespan)
    app.state.reseller = reseller
    return app


def _routes(reseller: Reseller) -> list[Route]:
    """Starlette's plain routes: nothing is validated, documented or injected on the way."""
    api, control, downloads = Api(reseller), Control(reseller), Downloads(reseller)
    kie = [
        Route("/api/v1/jobs/createTask", api.create_task, methods=["POST"]),
        Route("/api/v1/jobs/recordInfo", api.job_info),
        Route("/api/v1/chat/credit", api.credit),
    ]
    return [
        Route("/api/v1/generate", api.generate, methods=["POST"]),
        Route("/api/v1/generate/record-info", api.record_info),
        *(kie if reseller.settings.dialect == "kie" else [Route("/api/v1/generate/credit", api.credit)]),
        Route("/files/{task_id}/{name}", downloads.file),
        Route("/_sim/audio/{name}.mp3", downloads.prepared),
        Route("/_sim/ledger", control.ledger),
        Route("/_sim/faults", control.show_faults),
        Route("/_sim/faults", control.switch_faults, methods=["POST"]),
        Route("/_sim/faults", control.clear_faults, methods=["DELETE"]),
        Route("/_sim/reset", control.reset, methods=["POST"]),
        Route("/_sim/state", control.state),
        Route("/", control.page),
        Route("/{rest:path}", api.unknown, methods=_METHODS),
    ]


class _Protocol(HttpToolsProtocol):
    """Lets an answer close its connection."""

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = {DROP: self.transport.close}  # type: ignore[dict-item]


class _EmbeddedServer(uvicorn.Server):
    """Leaves the process's signals alone."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


@dataclass(frozen=True, slots=True)
class Simulator:
    """A simulator that is being served in this process."""

    origin: str
    reseller: Reseller

    @property
    def faults(self) -> Any:  # noqa: ANN401 - the FaultBook
        return self.reseller.faults

    def ledger(self) -> dict[str, Any]:
        """As `GET /_sim/ledger`."""
        return self.reseller.report()


def make_server(app: ASGIApp, port: int, kind: Callable[[uvicorn.Config], uvicorn.Server]) -> uvicorn.Server:
    return kind(
        uvicorn.Config(
            app,
            port=port,
            http=_Protocol,
            log_level="warning",
            access_log=False,
            timeout_keep_alive=KEEP_ALIVE,
            timeout_graceful_shutdown=1,  # calls that are never answered
        )
    )


@contextlib.asynccontextmanager
async def serving(settings: Settings, port: int = 0, *, clock: Clock | None = None) -> AsyncIterator[Simulator]:
    """Serve on 127.0.0.1 while the context is open; port 0: a free one."""
    app = make_app(settings, clock=clock)
    server = make_server(app, port, _EmbeddedServer)
    running = asyncio.create_task(server.serve())
    try:
        while not server.started and not running.done():
            await asyncio.sleep(0.005)
        if not server.started:
            raise OSError(f"cannot listen on 127.0.0.1:{port}")
        listening = server.servers[0].sockets[0].getsockname()[1]
        reseller: Reseller = app.state.reseller
        origin = f"http://127.0.0.1:{listening}"
        reseller.seen_at(origin)
        yield Simulator(settings.origin or origin, reseller)
    finally:
        server.should_exit = True
        await running
