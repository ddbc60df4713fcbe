"""Create as its tests use it: the service's own routes on a real database, without the messages that follow."""

import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import httpx
from fastapi import FastAPI
from pydantic import SecretStr

from libs.common.database import Database
from libs.common.http import create_app
from libs.common.identity import Verifier, issue
from services.create.app import rules_of
from services.create.routes import Desk, router
from services.create.settings import Settings

JWT_SECRET = "a-secret-of-at-least-thirty-two-bytes"
INTERNAL_SECRET = "what-the-services-share"
PANIC = {"presetKey": "panique-anxiete", "emotionState": "fear-0.8", "sudsStart": 8, "locale": "fr"}


def settings_for(dsn: str, **more: Any) -> Settings:
    return Settings(
        database_url=SecretStr(dsn),
        supabase_jwt_secret=SecretStr(JWT_SECRET),
        supabase_anon_key=SecretStr("an-anon-key"),
        internal_secret=SecretStr(INTERNAL_SECRET),
        **more,
    )


@asynccontextmanager
async def nothing_to_open(_app: FastAPI) -> AsyncIterator[None]:
    yield


@asynccontextmanager
async def serving(pool: Database, settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(service="create", settings=settings, lifespan=nothing_to_open, checks={})
    app.include_router(router(Desk(Verifier.from_settings(settings), rules_of(settings), pool)))
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://create") as client:
        yield client


def bearer(user_id: uuid.UUID) -> dict[str, str]:
    return {"authorization": f"Bearer {issue(JWT_SECRET, user_id)}"}


async def start(
    client: httpx.AsyncClient, user_id: uuid.UUID, body: Mapping[str, Any] = PANIC, **headers: str
) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return await client.post("/runs", json=body, headers=bearer(user_id) | named)


async def counts(connection: asyncpg.Connection) -> dict[str, int]:
    """How many rows creating a run could have written."""
    tables = ("parcours_runs", "parcours_segments", "outbox", "users", "idempotency_keys", "text_jobs")
    return {each: await connection.fetchval(f"SELECT count(*) FROM {each}") for each in tables}  # noqa: S608 - our own words
