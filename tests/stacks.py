"""Owns how tests run a whole stack: `parcours` as its user starts it, on a folder and ports of the test's own."""

import asyncio
import concurrent.futures
import contextlib
import os
import re
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx
import orjson

from libs.common.identity import issue
from libs.common.trust import authorities
from stack import operator_commands
from stack.embedded.ports import free_port
from stack.folder import DataFolder
from tests import components, judge

PARCOURS = Path(sys.executable).with_name("parcours")
START_SECONDS = 150.0
STOP_SECONDS = 35.0
RUN_SECONDS = 240.0
FIRST_SOUND_SECONDS = 20.0 if "PYTEST_XDIST_WORKER" in os.environ else 10.0
"""What is promised; beside the other workers' stacks, which share the cores, twice that."""
BODY = {"presetKey": "panique-anxiete", "emotionState": "fear-0.8", "sudsStart": 8}


# Cuts files and leaves planned lengths, and so due times, as they are: what most tests show depends neither on how long
# a file is nor on how many there are, and mastering a whole journey costs half a minute of processor.
SHORT_FILES = """
CREATE OR REPLACE FUNCTION test_short_files() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NEW.segment_index >= SEGMENTS THEN RETURN NULL; END IF;
  NEW.plan := jsonb_set(NEW.plan, '{file_seconds}', to_jsonb(SECONDS));
  NEW.plan := jsonb_set(NEW.plan, '{x_parcours,file_seconds}', to_jsonb(SECONDS));
  RETURN NEW;
END $$;
CREATE OR REPLACE TRIGGER test_short_files BEFORE INSERT ON parcours_segments
FOR EACH ROW EXECUTE FUNCTION test_short_files();
"""
SHORT_SECONDS = 20.0  # what every row of the gate needs, and one
ALL_SEGMENTS = 9  # more than any plan has


@dataclass
class Stack:
    """A running `parcours up` and what a test needs of it."""

    folder: DataFolder
    port: int
    arguments: tuple[str, ...]
    environment: Mapping[str, str]
    process: subprocess.Popen[str] | None = None
    started_seconds: float = 0.0
    output: Path = field(default_factory=Path)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it and wait for its one line `ready URL`."""
        began = time.monotonic()
        self.output = self.folder.path / "parcours.err"
        command = [str(PARCOURS), "up", "--port", str(self.port), "--data", str(self.folder.path), *self.arguments]
        with self.output.open("ab") as errors:
            self.process = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=errors, env=os.environ | dict(self.environment), text=True
            )
        assert self.process.stdout is not None
        with self.process.stdout as output:  # nothing else is ever said there
            line = output.readline()
        assert line == f"ready {self.url}\n", f"parcours up said {line!r}: {self.output.read_text()[-3000:]}"
        self.started_seconds = time.monotonic() - began
        components.note_stack()

    def stop(self) -> float:
        """SIGTERM, and the seconds until it was gone; fails when its status is not 0."""
        assert self.process is not None
        began = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(STOP_SECONDS)
        assert status == 0, self.output.read_text()[-3000:]
        return time.monotonic() - began

    def kill(self) -> None:
        """Kill -9 of `parcours` itself: its children go on without it."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def status(self) -> dict[str, Any]:
        """What `parcours status --json` prints, in this process: tests look often, and a Python to start costs 1 s."""
        return operator_commands.status_of(self.folder)

    def pid(self, name: str) -> int:
        (pid,) = [process["pid"] for process in self.status()["processes"] if process["name"] == name]
        assert isinstance(pid, int)
        return pid

    def address(self, name: str) -> str:
        (url,) = [process["url"] for process in self.status()["processes"] if process["name"] == name]
        return str(url)

    def kill_process(self, name: str) -> int:
        """Kill -9 one process of the stack; the pid it had."""
        pid = self.pid(name)
        os.kill(pid, signal.SIGKILL)
        return pid

    def token(self, user: UUID, *roles: str) -> str:
        return issue(self.folder.secrets()["jwt_secret"], user, roles)

    @contextlib.asynccontextmanager
    async def listener(self, user: UUID | None = None, base_url: str | None = None) -> AsyncIterator[httpx.AsyncClient]:
        """An HTTP client of a logged-in person."""
        headers = {"Authorization": f"Bearer {self.token(user or uuid4())}"}
        async with httpx.AsyncClient(
            base_url=base_url or self.url, headers=headers, timeout=20.0, trust_env=False, verify=authorities()
        ) as client:
            yield client

    @contextlib.asynccontextmanager
    async def database(self) -> AsyncIterator[asyncpg.Connection]:
        connection = await asyncpg.connect(self.status()["postgres"]["dsn"], timeout=10)
        await connection.set_type_codec(
            "jsonb", schema="pg_catalog", encoder=lambda value: orjson.dumps(value).decode(), decoder=orjson.loads
        )
        try:
            yield connection
        finally:
            await connection.close()

    def shorten(self, seconds: float = SHORT_SECONDS, segments: int = ALL_SEGMENTS) -> None:
        """Let every file of the runs to come be this short, and each run have no more than so many."""

        async def install() -> None:
            async with self.database() as connection:
                await connection.execute(
                    SHORT_FILES.replace("SECONDS", str(seconds)).replace("SEGMENTS", str(segments))
                )

        with concurrent.futures.ThreadPoolExecutor(1) as thread:  # the caller may be inside an event loop
            thread.submit(asyncio.run, install()).result()

    def logs(self) -> str:
        """Everything that every process of the stack has written."""
        return "\n".join(path.read_text(errors="replace") for path in sorted(self.folder.logs.glob("*.log")))

    def leftovers(self) -> list[str]:
        """Processes that carry this folder's mark though its stack has ended."""
        return [process.name() for process in self.folder._marked()]


