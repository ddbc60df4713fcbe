"""B5: who waits how long for the first call, when many come at once, or behind somebody's hundreds of runs?

Three scenes. *crowd*: 100 people with 8 segments each, at once. *heavy*: the same, behind one person's 80 runs whose
calls have just used the window up. *batch*: one person, a second after 1,000 runs of somebody else (whose bounds are
off). No order can serve the k-th of a crowd before (⌈k/20⌉ - 1) · (W + ε + RTT): that is the bound. The short form has
30 people, 20 runs, 200 runs, so that FIFO ends within minutes. Real time, unless `--speed` divides every duration (of
both sides): fine for ours, but Celery's own pace does not follow.
"""

import asyncio
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

from benchmarks.ours import Journey, Ours
from benchmarks.peers.running import CELERY, DBOS, Field, Peer, QueuePeer
from benchmarks.rig.figures import number, percentile, spread, turns
from benchmarks.rig.machine import versions, watched_load
from benchmarks.rig.options import Form, Options, make_parser, read
from benchmarks.rig.report import Picture, Report, Table
from benchmarks.rig.servers import Rig, SimulatorProcess, end_at_once, open_rig

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CALLS, WINDOW_SECONDS, EPSILON_SECONDS, REPLY_SECONDS = 20, 10.0, 0.05, 0.45  # RTT: the mean of U(0.1, 0.8)
SEGMENTS = 8
SCENES = ("crowd", "heavy", "batch")
PEERS = (CELERY, DBOS)
HOW = {"celery": "FIFO on Celery", "dbos": "DBOS, priority = index of the segment"}
POLL_SECONDS = 0.2
WAITS = (
    "a wait ends when the call leaves (ours: the claim's commit); for peers it begins with the first call of all, for "
    "ours when the account is opened, so the start of processes costs nobody"
)


@dataclass(frozen=True)
class Size:
    """How many come."""

    people: int
    heavy_runs: int
    batch_runs: int

    @property
    def last(self) -> int:
        """Which person's wait is the 99th percentile."""
        return math.ceil(0.99 * self.people)


SIZES = {"short": Size(30, 20, 200), "full": Size(100, 80, 1_000)}


@dataclass(frozen=True)
class Pass:
    """One participant in one scene, with one seed."""

    who: str
    scene: str
    seed: int
    peer: Peer | None = None


@dataclass(frozen=True)
class Outcome:
    """Waits for the first call, in seconds as they were; infinite for people who had none when the pass ended."""

    one: Pass
    waits: tuple[float, ...]
    rejected: int

    @property
    def late(self) -> int:
        return sum(math.isinf(wait) for wait in self.waits)


def bound(number: int, speed: float = 1.0) -> float:
    """The least possible wait of the `number`-th of a crowd (from 1 on), in seconds at this speed."""
    return (math.ceil(number / CALLS) - 1) * ((WINDOW_SECONDS + REPLY_SECONDS) / speed + EPSILON_SECONDS)


def passes(options: Options, peers: Sequence[Peer]) -> list[Pass]:
    participants: list[tuple[str, Peer | None]] = [("ours", None), *((peer.name, peer) for peer in peers)]
    chosen = [one for one in participants if options.takes_part(one[0])]
    count = {who: 0 for who, _peer in chosen}
    made = []
    for who, peer in turns(chosen, options.repeats):
        seed = options.seeds[count[who]]
        count[who] += 1
        made += [Pass(who, scene, seed, peer) for scene in options.more.scene or SCENES]
    return made


def jobs(scene: str, size: Size) -> list[tuple[str, int]]:
    """What a peer is fed, in order: label `person/segment`, priority by segment where the peer knows any."""
    crowd = [(f"{person}/{index}", index + 1) for person in range(size.people) for index in range(SEGMENTS)]
    heavy = [(f"heavy{run}/{index}", index + 1) for run in range(size.heavy_runs) for index in range(SEGMENTS)]
    batch = [(f"batch{run}/0", 1) for run in range(size.batch_runs)]
    return {"crowd": crowd, "heavy": heavy + crowd, "batch": batch}[scene]


