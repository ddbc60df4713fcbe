"""Owns the claim that the import contracts hold, and that each breaks when it is violated on purpose."""

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LINT = Path(sys.executable).with_name("lint-imports")

# the contract that must break: file, the line added to it
VIOLATIONS = {
    "libs.common imports no service and no stack": ("libs/common/errors.py", "import services.runner"),
    "services never import each other": ("services/runner/domain/due.py", "import services.callback.domain"),
    "services do not know the stack": ("services/signer/storage.py", "import stack.errors"),
    "app > routes, consumers > handlers > storage, clients > domain": (
        "services/callback/domain/news.py",
        "import services.callback.storage",
    ),
    "only edges and composition roots speak HTTP; handlers, storage and domain do not": (
        "services/callback/handlers/hearing.py",
        "import fastapi",
    ),
}


def _lint(folder: Path) -> subprocess.CompletedProcess[str]:
    wide = {**os.environ, "COLUMNS": "300"}  # else a long name runs into its verdict
    return subprocess.run([LINT, "--no-cache"], cwd=folder, env=wide, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The packages and their contracts, to be violated."""
    folder = tmp_path_factory.mktemp("violated")
    shutil.copy(ROOT / "pyproject.toml", folder)
    for package in ("libs", "services", "stack"):
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def test_the_import_contracts_hold() -> None:
    ended = _lint(ROOT)
    assert ended.returncode == 0, ended.stdout


def test_every_contract_is_violated_once() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert {contract["name"] for contract in settings["tool"]["importlinter"]["contracts"]} == set(VIOLATIONS)


@pytest.mark.parametrize("contract", sorted(VIOLATIONS))
def test_a_contract_violated_on_purpose_breaks(copied: Path, contract: str) -> None:
    name, line = VIOLATIONS[contract]
    file = copied / name
    kept = file.read_text(encoding="utf-8")
    file.write_text(f"{kept}\n{line}\n", encoding="utf-8")
    try:
        ended = _lint(copied)
    finally:
        file.write_text(kept, encoding="utf-8")
    assert ended.returncode != 0
    assert f"{contract} BROKEN" in " ".join(ended.stdout.split())
