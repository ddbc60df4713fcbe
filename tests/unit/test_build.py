"""Owns the claims about how this repository is set up: its verbs, its locks, its hooks."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
MAKEFILE = (ROOT / "Makefile").read_text()
LOCKS = ["requirements.lock", "requirements-test.lock", "requirements-uv.lock"]


def make(*arguments: str) -> str:
    # `make test` hands its own flags to every make below it.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    command = ["make", *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True).stdout


def test_make_alone_lists_every_verb() -> None:
    verbs = re.findall(r"^\.PHONY: (\S+)$", MAKEFILE, re.MULTILINE)
    listed = re.findall(r"^  make (\S+)", make(), re.MULTILINE)
    assert listed == verbs
    assert {"help", "setup", "setup-test", "demo", "test", "up", "lint", "format", "locks", "clean"} <= set(verbs)


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_holds_versions_and_hashes_and_no_address(lock: str) -> None:
    text = (ROOT / lock).read_text()
    assert "://" not in text
    assert " @ " not in text
    named = re.split(r"\n(?=\S)", text.strip())
    packages = [package for package in named if not package.startswith("#")]
    assert packages
    assert [package for package in packages if "==" not in package or "--hash=sha256:" not in package] == []


def test_what_the_tests_install_contains_what_the_demo_installs() -> None:
    run, test = (set(re.findall(r"^(\S+==\S+)", (ROOT / lock).read_text(), re.MULTILINE)) for lock in LOCKS[:2])
    assert run - test == set()


def test_every_hook_calls_a_program_of_the_environment() -> None:
    [repository] = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert repository["repo"] == "local"
    assert all(hook["entry"].startswith(".venv/bin/") for hook in repository["hooks"])


def test_ci_calls_make_test_and_ends_red_with_what_fails_twice() -> None:
    lines = [line for line in (ROOT / ".ci/run").read_text().splitlines() if line and not line.startswith("#")]
    assert lines.index("make test && exit 0") < len(lines) - 1
    assert lines[-1].startswith("exec .venv/bin/python -m pytest --last-failed --last-failed-no-failures none")


def test_an_unknown_step_of_the_set_up_is_refused() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "stack.embedded.install", "dishwasher"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode != 0
    assert "dishwasher: no such step" in ended.stderr