class Runner:
    """Runs passes side by side on one rig."""

    def __init__(self, rig: Rig, options: Options) -> None:
        self._rig = rig
        self._speed: float = options.more.speed
        self._size = SIZES[options.form]
        self._seconds = options.seconds
        side_by_side: int = options.more.side_by_side
        self._room = asyncio.Semaphore(side_by_side)
        self._numbers = list(range(side_by_side))
        self._made = 0

    @property
    def speed(self) -> float:
        return self._speed

    async def run(self, one: Pass) -> Outcome | str:
        """One pass; what broke one is told and does not end the others."""
        try:
            async with self._room:
                outcome = await self._run(one)
        except Exception as error:  # noqa: BLE001 - hours of other passes are worth more than the kind of error
            broken = f"broke: {one.who}, {one.scene}, seed {one.seed}: {type(error).__name__}: {error}"
            print(broken, flush=True)
            return broken
        print(
            f"{one.who:8} {one.scene:6} seed {one.seed}: p50 {number(percentile(outcome.waits, 50), 1)} s, "
            f"p99 {number(percentile(outcome.waits, 99), 1)} s, {outcome.late} without a call",
            flush=True,
        )
        return outcome

    async def _run(self, one: Pass) -> Outcome:
        self._made += 1
        name, number = f"fairness{self._made}", self._numbers.pop()
        simulator = await self._rig.simulator(
            *("--window", "sliding", "--reply-delay", "0.1-0.8", "--callbacks", "none"),
            *("--seed", str(one.seed), "--credits", "1000000", "--speed", f"{self._speed:g}"),
        )
        try:
            if one.peer is None:
                return await self._ours(one, simulator, name)
            return await self._peer(one, one.peer, simulator, name, number)
        finally:
            await asyncio.to_thread(simulator.running.stop, 5)
            self._numbers.append(number)

    async def _ours(self, one: Pass, simulator: SimulatorProcess, name: str) -> Outcome:
        size = self._size
        crowd = [Journey(segments=SEGMENTS) for _person in range(size.people)]
        async with Ours(self._rig, simulator, name, time_scale=1 / self._speed) as ours:
            await ours.close_account()
            if one.scene == "heavy":
                heavy = uuid4()
                await ours.request([Journey(heavy, SEGMENTS) for _run in range(size.heavy_runs)])
            if one.scene == "batch":
                somebody = uuid4()
                await ours.request([Journey(somebody, SEGMENTS, "ahead") for _run in range(size.batch_runs)])
                await ours.wait_queued(size.batch_runs)
                await ours.open_account()
                await asyncio.sleep(1 / self._speed)
                crowd = [Journey(segments=SEGMENTS, strategy="ahead")]
                began = time.time()
                await ours.request(crowd)
            else:
                await ours.request(crowd)
                await ours.wait_queued(len(ours.users))
                began = await ours.open_account(frozen=one.scene == "heavy")
            people = {journey.user for journey in crowd}
            first = await self._until_called(ours, people, began)
        return Outcome(one, waits(first, began, len(people)), _rejected(simulator))

    async def _until_called(self, ours: Ours, people: set[UUID], began: float) -> list[float]:
        while True:
            first = [at for user, at in (await ours.first_calls()).items() if user in people]
            if len(first) == len(people) or time.time() > began + self._seconds:
                return first
            await asyncio.sleep(POLL_SECONDS)

    async def _peer(self, one: Pass, peer: Peer, simulator: SimulatorProcess, name: str, number: int) -> Outcome:
        queue = QueuePeer(Field(self._rig, name, simulator.url, number, self._speed), peer)
        await queue.prepare()
        await queue.feed(jobs(one.scene, self._size))
        workers = await queue.work()
        try:
            began = await self._first_call(queue)
            wanted = [f"{person}/0" for person in range(self._size.people)]
            if one.scene == "batch":
                await asyncio.sleep(max(0.0, began + 1 / self._speed - time.time()))
                wanted = ["person/0"]
                await queue.feed([("person/0", 1)])
                began = time.time()
            first = await self._until_left(queue, wanted, began + self._seconds)
        finally:
            for worker in workers:
                end_at_once(worker)
        await queue.forget()
        return Outcome(one, waits(first, began, len(wanted)), _rejected(simulator))

    async def _first_call(self, queue: QueuePeer) -> float:
        async with asyncio.timeout(60):
            while not (calls := queue.calls()):
                await asyncio.sleep(0.05)
        return min(calls.values())

    async def _until_left(self, queue: QueuePeer, wanted: Sequence[str], until: float) -> list[float]:
        while True:
            calls = queue.calls()
            first = [calls[label] for label in wanted if label in calls]
            if len(first) == len(wanted) or time.time() > until:
                return first
            await asyncio.sleep(POLL_SECONDS)


