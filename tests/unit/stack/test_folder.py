"""The data folder of a stack: one holder, its own secrets, and exactly its own processes when it is taken over."""

import os
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil
import pytest

from stack.errors import StackError
from stack.folder import MARK, ChildRecord, DataFolder, default_folder, started_at


@contextmanager
def sleeper(**environment: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process that does nothing for as long as the test lasts."""
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, env=os.environ | environment)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.fixture
def folder(tmp_path: Path) -> DataFolder:
    one = DataFolder(tmp_path / "data")
    with one.locked():
        return one


def test_a_folder_in_use_is_refused_and_the_text_says_what_to_type(folder: DataFolder) -> None:
    with folder.locked():
        assert folder.is_locked()
        expected = rf"a stack is running on {folder.path}.*parcours status --data {folder.path}.*--data"
        with pytest.raises(StackError, match=expected), DataFolder(folder.path).locked():
            pytest.fail("two hold one folder")
    assert not folder.is_locked()
    with folder.locked():
        assert folder.is_locked()


def test_another_folder_is_free(folder: DataFolder, tmp_path: Path) -> None:
    with folder.locked(), DataFolder(tmp_path / "other").locked():
        assert folder.is_locked()


def test_whoever_looks_at_the_lock_does_not_keep_a_stack_from_starting(folder: DataFolder) -> None:
    """`parcours status` holds the lock, shared, for an instant."""
    looking, leaving = threading.Event(), threading.Event()

    def look() -> None:
        while not leaving.is_set():
            folder.is_locked()
            looking.set()

    with ExitStack() as stack:
        viewer = threading.Thread(target=look)
        viewer.start()
        stack.callback(viewer.join)
        stack.callback(leaving.set)
        looking.wait()
        for _ in range(50):
            with folder.locked():
                pass


def test_secrets_are_made_once_for_their_owners_eyes(folder: DataFolder) -> None:
    assert not folder.has_secrets()
    made = folder.secrets()
    assert folder.has_secrets()
    assert DataFolder(folder.path).secrets() == made
    assert stat.S_IMODE((folder.path / "secrets.json").stat().st_mode) == 0o600
    assert {len(value) >= 32 for value in made.values()} == {True}
    assert len(set(made.values())) == len(made)


def test_two_folders_share_no_secret(folder: DataFolder, tmp_path: Path) -> None:
    with DataFolder(tmp_path / "other").locked():
        other = DataFolder(tmp_path / "other").secrets()
    assert not set(folder.secrets().values()) & set(other.values())


def test_a_secret_that_a_later_version_adds_is_made_beside_the_kept_ones(folder: DataFolder) -> None:
    kept = folder.secrets()
    del kept["internal_secret"]
    folder._write("secrets.json", kept)
    assert folder.secrets().items() > kept.items()


def test_nobody_else_may_list_the_folder(folder: DataFolder) -> None:
    assert stat.S_IMODE(folder.path.stat().st_mode) == (0o711 if os.geteuid() == 0 else 0o700)


def test_ports_and_status_are_kept(folder: DataFolder) -> None:
    assert folder.status() == {}
    assert folder.ports() == {}
    folder.keep_ports({"kafka": 20001})
    folder.keep_status({"processes": []})
    assert DataFolder(folder.path).ports() == {"kafka": 20001}
    assert DataFolder(folder.path).status() == {"processes": []}


def test_recorded_and_marked_processes_are_ended_and_no_others(folder: DataFolder, tmp_path: Path) -> None:
    elsewhere = str(tmp_path / "other")
    with (
        sleeper() as recorded,
        sleeper(**{MARK: str(folder.path)}) as marked,
        sleeper(**{MARK: elsewhere}) as of_another_stack,
        sleeper() as with_a_reused_pid,
        sleeper() as stranger,
    ):
        mine = ChildRecord("runner-1", recorded.pid, started_at(recorded.pid))
        reused = ChildRecord("signer-1", with_a_reused_pid.pid, started_at(with_a_reused_pid.pid) - 3600)
        gone = ChildRecord("create-1", 2**22 - 1, time.time())
        folder.keep_children([mine, reused, gone])
        _wait_for_environment(marked.pid)
        ended = folder.end_leftovers()
        assert sorted(ended) == sorted(str(process.pid) for process in (recorded, marked))
        assert [process.wait(1) is not None for process in (recorded, marked)] == [True, True]
        assert [process.poll() for process in (of_another_stack, with_a_reused_pid, stranger)] == [None] * 3
    assert folder.children() == []
    assert folder.end_leftovers() == []


def _wait_for_environment(pid: int) -> None:
    """Between fork and exec a child still shows its parent's environment."""
    while MARK not in psutil.Process(pid).environ():
        time.sleep(0.01)


def test_the_default_is_a_folder_that_postgresqls_user_can_enter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert default_folder() == Path("/var/lib/parcours")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert default_folder() == Path.home() / ".local/share/parcours"
