"""Owns the sample service that the tests of every service's HTTP ask."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from enum import StrEnum
from uuid import UUID

import asyncpg
import httpx
from fastapi import APIRouter, FastAPI
from pydantic import BaseModel, ConfigDict, Field, field_validator

from libs.common.errors import Problem

MARKER = "MARKER-5f3a"


class Colour(StrEnum):
    RED = "red"


class Order(BaseModel):
    model_config = ConfigDict(extra="forbid")

    preset_key: str = Field(max_length=5)
    colour: Colour = Colour.RED
    suds: int = Field(default=0, le=10)

    @field_validator("preset_key")
    @classmethod
    def _known(cls, value: str) -> str:
        if value == "bad":
            raise ValueError(f"unknown {value} {MARKER}")
        return value


@asynccontextmanager
async def nothing_to_open(_app: FastAPI) -> AsyncIterator[None]:
    yield


async def fine() -> None:
    return


def add_routes(app: FastAPI) -> None:
    router = APIRouter(prefix="/v1")

    @router.post("/orders")
    async def order(body: Order) -> dict[str, str]:
        return {"preset": body.preset_key}

    @router.get("/orders")
    async def orders() -> list[str]:
        return []

    @router.get("/orders/{order_id}")
    async def read(order_id: UUID, limit: int = 1) -> dict[str, str]:
        return {"id": str(order_id), "limit": str(limit)}

    @router.get("/problem")
    async def problem() -> None:
        raise Problem(
            409, "not_ready", "Not ready", detail="Later.", headers={"retry-after": "3"}, members={"runId": "1"}
        )

    @router.get("/bug")
    async def bug() -> None:
        raise RuntimeError(f"{MARKER} postgresql://user:secret@db.internal/x")

    @router.get("/database/{kind}")
    async def database(kind: str) -> None:
        raise {
            "away": ConnectionRefusedError(),
            "slow": TimeoutError(),
            "closing": asyncpg.AdminShutdownError("closing"),
            "ours": asyncpg.DataError(MARKER),
        }[kind]

    app.include_router(router)


def assert_problem(answer: httpx.Response, status: int, code: str) -> dict[str, object]:
    body: dict[str, object] = answer.json()
    assert (answer.status_code, body["code"], body["status"]) == (status, code, status)
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["cache-control"] == "no-store"
    assert {"type", "title"} <= body.keys()
    assert MARKER not in answer.text
    return body