@contextlib.contextmanager
def stack(
    *arguments: str, file_seconds: float | None = None, kafka: str | None = None, **environment: str
) -> Iterator[Stack]:
    """A running stack on a fresh folder, stopped and removed afterwards; `environment` are settings of its services.

    `file_seconds`: how long all files are, whatever was planned; `None`: as planned. `kafka`: the session's, where
    nothing is shown of the stack's own, which costs more to start than all it will carry.
    """
    if kafka is not None:
        arguments += ("--kafka", kafka)
        environment["KAFKA_PREFIX"] = f"t{secrets.token_hex(4)}."
    place = components.data_place()
    with tempfile.TemporaryDirectory(prefix="parcours-stack-", dir=place, ignore_cleanup_errors=True) as name:
        Path(name).chmod(0o711)  # PostgreSQL's own user passes through
        limits = {"USER_REQUESTS_PER_MINUTE": "100000", "ADDRESS_REQUESTS_PER_MINUTE": "100000"}  # tests look often
        one = Stack(DataFolder(Path(name) / "data"), free_port(), arguments, limits | environment)
        one.folder.path.mkdir(mode=0o711)
        try:
            one.start()
            if file_seconds is not None:
                one.shorten(file_seconds)
            yield one
        finally:
            if one.process is not None and one.process.poll() is None:
                one.process.send_signal(signal.SIGTERM)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    one.process.wait(STOP_SECONDS)
                one.process.kill()
            one.folder.end_leftovers()


@dataclass(frozen=True)
class StandIn:
    """A running `parcours simulate suno`."""

    origin: str
    settings: Mapping[str, str]

    def ledger(self) -> dict[str, Any]:
        """What it accepted, refused and called back."""
        found: dict[str, Any] = httpx.get(f"{self.origin}/_sim/ledger", trust_env=False, verify=authorities()).json()
        return found


@contextlib.contextmanager
def stand_in(callbacks: str = "all", speed: float = 20.0, audio: Path | None = None) -> Iterator[StandIn]:
    """The Suno reseller's stand-in, and the settings with which a stack uses it, clockwork at ×1/`speed`."""
    port = free_port()
    command = [str(PARCOURS), "simulate", "suno", "--port", str(port), "--callbacks", callbacks, "--speed", str(speed)]
    command += ["--audio", str(audio)] if audio else []
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        origin = f"http://127.0.0.1:{port}"
        assert line == f"ready {origin}\n", line
        settings = {
            "SUNO_BASE_URL": origin,
            "SUNO_API_KEY": f"test-{secrets.token_hex(8)}",
            "SUNO_MODEL": "V5_5",
            # Alone: with clocks at ×1/20 a busy machine is "late" at once, and composer would render beside every call.
            "PROVIDERS": "suno",
            "COMPOSER_WORKERS": "1",  # idle; its warm-up is the dearest part of a start
            "PROVIDER_FILE_PRIVATE_ORIGINS": origin,
            "TIME_SCALE": str(1 / speed),
        }
        yield StandIn(origin, settings)
    finally:
        process.terminate()
        process.communicate(timeout=10)


