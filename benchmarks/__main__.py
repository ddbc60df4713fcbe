"""Runs the benchmarks one after the other: `python -m benchmarks [--short|--full] [NAME …]`, as `make bench` does."""

import argparse
import subprocess
import sys
import time

from benchmarks.rig.report import PAGES
from stack.embedded.places import CHECKOUT

NAMES = (
    "quota",
    "fairness",
    "listeners",
    "first_sound",
    "callback",
    "recovery",
    "journeys",
    "composer",
    "sound",
    "narration",
    "short_files",
)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Run the benchmarks one by one.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES)}; all of them if none is named")
    forms = parser.add_mutually_exclusive_group()
    forms.add_argument("--short", action="store_true", help="the short form (the default)")
    forms.add_argument("--full", action="store_true", help="the whole, which takes hours")
    said = parser.parse_args()
    if unknown := set(said.names) - set(NAMES):
        parser.error(f"no such benchmark: {', '.join(sorted(unknown))}")
    sys.exit(run(said.names or NAMES, "--full" if said.full else "--short"))


def run(names: list[str] | tuple[str, ...], form: str) -> int:
    """Each in a process of its own; how many of them broke. A missed target is not a break."""
    broken = 0
    for name in names:
        print(f"--- benchmarks.{name} {form}", flush=True)
        began = time.monotonic()
        status = subprocess.run(
            [sys.executable, "-m", f"benchmarks.{name}", form], cwd=CHECKOUT, check=False
        ).returncode
        broken += status != 0
        print(f"--- {name}: status {status} after {time.monotonic() - began:.0f} s", flush=True)
    print(f"pages: {PAGES.relative_to(CHECKOUT)}")
    return broken


if __name__ == "__main__":
    main()
