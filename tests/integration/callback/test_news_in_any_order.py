"""R3 in small: news in any order and any repetition, on a real database, ends where the same news in order ends."""

import asyncio
from collections.abc import Awaitable
from datetime import timedelta
from typing import Any, Final, TypeVar

import orjson
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from libs.common.database import Database, open_database
from libs.common.lifecycle import lock_run, move_segment
from services.callback.handlers import Rules, hear_webhook
from tests.integration.callback import rows

RULES = Rules(simple_dialect=True, late_after=timedelta(hours=1))
PROGRESS: Final = {"queued": 0, "generating": 1, "first": 2, "complete": 3}
SONG = {"audio_url": "https://a/a.mp3", "stream_audio_url": "https://a/a", "duration": 180}
IN_ORDER: Final = ("text", "first", "error", "complete")
Result = TypeVar("Result")


def webhook(stage: str, task_id: str | None) -> bytes:
    songs: list[dict[str, object]] = [] if stage in ("text", "error") else [SONG]
    body = {"callbackType": stage, "task_id": task_id, "data": songs}
    return orjson.dumps({"code": 501 if stage == "error" else 200, "msg": "", "data": body})


class News(RuleBasedStateMachine):
    """One attempt hears; its twin, at the end, hears the same news in order."""

    dsn = ""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.opened = open_database(self.dsn, "callback", min_size=1, max_size=2)
        self.database: Database = self.do(self.opened.__aenter__())
        self.connection = self.do(rows.connect(self.dsn))
        self.heard: set[str] = set()
        self.rank, self.progress = 0, 0

    def do(self, work: Awaitable[Result]) -> Result:
        async def wrapped() -> Result:
            return await work

        return self.runner.run(wrapped())

    @initialize()
    def begin(self) -> None:
        self.attempt = self.do(self.new_attempt())

    async def new_attempt(self) -> rows.Attempt:
        run_id, segments = await rows.add_run(self.connection, seconds=(240,))
        return await rows.add_attempt(self.connection, run_id, segments[0])

    @rule(stage=st.sampled_from(IN_ORDER), task=st.sampled_from(["a", "b", None]), again=st.integers(1, 3))
    def hear(self, stage: str, task: str | None, again: int) -> None:
        self.heard.add(stage)
        task_id = None if task is None else f"{task}-{self.attempt.attempt_id}"
        for time in range(again):
            before = self.do(rows.everything(self.connection))
            fresh = self.do(self.tell(self.attempt, webhook(stage, task_id)))
            if time:
                assert not fresh
                assert self.do(rows.everything(self.connection)) == before

    async def tell(self, attempt: rows.Attempt, raw: bytes) -> bool:
        segment_id, token = attempt.segment_id, attempt.token
        return await hear_webhook(self.database, RULES, segment_id=segment_id, token=token, raw=raw)

    @precondition(lambda self: "complete" in self.heard)
    @rule()
    def store(self) -> None:
        self.do(self.settle(self.attempt))

    @precondition(lambda self: self.rank == 4)
    @rule()
    def give_the_verdict(self) -> None:
        self.do(self.settle(self.attempt))
        self.progress = 0  # a verdict is no progress; a later fact may lift it

    async def settle(self, attempt: rows.Attempt) -> None:
        """The archiver stores what was delivered; the generator gives up what has no attempt alive."""
        kept, _ = await self.state(attempt)
        async with self.database.transaction() as connection:
            await lock_run(connection, attempt.run_id)
            if kept["rank"] == 5:
                path = f"runs/{attempt.run_id}/{attempt.segment_id}.mp3"
                await move_segment(connection, attempt.segment_id, "complete", storage_path=path)
                await connection.execute("UPDATE segment_attempts SET rank = 6 WHERE id = $1", attempt.attempt_id)
            elif kept["rank"] == 4:
                await move_segment(connection, attempt.segment_id, "failed")

    async def state(self, attempt: rows.Attempt) -> tuple[dict[str, Any], dict[str, Any]]:
        kept = await rows.row(self.connection, "segment_attempts", attempt.attempt_id)
        return kept, await rows.row(self.connection, "parcours_segments", attempt.segment_id)

    @invariant()
    def progress_never_falls(self) -> None:
        if not hasattr(self, "attempt"):
            return
        kept, segment = self.do(self.state(self.attempt))
        assert kept["rank"] >= self.rank
        self.rank = kept["rank"]
        if segment["status"] != "failed":
            assert PROGRESS[segment["status"]] >= self.progress
            self.progress = PROGRESS[segment["status"]]

    def teardown(self) -> None:
        try:
            if hasattr(self, "attempt"):
                self.do(self.compare_with_order())
        finally:
            self.do(self.connection.close())
            self.do(self.opened.__aexit__(None, None, None))
            self.runner.close()

    async def compare_with_order(self) -> None:
        twin = await self.new_attempt()
        for stage in sorted(self.heard, key=IN_ORDER.index):
            await self.tell(twin, webhook(stage, None))
        for attempt in (twin, self.attempt):
            await self.settle(attempt)
        expected, found = await self.state(twin), await self.state(self.attempt)
        for key in ("rank", "alive", "error_code"):
            assert found[0][key] == expected[0][key], key
        assert _timeless(found[0]["facts"]) == _timeless(expected[0]["facts"])
        assert found[1]["status"] == expected[1]["status"]


def _timeless(facts: dict[str, object]) -> dict[str, object]:
    return {key: None if key.startswith("heard_") else value for key, value in facts.items()}


def test_news_in_any_order_end_where_the_same_news_in_order_end(database: str) -> None:
    News.dsn = database
    run_state_machine_as_test(
        News, settings=settings(max_examples=25, stateful_step_count=12, deadline=None, database=None)
    )
