"""Owns the plain pages: the player at `/` and the API's page at `/docs`, all from our own origin."""

import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

from fastapi import APIRouter, Request, Response

PAGE = Path(__file__).parent.parent / "page"
_TYPES = {".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
_FILES = {
    "/": "index.html",
    "/docs": "docs.html",
    "/assets/app.js": "app.js",
    "/assets/api.js": "api.js",
    "/assets/player.js": "player.js",
    "/assets/form.js": "form.js",
    "/assets/dom.js": "dom.js",
    "/assets/words.js": "words.js",
    "/assets/style.css": "style.css",
    "/assets/docs.js": "docs.js",
    "/favicon.ico": "icon.svg",
}


@dataclass(frozen=True)
class _File:
    body: bytes
    media_type: str
    etag: str


def pages(media_origin: str | None) -> APIRouter:
    """Return the routes; `media_origin` is where audio comes from when it is not our own origin."""
    router = APIRouter(include_in_schema=False)
    security = _security_headers(media_origin)
    for path, name in _FILES.items():
        router.add_api_route(path, _endpoint(_read(PAGE / name), security), methods=["GET", "HEAD"], name=name)
    return router


def _read(path: Path) -> _File:
    body = path.read_bytes()
    return _File(body, f"{_TYPES[path.suffix]}; charset=utf-8", f'"{hashlib.sha256(body).hexdigest()[:32]}"')


def _endpoint(file: _File, security: dict[str, str]) -> Callable[[Request], Awaitable[Response]]:
    headers = security | {"etag": file.etag, "cache-control": "no-cache"}

    async def page(request: Request) -> Response:
        if request.headers.get("if-none-match") == file.etag:
            return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
        return Response(file.body, headers=headers, media_type=file.media_type)

    return page


def _security_headers(media_origin: str | None) -> dict[str, str]:
    media = " ".join(filter(None, ("'self'", "blob:", media_origin)))
    policy = (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        f"media-src {media}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return {
        "content-security-policy": policy,
        "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer",
        "permissions-policy": "camera=(), microphone=(), geolocation=()",
        "cross-origin-opener-policy": "same-origin",
    }
