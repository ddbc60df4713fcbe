"""Draws `docs/states.md` from the lifecycle's tables: `python -m libs.common.state_diagram` writes it."""

from collections.abc import Mapping
from pathlib import Path

from libs.common.lifecycle import MOVERS, RUN_MOVES, SEGMENT_MOVES

PATH = Path(__file__).resolve().parents[2] / "docs" / "states.md"


def text() -> str:
    """The page's exact contents."""
    return "\n".join(
        [
            "# States",
            "",
            "Written by `python -m libs.common.state_diagram` from `libs/common/lifecycle.py`; a test compares them.",
            "",
            *_section("Segment", "segment", SEGMENT_MOVES, "queued"),
            *_section("Run", "run", RUN_MOVES, "creating"),
        ]
    )


def _section(title: str, noun: str, moves: Mapping[str, frozenset[str]], first: str) -> list[str]:
    arrows = [f"    {origin} --> {to}" for to, origins in moves.items() for origin in sorted(origins)]
    rows = [f"| `{to}` | {', '.join(f'`{o}`' for o in sorted(moves[to]))} | {MOVERS[noun, to]} |" for to in moves]
    return [
        f"## {title}",
        "",
        "```mermaid",
        "stateDiagram-v2",
        f"    [*] --> {first}",
        *arrows,
        "```",
        "",
        "| to | from | who |",
        "|---|---|---|",
        *rows,
        "",
    ]


if __name__ == "__main__":
    PATH.write_text(text(), encoding="utf-8")
