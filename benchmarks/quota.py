"""B1: is a quota of 20 calls in 10 s used to the limit and never exceeded? Two processes, an endless backlog.

The provider is `parcours simulate suno` in real time: it stamps a call in the middle of a reply delay of 0.1-0.8 s.
Score = accepted / (20 · ⌈T/10⌉) if nothing was rejected, else 0. Ours runs as two generator processes on real
PostgreSQL and Kafka, three times: left alone, one killed (kill -9) and restarted at half time, one killed in a burst.
"""

import asyncio
import math
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from benchmarks.ours import Journey, Ours
from benchmarks.peers import running
from benchmarks.peers.running import BULLMQ, CELERY, CELERY_FAST, DBOS, LIMITERS, Field, Peer, QueuePeer
from benchmarks.rig.errors import RigError
from benchmarks.rig.figures import spread, turns
from benchmarks.rig.machine import versions, watched_load
from benchmarks.rig.options import Form, Options, make_parser, read
from benchmarks.rig.report import Picture, Report, Table
from benchmarks.rig.servers import Rig, SimulatorProcess, end_at_once, open_rig

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CALLS, WINDOW_SECONDS = 20, 10.0
WINDOWS = ("sliding", "fixed", "bucket")
REPLY_DELAY = "0.1-0.8"  # s, uniform
PEERS = (*LIMITERS, DBOS, CELERY, CELERY_FAST, BULLMQ)
IN_BURST = 6  # calls under way: a kill now leaves replies that nobody reads
FIRST_CALL_SECONDS = 60.0
LEAST_JUDGED_SECONDS = 100.0  # below, one lease of 35 s is too large a part of a pass with a kill
LONG_RUN = (
    "a pass begins with a full window, and every further one W + ε + reply delay after the one before: 45 s and 120 s "
    "can be used whole; the bound of the long run is W/(W+ε+RTT) = 0.952. A fixed window and a bucket allow more than "
    "20 in any 10 s now and then, so that a score above 1 is possible there"
)

Kill = Literal["none", "half time", "in a burst"]


@dataclass(frozen=True)
class Pass:
    """One participant against one kind of window, with one seed."""

    who: str
    window: str
    seed: int
    peer: Peer | None = None
    kill: Kill = "none"


@dataclass(frozen=True)
class Outcome:
    """What the provider's ledger says of a pass; stamps are seconds from the first call."""

    one: Pass
    seconds: float
    accepted: int
    rejected: int
    stamps: Sequence[float] = field(repr=False, default=())
    in_flight_at_kill: int | None = None

    @property
    def score(self) -> float:
        return score(self.accepted, self.rejected, self.seconds)


def most(seconds: float) -> int:
    """What the contract allows in so many seconds that begin with a full window."""
    return CALLS * math.ceil(seconds / WINDOW_SECONDS)


def score(accepted: int, rejected: int, seconds: float) -> float:
    """Use of the quota, and nothing for whoever was rejected."""
    return 0.0 if rejected else accepted / most(seconds)


def counted(ledger: dict[str, object], seconds: float) -> tuple[int, int, list[float]]:
    """Accepted, rejected and accepted stamps within so many seconds of the first call, which the ledger names."""
    accepted = [float(entry["acceptedAt"]) for entry in ledger["accepted"]]  # type: ignore[attr-defined]  # JSON
    refused = [float(entry["at"]) for entry in ledger["refusals"]]  # type: ignore[attr-defined]  # JSON
    began = min([*accepted, *refused], default=0.0)
    stamps = sorted(at - began for at in accepted if at - began < seconds)
    return len(stamps), sum(at - began < seconds for at in refused), stamps


