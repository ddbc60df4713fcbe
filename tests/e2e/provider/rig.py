"""Owns how runs are played against a simulated provider: each with its own title and faults, many side by side."""

import asyncio
import contextlib
import secrets
import subprocess
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID, uuid4

import asyncpg
import httpx

from libs.common.trust import authorities
from stack import quota_commands
from stack.embedded.ports import free_port
from tests import judge, stacks
from tests.stacks import PARCOURS, Stack

FILE_SECONDS: Final = 20  # what every row of the gate needs, and one

# A run of a known person is cut down as `stacks.SHORTEN` does, with a title that faults can name.
_SHORTEN: Final = """
CREATE TABLE test_scenarios (user_id uuid PRIMARY KEY, title text NOT NULL, segments integer NOT NULL, seconds integer);
CREATE FUNCTION test_shorten() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE scenario test_scenarios;
BEGIN
  SELECT t.* INTO scenario FROM test_scenarios t JOIN parcours_runs r USING (user_id) WHERE r.id = NEW.run_id;
  IF NOT FOUND THEN RETURN NEW; END IF;
  IF NEW.segment_index >= scenario.segments THEN RETURN NULL; END IF;
  NEW.title := scenario.title;
  NEW.plan := jsonb_set(NEW.plan, '{file_seconds}', to_jsonb(scenario.seconds));
  NEW.plan := jsonb_set(NEW.plan, '{x_parcours,file_seconds}', to_jsonb(scenario.seconds));
  RETURN NEW;
END $$;
CREATE TRIGGER test_shorten BEFORE INSERT ON parcours_segments FOR EACH ROW EXECUTE FUNCTION test_shorten();
"""

Fault = Mapping[str, Any]


@dataclass(frozen=True)
class Scenario:
    """A run and what its provider does to it. `expected` is read by the test that judges it."""

    name: str
    faults: tuple[Fault, ...] = ()
    segments: int = 1
    strategy: str = "all"
    expected: Mapping[str, Any] = field(default_factory=dict)
    file_seconds: int = FILE_SECONDS

    @property
    def title(self) -> str:
        """In brackets, so that no title is part of another; the provider sees it with the segment's number behind."""
        return f"[{self.name}]"

    def named_faults(self) -> list[dict[str, Any]]:
        return [{**fault, "title": self.title} for fault in self.faults]


@dataclass(frozen=True)
class Run:
    """A scenario that was begun."""

    scenario: Scenario
    user: UUID
    id: UUID


@dataclass(frozen=True)
class Simulated:
    """A running `parcours simulate`."""

    origin: str
    process: subprocess.Popen[str]

    async def ledger(self) -> dict[str, Any]:
        async with httpx.AsyncClient(trust_env=False, verify=authorities()) as client:
            found: dict[str, Any] = (await client.get(f"{self.origin}/_sim/ledger")).json()
        return found

    async def set_faults(self, faults: Iterable[Fault], *, add: bool = False) -> None:
        """Play these faults from now on, instead of the earlier ones or besides."""
        async with httpx.AsyncClient(trust_env=False, verify=authorities()) as client:
            query = {"add": "1"} if add else {}
            answer = await client.post(f"{self.origin}/_sim/faults", params=query, json={"faults": list(faults)})
        assert answer.status_code == httpx.codes.OK, answer.text


