"""R3: news in any order and any repetition, on a real database, ends where the same news in order ends."""

import asyncio
import os
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, ClassVar, Final, TypeVar

import asyncpg
import orjson
import pytest
import uvloop
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from libs.common.database import Database, open_database
from libs.common.lifecycle import lock_run, move_segment
from services.callback.handlers.hearing import Hearing, Rules
from services.callback.handlers.lanes import open_lanes
from tests.integration.callback import rows

RULES = Rules(simple_dialect=True, late_after=timedelta(hours=1))
STEPS: Final = int(os.environ.get("R3_STEPS", "10000"))
# Its examples are not slow, the machine may be.
ROUND: Final = settings(
    max_examples=40,
    stateful_step_count=40,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
PROGRESS: Final = {"queued": 0, "generating": 1, "first": 2, "complete": 3}
SONG = {"audio_url": "https://a/a.mp3", "stream_audio_url": "https://a/a", "duration": 180}
IN_ORDER: Final = ("text", "first", "error", "complete")
Result = TypeVar("Result")

# A row's xmin changes with every write of it: equal states mean that nothing was written.
STATE = """
SELECT a.rank, a.alive, a.error_code, a.facts, a.provider_task_id, s.status, s.metadata,
       a.xmin::text || s.xmin::text AS versions,
       (SELECT count(*) FROM webhook_inbox i WHERE i.attempt_id = a.id) AS filed,
       (SELECT count(*) FROM outbox o WHERE o.key = s.run_id) AS announced
FROM segment_attempts a JOIN parcours_segments s ON s.id = a.segment_id WHERE a.id = $1
"""
# What the generator commits when it read the reply, and when it stopped waiting.
REPLY = """
UPDATE segment_attempts SET provider_task_id = coalesce(provider_task_id, $2), rank = greatest(rank, 2) WHERE id = $1
"""
GIVE_UP = "UPDATE segment_attempts SET gave_up_rank = rank WHERE id = $1"
AGE = "UPDATE segment_attempts SET finished_at = now() - interval '2 h' WHERE id = $1"


def webhook(stage: str, task_id: str | None) -> bytes:
    songs: list[dict[str, object]] = [] if stage in ("text", "error") else [SONG]
    body = {"callbackType": stage, "task_id": task_id, "data": songs}
    return orjson.dumps({"code": 501 if stage == "error" else 200, "msg": "", "data": body})


@dataclass
class Platform:
    """What all examples share, so that ten thousand steps cost seconds."""

    runner: asyncio.Runner
    database: Database
    hearing: Hearing
    connection: asyncpg.Connection
    steps: int = 0


class News(RuleBasedStateMachine):
    """One attempt hears; its twin, at the end, hears the same news in order."""

    on: ClassVar[Platform]

    def do(self, work: Coroutine[Any, Any, Result]) -> Result:
        self.on.steps += 1
        return self.on.runner.run(work)

    @initialize()
    def begin(self) -> None:
        self.heard: set[str] = set()
        self.late = self.gave_up = False
        self.attempt = self.do(self.new_attempt())
        self.state = self.do(self.look())

    async def new_attempt(self) -> rows.Attempt:
        run_id, segments = await rows.add_run(self.on.connection, seconds=(240,))
        return await rows.add_attempt(self.on.connection, run_id, segments[0])

    async def look(self, attempt: rows.Attempt | None = None) -> dict[str, Any]:
        found = await self.on.connection.fetchrow(STATE, (attempt or self.attempt).attempt_id)
        assert found is not None
        return dict(found)

    async def check_progress(self) -> None:
        """Rank and progress never fall; a verdict is no progress, and a later fact may lift it."""
        before, self.state = self.state, await self.look()
        assert self.state["rank"] >= before["rank"]
        if "failed" not in (before["status"], self.state["status"]):
            assert PROGRESS[self.state["status"]] >= PROGRESS[before["status"]]

    async def tell(self, attempt: rows.Attempt, raw: bytes) -> bool:
        return await self.on.hearing.webhook(segment_id=attempt.segment_id, token=attempt.token, raw=raw)

    @rule(stage=st.sampled_from(IN_ORDER), task=st.sampled_from(["a", "b", None]), again=st.booleans())
    def hear(self, stage: str, task: str | None, again: bool) -> None:  # noqa: FBT001 - drawn
        self.do(self.hear_one(webhook(stage, self.named(task)), stage, again=again))

    def named(self, task: str | None) -> str | None:
        return None if task is None else f"{task}-{self.attempt.attempt_id}"

    async def hear_one(self, raw: bytes, stage: str, *, again: bool) -> None:
        before = self.state
        fresh = await self.tell(self.attempt, raw)
        await self.check_progress()
        if self.late:
            assert not fresh
            assert self.state == before
            return
        assert fresh <= (stage not in self.heard)
        self.heard.add(stage)
        if again:
            self.on.steps += 1
            kept = self.state
            assert not await self.tell(self.attempt, raw)
            assert await self.look() == kept

    @rule(stages=st.lists(st.sampled_from(IN_ORDER), min_size=2, max_size=4), task=st.sampled_from(["a", "b", None]))
    def hear_at_once(self, stages: list[str], task: str | None) -> None:
        self.do(self.hear_all(stages, self.named(task)))

    async def hear_all(self, stages: list[str], task_id: str | None) -> None:
        self.on.steps += len(stages) - 1
        before = self.state
        fresh = await asyncio.gather(*(self.tell(self.attempt, webhook(stage, task_id)) for stage in stages))
        await self.check_progress()
        if self.late:
            assert self.state == before
        else:
            assert sum(fresh) <= len(set(stages) - self.heard)
            self.heard |= set(stages)

    @rule()
    def read_the_reply(self) -> None:
        self.do(self.happen(REPLY, self.attempt.attempt_id, self.named("a")))

    @rule()
    def stop_waiting(self) -> None:
        self.gave_up = True
        self.do(self.happen(GIVE_UP, self.attempt.attempt_id))

    async def happen(self, statement: str, *values: object) -> None:
        await self.on.connection.execute(statement, *values)
        await self.check_progress()

    @precondition(lambda self: self.state["rank"] in (4, 5))
    @rule()
    def settle(self) -> None:
        self.do(self.settle_and_look())

    @precondition(lambda self: self.state["rank"] in (4, 6) and len(self.heard) == len(IN_ORDER))
    @rule()
    def grow_late(self) -> None:
        self.late = True
        self.do(self.happen(AGE, self.attempt.attempt_id))

    async def settle_and_look(self) -> None:
        await self.settle_one(self.attempt, self.state["rank"])
        self.state = await self.look()

    async def settle_one(self, attempt: rows.Attempt, rank: int) -> None:
        """The archiver stores what was delivered; the generator gives up what has no attempt alive."""
        async with self.on.database.transaction() as connection:
            await lock_run(connection, attempt.run_id)
            if rank == 5:
                path = f"runs/{attempt.run_id}/{attempt.segment_id}.mp3"
                await move_segment(connection, attempt.segment_id, "complete", storage_path=path)
                await connection.execute("UPDATE segment_attempts SET rank = 6 WHERE id = $1", attempt.attempt_id)
            elif rank == 4:
                await move_segment(connection, attempt.segment_id, "failed")

    def teardown(self) -> None:
        if hasattr(self, "state"):
            self.do(self.compare_with_order())

    async def compare_with_order(self) -> None:
        twin = await self.new_attempt()
        for stage in sorted(self.heard, key=IN_ORDER.index):
            await self.tell(twin, webhook(stage, None))
        ends = []
        for attempt in (twin, self.attempt):
            await self.settle_one(attempt, (await self.look(attempt))["rank"])
            ends.append(await self.look(attempt))
        expected, found = ends
        keys = ["error_code", "status"] if self.gave_up else ["error_code", "status", "alive"]
        assert [found[key] for key in keys] == [expected[key] for key in keys]
        assert max(found["rank"], 2) == max(expected["rank"], 2)  # a reply alone proves acceptance, as `text` does
        assert _timeless(found["facts"]) == _timeless(expected["facts"])


def _timeless(facts: dict[str, object]) -> dict[str, object]:
    return {key: None if key.startswith("heard_") else value for key, value in facts.items()}


async def _open(dsn: str, exits: AsyncExitStack) -> tuple[Database, Hearing, asyncpg.Connection]:
    database = await exits.enter_async_context(open_database(dsn, "callback", min_size=1, max_size=4))
    lanes = await exits.enter_async_context(open_lanes(database, RULES.late_after))
    connection = await rows.connect(dsn)
    exits.push_async_callback(connection.close)
    return database, Hearing(RULES, database, lanes), connection


@pytest.mark.timeout(900)  # on a machine that does much else; alone it takes 20 s
def test_news_in_any_order_end_where_the_same_news_in_order_end(database: str) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        exits = AsyncExitStack()
        News.on = Platform(runner, *runner.run(_open(database, exits)))
        try:
            while News.on.steps < STEPS:  # how many an example has is drawn
                run_state_machine_as_test(News, settings=ROUND)
        finally:
            runner.run(exits.aclose())
