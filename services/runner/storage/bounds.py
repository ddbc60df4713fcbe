"""What a user has used up of the bounds on runs. `create` counts by the same rule and takes the same lock."""

from datetime import datetime
from typing import Final
from uuid import UUID

from libs.common.database import Connection

_LOCK_USER: Final = "SELECT pg_advisory_xact_lock(hashtextextended($1::uuid::text, 0))"

_UNFINISHED: Final = "SELECT count(*) FROM parcours_runs WHERE user_id = $1 AND status = 'creating'"

# Seconds until the $2-th newest start of the last 24 h leaves the day; no row while there are fewer.
# A resume is a start.
_SECONDS_TO_WAIT: Final = """
SELECT extract(epoch FROM at + interval '24 h' - clock_timestamp())::float FROM (
  SELECT created_at AS at FROM parcours_runs WHERE user_id = $1 AND created_at > clock_timestamp() - interval '24 h'
  UNION ALL
  SELECT resumed::timestamptz FROM parcours_runs, jsonb_array_elements_text(metadata->'resumes') resumed
  WHERE user_id = $1 AND resumed_at > clock_timestamp() - interval '24 h'
) starts WHERE at > clock_timestamp() - interval '24 h' ORDER BY at DESC OFFSET $2 - 1 LIMIT 1
"""

_RESUMED: Final = """
UPDATE parcours_runs SET resumed_at = $2, metadata = metadata || jsonb_build_object(
  'resumed_from', $3::int, 'resumes', coalesce(metadata->'resumes', '[]') || jsonb_build_array($4::text))
WHERE id = $1
"""


async def lock_user(connection: Connection, user_id: UUID) -> None:
    """Let one transaction at a time count this user's runs and add to them; taken before any run's lock."""
    await connection.execute(_LOCK_USER, user_id)


async def count_unfinished(connection: Connection, user_id: UUID) -> int:
    return int(await connection.fetchval(_UNFINISHED, user_id))


async def seconds_to_wait(connection: Connection, user_id: UUID, per_day: int) -> float | None:
    """How long until the user may start another run today; `None`: at once."""
    seconds: float | None = await connection.fetchval(_SECONDS_TO_WAIT, user_id, per_day)
    return seconds


async def note_resume(connection: Connection, run_id: UUID, at: datetime, from_index: int) -> None:
    """Write that a run began anew, for the bounds and for the due times of its segments."""
    await connection.execute(_RESUMED, run_id, at, from_index, at.isoformat())
