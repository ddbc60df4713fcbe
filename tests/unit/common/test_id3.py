"""A tag is read back by ffmpeg as it was written, in Latin-1 or not, and moves no frame."""

import subprocess
from pathlib import Path

import pytest

from libs.common import id3, mp3
from tests.unit.archiver.sounds import FFMPEG, STREAM, decoded, noise


def read_back(path: Path) -> dict[str, str]:
    command = [str(FFMPEG), "-v", "error", "-i", str(path), "-f", "ffmetadata", "-"]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line)


def test_a_tag_is_read_back_and_moves_no_frame(tmp_path: Path) -> None:
    bare = noise(tmp_path / "bare.mp3", 1, *STREAM)
    tag = id3.tag(
        {"TIT2": "Séance 2/5", "TALB": "", "TPE1": "深呼吸"},
        named={"AI_GENERATED": "true", "Ключ": "значение", "EMPTY": ""},
        comment="Musique créée par une IA",
        language="fra",
    )
    tagged = tmp_path / "tagged.mp3"
    tagged.write_bytes(tag + bare.read_bytes())
    found = read_back(tagged)
    assert (found["title"], found["artist"], found["comment"]) == ("Séance 2/5", "深呼吸", "Musique créée par une IA")
    assert (found["AI_GENERATED"], found["Ключ"]) == ("true", "значение")
    assert not {"album", "EMPTY"} & found.keys()
    assert (mp3.skip_id3(tag), mp3.frames_begin(tagged)) == (len(tag), len(tag))
    assert decoded(tagged) == decoded(bare)


def test_a_tag_of_nothing_is_no_tag() -> None:
    assert id3.tag({"TIT2": ""}) == b""


def test_a_tag_that_no_size_can_say_is_refused() -> None:
    with pytest.raises(ValueError, match="less than"):
        id3.tag({"TIT2": "a" * (1 << 28)})
