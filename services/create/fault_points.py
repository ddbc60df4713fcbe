"""Owns the seams at which a test may end this process as a power cut would; without FAULT_POINT they do nothing."""

import os
import signal
from typing import Final, Literal

Point = Literal["before_run_commit", "after_run_commit", "after_text_lease", "before_text_commit"]

_CHOSEN: Final = os.environ.get("FAULT_POINT", "")


def reach(point: Point) -> None:
    """Kill this process here, if the environment names this point."""
    if point == _CHOSEN:
        os.kill(os.getpid(), signal.SIGKILL)
