"""The gate hears: what must be refused is refused for its own reason, and no good music is."""

import hashlib
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from services.archiver.domain.containers import Container
from services.archiver.domain.failures import GiveUp
from services.archiver.domain.gate import BlockList, Mode, Policy, Refused
from services.archiver.sound.findings import Where, findings_of
from services.archiver.sound.hearing import Listener
from services.archiver.sound.measure import inspect, measure
from tests.unit.archiver.corpus import (
    RATE,
    SPOILED,
    Stereo,
    additive,
    codings,
    good,
    music,
    speech,
    write_mp3,
    write_wav,
)
from tests.unit.archiver.desk import hand_in
from tests.unit.archiver.sounds import FFMPEG


@pytest.mark.parametrize("name", SPOILED)
async def test_a_spoiled_file_is_refused_for_the_right_reason(tmp_path: Path, name: str) -> None:
    code, make = SPOILED[name]
    path = write_wav(tmp_path / "spoiled.wav", make())
    with pytest.raises(GiveUp) as refused:
        await hand_in(tmp_path, path)
    assert refused.value.code == code
    (evidence,) = refused.value.evidence
    assert (evidence["take"], evidence["code"]) == (1, code)
    assert evidence["provider_sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert code in {f"gate_{row['check']}" for row in evidence["gate"]} | {"too_short"}


async def test_a_good_file_of_either_engine_is_taken(tmp_path: Path) -> None:
    for (name, sound), (file, options) in zip(good(2), codings(2), strict=True):
        made = await hand_in(tmp_path, write_mp3(tmp_path / file, sound, *options))
        assert [verdict.check for verdict in made.verdicts if not verdict.passed] == [], name
        assert {verdict.stage for verdict in made.verdicts} == {"raw", "mastered"}
        assert made.refused == []


async def test_speech_is_noticed_and_taken(tmp_path: Path) -> None:
    made = await hand_in(tmp_path, write_wav(tmp_path / "speech.wav", speech()))
    assert [(verdict.check, verdict.mode) for verdict in made.verdicts if not verdict.passed] == [("voice", "advise")]


async def test_the_second_take_stands_in_for_a_refused_first(tmp_path: Path) -> None:
    code, make = SPOILED["wanders"]  # found out after mastering
    takes = [write_wav(tmp_path / "1.wav", make()), write_wav(tmp_path / "2.wav", music())]
    made = await hand_in(tmp_path, *takes)
    assert (made.original_url, [part["take"] for part in made.formed.parts]) == (str(takes[1]), [2])
    assert [(take["take"], take["code"]) for take in made.refused] == [(1, code)]


async def test_of_two_refused_takes_the_first_names_the_reason(tmp_path: Path) -> None:
    takes = [write_wav(tmp_path / f"{name}.wav", SPOILED[name][1]()) for name in ("wanders", "clipped")]
    with pytest.raises(Refused) as refused:
        await hand_in(tmp_path, *takes)
    assert refused.value.code == "gate_range"
    assert [take["code"] for take in refused.value.evidence] == ["gate_range", "gate_clipping"]


async def test_an_operator_may_have_everything_recorded_and_nothing_refused(tmp_path: Path) -> None:
    path = write_wav(tmp_path / "rumble.wav", SPOILED["rumbles"][1]())
    made = await hand_in(tmp_path, path, policy=Policy(Mode.RECORD))
    assert made.mode is Mode.RECORD
    assert {(verdict.check, verdict.mode) for verdict in made.verdicts if not verdict.passed} == {("rumble", "record")}
    with pytest.raises(GiveUp, match="too_short"):  # nothing could be made of it
        await hand_in(tmp_path, write_wav(tmp_path / "s.wav", SPOILED["half as long"][1]()), policy=Policy(Mode.RECORD))


async def test_a_listed_file_is_refused_in_both_modes_and_so_is_its_sound_in_another_coding(tmp_path: Path) -> None:
    path = write_wav(tmp_path / "known.wav", music())
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    for dialect in ("other", "simple"):
        with pytest.raises(GiveUp, match="gate_known_bad"):
            await hand_in(tmp_path, path, policy=Policy(blocked=BlockList.of([sha256])), dialect=dialect)
    listed = (await inspect(FFMPEG, path, keep_seconds=None)).measures.acoustic_hash
    policy = Policy(blocked=BlockList.of([listed]))
    with pytest.raises(GiveUp, match="gate_known_bad"):
        await hand_in(tmp_path, write_mp3(tmp_path / "again.mp3", 0.7 * music(), "-b:a", "96k"), policy=policy)
    await hand_in(tmp_path, write_wav(tmp_path / "other.wav", additive(seed=2)), policy=policy)


async def test_a_click_at_a_join_is_heard_and_a_clean_join_is_not(tmp_path: Path) -> None:
    where = Where(joins=(24.0,))
    clean = await measure(
        FFMPEG, write_wav(tmp_path / "clean.wav", music()), Container.WAV, keep_seconds=None, where=where
    )
    assert clean.findings["join_click_excess"] <= 1
    sound = music().copy()
    sound[:, 24 * RATE] += 0.1
    clicks = await measure(
        FFMPEG, write_wav(tmp_path / "clicks.wav", sound), Container.WAV, keep_seconds=None, where=where
    )
    assert clicks.findings["join_click_excess"] > 2
    elsewhere = await measure(
        FFMPEG, tmp_path / "clicks.wav", Container.WAV, keep_seconds=None, where=replace(where, joins=(40.0,))
    )
    assert elsewhere.findings["join_click_excess"] <= 1  # the programme's own


async def test_the_soft_attacks_of_a_short_continuation_are_no_clicks_and_a_click_still_is(tmp_path: Path) -> None:
    """All of a part of 8 s lies near its join: only the part itself, heard before, says what is usual in it."""
    rest = music()[:, : 8 * RATE].copy()
    hiss = np.random.default_rng(3).normal(0, 0.01, (2, RATE // 50)).astype(np.float32)
    for beat in range(RATE, 8 * RATE - RATE, RATE):
        rest[:, beat : beat + RATE // 50] += hiss
    joined = np.concatenate((music()[:, : 30 * RATE], rest), axis=1)

    async def excess(name: str, sound: Stereo, own_clicks: float) -> float:
        path, where = write_wav(tmp_path / name, sound), Where(joins=(30.0,), own_clicks=own_clicks)
        heard = await measure(FFMPEG, path, Container.WAV, keep_seconds=None, where=where)
        return heard.findings["join_click_excess"]

    alone = await inspect(FFMPEG, write_wav(tmp_path / "rest.wav", rest), keep_seconds=None, clicks=True)
    own_clicks = alone.measures.findings["own_clicks"]
    assert await excess("without.wav", joined, 0.0) > 1
    assert await excess("with.wav", joined, own_clicks) <= 1
    joined[:, 30 * RATE] += 0.3
    assert await excess("clicks.wav", joined, own_clicks) > 1


async def test_joined_takes_are_judged_at_their_joins(tmp_path: Path) -> None:
    takes = [write_wav(tmp_path / f"{number}.wav", sound) for number, sound in enumerate((music(), music()[::-1]))]
    made = await hand_in(tmp_path, *takes, file_seconds=85)
    assert [part["take"] for part in made.formed.parts] == [1, 2]
    named = {verdict.finding: verdict.passed for verdict in made.verdicts if verdict.stage == "mastered"}
    assert named["join_click_excess"]
    assert named["peak_before_dbtp"]


async def test_the_curve_is_as_loud_as_the_meter_says(tmp_path: Path) -> None:
    measures = (await inspect(FFMPEG, write_wav(tmp_path / "a.wav", music()), keep_seconds=None)).measures
    assert [point["from_seconds"] for point in measures.curve] == [0.0, 15.0, 30.0]
    loud = 10 * np.log10(np.mean([10 ** (point["lufs"] / 10) for point in measures.curve]))
    assert loud == pytest.approx(measures.lufs, abs=0.3)
    assert all(100 < point["centroid_hz"] < 2000 for point in measures.curve)
    assert {point["bpm"] for point in measures.curve} == {None}  # nothing was planned
    assert measures.findings["range_lu"] == pytest.approx(measures.range_lu, abs=0.5)


def test_an_hour_is_heard_in_the_memory_of_a_block() -> None:
    listener = Listener(None, clicks=True)
    size = listener.begin(RATE, 2)
    block = np.random.default_rng(1).normal(0, 0.1, size // 4).astype(">f4").tobytes()
    tracemalloc.start()
    for _ in range(12):
        listener.add(block)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert listener.heard.samples == 120 * RATE
    assert peak < 60e6  # one channel alone is 21 MB in 120 s, all of it four times as much in double floats
    assert findings_of(listener.heard, Where())["seconds"] == 120.0


def test_no_number_in_a_file_of_floats_is_no_mistake_of_ours() -> None:
    listener = Listener(None)
    listener.begin(RATE, 1)
    listener.add(np.full(20 * RATE, np.nan, ">f4").tobytes())
    found = findings_of(listener.heard, Where())
    assert found["clipped_in_a_row"] == 20 * RATE
    assert all(np.isfinite(value) for value in found.values())
