"""Owns where two parts of a file are joined: at the last second at which the level stays steady."""

import math
import statistics
from collections.abc import Iterable, Sequence
from typing import Final

JOIN_SECONDS: Final = 5.0  # equal-power, between parts
SIDE_SECONDS: Final = 3  # of either side, and of a join's middle: what its dip is measured by (audio-and-player.md §8)
HEARD_SECONDS: Final = int(JOIN_SECONDS) + SIDE_SECONDS
STEADY_DB: Final = 0.5  # a join that is expected to dip by less is good enough


def steadiest(ending: Sequence[float], beginning: Sequence[float], places: Iterable[int]) -> int | None:
    """The first of `places`, in seconds of what ends, at which the join is steady; else where it dips least.

    `ending`: a level in decibels of each second of what ends; `beginning`: of the first seconds of what follows.
    """
    dips: dict[int, float] = {}
    for place in places:
        dips[place] = dip_db(ending[place - HEARD_SECONDS : place], beginning)
        if dips[place] <= STEADY_DB:
            return place
    return min(dips, key=dips.__getitem__, default=None)


def dip_db(ending: Sequence[float], beginning: Sequence[float]) -> float:
    """How far the level sinks in a join, by levels of the seconds before its end and of those from its begin on.

    Of its middle three seconds, against the mean of three on either side; both are `HEARD_SECONDS` long.
    """
    join = int(JOIN_SECONDS)
    off, on = ([10 ** (level / 10) for level in levels] for levels in (ending[-join:], beginning[:join]))
    turns = [math.sin(math.pi * (second + 0.5) / (2 * join)) ** 2 for second in range(join)]
    both = [falls * (1 - turn) + rises * turn for falls, rises, turn in zip(off, on, turns, strict=True)]
    edge = (join - SIDE_SECONDS) // 2
    sides = ending[:SIDE_SECONDS], beginning[join:]
    around = [10 * math.log10(statistics.mean(10 ** (level / 10) for level in side)) for side in sides]
    return statistics.mean(around) - 10 * math.log10(statistics.mean(both[edge : edge + SIDE_SECONDS]))
