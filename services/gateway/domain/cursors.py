"""Owns the cursor of a list: opaque to callers, the place of the last item to us."""

import base64
import binascii
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from libs.common.errors import Problem


class Place(NamedTuple):
    """Where a page ended; lists are newest first, ids break ties."""

    created_at: datetime
    run_id: UUID


def encode(place: Place) -> str:
    """Return the cursor that continues after this place."""
    return base64.urlsafe_b64encode(f"{place.created_at.isoformat()} {place.run_id}".encode()).decode().rstrip("=")


def decode(cursor: str) -> Place:
    """Return the place; raises a 400 problem for anything that `encode` cannot have made."""
    try:
        text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode()
        created_at, _, run_id = text.partition(" ")
        place = Place(datetime.fromisoformat(created_at), UUID(run_id))
    except (ValueError, binascii.Error):
        raise Problem(400, "malformed_cursor", "The cursor was not made by this list") from None
    if place.created_at.tzinfo is None:
        raise Problem(400, "malformed_cursor", "The cursor was not made by this list")
    return place
