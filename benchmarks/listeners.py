"""B6: how many people can one account serve without a gap? Virtual time, the platform's own order against two others.

N people come within 10 min and hear 180 s segments for an hour. An order carries N when nobody ever waits for a
segment and the first call comes within 11 s at p99 (without the second condition FIFO would win by never starting).
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.rig.figures import percentile, spread
from benchmarks.rig.machine import versions
from benchmarks.rig.options import Form, Options, make_parser, read
from benchmarks.rig.report import Picture, Report, Table
from benchmarks.rig.servers import open_rig
from benchmarks.virtual_sql import replay
from benchmarks.world import Key, Shape, World, by_run, earliest_due, listen, play, round_robin, terms

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FIRST_CALL_SECONDS = 11.0
LEAST, MOST = 20, 420
TARGET = 342  # 0.95 × 360, which is quota × segment length
SHOWN = (100, 280, 300, 342, 350, 360)
ORDERS: dict[str, tuple[Key, bool]] = {
    "ours": (earliest_due, True),
    "round-robin": (round_robin, False),
    "FIFO": (by_run, False),
}


@dataclass(frozen=True)
class Trial:
    """One order with one number of people."""

    under_runs: int
    first_p99: float

    @property
    def carried(self) -> bool:
        return self.under_runs == 0 and self.first_p99 <= FIRST_CALL_SECONDS


def trial(order: str, users: int, seed: int, shape: Callable[[int], Shape] = Shape) -> Trial:
    """Play one world to its end."""
    key, capped = ORDERS[order]
    world = World(shape(users), seed)
    heard = listen(world, play(world, key, user_cap=terms().user_cap if capped else None))
    return Trial(heard.under_runs, percentile(heard.first_call_waits, 99))


def largest(carried: Callable[[int], bool], least: int, most: int) -> int:
    """The largest number that is carried, by halving; 0 when not even the least is."""
    if not carried(least):
        return 0
    while least < most:
        middle = (least + most + 1) // 2
        least, most = (middle, most) if carried(middle) else (least, middle - 1)
    return least


def carries(order: str, seed: int) -> int:
    """The largest number of people that this order carries in the worlds of this seed."""
    return largest(lambda users: trial(order, users, seed).carried, LEAST, MOST)


async def check_by_sql(users: int, seed: int, most: int) -> tuple[int, int]:
    """Calls that the platform's own SQL ordered as the model did, and how many were compared."""
    world = World(Shape(users), seed)
    calls = play(world, earliest_due, user_cap=terms().user_cap)
    async with open_rig("listeners") as rig:
        agreed = await replay(await rig.database("listeners"), world, calls, most)
    return agreed, min(most, len(calls))


def report(options: Options, found: dict[str, list[int]], compared: tuple[int, int] | None) -> Report:
    made = Report(
        "listeners", "B6 listeners: people served without a gap by one account", options, versions(["asyncpg"])
    )
    table = Table(
        "Largest N with no under-run and the first call within 11 s at p99; median (least–most) over seeds",
        ["order", "largest N"],
    )
    for order, numbers in found.items():
        table.add(order, spread(numbers).text(0))
    made.tables += [table, _shown(found, options.seed)]
    ours = spread(found.get("ours", []))
    made.judge(f"ours carries N ≥ {TARGET} (0.95 × 360)", ours.least >= TARGET, ours.text(0))
    for order, numbers in found.items():
        if order != "ours" and spread(numbers).median > ours.median:
            made.lose(f"{order} carries {spread(numbers).text(0)} against {ours.text(0)}")
    beyond = {order: trial(order, SHOWN[-1], options.seed) for order in found}
    for order, one in beyond.items():
        if "ours" in beyond and one.under_runs < beyond["ours"].under_runs:
            made.lose(
                f"beyond what the quota carries (N = {SHOWN[-1]}) {order} has {one.under_runs} under-runs, ours "
                f"{beyond['ours'].under_runs}; its first calls take {one.first_p99:.0f} s at p99"
            )
    if compared is not None:
        agreed, of = compared
        made.judge("the generator's own SQL, under a virtual clock, makes the model's calls", agreed == of,
                   f"{agreed} of {of} calls in a row, at the same microsecond")  # fmt: skip
    made.notes.append("a segment counts as playable 150 s after its call (the first, a stream, after 40 s), all of an "
                      "hour is asked for on arrival; reply delay U(0.1, 0.8) s, ε 0.05 s")  # fmt: skip
    made.figures = {"largest": found, "replayed": compared}
    made.picture = Picture(lambda axes: _draw(axes, found), "Largest number of listeners by order of the queue", 7, 2.5)
    return made


def _shown(found: dict[str, list[int]], seed: int) -> Table:
    table = Table(f"Under-runs / first call p99 in s, seed {seed}", ["order", *(f"N = {users}" for users in SHOWN)])
    for order in found:
        trials = [trial(order, users, seed) for users in SHOWN]
        table.add(order, *(f"{each.under_runs} / {each.first_p99:.1f}" for each in trials))
    return table


def _draw(axes: "Axes", found: dict[str, list[int]]) -> None:
    from benchmarks.rig.drawing import BOUND, OURS, PEER

    names = list(reversed(found))
    values = [spread(found[name]).median for name in names]
    bars = axes.barh(names, values, color=[OURS if name == "ours" else PEER for name in names])
    axes.bar_label(bars, fmt="%.0f", padding=3)
    axes.axvline(TARGET, color=BOUND, linewidth=1, linestyle="--")
    axes.set_xlabel("listeners without a gap (dashed: target 342)")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = make_parser("listeners", __doc__ or "", short=Form(1, 3), full=Form(1, 10))
    parser.add_argument("--calls", type=int, help="calls to compare with the SQL; 0: none, and nothing is started")
    options = read(parser, arguments)
    most = options.more.calls
    if most is None:
        most = 2_000 if options.form == "short" else 1_000_000
    print(f"seeds {options.seeds} (virtual time: --seconds means nothing here)", flush=True)
    found: dict[str, list[int]] = {}
    for order in (name for name in ORDERS if options.takes_part(name)):
        found[order] = [carries(order, seed) for seed in options.seeds]
        print(f"{order}: {found[order]}", flush=True)
    carried = min(found.get("ours", [0]))
    compared = asyncio.run(check_by_sql(carried, options.seed, most)) if most and carried else None
    report(options, found, compared).finish()


if __name__ == "__main__":
    main()