def waits(first: Sequence[float], began: float, people: int) -> tuple[float, ...]:
    """Sorted, and infinite for who was not called."""
    return tuple(sorted(at - began for at in first)) + (math.inf,) * (people - len(first))


def _rejected(simulator: SimulatorProcess) -> int:
    refusals = simulator.ledger()["refusals"]
    return len(refusals) if isinstance(refusals, list) else 0


def report(options: Options, outcomes: Sequence[Outcome], speed: float, notes: Sequence[str]) -> Report:
    packages = ["asyncpg", "aiokafka", *(peer.package for peer in PEERS)]
    made = Report("fairness", "B5 fairness: the wait for the first call", options, versions(packages))
    groups: dict[tuple[str, str], list[Outcome]] = {}
    for outcome in outcomes:
        groups.setdefault((outcome.one.scene, outcome.one.who), []).append(outcome)
    size = SIZES[options.form]
    made.tables = [_table(scene, size, speed, groups) for scene in SCENES if any(key[0] == scene for key in groups)]
    _judge(made, groups, size, speed)
    if speed != 1:
        made.notes.append(f"every duration divided by {speed:g} (but ε = 0.05 s); a window is {10 / speed:g} s")
    made.notes.append(WAITS)
    made.notes += notes
    made.figures = {
        "speed": speed,
        "passes": [
            {
                "who": outcome.one.who,
                "scene": outcome.one.scene,
                "seed": outcome.one.seed,
                "rejected": outcome.rejected,
                "without_a_call": outcome.late,
                "waits": [round(wait, 3) for wait in outcome.waits if math.isfinite(wait)],
            }
            for outcome in outcomes
        ],
    }
    made.picture = Picture(
        lambda axes: _draw(axes, groups, size, speed), f"Waits for the first call in a crowd of {size.people}"
    )
    return made


def _table(scene: str, size: Size, speed: float, groups: dict[tuple[str, str], list[Outcome]]) -> Table:
    titles = {
        "crowd": f"{size.people} people × {SEGMENTS} segments at once",
        "heavy": f"the same behind one person's {size.heavy_runs} runs",
        "batch": f"one person, 1 s after a batch of {size.batch_runs:,} runs",
    }
    head = ["who", "p50", "p99", "longest", "p99 in windows", "bound p99", "rejected", "without a call"]
    table = Table(f"{scene}: {titles[scene]}; waits in s at speed {speed:g}, median (least–most) over seeds", head)
    for (each, who), outcomes in groups.items():
        if each != scene:
            continue
        columns = [spread([percentile(one.waits, percent) for one in outcomes]) for percent in (50, 99, 100)]
        table.add(
            who if who == "ours" else f"{who} ({HOW[who]})",
            *(column.text(2) for column in columns),
            spread([percentile(one.waits, 99) * speed / WINDOW_SECONDS for one in outcomes]).text(2),
            f"{_bound(scene, size, speed):.2f}",
            spread([one.rejected for one in outcomes]).text(0),
            spread([one.late for one in outcomes]).text(0),
        )
    return table


