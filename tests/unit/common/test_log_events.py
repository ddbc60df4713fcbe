"""Owns the lint that log event names are a closed list: a name written anywhere stands in `LogEvent` with a comment."""

import ast
from pathlib import Path

from libs.common.log_events import LogEvent

ROOT = Path(__file__).parents[3]
LEVELS = {"debug", "info", "warning", "error", "exception", "critical"}


def _written_names(source: str) -> set[str]:
    """Return the literal event names that the module's own logger is given."""
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call) and node.args]
    return {
        call.args[0].value
        for call in calls
        if isinstance(call.func, ast.Attribute)
        and call.func.attr in LEVELS
        and isinstance(call.func.value, ast.Name)
        and call.func.value.id in ("_log", "log", "logger", "_logger")
        and isinstance(call.args[0], ast.Constant)
        and isinstance(call.args[0].value, str)
    }


def test_every_event_name_written_is_in_the_closed_list() -> None:
    sources = sorted(path for folder in ("libs", "services") for path in (ROOT / folder).rglob("*.py"))
    unknown = {
        f"{path.relative_to(ROOT)}: {name}"
        for path in sources
        for name in _written_names(path.read_text(encoding="utf-8")) - set(LogEvent)
    }
    assert unknown == set(), "add them to libs/common/log_events.py, each with a comment"


def test_the_lint_sees_a_name_that_is_not_in_the_list() -> None:
    assert _written_names('_log.warning("made_up", error=1)\n_log.info(LogEvent.LIBRARY)') == {"made_up"}


def test_every_name_has_a_comment_above_it() -> None:
    lines = (ROOT / "libs/common/log_events.py").read_text(encoding="utf-8").splitlines()
    names = [number for number, line in enumerate(lines) if line.startswith("    ") and " = " in line]
    assert len(names) == len(LogEvent)
    assert [lines[number] for number in names if not lines[number - 1].startswith("    # ")] == []
