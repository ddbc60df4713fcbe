"""The real ffmpeg: what is stored is exactly as long and loud as the plan asks, whatever came."""

import asyncio
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest

from libs.common import mp3
from services.archiver.domain.containers import Container
from services.archiver.domain.failures import Code, GiveUp
from services.archiver.domain.form import Wanted
from services.archiver.sound import ffmpeg
from services.archiver.sound.coding import Formed, bring_to_form, keep_as_received
from services.archiver.sound.measure import begins_to_play, inspect, measure
from services.composer.engine import encode
from tests.unit.archiver.sounds import FFMPEG, STREAM, decoded, decoded_samples, noise


def wanted(seconds: float, *, lufs: float = -16.0, last: bool = False) -> Wanted:
    return Wanted(round(seconds * 44100), lufs, last)


async def formed(folder: Path, asked: Wanted, *paths: Path) -> Formed:
    takes = [await inspect(FFMPEG, path, keep_seconds=asked.seconds) for path in paths]
    return await bring_to_form(FFMPEG, takes, asked, folder)


@pytest.mark.parametrize(
    ("name", "options", "seconds"),
    [
        ("a.mp3", (), 20.0),
        ("no-header.mp3", STREAM, 20.0),
        ("variable.mp3", ("-q:a", "4"), 20.0),
        ("a.wav", (), 20.0),
        ("a.flac", ("-ar", "48000"), 20.0),
        ("a.ogg", (), 20.0),
        ("a.m4a", (), 20.0),
        ("mono.mp3", ("-ac", "1", "-ar", "22050", "-b:a", "64k"), 20.0),
        ("short.mp3", (), 15.7),  # within the 2 s
        ("much-shorter.mp3", (), 15.0),
    ],
)
async def test_any_container_becomes_an_exact_mp3(
    tmp_path: Path, name: str, options: tuple[str, ...], seconds: float
) -> None:
    asked = wanted(17.333 if seconds > 15 else 26.7)
    result = await formed(tmp_path, asked, noise(tmp_path / name, seconds, *options))
    layout = mp3.scan(result.path)
    assert decoded_samples(result.path) == layout.samples == asked.samples
    assert (layout.constant, layout.first.kilobits, layout.first.sample_rate, layout.first.channels) == (
        True,
        192,
        44100,
        2,
    )
    assert abs(result.measures.lufs - asked.lufs) <= 0.5
    assert result.measures.peak_dbtp <= -1.0


async def test_short_takes_are_joined_and_the_recipe_says_so(tmp_path: Path) -> None:
    asked = wanted(60, last=True)
    paths = [noise(tmp_path / f"{seed}.mp3", 25, seed=seed) for seed in (1, 2)]
    takes = [
        replace(await inspect(FFMPEG, path, keep_seconds=60), number=number) for number, path in enumerate(paths, 1)
    ]
    result = await bring_to_form(FFMPEG, takes, asked, tmp_path)
    assert decoded_samples(result.path) == 60 * 44100
    assert [part["take"] for part in result.parts] == [1, 2, 1]
    assert [part["to_seconds"] for part in result.parts] == [25.0, 25.0, 20.0]


async def test_a_hot_file_is_limited_to_its_true_peak(tmp_path: Path) -> None:
    result = await formed(tmp_path, wanted(20, lufs=-11.0), noise(tmp_path / "hot.wav", 20))
    assert abs(result.measures.lufs + 11.0) <= 0.5
    assert result.measures.peak_dbtp <= -1.0
    assert decoded_samples(result.path) == 20 * 44100


async def test_the_last_segment_falls_as_a_squared_cosine_over_twelve_seconds(tmp_path: Path) -> None:
    result = await formed(tmp_path, wanted(60, last=True), noise(tmp_path / "a.wav", 80))
    pcm = np.frombuffer(decoded(result.path), "<i2").reshape(-1, 2).astype(float)
    power = (pcm**2).mean(axis=1)
    level = [float(np.sqrt(power[at * 44100 : (at + 1) * 44100].mean())) for at in range(60)]
    middle = level[54] / level[40]  # 6.5 s into the fade: cos²(6.5/12·90°) = 0.43
    assert middle == pytest.approx(np.cos(6.5 / 12 * np.pi / 2) ** 2, abs=0.06)
    assert level[59] < 0.02 * level[40]
    assert level[47] == pytest.approx(level[40], rel=0.1)


def composers_file(path: Path, seconds: float, level: float) -> Path:
    samples = round(seconds * 44100)
    stream = encode.Mp3Stream(samples, kilobits=192, quality=7)
    sound = np.random.default_rng(5).normal(0, level, (2, samples)).astype(np.float32)
    path.write_bytes(stream.header() + stream.add(sound) + stream.close())
    return path


async def test_an_exact_file_keeps_its_frames_bit_by_bit(tmp_path: Path) -> None:
    source = composers_file(tmp_path / "c.mp3", 20, 0.05)
    take = await inspect(FFMPEG, source, keep_seconds=20)
    result = await bring_to_form(FFMPEG, [take], wanted(20, lufs=take.measures.lufs), tmp_path)
    assert not result.coded
    kept = mp3.scan(result.path)
    assert (kept.frames, kept.samples) == (mp3.scan(source).frames, 20 * 44100)
    frame = mp3.Header.constant(192).size
    assert result.path.read_bytes()[frame:] == source.read_bytes()[frame:]


