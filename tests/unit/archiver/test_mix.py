"""A voice over music: it stands out, the level is what it must be, the music steps back and returns; on two voices."""

import subprocess
from dataclasses import replace
from itertools import combinations, pairwise
from pathlib import Path

import numpy as np
import pytest

from services.archiver.domain import gate
from services.archiver.domain.gate import Mode
from services.archiver.domain.joins import JOIN_SECONDS
from services.archiver.domain.narration import Effect
from services.archiver.handlers.narrating import narrate
from services.archiver.sound.coding import Formed
from services.archiver.sound.effects import LOOP_SECONDS, begin_elsewhere, write_own
from services.archiver.sound.loudness import decode, gated_lufs
from services.archiver.sound.measure import inspect
from services.archiver.sound.mixing import THRESHOLD, mix
from tests.unit.archiver.corpus import composed, write_mp3
from tests.unit.archiver.desk import order_of, tools_in
from tests.unit.archiver.narrated import TEXTS, narrated, stems_of
from tests.unit.archiver.sounds import FFMPEG, decoded

SECONDS = 40
LOUDNESS = -16.0


@pytest.fixture(scope="module")
def music(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 s of composer, at the level to which a segment is mastered."""
    folder = tmp_path_factory.mktemp("music")
    return write_mp3(folder / "music.mp3", composed("felt piano, warm pads", "night 1", SECONDS), "-b:a", "256k")


@pytest.mark.parametrize(("voice", "effect"), [("fr-fr", "sea"), ("en-gb", "rain")])
async def test_a_voice_stands_nine_lu_above_music_that_steps_back_and_returns(
    tmp_path: Path, music: Path, voice: str, effect: Effect
) -> None:
    heard = await narrated(tmp_path, await stems_of(tmp_path, music, voice, effect))
    found = heard.made.findings
    assert found["voice_margin_lu"] >= 9.0
    assert -18.5 <= found["speech_lufs"] <= -15.5
    assert -21.0 <= found["between_lufs"] <= -19.0
    assert found["peak_dbtp"] <= -1.0
    assert all(0.4 <= seconds <= 1.0 for seconds in heard.recoveries)
    assert heard.ducks_db.min() >= -12.0  # it steps back, it does not vanish
    assert all(row.passed for row in gate.judge("mix", found, Mode.ENFORCE))


async def test_the_mix_lies_sample_for_sample_over_its_music(tmp_path: Path, music: Path) -> None:
    stems = await stems_of(tmp_path, music, "en-gb", "sea")
    made = await mix(FFMPEG, stems, tmp_path)
    whole = [np.frombuffer(decoded(path), "<i2").reshape(-1, 2).sum(axis=1) for path in (music, made.path)]
    assert len(whole[0]) == len(whole[1]) == stems.samples
    piece = slice(30 * 44100, 34 * 44100)  # behind the last line
    one, other = (np.fft.rfft(sound[piece].astype(float)) for sound in whole)
    lags = np.fft.irfft(other * np.conj(one))
    assert int(np.argmax(lags)) == 0


async def test_each_segments_sea_begins_at_a_place_of_its_own_in_one_loop(tmp_path: Path) -> None:
    await write_own(FFMPEG, "sea", tmp_path / "sea")
    loop = np.fromfile(tmp_path / "sea", "<f4").reshape(-1, 2)
    begins = []
    for index in range(6):
        (path := tmp_path / f"{index}").write_bytes((tmp_path / "sea").read_bytes())
        begin_elsewhere(path, index)
        turned = np.fromfile(path, "<f4").reshape(-1, 2)
        [place] = np.flatnonzero((loop == turned[0]).all(axis=1))
        assert (np.roll(turned, place, axis=0) == loop).all()
        begins.append(place / len(loop))
    assert begins[0] == 0
    assert min(_apart(*pair) for pair in pairwise(begins)) * LOOP_SECONDS > 2 * JOIN_SECONDS
    assert min(_apart(*pair) for pair in combinations(begins, 2)) * LOOP_SECONDS > 3


def _apart(one: float, other: float) -> float:
    return min((one - other) % 1, (other - one) % 1)


async def test_music_too_loud_for_the_voice_is_ducked_deeper_by_fifths(tmp_path: Path, music: Path) -> None:
    loud = _louder(music, tmp_path / "loud.mp3")
    made = await mix(FFMPEG, await stems_of(tmp_path, loud, "fr-fr", "sea", count=1), tmp_path)
    assert made.threshold is not None
    lowered = np.log(made.threshold / THRESHOLD) / np.log(0.8)
    assert 1 <= round(lowered) <= 3
    assert lowered == pytest.approx(round(lowered))


async def test_a_voice_that_the_gate_refuses_is_left_out_and_a_mix_that_fails_leaves_the_music(
    tmp_path: Path, music: Path
) -> None:
    loud = _louder(music, tmp_path / "loud.mp3", "14dB")  # nothing that was mastered is: no ducking saves a voice here
    measures = (await inspect(FFMPEG, loud, keep_seconds=None)).measures
    formed = Formed(loud, measures, [{"source": "provider", "take": 1, "to_seconds": 24.0}], coded=True)
    line = {"at_seconds": 8.0, "seconds": 3.2, "text": TEXTS["fr"][1]}
    narration = {"locale": "fr", "effect": "sea", "lines": [line]}
    order = order_of([], "other", {"seconds": 24, "narration": narration})
    refused = await narrate(order, formed, Mode.ENFORCE, folder=tmp_path, tools=tools_in(tmp_path))
    made = refused.notes["narration"]
    assert (made["state"], made["reason"], made["spoken"]) == ("missing", "mix_refused", [])
    assert "voice_margin" in {row["check"] for row in made["gate"] if not row["passed"]}
    assert (refused.music, refused.notes["music_bed_gain_db"]) == (loud, -4.4)

    gone = replace(formed, path=tmp_path / "gone.mp3")
    failed = await narrate(order, gone, Mode.ENFORCE, folder=tmp_path, tools=tools_in(tmp_path))
    assert (failed.path, failed.music, failed.bed_gain_db) == (gone.path, None, 0.0)
    assert failed.notes["narration"]["reason"] == "mix_failed"


def _louder(music: Path, into: Path, by: str = "3dB") -> Path:
    options = ["-t", "24", "-i", str(music), "-af", f"volume={by}", "-b:a", "256k"]
    subprocess.run([str(FFMPEG), "-v", "error", *options, str(into)], check=True)
    return into


async def test_our_meter_agrees_with_ffmpegs(music: Path) -> None:
    theirs = (await inspect(FFMPEG, music, keep_seconds=None)).measures.lufs
    ours = gated_lufs((await decode(FFMPEG, ["-i", str(music)], channels=2)).powers)
    assert abs(ours - theirs) <= 0.1
    assert abs(theirs - LOUDNESS) <= 0.5
