"""Named places at which a test can make this process die as by kill -9; off unless FAULT_POINT names one."""

import os
from typing import Final, Literal, get_args

FaultPoint = Literal["after_claim", "before_send", "after_send", "reply_read", "after_reply_commit"]

EXIT_STATUS: Final = 86  # tells a test that the process died here, not elsewhere

_chosen = os.environ.get("FAULT_POINT", "")
if _chosen and _chosen not in get_args(FaultPoint):
    raise ValueError(f"FAULT_POINT must be one of {', '.join(get_args(FaultPoint))}")


def reach(point: FaultPoint) -> None:
    """Die here if the environment says so: no cleanup, no rollback, no flush."""
    if point == _chosen:
        os._exit(EXIT_STATUS)
