"""Owns the participants of `first_sound`: ours and the same flow elsewhere, each with its own recording provider."""

import sys
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from uuid import UUID, uuid4

from benchmarks import flow
from benchmarks.peers.restate_server import start_restate
from benchmarks.rig.servers import Program, Rig, missing
from benchmarks.whole_stack import HERE, WholeStack, whole_stack
from libs.common.identity import issue
from stack.embedded.ports import free_port

SECRET: Final = "a-secret-of-the-benchmark-alone-0123456789"  # noqa: S105 - as it says
ONE_AFTER, CROWD_AFTER = 0.2, 3.0  # s from a submission to its `first`: the listener listens by then
# `sequential`: one call a run, so that a run every 0.55 s never waits for a slot of the quota (20 in 10 s).
BODY: Final = b'{"presetKey":"panique-anxiete","emotionState":"fear-0.8","sudsStart":8,"strategy":"sequential"}'


@dataclass
class Participant:
    """One platform under test: where its edge is, whom it knows, what its provider noted."""

    name: str
    keeps: str  # what is on disk before the listener hears anything
    edge: int
    recorder: int
    token: Callable[[UUID], str]
    stack: WholeStack | None = None
    one: list[list[flow.Sample]] = field(default_factory=list)  # a list a pass
    crowd: list[list[flow.Sample]] = field(default_factory=list)

    async def run(self) -> flow.Heard:
        """One run of a new person: the bounds of a person are not what is measured."""
        return await flow.hear("127.0.0.1", self.edge, BODY, self.token(uuid4()))


async def start_recorder(rig: Rig, name: str, *more: str) -> int:
    """The recording provider; its port."""
    port = free_port()
    command = [sys.executable, "-m", "benchmarks.recorder", "--port", str(port), *more]
    command += ["--first-after", str(ONE_AFTER), "--first-after-crowd", str(CROWD_AFTER)]
    await rig.program(Program(f"recorder-{name}", command, port))
    return port


async def start_ours(rig: Rig, exits: AsyncExitStack, name: str = "ours", checkout: Path = HERE) -> Participant:
    """The whole platform: eight services, PostgreSQL with fsync, Kafka."""
    recorder = await start_recorder(rig, name.replace(" ", "-"))
    stack = exits.enter_context(whole_stack(settings_for(f"http://127.0.0.1:{recorder}"), checkout=checkout))
    return Participant(name, "run, attempt, quota, news: PostgreSQL, fsync", stack.port, recorder, stack.token, stack)


def settings_for(provider: str) -> dict[str, str]:
    return {
        "SUNO_BASE_URL": provider,
        "SUNO_API_KEY": "benchmark",
        "SUNO_MODEL": "V5_5",
        "PROVIDERS": "suno",
        "COMPOSER_WORKERS": "1",  # idle: it is no provider here
        "PROVIDER_FILE_PRIVATE_ORIGINS": provider,
        "OPENAI_API_KEY": "",  # the plan's words are templates: 0 ms
        "LOG_LEVEL": "warning",
    }


async def start_celery(rig: Rig, _exits: AsyncExitStack) -> Participant:
    """One edge, one worker with two processes, as many as cores; Redis without persistence."""
    edge, recorder = free_port(), await start_recorder(rig, "celery")
    environment = environment_of(edge, recorder) | {"BENCH_REDIS": await rig.redis()}
    command = [sys.executable, "-m", "celery", "-A", "benchmarks.peers.celery_journey", "worker", "-c", "2"]
    command += ["-l", "error", "--without-gossip", "--without-mingle", "--without-heartbeat"]
    await rig.program(Program("celery-worker", command, environment=environment))
    command = [sys.executable, "-m", "uvicorn", "benchmarks.peers.celery_journey:edge", "--port", str(edge)]
    await rig.program(Program("celery-edge", [*command, *QUIET], edge, environment))
    return Participant("Celery + Redis", "nothing", edge, recorder, token_of)


async def start_restate_flow(rig: Rig, _exits: AsyncExitStack) -> Participant:
    """One edge, one process of workflows, the server of npm with its log on disk."""
    edge, recorder, workflows = free_port(), await start_recorder(rig, "restate"), free_port()
    restate = await start_restate(rig)
    environment = environment_of(edge, recorder) | {"BENCH_INGRESS": restate.ingress}
    command = [sys.executable, "-m", "hypercorn", "benchmarks.peers.restate_journey:workflows"]
    command += ["-b", f"127.0.0.1:{workflows}", "-k", "uvloop", "--log-level", "error"]
    await rig.program(Program("restate-workflows", command, workflows, environment))
    await restate.register(f"http://127.0.0.1:{workflows}")
    command = [sys.executable, "-m", "uvicorn", "benchmarks.peers.restate_journey:edge", "--port", str(edge)]
    await rig.program(Program("restate-edge", [*command, *QUIET], edge, environment))
    return Participant("Restate", "the workflow: Restate's log", edge, recorder, token_of)


QUIET: Final = ("--host", "127.0.0.1", "--log-level", "error", "--no-access-log")
_Start = Callable[[Rig, AsyncExitStack], Awaitable[Participant]]
PEERS: Final[dict[str, tuple[_Start, tuple[str, ...]]]] = {
    "celery": (start_celery, ("celery", "redis")),
    "restate": (start_restate_flow, ("restate", "hypercorn")),
}


def lacking(name: str) -> list[str]:
    """Modules that this peer needs and that are not installed here."""
    return missing(*PEERS[name][1])


def environment_of(edge: int, recorder: int) -> dict[str, str]:
    """What both peers' programs read."""
    return {
        "BENCH_JWT_SECRET": SECRET,
        "BENCH_CALLBACK": f"http://127.0.0.1:{edge}/callback",
        "BENCH_PROVIDER": f"http://127.0.0.1:{recorder}",
        "PYTHONUNBUFFERED": "1",
    }


def token_of(user: UUID) -> str:
    return issue(SECRET, user, ())
