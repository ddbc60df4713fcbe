"""The command that brings a database to the schema this code needs: plain SQL files, in order, once each."""

import asyncio
import hashlib
import re
from dataclasses import dataclass
from importlib.resources import files
from typing import Literal

import asyncpg

LOCK_KEY = 0x70617263  # "parc": one migration at a time per database
LOCK_TIMEOUT = "3s"  # a migration that waits for a lock must not queue everybody else behind it
STATEMENT_TIMEOUT = "5min"
RETRIES = 10
LOOK_SECONDS = 0.1

_NAME = re.compile(r"^(\d{4})_([a-z0-9_]+)\.(pre|post)\.sql$")


class MigrationChangedError(Exception):
    """A file that was applied reads differently now; a new file is the way to change the schema."""


@dataclass(frozen=True, slots=True)
class Migration:
    """One SQL file. `pre` runs before the code that needs it is rolled out, `post` after the old code has gone."""

    version: int
    name: str
    phase: Literal["pre", "post"]
    sql: str

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.sql.encode()).hexdigest()

    @property
    def outside_transaction(self) -> bool:
        return "CONCURRENTLY" in self.sql


def load() -> list[Migration]:
    """All migrations of this version of the code, in the order in which they are applied."""
    found = []
    for file in files("libs.common.migrations").iterdir():
        match = _NAME.match(file.name)
        if match:
            number, name, phase = match.groups()
            found.append(Migration(int(number), name, "pre" if phase == "pre" else "post", file.read_text("utf-8")))
    return sorted(found, key=lambda migration: (migration.version, migration.phase == "post"))


async def apply(dsn: str, *, phases: tuple[str, ...] = ("pre", "post")) -> list[str]:
    """Apply what is missing and return the names. Safe to run again and beside another run, which it waits for."""
    connection = await asyncpg.connect(dsn, timeout=10, server_settings={"application_name": "migrate"})
    try:
        # Asked again and again: who waits in the database holds a snapshot there, for whose end an index that is built
        # CONCURRENTLY waits in turn. Two migrations at once would be a deadlock.
        while not await connection.fetchval("SELECT pg_try_advisory_lock($1)", LOCK_KEY):  # noqa: ASYNC110 - the lock is another process's
            await asyncio.sleep(LOOK_SECONDS)
        await connection.execute(_BOOKKEEPING)
        return [
            f"{migration.version:04}_{migration.name}.{migration.phase}"
            for migration in load()
            if migration.phase in phases and await _apply_one(connection, migration)
        ]
    finally:
        await connection.close()


async def is_current(connection: "asyncpg.Connection | asyncpg.pool.PoolConnectionProxy") -> bool:
    """Whether every `pre` migration of this code is applied: what `/readyz` waits for."""
    if await connection.fetchval("SELECT to_regclass('schema_migrations')") is None:
        return False
    rows = await connection.fetch("SELECT version, phase FROM schema_migrations")
    applied = {(row["version"], row["phase"]) for row in rows}
    return all((m.version, m.phase) in applied for m in load() if m.phase == "pre")


async def _apply_one(connection: asyncpg.Connection, migration: Migration) -> bool:
    applied = await connection.fetchval(
        "SELECT sha256 FROM schema_migrations WHERE version = $1 AND phase = $2", migration.version, migration.phase
    )
    if applied == migration.sha256:
        return False
    if applied is not None:
        raise MigrationChangedError(
            f"migration {migration.version:04}_{migration.name}.{migration.phase} was applied with other contents; "
            "restore the file and write a new migration"
        )
    for attempt in range(1, RETRIES + 1):
        try:
            await _execute(connection, migration)
        except asyncpg.LockNotAvailableError:
            if attempt == RETRIES:
                raise
            await asyncio.sleep(0.5 * attempt)
        else:
            return True
    return False


async def _execute(connection: asyncpg.Connection, migration: Migration) -> None:
    if migration.outside_transaction:
        await connection.execute(migration.sql)
        await _record(connection, migration)
        return
    async with connection.transaction():
        await connection.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")
        await connection.execute(f"SET LOCAL statement_timeout = '{STATEMENT_TIMEOUT}'")
        await connection.execute(migration.sql)
        await _record(connection, migration)


async def _record(connection: asyncpg.Connection, migration: Migration) -> None:
    await connection.execute(
        "INSERT INTO schema_migrations (version, name, phase, sha256) VALUES ($1, $2, $3, $4)",
        migration.version,
        migration.name,
        migration.phase,
        migration.sha256,
    )


_BOOKKEEPING = """
CREATE TABLE IF NOT EXISTS schema_migrations (
  version    integer NOT NULL,
  name       text NOT NULL,
  phase      text NOT NULL CHECK (phase IN ('pre', 'post')),
  sha256     text NOT NULL,
  applied_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (version, phase)
)
"""
