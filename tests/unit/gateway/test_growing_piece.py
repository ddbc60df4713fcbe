"""Owns the claims about one piece of a file that still grows: which bytes, and how little of it is held meanwhile."""

import tracemalloc
from collections.abc import AsyncIterator

import pytest

from services.gateway.pieces import primed
from services.gateway.routes.media import _piece

CONTENT = bytes(range(256)) * 40


async def in_chunks(content: bytes, size: int) -> AsyncIterator[bytes]:
    for at in range(0, len(content), size):
        yield content[at : at + size]


@pytest.mark.parametrize("size", [1, 7, 1000, len(CONTENT)])
@pytest.mark.parametrize(("start", "length"), [(0, 1), (0, 999), (999, 2), (1000, 1000), (10_000, 5000), (10_240, 1)])
async def test_a_piece_is_these_bytes_however_they_come(size: int, start: int, length: int) -> None:
    pieces = await primed(in_chunks(CONTENT, size))
    assert await _piece(pieces, start, length) == CONTENT[start : start + length]


async def test_what_lies_before_a_piece_is_not_kept() -> None:
    chunk, chunks = bytes(64 * 1024), 800  # 50 MB

    async def large() -> AsyncIterator[bytes]:
        for _ in range(chunks):
            yield chunk

    pieces = await primed(large())
    tracemalloc.start()
    try:
        found = await _piece(pieces, len(chunk) * (chunks - 1), 1000)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(found) == 1000
    assert peak < 1_000_000, f"{peak} bytes were held"