async def create(client: httpx.AsyncClient, **changes: object) -> dict[str, Any]:
    """Start a run as a listener does, who asks again when the machine is too busy; the answer's body."""
    headers = {"Idempotency-Key": secrets.token_hex(8)}
    for _ in range(3):
        answer = await client.post("/v1/runs", json=BODY | changes, headers=headers)
        if answer.status_code != httpx.codes.SERVICE_UNAVAILABLE:
            break
        await asyncio.sleep(1.0)
    assert answer.status_code == httpx.codes.CREATED, answer.text
    created: dict[str, Any] = answer.json()
    return created


async def until(
    look: Callable[[], Awaitable[bool]], seconds: float = RUN_SECONDS, what: str = "it", seen: object = ""
) -> None:
    """Look again and again, within a bound; `seen` is what the last look saw."""
    deadline = time.monotonic() + seconds
    while not await look():
        assert time.monotonic() < deadline, f"{what} did not happen within {seconds:.0f} s {seen}"
        await asyncio.sleep(0.25)  # a look costs the stack some of what it is to be seen doing


async def snapshot(client: httpx.AsyncClient, run_id: str) -> dict[str, Any]:
    """The run as its listener sees it; empty while the edge cannot answer."""
    try:
        answer = await client.get(f"/v1/runs/{run_id}")
    except httpx.HTTPError:
        return {}
    found: dict[str, Any] = answer.json() if answer.status_code == httpx.codes.OK else {}
    return found


async def ready(client: httpx.AsyncClient, run_id: str, seconds: float = RUN_SECONDS) -> dict[str, Any]:
    """Wait until the run is ready, through whatever goes down meanwhile; its last snapshot."""
    last: dict[str, Any] = {}

    async def look() -> bool:
        last.update(await snapshot(client, run_id))
        return last.get("status") == "ready"

    await until(look, seconds, "run ready", last)
    return last


INVARIANTS = """
WITH stored AS (SELECT segment_id FROM segment_attempts WHERE rank = 6),
     completed AS (SELECT segment_id FROM segment_history WHERE to_status = 'complete')
SELECT
  (SELECT count(*) FROM parcours_segments WHERE status <> 'complete') AS incomplete,
  (SELECT count(*) FROM parcours_segments WHERE id NOT IN (SELECT segment_id FROM stored)) AS without_a_stored_attempt,
  (SELECT count(*) - count(DISTINCT segment_id) FROM stored) AS stored_twice,
  (SELECT count(*) - count(DISTINCT segment_id) FROM completed) AS completed_twice,
  (SELECT count(*) FROM segment_history WHERE from_status = 'complete') AS left_complete,
  (SELECT count(*) FROM segment_attempts WHERE attempt_no > 1) AS further_attempts,
  (SELECT count(*) FROM dead_letters) AS dead_letters
"""


async def invariants(connection: asyncpg.Connection) -> dict[str, int]:
    """One query over everything: what may never happen, whatever was killed."""
    row = await connection.fetchrow(INVARIANTS)
    assert row is not None
    return dict(row)


def forbidden_in(text: str, words: Mapping[str, str]) -> dict[str, str]:
    """Which of the named patterns occur in `text`, with the line of the first occurrence."""
    found = {}
    for name, pattern in words.items():
        match = re.search(rf".*{pattern}.*", text)
        if match:
            found[name] = match[0][:300]
    return found


async def in_the_middle(client: httpx.AsyncClient, run_id: str) -> None:
    """Wait until the run's first segment can be heard and others are still to be made."""

    async def look() -> bool:
        segments = (await snapshot(client, run_id)).get("segments", [])
        return any(segment["status"] in ("first", "complete") for segment in segments)

    await until(look, 60, "first sound")


async def holds(stack: Stack) -> dict[str, int]:
    """The invariants after everything is ready; the counted further attempts are returned, not judged."""
    async with stack.database() as connection:
        found = await invariants(connection)
    judged = {name: found[name] for name in found if name != "further_attempts"}
    assert not any(judged.values()), judged
    return found


async def is_in_agreement(stack: Stack, provider: StandIn) -> None:
    """What the provider accepted (and would have charged) is what our attempts record, by the judge's query."""
    found: list[str] = []
    async with stack.database() as connection:
        for _ in range(60):  # what is surplus or adopted is written down by sweeps
            runs = [row["id"] for row in await connection.fetch("SELECT id FROM parcours_runs")]
            await judge.load(connection, provider.ledger()["accepted"])
            found = await judge.violations(connection, runs)
            if not found:
                break
            await asyncio.sleep(0.5)
    assert found == []
