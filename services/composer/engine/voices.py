"""Owns the sound of single notes: each note of a score becomes samples, a place in the panorama and a reverb share."""

import functools
import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from services.composer.engine.notes import Note
from services.composer.engine.padsynth import LOOP_SAMPLES, LoopCache, Stereo
from services.composer.engine.plan import SAMPLE_RATE
from services.composer.engine.struck import Mono, WaveCache
from services.composer.engine.timbres import SEND_LOW, SEND_PADS, SETS, voice_of

LFO_SAMPLES = 20 * SAMPLE_RATE  # one turn of the pads' slow opening, 0.05 Hz
PAD_GAIN, BASS_GAIN = 0.16, 0.17
PAD_TAIL_SECONDS, BASS_TAIL_SECONDS = 3.0, 1.0  # how much longer than written they sound
PAD_RELEASE_SECONDS = 3.5
BASS_EDGES = (1.2, 1.5)  # seconds of rise and fall
BOWED_SECONDS, BOWED_EDGES = 6.0, (1.4, 3.0)


@dataclass(frozen=True, slots=True)
class Sound:
    """One note: one or two rows of samples, the gain of each channel, and how much of it feeds the reverb."""

    samples: npt.NDArray[np.float32]
    left: float
    right: float
    send: float


class VoiceBank:
    """All voices of one timbre set; keeps what notes share."""

    def __init__(self, loops: LoopCache, waves: WaveCache, timbre: str) -> None:
        self._loops = loops
        self._waves = waves
        self._timbre = timbre
        self._set = SETS[timbre]

    def play(self, note: Note, run_sample: int, turn: int) -> Sound:
        """The whole note; `run_sample` is its place in the run, which slow movements follow across segments.

        `turn` is 0 or 1: the form of struck waves, other in each neighbour.
        """
        if note.part == "pad":
            gain = PAD_GAIN * self._set.pads * note.velocity
            return _placed(self._pad(note, run_sample), note.pan / 2, gain, SEND_PADS)
        if note.part == "bass":
            return _placed(self._bass(note), 0.0, BASS_GAIN * note.velocity, SEND_LOW)
        voice = voice_of(self._timbre, note.part)
        if voice.recipe == "bowed":
            samples = self._bowed(note)
        else:
            samples = self._waves.wave(voice.recipe, note.pitch + voice.shift, turn)[np.newaxis]
        return _placed(samples, note.pan, voice.gain * note.velocity, voice.send)

    def _pad(self, note: Note, run_sample: int) -> Stereo:
        own = self._set
        dark, open_, airy = own.layers(note.brightness, note.arousal)
        count = round((note.seconds + PAD_TAIL_SECONDS) * SAMPLE_RATE)
        entry = round(note.phase * LOOP_SAMPLES)
        moving = self._loops.read(note.pitch, own.layer, entry, count, open_)
        if airy > 0:
            moving += self._loops.read(note.pitch + 12, "air", entry, count, airy)
        moving *= _opening_from(own.opening, run_sample + note.pitch * LFO_SAMPLES // 12, count)
        moving += self._loops.read(note.pitch, "dark", entry, count, dark)
        _shape(moving, min(own.attack_seconds, 0.3 * note.seconds), PAD_RELEASE_SECONDS)
        return moving

    def _bass(self, note: Note) -> Stereo:
        count = round((note.seconds + BASS_TAIL_SECONDS) * SAMPLE_RATE)
        samples = self._loops.read(note.pitch, "dark", round(note.phase * LOOP_SAMPLES), count)
        _shape(samples, *BASS_EDGES)
        return samples

    def _bowed(self, note: Note) -> Stereo:
        """A string section's single note: PADsynth with a slow bow, as long as a felt note rings."""
        entry = round(note.pan * LOOP_SAMPLES)
        samples = self._loops.read(note.pitch, "string", entry, round(BOWED_SECONDS * SAMPLE_RATE))
        _shape(samples, *BOWED_EDGES)
        return samples


@functools.cache
def _opening(depth: float) -> Mono:
    """One turn of the pads' slow opening."""
    turn = 2 * np.pi * np.arange(LFO_SAMPLES) / LFO_SAMPLES
    opening: Mono = (1 - depth + depth * np.sin(turn)).astype(np.float32)
    return opening


def _opening_from(depth: float, start: int, count: int) -> Mono:
    start %= LFO_SAMPLES
    turns = math.ceil((start + count) / LFO_SAMPLES)
    whole = _opening(depth) if turns == 1 else np.tile(_opening(depth), turns)
    return whole[start : start + count]


def _placed(samples: npt.NDArray[np.float32], pan: float, gain: float, send: float) -> Sound:
    """Equal-power position; −1 left, 1 right."""
    angle = (pan + 1) * math.pi / 4
    return Sound(samples, gain * math.cos(angle), gain * math.sin(angle), send)


def _shape(samples: Stereo, attack_seconds: float, release_seconds: float) -> None:
    """sin² in, cos² out, in place; both shrink to half of a note that is too short for them."""
    half = samples.shape[1] // 2
    attack = min(round(attack_seconds * SAMPLE_RATE), half)
    release = min(round(release_seconds * SAMPLE_RATE), half)
    samples[:, :attack] *= _rise(attack)
    samples[:, -release:] *= _rise(release)[::-1]


@functools.lru_cache(maxsize=16)
def _rise(count: int) -> Mono:
    rising: Mono = (np.sin(np.arange(count) / count * (np.pi / 2)) ** 2).astype(np.float32)
    return rising
