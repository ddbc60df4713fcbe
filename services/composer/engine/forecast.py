"""Owns the power of a note before a sample of it exists (§5.6), so that levels are known beforehand.

Notes start at random places of their loops, so their powers add. Each note's K-weighted power, dry and wet, is known
from its spectrum.
"""

import functools
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from services.composer.engine import voices
from services.composer.engine.level import Weighting, fast_length, k_response
from services.composer.engine.notes import Note
from services.composer.engine.padsynth import BIN_HZ, LAYERS, LOOP_SAMPLES, loop_bins
from services.composer.engine.plan import SAMPLE_RATE
from services.composer.engine.space import WET, response
from services.composer.engine.struck import BEATS, TONES
from services.composer.engine.timbres import SEND_LOW, SEND_PADS, SETS, Voice, voice_of

Powers: TypeAlias = npt.NDArray[np.floating]
Edges: TypeAlias = tuple[float, float]  # seconds of rise and fall

HOP_SECONDS = 0.01  # grid of a tone's envelope; what moves within it is the tone itself
RING_SECONDS = 5  # how long the room is followed after a tone
SEA_LUFS = -45.0  # of the sea, K-weighted, before any gain


class Outlook:
    """The seconds around a file, and what notes add to each of them."""

    def __init__(self, timbre: str, begin: int, end: int, run_start: float) -> None:
        """`begin` and `end` count from the file's start, `run_start` is the file's place in its run."""
        self._timbre = timbre
        self._begin = begin
        self._middles = np.arange(begin, end) + 0.5
        self._run = run_start + self._middles

    @property
    def run_seconds(self) -> Powers:
        """The middle of each second, in run time."""
        return self._run

    def silence(self) -> Powers:
        return np.zeros(len(self._middles))

    def between(self, start: float, end: float) -> slice:
        """The seconds from `start` to `end` of the file; at least one."""
        first = min(max(0, round(start - self._begin)), len(self._middles) - 1)
        return slice(first, max(first + 1, min(round(end - self._begin), len(self._middles))))

    def add(self, powers: Powers, note: Note) -> None:
        if note.part == "pad":
            seconds = note.seconds + voices.PAD_TAIL_SECONDS
            attack = min(SETS[self._timbre].attack_seconds, 0.3 * note.seconds)
            edges = (attack, voices.PAD_RELEASE_SECONDS)
            self._spread(powers, note.start, seconds, edges, self._pad_power(note))
        elif note.part == "bass":
            power = _loop_power(note.pitch, "dark", SEND_LOW, 0.0) * (voices.BASS_GAIN * note.velocity) ** 2
            seconds = note.seconds + voices.BASS_TAIL_SECONDS
            self._spread(powers, note.start, seconds, voices.BASS_EDGES, power)
        else:
            self._add_struck(powers, note, voice_of(self._timbre, note.part))

    def _pad_power(self, note: Note) -> Powers:
        """One pad note; its layers are independent noise, and the moving one opens and closes."""
        own, pan = SETS[self._timbre], note.pan / 2
        dark, open_, airy = own.layers(note.brightness, note.arousal)
        still = dark**2 * _loop_power(note.pitch, "dark", SEND_PADS, pan)
        moving = open_**2 * _loop_power(note.pitch, own.layer, SEND_PADS, pan)
        if airy > 0:
            moving += airy**2 * _loop_power(note.pitch + 12, "air", SEND_PADS, pan)
        opening = 1 - own.opening + own.opening * np.sin(2 * np.pi * (self._run / 20 + note.pitch / 12))
        power: Powers = (still + opening**2 * moving) * (voices.PAD_GAIN * own.pads * note.velocity) ** 2
        return power

    def _add_struck(self, powers: Powers, note: Note, voice: Voice) -> None:
        pitch = note.pitch + voice.shift
        if voice.recipe == "bowed":
            power = _loop_power(pitch, "string", voice.send, note.pan) * (voice.gain * note.velocity) ** 2
            self._spread(powers, note.start, voices.BOWED_SECONDS, voices.BOWED_EDGES, power)
            return
        profile = _beat_profile(voice.recipe, voice.send)
        if voice.recipe in TONES:
            profile = _tone_profile(voice.recipe, voice.send, pitch)
        first = int(note.start - self._begin)
        count = min(len(profile), len(powers) - first)
        if first >= 0 and count > 0:
            powers[first : first + count] += profile[:count] * (voice.gain * note.velocity) ** 2

    def _spread(self, powers: Powers, start: float, seconds: float, edges: Edges, power: float | Powers) -> None:
        """A sustained note under its sin² and cos² edges."""
        inside = np.minimum((self._middles - start) / edges[0], (start + seconds - self._middles) / edges[1])
        powers += power * np.sin(np.pi / 2 * np.clip(inside, 0, 1)) ** 4


