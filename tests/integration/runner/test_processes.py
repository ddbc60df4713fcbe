"""Callback, signer and runner as processes: they start, say that they are ready, and leave when told to."""

import asyncio
import os
import signal
import socket
import sys
import time

import httpx
import pytest

DEAD_BROKER = "127.0.0.1:1"  # nothing listens there; services must start and leave all the same
SECRETS = {
    "SUPABASE_JWT_SECRET": "a-secret-of-at-least-thirty-two-bytes",
    "MEDIA_SIGNING_KEYS": "k1:" + "ab" * 32,
    "INTERNAL_SECRET": "a-service-secret",
}


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@pytest.mark.parametrize("service", ["callback", "signer", "runner"])
async def test_a_service_becomes_ready_and_leaves_within_its_grace_though_its_broker_is_dead(
    database: str, service: str
) -> None:
    port = free_port()
    environment = os.environ | SECRETS
    environment |= {"DATABASE_URL": database, "PORT": str(port), "KAFKA_BOOTSTRAP": DEAD_BROKER, "DRAIN_SECONDS": "15"}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", f"services.{service}", env=environment, stdout=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(60):
            await until_ready(f"http://127.0.0.1:{port}/readyz")
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        output, _ = await asyncio.wait_for(process.communicate(), 20)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0
    assert time.monotonic() - began < 16
    assert database not in output.decode()


async def until_ready(url: str) -> None:
    async with httpx.AsyncClient() as client:
        while True:
            try:
                if (await client.get(url)).status_code == 200:
                    return
            except httpx.TransportError:
                pass
            await asyncio.sleep(0.1)
