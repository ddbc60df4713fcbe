"""Owns the rows and hands of the archiver's tests: segments, attempts that delivered, and workers that carry jobs."""

import hashlib
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import asyncpg

from libs.common.objects import ObjectStore
from services.archiver.handlers.finals import archive_final
from services.archiver.handlers.growing import GrowingCopies
from services.archiver.handlers.previews import copy_preview
from services.archiver.handlers.tools import Tools
from services.archiver.storage import Kind
from services.archiver.sweeps import Lane

FILE_SECONDS = 46


@dataclass(frozen=True)
class Segment:
    run_id: uuid.UUID
    segment_id: uuid.UUID

    @property
    def key(self) -> str:
        return f"runs/{self.run_id}/{self.segment_id}.mp3"


@dataclass(frozen=True)
class World:
    """One test's rows."""

    connection: asyncpg.Connection

    async def segment(self, index: int = 0, *, run_id: uuid.UUID | None = None, **plan: Any) -> Segment:
        run_id = run_id or await self.connection.fetchval(
            "INSERT INTO parcours_runs (user_id, preset_key) VALUES ($1, 'panique-anxiete') RETURNING id", uuid.uuid4()
        )
        segment_id = await self.connection.fetchval(
            """INSERT INTO parcours_segments (run_id, segment_index, status, plan, callback_token, requested_at)
            VALUES ($1, $2, 'generating', $3, $4, now()) RETURNING id""",
            run_id,
            index,
            {"seconds": FILE_SECONDS - 5, "file_seconds": FILE_SECONDS, "loudness_lufs": -16.0, "last": False} | plan,
            uuid.uuid4(),
        )
        assert run_id is not None
        return Segment(run_id, segment_id)

    async def attempt(self, segment: Segment, *, rank: int, facts: Mapping[str, Any]) -> uuid.UUID:
        attempt_id: uuid.UUID = await self.connection.fetchval(
            """INSERT INTO segment_attempts (segment_id, user_id, attempt_no, provider, account, slot_no, token_sha256,
              rank, delivered_at, facts)
            SELECT $1, $2, 1 + count(*), 'suno', 'suno-1', 1, $3, $4, now(), $5 FROM segment_attempts
            WHERE segment_id = $1 RETURNING id""",
            segment.segment_id,
            uuid.uuid4(),
            hashlib.sha256(uuid.uuid4().bytes).digest(),
            rank,
            dict(facts),
        )
        return attempt_id

    async def delivered(
        self, segment: Segment, *urls: str, dialect: str = "other", preview: str | None = None
    ) -> uuid.UUID:
        """An attempt of rank 5 with its job; the dialect `other` is one that nobody has to confirm."""
        facts: dict[str, Any] = {"dialect": dialect, "takes": [{"url": url, "duration": None} for url in urls]}
        attempt_id = await self.attempt(segment, rank=5, facts=facts | ({"preview_url": preview} if preview else {}))
        await self.job(segment, attempt_id, "final")
        return attempt_id

    async def first(self, segment: Segment, preview: str) -> uuid.UUID:
        """An attempt of rank 3 with the job of its preview."""
        attempt_id = await self.attempt(segment, rank=3, facts={"dialect": "suno", "preview_url": preview})
        await self.job(segment, attempt_id, "preview")
        return attempt_id

    async def job(self, segment: Segment, attempt_id: uuid.UUID, kind: Kind) -> None:
        await self.connection.execute(
            "INSERT INTO archive_jobs (attempt_id, kind, segment_id) VALUES ($1, $2, $3)",
            attempt_id,
            kind,
            segment.segment_id,
        )

    async def jobs(self) -> list[dict[str, Any]]:
        found = await self.connection.fetch("SELECT *, not_before > now() AS postponed FROM archive_jobs ORDER BY kind")
        return [dict(each) for each in found]

    async def due_now(self) -> None:
        await self.connection.execute("UPDATE archive_jobs SET not_before = 'epoch', lease_until = 'epoch'")

    async def segment_row(self, segment: Segment) -> dict[str, Any]:
        row = await self.connection.fetchrow("SELECT * FROM parcours_segments WHERE id = $1", segment.segment_id)
        assert row is not None
        return dict(row)

    async def attempt_row(self, attempt_id: uuid.UUID) -> dict[str, Any]:
        row = await self.connection.fetchrow("SELECT * FROM segment_attempts WHERE id = $1", attempt_id)
        assert row is not None
        return dict(row)

    async def news(self) -> list[tuple[str, dict[str, Any]]]:
        rows = await self.connection.fetch("SELECT topic, payload FROM outbox ORDER BY id")
        return [(row["topic"], row["payload"]) for row in rows]

    async def topics(self) -> list[str]:
        return [topic for topic, _ in await self.news()]


async def carry(tools: Tools, kind: Kind = "final", *, copies: GrowingCopies | None = None) -> None:
    """Carry every due job of a kind to its end, as one worker."""
    work = (
        partial(archive_final, tools=tools, copies=copies or GrowingCopies())
        if kind == "final"
        else partial(copy_preview, tools=tools, copies=copies or GrowingCopies())
    )
    lane = Lane(kind, 1, work, database=tools.database, time_scale=tools.time_scale)
    while await lane.turn():
        await lane.close(60)


async def whole(store: ObjectStore, key: str) -> bytes:
    return b"".join([piece async for piece in store.read(key)])
