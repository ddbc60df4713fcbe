"""MP3 bytes: what our headers say is what ffmpeg decodes, and what others wrote is read as they meant it."""

import subprocess
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.common import mp3
from services.composer.engine import encode

FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()


def lame(path: Path, seconds: float, *options: str) -> Path:
    source = f"anoisesrc=color=pink:amplitude=0.3:seed=7:sample_rate=44100:d={seconds}"
    subprocess.run([FFMPEG, "-v", "error", "-f", "lavfi", "-i", source, "-ac", "2", *options, "-y", path], check=True)
    return path


def decoded_samples(path: Path) -> int:
    command = [FFMPEG, "-v", "error", "-i", path, "-f", "s16le", "-ac", "2", "-"]
    return len(subprocess.run(command, check=True, capture_output=True).stdout) // 4


def test_a_file_with_a_lame_header_has_its_exact_length(tmp_path: Path) -> None:
    layout = mp3.scan(lame(tmp_path / "a.mp3", 3.21, "-b:a", "192k"))
    assert layout.samples == round(3.21 * 44100)
    assert layout.gaps is not None
    assert (layout.gaps.declared_frames, layout.delay, layout.constant, layout.clean_end) == (
        layout.frames,
        576,
        True,
        True,
    )


def test_a_stream_without_a_header_is_as_long_as_its_frames(tmp_path: Path) -> None:
    layout = mp3.scan(lame(tmp_path / "a.mp3", 2, "-b:a", "128k", "-write_xing", "0", "-id3v2_version", "0"))
    assert (layout.gaps, layout.audio_start) == (None, 0)
    assert layout.samples == layout.frames * 1152 == decoded_samples(tmp_path / "a.mp3")


def test_variable_rates_other_versions_and_mono_are_recognised(tmp_path: Path) -> None:
    assert not mp3.scan(lame(tmp_path / "v.mp3", 2, "-q:a", "4")).constant
    half = mp3.scan(lame(tmp_path / "h.mp3", 2, "-ar", "22050", "-ac", "1", "-b:a", "64k"))
    assert (half.first.sample_rate, half.first.channels, half.first.samples, half.samples) == (22050, 1, 576, 44100)


@pytest.mark.parametrize("samples", [44100, 44101, 100_000, 1152 * 80, 1152 * 80 - 529])
def test_our_info_frame_makes_a_stream_exactly_as_long_as_it_says(tmp_path: Path, samples: int) -> None:
    bare = lame(tmp_path / "bare.mp3", 3, "-b:a", "192k", "-write_xing", "0", "-id3v2_version", "0")
    layout = mp3.scan(bare)
    frames = mp3.frames_needed(samples)
    end = mp3.frames_end(bare, layout, frames)
    head = mp3.info_frame(layout.first, frames=frames, audio_bytes=end, samples=samples)
    whole = tmp_path / "whole.mp3"
    whole.write_bytes(head + bare.read_bytes()[:end])
    assert decoded_samples(whole) == samples == mp3.scan(whole).samples


def test_our_info_frame_is_the_composers_byte_for_byte() -> None:
    for kilobits in (128, 192):
        samples = 1_234_567
        frames = encode.frame_count(samples)
        size = encode.audio_bytes(frames, kilobits)
        ours = mp3.info_frame(mp3.Header.constant(kilobits), frames=frames, audio_bytes=size, samples=samples)
        stream = encode.Mp3Stream(samples, kilobits=kilobits, quality=5)
        assert ours == stream.header()


def test_what_the_composer_writes_is_as_long_as_it_announced(tmp_path: Path) -> None:
    samples = 60_000
    stream = encode.Mp3Stream(samples, kilobits=192, quality=7)
    noise = np.random.default_rng(1).normal(0, 0.1, (2, samples)).astype(np.float32)
    path = tmp_path / "c.mp3"
    path.write_bytes(stream.header() + stream.add(noise) + stream.close())
    assert mp3.scan(path).samples == samples == decoded_samples(path)


def test_tags_before_and_behind_are_no_audio(tmp_path: Path) -> None:
    bare = lame(tmp_path / "bare.mp3", 1, "-b:a", "192k", "-write_xing", "0", "-id3v2_version", "0").read_bytes()
    tag = b"ID3\x04\0\0\0\0\x02\x00" + bytes(256)
    tagged = mp3.scan_bytes(tag + bare + b"TAG" + bytes(125))
    assert (tagged.audio_start, tagged.audio_bytes, tagged.clean_end) == (266, len(bare), True)
    assert not mp3.scan_bytes(bare + b"something else entirely").clean_end


@pytest.mark.parametrize("text", [b"", b"<!doctype html><html>", b"\xff\xfb", b"\xff\xfb\x90\x44" * 2, bytes(5000)])
def test_what_has_no_two_frames_is_no_mp3(text: bytes) -> None:
    with pytest.raises(mp3.NotMp3Error):
        mp3.scan_bytes(text)


@given(st.binary(max_size=3000))
def test_no_bytes_break_the_scanner(noise: bytes) -> None:
    for start in (b"", b"ID3\x04\0\0\0\0\0\x05", b"\xff\xfb\xb0\x44"):
        try:
            layout = mp3.scan_bytes(start + noise)
        except mp3.NotMp3Error:
            continue
        assert layout.samples >= 0


def test_a_frame_too_small_for_the_info_is_refused() -> None:
    tiny = mp3.parse_header(bytes((0xFF, 0xFB, 1 << 4, 0x44)))
    assert tiny is not None
    with pytest.raises(ValueError, match="expected frames of at least"):
        mp3.info_frame(tiny, frames=1, audio_bytes=104, samples=1)
