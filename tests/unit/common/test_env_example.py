"""Owns the claim that `.env.example` and the settings classes name the same things with the same defaults."""

import importlib
import inspect
import re
from pathlib import Path

import pytest
from pydantic import SecretStr

from libs.common import settings as groups
from libs.common.settings import Group

ROOT = Path(__file__).parents[3]
_LINE = re.compile(r"([A-Z][A-Z0-9_]*)=(.*)")


def _settings_classes() -> list[type[Group]]:
    files = sorted((ROOT / "services").glob("*/settings.py"))
    modules = [groups, *(importlib.import_module(f"services.{file.parent.name}.settings") for file in files)]
    found = [value for module in modules for value in vars(module).values() if inspect.isclass(value)]
    return [value for value in found if issubclass(value, Group) and value is not Group]


def _example() -> dict[str, str]:
    lines = (ROOT / ".env.example").read_text(encoding="utf-8").splitlines()
    return {match[1]: match[2] for line in lines if (match := _LINE.fullmatch(line))}


def _plain(value: object) -> object:
    return value.get_secret_value() if isinstance(value, SecretStr) else value


def test_every_setting_stands_in_the_example_and_nothing_else() -> None:
    known = {name.upper() for settings in _settings_classes() for name in settings.model_fields}
    assert set(_example()) == known


def test_no_name_stands_twice_in_the_example() -> None:
    lines = (ROOT / ".env.example").read_text(encoding="utf-8").splitlines()
    names = [match[1] for line in lines if (match := _LINE.fullmatch(line))]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("settings", _settings_classes(), ids=lambda each: f"{each.__module__}.{each.__name__}")
def test_the_example_states_the_defaults(settings: type[Group], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in _example():
        monkeypatch.delenv(name, raising=False)
    defaults = settings()
    for name, value in _example().items():
        monkeypatch.setenv(name, value)
    stated = settings()
    # A service may give a shared name a default of its own (its port); the example shows the group's.
    shared = {
        name for group in _settings_classes() if group.__module__ == groups.__name__ for name in group.model_fields
    }
    own = set(settings.model_fields) - (shared if settings.__module__ != groups.__name__ else set())
    different = [
        f"{name.upper()}: example {_plain(getattr(stated, name))!r}, default {_plain(getattr(defaults, name))!r}"
        for name in sorted(own)
        if _plain(getattr(stated, name)) != _plain(getattr(defaults, name))
    ]
    assert different == []
