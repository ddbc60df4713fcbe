"""Owns how the proof of sound is told: tables of pieces, of journeys, of what tells presets apart, and the verdicts."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import permutations
from statistics import fmean
from typing import Any

from benchmarks.rig.report import Report, Table
from benchmarks.sound_cells import Found
from benchmarks.sound_journeys import LOUD_WINDOW, WINDOW, Journey
from services.create.domain.presets import styles
from tests.unit.composer.features import BY_SEVERAL, FAR_ENOUGH, STEPS, distance, features_of, journey_of

TOLERANCE_LU = 0.5
PEAK_BEFORE, PEAK_CODED = -1.5, -1.0
LEAST_R = 0.9
STYLE = "piano"  # in which whole journeys are held against each other, so that the timbre tells nothing


def tell_cells(report: Report, made: Sequence[Found]) -> None:
    """One row a preset, one column a style; then how near any came to each bound."""
    if not made:
        return
    names = [style for style in styles() if any(one.style == style for one in made)]
    table = Table(
        "60 s each: loudness against the plan in LU, true peak before / after coding in dBTP, gate rows passed",
        ("preset", *names),
    )
    by_place = {(one.preset, one.style): one for one in made}
    for key in dict.fromkeys(one.preset for one in made):
        table.add(key, *(_cell(by_place.get((key, style))) for style in names))
    report.tables.append(table)
    report.tables.append(_nearest(made))
    bad = [f"{one.preset} in {one.style}: {one.refused}" for one in made if one.refused or _failed(one.rows)]
    report.judge(f"every row of the gate, {len(made)} pieces", not bad, "; ".join(bad) or "all pass")
    kept = [one for one in made if not one.refused] or list(made)
    off = max(abs(one.lufs - one.planned_lufs) for one in kept)
    report.judge(f"planned loudness ± {TOLERANCE_LU:g} LU", off <= TOLERANCE_LU, f"at most {off:.2f} LU off")
    _judge_peaks(report, "pieces", [one.peak_before for one in kept], [one.peak_coded for one in kept])
    twice = [one for one in made if one.again is not None]
    same = sum(one.sha256 == one.again for one in twice)
    report.judge(
        "same seed, same PCM (pieces)", same == len(twice) if twice else None, f"{same} of {len(twice)} rendered twice"
    )


def _cell(one: Found | None) -> str:
    if one is None:
        return ""
    if one.refused:
        return f"REFUSED {one.refused}"
    judged = [row for row in one.rows if row["mode"] != "advise"]
    passed = sum(row["passed"] for row in judged)
    off = one.lufs - one.planned_lufs
    return f"{off:+.2f} LU, {one.peak_before:.1f} / {one.peak_coded:.1f}, {passed}/{len(judged)}"


def _failed(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    return [str(row["finding"]) for row in rows if not row["passed"] and row["mode"] != "advise"]


def _nearest(made: Sequence[Found]) -> Table:
    """For each bound of the gate the piece that came nearest to it."""
    table = Table(
        "the nearest that any piece came to each bound", ("row", "stage", "finding", "value", "bound", "piece")
    )
    worst: dict[tuple[str, str, float], tuple[float, str, Mapping[str, Any]]] = {}
    for one in made:
        for row in one.rows:
            key = (row["stage"], row["finding"], row["limit"])
            room = abs(row["value"] - row["limit"])
            if key not in worst or room < worst[key][0]:
                worst[key] = (room, f"{one.preset}, {one.style}", row)
    for _, piece, nearest in worst.values():
        advised = " (advice)" if nearest["mode"] == "advise" else ""
        value, bound = f"{nearest['value']:.4g}", f"{nearest['limit']:g}"
        table.add(nearest["check"] + advised, nearest["stage"], nearest["finding"], value, bound, piece)
    return table


def _judge_peaks(report: Report, what: str, before: Sequence[float], coded: Sequence[float]) -> None:
    held = max(before) <= PEAK_BEFORE and max(coded) <= PEAK_CODED
    found = f"at most {max(before):.1f} before and {max(coded):.1f} after coding"
    report.judge(f"true peak ≤ {PEAK_BEFORE:g} dBTP before, ≤ {PEAK_CODED:g} after coding ({what})", held, found)


def tell_journeys(report: Report, made: Sequence[Journey]) -> None:
    """Length, level, joins and the arc of the whole journeys."""
    if not made:
        return
    table = Table(
        "whole journeys; r is of planned and measured curve, – where the plan hardly moves",
        (
            "journey", "length s", "LUFS", "true peak before / after dBTP", "segments off their plan, at most LU",
            "click at joins / elsewhere allowed", f"r tempo ({WINDOW:g} s)", "tempo off, at most BPM",
            "r tempo as heard (points of 15 s)",
            f"r brightness ({WINDOW:g} s)", f"r loudness ({WINDOW:g} / {LOUD_WINDOW:g} s)",
        ),
    )  # fmt: skip
    for one in made:
        clicks, excess = _finding(one, "join_clicks"), _finding(one, "join_click_excess")
        table.add(
            f"{one.preset}, {one.feeling}",
            f"{one.seconds:.3f}",
            f"{one.lufs:.1f}",
            f"{one.peak_before:.1f} / {one.peak_coded:.1f}",
            f"{_level_off(one):.2f}",
            f"{clicks:.1f} / {clicks / excess if excess else 0:.1f}" if clicks else "",
            _r(one.correlation("bpm", WINDOW)),
            f"{one.tempo_error:.2f}",
            f"{_r(one.heard_tempo()[0])} ({one.heard_tempo()[1]})",
            _r(one.correlation("brightness", WINDOW)),
            f"{_r(one.correlation('lufs', WINDOW))} / {_r(one.correlation('lufs', LOUD_WINDOW))}",
        )
    report.tables.append(table)
    _judge_journeys(report, made)


def _judge_journeys(report: Report, made: Sequence[Journey]) -> None:
    bad = [f"{one.preset}: {', '.join(_failed(one.rows))}" for one in made if _failed(one.rows)]
    report.judge(f"every row of the gate, {len(made)} whole journeys", not bad, "; ".join(bad) or "all pass")
    off = max(_level_off(one) for one in made)
    report.judge(f"each segment's loudness ± {TOLERANCE_LU:g} LU", off <= TOLERANCE_LU, f"at most {off:.2f} LU off")
    _judge_peaks(report, "journeys", [one.peak_before for one in made], [one.peak_coded for one in made])
    worst = max(_finding(one, "join_click_excess") for one in made)
    report.judge(
        "clicks at joins not above the programme's own", worst <= 1.0, f"at most {worst:.2f} of what is allowed"
    )
    for name, word, window in (
        ("bpm", "tempo", WINDOW),
        ("brightness", "brightness", WINDOW),
        ("lufs", "loudness", LOUD_WINDOW),
    ):
        found = [r for one in made if (r := one.correlation(name, window)) is not None]
        held = min(found) >= LEAST_R if found else None
        report.judge(
            f"r of {word} ≥ {LEAST_R:g} over {window:g} s",
            held,
            ", ".join(f"{r:.3f}" for r in found) or "no plan moves enough",
        )
    twice = [one for one in made if one.again is not None]
    same = sum(one.sha256 == one.again for one in twice)
    report.judge(
        "same seed, same PCM (journeys)", same == len(twice) if twice else None, f"{same} of {len(twice)} made twice"
    )


def _level_off(one: Journey) -> float:
    return max(abs(planned - level) for planned, level in one.levels)


def _finding(one: Journey, name: str) -> float:
    return next((float(row["value"]) for row in one.rows if row["finding"] == name), _unjudged(one, name))


def _unjudged(one: Journey, name: str) -> float:
    return one.extra.get(name, 0.0)


def _r(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def tell_presets(report: Report, made: Sequence[Found]) -> None:
    """What tells presets apart: how the 60 s are, and how far whole journeys of one style and seed lie apart."""
    keys = list(dict.fromkeys(one.preset for one in made))
    if len(keys) < 2:
        return
    journeys = {key: features_of(journey_of(key, style=STYLE)) for key in keys}
    apart = {pair: journeys[pair[0]].steps_to(journeys[pair[1]]) for pair in permutations(keys, 2)}
    table = Table(
        f"what tells presets apart: the 60 s, means over the styles played; whole journeys ({STYLE}) in just-heard "
        f"steps by kind: {', '.join(f'{name} {step:g}' for name, step in STEPS.items())}",
        ("preset", "tempo planned / composed", "notes a minute", "pulses a minute", "brightness Hz by style",
         "mode, chords, metre", "nearest journey", "steps to it", "kinds that differ by a step and more"),
    )  # fmt: skip
    for key in keys:
        other = min((each for each in keys if each != key), key=lambda each: distance(apart[key, each]))
        mine = [one for one in made if one.preset == key]
        tempi = f"{fmean(one.planned_bpm for one in mine):.1f} / {_mean(mine, 'bpm'):.1f}"
        bright = ", ".join(f"{one.style} {one.features.get('centroid_hz', 0):.0f}" for one in mine)
        notes, pulses = (f"{_mean(mine, name):.0f}" for name in ("notes_a_minute", "pulses_a_minute"))
        steps = apart[key, other]
        kinds = ", ".join(f"{name} {steps[name]:.1f}" for name in heard_kinds(steps))
        frame = " ".join(mine[0].frame)
        table.add(key, tempi, notes, pulses, bright, frame, other, f"{distance(steps):.1f}", kinds)
    report.tables.append(table)
    report.judge(
        f"any two presets lie ≥ {FAR_ENOUGH:g} just-heard steps apart, in ≥ {BY_SEVERAL} kinds",
        all(distance(steps) >= FAR_ENOUGH and len(heard_kinds(steps)) >= BY_SEVERAL for steps in apart.values()),
        f"at least {min(map(distance, apart.values())):.1f} steps, "
        f"in {min(len(heard_kinds(steps)) for steps in apart.values())} kinds",
    )


def heard_kinds(steps: Mapping[str, float]) -> list[str]:
    """What differs by a step and more, the largest first."""
    return sorted((name for name, size in steps.items() if size >= 1), key=lambda name: -steps[name])


def _mean(made: Sequence[Found], name: str) -> float:
    return fmean(one.features.get(name, 0.0) for one in made)
