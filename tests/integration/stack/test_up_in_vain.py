"""`parcours up` that cannot succeed, or is stopped as it starts: the reason in its last words, and nothing left."""

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from stack.embedded.ports import free_port
from stack.folder import DataFolder
from tests import components
from tests.stacks import PARCOURS


@pytest.fixture
def folder() -> Iterator[DataFolder]:
    place = components.data_place()
    with tempfile.TemporaryDirectory(prefix="parcours-vain-", dir=place, ignore_cleanup_errors=True) as name:
        Path(name).chmod(0o711)  # PostgreSQL's own user passes through
        one = DataFolder(Path(name) / "data")
        yield one
        if one.path.exists():
            one.end_leftovers()


def up(folder: DataFolder, *arguments: str, **environment: str) -> "subprocess.Popen[str]":
    command = [str(PARCOURS), "up", "--port", str(free_port()), "--data", str(folder.path), *arguments]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ | environment
    )


def test_a_paid_provider_that_could_not_call_back_ends_up_with_the_reason(folder: DataFolder) -> None:
    """The generator refuses to start, and is not asked again; nothing was asked of the provider."""
    process = up(folder, SUNO_API_KEY="not-to-be-shown", SUNO_BASE_URL="https://suno.example", CALLBACK_BASE="")
    said, errors = process.communicate(timeout=120)
    assert (process.returncode, said) == (1, "")
    assert errors.startswith("parcours: generator-1 cannot start: "), errors
    assert "CALLBACK_BASE" in errors
    assert "https" in errors
    assert "not-to-be-shown" not in errors
    assert "Traceback" not in errors
    assert errors.count("\ngenerator: ") == 1, errors
    assert [left.name() for left in folder._marked()] == []
    assert folder.children() == []


def test_a_given_server_that_does_not_serve_ends_up_with_its_address(folder: DataFolder) -> None:
    dsn = f"postgresql://somebody:word@127.0.0.1:{free_port()}/theirs"
    process = up(folder, "--postgres", dsn)
    said, errors = process.communicate(timeout=120)
    assert (process.returncode, said) == (1, "")
    assert f"the given PostgreSQL at postgresql://{dsn.partition('@')[2]} does not serve" in errors
    assert "word" not in errors
    assert [left.name() for left in folder._marked()] == []


@pytest.mark.parametrize(
    ("begun", "number"),
    [
        ("postgres.log", signal.SIGINT),
        ("kafka/server.properties", signal.SIGTERM),  # its format is in hand, two seconds before it is a process
        ("runner-1.log", signal.SIGTERM),
    ],
)
def test_a_signal_while_it_starts_leaves_nothing(folder: DataFolder, begun: str, number: signal.Signals) -> None:
    process = up(folder)
    place = folder.path / begun if "/" in begun else folder.logs / begun
    deadline = time.monotonic() + 60
    while not place.exists():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(number)
    said, errors = process.communicate(timeout=35)
    assert (process.returncode, said) == (0, ""), errors
    assert [left.name() for left in folder._marked()] == []


@pytest.mark.parametrize(
    ("wish", "told"),
    [(("--preset", "unknown"), "--preset: unknown preset"), (("--emotion", "fear-1.8"), "--emotion: ")],
)
def test_a_demo_that_would_be_refused_ends_with_1_before_anything_is_started(
    folder: DataFolder, wish: tuple[str, str], told: str
) -> None:
    command = [str(PARCOURS), "demo", "--once", "--port", str(free_port()), "--data", str(folder.path)]
    done = subprocess.run([*command, *wish], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 1
    assert done.stderr.startswith(f"parcours: {told}"), done.stderr
    assert "allowed are" in done.stderr
    assert not folder.path.exists()
