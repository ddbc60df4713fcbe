"""Owns what of the benchmarks is pure: scores, bounds, figures, the order of turns, a tiny world of listeners."""

import ast
import math
import re
import runpy
import sys
from collections import Counter
from pathlib import Path

import pytest

from benchmarks import __main__ as all_benchmarks
from benchmarks import fairness, listeners, quota
from benchmarks.peers import running
from benchmarks.rig.figures import percentile, spread, turns
from benchmarks.rig.options import Form, Options, make_parser, read
from benchmarks.rig.report import Report, Table
from benchmarks.rig.sampling import OTHER, shares
from benchmarks.world import MICROSECONDS, Shape, World, by_run, due_offsets, earliest_due, listen, play, terms

ROOT = Path(__file__).resolve().parents[2]
PEERS = {"celery", "dbos", "limits", "matplotlib", "procrastinate", "pyrate_limiter", "redis", "restate", "throttled"}


def options(*arguments: str) -> Options:
    return read(make_parser("test", "", short=Form(45, 1), full=Form(120, 5)), arguments)


@pytest.mark.parametrize("name", all_benchmarks.NAMES)
def test_every_benchmark_tells_its_options_without_starting_anything(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", [name, "--help"])
    monkeypatch.delitem(sys.modules, f"benchmarks.{name}", raising=False)
    with pytest.raises(SystemExit) as left:
        runpy.run_module(f"benchmarks.{name}", run_name="__main__")
    assert left.value.code in (0, None)
    assert {"--full", "--short", "--seconds", "--seed"} <= set(re.findall(r"--[a-z]+", capsys.readouterr().out))


def test_no_benchmark_needs_its_peers_to_be_imported() -> None:
    programs = (ROOT / "benchmarks" / "peers", ROOT / "benchmarks" / "rig" / "drawing.py")
    needing = [
        path.name
        for path in (ROOT / "benchmarks").rglob("*.py")
        if not any(program == path or program in path.parents for program in programs)
        and PEERS & _imported_at_once(path)
    ]
    assert needing == []


def _imported_at_once(path: Path) -> set[str]:
    names = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Import):
            names |= {each.name.partition(".")[0] for each in node.names}
        if isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.partition(".")[0])
    return names


def test_the_lock_of_the_benchmarks_names_all_that_the_tests_need() -> None:
    def pinned(name: str) -> set[str]:
        return set(re.findall(r"^[a-z0-9][^ ;]*==[^ ;\\]+", (ROOT / name).read_text(encoding="utf-8"), re.MULTILINE))

    assert pinned("requirements-test.lock") - pinned("requirements-bench.lock") == set(), "type: make locks"


# --- options, figures, turns ---


def test_a_run_that_is_neither_short_nor_full_is_kept_out_of_the_record() -> None:
    assert options("--full").kept
    assert options().kept
    assert not options("--seconds", "5").kept
    assert not options("--only", "ours").kept
    assert options("--only", "ours", "--keep").kept


def test_each_repeat_has_a_seed_of_its_own() -> None:
    assert options("--full", "--seed", "7").seeds == [7, 8, 9, 10, 11]


def test_a_participant_is_chosen_by_the_beginning_of_its_name() -> None:
    assert options("--only", "ours").takes_part("ours, killed in a burst")
    assert not options("--only", "ours").takes_part("celery")


def test_percentiles_are_values_that_were_measured() -> None:
    assert percentile([3.0, 1.0, 2.0], 50) == 2.0
    assert percentile(list(range(1, 101)), 99) == 99
    assert math.isnan(percentile([], 50))


def test_a_spread_tells_median_and_both_ends() -> None:
    assert spread([3.0, 1.0, 2.0]).text(1) == "2.0 (1.0–3.0)"
    assert spread([1.0]).text(1) == "1.0"
    assert spread([math.inf]).text(1) == "∞"
    assert spread([]).text(1) == "–"


def test_participants_take_turns_so_that_nobody_is_always_first() -> None:
    assert turns("ab", 4) == ["a", "b", "b", "a", "a", "b", "b", "a"]


def test_a_page_tells_targets_that_were_missed_and_where_a_peer_is_better() -> None:
    report = Report("test", "A test", options("--seed", "7"), {"us": "1"}, [Table("Figures", ["who"], [["ours"]])])
    report.judge("the moon", held=False, found="not reached")
    report.lose("the peer reached it")
    page = report.page(drawn=False)
    assert "| the moon | MISSED | not reached |" in page
    assert "Where we lose: the peer reached it." in page
    assert "seed 7" in page


# --- B1 ---


def test_a_limiter_that_was_rejected_once_scores_nothing() -> None:
    assert quota.score(240, 0, 120) == 1.0
    assert quota.score(98, 0, 45) == 0.98
    assert quota.score(240, 1, 120) == 0.0


