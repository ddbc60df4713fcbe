"""Owns the claims about a service's process: it drains on a signal, leaves with 0, and prints nothing but log lines."""

import asyncio
import json
import signal
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

ROOT = Path(__file__).parents[3]

_SERVICE = """
import asyncio, os, sys, time
from contextlib import asynccontextmanager
from libs.common import logs
from libs.common.http import create_app
from libs.common.service import run
from libs.common.settings import ServiceSettings

mode = os.environ["MODE"]

@asynccontextmanager
async def lifespan(app):
    if mode == "fails":
        raise ConnectionRefusedError("no database at db.internal")
    yield
    if mode == "hangs":
        await asyncio.sleep(3600)
    if mode == "blocks":
        await asyncio.to_thread(time.sleep, 3600)
    if mode == "leaves a thread":
        asyncio.get_running_loop().run_in_executor(None, time.sleep, 3600)

def make_app(settings):
    app = create_app(service="sample", settings=settings, lifespan=lifespan, checks={})

    @app.get("/slow")
    async def slow() -> str:
        await asyncio.sleep(0.5)
        return "done"

    @app.get("/stream")
    async def stream() -> str:
        await app.state.readiness.draining.wait()
        return "drained"

    return app

settings = ServiceSettings()
logs.configure("sample", settings.log_level, settings.version, settings.track)
run(make_app, settings)
"""

Start = Callable[..., Awaitable["Process"]]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Process:
    def __init__(self, child: asyncio.subprocess.Process, port: int) -> None:
        self.child = child
        self.client = httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=10)

    async def line(self) -> dict[str, Any]:
        assert self.child.stdout is not None
        found: dict[str, Any] = json.loads(await asyncio.wait_for(self.child.stdout.readline(), 20))
        return found

    async def until(self, event: str) -> None:
        while (await self.line())["event"] != event:
            pass

    async def end(self, *, within: float) -> tuple[int, list[str], str]:
        """Return exit status, the names of the remaining log lines, and stderr."""
        out, err = await asyncio.wait_for(self.child.communicate(), within)
        assert self.child.returncode is not None
        return self.child.returncode, [json.loads(line)["event"] for line in out.splitlines()], err.decode()


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    started: list[Process] = []

    async def _start(mode: str = "plain", port: int = 0, drain_seconds: float = 5) -> Process:
        chosen = port or _free_port()
        environment = {"MODE": mode, "PORT": str(chosen), "DRAIN_SECONDS": str(drain_seconds), "PYTHONPATH": str(ROOT)}
        child = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            _SERVICE,
            env=environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        started.append(Process(child, chosen))
        return started[-1]

    yield _start
    for process in started:
        await process.client.aclose()
        if process.child.returncode is None:
            process.child.kill()
            await process.child.communicate()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_the_process_with_status_0_and_the_request_in_hand_is_answered(
    start: Start, number: signal.Signals
) -> None:
    process = await start()
    await process.until("service_started")
    assert (await process.client.get("/readyz")).status_code == 200
    slow = asyncio.create_task(process.client.get("/slow"))
    await asyncio.sleep(0.2)
    process.child.send_signal(number)
    answer = await slow
    assert (answer.status_code, answer.json()) == (200, "done")
    status, events, err = await process.end(within=5)
    assert (status, err) == (0, "")
    assert events == ["service_draining", "service_stopped"]


async def test_streams_end_when_the_process_drains_and_a_second_signal_changes_nothing(start: Start) -> None:
    process = await start(drain_seconds=20)
    await process.until("service_started")
    stream = asyncio.create_task(process.client.get("/stream"))
    await asyncio.sleep(0.2)
    process.child.send_signal(signal.SIGTERM)
    process.child.send_signal(signal.SIGTERM)
    assert (await stream).json() == "drained"
    status, _, err = await process.end(within=5)
    assert (status, err) == (0, "")


@pytest.mark.parametrize("mode", ["hangs", "blocks", "leaves a thread"])
async def test_a_shutdown_that_hangs_is_left_after_drain_seconds(start: Start, mode: str) -> None:
    process = await start(mode, drain_seconds=1)
    await process.until("service_started")
    process.child.send_signal(signal.SIGTERM)
    status, events, _ = await process.end(within=10)
    assert status == 0
    assert "drain_expired" in events


async def test_a_service_that_cannot_open_what_it_needs_says_why_and_fails(start: Start) -> None:
    process = await start("fails")
    status, events, err = await process.end(within=20)
    assert status == 3
    assert events[0] == "start_failed"
    assert "internal" not in err


async def test_a_taken_port_is_a_failed_start(start: Start) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        process = await start(port=taken.getsockname()[1])
        status, events, _ = await process.end(within=20)
    assert status != 0
    assert "service_started" not in events


async def test_nothing_of_a_request_is_printed(start: Start) -> None:
    process = await start()
    await process.until("service_started")
    await process.client.get("/nowhere?token=MARKER")
    await process.client.get("/slow?token=MARKER", headers={"authorization": "Bearer MARKER"})
    process.child.send_signal(signal.SIGTERM)
    _, events, err = await process.end(within=5)
    assert (events, err) == (["service_draining", "service_stopped"], "")