def _bound(scene: str, size: Size, speed: float) -> float:
    """What the design allows at p99."""
    window = WINDOW_SECONDS / speed
    return {
        "crowd": bound(size.last, speed),
        "heavy": bound(size.last, speed) + window,
        "batch": window + 1 / speed,
    }[scene]


def _judge(made: Report, groups: dict[tuple[str, str], list[Outcome]], size: Size, speed: float) -> None:
    allowed = {"crowd": 1.05, "heavy": 1.05, "batch": 1.0}
    words = {"crowd": "≤ bound + 5 %", "heavy": "≤ bound + one window (+ 5 %)", "batch": "≤ one window + 1 s"}
    for scene in SCENES:
        ours = groups.get((scene, "ours"))
        if not ours:
            continue
        worst = max(percentile(one.waits, 99) for one in ours)
        limit = _bound(scene, size, speed) * allowed[scene]
        complete = all(one.late == 0 for one in ours)
        made.judge(
            f"{scene}: p99 wait {words[scene]}", complete and worst <= limit, f"{number(worst, 2)} s of {limit:.2f} s"
        )
        mine = spread([percentile(one.waits, 99) for one in ours]).median
        for peer in PEERS:
            theirs = [percentile(one.waits, 99) for one in groups.get((scene, peer.name), [])]
            if not theirs:
                continue
            ratio = spread(theirs).median / mine
            if peer is CELERY and scene == "crowd":
                made.judge("crowd: p99 ≥ 9 × better than FIFO", ratio >= 9, f"{number(ratio, 1)} ×")
            if ratio < 1:
                rejected = spread([one.rejected for one in groups[scene, peer.name]]).text(0)
                made.lose(
                    f"{scene}: {peer.name} waits {spread(theirs).text(2)} s at p99, ours {number(mine, 2)} s "
                    f"(with {rejected} calls rejected by the provider)"
                )


def _draw(axes: "Axes", groups: dict[tuple[str, str], list[Outcome]], size: Size, speed: float) -> None:
    from benchmarks.rig.drawing import BOUND, OURS, PEER

    styles = {"ours": (OURS, "-"), "celery": (PEER, "-"), "dbos": (PEER, "--")}
    people = range(1, size.people + 1)
    least = [bound(number, speed) for number in people]
    axes.step(people, least, where="post", color=BOUND, linewidth=1, label="bound")
    for (scene, who), outcomes in groups.items():
        if scene == "crowd":
            colour, line = styles[who]
            times = [wait for wait in outcomes[0].waits if math.isfinite(wait)]
            axes.plot(range(1, len(times) + 1), times, line, color=colour, label=HOW.get(who, who))
    axes.set_xlabel("people, by their wait")
    axes.set_ylabel("wait for the first call, s")
    axes.legend(frameon=False)


async def measure(options: Options) -> Report:
    peers, notes = [], []
    for peer in PEERS:
        lacks = peer.lacks()
        (peers.append(peer) if lacks is None else notes.append(f"left out: {peer.name}, {lacks}"))
    async with open_rig("fairness") as rig:
        planned = passes(options, peers)
        await rig.postgres()
        if any(one.peer is None for one in planned):
            await rig.kafka()
        if any(one.peer and one.peer.redis for one in planned):
            await rig.redis()
        runner = Runner(rig, options)
        async with watched_load() as load:
            ended = await asyncio.gather(*(runner.run(one) for one in planned))
    notes += [f"the machine while passes ran: {load}", *(each for each in ended if isinstance(each, str))]
    return report(options, [each for each in ended if isinstance(each, Outcome)], runner.speed, notes)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = make_parser("fairness", __doc__ or "", short=Form(240, 1), full=Form(900, 3))
    parser.add_argument("--speed", type=float, default=1.0, help="divide every duration by this")
    parser.add_argument("--scene", action="append", choices=SCENES, help="only these scenes")
    parser.add_argument("--side-by-side", type=int, default=9, help="passes at once; they mostly wait (load is told)")
    options = read(parser, arguments)
    print(f"seed {options.seed}, {options.form} form", flush=True)
    asyncio.run(measure(options)).finish()


if __name__ == "__main__":
    main()
