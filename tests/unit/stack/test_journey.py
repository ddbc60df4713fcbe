"""The joined journey: length and loudness, measured on files that ffmpeg made and joined."""

from pathlib import Path

import pytest

from stack.audio_file import loudness_of, run_ffmpeg, seconds_of
from stack.errors import StackError
from stack.journey import JOIN_SECONDS, join, joins

SECONDS = (14, 12, 13)


async def sound(path: Path, seconds: int, hertz: int, decibels: float) -> Path:
    tone = f"sine=frequency={hertz}:sample_rate=44100:duration={seconds}"
    stereo = f"volume={decibels}dB,aformat=channel_layouts=stereo"
    await run_ffmpeg("-f", "lavfi", "-i", tone, "-af", stereo, "-c:a", "libmp3lame", "-b:a", "192k", str(path))
    return path


@pytest.mark.parametrize("decibels", [-20.0, 10.0], ids=["too quiet", "too loud"])
async def test_a_journey_is_as_long_as_its_plan_and_as_loud_as_every_other(tmp_path: Path, decibels: float) -> None:
    files = [await sound(tmp_path / f"{n}.mp3", length, 220 + 55 * n, decibels) for n, length in enumerate(SECONDS)]
    journey = await join(files, tmp_path / "out" / "journey.mp3")
    planned = sum(SECONDS) - JOIN_SECONDS * (len(SECONDS) - 1)
    assert abs(journey.seconds - planned) < 0.05
    assert abs(journey.loudness.integrated + 16.0) < 1.0
    assert journey.loudness.true_peak <= -1.0
    assert [path.name for path in journey.path.parent.iterdir()] == ["journey.mp3"], "nothing begun is left"


async def test_a_join_is_as_loud_as_what_it_joins(tmp_path: Path) -> None:
    """Equal power: in the middle of a join of two different sounds there is neither a hole nor a bump."""
    files = [await sound(tmp_path / f"{n}.mp3", 15, 220 + 55 * n, 0.0) for n in (0, 1)]
    journey = await join(files, tmp_path / "journey.mp3")
    levels = []
    for place in (6, 12):  # before the join (10 to 15 s), and in its middle
        piece = tmp_path / f"piece-{place}.wav"
        await run_ffmpeg("-ss", str(place - 0.5), "-t", "1", "-i", str(journey.path), str(piece))
        levels.append((await loudness_of(piece)).integrated)
    assert abs(levels[0] - levels[1]) < 1.0


async def test_a_single_segment_is_a_journey(tmp_path: Path) -> None:
    journey = await join([await sound(tmp_path / "1.mp3", 12, 220, 0.0)], tmp_path / "journey.mp3")
    assert abs(journey.seconds - 12) < 0.05
    assert "acrossfade" not in joins(1)


async def test_a_file_that_is_no_music_is_an_error_and_leaves_nothing_begun(tmp_path: Path) -> None:
    page = tmp_path / "1.mp3"
    page.write_text("<html>")
    with pytest.raises(StackError, match="ffmpeg ended with status"):
        await join([page], tmp_path / "out" / "journey.mp3")
    assert list((tmp_path / "out").iterdir()) == []


async def test_a_files_length_is_what_decodes(tmp_path: Path) -> None:
    assert abs(await seconds_of(await sound(tmp_path / "1.mp3", 7, 440, 0.0)) - 7) < 0.01
