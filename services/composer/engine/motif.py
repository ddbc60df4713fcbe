"""Owns the tune that a run comes back to: four bars in scale degrees, drawn once, thinned by density (§5.3.8)."""

import random
from dataclasses import dataclass
from typing import Literal

GROUP_BARS = 4
MOTIF_BEATS = 16  # the longest group, four bars of four; shorter bars use its beginning
STRONG, WEAK, BETWEEN = 1.0, 0.45, 0.22  # chance of a note at density 1 (§5.3.5)
REPLAY_CHANCE = 0.8  # of the three groups in four that may replay: 60 % of all
BELL_CHANCE = 0.25
HIGHEST_DEGREE = 6  # steps of the scale to either side of the melody's centre
_FORM: tuple[Literal["A", "A'", "B"], ...] = ("A", "A'", "B", "A")
_STEPS = (-3, -2, -2, -1, -1, -1, 1, 1, 1, 2, 2, 3)

Role = Literal["A", "A'", "B"]


@dataclass(frozen=True, slots=True)
class Place:
    """A place of the motif's grid, and the note that stands there when the music is full enough."""

    beat: int
    part: int  # 0 on the beat; between: 1 the first third, 2 the half or the second third
    chance: float  # at density 1
    order: int  # among `peers` of the same kind within eight beats: the first ones stay longest
    peers: int
    degree: int
    force: float  # 0…1
    bell: bool
    pan: float

    @property
    def strong(self) -> bool:
        return self.part == 0 and self.beat % 2 == 0

    def sounds(self, density: float, shift: float) -> bool:
        """Whether density lets it sound; over all shifts (0…1) as often as a dice would, but always the same first."""
        return (self.order + shift) / self.peers < density * self.chance


def draw_motif(dice: random.Random) -> tuple[Place, ...]:
    """The places of a run's motif in the order of time."""
    orders = [_orders(dice) for _half in range(MOTIF_BEATS // 8)]
    places, degree = [], 0
    for beat in range(MOTIF_BEATS):
        for part in range(3):
            kind = part or beat % 2 - 1  # -1 strong, 0 weak, 1 and 2 between
            own = orders[beat // 8][kind]
            degree = _wander(dice, degree)
            places.append(
                Place(
                    beat=beat,
                    part=part,
                    chance=BETWEEN if part else WEAK if beat % 2 else STRONG,
                    order=own[beat % 8 if part else beat % 8 // 2],
                    peers=len(own),
                    degree=degree,
                    force=dice.random(),
                    bell=dice.random() < BELL_CHANCE,
                    pan=dice.uniform(-0.5, 0.5),
                )
            )
    return tuple(places)


def role_of(group: int) -> Role:
    """A A′ B A."""
    return _FORM[group % len(_FORM)]


def _orders(dice: random.Random) -> dict[int, list[int]]:
    """In which order the places of eight beats come in, of each kind."""
    return {kind: dice.sample(range(count), count) for kind, count in ((-1, 4), (0, 4), (1, 8), (2, 8))}


def _wander(dice: random.Random, degree: int) -> int:
    """A step that keeps near the centre: what leads outside turns back."""
    step = dice.choice(_STEPS)
    if abs(degree + step) > HIGHEST_DEGREE or dice.random() < abs(degree) / (2 * HIGHEST_DEGREE):
        step = -abs(step) if degree > 0 else abs(step)
    return degree + step
