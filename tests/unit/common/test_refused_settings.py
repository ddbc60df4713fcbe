"""Owns the claim that a configuration which cannot work is one clear line with status 2, in every service."""

import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from libs.common import service

ROOT = Path(__file__).parents[3]
SERVICES = sorted(path.parent.name for path in (ROOT / "services").glob("*/__main__.py"))
SECRET = {
    "SUPABASE_JWT_SECRET": "a-secret-of-the-tests-with-enough-bytes-in-it",
    "MEDIA_SIGNING_KEYS": f"k1:{'5a' * 32}",
}


def refusal(name: str, capsys: pytest.CaptureFixture[str]) -> str:
    """What the service says instead of starting."""
    entry = importlib.import_module(f"services.{name}.__main__")
    assert entry.main is service.main
    with pytest.raises(SystemExit) as ended:
        service.main(entry.SERVICE, entry.Settings, entry.make_app)
    assert ended.value.code == 2
    said = capsys.readouterr()
    assert said.out == ""
    return said.err


@pytest.mark.parametrize("name", SERVICES)
@pytest.mark.parametrize(
    ("variable", "value", "told"),
    [
        ("PORT", "hush-hush", "PORT: Input should be a valid integer"),
        ("PORT", "70000", "PORT: Input should be less than or equal to 65535"),
        ("LOG_LEVEL", "hush-hush", "LOG_LEVEL: Input should be 'debug', 'info', 'warning' or 'error'"),
        ("TIME_SCALE", "0", "TIME_SCALE: Input should be greater than 0"),
        ("INTERNAL_SECRET_FILE", "/nowhere/hush-hush", "INTERNAL_SECRET_FILE: expected a readable file of text"),
    ],
)
def test_a_bad_setting_is_one_line_that_names_the_variable_and_what_it_may_be(
    name: str,
    variable: str,
    value: str,
    told: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv(variable, value)
    said = refusal(name, capsys)
    assert said.startswith(f"{name}: {told}"), said
    assert said.count("\n") == 1
    assert value not in said.removeprefix(f"{name}: ") or value == "0"


@pytest.mark.parametrize(
    ("name", "variable", "value", "told"),
    [
        ("create", "SUPABASE_JWT_SECRET", "", "SUPABASE_JWT_SECRET or SUPABASE_URL: expected at least one, found none"),
        ("runner", "SUPABASE_JWT_SECRET", "hush", "SUPABASE_JWT_SECRET: expected at least 32 bytes each, found fewer"),
        ("signer", "MEDIA_SIGNING_KEYS", "k1:hush", "MEDIA_SIGNING_KEYS: key k1 is not hexadecimal"),
        ("gateway", "MEDIA_SIGNING_KEYS", "hush", "MEDIA_SIGNING_KEYS: expected `id:hex,id:hex` with each id once"),
        ("composer", "COMPOSER_CALLBACK_RETRY_SECONDS", "5,hush", "COMPOSER_CALLBACK_RETRY_SECONDS: Input should be"),
    ],
)
def test_settings_that_contradict_each_other_are_told_as_shortly(
    name: str,
    variable: str,
    value: str,
    told: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for known, good in SECRET.items():
        monkeypatch.setenv(known, good)
    monkeypatch.setenv(variable, value)
    said = refusal(name, capsys)
    assert said.startswith(f"{name}: {told}"), said
    assert said.count("\n") == 1
    assert not value or value not in said


def test_the_process_itself_ends_with_status_2_and_no_trace() -> None:
    environment = os.environ | {"PORT": "hush-hush"}
    command = [sys.executable, "-m", "services.callback"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, cwd=ROOT, timeout=60)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("callback: PORT: ")
    assert done.stderr.count("\n") == 1