def _loop_power(pitch: int, layer: str, send: float, pan: float) -> float:
    """Power of a loop at a place of the panorama (−1…1), both channels together."""
    left, right = _loop_powers(pitch, layer, send)
    angle = (pan + 1) * np.pi / 4
    return float(left * np.cos(angle) ** 2 + right * np.sin(angle) ** 2)


@functools.cache
def _loop_powers(pitch: int, layer: str, send: float) -> tuple[float, float]:
    """K-weighted power of a loop's channels, with its reverb: exact, since a loop is periodic.

    The room's response is as rough as noise; on narrow bands its dips and peaks are worth ± 1 dB, so no smoothing.
    """
    used, bins = loop_bins(pitch, LAYERS[layer])
    heard = np.abs(bins) ** 2 * _k_power()[used] * np.abs(1 + send * WET * _room()[:, used]) ** 2
    left, right = (float(power) * 2 / LOOP_SAMPLES**2 for power in heard.sum(axis=1))  # one-sided bins
    return left, right


@functools.cache
def _k_power() -> Powers:
    hertz = np.minimum(np.arange(LOOP_SAMPLES // 2 + 1) * BIN_HZ, SAMPLE_RATE / 2 - 1)
    power: Powers = np.abs(k_response(hertz)) ** 2
    return power


@functools.cache
def _room() -> npt.NDArray[np.complex64]:
    return np.fft.rfft(response(), LOOP_SAMPLES, axis=1).astype(np.complex64, copy=False)


@functools.cache
def _tone_profile(recipe: str, send: float, pitch: int) -> Powers:
    """K-weighted power per second after a tone's start, at gain 1: its partials through the room, each exactly."""
    tone = TONES[recipe]
    time = np.arange(round((tone.seconds + RING_SECONDS) / HOP_SECONDS)) * HOP_SECONDS
    power: Powers = np.zeros(len(time))
    for hertz, level, decay in tone.partials(pitch):
        dry = level * np.exp(-decay * time) * tone.envelope(time) * (time < tone.seconds)
        for echo in _echo(hertz):  # left and right: a note's gain is shared by them
            wet = np.convolve(dry, echo)[: len(time)] * (send * WET)
            power += _k_at(hertz) * np.abs(dry + wet) ** 2 / 4
    return _by_second(power, round(1 / HOP_SECONDS))


def _echo(hertz: float) -> npt.NDArray[np.complexfloating]:
    """The room as a tone of this pitch meets it: its response in hops, turned back by the tone's own turning."""
    room = response()
    hop = round(HOP_SECONDS * SAMPLE_RATE)
    hops = room[:, : room.shape[1] // hop * hop].reshape(2, -1, hop)
    angles = -2 * np.pi * hertz / SAMPLE_RATE * np.arange(hop)
    turned = hops @ np.stack((np.cos(angles), np.sin(angles)), axis=1).astype(np.float32)
    coarse = np.exp(-2j * np.pi * hertz / SAMPLE_RATE * hop * np.arange(hops.shape[1]))
    echo: npt.NDArray[np.complexfloating] = (turned[..., 0] + 1j * turned[..., 1]) * coarse
    return echo


def _k_at(hertz: float) -> float:
    return float(_k_power()[round(hertz / BIN_HZ)])


@functools.cache
def _beat_profile(recipe: str, send: float) -> Powers:
    """The same for percussion, which is no tone: measured from its wave."""
    if recipe not in BEATS:
        return np.zeros(1)
    dry = np.zeros((2, 3 * SAMPLE_RATE), np.float32)
    wave = BEATS[recipe](0)
    dry[0, : len(wave)] = wave
    size = fast_length(dry.shape[1] + response().shape[1])
    dry[1] = np.fft.irfft(np.fft.rfft(wave, size) * np.fft.rfft(response()[0], size))[: dry.shape[1]] * (send * WET)
    power: Powers = (Weighting().of(dry) ** 2).sum(axis=0)
    return _by_second(power, SAMPLE_RATE)


def _by_second(power: Powers, rate: int) -> Powers:
    whole = len(power) // rate * rate
    profile: Powers = power[:whole].reshape(-1, rate).mean(axis=1)
    return profile
