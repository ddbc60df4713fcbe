"""Reads the keys that the generator fetched from the providers that sign their webhooks."""

from libs.common.database import Connection

_KEYS = "SELECT provider, key FROM provider_keys ORDER BY fetched_at DESC, key_id"


async def provider_keys(connection: Connection) -> list[tuple[str, str]]:
    """Provider and key, the youngest first."""
    return [(row["provider"], row["key"]) for row in await connection.fetch(_KEYS)]
