"""Owns the seams at which a test may end this process as a power cut would; without FAULT_POINT they do nothing."""

import os
import signal
from typing import Final, Literal, get_args

FaultPoint = Literal["after_lease", "after_download", "before_put", "after_put", "before_commit"]

_CHOSEN: Final = os.environ.get("FAULT_POINT", "")
if _CHOSEN and _CHOSEN not in get_args(FaultPoint):
    raise ValueError(f"FAULT_POINT must be one of {', '.join(get_args(FaultPoint))}")


def reach(point: FaultPoint) -> None:
    """Kill this process here, if the environment names this point: no cleanup, no rollback, no flush."""
    if point == _CHOSEN:
        os.kill(os.getpid(), signal.SIGKILL)
