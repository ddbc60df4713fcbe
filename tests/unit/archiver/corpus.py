"""Owns the files that the quality gate is shown: music of two engines that it must take, and what it must refuse."""

import subprocess
import wave
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from services.composer.engine.render import Instrument
from services.composer.prompt import plan_of_prompt
from tests.unit.archiver.sounds import FFMPEG

RATE = 44100
SECONDS = 50

Stereo = NDArray[np.float32]

CHORDS = ((50, 57, 62, 65), (46, 53, 58, 62), (48, 55, 60, 64), (43, 55, 59, 62))
STYLES = ("felt piano, warm pads", "handpan", "soft strings", "drone, flute")


# --- engines ---


def additive(seconds: float = SECONDS, *, seed: int = 1, voices: int = 4, width: float = 0.5) -> Stereo:
    """A plain additive synthesiser: chords of eight seconds that swell and overlap, with soft keys above them."""
    chance = np.random.default_rng(seed)
    sound = np.zeros((2, round(seconds * RATE) + 12 * RATE), np.float32)
    for place in range(int(seconds // 8) + 1):
        chord = CHORDS[(place + seed) % len(CHORDS)]
        for number, note in enumerate(chord[:voices]):
            _add(sound, place * 8, _tone(note + seed % 5, 11, rise=2.5, fall=3.0), pan=width * (number / 1.5 - 1))
        for beat in range(4):
            key = _tone(chord[int(chance.integers(len(chord)))] + 12 + seed % 5, 4, rise=0.08, fall=3.5)
            _add(sound, place * 8 + 2 * beat, 0.35 * key, pan=width * float(chance.uniform(-1, 1)))
    sound = sound[:, : round(seconds * RATE)]
    return np.asarray(0.12 / np.sqrt(np.mean(sound**2)) * sound)


def _tone(note: int, seconds: float, *, rise: float, fall: float) -> Stereo:
    time = np.arange(round(seconds * RATE), dtype=np.float32) / RATE
    hertz = 440 * 2 ** ((note - 69) / 12)
    partials = sum(np.sin(2 * np.pi * hertz * h * time) / h**1.8 for h in range(1, 6) if h * hertz < 8000)
    swell = np.clip(time / rise, 0, 1) * np.clip((seconds - time) / fall, 0, 1)
    return np.asarray(partials * np.sin(swell * np.pi / 2) ** 2, np.float32)


def _add(sound: Stereo, at: float, tone: Stereo, *, pan: float) -> None:
    start = round(at * RATE)
    piece = tone[: sound.shape[1] - start]
    angle = (pan + 1) * np.pi / 4
    sound[0, start : start + len(piece)] += np.cos(angle) * piece
    sound[1, start : start + len(piece)] += np.sin(angle) * piece


@cache
def _instrument() -> Instrument:
    return Instrument()


def composed(style: str, name: str, seconds: float = SECONDS) -> Stereo:
    """The composer's engine by words, as any caller of its API; the title decides the notes."""
    plan = plan_of_prompt(f"{style}, 60 BPM, D dorian", f"{name} 2/4", seconds)
    return np.concatenate(list(_instrument().blocks(plan)), axis=1)


# --- files ---


def write_wav(path: Path, sound: Stereo) -> Path:
    """16 bits, what lies beyond is clipped."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(len(sound))
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(np.clip(np.round(sound.T * 32767), -32768, 32767).astype("<i2").tobytes())
    return path


def write_mp3(path: Path, sound: Stereo, *options: str) -> Path:
    raw = ["-f", "f32le", "-ar", str(RATE), "-ac", str(len(sound)), "-i", "pipe:0"]
    command = [str(FFMPEG), "-v", "error", *raw, *(options or ("-b:a", "192k")), "-y", str(path)]
    subprocess.run(command, input=sound.T.astype("<f4").tobytes(), check=True)
    return path


# --- what must be refused, and why ---


@cache
def music() -> Stereo:
    """Good music to spoil; nobody changes it in place."""
    return additive()


@cache
def _noise(seconds: float = SECONDS) -> NDArray[np.float64]:
    """Pink, both channels of their own."""
    count = round(seconds * RATE)
    bins = np.fft.rfft(np.random.default_rng(7).normal(size=(2, count)))
    hertz = np.maximum(np.fft.rfftfreq(count, 1 / RATE), 1)
    bins /= np.sqrt(hertz)
    sound = np.fft.irfft(bins * (hertz > 100), count)
    return np.asarray(0.1 * sound / sound.std())


def _silent() -> Stereo:
    return np.zeros((2, SECONDS * RATE), np.float32)


def _with_a_hole() -> Stereo:
    sound = music().copy()
    sound[:, 20 * RATE : 22 * RATE] = 0
    return sound


def _sinks() -> Stereo:
    sound = music().copy()
    gain = np.interp(np.arange(sound.shape[1]) / RATE, (18, 23, 25, 30), (1, 0.13, 0.13, 1))
    return np.asarray(sound * gain, np.float32)


def _clipped() -> Stereo:
    return np.asarray(np.clip(6 * music(), -1, 1))


def _with_dc() -> Stereo:
    return music() + np.array([[0.0], [0.004]], np.float32)


def _cancels_in_mono() -> Stereo:
    left, right = music()
    middle, side = (left + right) / 2, (left - right) / 2 + _noise()[0]
    return np.asarray([0.2 * middle + side, 0.2 * middle - side], np.float32)


def _out_of_phase_for_a_while() -> Stereo:
    sound = music().copy()
    sound[1, 20 * RATE : 32 * RATE] = -sound[0, 20 * RATE : 32 * RATE]
    return sound


def _rumbles() -> Stereo:
    time = np.arange(SECONDS * RATE) / RATE
    return np.asarray(0.5 * music() + 0.1 * np.sin(2 * np.pi * 45 * time), np.float32)


def _startles() -> Stereo:
    """A chord hit in the middle of quiet music: nothing, and within 10 ms everything."""
    sound = 0.25 * music()
    sound[:, 25 * RATE : 28 * RATE] = 1.2 * music()[:, 25 * RATE : 28 * RATE]
    return np.asarray(sound)


def _bangs() -> Stereo:
    """50 ms only, so that no second rises much."""
    sound = music().copy()
    sound[:, 25 * RATE : 25 * RATE + RATE // 20] += 0.7 * np.sign(np.sin(np.arange(RATE // 20) / 8)).astype(np.float32)
    return sound


def _too_quiet() -> Stereo:
    return 0.025 * music()


def _hot() -> Stereo:
    """Quiet noise with a peak every second, which a limiter would have to cut off."""
    sound = 0.3 * _noise()
    sound[:, RATE // 2 :: RATE] = 0.9
    return np.asarray(sound, np.float32)


def _wanders() -> Stereo:
    """Up and down by 14 dB, slowly enough to startle nobody; never far below its median."""
    gain = 10 ** (np.interp(np.arange(SECONDS * RATE) / RATE, (0, 20, 32, 50), (-7, -7, 5, 5)) / 20)
    return np.asarray(music() * gain, np.float32)


SPOILED: dict[str, tuple[str, Callable[[], Stereo]]] = {
    "silent": ("gate_silence", _silent),
    "a hole of two seconds": ("gate_silence", _with_a_hole),
    "sinks for two seconds": ("gate_silence", _sinks),
    "clipped": ("gate_clipping", _clipped),
    "a constant in one channel": ("gate_dc", _with_dc),
    "cancels in mono": ("gate_mono_loss", _cancels_in_mono),
    "out of phase for a while": ("gate_phase", _out_of_phase_for_a_while),
    "rumbles": ("gate_rumble", _rumbles),
    "startles": ("gate_startle", _startles),
    "bangs": ("gate_startle", _bangs),
    "hardly there": ("gate_loudness_raw", _too_quiet),
    "one channel": ("gate_format", lambda: music()[:1]),
    "half as long": ("too_short", lambda: music()[:, : 30 * RATE]),
    "too hot": ("gate_too_hot", _hot),
    "wanders": ("gate_range", _wanders),
}


def speech(seconds: float = SECONDS) -> Stereo:
    """Noise that opens and closes about four times a second, with pauses, as syllables do."""
    time = np.arange(round(seconds * RATE)) / RATE
    syllables = np.clip(np.sin(2 * np.pi * 3.9 * time + 1.5 * np.sin(2 * np.pi * 0.7 * time)), 0, 1) ** 0.7
    return np.asarray((0.45 + syllables) * _noise(seconds)[0] * np.ones((2, 1)), np.float32)


# --- what must be taken ---


def good(count: int) -> Iterator[tuple[str, Stereo]]:
    """Name and sound of so many good pieces, in turn by each engine."""
    for number in range(count):
        if number % 2:
            yield f"additive {number}", additive(seed=number, voices=3 + number % 2, width=0.2 + 0.1 * (number % 5))
        else:
            style = STYLES[number // 2 % len(STYLES)]
            yield f"composer {number}: {style}", composed(style, f"night {number}")


def codings(count: int) -> Sequence[tuple[str, tuple[str, ...]]]:
    """A file's name and how it is coded, in turn."""
    known = (("a.mp3", ()), ("b.flac", ()), ("c.mp3", ("-q:a", "3")), ("d.ogg", ()), ("e.mp3", ("-ar", "48000")))
    return [known[number % len(known)] for number in range(count)]
