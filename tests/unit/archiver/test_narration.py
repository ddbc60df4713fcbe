"""Where lines go once their sound is known, and the filters of the mix word by word."""

from pathlib import Path

import pytest

from services.archiver.domain.narration import Line, Place, Script, place
from services.archiver.sound.mixing import Stems, graph_of

LINES = tuple(Line(f"line {number}", at, 4.0) for number, at in enumerate((8.0, 42.0, 76.0)))
SCRIPT = Script("fr", "sea", 120.0, LINES)


def test_lines_of_the_planned_length_stand_where_they_are_planned() -> None:
    assert place(SCRIPT, [4.0, 3.0, 5.0]) == [Place(0, 8.0, 4.0), Place(1, 42.0, 3.0), Place(2, 76.0, 5.0)]


def test_a_slow_voice_moves_what_follows_and_keeps_six_seconds_of_music() -> None:
    assert place(SCRIPT, [30.0, 31.0, 5.0]) == [Place(0, 8.0, 30.0), Place(1, 44.0, 31.0), Place(2, 81.0, 5.0)]


def test_what_would_end_within_ten_seconds_of_the_end_is_dropped_with_all_behind_it() -> None:
    assert [each.line for each in place(SCRIPT, [4.0, 4.0, 34.0])] == [0, 1, 2]
    assert [each.line for each in place(SCRIPT, [4.0, 4.0, 34.1])] == [0, 1]
    assert [each.line for each in place(SCRIPT, [4.0, 69.0, 1.0])] == [0]


def test_a_line_that_was_not_said_leaves_its_place_empty() -> None:
    assert [each.at_seconds for each in place(SCRIPT, [4.0, None, 4.0])] == [8.0, 76.0]


@pytest.mark.parametrize(("seconds", "may"), [(0.9, False), (1.0, True), (16.0, True), (16.1, False)])
def test_sound_far_from_the_planned_length_is_not_the_line(seconds: float, may: bool) -> None:  # noqa: FBT001
    assert Line("text", 8.0, 4.0).may_take(seconds) is may


def test_a_plan_without_narration_has_no_script() -> None:
    assert Script.from_plan({"seconds": 120, "file_seconds": 125}) is None


def test_the_mix_has_the_filters_of_the_design() -> None:
    stems = Stems(Path("m"), Path("e"), 441_000, last=False, voice=Path("v"), places=[Place(0, 1.0, 2.0)])
    graph = graph_of(stems, 0.05)
    for part in (
        "volume=1.0,asplit=2[v][k]",
        "volume=0.6[m]",
        "volume=0.5[s]",
        "[m][k]sidechaincompress=threshold=0.05:ratio=3:attack=80:release=1200:knee=6",
        "amix=inputs=3:normalize=0:duration=longest",
        "alimiter=limit=0.84:level=disabled",
    ):
        assert part in graph


def test_a_segment_without_a_voice_keeps_the_level_of_the_bed() -> None:
    graph = graph_of(Stems(Path("m"), Path("e"), 44100 * 120, last=True), 0.05)
    assert "volume=0.6[m]" in graph
    assert "amix=inputs=2:normalize=0" in graph
    assert "sidechaincompress" not in graph
    assert "afade=t=out:curve=hsin:st=108.000000:d=12" in graph  # the effect ends with the run
