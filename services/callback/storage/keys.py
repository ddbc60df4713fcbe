"""Reads the keys that the generator fetched from the providers that sign their webhooks."""

from datetime import timedelta
from typing import Final

from libs.common.database import Connection

_KEYS: Final = """
SELECT provider, key FROM provider_keys WHERE fetched_at > clock_timestamp() - $1::interval
ORDER BY fetched_at DESC, key_id
"""


async def provider_keys(connection: Connection, within: timedelta) -> list[tuple[str, str]]:
    """Provider and key of those fetched since, the last fetched first."""
    return [(row["provider"], row["key"]) for row in await connection.fetch(_KEYS, within)]
