"""Owns the claims about fetching a key set, shown on a local server."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

from libs.common.identity import Verifier
from libs.common.jwks import fetch_bounded
from libs.common.settings import IdentitySettings

Serve = Callable[[bytes], Awaitable[str]]
KEYS = b'{"keys":[]}'


def _answer(status: str, body: bytes, *headers: str) -> bytes:
    head = [f"HTTP/1.1 {status}", f"content-length: {len(body)}", "connection: close", *headers]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """Give every request this answer; returns the server's address."""
    servers: list[asyncio.Server] = []

    async def _serve(answer: bytes) -> str:
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
            await writer.drain()
            writer.close()

        servers.append(await asyncio.start_server(handle, "127.0.0.1", 0))
        return f"http://127.0.0.1:{servers[-1].sockets[0].getsockname()[1]}"

    yield _serve
    for server in servers:
        server.close()
        await server.wait_closed()


async def test_a_key_set_is_fetched(serve: Serve) -> None:
    assert await fetch_bounded(await serve(_answer("200 OK", KEYS))) == KEYS


async def test_a_redirect_is_not_followed(serve: Serve) -> None:
    there = await serve(_answer("200 OK", KEYS))
    here = await serve(_answer("302 Found", b"", f"location: {there}"))
    with pytest.raises(ValueError, match="found 302"):
        await fetch_bounded(here)


@pytest.mark.parametrize("status", ["500 Internal Server Error", "404 Not Found", "204 No Content"])
async def test_any_other_status_is_a_failure(serve: Serve, status: str) -> None:
    with pytest.raises(ValueError, match="expected status 200"):
        await fetch_bounded(await serve(_answer(status, b"")))


async def test_a_huge_answer_is_refused(serve: Serve) -> None:
    with pytest.raises(ValueError, match="at most 65536 bytes"):
        await fetch_bounded(await serve(_answer("200 OK", b"x" * 65_537)))


async def test_a_verifier_asks_the_address_derived_from_the_project(serve: Serve) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    public = ECAlgorithm.to_jwk(key.public_key(), as_dict=True) | {"kid": "e1", "use": "sig"}
    body = json.dumps({"keys": [public]}).encode()
    asked: list[str] = []

    async def fetch(url: str) -> bytes:
        asked.append(url)
        return await fetch_bounded(url)

    address = await serve(_answer("200 OK", body))
    verifier = Verifier.from_settings(IdentitySettings(supabase_url=address), fetch=fetch)
    token = _token(key, f"{address}/auth/v1")
    assert str((await verifier.identify(f"Bearer {token}")).user_id) == "8f1b0c9e-0000-4000-8000-000000000001"
    assert asked == [f"{address}/auth/v1/.well-known/jwks.json"]


def _token(key: ec.EllipticCurvePrivateKey, issuer: str) -> str:
    claims = {"sub": "8f1b0c9e-0000-4000-8000-000000000001", "aud": "authenticated", "role": "authenticated"}
    return jwt.encode(claims | {"iss": issuer, "exp": 4_102_444_800}, key, algorithm="ES256", headers={"kid": "e1"})