def test_a_pass_is_counted_from_its_first_call_for_as_long_as_it_lasts() -> None:
    ledger: dict[str, object] = {
        "accepted": [{"acceptedAt": 110.0}, {"acceptedAt": 101.0}, {"acceptedAt": 146.0}],
        "refusals": [{"at": 100.0}, {"at": 147.0}],
    }
    assert quota.counted(ledger, 45) == (2, 1, [1.0, 10.0])
    assert quota.counted({"accepted": [], "refusals": []}, 45) == (0, 0, [])


def test_every_participant_meets_every_window_with_every_seed() -> None:
    passes = quota.passes(options("--full", "--seed", "1"), quota.PEERS)
    seen = Counter((one.who, one.window, one.seed) for one in passes)
    assert set(seen.values()) == {1}
    assert len(passes) == (3 + len(quota.PEERS)) * 3 * 5


# --- B5 ---


def test_the_bound_grows_by_a_window_with_every_twenty_people() -> None:
    assert fairness.bound(20) == 0
    assert fairness.bound(21) == pytest.approx(10.5)
    assert fairness.bound(100) == pytest.approx(42.0)
    assert fairness.bound(21, speed=10) == pytest.approx(1.095)


def test_people_who_were_never_called_wait_for_ever() -> None:
    assert fairness.waits([103.0, 101.0], 100.0, 3) == (1.0, 3.0, math.inf)


def test_peers_are_fed_the_heavy_person_first_and_first_segments_as_most_urgent() -> None:
    jobs = fairness.jobs("heavy", fairness.SIZES["full"])
    assert len(jobs) == 80 * 8 + 100 * 8
    assert jobs[0] == ("heavy0/0", 1)
    assert jobs[-1] == ("99/7", 8)


# --- B6: a tiny world ---


@pytest.fixture(scope="module")
def tiny() -> World:
    return World(Shape(users=40, arrivals_seconds=60, segments=6), seed=3)


def test_the_same_seed_makes_the_same_world(tiny: World) -> None:
    again = World(tiny.shape, tiny.seed)
    assert again.arrivals == tiny.arrivals
    assert play(again, earliest_due) == play(tiny, earliest_due)


def test_due_times_are_the_runners_own() -> None:
    assert [offset / MICROSECONDS for offset in due_offsets(4, 180.0)] == [0, 40 + 180 - 150, 250, 430]


@pytest.mark.parametrize("order", listeners.ORDERS)
def test_every_segment_is_called_once_and_the_quota_is_kept_in_every_order(order: str, tiny: World) -> None:
    key, capped = listeners.ORDERS[order]
    calls = play(tiny, key, user_cap=terms().user_cap if capped else None)
    assert Counter((call.user, call.index) for call in calls) == Counter(
        (user, index) for user in range(40) for index in range(6)
    )
    stamps = sorted((call.at + call.replied) // 2 for call in calls)
    window = round(terms().window_seconds * MICROSECONDS)
    assert all(later - earlier >= window for earlier, later in zip(stamps, stamps[terms().slots :], strict=False))


def test_nobody_is_asked_for_before_coming(tiny: World) -> None:
    assert all(call.at >= tiny.arrivals[call.user] for call in play(tiny, by_run))


def test_the_earliest_due_order_starts_people_long_before_first_come_first_served(tiny: World) -> None:
    ours = listen(tiny, play(tiny, earliest_due, user_cap=4)).first_call_waits
    fifo = listen(tiny, play(tiny, by_run)).first_call_waits
    assert percentile(ours, 99) <= 11
    assert percentile(fifo, 99) > 5 * percentile(ours, 99)


def test_a_segment_that_comes_late_is_noticed() -> None:
    crowd = World(Shape(users=400, arrivals_seconds=60, segments=4), seed=1)
    assert listen(crowd, play(crowd, earliest_due)).under_runs > 0
    alone = World(Shape(users=1, arrivals_seconds=1, segments=4), seed=1)
    assert listen(alone, play(alone, earliest_due)).under_runs == 0


def test_the_largest_number_that_is_carried_is_found_by_halving() -> None:
    assert listeners.largest(lambda users: users <= 137, 20, 420) == 137
    assert listeners.largest(lambda users: users <= 500, 20, 420) == 420
    assert listeners.largest(lambda _users: False, 20, 420) == 0


def test_a_peer_that_is_not_installed_says_what_to_type() -> None:
    peer = running.Peer("nobody", "", "nobody", ("a_module_that_is_nowhere",))
    assert peer.lacks() == "a_module_that_is_nowhere not installed (make setup-bench)"


def test_a_look_at_a_stack_counts_for_the_innermost_frame_that_has_a_group() -> None:
    writing = "run (uvicorn/server.py);write (asyncpg/pool.py);encode (json/x.py)"
    stacks = f"{writing} 6\nrun (uvicorn/server.py) 3\nidle (x.py) 1\n"
    groups = {"asyncpg/": "database", "uvicorn/": "HTTP"}
    assert shares(stacks, groups) == {"database": 0.6, "HTTP": 0.3, OTHER: 0.1}
