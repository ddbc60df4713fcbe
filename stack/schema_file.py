"""Writes `libs/common/schema.sql`, the schema as one readable file: `python -m stack.schema_file`.

Migrations are the source; a test builds one database from each and asserts that nothing differs.
"""

import asyncio
import subprocess
import tempfile
from pathlib import Path

from libs.common import migrate
from stack.embedded.ports import free_port
from stack.embedded.postgres import EmbeddedPostgres, tool
from stack.embedded.processes import start_ready

PATH = Path(migrate.__file__).with_name("schema.sql")
HEADER = "-- The schema after all migrations. Written by `python -m stack.schema_file`; a test compares the two.\n"


def dump(dsn: str) -> str:
    """The schema of a database as SQL, without owners, versions and the migrations' own bookkeeping."""
    options = ("--schema-only", "--no-owner", "--no-privileges", "--exclude-table=schema_migrations")
    command = [str(tool("pg_dump")), *options, dsn]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    lines = [line for line in text.splitlines() if not line.startswith(("--", "\\", "SET ", "SELECT pg_catalog"))]
    return "\n".join(line for line, before in zip(lines, ["", *lines], strict=False) if line or before) + "\n"


async def write() -> None:
    """Migrate a database of our own and write its schema down."""
    with tempfile.TemporaryDirectory(prefix="parcours-schema-") as name:
        folder = Path(name)
        folder.chmod(0o711)
        server = EmbeddedPostgres(folder / "postgres", free_port(), "schema", durable=False)
        running = await start_ready(server, folder / "postgres.log")
        try:
            await migrate.apply(server.dsn)
            PATH.write_text(HEADER + dump(server.dsn), encoding="utf-8")
        finally:
            running.stop()


if __name__ == "__main__":
    asyncio.run(write())
