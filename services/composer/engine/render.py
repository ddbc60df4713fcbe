"""Owns the stream of a segment: a score becomes blocks of PCM with bounded memory (§5.5)."""

from collections.abc import Iterator

import numpy as np

from services.composer.engine.balance import Balance, balance
from services.composer.engine.level import soft_ceiling
from services.composer.engine.notes import Note
from services.composer.engine.padsynth import LoopCache, Stereo
from services.composer.engine.plan import FADE_OUT_SECONDS, SAMPLE_RATE, SegmentPlan
from services.composer.engine.score import PREROLL_SECONDS, Score, compose
from services.composer.engine.space import SEA_SAMPLES, Reverb, sea
from services.composer.engine.struck import WaveCache
from services.composer.engine.timbres import SENDS
from services.composer.engine.voices import VoiceBank

BLOCK_SAMPLES = 10 * SAMPLE_RATE  # fixed for ever within a version: the grid shows in the last bits of the reverb
TAIL_SAMPLES = 31 * SAMPLE_RATE  # longest note: 16 beats at 40 BPM · 1.12 + 3 s = 30 s
LEAD_SAMPLES = 40 * SAMPLE_RATE  # a continuation starts this much earlier, so that all that still sounds is there


class Instrument:
    """What renders of one process share: loops and voices; not thread-safe."""

    def __init__(self) -> None:
        self._loops = LoopCache()
        self._waves = WaveCache()
        self._banks: dict[str, VoiceBank] = {}

    def bank(self, timbre: str) -> VoiceBank:
        return self._banks.setdefault(timbre, VoiceBank(self._loops, self._waves, timbre))

    def blocks(self, plan: SegmentPlan, score: Score | None = None, extra_gain: float = 1.0) -> Iterator[Stereo]:
        """Blocks of (2, n) float32 that add up to exactly `plan.samples`; any prefix is the same in every render."""
        window = _Window(plan)
        balanced = balance(plan, score or compose(plan))
        gain = balanced.gain(plan) * extra_gain
        for position, block in _Mix(plan, balanced, self.bank(plan.timbre), window.begin).blocks():
            cut = window.cut(position, block)
            if cut.shape[1]:
                cut *= np.float32(gain)
                soft_ceiling(cut)
                if plan.is_last:
                    _fade_out(cut, max(position, window.first), plan.file_samples)
                yield cut
            if position + block.shape[1] >= plan.file_samples:
                return


class _Window:
    """Which samples of the mix belong to the file: neither the pre-roll nor what lies before a continuation."""

    def __init__(self, plan: SegmentPlan) -> None:
        self.first = plan.first_sample
        self._end = plan.file_samples
        preroll = round(PREROLL_SECONDS * SAMPLE_RATE) if plan.index else 0
        self.begin = max(-preroll, self.first - LEAD_SAMPLES) if self.first else -preroll

    def cut(self, position: int, block: Stereo) -> Stereo:
        return block[:, max(0, self.first - position) : max(0, self._end - position)]


class _Mix:
    """One accumulator for each reverb share; every note is added once, at its integer sample position."""

    def __init__(self, plan: SegmentPlan, balanced: Balance, bank: VoiceBank, begin: int) -> None:
        self._notes = balanced.notes  # sorted by start: no later note can begin in a flushed block
        self._bank = bank
        self._begin = begin
        self._run_sample = round(plan.span.start_seconds * SAMPLE_RATE)
        self._turn = plan.index % 2
        self._shift = plan.seed_for("sea") % SEA_SAMPLES
        self._buses = {send: np.zeros((2, BLOCK_SAMPLES + TAIL_SAMPLES), np.float32) for send in SENDS}
        self._scratch = np.empty(TAIL_SAMPLES, np.float32)
        self._reverb = Reverb(BLOCK_SAMPLES)

    def blocks(self) -> Iterator[tuple[int, Stereo]]:
        """Endless; each block with the file position of its first sample."""
        position, upcoming = self._begin, 0
        while True:
            end = position + BLOCK_SAMPLES
            while upcoming < len(self._notes) and round(self._notes[upcoming].start * SAMPLE_RATE) < end:
                self._add(self._notes[upcoming], position)
                upcoming += 1
            yield position, self._flush(position)
            position = end

    def _add(self, note: Note, position: int) -> None:
        start = round(note.start * SAMPLE_RATE)
        if start + round((note.seconds + 4) * SAMPLE_RATE) < position:
            return  # over before the file, or a continuation, begins
        sound = self._bank.play(note, self._run_sample + start, self._turn)
        bus = self._buses[sound.send]
        samples = sound.samples[:, max(0, position - start) :]
        place = max(0, start - position)
        samples = samples[:, : min(bus.shape[1] - place, len(self._scratch))]
        scaled = self._scratch[: samples.shape[1]]
        for channel, gain in enumerate((sound.left, sound.right)):
            np.multiply(samples[min(channel, len(samples) - 1)], np.float32(gain), out=scaled)
            bus[channel, place : place + len(scaled)] += scaled

    def _flush(self, position: int) -> Stereo:
        block = sea(self._run_sample + position, self._shift, BLOCK_SAMPLES)
        send = np.zeros_like(block)
        for share, bus in self._buses.items():
            ready = bus[:, :BLOCK_SAMPLES]
            block += ready
            send += np.float32(share) * ready
            bus[:, :-BLOCK_SAMPLES] = bus[:, BLOCK_SAMPLES:]
            bus[:, -BLOCK_SAMPLES:] = 0
        block += self._reverb.process(send)
        return block


def _fade_out(block: Stereo, position: int, end: int) -> None:
    """cos² over the last 12 s of the run."""
    length = round(FADE_OUT_SECONDS * SAMPLE_RATE)
    past = np.arange(position, position + block.shape[1]) - (end - length)
    if past[-1] > 0:
        block *= (np.cos(np.clip(past / length, 0, 1) * np.pi / 2) ** 2).astype(np.float32)
