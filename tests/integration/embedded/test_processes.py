"""Owns the claims about starting and ending server processes, and about their ports."""

import os
import signal
import socket
import sys
from pathlib import Path

import psutil
import pytest

from stack.embedded.errors import EmbeddedError
from stack.embedded.ports import free_port
from stack.embedded.processes import Running, Spawn, start, start_ready


class Program:
    """A server of one line of Python, for what has nothing to do with databases."""

    name = "program"
    stop_signal = signal.SIGTERM

    def __init__(self, code: str, *, answers: bool = True) -> None:
        self.code = code
        self.answers = answers

    def prepare(self) -> None:
        pass

    def argv(self) -> list[str]:
        return [sys.executable, "-c", self.code]

    def spawn(self) -> Spawn:
        return Spawn({"GIVEN": "1"}, unset=("HOME",))

    async def ready(self) -> bool:
        return self.answers


SLEEPS = "import time; time.sleep(600)"


def test_no_port_is_given_twice_and_none_that_listens() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", free_port()))
        listener.listen()
        given = [free_port() for _ in range(200)]
        assert listener.getsockname()[1] not in given
    assert len(set(given)) == 200


async def test_a_server_has_a_session_of_its_own(folder: Path) -> None:
    running = await start_ready(Program(SLEEPS), folder / "log")
    try:
        assert os.getsid(running.pid) == running.pid != os.getsid(0)
    finally:
        running.stop()
    assert not psutil.pid_exists(running.pid)


async def test_a_server_that_ends_at_once_is_told_with_the_end_of_its_log(folder: Path) -> None:
    program = Program("import sys; print('port is taken'); sys.exit(3)", answers=False)
    with pytest.raises(EmbeddedError, match=r"(?s)program ended with status 3.*port is taken"):
        await start_ready(program, folder / "log")


async def test_a_server_that_never_answers_is_ended(folder: Path) -> None:
    begun = start(Program(SLEEPS, answers=False), folder / "log")
    try:
        with pytest.raises(EmbeddedError, match="does not answer after 0 s"):
            await begun.wait_ready(0.1)
    finally:
        begun.kill()
    assert _is_gone(begun)


def test_a_server_that_ignores_its_signal_is_killed(folder: Path) -> None:
    code = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)"
    )
    running = start(Program(code), folder / "log")
    while "deaf" not in running.tail():
        assert running.process.poll() is None
    running.stop(seconds=0.2)
    assert running.process.returncode == -signal.SIGKILL


def test_variables_of_the_caller_are_kept_from_a_server(folder: Path) -> None:
    running = start(Program("import os; print(os.environ.get('GIVEN'), os.environ.get('HOME'))"), folder / "log")
    running.process.wait(20)
    assert running.tail() == "1 None"


def _is_gone(running: Running) -> bool:
    return not psutil.pid_exists(running.pid)
