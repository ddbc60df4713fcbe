"""Owns HTTP in and out: the reseller's three endpoints, and the files with Range."""

import hmac
import re
from typing import Annotated

import orjson
from fastapi import APIRouter, Depends, Request
from fastapi.responses import FileResponse, JSONResponse, StreamingResponse
from starlette.responses import Response

from libs.common.errors import Problem
from services.composer.dialect import Code, RefusedError, envelope
from services.composer.files import GrowingFile, RenderFailedError
from services.composer.handlers import Studio
from services.composer.settings import Settings
from services.composer.wire import Kind

CREDITS = 1_000_000  # nothing is charged; the number only has to be more than any caller needs
_BEARER = "Bearer "
_FILE = re.compile(r"([01])(\.stream)?\.mp3")
_AUDIO = "audio/mpeg"

router = APIRouter()


def studio_of(request: Request) -> Studio:
    studio: Studio = request.app.state.studio
    return studio


def settings_of(request: Request) -> Settings:
    settings: Settings = request.app.state.settings
    return settings


Asked = Annotated[Studio, Depends(studio_of)]
Configured = Annotated[Settings, Depends(settings_of)]


@router.post("/api/v1/generate")
async def generate(request: Request, studio: Asked, settings: Configured) -> JSONResponse:
    try:
        _check_key(request, settings)
        task_id = studio.submit(_parsed(await request.body()), settings.composer_url)
    except RefusedError as refusal:
        return JSONResponse(envelope(None, refusal.code, str(refusal)))
    return JSONResponse(envelope({"taskId": task_id}))


@router.get("/api/v1/generate/record-info")
async def record_info(request: Request, studio: Asked, settings: Configured) -> JSONResponse:
    try:
        _check_key(request, settings)
        found = studio.record(request.query_params.get("taskId", ""))
    except RefusedError as refusal:
        return JSONResponse(envelope(None, refusal.code, str(refusal)))
    return JSONResponse(envelope(found))


@router.get("/api/v1/generate/credit")
async def credit(request: Request, settings: Configured) -> JSONResponse:
    try:
        _check_key(request, settings)
    except RefusedError as refusal:
        return JSONResponse(envelope(None, refusal.code, str(refusal)))
    return JSONResponse(envelope(CREDITS))


@router.api_route("/files/{task_id}/{name}", methods=["GET", "HEAD"])
async def download(task_id: str, name: str, studio: Asked) -> Response:
    """A preview may be read while it grows; a final answers when it is whole."""
    found = _FILE.fullmatch(name)
    kind: Kind = "preview" if found and found.group(2) else "final"
    file = studio.file(task_id, int(found.group(1)), kind) if found else None
    if file is None:
        raise Problem(404, "unknown_file", detail="Files live as long as the process, and an hour after they are made.")
    try:
        return await _answer(file, kind)
    except RenderFailedError as error:
        raise Problem(500, "render_failed", detail="The engine could not make this file.") from error


async def _answer(file: GrowingFile, kind: Kind) -> Response:
    if kind == "preview" and not file.is_whole:
        await file.wait_for_bytes()
        return StreamingResponse(file.stream(), media_type=_AUDIO)
    await file.wait_until_whole()
    headers = {"etag": f'"{file.sha256}"', "cache-control": "private, max-age=3600, immutable"}
    return FileResponse(file.path, media_type=_AUDIO, headers=headers)


def _check_key(request: Request, settings: Settings) -> None:
    expected = settings.composer_api_key.get_secret_value()
    given = request.headers.get("authorization", "")
    if expected and not hmac.compare_digest(given.encode(), (_BEARER + expected).encode()):
        raise RefusedError(Code.BAD_KEY, "bad or missing key")


def _parsed(raw: bytes) -> object:
    try:
        parsed: object = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise RefusedError(Code.BAD_PARAMETERS, "expected a JSON object") from error
    return parsed
