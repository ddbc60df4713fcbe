"""Signing: whose segment it is comes before what state it is in."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Protocol
from uuid import UUID

from libs.common.database import Database
from libs.common.errors import Problem
from libs.common.signing import MediaSigner
from services.signer import storage

LIFE_SECONDS: Final = 3600  # one hour (architecture.md §7)
CONTENT_TYPE: Final = "audio/mpeg"
MEDIA_PREFIX: Final = "/media/parcours-tracks/"


class Presigner(Protocol):
    """A store that can sign its own addresses; `None` from one that cannot."""

    async def presign(self, key: str, seconds: int, content_type: str) -> str | None: ...


@dataclass(frozen=True, slots=True)
class Links:
    """How addresses are made. `store` is there with `MEDIA_MODE=direct` alone; without it the gateway serves."""

    signer: MediaSigner
    public_url: str
    store: Presigner | None = None

    async def address(self, key: str, expires_at: int) -> str:
        if self.store is not None:
            presigned = await self.store.presign(key, LIFE_SECONDS, CONTENT_TYPE)
            if presigned is not None:
                return presigned
        return f"{self.public_url}{MEDIA_PREFIX}{key}?token={self.signer.sign(key, expires_at)}"


@dataclass(frozen=True, slots=True)
class Signed:
    """An address and when it ends."""

    url: str
    expires_at: datetime


async def sign(database: Database, links: Links, *, segment_id: UUID, user_id: UUID) -> Signed:
    """Return an address for the segment's stored file; 404 unknown, 403 another's, 409 not stored, in this order."""
    async with database.connection() as connection:
        segment = await storage.find_segment(connection, segment_id)
    if segment is None:
        raise Problem(404, "not_found", "There is no such segment")
    if segment.user_id != user_id:
        raise Problem(403, "forbidden", "The segment belongs to another user")
    if segment.status != "complete" or not segment.storage_path:
        raise Problem(409, "segment_not_ready", "The segment is not complete yet")
    expires_at = segment.now + LIFE_SECONDS
    return Signed(await links.address(segment.storage_path, expires_at), datetime.fromtimestamp(expires_at, UTC))
