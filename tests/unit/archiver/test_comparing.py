"""The real ffmpeg: a preview's place in its final is known within 1 ms however it was cut, coded, remuxed or late."""

import subprocess
from pathlib import Path

import pytest

from services.archiver.domain.alignment import Alignment
from services.archiver.domain.failures import Code, GiveUp
from services.archiver.sound.comparing import compare
from tests.unit.archiver.sounds import FFMPEG, STREAM, noise

SECONDS = 27.0  # room for two windows
HEADERLESS_MS = 1105 / 44.1  # what coder and decoder add where no header says so (§6.2)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A take as it was played, its final, and another take's preview."""
    folder = tmp_path_factory.mktemp("take")
    noise(folder / "take.wav", SECONDS + 3)
    make(folder, "final.mp3", "-b:a", "192k")
    noise(folder / "other.mp3", SECONDS, "-b:a", "128k", seed=9)
    return folder


def make(folder: Path, name: str, *options: str, source: str = "take.wav") -> Path:
    target = folder / name
    command = [str(FFMPEG), "-v", "error", "-i", str(folder / source), *options, "-y", str(target)]
    subprocess.run(command, check=True)
    return target


async def found(folder: Path, preview: Path, seconds: float = SECONDS) -> Alignment:
    return Alignment("previews/x", *await compare(FFMPEG, preview, folder / "final.mp3", seconds=seconds))


@pytest.mark.parametrize(
    ("case", "options", "offset_ms", "gain_db"),
    [
        ("with an Info header", ("-b:a", "128k"), 0.0, 0.0),
        ("without", STREAM, HEADERLESS_MS, 0.0),
        ("late by an odd lag", ("-af", "adelay=delays=31415S:all=1", "-b:a", "128k"), 31415 / 44.1, 0.0),
        ("early", ("-af", "atrim=start_sample=23456,asetpts=PTS-STARTPTS", "-b:a", "128k"), -23456 / 44.1, 0.0),
        (
            "soft, of one channel, at 48 kHz",
            ("-af", "volume=-9dB,pan=mono|c0=c0", "-ar", "48000", "-b:a", "64k"),
            0.0,
            9.0,
        ),
    ],
)
async def test_a_preview_cut_from_its_take_is_placed_within_a_millisecond(
    folder: Path, case: str, options: tuple[str, ...], offset_ms: float, gain_db: float
) -> None:
    alignment = await found(folder, make(folder, "preview.mp3", "-t", str(SECONDS), *options))
    assert alignment.same_take, case
    assert alignment.offset_ms == pytest.approx(offset_ms, abs=0.1)
    assert alignment.gain_db == pytest.approx(gain_db, abs=0.4)
    assert [match.window.seconds for match in alignment.matches] == [12.0, 12.0]


async def test_a_remuxed_stream_is_late_by_the_coders_delay_alone(folder: Path) -> None:
    make(folder, "stream.mp3", "-t", "13", *STREAM)
    alignment = await found(folder, make(folder, "remuxed.mp3", "-c", "copy", source="stream.mp3"))
    assert alignment.offset_ms == pytest.approx(576 / 44.1, abs=0.1)


async def test_another_take_is_told_from_the_same(folder: Path) -> None:
    alignment = await found(folder, folder / "other.mp3")
    assert (alignment.same_take, alignment.offset_ms, len(alignment.matches)) == (False, None, 2)
    assert max(match.peak for match in alignment.matches) < 0.3
    assert alignment.gain_db == pytest.approx(0.0, abs=0.4)


async def test_a_take_that_turns_into_another_is_not_the_same(folder: Path) -> None:
    begin = make(folder, "begin.mp3", "-t", "13", *STREAM).read_bytes()
    rest = make(folder, "rest.mp3", "-t", "13", *STREAM, source="other.mp3").read_bytes()
    (folder / "turning.mp3").write_bytes(begin + rest)
    alignment = await found(folder, folder / "turning.mp3")
    assert [match.peak > 0.9 for match in alignment.matches] == [True, False]
    assert not alignment.same_take


async def test_a_few_seconds_are_enough_and_fewer_say_nothing(folder: Path) -> None:
    preview = make(folder, "preview.mp3", "-t", "8", "-b:a", "128k")
    assert [match.window.seconds for match in (await found(folder, preview)).matches] == [pytest.approx(7.5, abs=0.1)]
    assert (await found(folder, preview)).same_take
    alignment = await found(folder, preview, seconds=4.0)
    assert (alignment.same_take, alignment.matches) == (False, ())


async def test_silence_is_alike_to_nothing(folder: Path) -> None:
    silent = make(folder, "silent.mp3", "-af", "volume=0", "-t", "13", "-b:a", "128k")
    alignment = await found(folder, silent)
    assert (alignment.same_take, alignment.matches, alignment.gain_db) == (False, (), None)


async def test_what_is_no_mp3_is_refused(folder: Path) -> None:
    page = folder / "page.mp3"
    page.write_bytes(b"<html>" * 100)
    with pytest.raises(GiveUp) as refused:
        await found(folder, page)
    assert refused.value.code is Code.NOT_AUDIO
