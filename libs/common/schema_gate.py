"""Keeps a service unready until the database has the schema that its code needs."""

from typing import Final

from libs.common import migrate
from libs.common.database import Database
from libs.common.health import Readiness
from libs.common.loops import Loops

LOOK_SECONDS: Final = 1.0


def await_schema(loops: Loops, database: Database, readiness: Readiness) -> None:
    """Hold `/readyz` at 503 until every `pre` migration is applied; code never migrates at its start."""
    readiness.waiting_for.add("schema")

    async def look() -> bool:
        if "schema" in readiness.waiting_for:
            async with database.connection() as connection:
                if await migrate.is_current(connection):
                    readiness.waiting_for.discard("schema")
        return False

    loops.add("schema", look, every=LOOK_SECONDS)
