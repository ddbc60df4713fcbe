"""The keys that providers sign their webhooks with: the generator writes them, the callback reads them."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Final

from libs.common.database import Connection

_ARE_DUE: Final = """
SELECT coalesce(min(fetched_at) < clock_timestamp() - $2::interval, true) FROM provider_keys WHERE provider = $1
"""
_STORE: Final = """
INSERT INTO provider_keys (provider, key_id, key, fetched_at)
SELECT $1, k.key_id, k.key, clock_timestamp() FROM unnest($2::text[], $3::text[]) AS k (key_id, key)
ON CONFLICT (provider, key_id) DO UPDATE SET key = excluded.key, fetched_at = excluded.fetched_at
"""
_FORGET_OTHERS: Final = "DELETE FROM provider_keys WHERE provider = $1 AND key_id <> ALL ($2::text[])"


async def are_due(connection: Connection, provider: str, after_seconds: float) -> bool:
    """Whether there are none, or some that are older than that."""
    return await connection.fetchval(_ARE_DUE, provider, timedelta(seconds=after_seconds)) is True


async def store(connection: Connection, provider: str, keys: Mapping[str, str], *, complete: bool) -> None:
    """Keep these; with `complete` no others: in one transaction, so that there is no moment without any."""
    await connection.execute(_STORE, provider, list(keys), list(keys.values()))
    if complete:
        await connection.execute(_FORGET_OTHERS, provider, list(keys))
