"""Owns the command line that all benchmarks share."""

import argparse
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True)
class Form:
    """How much of a benchmark one form runs."""

    seconds: float  # of one pass
    repeats: int  # passes of each participant, interleaved; each has a seed of its own


@dataclass(frozen=True)
class Options:
    """What the person asked for. `kept` is false where it is neither form, unless `--keep` is said."""

    form: Literal["short", "full"]
    seconds: float
    repeats: int
    seed: int
    kept: bool
    only: tuple[str, ...] = ()
    more: argparse.Namespace = field(default_factory=argparse.Namespace)

    @property
    def seeds(self) -> list[int]:
        """One seed for each repeat."""
        return [self.seed + number for number in range(self.repeats)]

    def takes_part(self, name: str) -> bool:
        """Whether `--only` leaves this participant in."""
        return not self.only or any(name.startswith(wanted) for wanted in self.only)


def make_parser(name: str, about: str, *, short: Form, full: Form) -> argparse.ArgumentParser:
    """The options of every benchmark; a benchmark adds its own before `read`."""
    parser = argparse.ArgumentParser(
        prog=f"python -m benchmarks.{name}",
        description=about,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    forms = parser.add_mutually_exclusive_group()
    forms.add_argument(
        "--short", action="store_true", help=f"{short.seconds:g} s a pass, {short.repeats} of each (the default)"
    )
    forms.add_argument("--full", action="store_true", help=f"{full.seconds:g} s a pass, {full.repeats} of each")
    parser.add_argument(
        "--seconds", type=float, help="of one pass; what comes out is then left in .work/benchmarks, out of the record"
    )
    parser.add_argument("--repeats", type=int, help="passes of each participant")
    parser.add_argument("--seed", type=int, help="of every random choice; printed in any case")
    parser.add_argument("--only", action="append", default=[], metavar="NAME", help="only participants so named")
    parser.add_argument(
        "--keep", action="store_true", help="write the record even so: a form of one's own, told as such"
    )
    parser.set_defaults(_short=short, _full=full)
    return parser


def read(parser: argparse.ArgumentParser, arguments: Sequence[str] | None = None) -> Options:
    """Read the command line (`None`: of this process)."""
    said = parser.parse_args(arguments)
    form: Form = said._full if said.full else said._short  # noqa: SLF001 - defaults of our own parser
    if said.seconds is not None and said.seconds <= 0:
        parser.error("--seconds must be more than 0")
    if said.repeats is not None and said.repeats < 1:
        parser.error("--repeats must be at least 1")
    return Options(
        form="full" if said.full else "short",
        seconds=said.seconds or form.seconds,
        repeats=said.repeats or form.repeats,
        seed=random.SystemRandom().randrange(1, 1_000_000) if said.seed is None else said.seed,
        kept=said.keep or (said.seconds is None and said.repeats is None and not said.only),
        only=tuple(said.only),
        more=said,
    )