@pytest.mark.parametrize("seconds", [17.0, 18.123, 19.99])
async def test_a_longer_file_of_the_right_level_is_cut_without_coding(tmp_path: Path, seconds: float) -> None:
    source = composers_file(tmp_path / "c.mp3", 20, 0.05)
    take = await inspect(FFMPEG, source, keep_seconds=seconds)
    result = await bring_to_form(FFMPEG, [take], wanted(seconds, lufs=take.measures.lufs), tmp_path)
    assert not result.coded
    assert decoded_samples(result.path) == round(seconds * 44100)
    frame = mp3.Header.constant(192).size
    kept = result.path.read_bytes()[frame:]
    assert source.read_bytes()[frame : frame + len(kept)] == kept
    assert decoded(source).startswith(decoded(result.path)[: 4 * 44100 * 10])


async def test_a_file_to_be_recorded_is_kept_as_it_came_unless_it_is_no_mp3(tmp_path: Path) -> None:
    source = noise(tmp_path / "a.mp3", 3)
    kept = await keep_as_received(FFMPEG, await inspect(FFMPEG, source, keep_seconds=None), tmp_path)
    assert (kept.coded, kept.measures.samples) == (False, 3 * 44100)
    assert source.read_bytes().endswith(kept.path.read_bytes())  # without the provider's tag
    assert decoded(kept.path) == decoded(source)
    wav = await inspect(FFMPEG, noise(tmp_path / "a.wav", 3), keep_seconds=None)
    coded = await keep_as_received(FFMPEG, wav, tmp_path)
    assert (coded.coded, decoded_samples(coded.path)) == (True, 3 * 44100)


async def refusal(path: Path) -> Code:
    with pytest.raises(GiveUp) as refused:
        await inspect(FFMPEG, path, keep_seconds=None)
    return refused.value.code


async def test_what_is_no_audio_is_refused_whatever_its_name(tmp_path: Path) -> None:
    page = tmp_path / "song.mp3"
    page.write_bytes(b"<!doctype html><html><body>Not found</body></html>" * 100)
    assert await refusal(page) is Code.NOT_AUDIO
    page.write_bytes(b"ID3\x04\0\0\0\0\0\x08" + bytes(8) + b"<html>" * 100)
    assert await refusal(page) is Code.NOT_AUDIO


@pytest.mark.parametrize("name", ["a.mp3", "a.wav", "a.flac", "a.m4a"])
async def test_a_truncated_file_is_refused(tmp_path: Path, name: str) -> None:
    whole = noise(tmp_path / name, 20).read_bytes()
    cut = tmp_path / f"cut-{name}"
    cut.write_bytes(whole[: len(whole) // 2 + 7])
    assert await refusal(cut) is Code.DECODE_FAILED


async def test_a_playlist_dressed_as_audio_opens_nothing(tmp_path: Path) -> None:
    secret = tmp_path / "secret.wav"
    noise(secret, 1)
    listed = tmp_path / "list.mp3"
    listed.write_text(f"ffconcat version 1.0\nfile {secret}\n")
    for container in Container:
        with pytest.raises(GiveUp):
            await measure(FFMPEG, listed, container, keep_seconds=None)


async def test_a_growing_stream_plays_from_five_seconds_on(tmp_path: Path) -> None:
    whole = noise(tmp_path / "a.mp3", 20, *STREAM).read_bytes()
    growing = tmp_path / "growing.mp3"
    growing.write_bytes(whole[: 16_000 * 4 + 123])
    assert not await begins_to_play(FFMPEG, growing, 5)
    growing.write_bytes(whole[: 16_000 * 6 + 123])
    assert await begins_to_play(FFMPEG, growing, 5)


def no_child_is_left() -> bool:
    return not [child for child in psutil.Process().children() if child.name().startswith("ffmpeg")]


async def test_a_run_that_takes_too_long_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ffmpeg, "RUN_SECONDS", 0.3)
    endless = ["-re", "-f", "lavfi", "-i", "anoisesrc", "-f", "null", "-"]
    with pytest.raises(GiveUp, match="decode_failed"):
        await ffmpeg.run(FFMPEG, endless)
    assert no_child_is_left()


async def test_a_cancelled_run_leaves_no_process(tmp_path: Path) -> None:
    marker = tmp_path / "endless.wav"
    endless = ["-re", "-f", "lavfi", "-i", "anoisesrc", "-y", f"file:{marker}"]
    task = asyncio.create_task(ffmpeg.run(FFMPEG, endless))
    while not marker.exists():
        await asyncio.sleep(0.02)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert no_child_is_left()


async def test_a_program_that_is_killed_is_a_decode_that_failed(tmp_path: Path) -> None:
    script = tmp_path / "dies"
    script.write_text(f"#!/bin/sh\nkill -{signal.SIGKILL.value} $$\n")
    script.chmod(0o700)
    with pytest.raises(GiveUp, match="decode_failed"):
        await ffmpeg.run(script, [])
