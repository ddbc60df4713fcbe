"""The signer's one query."""

from dataclasses import dataclass
from typing import Final
from uuid import UUID

from libs.common.database import Connection

_SEGMENT: Final = """
SELECT r.user_id, s.status, s.storage_path, floor(extract(epoch FROM clock_timestamp()))::bigint AS now
FROM parcours_segments s JOIN parcours_runs r ON r.id = s.run_id
WHERE s.id = $1
"""


@dataclass(frozen=True, slots=True)
class Segment:
    """Whose it is, whether it is stored, and the database's clock (Unix time, s)."""

    user_id: UUID
    status: str
    storage_path: str | None
    now: int


async def find_segment(connection: Connection, segment_id: UUID) -> Segment | None:
    row = await connection.fetchrow(_SEGMENT, segment_id)
    return None if row is None else Segment(row["user_id"], row["status"], row["storage_path"], row["now"])
