"""The `parcours` command as a person types it, where no stack runs: one line says what to do, and the status is 1."""

import os
import re
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import orjson
import pytest
from rich.table import Table

from stack import cli, operator_commands
from stack.folder import ChildRecord, DataFolder, started_at

PARCOURS = Path(sys.executable).with_name("parcours")
VERBS = ["up", "status", "demo", "compose", "listen", "token", "runs", "migrate", "doctor", "simulate"]
VERBS += ["dlq", "topics", "outbox", "quota", "segment"]
Command = Callable[..., tuple[int, str, str]]
OPTIONS = {
    "up": ["--port", "--data", "--workers", "--postgres", "--kafka", "--s3"],
    "status": ["--data", "--json"],
    "demo": ["--preset", "--emotion", "--suds", "--once", "--open"],
    "compose": ["--preset", "--out", "--emotion", "--suds", "--style", "--seed", "--minutes", "--force"],
    "listen": ["--png", "--bpm", "--data"],
    "simulate suno": ["--port", "--callbacks", "--speed", "--audio"],
    "token": ["--user", "--role", "--data"],
    "dlq": ["list", "replay"],
    "topics": ["apply"],
    "quota": ["show", "freeze", "open"],
    "quota show": ["--data", "--json"],
    "quota freeze": ["--for", "--data"],
    "segment retry": ["--force", "--data"],
}


