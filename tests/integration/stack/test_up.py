"""`parcours up` beside another one: a folder has one holder, two stacks do not meet, a killed one is taken over."""

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from uuid import uuid4

import httpx
import orjson
import psutil
import pytest

from stack import cli
from tests import stacks
from tests.stacks import PARCOURS, Stack

SHORT = {"TIME_SCALE": "0.05", "COMPOSER_WORKERS": "1"}


@pytest.fixture(scope="module")
def first() -> Iterator[Stack]:
    with stacks.stack(file_seconds=None, **SHORT) as stack:
        yield stack


def parcours(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"COLUMNS": "200"}
    return subprocess.run(
        [str(PARCOURS), *arguments], capture_output=True, text=True, check=False, timeout=60, env=environment
    )


@pytest.fixture
def verb(first: Stack, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Types a verb that succeeds on the first stack; its output. In this process, for starting one takes a second."""
    monkeypatch.setenv("COLUMNS", "200")

    def typed(*arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", ["parcours", *arguments, "--data", str(first.folder.path)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        said = capfd.readouterr()
        assert not ended.value.code, said.err
        # Without the log lines of services that other tests ran in this process.
        return "".join(line for line in said.out.splitlines(keepends=True) if not line.startswith('{"at":'))

    return typed


def pids(stack: Stack) -> dict[str, int]:
    return {process["name"]: process["pid"] for process in stack.status()["processes"]}


def test_up_on_a_folder_in_use_is_refused_and_disturbs_nobody(first: Stack) -> None:
    before = pids(first)
    done = parcours("up", "--port", "1", "--data", str(first.folder.path))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"parcours: a stack is running on {first.folder.path}.")
    assert pids(first) == before


def test_up_on_a_port_in_use_is_refused_and_leaves_nothing(
    first: Stack, tmp_path_factory: pytest.TempPathFactory
) -> None:
    other = tmp_path_factory.mktemp("other")
    done = parcours("up", "--port", str(first.port), "--data", str(other))
    assert (done.returncode, done.stdout) == (1, "")
    assert f"port {first.port} is taken by another program: choose one with --port" in done.stderr


def test_status_is_0_when_all_is_ready_and_has_an_address_for_each(first: Stack, verb: Callable[..., str]) -> None:
    told = orjson.loads(verb("status", "--json"))
    assert told["running"] is True
    assert {"name", "pid", "url", "state", "since"} == set(told["processes"][0])
    assert {process["state"] for process in told["processes"]} == {"ready"}
    names = [process["name"] for process in told["processes"]]
    assert {"postgres", "kafka"} < set(names)
    assert (set(told["postgres"]), set(told["kafka"])) == ({"dsn"}, {"bootstrap"})
    assert told["objects"]["object_store"] == "folder"
    password = first.folder.secrets()["postgres_password"]
    shown = verb("status")
    assert [name for name in names if not re.search(rf"^ ?{name} .* ready ", shown, re.MULTILINE)] == []
    assert password not in shown


async def test_a_printed_token_is_a_user_of_this_stack(first: Stack, verb: Callable[..., str]) -> None:
    user = uuid4()
    token = verb("token", "--user", str(user), "--role", "operator").strip()
    async with httpx.AsyncClient(base_url=first.url, trust_env=False) as client:
        assert (await client.get("/v1/runs")).status_code == 401
        answer = await client.get("/v1/runs", headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 200


def test_what_operators_type_works_on_a_running_stack(verb: Callable[..., str]) -> None:
    assert "run" in verb("runs")
    assert "reason" in verb("dlq", "list")
    assert verb("dlq", "replay") == "0 replayed\n"
    assert verb("topics", "apply") == "all topics exist\n"
    assert verb("migrate") == "the schema is up to date\n"
    assert "the stack runs; 0 events wait for Kafka" in verb("doctor")
    assert verb("outbox", "replay", "--since", "2100-01-01T00:00:00") == "0 will be published again\n"


async def test_two_stacks_do_not_meet_and_a_killed_one_is_taken_over_alone(first: Stack) -> None:
    of_first = pids(first)
    with stacks.stack("--workers", "signer=2", file_seconds=None, **SHORT) as second:
        assert {"signer-1", "signer-2"} < set(pids(second))
        here, there = first.status(), second.status()
        assert not {p["url"] for p in here["processes"]} & {p["url"] for p in there["processes"]}
        assert here["postgres"] != there["postgres"]
        assert here["kafka"] != there["kafka"]
        async with httpx.AsyncClient(base_url=second.url, trust_env=False) as client:
            stranger = {"Authorization": f"Bearer {first.token(uuid4())}"}
            assert (await client.get("/v1/runs", headers=stranger)).status_code == 401

        killed = pids(second)
        second.kill()
        left = {process["name"]: process["state"] for process in second.status()["processes"]}
        assert set(left.values()) == {"left over"}
        second.start()
        assert pids(first) == of_first
        alive = [name for name, pid in killed.items() if psutil.pid_exists(pid) and _belongs(pid, second)]
        assert alive == []

        assert second.stop() < 30
        assert second.leftovers() == []
        assert {process["state"] for process in second.status()["processes"]} == {"stopped"}
        assert pids(first) == of_first


def _belongs(pid: int, stack: Stack) -> bool:
    """Whether the pid, which may be anybody's by now, is still a process of the killed stack."""
    return pid not in pids(stack).values() and pid in {process.pid for process in stack.folder._marked()}