@contextlib.contextmanager
def simulated(provider: str, *options: str) -> Iterator[Simulated]:
    """A provider's stand-in on a free port."""
    port = free_port()
    command = [str(PARCOURS), "simulate", provider, "--port", str(port), *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        origin = f"http://127.0.0.1:{port}"
        line = process.stdout.readline()
        assert line == f"ready {origin}\n", line
        yield Simulated(origin, process)
    finally:
        process.terminate()
        process.communicate(timeout=10)


def suno_settings(provider: Simulated, scale: float, providers: str) -> dict[str, str]:
    """The settings with which a stack uses a simulated Suno."""
    return {
        "SUNO_BASE_URL": provider.origin,
        "SUNO_API_KEY": f"test-{secrets.token_hex(8)}",
        "SUNO_MODEL": "V5_5",
        "PROVIDERS": providers,
        "COMPOSER_WORKERS": "1",
        "PROVIDER_FILE_PRIVATE_ORIGINS": provider.origin,
        "TIME_SCALE": str(scale),
    }


@dataclass
class Rig:
    """A stack and its provider; all runs begun on it."""

    stack: Stack
    provider: Simulated
    database: asyncpg.Connection
    runs: dict[str, Run] = field(default_factory=dict)
    _one: asyncio.Lock = field(default_factory=asyncio.Lock)  # a connection takes one question at a time

    async def begin(self, scenarios: Sequence[Scenario]) -> list[Run]:
        """Switch the scenarios' faults on, then start a run of each."""
        await self.provider.set_faults([f for each in scenarios for f in each.named_faults()], add=True)
        return await asyncio.gather(*map(self.begin_one, scenarios))

    async def expect(self, user: UUID, scenario: Scenario) -> None:
        """Have this person's next run cut down to the scenario's."""
        values = user, scenario.title, scenario.segments, scenario.file_seconds
        await self.fetch("INSERT INTO test_scenarios VALUES ($1, $2, $3, $4)", *values)

    def note(self, run: Run) -> Run:
        self.runs[run.scenario.name] = run
        return run

    async def begin_one(self, scenario: Scenario) -> Run:
        """Start a run; whoever is to play its faults knows them."""
        user = uuid4()
        await self.expect(user, scenario)
        async with self.stack.listener(user) as client:
            created = await stacks.create(client, strategy=scenario.strategy)
        return self.note(Run(scenario, user, UUID(created["runId"])))

    async def fetch(self, query: str, *values: Any) -> list[asyncpg.Record]:
        async with self._one:
            return list(await self.database.fetch(query, *values))

    async def attempts(self, name: str) -> list[asyncpg.Record]:
        """The attempts of a scenario's run, oldest first."""
        query = (
            "SELECT t.* FROM segment_attempts t JOIN parcours_segments s ON s.id = t.segment_id "
            "WHERE s.run_id = $1 ORDER BY t.dispatched_at"
        )
        return await self.fetch(query, self.runs[name].id)

    async def ended(self, runs: Sequence[Run], seconds: float, status: str = "ready") -> list[str]:
        """Wait until all runs have this status; the names of those that have not, in time."""
        deadline = time.monotonic() + seconds
        names = {run.id: run.scenario.name for run in runs}
        query = "SELECT id FROM parcours_runs WHERE id = ANY ($1) AND status <> $2"
        while left := await self.fetch(query, list(names), status):
            if time.monotonic() > deadline:
                return sorted(names[row["id"]] for row in left)
            await asyncio.sleep(0.2)
        return []

    async def accepted(self) -> list[dict[str, Any]]:
        """The ledger's tasks."""
        found: list[dict[str, Any]] = (await self.provider.ledger())["accepted"]
        return found

    async def accepted_of(self, name: str) -> list[dict[str, Any]]:
        """The ledger's tasks of one scenario."""
        return [task for task in await self.accepted() if self.runs[name].scenario.title in task["title"]]

    async def open_accounts(self) -> None:
        """What an operator types once wallets are filled and keys mended: `parcours quota open`."""
        await quota_commands._open(self.stack.folder, None)

    async def judged(self, runs: Sequence[Run]) -> list[str]:
        """The violations of these runs, by the one query."""
        accepted = await self.accepted()
        async with self._one:
            await judge.load(self.database, accepted)
            return await judge.violations(self.database, [run.id for run in runs])

    async def log_of(self, name: str) -> list[dict[str, Any]]:
        """The run's log as its listener reads it."""
        run = self.runs[name]
        async with self.stack.listener(run.user) as client:
            answer = await client.get(f"/v1/runs/{run.id}/log")
        assert answer.status_code == httpx.codes.OK, answer.text
        entries: list[dict[str, Any]] = answer.json()["entries"]
        return entries


@contextlib.asynccontextmanager
async def rig(stack: Stack, provider: Simulated) -> AsyncIterator[Rig]:
    """The rig on a running stack."""
    async with stack.database() as connection:
        await connection.execute(_SHORTEN)
        yield Rig(stack, provider, connection)
