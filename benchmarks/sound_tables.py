"""Owns how the proof of sound is told: tables of pieces, of journeys, of what tells presets apart, and the verdicts."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from statistics import fmean
from typing import Any

from benchmarks.rig.report import Report, Table
from benchmarks.sound_cells import Found
from benchmarks.sound_journeys import LOUD_WINDOW, WINDOW, Journey
from services.create.domain.presets import styles

TOLERANCE_LU = 0.5
PEAK_BEFORE, PEAK_CODED = -1.5, -1.0
LEAST_R = 0.9
# What we take for a difference that is heard; tempo and brightness lie above the usual just noticeable ones.
APART = {"bpm": 0.04, "notes_a_minute": 0.15, "centroid_hz": 0.05}
NAMES = {"bpm": "tempo", "notes_a_minute": "notes", "centroid_hz": "brightness"}
FRAME = ("mode", "chords", "metre")
LEAST_DIFFERENCES = 2


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
    """What tells presets apart: each with the one that is most like it."""
    keys = list(dict.fromkeys(one.preset for one in made))
    if len(keys) < 2:
        return
    by_key = {key: [one for one in made if one.preset == key] for key in keys}
    table = Table(
        f"what tells presets apart (means over the styles played); different: {_bounds()}, mode, chords, metre",
        ("preset", "tempo planned / composed", "notes a minute", "pulses a minute", "brightness Hz by style",
         "mode, chords, metre", "most like", "from which it differs by"),
    )  # fmt: skip
    alike = []
    for key in keys:
        other = min(
            (each for each in keys if each != key), key=lambda each: len(differences(by_key[key], by_key[each]))
        )
        apart = differences(by_key[key], by_key[other])
        mine = by_key[key]
        tempi = f"{fmean(one.planned_bpm for one in mine):.1f} / {_mean(mine, 'bpm'):.1f}"
        bright = ", ".join(f"{one.style} {one.features.get('centroid_hz', 0):.0f}" for one in mine)
        notes, pulses = (f"{_mean(mine, name):.0f}" for name in ("notes_a_minute", "pulses_a_minute"))
        table.add(key, tempi, notes, pulses, bright, " ".join(mine[0].frame), other, ", ".join(apart))
    report.tables.append(table)
    for one, other in combinations(keys, 2):
        if len(differences(by_key[one], by_key[other])) < LEAST_DIFFERENCES:
            alike.append(f"{one} and {other}")
    target = f"any two presets differ in at least {LEAST_DIFFERENCES} of these"
    report.judge(target, not alike, "; ".join(alike) or f"all {len(keys) * (len(keys) - 1) // 2} pairs do")


def differences(one: Sequence[Found], other: Sequence[Found]) -> list[str]:
    """By which of the numbers two presets differ, in the styles in which both were played."""
    shared = {each.style for each in one} & {each.style for each in other}
    mine = [each for each in one if each.style in shared] or list(one)
    theirs = [each for each in other if each.style in shared] or list(other)
    found = [
        f"{NAMES[name]} {100 * (ratio - 1):+.0f} %"
        for name, least in APART.items()
        if (name != "centroid_hz" or shared)  # brightness of two styles does not compare
        and (second := _mean(theirs, name)) > 0
        and abs((ratio := _mean(mine, name) / second) - 1) >= least
    ]
    if (_mean(mine, "pulses_a_minute") > 0) != (_mean(theirs, "pulses_a_minute") > 0):
        found.append("pulse")
    return found + [name for name, a, b in zip(FRAME, one[0].frame, other[0].frame, strict=True) if a != b]


def _mean(made: Sequence[Found], name: str) -> float:
    return fmean(one.features.get(name, 0.0) for one in made)


def _bounds() -> str:
    return ", ".join(f"{NAMES[name]} by {100 * least:g} %" for name, least in APART.items()) + ", pulse"
