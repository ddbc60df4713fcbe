"""Owns how a benchmark tells what it found: a table on the terminal, JSON, a page with its picture."""

import datetime as dt
import json
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table as Grid

from benchmarks.rig.machine import machine
from benchmarks.rig.options import Options
from stack.embedded.places import CHECKOUT, work_folder

if TYPE_CHECKING:
    from matplotlib.axes import Axes

RESULTS = CHECKOUT / "benchmarks" / "results"
PAGES = CHECKOUT / "docs" / "benchmarks"
TERMINAL_COLUMNS = 150


@dataclass
class Table:
    """Rows of text under a head; a row that begins with `ours` is set off."""

    title: str
    columns: Sequence[str]
    rows: list[Sequence[str]] = field(default_factory=list)

    def add(self, *cells: object) -> None:
        self.rows.append([str(cell) for cell in cells])


@dataclass
class Picture:
    """One axis, drawn by a function; a bench lock without matplotlib leaves the picture as it was."""

    draw: "Callable[[Axes], None]"
    alt: str
    width: float = 8.0
    height: float = 4.0


@dataclass
class Report:
    """What one command leaves behind: `benchmarks/results/<name>.json`, `docs/benchmarks/<name>.md` and `.svg`."""

    name: str
    title: str
    options: Options
    versions: Mapping[str, str]
    tables: list[Table] = field(default_factory=list)
    verdicts: list[tuple[str, bool | None, str]] = field(default_factory=list)
    losses: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)
    picture: Picture | None = None
    more_pictures: list[tuple[str, str]] = field(default_factory=list)  # alternative text and name of files in `pages`

    @property
    def results(self) -> Path:
        """Where the figures go."""
        return RESULTS if self.options.kept else _aside()

    @property
    def pages(self) -> Path:
        """Where the page and its pictures go."""
        return PAGES if self.options.kept else _aside()

    def judge(self, target: str, held: bool | None, found: str) -> None:  # noqa: FBT001 - a verdict is a yes or no
        """One target of the design and what was found; `None` where this form does not tell."""
        self.verdicts.append((target, held, found))

    def lose(self, text: str) -> None:
        """Say where a peer is better."""
        self.losses.append(text)

    def finish(self) -> None:
        """Print and write everything."""
        self.print_out()
        results, pages = self.results, self.pages
        for folder in (results, pages):
            folder.mkdir(parents=True, exist_ok=True)
        path = results / f"{self.name}.json"
        path.write_text(json.dumps(self.plain(), indent=1, ensure_ascii=False, default=float) + "\n", encoding="utf-8")
        drawn = self._draw(pages / f"{self.name}.svg")
        (pages / f"{self.name}.md").write_text(self.page(drawn), encoding="utf-8")
        where = results.relative_to(CHECKOUT) if results.is_relative_to(CHECKOUT) else results
        print(f"written: {where}/{self.name}.json, {self.name}.md{', ' + self.name + '.svg' if drawn else ''}")

    def plain(self) -> dict[str, Any]:
        """The whole report for JSON."""
        return {
            "name": self.name,
            "date": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
            "form": self.options.form,
            "seconds": self.options.seconds,
            "repeats": self.options.repeats,
            "seed": self.options.seed,
            "machine": machine(),
            "versions": dict(self.versions),
            "verdicts": [{"target": t, "held": held, "found": found} for t, held, found in self.verdicts],
            "we_lose": self.losses,
            "notes": self.notes,
            "tables": [{"title": t.title, "columns": list(t.columns), "rows": t.rows} for t in self.tables],
            "figures": self.figures,
        }

    def print_out(self) -> None:
        """The tables on the terminal; as wide as it is, and wide enough where there is none."""
        console = Console(width=None if sys.stdout.isatty() else TERMINAL_COLUMNS)
        for table in self.tables:
            console.print(f"\n{table.title}", markup=False, highlight=False)
            grid = Grid(*table.columns)
            for row in table.rows:
                grid.add_row(*row, style="bold" if row[0].startswith("ours") else None)
            console.print(grid)
        for target, held, found in self.verdicts:
            console.print(f"{_word(held)}: {target} — {found}", markup=False, highlight=False)
        for text in self.losses or ["nowhere in this run"]:
            console.print(f"we lose: {text}", markup=False, highlight=False)
        for text in self.notes:
            console.print(f"note: {text}", markup=False, highlight=False)

    def page(self, drawn: bool) -> str:  # noqa: FBT001 - whether there is a picture
        """The page in docs/benchmarks, written by the command alone."""
        plain = self.plain()
        lines = [f"# {self.title}", "", f"Written by `python -m benchmarks.{self.name}{_arguments()}`; do not edit."]
        lines += ["", _circumstances(plain)]
        if drawn and self.picture is not None:
            lines += ["", f"![{self.picture.alt}]({self.name}.svg)"]
        for table in self.tables:
            lines += ["", f"**{table.title}**", "", _row(table.columns), _row(["---"] * len(table.columns))]
            lines += [_row(row) for row in table.rows]
        lines += [line for alt, name in self.more_pictures for line in ("", f"![{alt}]({name})")]
        if self.verdicts:
            lines += ["", "| target | held | found |", "| --- | --- | --- |"]
            lines += [_row([target, _word(held), found]) for target, held, found in self.verdicts]
        lines += ["", "Where we lose: " + ("; ".join(self.losses) if self.losses else "nowhere in this run") + "."]
        lines += ["", *(f"- {text}" for text in self.notes)]
        lines += ["", "Versions: " + ", ".join(f"{name} {version}" for name, version in self.versions.items()) + "."]
        return "\n".join(lines) + "\n"

    def _draw(self, path: Path) -> bool:
        if self.picture is None:
            return False
        try:
            from benchmarks.rig.drawing import draw
        except ImportError:
            print("no picture: matplotlib is not installed (make setup-bench)", file=sys.stderr)
            return False
        draw(self.picture, path)
        return True


def _aside() -> Path:
    """Where runs go that are neither the short nor the full form."""
    return work_folder() / "benchmarks"


def _circumstances(plain: Mapping[str, Any]) -> str:
    system = plain["machine"]
    return (
        f"{plain['date'][:10]} · {plain['form']} form, {plain['seconds']:g} s a pass, {plain['repeats']} of each · "
        f"seed {plain['seed']} · {system['cores']} cores of {system['processor']}, {system['memory_gib']} GiB, "
        f"{system['system']}, Python {system['python']}"
    )


def _arguments() -> str:
    """As they were typed, but for where things lie on this machine."""
    shown = ("PATH" if argument.startswith("/") else shlex.quote(argument) for argument in sys.argv[1:])
    return "".join(f" {argument}" for argument in shown)


def _word(held: bool | None) -> str:  # noqa: FBT001 - a verdict is a yes or no
    return {True: "held", False: "MISSED", None: "not judged"}[held]


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
