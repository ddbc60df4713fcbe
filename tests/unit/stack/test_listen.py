"""`parcours listen FILE`: what it tells of any file, and what to mend where there is nothing to hear."""

import io
import sys
import wave
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from stack import cli
from stack.listening.spectrum import COLUMNS_PER_SECOND, EDGES, spectrum_of

Command = Callable[..., tuple[int, str, str]]
SECONDS = 6
PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture
def listen(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Command:
    """Types the command's arguments: status, output, errors."""
    monkeypatch.delenv("DATABASE_URL", raising=False)

    def typed(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["parcours", "listen", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        said = capfd.readouterr()
        return int(ended.value.code or 0), said.out, said.err

    return typed


def tone(loud: float = 0.2) -> bytes:
    """A WAV of 6 s: 440 Hz, and 3 s later 1760 Hz."""
    time = np.arange(SECONDS * 44_100) / 44_100
    sound = loud * np.sin(2 * np.pi * np.where(time < SECONDS / 2, 440, 1760) * time)
    kept = io.BytesIO()
    with wave.open(kept, "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(44_100)
        file.writeframes(np.repeat((sound * 32767).astype("<i2"), 2).tobytes())
    return kept.getvalue()


def test_a_file_is_told_with_every_row_of_the_gate_and_drawn(listen: Command, tmp_path: Path) -> None:
    file, picture = tmp_path / "tone.wav", tmp_path / "tone.png"
    file.write_bytes(tone())
    status, said, errors = listen(str(file), "--png", str(picture))
    assert (status, errors) == (1, "")  # 6 s are too short for a segment
    lines = said.splitlines()
    (short,) = [line.split() for line in lines if line.strip().startswith("duration_raw")]
    assert short == ["duration_raw", "seconds", "6", "≥", "45", "fails"]
    (peak,) = [line.split() for line in lines if line.strip().startswith("true_peak")]
    assert float(peak[2]) == pytest.approx(-14.0, abs=0.1)
    assert [peak[1], *peak[3:]] == ["peak_dbtp", "≤", "-1", "passed"]
    assert any("WAV, 44100 Hz, stereo" in line for line in lines)
    assert str(picture) in said
    assert picture.read_bytes().startswith(PNG)


async def test_the_spectrum_shows_what_sounds_when(tmp_path: Path) -> None:
    file = tmp_path / "tone.wav"
    file.write_bytes(tone())
    seen = await spectrum_of(file)
    middles = (EDGES[:-1] * EDGES[1:]) ** 0.5
    for second, hertz in ((1, 440), (4, 1760)):
        assert middles[seen.bands[:, second * COLUMNS_PER_SECOND].argmax()] == pytest.approx(hertz, rel=0.04)
        assert seen.levels[second * COLUMNS_PER_SECOND] == pytest.approx(-17.0, abs=0.3)
    assert seen.until(3).levels.shape == (3 * COLUMNS_PER_SECOND,)


@pytest.mark.parametrize(
    ("name", "content", "text"),
    [
        ("page.mp3", b"<!doctype html><p>404", "is no audio by its contents: expected MP3, WAV, FLAC, Ogg or M4A"),
        ("empty.wav", b"", "is no audio by its contents"),
        ("cut.wav", tone()[:200_000], "does not decode (200000 of 1058444 declared): it is cut short or broken"),
    ],
)
def test_what_cannot_be_heard_is_refused_with_the_reason(
    listen: Command, tmp_path: Path, name: str, content: bytes, text: str
) -> None:
    (tmp_path / name).write_bytes(content)
    status, said, errors = listen(str(tmp_path / name))
    assert (status, said) == (1, "")
    assert errors.startswith(f"parcours: {tmp_path / name} {text}")


def test_what_is_neither_a_file_nor_a_run_is_refused(listen: Command, tmp_path: Path) -> None:
    status, said, errors = listen(str(tmp_path / "none.mp3"))
    assert (status, said) == (1, "")
    assert errors == (
        f"parcours: there is no file {tmp_path}/none.mp3, and it is no run's id: "
        "name an audio file, or a run of `parcours runs`\n"
    )
    assert "is no file: name an audio file" in listen(str(tmp_path))[2]


def test_a_picture_that_could_not_be_written_is_refused_before_the_work(listen: Command, tmp_path: Path) -> None:
    assert "--png: expected a name that ends with .png" in listen("x", "--png", str(tmp_path / "x.jpg"))[2]
    assert "--png: there is no folder" in listen("x", "--png", str(tmp_path / "none" / "x.png"))[2]


def test_a_picture_that_cannot_be_written_after_all_is_told_in_a_line(listen: Command, tmp_path: Path) -> None:
    file = tmp_path / "tone.wav"
    file.write_bytes(tone())
    (tmp_path / "taken.png").mkdir()
    status, _said, errors = listen(str(file), "--png", str(tmp_path / "taken.png"))
    assert (status, errors) == (1, f"parcours: --png: {tmp_path}/taken.png cannot be written: Is a directory\n")
