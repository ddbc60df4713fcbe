"""Owns a sample service over HTTP, for the tests of what every service has."""

from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import FastAPI

from libs.common.http import create_app
from libs.common.settings import ServiceSettings
from tests.unit.common.sample import add_routes, fine, nothing_to_open


@pytest.fixture
def app() -> FastAPI:
    made = create_app(
        service="sample", settings=ServiceSettings(version="1.2"), lifespan=nothing_to_open, checks={"database": fine}
    )
    add_routes(made)
    return made


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app, raise_app_exceptions=True)
        async with httpx.AsyncClient(transport=transport, base_url="http://sample") as opened:
            yield opened
