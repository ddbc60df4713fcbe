"""Owns how Restate is started: its server from npm, and the registration of a service's deployment."""

import os
import sys
from dataclasses import dataclass

import httpx

from benchmarks.rig.servers import Program, Rig, npm_folder
from stack.embedded.ports import free_port


@dataclass(frozen=True)
class Restate:
    """A running server; `ingress` takes `POST /<Service>[/key]/<handler>[/send]`."""

    ingress: str
    admin: str

    async def register(self, service: str) -> None:
        """Let the server know a service that answers at this address (HTTP/2, as hypercorn serves it)."""
        async with httpx.AsyncClient(timeout=20, trust_env=False) as client:
            answer = await client.post(f"{self.admin}/deployments", json={"uri": service, "force": True})
            answer.raise_for_status()


async def start_restate(rig: Rig) -> Restate:
    """One node with its log on disk, on ports of its own."""
    ingress, admin, node = free_port(), free_port(), free_port()
    program = npm_folder() / "node_modules" / ".bin" / "restate-server"
    environment = {
        "PATH": f"{os.path.dirname(sys.executable)}{os.pathsep}{os.environ.get('PATH', '')}",  # noqa: PTH120 - a PATH is text
        "RESTATE_BASE_DIR": str(rig.folder / "restate"),
        "RESTATE_INGRESS__BIND_ADDRESS": f"127.0.0.1:{ingress}",
        "RESTATE_ADMIN__BIND_ADDRESS": f"127.0.0.1:{admin}",
        "RESTATE_BIND_ADDRESS": f"127.0.0.1:{node}",
        "RESTATE_ADVERTISED_ADDRESS": f"http://127.0.0.1:{node}",
        "RESTATE_NODE_NAME": "benchmark",
        "RESTATE_LOG_FILTER": "warn",
        "RESTATE_DISABLE_TELEMETRY": "1",
        "DO_NOT_TRACK": "1",
    }
    started = Restate(f"http://127.0.0.1:{ingress}", f"http://127.0.0.1:{admin}")

    def is_ready() -> bool:
        try:
            health = f"{started.admin}/health"
            return (
                httpx.get(health, timeout=1, trust_env=False).is_success
                and httpx.get(f"{started.ingress}/restate/health", timeout=1, trust_env=False).is_success
            )
        except httpx.HTTPError:
            return False

    await rig.program(Program("restate", [str(program)], environment=environment, is_ready=is_ready))
    return started