@pytest.fixture
def parcours(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Command:
    """Types the command's arguments: status, output, errors. In this process, for starting one takes a second."""
    for name in ("DATABASE_URL", "KAFKA_BOOTSTRAP", "SUPABASE_JWT_SECRET", "S3_ACCESS_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "200")

    def typed(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["parcours", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        said = capfd.readouterr()
        return int(ended.value.code or 0), said.out, said.err

    return typed


def test_the_installed_command_lists_every_verb() -> None:
    said = subprocess.run([str(PARCOURS), "--help"], capture_output=True, text=True, check=True).stdout
    assert re.findall(r"^  ([a-z]+)  ", said.partition("Commands:")[2], re.MULTILINE) == VERBS


@pytest.mark.parametrize("verb", OPTIONS)
def test_help_of_a_verb_names_its_options(parcours: Command, verb: str) -> None:
    status, said, _ = parcours(*verb.split(), "--help")
    assert status == 0
    assert [option for option in OPTIONS[verb] if not re.search(rf"^  {option} ", said, re.MULTILINE)] == []


@pytest.mark.parametrize(
    "verb",
    [
        "runs",
        "listen 0b6b6a3e-2a2c-4a6d-8d0e-4bb1d6a1f0c2",
        "dlq list",
        "dlq replay",
        "topics apply",
        "migrate",
        "token --user 0b6b6a3e-2a2c-4a6d-8d0e-4bb1d6a1f0c2",
        "outbox replay --since 2026-01-01T00:00:00",
    ],
)
def test_a_verb_that_needs_a_stack_says_how_to_start_one(parcours: Command, tmp_path: Path, verb: str) -> None:
    folder = tmp_path / "none"
    status, said, errors = parcours(*verb.split(), "--data", str(folder))
    assert (status, said) == (1, "")
    assert re.fullmatch(rf"parcours: no stack .* on {folder}: start .*`parcours up --data {folder}`\n", errors), errors
    assert not folder.exists()


def test_the_status_of_a_folder_where_none_ran(parcours: Command, tmp_path: Path) -> None:
    status, said, _ = parcours("status", "--data", str(tmp_path / "none"))
    assert (status, "parcours up --data" in said) == (1, True)
    status, said, _ = parcours("status", "--json", "--data", str(tmp_path / "none"))
    assert (status, orjson.loads(said)) == (1, {"running": False, "processes": []})


def test_the_status_of_a_killed_stack_tells_what_it_left_running(parcours: Command, tmp_path: Path) -> None:
    folder = DataFolder(tmp_path)
    since = "2026-11-21T12:00:00.000+00:00"
    process = {"name": "runner-1", "pid": os.getpid(), "url": "http://127.0.0.1:1", "state": "ready", "since": since}
    gone = process | {"name": "signer-1", "pid": 2**22 - 1}
    with folder.locked():
        folder.keep_children([ChildRecord("runner-1", os.getpid(), started_at(os.getpid()))])
        folder.keep_status({"processes": [process, gone]})
        running = parcours("status", "--json", "--data", str(tmp_path))
    dead = parcours("status", "--json", "--data", str(tmp_path))
    assert [each["state"] for each in orjson.loads(running[1])["processes"]] == ["ready", "ready"]
    assert [(each["state"], each["pid"]) for each in orjson.loads(dead[1])["processes"]] == [
        ("left over", os.getpid()),
        ("stopped", None),
    ]
    assert dead[0] == 1
    shown = parcours("status", "--data", str(tmp_path))[1]
    assert re.search(rf"runner-1 +{os.getpid()} +http://127.0.0.1:1 +left over +2026-11-21", shown)


@pytest.mark.parametrize("verb", ["up", "demo"])
def test_a_folder_in_use_is_refused(parcours: Command, tmp_path: Path, verb: str) -> None:
    with DataFolder(tmp_path).locked():
        status, said, errors = parcours(verb, "--data", str(tmp_path))
    assert (status, said) == (1, "")
    assert errors.startswith(f"parcours: a stack is running on {tmp_path}. See it with `parcours status --data")


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--workers", "conductor=2"], "--workers names no service: conductor"),
        (["--s3", "http://127.0.0.1:9"], "--s3 needs the server's keys in S3_ACCESS_KEY and S3_SECRET_KEY"),
    ],
)
def test_what_cannot_be_started_is_refused_before_anything_is(
    parcours: Command, tmp_path: Path, arguments: list[str], text: str
) -> None:
    status, said, errors = parcours("up", "--data", str(tmp_path), *arguments)
    assert (status, said) == (1, "")
    assert errors.startswith(f"parcours: {text}")


def test_a_misspelt_option_is_refused_with_the_form_it_should_have(parcours: Command, tmp_path: Path) -> None:
    status, _, errors = parcours("up", "--data", str(tmp_path), "--workers", "generator")
    assert (status, "is not of the form generator=2,runner=2" in errors) == (2, True)
    assert parcours("token", "--user", "somebody")[0] == 2
    assert parcours("demo", "--suds", "11")[0] == 2
    assert parcours("simulate", "suno", "--callbacks", "some")[0] == 2


def test_a_server_that_does_not_answer_is_named_without_a_trace(parcours: Command, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    dsn = f"postgresql://somebody:word@127.0.0.1:{port}/theirs"
    status, _, errors = parcours("migrate", "--data", str(tmp_path), "--postgres", dsn)
    assert (status, errors.count("\n")) == (1, 1)
    assert errors.startswith("parcours: the server does not serve: ConnectionRefusedError")
    assert "word" not in errors


def test_a_folder_that_cannot_be_made_is_refused(parcours: Command) -> None:
    target = "/proc/parcours"  # where even root may make nothing
    status, _, errors = parcours("up", "--data", target)
    assert status == 1
    assert errors.startswith(f"parcours: {target} cannot be written (No such file or directory): name a folder"), errors


def test_the_doctor_names_what_the_demo_needs(parcours: Command, tmp_path: Path) -> None:
    status, said, _ = parcours("doctor", "--data", str(tmp_path))
    assert status == 0, said
    assert [line.split()[1].rstrip(",:") for line in said.splitlines()] == ["PostgreSQL", "Kafka", "ffmpeg", "data"]


@pytest.mark.parametrize("name", ["/proc/parcours", "a file"])
def test_the_doctor_tells_of_a_folder_that_up_refuses(parcours: Command, tmp_path: Path, name: str) -> None:
    (tmp_path / "a file").touch()
    status, said, _ = parcours("doctor", "--data", str(tmp_path / name))
    assert status == 1
    assert re.search(r"^missing +data folder .* cannot be written", said, re.MULTILINE), said


@pytest.mark.parametrize("verb", [["status"], ["runs"], ["dlq", "list"]])
def test_a_file_in_the_folders_place_is_told_as_a_stack_that_never_ran(
    parcours: Command, tmp_path: Path, verb: list[str]
) -> None:
    (tmp_path / "a file").touch()
    status, _, errors = parcours(*verb, "--data", str(tmp_path / "a file"))
    assert status == 1
    assert "Traceback" not in errors


def test_the_doctor_says_what_is_missing(parcours: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARCOURS_WORK", str(tmp_path))
    monkeypatch.setenv("FFMPEG", "/nowhere/ffmpeg")
    status, said, _ = parcours(
        "doctor",
        "--data",
        str(tmp_path),
    )
    assert status == 1
    assert re.search(r"^missing +Kafka: .*make setup", said, re.MULTILINE), said
    assert re.search(r"^missing +ffmpeg", said, re.MULTILINE), said


def test_a_piped_table_holds_every_id_whole(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    run_id = str(uuid4())
    table = Table("run", "preset", "status")
    table.add_row(run_id, "panique-anxiete", "ready")
    operator_commands.print_table(table)
    assert run_id in capfd.readouterr().out
