"""Owns what pads add to a score: so much that the whole follows the run's loudness, whatever the chord or the melody.

Levels are absolute in the run, so a chord in a join is levelled alike in both files, and one gain brings preview and
final to the plan's loudness without a measuring pass (§5.6, §5.9).
"""

from dataclasses import dataclass, replace

import numpy as np

from services.composer.engine.forecast import SEA_LUFS, Outlook, Powers
from services.composer.engine.harmony import Chord
from services.composer.engine.level import gated_lufs, power_of
from services.composer.engine.notes import Note
from services.composer.engine.plan import FADE_OUT_SECONDS, SegmentPlan
from services.composer.engine.score import MARGIN_SECONDS, Score

RAW_LUFS = -23.3  # of the mix before any gain, at arousal 0; keeps peaks far below full scale
LUFS_PER_AROUSAL = 0.7  # domain.md §4.3
PAD_POWERS = (0.25, 2.5)  # least and most that a chord's pads are scaled by: −6…+4 dB
ROUNDS = 8  # of the chords' mutual adjustment; the last changes less than 0.01 dB


@dataclass(frozen=True, slots=True)
class Balance:
    """A score's notes at their levels, and the loudness of the file they will make, before any gain."""

    notes: tuple[Note, ...]
    powers: Powers  # K-weighted, of each second of the file, before the last fade
    lufs: float

    def gain(self, plan: SegmentPlan) -> float:
        """Factor that brings the raw render to the plan's loudness; the same for preview and final."""
        return float(10 ** ((plan.target_lufs - self.lufs) / 20))


def balance(plan: SegmentPlan, score: Score) -> Balance:
    """Scale each chord's pads and bass by what they and the struck notes will sound like together."""
    start = plan.span.start_seconds
    outlook = Outlook(plan.timbre, -round(MARGIN_SECONDS), round(plan.file_seconds + MARGIN_SECONDS), start)
    struck = outlook.silence() + power_of(SEA_LUFS)
    held = {chord.number: outlook.silence() for chord in score.chords}
    for note in score.notes:
        outlook.add(held.get(note.chord, struck), note)
    wanted = _wanted(plan, outlook.run_seconds)
    places = {chord.number: outlook.between(*_sounding(chord, start)) for chord in score.chords}
    shares = _settle(held, struck, wanted, places)
    total = struck + sum(shares[number] * powers for number, powers in held.items())
    notes = tuple(
        replace(note, velocity=note.velocity * shares[note.chord] ** 0.5) if note.chord in shares else note
        for note in score.notes
    )
    inside = total[outlook.between(0.0, plan.file_seconds)]
    return Balance(notes, inside, _lufs_of_file(plan, inside))


def _sounding(chord: Chord, offset: float) -> tuple[float, float]:
    return chord.start - offset, chord.start + chord.seconds - offset


def _wanted(plan: SegmentPlan, run_seconds: Powers) -> Powers:
    moments = [plan.path.at(float(time)).arousal for time in run_seconds]
    return np.array([power_of(RAW_LUFS + LUFS_PER_AROUSAL * arousal) for arousal in moments])


def _settle(held: dict[int, Powers], struck: Powers, wanted: Powers, places: dict[int, slice]) -> dict[int, float]:
    """Powers of the chords' pads; neighbours overlap, so they find their levels together."""
    shares = dict.fromkeys(held, 1.0)
    total = struck + sum(held.values())
    for _ in range(ROUNDS):
        for number, place in places.items():
            own = float(held[number][place].mean())
            missing = float((wanted[place] - total[place]).mean())
            share = min(max(shares[number] + missing / max(own, 1e-12), PAD_POWERS[0]), PAD_POWERS[1])
            total += (share - shares[number]) * held[number]
            shares[number] = share
    return shares


def _lufs_of_file(plan: SegmentPlan, powers: Powers) -> float:
    if plan.is_last:
        ahead = np.arange(len(powers)) + 0.5 - (plan.file_seconds - FADE_OUT_SECONDS)
        powers = powers * np.cos(np.clip(ahead / FADE_OUT_SECONDS, 0, 1) * np.pi / 2) ** 4
    return gated_lufs(powers)
