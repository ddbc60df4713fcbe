"""Keeping processes running, on small real processes: restarts, early deaths, stops at any moment."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from stack.embedded.errors import EmbeddedError
from stack.embedded.processes import Spawn
from stack.errors import StackError
from stack.supervisor import EARLY_DEATHS, Child, Supervisor

LIVES = "import time; time.sleep(600)"
LIVES_WITH_A_CHILD = (
    "import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']);"
    "print('forked', flush=True); time.sleep(600)"
)
DIES = "import sys; sys.exit('the port of this test is taken')"
REFUSES = "import sys; print('a setting of this test is taken', flush=True); sys.exit(2)"
WILL_NOT_LEAVE = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(600)"
)
MARK = {"PARCOURS_TEST_MARK": "of this stack"}


@dataclass
class Program:
    """A Python one-liner as a server; `answers` stands for its readiness."""

    code: str = LIVES
    answers: Callable[[], bool] = lambda: True
    preparing: Callable[[], None] = lambda: None
    name: str = "program"
    stop_signal: signal.Signals = signal.SIGTERM

    def prepare(self) -> None:
        self.preparing()

    def argv(self) -> list[str]:
        return [sys.executable, "-c", self.code]

    def spawn(self) -> Spawn:
        return Spawn({"PARCOURS_TEST": "1"})

    async def ready(self) -> bool:
        return self.answers()


@dataclass
class House:
    """A supervisor and how often it told of a change."""

    folder: Path
    told: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.supervisor = Supervisor(lambda: self.told.append(""), MARK)

    def keep(self, program: Program) -> Child:
        child = Child(program, self.folder / f"{program.name}.log", "http://127.0.0.1:1")
        self.supervisor.keep(child)
        return child

    async def ready(self, *children: Child) -> None:
        await self.supervisor.wait_ready(list(children), 20)


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    one = House(tmp_path)
    yield one
    await one.supervisor.stop([child.server.name for child in one.supervisor.children], 0.0)


async def until(look: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not look():
            await asyncio.sleep(0.01)


async def test_a_ready_process_carries_the_mark_and_leads_a_group_of_its_own(house: House) -> None:
    child = house.keep(Program())
    await house.ready(child)
    assert child.pid is not None
    assert MARK.items() <= psutil.Process(child.pid).environ().items()
    assert os.getpgid(child.pid) == child.pid
    assert house.told


async def test_what_dies_is_started_again_with_another_pid(house: House) -> None:
    child = house.keep(Program())
    await house.ready(child)
    before = child.pid
    assert before is not None
    os.kill(before, signal.SIGKILL)
    await until(lambda: child.state == "restarting")
    await house.ready(child)
    assert child.pid not in (None, before)


async def test_what_a_killed_process_leaves_of_its_own_is_ended(house: House) -> None:
    child = house.keep(Program(LIVES_WITH_A_CHILD))
    await until(lambda: child.log.exists() and "forked" in child.log.read_text())
    assert child.pid is not None
    (orphan,) = psutil.Process(child.pid).children()
    os.kill(child.pid, signal.SIGKILL)
    await until(lambda: not orphan.is_running() or orphan.status() == psutil.STATUS_ZOMBIE)


async def test_what_never_starts_ends_the_wait_with_its_status_and_its_last_words(house: House) -> None:
    child = house.keep(Program(DIES, answers=lambda: False))
    with pytest.raises(
        StackError, match=r"program cannot start: it ended with status 1\nthe port of this test"
    ) as told:
        await house.ready(child)
    assert str(told.value).count("is taken") == EARLY_DEATHS
    assert child.state == "failed"


async def test_what_refuses_its_configuration_is_not_asked_again(house: House) -> None:
    child = house.keep(Program(REFUSES, answers=lambda: False))
    with pytest.raises(StackError, match="program cannot start: it ended with status 2") as told:
        await house.ready(child)
    assert str(told.value).count("is taken") == 1
    assert child.state == "failed"


async def test_what_cannot_be_prepared_ends_the_wait_with_the_reason(house: House) -> None:
    def refuse() -> None:
        raise EmbeddedError("Kafka's Java is not installed here: type `make setup`")

    child = house.keep(Program(preparing=refuse))
    with pytest.raises(StackError, match="program cannot start: Kafka's Java is not installed here"):
        await house.ready(child)


async def test_what_does_not_answer_in_time_is_named_with_its_log(house: House) -> None:
    child = house.keep(Program(answers=lambda: False))
    with pytest.raises(StackError, match=rf"program is not ready after 1 s; its log: {child.log}"):
        await house.supervisor.wait_ready([child], 1)


async def test_what_follows_a_start_is_tried_until_it_succeeds_and_after_each_start(house: House) -> None:
    tries: list[int] = []

    async def apply_topics() -> None:
        tries.append(1)
        if len(tries) == 1:
            raise ConnectionError("the broker hung up")

    child = Child(Program(), house.folder / "program.log", "", apply_topics)
    house.supervisor.keep(child)
    await house.ready(child)
    assert len(tries) == 2
    assert "after start: ConnectionError: the broker hung up" in child.log.read_text()
    assert child.pid is not None
    os.kill(child.pid, signal.SIGKILL)
    await until(lambda: len(tries) == 3)


async def test_a_stop_ends_it_cleanly_and_it_stays_ended(house: House) -> None:
    child = house.keep(Program())
    await house.ready(child)
    assert child.running is not None
    await house.supervisor.stop(["program"], 10)
    assert child.running.process.returncode == -signal.SIGTERM
    assert (child.state, child.pid) == ("stopped", None)


async def test_what_does_not_leave_is_killed_when_its_time_is_over(house: House) -> None:
    child = house.keep(Program(WILL_NOT_LEAVE))
    await until(lambda: child.log.exists() and "deaf" in child.log.read_text())
    assert child.running is not None
    began = time.monotonic()
    await house.supervisor.stop(["program"], 0.5)
    assert child.running.process.returncode == -signal.SIGKILL
    assert 0.5 <= time.monotonic() - began < 5


async def test_a_stop_while_a_start_is_in_hand_leaves_nothing_running(house: House) -> None:
    """Kafka formats its folder for two seconds before its process exists; Ctrl-C may come just then."""
    preparing: list[int] = []

    def slowly() -> None:
        preparing.append(1)
        time.sleep(0.5)

    child = house.keep(Program(preparing=slowly))
    await until(lambda: bool(preparing))
    await house.supervisor.stop(["program"], 5)
    assert child.running is not None, "the start that was in hand is known"
    assert child.running.process.poll() is not None
    assert child.state == "stopped"