def passes(options: Options, peers: Sequence[Peer]) -> list[Pass]:
    """All passes in the order in which they begin: participants A B … B A, by windows and seeds."""
    ours: list[tuple[str, Peer | None, Kill]] = [
        ("ours", None, "none"),
        ("ours, killed at half time", None, "half time"),
        ("ours, killed in a burst", None, "in a burst"),
    ]
    participants = [*ours, *((peer.name, peer, "none") for peer in peers)]
    chosen = [one for one in participants if options.takes_part(one[0])]
    count = {one[0]: 0 for one in chosen}
    made = []
    for who, peer, kill in turns(chosen, options.repeats):
        seed = options.seeds[count[who]]
        count[who] += 1
        made += [Pass(who, window, seed, peer, kill) for window in WINDOWS if window in _kinds(options)]
    return made


def _kinds(options: Options) -> Sequence[str]:
    return getattr(options.more, "window", None) or WINDOWS


class Runner:
    """Runs passes side by side on one rig; each has a provider of its own."""

    def __init__(self, rig: Rig, options: Options, side_by_side: int) -> None:
        self._rig = rig
        self._options = options
        self._room = asyncio.Semaphore(side_by_side)
        self._numbers: asyncio.Queue[int] = asyncio.Queue()
        for number in range(side_by_side):
            self._numbers.put_nowait(number)
        self._made = 0

    async def run(self, one: Pass) -> Outcome | str:
        """One pass; what broke one is told and does not end the others."""
        try:
            return await self._run(one)
        except Exception as error:  # noqa: BLE001 - hours of other passes are worth more than the kind of error
            broken = f"broke: {one.who}, {one.window}, seed {one.seed}: {type(error).__name__}: {error}"
            print(broken, flush=True)
            return broken

    async def _run(self, one: Pass) -> Outcome:
        """From its own simulator to what the ledger says."""
        async with self._room:
            number = await self._numbers.get()
            self._made += 1
            name = f"quota{self._made}"
            simulator = await self._rig.simulator(
                *("--window", one.window, "--reply-delay", REPLY_DELAY, "--callbacks", "none"),
                *("--seed", str(one.seed), "--credits", "1000000"),
            )
            try:
                outcome = await (self._ours if one.peer is None else self._peer)(one, simulator, name, number)
            finally:
                await asyncio.to_thread(simulator.running.stop, 5)
                self._numbers.put_nowait(number)
        print(
            f"{one.who:26} {one.window:8} seed {one.seed}: {outcome.accepted} accepted, {outcome.rejected} rejected, "
            f"score {outcome.score:.3f}",
            flush=True,
        )
        return outcome

    async def _ours(self, one: Pass, simulator: SimulatorProcess, name: str, _number: int) -> Outcome:
        seconds, in_flight = self._options.seconds, None
        async with Ours(self._rig, simulator, name) as ours:
            # The backlog is there before the first call, as it is for the peers.
            journeys = [Journey(segments=6) for _ in range(math.ceil((most(seconds) + 2 * CALLS) / 6))]
            await ours.close_account()
            await ours.request(journeys)
            await ours.wait_queued(len(ours.users))
            await ours.open_account()
            began = await _first_call(simulator)
            if one.kill != "none":
                await _sleep_until(began + seconds / 2)
                in_flight = await self._kill(ours, one.kill, began + seconds)
            await _sleep_until(began + seconds + 1)
        return self._outcome(one, simulator, in_flight)

    async def _kill(self, ours: Ours, kill: Kill, until: float) -> int:
        in_flight = await ours.in_flight()
        while kill == "in a burst" and in_flight < IN_BURST and time.time() < until:
            await asyncio.sleep(0.01)
            in_flight = await ours.in_flight()
        await ours.kill_and_restart(0)
        return in_flight

    async def _peer(self, one: Pass, simulator: SimulatorProcess, name: str, number: int) -> Outcome:
        seconds = self._options.seconds
        place = Field(self._rig, name, simulator.url, number)
        peer = one.peer or DBOS
        if peer in LIMITERS:
            workers = await running.start_limiter(place, peer, seconds + 1)
        else:
            queue = QueuePeer(place, peer)
            await queue.prepare()
            await queue.feed([(f"job-{job}", 0) for job in range(2 * most(seconds) + 4 * CALLS)])
            workers = await queue.work()
        try:
            began = await _first_call(simulator)
            await _sleep_until(began + seconds + 1)
        finally:
            for worker in workers:
                end_at_once(worker)
        if peer.redis:
            await running.forget(place)
        return self._outcome(one, simulator, None)

    def _outcome(self, one: Pass, simulator: SimulatorProcess, in_flight: int | None) -> Outcome:
        accepted, rejected, stamps = counted(simulator.ledger(), self._options.seconds)
        return Outcome(one, self._options.seconds, accepted, rejected, stamps, in_flight)


