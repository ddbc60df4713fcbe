"""MP3: its header lets players skip the encoder's delay: the decoded length is exact, music starts at sample 0."""

import subprocess
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import numpy.typing as npt
import pytest

from services.composer.engine.encode import EncodedLengthError, Mp3Stream, audio_bytes, frame_count, info_frame
from services.composer.engine.plan import SAMPLE_RATE

Samples = npt.NDArray[np.float32]


def noise(samples: int, seed: int = 5) -> Samples:
    rough = np.random.default_rng(seed).standard_normal(samples + 7).cumsum()
    rough -= np.convolve(rough, np.ones(201) / 201, "same")
    wave = np.stack((rough[7:], rough[:-7]))
    quiet: Samples = (0.2 * wave / np.abs(wave).max()).astype(np.float32)
    return quiet


def encoded(samples: Samples, kilobits: int, quality: int) -> bytes:
    stream = Mp3Stream(samples.shape[1], kilobits=kilobits, quality=quality)
    chunks = [stream.header()]
    chunks += [stream.add(samples[:, start : start + 30_000]) for start in range(0, samples.shape[1], 30_000)]
    return b"".join([*chunks, stream.close()])


def decoded(mp3: bytes, folder: Path) -> Samples:
    path = folder / "x.mp3"
    path.write_bytes(mp3)
    ffmpeg = imageio_ffmpeg.get_ffmpeg_exe()
    command = [ffmpeg, "-v", "error", "-i", str(path), "-f", "f32le", "-"]
    done = subprocess.run(command, capture_output=True, check=True)
    assert done.stderr == b""
    return np.frombuffer(done.stdout, np.float32).reshape(-1, 2).T


@pytest.mark.parametrize(("kilobits", "quality"), [(128, 7), (192, 2)])
@pytest.mark.parametrize("samples", [SAMPLE_RATE, 57_600, 57_601, 58_751, 100_000])
def test_the_decoded_length_is_exact_and_nothing_is_shifted(
    samples: int, kilobits: int, quality: int, tmp_path: Path
) -> None:
    original = noise(samples)
    heard = decoded(encoded(original, kilobits, quality), tmp_path)
    assert heard.shape == original.shape
    window = slice(5_000, 25_000)
    lags = range(-30, 31)
    match = [float((original[0, window] * heard[0, 5_000 + lag : 25_000 + lag]).sum()) for lag in lags]
    assert lags[int(np.argmax(match))] == 0


def test_the_header_announces_what_follows_before_it_is_encoded() -> None:
    mp3 = encoded(noise(90_000), 128, 7)
    head = info_frame(90_000, 128)
    assert mp3.startswith(head)
    assert int.from_bytes(head[44:48], "big") == frame_count(90_000)
    assert int.from_bytes(head[48:52], "big") == len(mp3) == len(head) + audio_bytes(frame_count(90_000), 128)
    delay_and_padding = int.from_bytes(head[177:180], "big")
    assert delay_and_padding >> 12 == 576
    assert delay_and_padding & 0xFFF == frame_count(90_000) * 1152 - 576 - 90_000


@pytest.mark.parametrize(("kilobits", "quality"), [(128, 7), (192, 2)])
def test_lames_loss_of_level_is_made_good(kilobits: int, quality: int, tmp_path: Path) -> None:
    time = np.arange(4 * SAMPLE_RATE) / SAMPLE_RATE
    pitches = np.array((220, 277, 330, 440, 880))[:, None]
    chord = np.sin(2 * np.pi * pitches * time + pitches).sum(axis=0)
    original = np.stack((chord, chord[::-1])).astype(np.float32) * np.float32(0.1)
    heard = decoded(encoded(original, kilobits, quality), tmp_path)
    assert 20 * np.log10(heard.std() / original.std()) == pytest.approx(0, abs=0.15)


def test_a_file_begins_and_ends_in_silence_without_a_step(tmp_path: Path) -> None:
    heard = decoded(encoded(np.full((2, SAMPLE_RATE), 0.3, np.float32), 192, 2), tmp_path)
    assert abs(heard[:, :3]).max() < 0.01
    assert abs(heard[:, -3:]).max() < 0.01


def test_a_stream_that_ends_too_early_is_refused() -> None:
    stream = Mp3Stream(50_000, kilobits=128, quality=7)
    stream.add(noise(20_000))
    with pytest.raises(EncodedLengthError, match="expected 50000 samples"):
        stream.close()
