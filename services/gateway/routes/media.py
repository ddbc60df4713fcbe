"""Owns the audio files: signed addresses, ranges, previews that still grow (audio-and-player.md §7.4, §7.5)."""

import asyncio
import re
from collections.abc import AsyncIterator
from typing import Annotated, Any
from uuid import UUID

import httpx
from fastapi import APIRouter, Query, Request, Response

from libs.common.errors import Problem
from libs.common.objects import ObjectInfo, ObjectMissing
from services.gateway.clients import unavailable
from services.gateway.domain import byte_range
from services.gateway.links import CONTENT_TYPE, MEDIA_PREFIX
from services.gateway.pieces import PiecesResponse, Primed, primed
from services.gateway.routes.dependencies import Parts, PartsOf, operation_name, problem_responses

router = APIRouter(tags=["media"], generate_unique_id_function=operation_name)

_ID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_KEY = re.compile(rf"runs/{_ID}/{_ID}\.mp3|previews/(?P<segment>{_ID})-(?P<attempt>[0-9]{{1,4}})\.mp3")
_CACHE = "private, max-age=3600, immutable"
_GROWING_PIECE = 256 * 1024  # bytes of one answer while the end is not known: 16 s at 128 kbit/s
_GROWING_WAIT_SECONDS = 2.0  # for the first byte asked for
_GROWING_PAUSE_SECONDS = 0.2  # what was there already comes without such a pause
_HEADERS = {"accept-ranges": "bytes", "content-type": CONTENT_TYPE, "x-content-type-options": "nosniff"}
_AUDIO: dict[int | str, dict[str, Any]] = {
    200: {"description": "The whole file", "content": {CONTENT_TYPE: {}}},
    206: {"description": "The range asked for", "content": {CONTENT_TYPE: {}}},
    304: {"description": "The version that the caller has"},
}


@router.head(MEDIA_PREFIX + "{key:path}", include_in_schema=False)
@router.get(
    MEDIA_PREFIX + "{key:path}",
    summary="An audio file",
    response_class=Response,
    responses=_AUDIO | problem_responses(400, 401, 403, 404, 416, 422, 429, 503),
)
async def read_media(
    request: Request,
    key: str,
    parts: PartsOf,
    token: Annotated[str, Query(max_length=200, description="part of a signed address")] = "",
) -> Response:
    found = _KEY.fullmatch(key)
    if found is None:
        raise Problem(400, "malformed_id", "A part of the path is malformed")
    if not token:
        raise Problem(401, "unauthenticated", "A signed address is needed")
    parts.signer.verify(key, token)
    about = await parts.objects.head(key)
    if about is not None:
        return await _stored(request, parts, key, about)
    if found["segment"] is None:
        raise _missing()
    return await _growing(request, _relayed(parts, UUID(found["segment"]), int(found["attempt"])))


async def _stored(request: Request, parts: Parts, key: str, about: ObjectInfo) -> Response:
    etag = f'"{about.sha256.hex()}"' if about.sha256 else f'"{about.etag.strip(chr(34))}"'
    headers = _HEADERS | {"etag": etag, "cache-control": _CACHE}
    if byte_range.tag_listed(request.headers.get("if-none-match"), etag):
        return Response(status_code=304, headers=headers)
    wanted = _wanted(request, etag, about.size) if request.method == "GET" else None
    start, stop = wanted or (0, about.size)
    headers["content-length"] = str(stop - start)
    if wanted is not None:
        headers["content-range"] = f"bytes {start}-{stop - 1}/{about.size}"
    status = 200 if wanted is None else 206
    if request.method == "HEAD" or start == stop:
        return Response(status_code=status, headers=headers)
    try:
        pieces = await primed(parts.objects.read(key, start, stop))
    except ObjectMissing:  # erased since we looked
        raise _missing() from None
    return PiecesResponse(pieces, status, headers)


def _wanted(request: Request, etag: str, size: int) -> byte_range.ByteRange | None:
    if not byte_range.validator_matches(request.headers.get("if-range"), etag):
        return None
    try:
        return byte_range.requested_range(request.headers.get("range"), size)
    except byte_range.UnsatisfiableError:
        raise Problem(
            416,
            "range_not_satisfiable",
            "The range lies outside the file",
            headers={"content-range": f"bytes */{size}", "accept-ranges": "bytes"},
        ) from None


async def _growing(request: Request, relayed: AsyncIterator[bytes]) -> Response:
    """Answer with what there is of a file whose length nobody knows.

    A range gets a piece and `/*`. The open range from the start, a player's first question, gets the stream itself:
    Chromium 156 takes a piece of unknown length for the whole file and stops after it.
    """
    headers = _HEADERS | {"cache-control": "no-store"}
    pieces = await primed(relayed)
    if request.method == "HEAD":
        await pieces.aclose()
        return Response(status_code=200, headers=headers)
    range_ = request.headers.get("range")
    if byte_range.is_whole(range_):
        return PiecesResponse(pieces, 200, headers)
    start, length = byte_range.open_range(range_)
    body = await _piece(pieces, start, min(length, _GROWING_PIECE))
    if not body:
        raise Problem(416, "range_not_satisfiable", "These bytes are not there yet", headers={"accept-ranges": "bytes"})
    headers["content-range"] = f"bytes {start}-{start + len(body) - 1}/*"
    return Response(body, 206, headers)


async def _relayed(parts: Parts, segment_id: UUID, attempt_no: int) -> AsyncIterator[bytes]:
    async with parts.peers.growing_preview(parts.settings.archiver_url, segment_id, attempt_no) as answer:
        if answer is None:
            raise _missing()
        try:
            async for piece in answer.aiter_bytes():
                yield piece
        except httpx.HTTPError:
            raise unavailable() from None


async def _piece(pieces: Primed, start: int, length: int) -> bytes:
    """Collect at most `length` bytes from `start` on; wait for the first of them, but not for more.

    What lies before is dropped as it comes: a preview may have 50 MB, and each of its readers asks again and again.
    """
    before = start
    collected = bytearray()
    try:
        while len(collected) < length:
            patience = _GROWING_PAUSE_SECONDS if collected else _GROWING_WAIT_SECONDS
            piece = await asyncio.wait_for(anext(pieces), patience)
            collected += piece[before:]
            before = max(0, before - len(piece))
    except (TimeoutError, StopAsyncIteration):
        pass  # the rest is still being made, or there is no more
    finally:
        await pieces.aclose()
    return bytes(collected[:length])


def _missing() -> Problem:
    return Problem(404, "not_found", "There is no such file")