async def _first_call(simulator: SimulatorProcess) -> float:
    """Wait for the first call that reaches the provider; its epoch second."""
    give_up_at = time.monotonic() + FIRST_CALL_SECONDS
    while time.monotonic() < give_up_at:
        ledger = await asyncio.to_thread(simulator.ledger)
        entries = [*ledger["accepted"], *ledger["refusals"]]  # type: ignore[misc]  # JSON
        if entries:
            return min(float(entry.get("acceptedAt") or entry["at"]) for entry in entries)
        await asyncio.sleep(0.3)
    raise RigError(f"nobody called the provider within {FIRST_CALL_SECONDS:g} s")


async def _sleep_until(at: float) -> None:
    await asyncio.sleep(max(0.0, at - time.time()))


def report(options: Options, outcomes: Sequence[Outcome], left_out: Sequence[str], load: str) -> Report:
    """Everything this benchmark says."""
    names = [peer.package for peer in PEERS]
    made = Report("quota", "B1 quota: use of 20 calls in 10 s", options, versions(["asyncpg", "aiokafka", *names]))
    by_who: dict[str, dict[str, list[Outcome]]] = defaultdict(lambda: defaultdict(list))
    for outcome in outcomes:
        by_who[outcome.one.who][outcome.one.window].append(outcome)
    made.tables.append(_table(options, by_who))
    for who, windows in by_who.items():
        if who.startswith("ours"):
            _judge(made, who, [each for group in windows.values() for each in group])
    _compare(made, by_who)
    made.notes += [f"the machine while passes ran: {load}", *left_out]
    made.notes.append(LONG_RUN)
    made.figures = {"passes": [_plain(outcome) for outcome in outcomes]}
    made.picture = Picture(lambda axes: _draw(axes, by_who), "Score of each participant, by kind of window", 8, 7)
    return made


def _table(options: Options, by_who: dict[str, dict[str, list[Outcome]]]) -> Table:
    kinds = _kinds(options)
    heads = [f"{kind}: {what}" for kind in kinds for what in ("accepted / rejected", "score")]
    allowed = most(options.seconds)
    table = Table(
        f"{options.seconds:g} s of backlog, at most {allowed}; median (least–most) over seeds", ["who", *heads]
    )
    for who, windows in by_who.items():
        cells: list[str] = []
        for kind in kinds:
            group = windows.get(kind, [])
            accepted = spread([outcome.accepted for outcome in group]).text(0)
            rejected = spread([outcome.rejected for outcome in group]).text(0)
            cells += [f"{accepted} / {rejected}", spread([outcome.score for outcome in group]).text()]
        table.add(who, *cells)
    return table


def _judge(made: Report, who: str, group: Sequence[Outcome]) -> None:
    wanted = 0.95 if who == "ours" else 0.90
    found = spread([outcome.score for outcome in group])
    rejected = sum(outcome.rejected for outcome in group)
    long_enough = who == "ours" or group[0].seconds >= LEAST_JUDGED_SECONDS
    made.judge(f"{who}: nothing rejected, whatever the window and the seed", rejected == 0, f"{rejected} rejected")
    held = found.least >= wanted if long_enough else None
    made.judge(f"{who}: score ≥ {wanted:.2f} on every window and seed", held, f"{found.text()}")
    if not long_enough:
        made.notes.append(f"{who}: the slots of the killed process rest for a lease of 35 s, most of a short pass")


