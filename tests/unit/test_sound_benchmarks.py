"""Owns what of the benchmarks of sound is pure: MIDI, tempo of notes, agreement with a plan, differences of presets."""

import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks import composer, midi, sound
from benchmarks.rig.errors import RigError
from benchmarks.rig.sounds import watch
from benchmarks.sound_cells import tempo_of
from benchmarks.sound_journeys import correlation, windows
from benchmarks.sound_tables import heard_kinds
from services.composer.engine.notes import Note
from services.composer.engine.plan import SAMPLE_RATE
from tests.unit.composer.features import distance, features_of, journey_of


def note(start: float, seconds: float, part: str, pitch: int = 60) -> Note:
    return Note(start, seconds, pitch, 0.5, part, 0.0, 0.0, 0.3, 0.0)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("number", "bytes_"), [(0, b"\0"), (127, b"\x7f"), (128, b"\x81\0"), (16383, b"\xff\x7f"), (16384, b"\x81\x80\0")]
)
def test_midis_numbers_are_seven_bits_a_byte(number: int, bytes_: bytes) -> None:
    assert midi.variable(number) == bytes_


def test_a_score_becomes_one_track_that_ends_with_the_file() -> None:
    content = midi.midi_of([note(0.0, 1.0, "keys"), note(9.0, 1.0, "keys", 61)], 2 * SAMPLE_RATE)
    assert content.startswith(b"MThd\0\0\0\x06\0\0\0\x01\x01\xe0MTrk")
    assert content.endswith(b"\xff\x2f\0")
    assert bytes((0x9A, 60, 64)) in content
    assert bytes((0x9A, 61)) not in content, "what begins after the end is left out"


def test_pads_take_channels_in_turn_so_that_an_old_end_cuts_no_new_note() -> None:
    content = midi.midi_of([note(0.0, 5.0, "pad"), note(4.0, 5.0, "pad")], 10 * SAMPLE_RATE)
    assert bytes((0x90, 60)) in content
    assert bytes((0x91, 60)) in content


@pytest.mark.parametrize("bpm", [58.0, 72.5, 96.0])
def test_the_tempo_of_notes_is_found_although_most_places_are_empty(bpm: float) -> None:
    dice = np.random.default_rng(5)
    grid = np.arange(0, 30, 30 / bpm)
    times = [float(time + dice.normal(0, 0.012)) for time in grid if dice.random() < 0.4]
    assert abs(tempo_of(times, bpm * 1.06, 2) - bpm) < 0.5


def test_agreement_is_told_over_windows_and_not_where_the_plan_stands_still() -> None:
    assert windows([1, 3, 5, 7, 9], 2).tolist() == [2, 6]
    plan = [float(value) for value in range(12)]
    assert correlation(plan, [10 - value for value in plan], 2, 0.5) == -1.0
    assert correlation(plan, plan, 2, 100.0) is None
    assert correlation(plan[:6], plan[:6], 2, 0.5) is None, "three windows are no curve"


def test_presets_are_told_apart_in_just_heard_steps_and_by_the_kinds_that_reach_one() -> None:
    assert heard_kinds({"bpm": 1.0, "tune": 2.5, "mode": 0.4}) == ["tune", "bpm"]
    assert distance({"bpm": 3.0, "tune": 4.0}) == 5.0
    one, again = (features_of(journey_of("panique-anxiete", style="piano")) for _ in range(2))
    assert distance(one.steps_to(again)) == 0.0


def test_all_eighty_pieces_are_played_and_each_preset_once_before_any_twice() -> None:
    cells = sound.cells_of("full", 1)
    assert len({(cell.preset, cell.style) for cell in cells}) == len(cells) == 80
    assert {cell.preset for cell in cells[:20]} == {cell.preset for cell in cells}
    assert sound.cells_of("short", 1) == cells[:20]


def test_every_participant_is_asked_for_the_same_journey(tmp_path: Path) -> None:
    out = tmp_path / "x.mp3"
    commands = {
        name: composer.command_of(name, 9, 1200, out) for name in (composer.OUR, composer.FLUID, composer.NAIVE)
    }
    assert all(str(out) in command and "9" in command for command in commands.values())
    assert commands[composer.OUR][-5:] == ["--minutes", "20.000000", "--force", "--out", str(out)]
    assert (
        composer.level_in("x.mp3   20:00, -16.0 LUFS, true peak -1.3 dBTP, seed 9") == "-16.0 LUFS, true peak -1.3 dBTP"
    )


def test_a_watched_program_is_measured_with_its_children_and_its_failure_is_told() -> None:
    child = "x = bytearray(60_000_000); import time; time.sleep(0.5)"
    script = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    seen = watch([sys.executable, "-c", script])
    assert (seen.processes, seen.peak_mb > 60) == (2, True)
    with pytest.raises(RigError, match="status 3"):
        watch([sys.executable, "-c", "raise SystemExit(3)"])
