"""Owns the claims about the gateway's process: what it never writes, and how it leaves."""

import asyncio
import os
import signal
import sys
import uuid
from pathlib import Path

import httpx

from libs.common.database import Database
from stack.embedded.ports import free_port
from tests.integration.gateway import world
from tests.integration.gateway.world import Peer, bearer, listening, make_run, next_event

MARKER = "zebra-marker-7431"
ROOT = Path(__file__).parents[3]


async def test_no_token_query_or_body_is_ever_written_and_sigterm_ends_streams_with_status_0(
    shared_database: str, store: Database, behind: Peer, tmp_path: Path, user: uuid.UUID
) -> None:
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "services.gateway"),
        cwd=ROOT,
        env=_environment(shared_database, behind, tmp_path, port),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    assert process.stdout is not None
    written = asyncio.create_task(process.stdout.read())
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=10, trust_env=False) as edge:
            await _ready(edge)
            answers = await _provoke(edge)
            run = await make_run(store, user, brief=MARKER, emotion_state=f"{MARKER}-0.8")
            async with listening(edge, run) as reading:
                await next_event(reading)
                process.send_signal(signal.SIGTERM)
                assert (await next_event(reading)).retry is not None
        async with asyncio.timeout(10):
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
    output = (await written).decode()
    assert '"event":"service_started"' in output
    assert MARKER not in output
    assert world.SECRET not in output
    for answer in answers:
        assert MARKER not in answer.text, answer.text
        assert answer.status_code >= 400


async def _ready(edge: httpx.AsyncClient) -> None:
    async with asyncio.timeout(20):
        while True:
            try:
                if (await edge.get("/readyz")).status_code == 200:
                    return
            except httpx.TransportError:
                pass  # not listening yet
            await asyncio.sleep(0.05)


async def _provoke(edge: httpx.AsyncClient) -> list[httpx.Response]:
    """Requests that are refused at every layer, each with the marker where a secret or a person's word would stand."""
    someone = bearer(uuid.uuid4())
    hostile = {"authorization": f"Bearer eyJhbGciOiJIUzI1NiJ9.{MARKER}.x", "x-client-info": MARKER}
    media = f"/media/parcours-tracks/runs/{uuid.uuid4()}/{uuid.uuid4()}.mp3"
    body = {"presetKey": MARKER, "emotionState": MARKER}
    return [
        await edge.get(f"{media}?token={MARKER}"),
        await edge.get(f"/v1/runs/{MARKER}?token={MARKER}"),
        await edge.get(f"/v1/runs?cursor={MARKER}", headers=someone),
        await edge.get(f"/v1/runs?limit={MARKER}", headers=someone),
        await edge.get("/v1/runs", headers=hostile),
        await edge.post("/v1/runs", json=body, headers=someone),
        await edge.post(f"/callback?segment={MARKER}&token={MARKER}", content=MARKER),
        await edge.post(f"/functions/v1/parcours-xl-callback?token={MARKER}", content=MARKER * 5000),
        await edge.post("/functions/v1/sign-track", json={"segmentId": MARKER}, headers=someone),
    ]


def _environment(dsn: str, behind: Peer, folder: Path, port: int) -> dict[str, str]:
    peers = {f"{name}_URL": behind.url for name in ("CREATE", "RUNNER", "SIGNER", "CALLBACK", "ARCHIVER")}
    return {
        "PATH": os.environ["PATH"],
        "PORT": str(port),
        "LOG_LEVEL": "debug",
        "DATABASE_URL": dsn,
        "OBJECT_FOLDER": str(folder / "objects"),
        "SUPABASE_JWT_SECRET": world.SECRET,
        "MEDIA_SIGNING_KEYS": world.SIGNING,
        "DRAIN_SECONDS": "5",
    } | peers