def _compare(made: Report, by_who: dict[str, dict[str, list[Outcome]]]) -> None:
    """Where a peer used more than we did, and whether each scores 0 on the sliding window."""
    ours = by_who.get("ours", {})
    for who, windows in by_who.items():
        if who.startswith("ours"):
            continue
        sliding = [outcome.score for outcome in windows.get("sliding", [])]
        if sliding:
            made.judge(f"{who} scores 0 on the sliding window", max(sliding) == 0, f"score {spread(sliding).text()}")
        for kind, group in windows.items():
            theirs, mine = (spread([each.score for each in some]) for some in (group, ours.get(kind, [])))
            if theirs.median > mine.median:
                made.lose(f"{who} on {kind}: {theirs.text()} against {mine.text()}")


def _plain(outcome: Outcome) -> dict[str, object]:
    one = outcome.one
    return {
        "who": one.who,
        "window": one.window,
        "seed": one.seed,
        "accepted": outcome.accepted,
        "rejected": outcome.rejected,
        "score": round(outcome.score, 4),
        "in_flight_at_kill": outcome.in_flight_at_kill,
        "stamps": [round(at, 3) for at in outcome.stamps],
    }


def _draw(axes: "Axes", by_who: dict[str, dict[str, list[Outcome]]]) -> None:
    from benchmarks.rig.drawing import BOUND, OURS, PEER

    names = list(reversed(by_who))
    height = 0.8 / len(WINDOWS)
    most = 1.0
    for place, kind in enumerate(WINDOWS):
        for row, who in enumerate(names):
            group = by_who[who].get(kind, [])
            if not group:
                continue
            value, y = spread([each.score for each in group]).median, row + (1 - place) * height
            most = max(most, value)
            colour = OURS if who.startswith("ours") else PEER
            axes.barh(y, value, height * 0.9, color=colour, alpha=1 - 0.25 * place)
            if value == 0:
                rejected = spread([each.rejected for each in group]).text(0)
                axes.text(0.005, y, f"0: {rejected} rejected", va="center", fontsize=6, color=BOUND)
    axes.axvline(0.95, color=BOUND, linewidth=1, linestyle="--")
    axes.set_yticks(range(len(names)), names)
    axes.set_xlim(0, most * 1.03)
    axes.set_xlabel("score (dashed: 0.95); in each group from top: sliding, fixed, bucket; 0 = something was rejected")


async def measure(options: Options) -> Report:
    """Run all passes and make the report."""
    peers, left_out = [], []
    for peer in PEERS:
        lacks = peer.lacks()
        (peers.append(peer) if lacks is None else left_out.append(f"left out: {peer.name}, {lacks}"))
    async with open_rig("quota") as rig:
        planned = passes(options, peers)
        if any(one.peer is None for one in planned):
            await rig.kafka()
        await rig.postgres()
        if any(one.peer and one.peer.redis for one in planned):
            await rig.redis()
        runner = Runner(rig, options, options.more.side_by_side)
        async with watched_load() as load:
            ended = await asyncio.gather(*(runner.run(one) for one in planned))
    outcomes = [each for each in ended if isinstance(each, Outcome)]
    return report(options, outcomes, [*left_out, *(each for each in ended if isinstance(each, str))], str(load))


def main(arguments: Sequence[str] | None = None) -> None:
    parser = make_parser("quota", __doc__ or "", short=Form(45, 1), full=Form(120, 5))
    parser.add_argument("--side-by-side", type=int, default=6, help="passes at once; they mostly wait (load is told)")
    parser.add_argument("--window", action="append", choices=WINDOWS, help="only these kinds of window")
    options = read(parser, arguments)
    print(f"seed {options.seed}, {options.form} form, {options.seconds:g} s a pass", flush=True)
    asyncio.run(measure(options)).finish()


if __name__ == "__main__":
    main()
