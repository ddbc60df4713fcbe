"""Owns the embedded stack's sign-in: a browser is a user, with nothing to type. Never in a real deployment."""

import hashlib
import hmac
import uuid
from datetime import UTC, datetime, timedelta

from fastapi import APIRouter, Response

from libs.common.identity import issue
from services.gateway.routes.dependencies import PartsOf, operation_name, problem_responses
from services.gateway.schemas import Browser, Session

router = APIRouter(tags=["embedded stack"], generate_unique_id_function=operation_name)
LIFE = timedelta(hours=12)


@router.post(
    "/v1/demo/session", summary="A token for this browser", responses=problem_responses(400, 413, 415, 422, 429)
)
async def start_session(browser: Browser, response: Response, parts: PartsOf) -> Session:
    secret = parts.settings.supabase_jwt_secret.get_secret_value()
    user_id = user_of(browser.browser, secret)
    issuer = f"{parts.settings.supabase_url}/auth/v1" if parts.settings.supabase_url else None
    token = issue(secret, user_id, seconds=int(LIFE.total_seconds()), issuer=issuer)
    response.headers["cache-control"] = "no-store"
    return Session(token=token, user_id=user_id, expires_at=datetime.now(UTC) + LIFE)


def user_of(browser: uuid.UUID, secret: str) -> uuid.UUID:
    """Return the browser's user id, from which nobody can tell the browser's: knowing an id does not open a session."""
    key = secret.split(",", maxsplit=1)[0].strip().encode()
    return uuid.UUID(bytes=hmac.digest(key, browser.bytes, hashlib.sha256)[:16], version=4)
